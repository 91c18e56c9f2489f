"""Figures in one style: readable in print and by the colour-blind, the same bytes from the same numbers.

Colours have one meaning throughout: green, grey and vermilion are verdicts (`VERDICTS`, `JUDGED`), black is what the
paper reports, and all others (`SERIES`) tell apart what a legend names.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.dates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..evaluation.claims import CLAIM
from ..evaluation.metrics import interval, verdict

WIDTH = 7.8  # inches: at `DPI` what a notebook's output has room for on a page of 1,000 pixels
DPI = 110
GOOD, OPEN, BAD = "#029e73", "#8c8c8c", "#d55e00"  # verdicts
VERDICTS = {CLAIM[1]: GOOD, CLAIM[0]: OPEN, CLAIM[-1]: BAD}
JUDGED = {"higher": GOOD, "inconclusive": OPEN, "lower": BAD}  # of a difference, see `judged`
REFERENCE = "compared with"  # the row that the others' differences are to
SERIES = "#0173b2", "#de8f05", "#a6569d", "#56b4e9", "#ca9161", "#3b3b3b", "#c9b400"  # what a legend names
MARKERS = "osD^vPX"
LABEL = 44  # characters of a line of a row's label
CALENDAR = -62_000_000_000, 253_000_000_000  # seconds since 1970 that matplotlib has dates for, and a margin


def use_style() -> None:
    """Set matplotlib's defaults; the colours are of seaborn's palette for the colour-blind."""
    sns.set_theme(context="paper", style="whitegrid", palette=SERIES)
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 2.8),
            "figure.constrained_layout.use": True,
            "figure.dpi": DPI,
            "savefig.dpi": 200,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.linewidth": 0.5,
            "legend.frameon": False,
            "pdf.fonttype": 42,
            "svg.hashsalt": "rallrec",
        }
    )


def panels(n: int, height: float = 2.8) -> tuple[Figure, np.ndarray]:
    """A row of ``n`` axes of the page's width."""
    figure, axes = plt.subplots(1, n, figsize=(WIDTH, height), squeeze=False)
    return figure, axes[0]


def ratings(data, split) -> Figure:
    """Ratings over time with the borders of the split (without time: by value), and lengths of the test histories.

    Time is in dates, or in seconds where these are beyond the calendar (years 1 to 9999).
    """
    figure, (left, right) = panels(2)
    right.hist(split.test.n_earlier, bins=40, color=SERIES[0])
    right.set(title="History length of test samples", xlabel="earlier ratings of the user", ylabel="samples")
    if not data.timed:
        value, n = np.unique(data.rating, return_counts=True)
        left.bar([f"{v:g}" for v in value], n, color=[SERIES[0] if v > data.like_above else "0.6" for v in value])
        left.set(title="Ratings (likes in colour)", xlabel="rating", ylabel="ratings")
        left.grid(axis="x", visible=False)
        return figure
    dated = data.time.min() >= CALENDAR[0] and data.time.max() <= CALENDAR[1]
    when = data.time.astype("datetime64[s]") if dated else data.time
    left.hist(when, bins=60, color=SERIES[0])
    for part, style, name in ((split.valid, "--", "validation begins"), (split.test, "-", "test begins")):
        left.axvline(when[part.position[0]], color="black", ls=style, lw=1, label=name)
    left.set(title="Ratings over time", ylabel="ratings", xlabel="" if dated else "seconds since 1970")
    left.xaxis.set_major_locator(mpl.ticker.MaxNLocator(3))
    if dated:
        left.xaxis.set_major_locator(_few_dates())
        left.xaxis.set_major_formatter(mpl.dates.ConciseDateFormatter(left.xaxis.get_major_locator()))
    left.set_ylim(top=left.get_ylim()[1] * 1.3)  # room for the legend
    late = 2 * data.time[split.test.position[0]] > data.time.min() + data.time.max()
    left.legend(loc="upper left" if late else "upper right", fontsize="small")
    return figure


def _few_dates() -> mpl.dates.AutoDateLocator:
    """Two to four dates; one where a span lies between two of matplotlib's steps, such as 6 months and a year."""
    locator = mpl.dates.AutoDateLocator(minticks=2, maxticks=4)
    whole = {mpl.dates.MONTHLY: 12, mpl.dates.HOURLY: 24, mpl.dates.MINUTELY: 60, mpl.dates.SECONDLY: 60}
    for frequency, step in whole.items():
        locator.intervald[frequency] = [*locator.intervald[frequency], step]
    return locator


