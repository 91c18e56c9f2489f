"""The overview's part on the paper: its claims and its tables, across data sets and readers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..evaluation.metrics import IDENTICAL, interval, verdict
from ..study import paper
from ..study.admissions import admissions
from ..study.claims import CONTRADICTS, INCONCLUSIVE, NOT_MEASURED, REPLICATES, VOTE
from ..study.experiments import TABLE_4
from . import figures, findings, paper_figures
from .paper_tables import auc_of, deviations, for_reading, own_name, readers_for_reading, readers_of
from .side_by_side import by_reader, in_lines, read, said, save

CLAIMS, DEVIATIONS, MAIN, COMPARISONS = "05_paper_claims", "05_deviations", "05_main", "05_claims"
TABLES = {"table1": "05_table1", "table3": "05_table3", "table4": "06_table4", "table5": "05_table5_paper"}
# one thing changed, and who reads
CHANGES = {"06_parts_vote": "vote", "06_trained": "vote", "06_parts_llm": "LLM", "06_order": "LLM"}
JUDGED = ("method", "difference", "difference_low", "difference_high", "adjusted_p", "n")  # what `_changes` needs
LEAST = 30  # samples that a figure needs
SAME = {"table5": "whoever reads"}  # whose rows are when no LLM is named; of the others those without an LLM
# rows of the main table that show what an LLM, and a recommender's parts, are worth
SIMPLE = (
    "LLM, untuned",
    "LLM, last K",
    "LLM, text retrieval (ReLLa)",
    "LLM + LightGBM, RALLRec",
    "LightGBM, RALLRec",
    "item mean + vote, RALLRec",
    "vote, RALLRec",
    "DeepFM",
    "DIN",
)
VERDICTS = (REPLICATES, INCONCLUSIVE, CONTRADICTS, IDENTICAL)
MOVES = {1: "raises the AUC", 0: "inconclusive", -1: "lowers the AUC"}


def read_all(places: Sequence[str]) -> dict[str, pd.DataFrame]:
    """All tables that `write` needs, of all places, by the names of their files.

    Raises:
        InputError: a place lacks one of them.
    """
    of_paper = (CLAIMS, *TABLES.values(), DEVIATIONS, *CHANGES)
    tables = {source: read(places, source) for source in (*of_paper, MAIN, COMPARISONS)}
    for source in CHANGES:
        tables[source] = _comparable(tables[source])
    for table in tables.values():
        for name in {"reported_on", "note"} & set(table):
            table[name] = table[name].astype(object).fillna("")  # a column without a text is read as numbers
    tables[CLAIMS] = _claims(tables[CLAIMS], findings.against(tables[MAIN], tables[COMPARISONS], tables[CLAIMS]))
    return tables


def _comparable(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that change one thing, of places whose table says how a row differs (earlier versions: the AUC alone).

    Table 4's rows are not reranked, so two things differ from the method: claims 4 to 6 compare them with each other.
    """
    if not set(JUDGED) <= set(table):
        return table.iloc[:0]
    table = table.dropna(subset="method")
    return table[~table["method"].isin(list(TABLE_4))]


def _claims(long: pd.DataFrame, against: pd.Series) -> pd.DataFrame:
    """The claims with the reader of each row, and whom claim 1 compares with (``against``, else empty).

    The vote, which has no LLM, stands once a data set.
    """
    first = long["compared"] == findings.ID_BASED_CLAIM
    long = long.assign(read_by=long["read_by"].mask(long["reader"] == VOTE, VOTE))
    long["against"] = long["place"].map(against).where(first).astype(object).fillna("")
    return long.drop_duplicates(["dataset", "number", "compared", "read_by"], ignore_index=True)


