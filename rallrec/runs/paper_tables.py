"""The paper's tables across data sets and readers, beside what was obtained here."""

import numpy as np
import pandas as pd

from ..evaluation.metrics import interval
from ..study import paper
from ..study.deviations import size_of
from .side_by_side import by_reader, labelled, sizes

PAPERS_LLM = "Llama-3.1-8B"
# rows of table 1 that show what the reader is worth: how they are called, and where the paper has them
BY_READER = {
    "untuned LLM": ("untuned", ("table 1", "untuned LLM")),
    "LLM, last K": ("last K", ("figure 4", "RAG-enhanced tuning / Recent")),  # on MovieLens-1M only
    "ReLLa": ("text retrieval (ReLLa)", ("table 1", "ReLLa")),
    "RALLRec": ("RALLRec", ("table 1", "RALLRec")),
}


def own_name(dataset: str) -> str:
    """The data set's own name: ``ml-1m`` of the place ``ml-1m+full``."""
    return dataset.split("+")[0]


def auc_of(table: pd.DataFrame) -> pd.DataFrame:
    """The AUC of a table of `paper.beside`, rows that do not hang on the reader once."""
    keys = [name for name in ("row", "reader") if name in table]
    return by_reader(table[table["metric"] == "auc"], keys, ("ours", "ours_low", "ours_high", "n"))


def for_reading(long: pd.DataFrame) -> pd.DataFrame:
    """A line a row, two columns a data set, the paper's AUC and ours; in table 1 ReLLa's, too, on its own data sets."""
    kind = [f", {reader}" for reader in long["reader"]] if "reader" in long else [""] * len(long)
    names = [labelled(row + of, reader) for row, of, reader in zip(long["row"], kind, long["read_by"], strict=True)]
    table, wide = long.assign(label=names), {}
    for dataset, of in table.groupby("dataset", sort=False):
        cells = of.set_index("label")
        wide[f"{dataset}: paper{paper.elsewhere(of, own_name(dataset))}"] = cells["paper"].map(_four)
        if "rella" in of and own_name(dataset) in paper.NAMES and of["rella"].notna().any():
            wide[f"{dataset}: ReLLa's paper"] = cells["rella"].map(_four)
        got = zip(cells["ours"], cells["ours_low"], cells["ours_high"], strict=True)
        wide[f"{dataset}: here{_sizes(of)}"] = pd.Series([interval(*each) for each in got], cells.index)
    order = list(dict.fromkeys(names))
    return pd.DataFrame(wide).reindex(order).fillna("–").rename_axis("row").reset_index()


def _sizes(table: pd.DataFrame) -> str:
    """Numbers of samples, for a heading: `` (2,000)``, or `` (LLM 2,000, vote 9,529)``; else nothing."""
    of = sizes(table["n"], table["reader"] if "reader" in table else pd.Series("", table.index))
    return f" ({', '.join(of)})" if of else ""


def _four(auc: float) -> str:
    return "–" if np.isnan(auc) else f"{auc:.4f}"


def readers_of(table_1: pd.DataFrame) -> pd.DataFrame:
    """AUC of `BY_READER` by the LLM that reads, smallest first, and the paper's LLM as the paper reports it.

    Returns:
        Columns ``dataset``, ``row``, ``read_by``, ``parameters`` (as the name says), ``of_paper``, ``auc`` with
        ``_low`` and ``_high``, ``n``, ``reported_on``.
    """
    ours = table_1[(table_1["metric"] == "auc") & table_1["row"].isin(list(BY_READER)) & table_1["ours"].notna()]
    lines = []
    for got in ours.itertuples():
        here = dict(dataset=got.dataset, row=BY_READER[got.row][0], read_by=got.read_by, of_paper=False)
        lines.append(here | dict(auc=got.ours, auc_low=got.ours_low, auc_high=got.ours_high, n=got.n, reported_on=""))
    for dataset in dict.fromkeys(table_1["dataset"]):
        for row, (table, name) in BY_READER.values():
            theirs, source = paper.reported(table, name, own_name(dataset)), paper.reported_on(own_name(dataset), table)
            if not np.isnan(theirs):
                said_there = dict(dataset=dataset, row=row, read_by=PAPERS_LLM, of_paper=True, auc=theirs)
                lines.append(said_there | dict(auc_low=np.nan, auc_high=np.nan, n=np.nan, reported_on=source))
    found = pd.DataFrame(lines)
    found["parameters"] = found["read_by"].map(size_of)
    order = {name: i for i, name in enumerate(dict.fromkeys(found["dataset"]))}
    rows = {row: i for i, (row, _) in enumerate(BY_READER.values())}
    keys = dict(a=found["of_paper"], b=found["parameters"], c=found["dataset"].map(order), d=found["row"].map(rows))
    return found.assign(**keys).sort_values(list("abcd"), kind="stable", ignore_index=True).drop(columns=list("abcd"))


def readers_for_reading(readers: pd.DataFrame) -> pd.DataFrame:
    """A line a row and reader, a column a data set."""
    cells = [interval(r.auc, r.auc_low, r.auc_high) if not r.of_paper else _four(r.auc) for r in readers.itertuples()]
    names = [f"{r.read_by} (the paper's)" if r.of_paper else r.read_by for r in readers.itertuples()]
    table = readers.assign(cell=cells, **{"read by": names})
    wide = table.pivot_table(index=["row", "read by"], columns="dataset", values="cell", aggfunc="first", sort=False)
    wide = wide[list(dict.fromkeys(readers["dataset"]))].fillna("–")
    return wide.sort_index(level=0, sort_remaining=False, kind="stable").rename_axis(None, axis=1).reset_index()


def deviations(long: pd.DataFrame) -> pd.DataFrame:
    """The deviations of all places: a cell that is not the same everywhere says of what each of its values is."""
    columns = ["paper", "released code", "here"]
    lines = []
    for what, of in long.groupby("what", sort=False):
        line = {"what": what}
        for name in columns:
            values = of.groupby(name, sort=False)["place"].agg(list)
            line[name] = (
                values.index[0] if len(values) == 1 else "; ".join(f"{', '.join(p)}: {v}" for v, p in values.items())
            )
        lines.append(line)
    return pd.DataFrame(lines)