def histograms(series: dict[str, np.ndarray], title: str, xlabel: str, ylabel: str) -> Figure:
    """Distributions side by side, as outlined densities of a common binning. A NaN is left out."""
    figure, (ax,) = panels(1)
    series = {name: values[~np.isnan(values)] for name, values in series.items()}
    together = np.concatenate(list(series.values()))
    if not len(together):
        return _empty(ax, title=title, xlabel=xlabel, ylabel=ylabel)
    bins = np.histogram_bin_edges(together, 60)
    if np.issubdtype(together.dtype, np.integer):  # whole numbers a bin, or the bins make a comb
        step = max(1, round(np.ptp(together) / 40))
        bins = np.arange(together.min(), together.max() + step + 1, step) - 0.5
    for i, (name, values) in enumerate(series.items()):
        ax.hist(values, bins, density=True, histtype="stepfilled", alpha=0.25, color=SERIES[i % len(SERIES)])
        ax.hist(
            values,
            bins,
            density=True,
            histtype="step",
            color=SERIES[i % len(SERIES)],
            ls=["-", "--", ":"][i % 3],
            lw=1.5,
            label=name,
        )
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return figure


def _empty(ax, **labels) -> Figure:
    """A figure of what could not be measured on these data."""
    ax.text(0.5, 0.5, "nothing to show on these data", ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[], **labels)
    return ax.figure


def curves(
    x,
    series: dict[str, dict[str, np.ndarray]],
    xlabel: str,
    chosen: float | None = None,
    levels: dict[str, tuple[float, str]] | None = None,
    kept: str = "chosen",
) -> Figure:
    """One panel a quantity; in it a line a name. ``series``: {panel title: {line name: values}}, NaN is left out.

    Args:
        chosen: where a vertical line stands, called ``kept``. levels: {panel title: (value, name)} of horizontal lines.
    """
    figure, axes = panels(len(series), 3.0)
    for ax, (title, lines) in zip(axes, series.items(), strict=True):
        for i, (name, y) in enumerate(lines.items()):
            y, known = np.asarray(y, float), ~np.isnan(np.asarray(y, float))
            style = dict(color=SERIES[i], marker=MARKERS[i % len(MARKERS)], ms=3.5, lw=1.3, label=name)
            ax.plot(np.asarray(x)[known], y[known], **style)
        if chosen is not None:
            ax.axvline(chosen, color="black", lw=0.9, ls=":", label=kept)
        if levels and title in levels:
            level, name = levels[title]
            ax.axhline(level, color="black", lw=0.9, ls="--", label=name)
        ax.set(title=title, xlabel=xlabel)
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6, integer=True))
        if len(ax.get_legend_handles_labels()[1]) > 1:
            ax.legend(fontsize="small")
    return figure


