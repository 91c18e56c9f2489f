"""Figures in one style: readable in print and by the colour-blind, the same bytes from the same numbers."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.dates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from ..evaluation.claims import CLAIM
from ..evaluation.metrics import interval

WIDTH = 6.3  # inches: the text width of a printed page
VERDICTS = {CLAIM[1]: "C2", CLAIM[0]: "0.6", CLAIM[-1]: "C3"}
MARKERS = "osD^vPX"
CALENDAR = -62_000_000_000, 253_000_000_000  # seconds since 1970 that matplotlib has dates for, and a margin


def use_style() -> None:
    """Set matplotlib's defaults; the palette is seaborn's for the colour-blind."""
    sns.set_theme(context="paper", style="whitegrid", palette="colorblind")
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 2.8),
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 200,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.linewidth": 0.5,
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
    right.hist(split.test.n_earlier, bins=40, color="C1")
    right.set(title="History length of test samples", xlabel="earlier ratings of the user", ylabel="samples")
    if not data.timed:
        value, n = np.unique(data.rating, return_counts=True)
        left.bar([f"{v:g}" for v in value], n, color=["C0" if v > data.like_above else "0.6" for v in value])
        left.set(title="Ratings (likes in colour)", xlabel="rating", ylabel="ratings")
        left.grid(axis="x", visible=False)
        return figure
    dated = data.time.min() >= CALENDAR[0] and data.time.max() <= CALENDAR[1]
    when = data.time.astype("datetime64[s]") if dated else data.time
    left.hist(when, bins=60, color="C0")
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
        ax.hist(values, bins, density=True, histtype="stepfilled", alpha=0.25, color=f"C{i}")
        ax.hist(
            values, bins, density=True, histtype="step", color=f"C{i}", ls=["-", "--", ":"][i % 3], lw=1.5, label=name
        )
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return figure


def _empty(ax, **labels) -> Figure:
    """A figure of what could not be measured on these data."""
    ax.text(0.5, 0.5, "nothing to show on these data", ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[], **labels)
    return ax.figure


def curves(x, series: dict[str, dict[str, np.ndarray]], xlabel: str, chosen: float | None = None) -> Figure:
    """One panel a quantity; in it a line a name. ``series``: {panel title: {line name: values}}."""
    figure, axes = panels(len(series))
    for ax, (title, lines) in zip(axes, series.items(), strict=True):
        for i, (name, y) in enumerate(lines.items()):
            ax.plot(x, y, color=f"C{i}", marker=MARKERS[i % len(MARKERS)], ms=3.5, lw=1.3, label=name)
        if chosen is not None:
            ax.axvline(chosen, color="black", lw=0.8, ls=":", label="chosen")
        ax.set(title=title, xlabel=xlabel)
        if len(lines) > 1 or chosen is not None:
            ax.legend(fontsize="small")
    return figure


def k_curves(frame: pd.DataFrame, x: str, y: str, line: str, xlabel: str, ylabel: str, log: bool = False) -> Figure:
    """Lines of ``y`` over ``x``, one for each value of the column ``line``."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.4))
    for i, (name, part) in enumerate(frame.groupby(line, sort=False)):
        ax.plot(part[x], part[y], color=f"C{i}", marker=MARKERS[i % len(MARKERS)], ms=4, lw=1.3, label=name)
    if log:
        ax.set_xscale("log")
        ax.set_xticks(sorted(frame[x].unique()), [f"{v:g}" for v in sorted(frame[x].unique())])
        ax.minorticks_off()
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(ncols=2, fontsize="small")
    return figure


def forest(
    table: pd.DataFrame,
    value: str,
    xlabel: str,
    label: str = "method",
    group: str | None = None,
    zero=None,
    colors: dict[str, str] | None = None,
) -> Figure:
    """A row a method: the value and its interval (columns ``value``, ``value_low``, ``value_high``).

    What is NaN is left out, a value without an interval is a point alone.

    Args:
        group: column whose values are told apart by marker and colour. colors: {value: colour} of them.
    """
    figure, ax = plt.subplots(figsize=(WIDTH, 0.8 + 0.26 * max(len(table), 1)))
    if not len(table):
        return _empty(ax, xlabel=xlabel)
    groups = list(dict.fromkeys(table[group])) if group else [None]
    colors = colors or {g: f"C{i}" for i, g in enumerate(groups)}
    markers = dict(zip(colors, MARKERS, strict=False))
    for y, (_, row) in enumerate(table.iterrows()):
        g = row[group] if group else None
        spread = np.maximum([[row[value] - row[f"{value}_low"]], [row[f"{value}_high"] - row[value]]], 0)
        ax.errorbar(row[value], y, xerr=spread, color=colors[g], marker=markers[g], ms=5, capsize=2.5, lw=1.3)
    ax.set_yticks(range(len(table)), table[label])
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(7))
    ax.grid(axis="y", visible=False)
    if zero is not None:
        ax.axvline(zero, color="black", lw=0.8)
    if group:
        handles = [mpl.lines.Line2D([], [], color=c, marker=markers[g], label=g) for g, c in colors.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(colors), fontsize="small")
    ax.set(xlabel=xlabel)
    return figure


