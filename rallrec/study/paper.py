"""What the papers report, and tables that show it beside what was obtained here.

``numbers.csv`` holds every value of RALLRec's tables and figures, RALLRec+'s and ReLLa's; ``numbers.bib`` their
citations. No value of a paper is written anywhere else.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..evaluation.metrics import interval
from ..infra.errors import InputError, one_of
from ..infra.noted import noted

NUMBERS = Path(__file__).with_name("numbers.csv")
PAPER, PLUS, RELLA = "RALLRec", "RALLRec+", "ReLLa"
METRICS = {"auc": "AUC", "log_loss": "log loss", "accuracy": "accuracy"}
NAMES = {"bookcrossing": "BookCrossing", "ml-1m": "MovieLens-1M", "amazon-movies": "Amazon movies"}  # RALLRec's data
STANDS_FOR = {"ml-100k": "ml-1m"}  # a data set that the papers do not have: whose values are shown beside it, marked

# rows that ReLLa reports, too, by RALLRec's names and, of what is not in RALLRec's tables, by ours
IN_RELLA = {
    "DeepFM": "DeepFM (full)",
    "DCNv2": "DCNv2 (full)",
    "AutoInt": "AutoInt (full)",
    "DIN": "DIN (full)",
    "SIM": "SIM (full)",
    "ReLLa": "ReLLa (<1%)",  # RALLRec is tuned on about as many samples
}


@cache
def _numbers() -> pd.DataFrame:
    raw = pd.read_csv(noted(NUMBERS))
    table = raw["table"].str.split(", ", n=1, expand=True)
    names, about = table[0].str.replace(r" \(.*\)$", "", regex=True), table[1].fillna("")
    row = raw["row"].str.replace(r"^Ours\b", PAPER, regex=True).replace("Llama3.1 (zero-shot)", "untuned LLM")
    return pd.DataFrame(
        dict(
            paper=raw.paper, table=names, about=about, row=row, dataset=raw.dataset, metric=raw.metric, value=raw.value
        )
    )


def numbers() -> pd.DataFrame:
    """Every reported value, a line each.

    Returns:
        Columns ``paper`` (``RALLRec``, ``RALLRec+``, ``ReLLa``), ``table`` (``table 1``, ``figure 3`` …), ``about``
        (what the table is of), ``row`` (the paper's name of it; its *Ours* is ``RALLRec`` here, *Llama3.1 (zero-shot)*
        ``untuned LLM``), ``dataset`` (this package's name), ``metric`` (``auc``, ``log_loss`` in nats, ``accuracy`` at
        0.5), ``value``.

    Example:
        >>> from rallrec.study import paper
        >>> paper.numbers().query("table == 'table 1' and row == 'RALLRec' and metric == 'auc'").value.tolist()
        [0.7151, 0.7772, 0.8463]
    """
    return _numbers().copy()


def value(table: str, row: str, dataset: str, metric: str = "auc", paper: str = PAPER) -> float:
    """One reported value.

    Raises:
        InputError: the paper has no such table, row, data set or metric; names those that it has.

    Example:
        >>> from rallrec.study import paper
        >>> paper.value("table 1", "DeepFM", "ml-1m")
        0.7184
    """
    found = _numbers()
    for what, name in dict(paper=paper, table=table, row=row, dataset=dataset, metric=metric).items():
        of = "" if what == "paper" else f" of {paper}" if what == "table" else f" of {paper}, {table}"
        one_of(f"{what}{of}", name, found[what].unique())
        found = found[found[what] == name]
    return float(found["value"].iloc[0])


def rows_of(table: str, paper: str = PAPER) -> list[str]:
    """The rows of a paper's table, in its order.

    Raises:
        InputError: the paper has no such table.
    """
    found = _numbers().query("paper == @paper")
    one_of(f"table of {paper}", table, found["table"].unique())
    return found.loc[found["table"] == table, "row"].unique().tolist()


@cache
def reported_on(dataset: str, table: str, paper: str = PAPER) -> str:
    """The data set whose values of a table are shown beside ours: itself, `STANDS_FOR`, or none (an empty name)."""
    has = _numbers().query("paper == @paper and table == @table")["dataset"].unique()
    return next((name for name in (dataset, STANDS_FOR.get(dataset)) if name in has), "")


@cache
def reported(table: str, row: str, dataset: str, metric: str = "auc", paper: str = PAPER) -> float:
    """`value` of `reported_on`; NaN where the paper has no such data set, row or metric."""
    here = dict(paper=paper, table=table, row=row, dataset=reported_on(dataset, table, paper), metric=metric)
    found = _numbers()
    found = found[np.logical_and.reduce([found[name] == wanted for name, wanted in here.items()])]
    return float(found["value"].iloc[0]) if len(found) else np.nan


def beside(
    table: str, dataset: str, ours: pd.DataFrame, rows: dict[str, str] | None = None, paper: str = PAPER
) -> pd.DataFrame:
    """A paper's table with the values obtained here.

    Args:
        table: the paper's, such as ``table 1``. dataset: ours; beside one that the paper does not have stand the values
            of another (`STANDS_FOR`).
        ours: as `metrics.results_table` gives it: ``method``, each metric with ``_low`` and ``_high``, ``n``.
        rows: {the paper's row: our row's ``method``}; by default they have the same names. Our other rows follow,
            without a value of the paper.

    Returns:
        A line a row and metric: ``row``, ``metric``, ``paper`` (the value reported), ``reported_on`` (the data set that
        it was reported on; empty where none was), ``ours``, ``ours_low``, ``ours_high``, ``difference`` (ours minus the
        paper's), ``n``. NaN where one side has no value.

    Raises:
        InputError: the paper has no such table or row, or one of our rows stands there twice.
    """
    known = rows_of(table, paper)
    rows = {row: row for row in known} if rows is None else rows
    for row in rows:
        one_of(f"row of {paper}, {table}", row, known)
    if ours["method"].duplicated().any():
        raise InputError(f"{table}: row {ours['method'][ours['method'].duplicated()].iloc[0]!r} stands there twice")
    mine = ours.set_index("method")
    others = {label: label for label in mine.index if label not in rows.values()}
    said = _numbers().query("paper == @paper and table == @table")["metric"].unique()
    lines = []
    for row, label in [*((row, rows[row]) for row in known if row in rows), *others.items()]:
        got = mine.loc[label] if label in mine.index else {}
        for metric in (m for m in METRICS if m in said):
            theirs = reported(table, row, dataset, metric, paper) if row in rows else np.nan
            here = {f"ours{end}": got.get(f"{metric}{end}", np.nan) for end in ("", "_low", "_high")}
            source = "" if np.isnan(theirs) else reported_on(dataset, table, paper)
            lines.append(
                dict(row=row, metric=metric, paper=theirs, reported_on=source, **here)
                | dict(difference=here["ours"] - theirs, n=got.get("n", np.nan))
            )
    return pd.DataFrame(lines).astype({"n": "Int64"})


def with_rella(table_1: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Table 1 with the column ``rella``: what the ReLLa paper reports under the same name, NaN where it does not.

    Its recommenders are trained on all samples, as RALLRec's are; ReLLa itself on fewer than 1 % of them. SIM, which
    neither RALLRec nor this study has, is added as a row.
    """
    missing = [row for row in IN_RELLA if row not in set(table_1["row"])]
    if missing and reported_on(dataset, "table 2", RELLA):
        lines = [dict(row=row, metric=metric, reported_on="") for row in missing for metric in METRICS]
        table_1 = pd.DataFrame([*table_1.to_dict("records"), *lines]).astype({"n": "Int64"})
    of = zip(table_1["row"], table_1["metric"], strict=True)
    return table_1.assign(rella=[reported("table 2", IN_RELLA.get(row, ""), dataset, m, RELLA) for row, m in of])


def over_k(figure_3: pd.DataFrame) -> pd.DataFrame:
    """Figure 3 as `beside` gives it, with its rows ``RALLRec, K=5`` taken apart into ``line`` and ``k``."""
    parts = figure_3["row"].str.extract(r"^(?P<line>.*), K=(?P<k>\d+)$")
    return pd.concat([parts.astype({"k": int}), figure_3.drop(columns=["row", "metric"])], axis=1)


def on_lines(figure_3: pd.DataFrame, dataset: str) -> str:
    """What stands in a cell of `lines_for_reading`."""
    return f"AUC: the paper's{elsewhere(figure_3, dataset)}, then ours with its 95 % interval."


def lines_for_reading(figure_3: pd.DataFrame) -> pd.DataFrame:
    """Figure 3 for reading: a line a method, a column a K; in a cell the paper's AUC, and ours with its interval."""

    def cell(row) -> str:
        ours = interval(row.ours, row.ours_low, row.ours_high)
        return ours if np.isnan(row.paper) else f"{row.paper:.4f} / {ours}"

    cells = figure_3.assign(cell=[cell(row) for row in figure_3.itertuples()], K=[f"K = {k}" for k in figure_3["k"]])
    wide = cells.pivot_table(index="line", columns="K", values="cell", aggfunc="first", sort=False)
    return wide.rename_axis(None, axis=1).rename_axis("method").reset_index()


def for_reading(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """A table of `beside` for reading: a line a row; for each metric the paper's value and ours.

    Of the AUC our interval and the difference to the paper's stand there, too; of the others they are in the table
    itself, or the line would not fit a page. Where the paper's values are of another data set than ``dataset``, the
    heading names it. Columns that name a row beside ``row``, such as ``reader``, are kept. Of ReLLa's paper the AUC is
    shown. Numbers of samples stand there where they differ. Where a paper has no values there is no column of it.
    """
    named = [name for name in ("row", "reader") if name in table]
    parts = {
        name: table[table["metric"] == metric] for metric, name in METRICS.items() if metric in set(table["metric"])
    }
    first = next(iter(parts.values()))
    shown = first[named].reset_index(drop=True)
    for name, part in parts.items():
        whole, has = name == METRICS["auc"], part["paper"].notna().any()
        if has:
            heading = f"{name}: paper{elsewhere(table, dataset) if whole else ''}"
            shown[heading] = [_plain(x, ".4f") for x in part["paper"]]
        if whole and "rella" in part and part["rella"].notna().any():
            source = reported_on(dataset, "table 2", RELLA)
            of = f" ({NAMES[source]})" if source != dataset else ""
            shown[f"{name}: ReLLa's paper{of}"] = [_plain(x, ".4f") for x in part["rella"]]
        got = zip(part["ours"], part["ours_low"], part["ours_high"], strict=True)
        shown[f"{name}: here"] = [interval(*of) if whole else _plain(of[0], ".3f") for of in got]
        if whole and has:
            shown["AUC: here minus paper"] = [_plain(x, "+.3f") for x in part["difference"]]
    if len(set(first["n"].dropna())) > 1:
        shown["samples"] = ["–" if pd.isna(n) else f"{n:,}" for n in first["n"]]
    return shown


def elsewhere(table: pd.DataFrame, dataset: str) -> str:
    """`` (MovieLens-1M)`` where the paper's values in a table are of another data set than ours, else nothing."""
    others = [name for name in table["reported_on"].unique() if name not in ("", dataset)]
    return f" ({NAMES[others[0]]})" if others else ""


def _plain(number: float, written: str) -> str:
    return "–" if np.isnan(number) else f"{number:{written}}"
