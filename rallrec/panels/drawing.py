"""Figures of the lab as SVG: they are drawn in a millisecond, take the page's width, and its colours in the dark."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

INK, PALE, LINE = "var(--jp-ui-font-color1, #222)", "var(--jp-ui-font-color2, #666)", "var(--jp-border-color2, #ddd)"
YOURS, BASELINE = "#0173b2", "#de8f05"  # of seaborn's palette for the colour-blind
HALO = "paint-order:stroke;stroke:var(--jp-layout-color0, white);stroke-width:4px"  # a line behind a text ends at it
FONT = "font: 12px var(--jp-ui-font-family, system-ui, sans-serif)"


def ticks(low: float, high: float, most: int = 5) -> np.ndarray:
    """Round numbers from ``low`` to ``high``, about ``most`` of them."""
    span = max(high - low, 1e-9)
    step = 10 ** np.floor(np.log10(span / most))
    step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= most)
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step


@dataclass
class Picture:
    """An SVG in the making. Coordinates are pixels at its nominal width."""

    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def line(self, x1, y1, x2, y2, color=LINE, width=1.0, dash="") -> None:
        style = f"stroke:{color};stroke-width:{width}" + (f";stroke-dasharray:{dash}" if dash else "")
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" style="{style}"/>')

    def path(self, points: Iterable[tuple[float, float]], color: str, width=2.0, dash="") -> None:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        style = f"fill:none;stroke:{color};stroke-width:{width}" + (f";stroke-dasharray:{dash}" if dash else "")
        self.parts.append(f'<polyline points="{way}" style="{style}"/>')

    def dot(self, x, y, color: str, r=3.5, tip="", hollow=False) -> None:
        fill = f"fill:var(--jp-layout-color0, white);stroke:{color};stroke-width:2" if hollow else f"fill:{color}"
        title = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" style="{fill}">{title}</circle>')

    def text(self, x, y, said: str, anchor="start", color=INK, bold=False, size=12) -> None:
        style = f"fill:{color};text-anchor:{anchor};font-size:{size}px;{HALO}" + (";font-weight:600" if bold else "")
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" style="{style}">{escape(said)}</text>')

    def svg(self, told: str) -> str:
        """The picture; ``told`` says it in words, for who can't see it."""
        head = f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(told)}"'
        size = f"width:100%;max-width:{self.width * 1.15:.0f}px;height:auto;display:block;{FONT}"
        return f'{head} style="{size}" xmlns="http://www.w3.org/2000/svg">{"".join(self.parts)}</svg>'


@dataclass(frozen=True)
class Row:
    """A difference with its interval, and what it is of. ``new``: the choice of the moment."""

    label: str
    value: float
    low: float
    high: float
    new: bool = False


def differences(rows: Sequence[Row], baseline: str, width: int = 520) -> str:
    """Paired differences to the baseline, the newest first; zero is the baseline."""
    rows = [row for row in rows if np.isfinite([row.value, row.low, row.high]).all()]
    step, top, left, right = 36, 24, 12, 74
    picture = Picture(width, top + step * max(len(rows), 1) + 34)
    ends = [0.0, *(end for row in rows for end in (row.low, row.high))]
    pad = max(max(ends) - min(ends), 0.01) * 0.06
    low, high = min(ends) - pad, max(ends) + pad
    bottom = picture.height - 30

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    for tick in ticks(low, high):
        picture.line(x(tick), top - 6, x(tick), bottom)
        picture.text(x(tick), bottom + 14, f"{tick:+.3f}" if abs(tick) > 1e-9 else "0", "middle", PALE, size=11)
    picture.line(x(0), top - 6, x(0), bottom, BASELINE, 2)
    picture.text(left, 12, "AUC minus the baseline's, 95 % interval", bold=True)
    picture.text(x(0), bottom + 27, "baseline", "middle", BASELINE, size=11)
    if not rows:
        picture.text(left, top + 22, "turn a knob: this is the baseline itself", color=PALE)
    for n, row in enumerate(rows):
        y, color = top + step * n + 24, YOURS if row.new else PALE
        picture.text(left, y - 12, row.label, color=INK if row.new else PALE, bold=row.new, size=11)
        picture.line(x(row.low), y, x(row.high), y, color, 2.5 if row.new else 1.5)
        for end in (row.low, row.high):
            picture.line(x(end), y - 4, x(end), y + 4, color, 1.5)
        picture.dot(x(row.value), y, color, 4.5 if row.new else 3.5)
        picture.text(width - right + 8, y + 4, f"{row.value:+.3f}", color=color, bold=row.new)
    said = "; ".join(f"{row.label}: {row.value:+.3f} from {row.low:+.3f} to {row.high:+.3f}" for row in rows)
    return picture.svg(f"AUC minus that of {baseline}: {said or 'the baseline itself'}")


