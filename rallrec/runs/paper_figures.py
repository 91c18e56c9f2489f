"""Figures that show what the paper reports beside what was obtained here; in the style of `figures`.

What the paper reports is black, and dotted or hollow where it is of another data set than ours; what was obtained here
has colour and an interval.
"""

import textwrap

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..evaluation.metrics import IDENTICAL
from ..study.claims import CONTRADICTS, INCONCLUSIVE, REPLICATES, VOTE, counted
from ..study.paper import NAMES
from .figures import BAD, GOOD, MARKERS, OPEN, SERIES, WIDTH

COLORS = {REPLICATES: GOOD, INCONCLUSIVE: OPEN, CONTRADICTS: BAD, IDENTICAL: "0.8"}
TINTS = {REPLICATES: "#93d6c1", INCONCLUSIVE: "#ececec", CONTRADICTS: "#f2b386", IDENTICAL: "#ececec"}  # under a text
WITHOUT = (VOTE, "no LLM", "whoever reads")  # readers that are no LLM stand last
LINE, READ = 0.2, 0.13  # inches of a line of text, and of each reader's interval
LABELS, CELL = 3.5, 0.42  # inches of the row labels, and of a cell


def verdicts(table: pd.DataFrame) -> Figure:
    """The claims at a glance: a line a comparison, for each data set the paper's difference of AUC and every reader's.

    A cell's colour is the verdict. Intervals are in the table beside it: those of a small data set would fill the
    figure. Comparisons that are ours, not the paper's, are in italics.

    Args:
        table: of `study.claims.judge`, with the columns ``dataset`` and ``read_by`` (the name of an LLM, or ``vote``).
    """
    readers = sorted(dict.fromkeys(table["read_by"]), key=lambda name: name in WITHOUT)
    columns, at = {}, 0.0  # inches from the left of the cells
    for dataset, part in table.groupby("dataset", sort=False):
        there = set(part.loc[part["difference"].notna(), "read_by"])
        for name in ("paper", *(reader for reader in readers if reader in there)):
            columns[dataset, name] = at
            at += CELL
        at += 0.5 * CELL
    labels, rows, y = [], {}, 0.0
    for number, of in table.drop_duplicates(["number", "compared"]).groupby("number", sort=False):
        labels.append((y + LINE / 2, f"{number}. {of['claim'].iloc[0]}", "bold", "normal"))
        y += LINE
        for row in of.itertuples():
            rows[number, row.compared] = y
            labels.append((y + LINE / 2, row.compared, "normal", _style(row.of_paper)))
            y += LINE
        y += 0.06
    right = at - 0.3 * CELL
    figure, ax = plt.subplots(figsize=(LABELS + right, y + 1.25), layout="none")
    figure.subplots_adjust(LABELS / (LABELS + right), 0.45 / (y + 1.25), 0.997, 1 - 0.8 / (y + 1.25))
    ax.set(xlim=(0, right), ylim=(y, 0))
    ax.axis("off")
    for middle, text, weight, style in labels:
        x, side = (0.05 - LABELS, "left") if weight == "bold" else (-0.08, "right")  # headings have the whole line
        ax.text(x, middle, text, ha=side, va="center", fontsize=8, fontweight=weight, fontstyle=style)
    for row in table.drop_duplicates(["dataset", "number", "compared"]).itertuples():
        _cell(ax, columns[row.dataset, "paper"], rows[row.number, row.compared], row.paper, "white", False)
    for row in table.itertuples():
        top = rows[row.number, row.compared]
        if (row.dataset, row.read_by) in columns and not np.isnan(row.difference):
            decided = row.verdict in (REPLICATES, CONTRADICTS)
            _cell(ax, columns[row.dataset, row.read_by], top, row.difference, TINTS[row.verdict], decided)
    for dataset, part in table.groupby("dataset", sort=False):
        left, names = columns[dataset, "paper"], [name for of, name in columns if of == dataset]
        for name in names:
            short = name.replace("-", "\n", 1)
            ax.text(columns[dataset, name] + CELL / 2, -0.06, short, ha="center", va="bottom", fontsize=6.5)
        sizes, others = part.loc[part["read_by"] != VOTE, "n"], _stands_for(part)
        lines = [dataset + (f" ({sizes.max():,.0f})" if sizes.notna().any() else "")]
        lines += [f"paper: {NAMES[others]}"] if others else []
        middle = left + len(names) * CELL / 2
        ax.text(middle, -0.4, "\n".join(lines), ha="center", va="bottom", fontsize=7.5, fontweight="bold")
    told = {REPLICATES: REPLICATES, INCONCLUSIVE: INCONCLUSIVE, CONTRADICTS: CONTRADICTS}
    handles = [mpl.patches.Patch(color=TINTS[verdict], label=label) for verdict, label in told.items()]
    handles += [] if table["of_paper"].all() else [Line2D([], [], lw=0, label="italics: our comparison")]
    blank = " (blank: not measured)" if table["difference"].isna().any() else ""
    handles.append(
        Line2D([], [], lw=0, label=f"difference of AUC{blank}; in brackets the LLM's samples{_fewer(table)}")
    )
    figure.legend(handles=handles, loc="lower right", ncols=len(handles), fontsize=7.5, columnspacing=1, handlelength=1)
    return figure


