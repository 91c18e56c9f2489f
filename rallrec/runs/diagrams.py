"""Diagrams that explain the method: its pipeline, and the reranker's score on one sample."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Patch

from ..infra.errors import InputError, within
from ..retrieval.retrieve import Representation, Shown, retrieve
from ..retrieval.selectors import last
from .figures import WIDTH

INK, QUIET = "#222222", "#666666"
FILLS = {"data": "#ececec", "LLM": "#fbe0bd", "trained": "#cfe3f2", "computed": "#d2ecdf"}
BOX = 1.08, 0.56  # inches
PARTS = ("C0", "from similarity"), ("C1", "from recency")  # of a score, and their colours
COLUMNS = 0.66, 1.905, 3.15, 4.395, 5.64  # centres of boxes


def pipeline() -> Figure:
    """The pipeline of RALLRec from ratings to P(like); a circle at each step names the notebook that does it."""
    height = 4.7
    figure, ax = plt.subplots(figsize=(WIDTH, height))
    ax.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    ax.axis("off")
    _band(ax, 2.22, 4.67, "once per item")
    _band(ax, 0.33, 1.98, "once per sample")
    a, b, c, d, e = COLUMNS
    top, middle, low, upper, lower = 4.03, 3.32, 2.60, 1.52, 0.74  # centres of rows, two of them per sample
    half = (upper + lower) / 2
    width, tall = BOX[0] / 2, BOX[1] / 2

    _box(ax, a, top, "Items", "title, attributes", "data", "01")
    _box(ax, b, top, "Description", "asked: < 80 words", "LLM", "01")
    _box(ax, c, top, "Text embedding", r"$e_{text}=[e_{title};e_{desc}]$", "LLM", "02")
    _box(ax, a, low, "Ratings", "split by time", "data", "01")
    _box(ax, b, low, "Graph", "likes in training", "data", "03")
    _box(ax, c, low, "LightGCN", r"$e_{colla}$", "trained", "03")
    _box(ax, d, middle, "Alignment", r"$e_{ssl}=\mathrm{MLP}(e_{text})$", "trained", "04")
    _box(ax, e, middle, "Mixture", r"$e_{item}$, unit parts", "computed", "04")
    _box(ax, a, half, "Sample", "history, target", "data", "01")
    _box(ax, b, upper, "Retrieval", "K most similar", "computed", "05")
    _box(ax, b, lower, "Recency", "K most recent", "computed", "05")
    _box(ax, c, half, "Reranker", "K highest scores", "computed", "05")
    _box(ax, d, half, "Prompt", "history, question", "computed", "05")
    _box(ax, e, half, "P(like)", "LLM with adapter", "LLM", "05")

    for x, y in ((a, top), (b, top), (a, low), (b, low), (c, half), (d, half)):
        _arrow(ax, (x + width, y), (x + COLUMNS[1] - COLUMNS[0] - width, y))
    _arrow(ax, (a, top - tall), (a, top - 0.42), (c - 0.3, top - 0.42), (c - 0.3, top - tall))
    ax.text(b, top - 0.44, "plain title", fontsize=6.5, color=QUIET, ha="center", va="top")
    _arrow(ax, (c + width, top - 0.1), (d, top - 0.1), (d, middle + tall))
    _arrow(ax, (c + width, low + 0.1), (d, low + 0.1), (d, middle - tall), dashed=True)
    _arrow(ax, (c + width, top + 0.14), (e, top + 0.14), (e, middle + tall))
    _arrow(ax, (c + width, low - 0.14), (e - 0.25, low - 0.14), (e - 0.25, middle - tall))
    _arrow(ax, (d + width, middle), (e - width, middle))
    _arrow(ax, (e + 0.25, middle - tall), (e + 0.25, 2.1), (b, 2.1), (b, upper + tall))
    _arrow(ax, (a, low - tall), (a, half + tall))
    for y in (upper, lower):
        _arrow(ax, (a + width, half), (a + width + 0.06, half), (a + width + 0.06, y), (b - width, y))
        _arrow(ax, (b + width, y), (b + width + 0.06, y), (b + width + 0.06, half), (c - width, half))

    for x, (kind, color) in zip((0.12, 0.72, 1.30, 2.00), FILLS.items(), strict=True):
        ax.add_patch(FancyBboxPatch((x, 0.11), 0.16, 0.1, "round,pad=0,rounding_size=0.02", fc=color, ec=QUIET, lw=0.6))
        ax.text(x + 0.22, 0.155, kind, fontsize=7, color=INK, va="center")
    _badge(ax, 3.05, 0.16, "01")
    ax.text(3.19, 0.155, "notebook; 06 replaces parts", fontsize=7, color=INK, va="center")
    _arrow(ax, (4.85, 0.16), (5.15, 0.16), dashed=True)
    ax.text(5.22, 0.155, "in training only", fontsize=7, color=INK, va="center")
    return figure


def cut(title: str, width: int) -> str:
    """A title of at most ``width`` characters, the last of them an ellipsis where it was longer."""
    return title if len(title) <= width else title[: width - 1] + "…"


def worked_example(
    shown: Shown, items: np.ndarray | Representation, alpha: float, beta: float = 1, row: int = 0
) -> pd.DataFrame:
    """The reranker's score of every candidate of one sample (paper, section 2.4).

    Candidates are the K history items most similar to the target and the K most recent ones. An item at rank r of
    the similarity channel scores ``alpha / r^beta``, at rank r of the recency channel ``(1 - alpha) / r^beta``.

    Args:
        shown: what the reranker shows, with these ``alpha`` and ``beta``. items: the representation it retrieves with.
        row: the sample, among those of ``shown``; its history must be longer than K.

    Returns:
        A row a candidate, highest score first. Columns ``item`` (title), ``rank by similarity`` and ``rank by
        recency`` (NaN outside the channel), ``from similarity``, ``from recency``, ``score`` (their sum), ``shown``.

    Raises:
        InputError: a history of at most K items, of which all are shown; alpha not in 0 to 1; beta below 0.
    """
    within("alpha", alpha, 0, 1)
    within("beta", beta, 0)
    of, k = shown.take(np.array([row])), shown.k
    if (n := int(of.samples.n_earlier[0])) <= k:
        raise InputError(f"sample {row} has a history of {n} items, of which K = {k} shows all; choose a longer one")
    channels = retrieve(of.samples, items, k).position[0], last(of.samples, k).position[0][::-1]
    candidates = np.unique(np.concatenate(channels))
    rank = np.full((2, len(candidates)), np.nan)
    for channel, positions in enumerate(channels):
        rank[channel, np.searchsorted(candidates, positions)] = np.arange(1, k + 1)
    score = np.nan_to_num(np.array([[alpha], [1 - alpha]]) / rank**beta)  # none outside a channel
    data, is_shown = of.samples.data, np.isin(candidates, of.position)
    order = np.lexsort((-candidates, ~is_shown, -score.sum(0).round(9)))
    ranks = [[int(r) if r == r else np.nan for r in channel[order]] for channel in rank]
    return pd.DataFrame(
        {
            "item": data.items.title[data.item[candidates[order]]].to_list(),
            "rank by similarity": pd.Series(ranks[0], dtype=object),
            "rank by recency": pd.Series(ranks[1], dtype=object),
            "from similarity": score[0, order],
            "from recency": score[1, order],
            "score": score.sum(0)[order],
            "shown": np.where(is_shown, "yes", "no")[order],
        }
    )


def score_bars(example: pd.DataFrame) -> Figure:
    """`worked_example` as bars: the two parts of each candidate's score; candidates that are not shown are pale."""
    figure, ax = plt.subplots(figsize=(WIDTH, 0.7 + 0.2 * len(example)))
    y, begin = np.arange(len(example)), np.zeros(len(example))
    opacity = np.where(example["shown"] == "yes", 1.0, 0.35)
    for color, part in PARTS:
        bars = ax.barh(y, example[part], 0.72, begin, color=color)
        for bar, alpha in zip(bars, opacity, strict=True):
            bar.set_alpha(alpha)
        begin = begin + example[part].to_numpy()
    n_shown = int((example["shown"] == "yes").sum())
    ax.axhline(n_shown - 0.5, color="black", lw=0.8, ls=":")
    ax.text(ax.get_xlim()[1], n_shown - 0.55, "shown", ha="right", va="bottom", fontsize="small")
    ax.text(ax.get_xlim()[1], n_shown - 0.42, "not shown", ha="right", va="top", fontsize="small")
    ax.set_yticks(y, [cut(title, 44) for title in example["item"]], fontsize="small")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="score")
    handles = [Patch(color=color, label=part) for color, part in PARTS]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def _band(ax: Axes, bottom: float, top: float, title: str) -> None:
    style = dict(fc="#fafafa", ec="#dddddd", lw=0.8, zorder=0)
    ax.add_patch(FancyBboxPatch((0.05, bottom), WIDTH - 0.1, top - bottom, "round,pad=0,rounding_size=0.08", **style))
    ax.text(WIDTH - 0.15, top - 0.06, title, fontsize=7.5, color=QUIET, ha="right", va="top", style="italic")