def k_curves(
    frame: pd.DataFrame,
    x: str,
    y: str,
    line: str,
    xlabel: str,
    ylabel: str,
    log: bool = False,
    marks: dict[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Lines of ``y`` over ``x``, one for each value of the column ``line``, with bands where ``y`` has an interval.

    Args:
        frame: columns ``x``, ``y``, ``line``; an interval is in ``y``_low and ``y``_high. marks: values of ``x`` that
            a vertical line marks, by name.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 4.0))
    for i, (name, part) in enumerate(frame.groupby(line, sort=False)):
        color = SERIES[i % len(SERIES)]
        ax.plot(part[x], part[y], color=color, marker=MARKERS[i % len(MARKERS)], ms=4, lw=1.4, label=name)
        if f"{y}_low" in part:
            ax.fill_between(part[x], part[f"{y}_low"], part[f"{y}_high"], color=color, alpha=0.14, lw=0)
    if log:
        ax.set_xscale("log")
        ax.set_xticks(sorted(frame[x].unique()), [f"{v:g}" for v in sorted(frame[x].unique())])
        ax.minorticks_off()
    if f"{y}_low" in frame:
        ax.axhline(0, color="black", lw=0.8)
    for (name, at), style in zip((marks or {}).items(), (":", "--", "-."), strict=False):
        ax.axvline(at, color="black", lw=0.9, ls=style, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
    return figure


def judged(table: pd.DataFrame) -> list[str]:
    """What each row's difference is, a name of `JUDGED`: by its interval and, where there is one, its adjusted p."""
    p = table["adjusted_p"] if "adjusted_p" in table else np.zeros(len(table))
    rows = zip(table["difference_low"], table["difference_high"], p, strict=True)
    return [list(JUDGED)[1 - verdict(low, high, adjusted)] for low, high, adjusted in rows]


def wrapped(labels: Sequence[str], width: int = LABEL) -> list[str]:
    """Labels in lines."""
    return [textwrap.fill(str(label), width, break_on_hyphens=False) for label in labels]


def forest(
    table: pd.DataFrame,
    value: str,
    xlabel: str,
    label: str = "method",
    group: str | None = None,
    zero=None,
    colors: dict[str, str] | None = None,
    title: str = "",
) -> Figure:
    """A row a method: the value and its interval (columns ``value``, ``value_low``, ``value_high``).

    What is NaN is left out, a value without an interval is a point alone.

    Args:
        group: column whose values are told apart by marker and colour; without one, rows that have a difference are
            coloured by its verdict (`judged`). colors: {value: colour} of the group.
        zero: where a vertical line stands.
    """
    names = wrapped(table[label])
    lines = sum(1 + name.count("\n") for name in names)
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + 0.12 * len(names) + 0.16 * max(lines, 1)))
    if not len(table):
        return _empty(ax, xlabel=xlabel)
    if group is None and "difference_low" in table:
        of = np.where(table["difference"].isna(), REFERENCE, judged(table))
        table, group, colors = table.assign(judged=of), "judged", JUDGED | {REFERENCE: "black"}
    groups = list(dict.fromkeys(table[group])) if group else [None]
    colors = colors or {g: SERIES[i % len(SERIES)] for i, g in enumerate(groups)}
    markers = dict(zip(colors, MARKERS, strict=False))
    for y, (_, row) in enumerate(table.iterrows()):
        g = row[group] if group else None
        spread = np.maximum([[row[value] - row[f"{value}_low"]], [row[f"{value}_high"] - row[value]]], 0)
        ax.errorbar(row[value], y, xerr=spread, color=colors[g], marker=markers[g], ms=5, capsize=2.5, lw=1.4)
    ax.set_yticks(range(len(table)), names)
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    ax.grid(axis="y", visible=False)
    if zero is not None:
        ax.axvline(zero, color="black", lw=0.8)
    if group:
        there = {g: c for g, c in colors.items() if g in groups}
        handles = [Line2D([], [], color=c, marker=markers[g], label=g) for g, c in there.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize="small")
    ax.set_xlabel(xlabel, loc="right")
    _heading(figure, title)
    return figure


def _heading(figure: Figure, title: str) -> None:
    """A figure's title, from its left edge: row labels take the left half."""
    if title:
        figure.suptitle(textwrap.fill(title, 100), x=0.01, ha="left", fontsize="medium")