def across(table: pd.DataFrame, label: str, value: str, heading: str, series: str = "dataset") -> Figure:
    """A row a ``label``; in it, one under the other, the values of each of ``series`` with their intervals.

    Args:
        table: columns ``label``, ``value``, ``value_low``, ``value_high``, ``series``.
    """
    names, datasets = list(dict.fromkeys(table[label])), list(dict.fromkeys(table[series]))
    figure, ax = plt.subplots(figsize=(WIDTH, 1.0 + (0.14 + 0.09 * len(datasets)) * max(len(names), 1)))
    if not names:
        return _empty(ax, xlabel=heading)
    for i, name in enumerate(datasets):
        part = table[table[series] == name].set_index(label)
        y = [names.index(n) + 0.7 * ((i + 0.5) / len(datasets) - 0.5) for n in part.index]
        spread = np.maximum([part[value] - part[f"{value}_low"], part[f"{value}_high"] - part[value]], 0)
        style = dict(color=f"C{i}", marker=MARKERS[i % len(MARKERS)], ms=3.5, lw=0, elinewidth=1, capsize=1.5)
        ax.errorbar(part[value], y, xerr=spread, label=name, **style)
    for y in range(1, len(names)):
        ax.axhline(y - 0.5, color="0.9", lw=0.5)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.axvline(0.5 if value == "auc" else 0, color="black", lw=0.8)
    ax.set(xlabel=heading)
    figure.legend(
        loc="outside lower center", ncols=min(4, len(datasets)) if series == "dataset" else 2, fontsize="small"
    )
    return figure


def bars(values: pd.Series, xlabel: str) -> Figure:
    """A bar a name, the first at the top."""
    figure, ax = plt.subplots(figsize=(WIDTH, 0.8 + 0.22 * len(values)))
    ax.barh(range(len(values)), values, color="C0")
    ax.set_yticks(range(len(values)), values.index)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=xlabel)
    return figure


def grouped_bars(frame: pd.DataFrame, x: str, y: str, series: str, ylabel: str) -> Figure:
    """Groups of bars, a group a value of ``x``, a bar in each for every value of ``series``."""
    figure, ax = plt.subplots(figsize=(WIDTH, 3.0))
    if not len(frame):
        return _empty(ax, ylabel=ylabel)
    sns.barplot(frame, x=x, y=y, hue=series, ax=ax)
    ax.set(xlabel="", ylabel=ylabel)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    ax.get_legend().remove()
    return figure


def save_table(frame: pd.DataFrame, show: pd.DataFrame, path) -> None:
    """Write ``path``.csv (``frame``, all digits), ``path``.md and ``path``.tex (``show``, for reading)."""
    frame.to_csv(f"{path}.csv", index=False, float_format="%.6f", lineterminator="\n")
    Path(f"{path}.md").write_text(markdown(show), encoding="utf-8")
    Path(f"{path}.tex").write_text(latex(show), encoding="utf-8")


def save(figure: Figure, path) -> None:
    """Write ``path``.png and ``path``.pdf, without a date."""
    figure.savefig(f"{path}.png", metadata={"Software": None})
    figure.savefig(f"{path}.pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})


def heatmap(frame: pd.DataFrame, label: str) -> Figure:
    """A matrix of values, each written in its cell; the cell of a NaN stays empty."""
    figure, ax = plt.subplots(figsize=(WIDTH, 0.8 + 0.32 * len(frame)))
    if frame.isna().all(axis=None):
        return _empty(ax)
    sns.heatmap(frame, annot=True, fmt=".3f", cmap="cividis", cbar_kws={"label": label}, ax=ax, linewidths=0.5)
    ax.set(xlabel="", ylabel="")
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
        ax.plot(x, y, color=f"C{i}", marker=MARKERS[i % len(MARKERS)], ms=4, lw=1.2, label=name)
    ax.set(xlabel="predicted P(like)", ylabel="share of likes", xlim=(0, 1), ylim=(0, 1))
    figure.legend(loc="outside lower center", ncols=1, fontsize="small")
    return figure


def with_intervals(table: pd.DataFrame, metrics: dict[str, str], label: str = "method") -> pd.DataFrame:
    """A results table for reading: ``value [low, high]`` in one column a metric, named by ``metrics``.

    Beside a calibration error stands what chance alone makes of it; of trained rows the spread of the AUC over seeds.
    """

    def cell(row, m) -> str:
        said = interval(row[m], row[f"{m}_low"], row[f"{m}_high"], "+" if m == "difference" else "")
        chance = m == "calibration_error" and "calibration_floor" in table
        return f"{said}, by chance {row['calibration_floor']:.3f}" if chance else said

    columns = {name: [cell(row, m) for _, row in table.iterrows()] for m, name in metrics.items()}
    counts = {name: [f"{n:,}" for n in table[of]] for name, of in (("samples", "n"), ("users", "users")) if of in table}
    if "auc_spread" in table:
        pairs = zip(table["auc_spread"], table["seeds"], strict=True)
        counts["AUC over seeds"] = ["–" if np.isnan(spread) else f"± {spread:.3f} ({n:.0f})" for spread, n in pairs]
    return pd.DataFrame({label: table[label].to_list()} | columns | counts)


def markdown(frame: pd.DataFrame) -> str:
    """A pipe table; cells as they are, the first column to the left, the others to the right."""
    align = ["left"] + ["right"] * (frame.shape[1] - 1)
    return frame.to_markdown(index=False, colalign=align, disable_numparse=True) + "\n"


def latex(frame: pd.DataFrame) -> str:
    """A booktabs ``tabular`` with all text escaped."""
    style = frame.style.format(escape="latex").format_index(escape="latex", axis="columns").hide(axis="index")
    return style.to_latex(hrules=True, column_format="l" + "r" * (frame.shape[1] - 1))