def write(tables: dict[str, pd.DataFrame], comparisons: pd.DataFrame, folder: Path) -> None:
    """Write all that the overview says of the paper.

    ``findings``, five of them; ``claims`` (table, figure), ``claims_short`` (ten rows of it), ``verdicts`` (the same
    without values), ``claims_in_words``, ``depends_on_reader``; each of `TABLES` (table, figure of AUC); ``by_reader``
    (table, figure); ``deviations``; ``admissions``; ``all_findings``, what is the same on all data sets.

    Args:
        tables: of `read_all`. comparisons: our own, as `overview.across` gives them.
    """
    claims = tables[CLAIMS]
    figures.save_table(claims, claims_for_reading(claims), folder / "claims")
    figures.save_table(claims, verdicts(claims), folder / "verdicts")
    save(paper_figures.verdicts(in_lines(claims)), folder / "claims", 0)
    _simple(tables[MAIN], folder / "main")
    for name, source in TABLES.items():
        long = auc_of(tables[source])
        figures.save_table(long, for_reading(long), folder / name)
        unnamed = SAME.get(name, "no LLM") if long["read_by"].any() else "here"
        drawn = long.assign(read_by=long["read_by"].replace("", unnamed))
        if "reader" in long:
            drawn["read_by"] = drawn["read_by"].mask(drawn["reader"] == VOTE, VOTE)
        if drawn["n"].max() < LEAST:  # an AUC of four samples is 0, 1 or nothing
            for left in (folder / f"{name}.png", folder / f"{name}.pdf"):
                left.unlink(missing_ok=True)
            continue
        save(paper_figures.beside(in_lines(drawn)), folder / name, 0)
    readers = readers_of(tables[TABLES["table1"]])
    figures.save_table(readers, readers_for_reading(readers), folder / "by_reader")
    save(paper_figures.by_reader(in_lines(readers)), folder / "by_reader", 0)
    apart = deviations(tables[DEVIATIONS])
    figures.save_table(apart, apart, folder / "deviations")
    changes = [_changes(tables[source], who) for source, who in CHANGES.items() if len(tables[source])]
    changes = pd.concat(changes, ignore_index=True)
    for name, lines in {
        "claims_in_words": in_words(claims),
        "depends_on_reader": depends_on_reader(claims),
        "changes_in_words": changes_in_words(changes),
        "admissions": admissions(),
    }.items():
        _write(folder, name, "".join(f"- {line}\n" for line in lines))
    five = findings.five(claims, tables[MAIN], comparisons)
    _write(folder, "findings", "".join(f"{number}. {line}\n" for number, line in enumerate(five, 1)))
    _write(folder, "all_findings", same_everywhere(claims, comparisons, changes))
    short, notes = findings.short(claims)
    _write(folder, "claims_short", figures.markdown(short) + f"\n{' '.join(notes)}\n" * bool(notes))


def _write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.md").write_text(text, encoding="utf-8")


def _simple(main: pd.DataFrame, path: Path) -> None:
    """The main table's point as a figure: what simpler readers lose or gain against the LLM with RALLRec's items."""
    rows = main[main["method"].isin(SIMPLE) & main["difference"].notna()]
    rows = rows.assign(reader=rows["read_by"]).pipe(in_lines)
    rows = rows.sort_values("method", key=lambda of: of.map(SIMPLE.index), kind="stable")
    order = {name: at for at, name in enumerate(dict.fromkeys(main.pipe(in_lines)["dataset"]))}
    rows = rows.sort_values("dataset", key=lambda of: of.map(order), kind="stable")
    sizes = rows.groupby("dataset", sort=False)["n"].max()
    figure = figures.by_panel(
        rows,
        "method",
        "difference",
        "AUC minus that of the LLM with RALLRec's items, the same samples",
        series="reader",
        names={name: f"{name} ({n:,.0f})" for name, n in sizes.items()},
    )
    save(figure, path, 0)


# --- claims --------------------------------------------------------------------------------------


def _readers(claims: pd.DataFrame) -> list[str]:
    """Who reads, the vote last."""
    return sorted(dict.fromkeys(claims["read_by"]), key=lambda name: name == VOTE)


def _whose(row: pd.Series) -> str:
    return row["compared"] + ("" if row["of_paper"] else " (ours)")


def claims_for_reading(claims: pd.DataFrame) -> pd.DataFrame:
    """A group of lines a comparison: the paper's difference, then each reader's and its verdict; a column a data set.

    An asterisk: the paper's difference lies outside our interval. In claim 1 the ID-based model is in brackets.
    """
    datasets, lines = list(dict.fromkeys(claims["dataset"])), []
    for (number, _), rows in claims.groupby(["number", "compared"], sort=False):
        first = rows.iloc[0]
        one = rows.drop_duplicates("dataset").set_index("dataset")["paper"]
        cells = {d: _signed(one.get(d, np.nan)) for d in datasets}
        head = {"claim": f"{number}. {first.claim}", "compared": _whose(first), "what differs": first.changes}
        lines.append(head | {"read by": "the paper"} | cells)
        for reader in _readers(rows):
            found = rows[rows["read_by"] == reader].set_index("dataset")
            cells = {d: _judged(found.loc[d]) if d in found.index else "–" for d in datasets}
            if set(cells.values()) != {"–"}:
                lines.append(dict.fromkeys(head, "") | {"read by": reader} | cells)
    wide = pd.DataFrame(lines)
    return wide.rename(columns={d: d + paper.elsewhere(claims[claims["dataset"] == d], own_name(d)) for d in datasets})


def _judged(row: pd.Series) -> str:
    if row["verdict"] in (NOT_MEASURED, IDENTICAL):
        return "–" if row["verdict"] == NOT_MEASURED else IDENTICAL
    found = interval(row["difference"], row["difference_low"], row["difference_high"], "+")
    model = f" ({row['against']})" if row["against"] else ""
    return f"{found} {row['verdict']}{_mark(row)}{model}"