def _fewer(table: pd.DataFrame) -> str:
    """Which claims an LLM was asked on fewer samples than others, and on how many at most: `` (claim 10: 500)``."""
    asked = table[(table["read_by"] != VOTE) & table["difference"].notna()]
    n = asked.groupby(["dataset", "number"])["n"].max()
    fewer = n[n < n.groupby(level=0).transform("max")]
    of = " and ".join(str(number) for number in sorted(set(fewer.index.get_level_values(1))))
    return f" (claim {of}: at most {fewer.max():,.0f})" if len(fewer) else ""


def _cell(ax: Axes, left: float, top: float, value: float, color: str, bold: bool) -> None:
    """A value in its cell; a dash where there is none."""
    ax.add_patch(mpl.patches.Rectangle((left + 0.01, top + 0.01), CELL - 0.02, LINE - 0.02, fc=color, lw=0))
    text = "–" if np.isnan(value) else f"{value:+.3f}".replace("0.", ".", 1).replace("-", "−")
    style = dict(fontsize=7.5, ha="center", va="center", fontweight="bold" if bold else "normal", color="black")
    ax.text(left + CELL / 2, top + LINE / 2, text, **style)


def claims(table: pd.DataFrame) -> Figure:
    """The claims on one data set: a row a comparison; the paper's difference across every reader's interval.

    Comparisons that are ours, not the paper's, are in italics.

    Args:
        table: of `study.claims.judge`, with the columns ``dataset`` and ``read_by`` (the name of an LLM, or ``vote``).
    """
    readers = sorted(dict.fromkeys(table["read_by"]), key=lambda name: name in WITHOUT)
    labels, spans, tops, y = [], {}, [], 0.0
    for number, of in table.drop_duplicates(["number", "compared"]).groupby("number", sort=False):
        tops.append(y)
        name = textwrap.fill(f"{number}. {of['claim'].iloc[0]}", 60)
        lines = 1 + name.count("\n")
        labels.append((y + lines * LINE / 2, name, "bold", "normal"))
        y += lines * LINE
        for row in of.itertuples():
            spans[number, row.compared] = y, y + max(LINE, READ * len(readers)) + 0.05
            labels.append((np.mean(spans[number, row.compared]), row.compared, "normal", _style(row.of_paper)))
            y = spans[number, row.compared][1]
    shown = table[["paper", "difference", "difference_low", "difference_high"]].to_numpy(float)
    least, most = (min(0, np.nanmin(shown)), max(0, np.nanmax(shown))) if not np.isnan(shown).all() else (-0.1, 0.1)
    figure, ax = plt.subplots(figsize=(WIDTH, y + 1.2))
    _claims_of(ax, table, readers, spans)
    ax.set_xlim(least - 0.04 * (most - least), most + 0.04 * (most - least))
    for top in tops[1:]:
        ax.axhline(top, color="0.85", lw=0.6)
    ax.set_ylim(y, 0)
    ax.set_yticks([at for at, *_ in labels], [text for _, text, *_ in labels], fontsize="small")
    for tick, (_, _, weight, style) in zip(ax.get_yticklabels(), labels, strict=True):
        tick.set(fontweight=weight, fontstyle=style)
    others = _stands_for(table)
    source = f"the paper, {NAMES[others]} (dotted)" if others else "the paper"
    handles = [Line2D([], [], color="black", marker="|", ms=11, mew=2, lw=0, label=source)]
    handles += [Line2D([], [], color="0.3", marker=m, ms=4, lw=1, label=name) for name, m in _markers(readers).items()]
    there = {verdict: color for verdict, color in COLORS.items() if (table["verdict"] == verdict).any()}
    handles += [mpl.patches.Patch(color=color, label=verdict) for verdict, color in there.items()]
    if not table["of_paper"].all():
        handles.append(Line2D([], [], lw=0, label="italics: our comparison"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize="small", columnspacing=1.2)
    return figure


def _style(of_paper: bool) -> str:
    return "normal" if of_paper else "italic"


def _markers(readers: list[str]) -> dict[str, str]:
    """A marker a reader; the vote's is a cross."""
    return {reader: "x" if reader == VOTE else MARKERS[i % len(MARKERS)] for i, reader in enumerate(readers)}


def _claims_of(ax: Axes, part: pd.DataFrame, readers: list[str], spans: dict) -> None:
    markers = _markers(readers)
    for row in part[part["difference"].notna()].itertuples():
        at = np.mean(spans[row.number, row.compared]) + READ * (readers.index(row.read_by) - (len(readers) - 1) / 2)
        spread = np.maximum([[row.difference - row.difference_low], [row.difference_high - row.difference]], 0)
        style = dict(color=COLORS[row.verdict], marker=markers[row.read_by], ms=3.6, capsize=1.5, lw=1.1, mew=1)
        ax.errorbar(row.difference, at, xerr=spread, **style)
    others = _stands_for(part)
    for row in part[part["paper"].notna()].drop_duplicates(["number", "compared"]).itertuples():
        top, bottom = spans[row.number, row.compared]
        style = dict(color="black", lw=2, ls=(0, (1, 0.8)) if others else "-", zorder=5)
        ax.plot([row.paper] * 2, [top + 0.04, bottom - 0.04], **style)
    of = textwrap.fill(counted(part), 56)
    ax.set_title(f"{_heading(part['dataset'].iloc[0], others).rstrip()}\n{of}", fontsize="small", loc="center")
    ax.axvline(0, color="0.4", lw=0.8)
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(6))
    ax.set_xlabel("difference of AUC", fontsize="small")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def beside(table: pd.DataFrame, heading: str = "AUC") -> Figure:
    """A table of the paper beside ours: a row a row, a panel a data set, each with a scale of its own.

    Args:
        table: of `study.paper.beside`, one metric of it, with the columns ``dataset`` and ``read_by`` (a name, the same
            throughout where nothing is compared by reader). ``rella``, if it is there, is shown, too.
    """
    datasets = list(dict.fromkeys(table["dataset"]))
    readers = sorted(dict.fromkeys(table["read_by"][table["ours"].notna()]), key=lambda name: name in WITHOUT)
    rows, markers = list(dict.fromkeys(table["row"])), _markers(readers)
    of_row = {row: [r for r in readers if r in set(of["read_by"])] for row, of in table.groupby("row")}
    size = WIDTH, 1.2 + max(LINE, READ * len(readers) + 0.05) * len(rows)
    figure, axes = plt.subplots(1, len(datasets), figsize=size, sharey=True, squeeze=False)
    for ax, dataset in zip(axes[0], datasets, strict=True):
        part = table[table["dataset"] == dataset]
        for i, reader in enumerate(readers):
            of = part[(part["read_by"] == reader) & part["ours"].notna()]
            n = [len(of_row[row]) for row in of["row"]]
            shift = [(of_row[row].index(reader) + 0.5) / k - 0.5 for row, k in zip(of["row"], n, strict=True)]
            at = [rows.index(row) + 0.8 * by * k / len(readers) for row, by, k in zip(of["row"], shift, n, strict=True)]
            spread = np.maximum([of["ours"] - of["ours_low"], of["ours_high"] - of["ours"]], 0)
            ax.errorbar(of["ours"], at, xerr=spread, color=SERIES[i], marker=markers[reader], **DOT)
        once, others = part.drop_duplicates("row"), _stands_for(part)
        at = [rows.index(row) for row in once["row"]]
        ax.plot(once["paper"], at, mfc="none" if others else "black", **DIAMOND)
        if "rella" in once:
            ax.plot(once["rella"], at, **OTHER_PAPER)
        ax.set_title(_heading(dataset, others), fontsize="small", loc="center")
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
        ax.set_xlabel(heading, fontsize="small")
        ax.grid(axis="y", visible=False)
        for y in range(1, len(rows)):
            ax.axhline(y - 0.5, color="0.9", lw=0.5)
    axes[0][0].set_yticks(range(len(rows)), rows, fontsize="small")
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    parts = [part for _, part in table.groupby("dataset", sort=False)]
    handles = [Line2D([], [], label="the paper", **DIAMOND)] if not all(map(_stands_for, parts)) else []
    for others in dict.fromkeys(filter(None, map(_stands_for, parts))):
        handles.append(Line2D([], [], label=f"the paper, {NAMES[others]}", mfc="none", **DIAMOND))
    handles += [Line2D([], [], label="ReLLa's paper", **OTHER_PAPER)] if "rella" in table else []
    handles += [Line2D([], [], color=SERIES[i], marker=markers[r], ms=4, lw=1, label=r) for i, r in enumerate(readers)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize="small")
    return figure