def by_panel(
    table: pd.DataFrame,
    label: str,
    value: str,
    xlabel: str,
    panel: str = "dataset",
    series: str | None = None,
    zero: float | None = 0,
    title: str = "",
    names: dict[str, str] | None = None,
    free: bool = False,
) -> Figure:
    """A row a ``label``, a panel a value of ``panel`` with a scale of its own; in a row a line a value of ``series``.

    Args:
        table: columns ``label``, ``value`` with ``_low`` and ``_high``, ``panel``; ``series`` sets markers. The colour
            is the difference's verdict (`judged`), or the series' where ``free``, or where there is no difference.
        zero: where a vertical line stands. names: titles of the panels, by value.
    """
    rows, parts = list(dict.fromkeys(table[label])), list(dict.fromkeys(table[panel]))
    of = list(dict.fromkeys(table[series])) if series else [None]
    texts = wrapped(rows, LABEL - 4 * min(len(parts), 3))
    most = max(table.groupby(panel)[series].nunique(), default=1) if series else 1
    lines = [max(1 + text.count("\n"), most * 0.85) for text in texts]
    across = max(12, 66 // max(len(parts), 1))  # letters
    titles = {name: "\n".join(wrapped(str((names or {}).get(name, name)).splitlines(), across)) for name in parts}
    more = 0.15 * max((title.count("\n") - 1 for title in titles.values()), default=0)
    size = WIDTH, 1.5 + max(more, 0) + 0.19 * sum(lines) + 0.08 * len(rows)
    figure, axes = plt.subplots(1, max(len(parts), 1), figsize=size, sharey=True, squeeze=False)
    if not len(table):
        return _empty(axes[0][0], xlabel=xlabel)
    coloured = "difference_low" in table and not free
    for ax, name in zip(axes[0], parts, strict=True):
        part = table[table[panel] == name]
        told = judged(part) if coloured else [None] * len(part)
        here = list(dict.fromkeys(part[series])) if series else [None]  # panels may hold different series
        for (_, row), word in zip(part.iterrows(), told, strict=True):
            i = of.index(row[series]) if series else 0
            place = i if len(here) == len(of) else here.index(row[series])
            at = rows.index(row[label]) + 0.72 * ((place + 0.5) / max(len(here), 1) - 0.5)
            spread = np.maximum([[row[value] - row[f"{value}_low"]], [row[f"{value}_high"] - row[value]]], 0)
            color = JUDGED[word] if coloured else SERIES[i % len(SERIES)]
            style = dict(marker=MARKERS[i % len(MARKERS)], ms=4, capsize=2, lw=1.3)
            ax.errorbar(row[value], at, xerr=spread, color=color, **style)
        if zero is not None:
            ax.axvline(zero, color="black", lw=0.8)
        for y in range(1, len(rows)):
            ax.axhline(y - 0.5, color="0.9", lw=0.5)
        ax.set_title(titles[name], fontsize="small", loc="center")
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4 if len(parts) < 3 else 3))
        ax.tick_params(axis="x", labelsize="small")
        ax.grid(axis="y", visible=False)
    axes[0][0].set_yticks(range(len(rows)), texts, fontsize="small")
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    axes[0][(len(parts) - 1) // 2].set_xlabel(xlabel, fontsize="small")
    if len(parts) % 2 == 0:  # between the two panels in the middle
        axes[0][len(parts) // 2 - 1].xaxis.label.set_x(1.02)
    handles = [
        Line2D([], [], color="0.25" if coloured else SERIES[i % len(SERIES)], marker=MARKERS[i % len(MARKERS)], label=n)
        for i, n in enumerate(of)
        if n
    ]
    handles += [Line2D([], [], color=c, lw=3, label=n) for n, c in JUDGED.items()] if coloured else []
    if handles:
        columns = 3 if len(handles) > 3 else 5
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize="small")
    if len(parts) > 3:  # ticks of neighbours would read as one number
        figure.set_layout_engine("constrained", w_pad=0.08)
    _heading(figure, title)
    return figure


def dots(frame: pd.DataFrame, xlabel: str, levels: dict[str, float] | None = None, title: str = "") -> Figure:
    """A row a row of ``frame``, a marker a column; ``levels`` are vertical lines: values that no row changes."""
    figure, ax = plt.subplots(figsize=(WIDTH, 1.5 + 0.26 * len(frame)))
    if frame.isna().all(axis=None):
        return _empty(ax, xlabel=xlabel)
    apart = 0.15 * (np.arange(frame.shape[1]) - (frame.shape[1] - 1) / 2)  # of one value, each is seen
    for i, name in enumerate(frame):
        style = dict(color=SERIES[i % len(SERIES)], marker=MARKERS[i % len(MARKERS)], ms=6, lw=0, label=name)
        ax.plot(frame[name], np.arange(len(frame)) + apart[i], **style)
    for (name, at), style in zip((levels or {}).items(), ("--", ":", "-.", "-"), strict=False):
        ax.axvline(at, color="black", lw=1, ls=style, label=name)
    ax.set_yticks(range(len(frame)), wrapped(frame.index))
    ax.set_ylim(len(frame) - 0.5, -0.5)
    ax.set(xlabel=xlabel)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
    _heading(figure, title)
    return figure


def bars(values: pd.Series, xlabel: str) -> Figure:
    """A bar a name, the first at the top."""
    figure, ax = plt.subplots(figsize=(WIDTH, 0.8 + 0.22 * len(values)))
    ax.barh(range(len(values)), values, color=SERIES[0])
    ax.set_yticks(range(len(values)), values.index)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=xlabel)
    return figure


def save_table(frame: pd.DataFrame, show: pd.DataFrame, path, caption: str = "") -> None:
    """Write ``path``.csv (``frame``, nine digits), ``path``.md and ``path``.tex (``show``, for reading)."""
    # digits enough that rounding once more, to those of a table for reading, gives what rounding once gives
    frame.to_csv(f"{path}.csv", index=False, float_format="%.9f", lineterminator="\n")
    Path(f"{path}.md").write_text(markdown(show) + (f"\n{caption}\n" if caption else ""), encoding="utf-8")
    Path(f"{path}.tex").write_text(latex(show), encoding="utf-8")