def _box(ax: Axes, x: float, y: float, title: str, note: str, kind: str, notebook: str) -> None:
    """A box around (x, y), in inches."""
    corner = x - BOX[0] / 2, y - BOX[1] / 2
    style = dict(fc=FILLS[kind], ec=QUIET, lw=0.8, zorder=2)
    ax.add_patch(FancyBboxPatch(corner, *BOX, "round,pad=0,rounding_size=0.06", **style))
    ax.text(x, y + 0.03, title, fontsize=7.7, color=INK, ha="center", va="bottom", weight="bold", zorder=3)
    ax.text(x, y - 0.03, note, fontsize=7, color=INK, ha="center", va="top", zorder=3)
    _badge(ax, corner[0] + 0.03, corner[1] + BOX[1] - 0.03, notebook)


def _badge(ax: Axes, x: float, y: float, notebook: str) -> None:
    ax.add_patch(Circle((x, y), 0.095, fc="white", ec=INK, lw=0.7, zorder=4))
    ax.text(x, y - 0.003, notebook, fontsize=6, color=INK, ha="center", va="center", zorder=5)


def _arrow(ax: Axes, *points: tuple[float, float], dashed: bool = False) -> None:
    """A line through points, in inches, with its head at the last."""
    x, y = zip(*points, strict=True)
    ax.plot(x, y, color=QUIET, lw=1, ls=(0, (3, 2)) if dashed else "-", zorder=1, solid_joinstyle="round")
    head = dict(arrowstyle="-|>,head_width=0.18,head_length=0.34", color=QUIET, lw=0, shrinkA=0, shrinkB=0)
    ax.annotate("", points[-1], points[-2], arrowprops=head, zorder=1)