PAPERS_K = 30
BESIDE = 0.3  # items between lines that stand beside each other, so that each interval can be read
DOT = dict(ms=4, lw=0, elinewidth=1.1, capsize=1.5)
DIAMOND = dict(color="black", marker="d", ms=5, lw=0, mew=0.9, zorder=5)
OTHER_PAPER = dict(color="0.5", marker="+", ms=6, lw=0, mew=1.2, zorder=4)


def _stands_for(part: pd.DataFrame) -> str:
    """The data set whose values of the paper stand beside those of another; empty where it is the same one.

    Args:
        part: of one ``dataset``, whose name may go on after a ``+``.
    """
    own = part["dataset"].iloc[0].split("+")[0].strip()
    return "".join(set(part["reported_on"]) - {"", own})


def _heading(dataset: str, stands_for: str) -> str:
    return dataset + (f"\npaper: {NAMES[stands_for]}" if stands_for else "\n")


def _two_panels(table: pd.DataFrame, dataset: str) -> tuple[Figure, dict[str, Axes]]:
    """``paper`` to the left, where it has values, and ``ours``, under headings that say of what they are."""
    names = [name for name in ("paper", "ours") if name == "ours" or table["paper"].notna().any()]
    figure, axes = plt.subplots(1, len(names), figsize=(WIDTH, 3.4), squeeze=False)
    panels = dict(zip(names, axes[0], strict=True))
    others, sizes = _stands_for(table.assign(dataset=dataset)), table["n"].dropna()
    if "paper" in panels:
        panels["paper"].set_title(f"the paper, {NAMES[others]}" if others else "the paper", fontsize="small")
    here = "here" if "paper" in panels else "here (not in the paper)"
    here += f", {sizes.max():,} samples" if len(sizes) else ""
    panels["ours"].set_title(here + "; another scale" * ("paper" in panels), fontsize="small")
    return figure, panels