def _mark(row: pd.Series) -> str:
    return "" if pd.isna(row["within"]) or row["within"] else " *"


def _signed(difference: float) -> str:
    return "–" if np.isnan(difference) else f"{difference:+.4f}"


def verdicts(claims: pd.DataFrame) -> pd.DataFrame:
    """A line a comparison, a column a data set: the verdict of each reader, in the order that the heading names."""
    datasets, readers = list(dict.fromkeys(claims["dataset"])), _readers(claims)
    lines = []
    for (number, _), rows in claims.groupby(["number", "compared"], sort=False):
        told = rows.set_index(["dataset", "read_by"])["verdict"].replace(NOT_MEASURED, "–")
        cells = {d: " / ".join(told.get((d, reader), "–") for reader in readers) for d in datasets}
        heading = f"claim (by {' / '.join(readers)})"
        lines.append({heading: f"{number}. {rows['claim'].iloc[0]}", "compared": _whose(rows.iloc[0])} | cells)
    return pd.DataFrame(lines)


def in_words(claims: pd.DataFrame) -> list[str]:
    """What each reader finds of each comparison, a sentence a comparison."""
    lines = []
    for _, rows in claims.groupby(["number", "compared"], sort=False):
        found = []
        for reader in _readers(rows):
            of = rows[(rows["read_by"] == reader) & (rows["verdict"] != NOT_MEASURED)]
            if len(of):
                found.append(f"{reader}: {said(of.set_index('dataset')['verdict'], VERDICTS)}")
        of = rows[rows["against"] != ""].drop_duplicates("dataset")
        models = findings.together([f"{r.against} on {r.dataset}" for r in of.itertuples()]) if len(of) else ""
        best = f". The best on validation: {models}" if models else ""
        lines.append(f"*{rows['claim'].iloc[0]}* ({_whose(rows.iloc[0])}). {'. '.join(found) or NOT_MEASURED}{best}.")
    return lines


def depends_on_reader(claims: pd.DataFrame) -> list[str]:
    """A sentence for each verdict that one LLM gives and another does not."""
    asked = claims[(claims["read_by"] != VOTE) & (claims["verdict"] != NOT_MEASURED)]
    lines, several = [], False
    for (_, compared, dataset), rows in asked.groupby(["number", "compared", "dataset"], sort=False):
        several |= len(rows) > 1
        if len(set(rows["verdict"])) > 1:
            found = ", ".join(f"{row.verdict} with {row.read_by} ({_change(row)})" for row in rows.itertuples())
            lines.append(f"*{rows['claim'].iloc[0]}* ({compared}) on {dataset}: {found}.")
    if not several:
        return ["No comparison was made through more than one LLM."]
    return lines or ["No verdict depends on which LLM reads."]


def _change(row) -> str:
    return interval(row.difference, row.difference_low, row.difference_high, "+")


# --- single changes ------------------------------------------------------------------------------


def _changes(table: pd.DataFrame, who: str) -> pd.DataFrame:
    """Rows that change one thing: ``row``, ``dataset``, ``difference``, and as ``verdict`` what it does to the AUC."""
    table = table.dropna(subset="difference")
    moved = table[["difference", "difference_low", "difference_high"]].ne(0).any(axis=1)
    table = table[moved.groupby(table["method"]).transform("any")]  # what is the same everywhere is the method itself
    values = ("difference", "difference_low", "difference_high", "n")
    table = by_reader(table, ("method",), values)
    rows = [
        f"{row.method}, read by {'the vote' if who == VOTE else row.read_by or 'the LLM'}" for row in table.itertuples()
    ]
    does = [MOVES[verdict(row.difference_low, row.difference_high, row.adjusted_p)] for row in table.itertuples()]
    return table.assign(row=rows, verdict=does)


def changes_in_words(changes: pd.DataFrame) -> list[str]:
    """What each change of the method does to the AUC, a sentence a row."""
    by_row = changes.groupby("row", sort=False)
    return [f"*{row}*: {said(of.set_index('dataset')['verdict'], MOVES.values())}." for row, of in by_row]


def same_everywhere(claims: pd.DataFrame, comparisons: pd.DataFrame, changes: pd.DataFrame) -> str:
    """What has the same verdict on all data sets, of the paper's claims, our comparisons, and single changes."""
    known = claims[claims["verdict"] != NOT_MEASURED]
    by = known["read_by"].replace(VOTE, f"the {VOTE}")
    known = known.assign(row=known["compared"].map(findings.PLAIN) + ", read by " + by)
    tables = {"The paper's claims": known, "Our comparisons": comparisons, "One thing changed": changes}
    return findings.everywhere(tables, claims["dataset"].nunique())