def save(figure: Figure, path) -> None:
    """Write ``path``.png and ``path``.pdf, without a date."""
    figure.savefig(f"{path}.png", metadata={"Software": None})
    figure.savefig(f"{path}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})


def heatmap(frame: pd.DataFrame, label: str) -> Figure:
    """A symmetric matrix of values, its lower half, each written in its cell; the cell of a NaN stays empty."""
    figure, ax = plt.subplots(figsize=(WIDTH, 1.2 + 0.36 * len(frame)))
    if frame.isna().all(axis=None):
        return _empty(ax)
    below = frame.where(np.tri(len(frame), k=-1, dtype=bool)).iloc[1:, :-1]
    style = dict(annot=True, fmt=".2f", cmap="cividis", linewidths=0.5, cbar_kws={"label": label})
    sns.heatmap(below, ax=ax, **style)
    ax.set(xlabel="", ylabel="")
    ax.grid(visible=False)
    ax.set_xticks(ax.get_xticks(), wrapped(below.columns, 14), rotation=0)
    ax.tick_params(axis="y", rotation=0)
    return figure


def reliability(liked: np.ndarray, predictions: dict[str, np.ndarray], bins: int = 8) -> Figure:
    """Share of likes over predicted probability, in bins of equal counts; of fewer samples, a bin each."""
    bins = min(bins, len(liked))
    figure, ax = plt.subplots(figsize=(WIDTH * 0.6, 4.0))
    ax.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":", label="calibrated")
    for i, (name, p) in enumerate(predictions.items()):
        parts = np.array_split(np.argsort(p, kind="stable"), bins)
        x, y = [p[part].mean() for part in parts], [liked[part].mean() for part in parts]
        ax.plot(x, y, color=SERIES[i % len(SERIES)], marker=MARKERS[i % len(MARKERS)], ms=4, lw=1.2, label=name)
    ax.set(xlabel="predicted P(like)", ylabel="share of likes", xlim=(0, 1), ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=1, fontsize="small")
    return figure


def with_intervals(table: pd.DataFrame, metrics: dict[str, str], label: str = "method") -> pd.DataFrame:
    """A results table for reading, a column a metric, named by ``metrics``; it fits a page.

    ``value [low, high]`` stands for the first metric and for the difference, the value alone for the others, whose
    intervals are in the full table. Beside a calibration error stands what chance alone makes of it; of trained rows
    the spread of the AUC over seeds; samples and users where they are not those of all rows (see `counted`).
    """
    first = next(iter(metrics))

    def cell(row, m) -> str:
        if m in (first, "difference"):
            return interval(row[m], row[f"{m}_low"], row[f"{m}_high"], "+" if m == "difference" else "")
        chance = m == "calibration_error" and "calibration_floor" in table
        return _digits(row[m]) + (f" ({_digits(row['calibration_floor'])})" if chance else "")

    names = dict(metrics)
    if "calibration_error" in names and "calibration_floor" in table:
        names["calibration_error"] += " (by chance)"
    columns = {name: [cell(row, m) for _, row in table.iterrows()] for m, name in names.items()}
    counts = {}
    if not counted(table):
        of = {"samples": "n", "users": "users"}
        counts = {name: [f"{n:,}" for n in table[column]] for name, column in of.items() if column in table}
    if "auc_spread" in table:
        pairs = zip(table["auc_spread"], table["seeds"], strict=True)
        counts["AUC over seeds"] = ["–" if np.isnan(spread) else f"± {spread:.3f} ({n:.0f})" for spread, n in pairs]
    return pd.DataFrame({label: table[label].to_list()} | columns | counts)


def counted(table: pd.DataFrame) -> str:
    """``2,000 samples of 139 users``, where all rows of a results table (``n``, ``users``) have as many; else nothing.

    Of rows that have both; a table of one row says it in its columns.
    """
    if len(table) < 2 or not {"n", "users"} <= set(table):
        return ""
    counts = table[["n", "users"]].drop_duplicates()
    return f"{counts['n'].iloc[0]:,} samples of {counts['users'].iloc[0]:,} users" if len(counts) == 1 else ""


def _digits(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def markdown(frame: pd.DataFrame) -> str:
    """A pipe table; cells as they are, the first column to the left, the others to the right."""
    align = ["left"] + ["right"] * (frame.shape[1] - 1)
    return frame.to_markdown(index=False, colalign=align, disable_numparse=True) + "\n"


def latex(frame: pd.DataFrame) -> str:
    """A booktabs ``tabular`` with all text escaped."""
    style = frame.style.format(escape="latex").format_index(escape="latex", axis="columns").hide(axis="index")
    return style.to_latex(hrules=True, column_format="l" + "r" * (frame.shape[1] - 1))