def over_k(figure_3: pd.DataFrame, dataset: str, k: int | None = None) -> Figure:
    """AUC over K, a line a method: the paper's to the left, ours to the right, intervals as bars side by side.

    Args:
        figure_3: of `study.paper.over_k`. k: the K of the other results here.
    """
    figure, panels = _two_panels(figure_3, dataset)
    right, lines = panels["ours"], figure_3["line"].nunique()
    for i, (line, of) in enumerate(figure_3.groupby("line", sort=False)):
        style = dict(color=SERIES[i], marker=MARKERS[i], ms=4, lw=1.3, label=line)
        if "paper" in panels:
            panels["paper"].plot(of["k"], of["paper"], **style)
        beside = of["k"] + (i - (lines - 1) / 2) * BESIDE
        right.plot(beside, of["ours"], **style)
        right.vlines(beside, of["ours_low"], of["ours_high"], color=SERIES[i], lw=0.9, alpha=0.6)
    for ax in panels.values():
        ax.axvline(PAPERS_K, color="black", lw=0.9, ls=":", label=f"the paper's K = {PAPERS_K}")
    if k is not None:
        right.axvline(k, color="black", lw=0.9, ls="--", label=f"K = {k} here")
    for ax in panels.values():
        ax.set_xticks(sorted(figure_3["k"].unique()))
        ax.set(xlabel="K: history items shown", ylabel="AUC")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize="small")
    return figure