@dataclass(frozen=True)
class Line:
    """AUC over K. chosen: the K in use, and the AUC there with its interval, if it is known."""

    label: str
    points: dict[int, float]
    chosen: int
    at: tuple[float, float, float] | None = None


def over_k(lines: Sequence[Line], ks: Sequence[int], note: str = "", width: int = 520, height: int = 250) -> str:
    """AUC over K, the first line yours, the second the baseline's; the K in use is marked."""
    colors, left, right, top, bottom = (YOURS, BASELINE), 46, 12, 44, height - 40
    picture = Picture(width, height)
    values = [v for line in lines for v in (*line.points.values(), *(line.at or ())) if np.isfinite(v)]
    low, high = (min(values), max(values)) if values else (0.5, 0.6)
    pad = max(high - low, 0.004) * 0.08
    low, high = low - pad, high + pad
    shown_k = sorted({*ks, *(line.chosen for line in lines)})
    first, last = np.log(shown_k[0]), max(np.log(shown_k[-1]), np.log(shown_k[0]) + 1)

    def x(k: float) -> float:
        return left + (np.log(k) - first) / (last - first) * (width - left - right - 10) + 6

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    picture.text(12, 12, "AUC over K, the history items shown" + (f" ({note})" if note else ""), bold=True)
    for tick in ticks(low, high):
        picture.line(left, y(tick), width - right, y(tick))
        picture.text(left - 6, y(tick) + 4, f"{tick:.3f}", "end", PALE, size=11)
    for k in ks:
        picture.line(x(k), bottom, x(k), bottom + 4, PALE)
        picture.text(x(k), bottom + 16, str(k), "middle", PALE, size=11)
    picture.text((left + width - right) / 2, height - 8, "K", "middle", PALE, size=11)
    at = 12
    for line, color in zip(lines, colors, strict=False):
        picture.line(at, 28, at + 16, 28, color, 2.5)
        picture.text(at + 21, 32, line.label, color=PALE, size=11)
        at += 36 + 6.2 * len(line.label)
    for line, color in reversed(list(zip(lines, colors, strict=False))):
        points = [(k, v) for k, v in sorted(line.points.items()) if np.isfinite(v)]
        picture.path([(x(k), y(v)) for k, v in points], color)
        for k, v in points:
            picture.dot(x(k), y(v), color, 2.5, f"K = {k}: {v:.3f}")
        if line.at and np.isfinite(line.at[0]):
            value, *ends = line.at
            if np.isfinite(ends).all() and ends[0] < ends[1]:
                picture.line(x(line.chosen), y(ends[0]), x(line.chosen), y(ends[1]), color, 1.5, "3 2")
            picture.dot(x(line.chosen), y(value), color, 5.5, f"K = {line.chosen}: {value:.3f}", hollow=True)
    said = "; ".join(f"{n.label}: " + ", ".join(f"K {k} {v:.3f}" for k, v in sorted(n.points.items())) for n in lines)
    return picture.svg(f"AUC over K. {said}")


def checks(scores: Mapping[int, float], what: str, width: int = 520, height: int = 200) -> str:
    """The curve of a training: a score at each epoch that was checked, the best one marked."""
    picture = Picture(width, height)
    picture.text(12, 12, what, bold=True)
    found = {epoch: score for epoch, score in scores.items() if np.isfinite(score)}
    if not found:
        return picture.svg(f"{what}: no check yet")
    left, right, top, bottom = 54, 12, 26, height - 42
    values = list(found.values())
    pad = max(max(values) - min(values), 1e-3) * 0.08
    low, high = min(values) - pad, max(values) + pad
    first, last = min(scores), max(*scores, 10 * min(scores))

    def x(epoch: float) -> float:
        return left + 6 + (epoch - first) / max(last - first, 1) * (width - left - right - 12)

    def y(score: float) -> float:
        return bottom - (score - low) / (high - low) * (bottom - top)

    for tick in ticks(low, high):
        picture.line(left, y(tick), width - right, y(tick))
        picture.text(left - 6, y(tick) + 4, f"{tick:.3f}", "end", PALE, size=11)
    for tick in ticks(first, last):
        picture.line(x(tick), bottom, x(tick), bottom + 4, PALE)
        picture.text(x(tick), bottom + 16, f"{tick:.0f}", "middle", PALE, size=11)
    picture.text((left + width - right) / 2, height - 8, "epoch", "middle", PALE, size=11)
    picture.path([(x(epoch), y(score)) for epoch, score in found.items()], YOURS)
    for epoch, score in found.items():
        picture.dot(x(epoch), y(score), YOURS, 2.5, f"epoch {epoch}: {score:.4f}")
    best = max(found, key=found.get)
    told = f"best {found[best]:.4f} at epoch {best}"
    picture.dot(x(best), y(found[best]), BASELINE, 5.5, told, hollow=True)
    return picture.svg(f"{what}: {told} of {max(scores)}")