def tunings(figure_4: pd.DataFrame, dataset: str) -> Figure:
    """AUC of each way of inference, a line a tuning: the paper's to the left, ours with its intervals to the right.

    Args:
        figure_4: of `study.paper.beside`, its AUC; the rows are ``tuning / inference``.
    """
    parts = figure_4["row"].str.split(" / ", n=1, expand=True)
    table = figure_4.assign(tuning=parts[0], inference=parts[1])
    figure, panels = _two_panels(table, dataset)
    ways = list(dict.fromkeys(table["inference"]))
    for i, (tuning, of) in enumerate(table.groupby("tuning", sort=False)):
        style = dict(color=SERIES[i], marker=MARKERS[i], ms=5, label=tuning)
        at = np.array([ways.index(way) for way in of["inference"]]) + 0.16 * (i - 0.5)
        if "paper" in panels:
            panels["paper"].plot(at, of["paper"], lw=0, **style)
        spread = np.maximum([of["ours"] - of["ours_low"], of["ours_high"] - of["ours"]], 0)
        panels["ours"].errorbar(at, of["ours"], yerr=spread, lw=0, elinewidth=1.1, capsize=2, **style)
    for ax in panels.values():
        ax.set_xticks(range(len(ways)), ways)
        ax.set_xlim(-0.5, len(ways) - 0.5)
        ax.set(ylabel="AUC")
        ax.grid(axis="x", visible=False)
    handles = next(iter(panels.values())).get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, fontsize="small")
    return figure


def by_reader(table: pd.DataFrame) -> Figure:
    """AUC by the LLM that reads, a panel a data set, a line a method; the paper's LLM stands apart, hollow.

    Args:
        table: columns ``dataset``, ``row``, ``read_by``, ``of_paper``, ``auc``, ``auc_low``, ``auc_high``,
            ``reported_on``; readers in the order in which they shall stand.
    """
    datasets, rows = list(dict.fromkeys(table["dataset"])), list(dict.fromkeys(table["row"]))
    readers = list(dict.fromkeys(table["read_by"]))
    figure, axes = plt.subplots(1, len(datasets), figsize=(WIDTH, 3.6), squeeze=False)
    for ax, dataset in zip(axes[0], datasets, strict=True):
        part = table[table["dataset"] == dataset]
        for i, row in enumerate(rows):
            of = part[part["row"] == row]
            at = pd.Series([readers.index(r) + 0.12 * (i - (len(rows) - 1) / 2) for r in of["read_by"]], of.index)
            mine, style = ~of["of_paper"], dict(color=SERIES[i], marker=MARKERS[i], ms=4)
            spread = np.maximum([of["auc"] - of["auc_low"], of["auc_high"] - of["auc"]], 0)[:, mine]
            ax.errorbar(at[mine], of["auc"][mine], yerr=spread, elinewidth=1, capsize=1.5, lw=1, label=row, **style)
            ax.plot(at[~mine], of["auc"][~mine], mfc="white", lw=0, mew=1.2, **style)
        ax.set_title(_heading(dataset, _stands_for(part)), fontsize="small", loc="center")
        theirs = table.groupby("read_by")["of_paper"].all()
        ax.set_xticks(range(len(readers)), [f"{r}{chr(10)}(the paper's)" if theirs[r] else r for r in readers])
        ax.tick_params(axis="x", labelsize="x-small", rotation=30)
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
        if theirs.any():
            ax.axvspan(readers.index(theirs.idxmax()) - 0.5, len(readers) - 0.5, color="0.93", zorder=0)
        ax.set_xlim(-0.5, len(readers) - 0.5)
        ax.grid(axis="x", visible=False)
    axes[0][0].set_ylabel("AUC")
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(rows), fontsize="small"
    )
    return figure
