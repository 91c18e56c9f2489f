"""The paper's eleven claims as data, and what is found of each: replicates, contradicts, inconclusive.

Every claim stands with the comparison that the paper makes. Where that changes several things at once, comparisons
that change one of them follow. All are differences of AUC, paired on the same test samples.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..data.split import Samples
from ..evaluation.metrics import IDENTICAL, adjusted, compare, interval
from ..pipeline import METHOD, Choice, Study
from ..readers.base import READERS
from . import paper, seeds
from .experiments import HYBRID, ID_BASED, LAST_K, MIXED, ON_RECENT, RALLREC, RELLA, TABLE_3, TABLE_4, UNTUNED

RATE = 0.05  # of false discoveries among the verdicts of a table
LLM, VOTE = "LLM", "vote"  # who reads
REPLICATES, INCONCLUSIVE, CONTRADICTS = "replicates", "inconclusive", "contradicts"
NOT_MEASURED = "not measured"
OURS = "(ours)"  # marks a comparison that the paper does not make
SUMMED = (REPLICATES, CONTRADICTS, INCONCLUSIVE, IDENTICAL)

Side = Choice | Callable[[Study], Choice]
Cell = tuple[str, str]  # a table of RALLRec's paper and a row of it
Judged = tuple[Samples, np.ndarray, np.ndarray]  # samples, P(like) of one side and of the other


@dataclass(frozen=True)
class PaperClaim:
    """A comparison of two sides: one has the higher AUC.

    Attributes:
        number, name: of the claim, 1 to 11.
        compared: the two sides. changes: what differs between them. one_change: whether that is one thing.
        paper_a, paper_b: where the paper's AUCs stand; of several the highest counts.
        llm, vote: the sides as choices; a side that a study has to find is a function of it. None where the
            comparison makes no sense through this reader.
        of_paper: whether the paper makes this comparison; otherwise it is ours, from values that the paper reports.
        expected: the sign that the claim gives the difference, 1 or -1.
        note: what has to be known to read the row.
    """

    number: int
    name: str
    compared: str
    changes: str
    paper_a: Cell
    paper_b: tuple[Cell, ...]
    llm: tuple[Side, Side]
    vote: tuple[Side, Side] | None = None
    one_change: bool = True
    of_paper: bool = True
    expected: int = 1
    note: str = ""

    def reported(self, dataset: str) -> float:
        """The paper's difference on a data set, or on the one that stands for it; NaN where it reports none."""
        others = [paper.reported(*cell, dataset) for cell in self.paper_b]
        return paper.reported(*self.paper_a, dataset) - max(others)

    def reported_on(self, dataset: str) -> str:
        """The data set of `reported`, empty where there is none."""
        return "" if np.isnan(self.reported(dataset)) else paper.reported_on(dataset, self.paper_a[0])


def best_id_based(study: Study) -> Choice:
    """The ID-based recommender with the highest AUC on validation samples; the first where that can't be told."""
    choices = [METHOD.read_by(reader) for reader in ID_BASED.values()]
    aucs = [study.auc(choice, "valid") for choice in choices]
    return choices[0 if np.isnan(aucs).all() else int(np.nanargmax(aucs))]


def _voted(*sides: Choice) -> tuple[Choice, ...]:
    return tuple(side.read_by("vote") for side in sides)


def _at(side: Choice, most: int = 30, least: int = 5) -> tuple[Choice, Choice]:
    return replace(side, k=most), replace(side, k=least)


def _line(name: str) -> tuple[Cell, tuple[Cell, ...]]:
    return ("figure 3", f"{name}, K=30"), (("figure 3", f"{name}, K=5"),)


_MAIN, _PARTS, _MIXED = ("table 1", "RALLRec"), ("table 3", "RALLRec"), ("table 4", "Concat. w/ SSL")
_TEXT, _ID, _CONCATENATED = TABLE_4["Text-based"], TABLE_4["ID-based"], TABLE_4["Concat. w/o SSL"]
_ONE_ADAPTER = "Here one adapter reads both sides."
_FORMATS = (
    "Where the answers of both sides were computed in different number formats (notebook 05, section 6), the format "
    "differs, too."
)
_RECENT_ALONE = Choice(selector="recent", reader=ON_RECENT)

CLAIMS = (
    PaperClaim(
        1,
        "LLM-based beats ID-based",
        "RALLRec − best of DeepFM, xDeepFM, DCN, AutoInt",
        "everything: reader, training data, what is seen of the user",
        _MAIN,
        tuple(("table 1", row) for row in ID_BASED),
        (RALLREC, best_id_based),
        one_change=False,
        note="Of the paper the best on test counts, here the best on validation.",
    ),
    PaperClaim(
        2,
        "beats text retrieval",
        "RALLRec − ReLLa",
        "two things: representation and reranking",
        _MAIN,
        (("table 1", "ReLLa"),),
        (RALLREC, RELLA),
        _voted(RALLREC, RELLA),
        one_change=False,
        note=_ONE_ADAPTER,
    ),
    PaperClaim(
        2,
        "beats text retrieval",
        "mixture − title, both most similar",
        "the representation",
        _MIXED,
        (("table 1", "ReLLa"),),
        (MIXED, RELLA),
        _voted(MIXED, RELLA),
        of_paper=False,
        note=_ONE_ADAPTER,
    ),
    PaperClaim(
        3,
        "beats separate retrieval by text and by id",
        "RALLRec − Hybrid-Score",
        "two things: representation and reranking",
        _MAIN,
        (("table 1", "Hybrid-Score"),),
        (RALLREC, HYBRID),
        _voted(RALLREC, HYBRID),
        one_change=False,
        note=_ONE_ADAPTER,
    ),
    PaperClaim(
        3,
        "beats separate retrieval by text and by id",
        "mixture − halves by text and id, both most similar",
        "the representation",
        _MIXED,
        (("table 1", "Hybrid-Score"),),
        (MIXED, HYBRID),
        _voted(MIXED, HYBRID),
        of_paper=False,
        note=_ONE_ADAPTER,
    ),
    PaperClaim(
        4,
        "concatenation beats text and id alone",
        "concatenation − text",
        "the collaborative part is added",
        ("table 4", "Concat. w/o SSL"),
        (("table 4", "Text-based"),),
        (_CONCATENATED, _TEXT),
        _voted(_CONCATENATED, _TEXT),
    ),
    PaperClaim(
        4,
        "concatenation beats text and id alone",
        "concatenation − id",
        "the textual part is added",
        ("table 4", "Concat. w/o SSL"),
        (("table 4", "ID-based"),),
        (_CONCATENATED, _ID),
        _voted(_CONCATENATED, _ID),
    ),
    PaperClaim(
        5,
        "alignment adds to it",
        "mixture − concatenation",
        "the aligned part is added",
        _MIXED,
        (("table 4", "Concat. w/o SSL"),),
        (MIXED, _CONCATENATED),
        _voted(MIXED, _CONCATENATED),
    ),
    PaperClaim(
        6,
        "reranking adds to it",
        "reranked − most similar",
        "the selector",
        _MAIN,
        (_MIXED,),
        (RALLREC, MIXED),
        _voted(RALLREC, MIXED),
    ),
    PaperClaim(
        7,
        "retrieval beats none",
        "RALLRec − tuned on, and shown, the last K",
        "two things: what is shown, and the history in the tuning prompts",
        _PARTS,
        (("table 3", "w/o Retrieval"),),
        (RALLREC, _RECENT_ALONE),
        _voted(RALLREC, LAST_K),
        one_change=False,
        note="The vote is not tuned: for it only what is shown differs. Claim 11 has the same for the LLM.",
    ),
    PaperClaim(
        7,
        "retrieval beats none",
        "tuned on retrieved − on recent, both shown the last K",
        "the history in the tuning prompts",
        ("figure 4", "RAG-enhanced tuning / Recent"),
        (("figure 4", "tuned on recent / Recent"),),
        (LAST_K, _RECENT_ALONE),
        of_paper=False,
        note=_FORMATS,
    ),
    PaperClaim(
        8,
        "data augmentation helps",
        "RALLRec − without data augmentation",
        "the order of items in half of the tuning prompts",
        _PARTS,
        (("table 3", "w/o Data Aug."),),
        (RALLREC, TABLE_3["w/o Data Aug."]),
        note=_FORMATS,
    ),
    PaperClaim(
        9,
        "tuning is needed",
        "RALLRec − untuned",
        "the adapter",
        _PARTS,
        (("table 3", "w/o IT"),),
        (RALLREC, UNTUNED),
        note=_FORMATS,
    ),
    PaperClaim(
        10,
        "longer K helps RALLRec and ReLLa, not the untuned LLM",
        "RALLRec, K = 30 − K = 5",
        "K",
        *_line("RALLRec"),
        _at(RALLREC),
        _at(RALLREC.read_by("vote")),
    ),
    PaperClaim(
        10,
        "longer K helps RALLRec and ReLLa, not the untuned LLM",
        "ReLLa, K = 30 − K = 5",
        "K",
        *_line("ReLLa"),
        _at(RELLA),
        _at(RELLA.read_by("vote")),
    ),
    PaperClaim(
        10,
        "longer K helps RALLRec and ReLLa, not the untuned LLM",
        "untuned, K = 30 − K = 5",
        "K",
        *_line("Zero-shot"),
        _at(UNTUNED),
        expected=-1,
        note="The untuned LLM's row replicates where the longer history lowers the AUC, as it does in the paper.",
    ),
    PaperClaim(
        11,
        "tuned on retrieved history, reranking beats the last K",
        "RALLRec − last K, the same adapter",
        "what is shown",
        ("figure 4", "RAG-enhanced tuning / ReRank"),
        (("figure 4", "RAG-enhanced tuning / Recent"),),
        (RALLREC, LAST_K),
        note="The paper reports it on MovieLens-1M only. By the vote: claim 7.",
    ),
)


def measured(
    study: Study, claims: Sequence[PaperClaim] = CLAIMS, among: Collection[Choice] | None = None
) -> dict[tuple[PaperClaim, str], Judged]:
    """P(like) of both sides of each comparison, for `judge`.

    Args:
        among: what the LLM may be asked; a comparison with another choice is left out. None: all. Left out, too, is
            what needs an adapter that is not at hand (see `Study.affordable`).

    Returns:
        ``{(claim, reader): (samples, p, other)}`` for the readers ``LLM`` and ``vote``, on the test samples that both
        sides judge; of a trained recommender with several seeds, [n_seeds, n_samples].
    """
    out = {}
    for claim in claims:
        for reader, sides in ((LLM, claim.llm), (VOTE, claim.vote)):
            if sides is not None:
                a, b = (side(study) if callable(side) else side for side in sides)
                asked = [side for side in (a, b) if READERS[side.reader].samples == "asked"]
                allowed = among is None or all(side in among for side in asked)
                if allowed and len(study.affordable({"a": a, "b": b})) == 2:
                    out[claim, reader] = seeds.both(study, a, b)
    return out


def judge(
    claims: Sequence[PaperClaim], dataset: str, results: dict[tuple[PaperClaim, str], Judged], rate: float = RATE
) -> pd.DataFrame:
    """The table of claims: the paper's difference of AUC, ours, and a verdict.

    A verdict holds the false discovery rate of the table (Benjamini and Hochberg 1995): ``replicates`` where the
    adjusted p is below ``rate``, zero outside the interval and the sign the claim's, ``contradicts`` where it is the
    other, else ``inconclusive``; ``identical predictions`` where both sides say the same of every sample.

    Args:
        results: as `measured` gives them. What is missing is ``not measured``.

    Returns:
        A line a comparison and reader: ``number``, ``claim``, ``compared``, ``changes``, ``one_change``, ``of_paper``,
        ``reader``, ``paper`` (its difference), ``reported_on``, ``difference`` with ``_low`` and ``_high`` (95 %),
        ``users``, ``n``, ``p`` (two-sided), ``p_adjusted``, ``verdict``, ``within`` (whether the paper's difference
        lies in our interval), ``note``.
    """
    lines = []
    for claim in claims:
        said = dict(number=claim.number, claim=claim.name, compared=claim.compared, changes=claim.changes)
        said |= dict(one_change=claim.one_change, of_paper=claim.of_paper, note=claim.note)
        said |= dict(paper=claim.reported(dataset), reported_on=claim.reported_on(dataset), expected=claim.expected)
        for reader, sides in ((LLM, claim.llm), (VOTE, claim.vote)):
            if sides is not None:
                lines.append(said | dict(reader=reader) | _found(results.get((claim, reader))))
    table = pd.DataFrame(lines)
    table["p_adjusted"] = adjusted(table["p"])
    right = np.sign(table["difference"]) == table["expected"]
    told = np.where(right, REPLICATES, CONTRADICTS)
    clear = (table["p_adjusted"] < rate) & ((table["difference_low"] > 0) | (table["difference_high"] < 0))
    table["verdict"] = table["verdict"].where(table["verdict"] != "", np.where(clear, told, INCONCLUSIVE))
    inside = (table["difference_low"] <= table["paper"]) & (table["paper"] <= table["difference_high"])
    table["within"] = inside.astype("boolean").mask(
        table["paper"].isna() | table["verdict"].isin([NOT_MEASURED, IDENTICAL])
    )
    return table.astype({"users": "Int64", "n": "Int64"})[list(COLUMNS)]


COLUMNS = (  # of `judge`
    *("number", "claim", "compared", "changes", "one_change", "of_paper", "reader", "paper", "reported_on"),
    *("difference", "difference_low", "difference_high", "users", "n", "p", "p_adjusted", "verdict", "within", "note"),
)


def _found(judged: Judged | None) -> dict:
    if judged is None:
        nothing = dict.fromkeys(("difference", "difference_low", "difference_high", "p"), np.nan)
        return nothing | dict(users=pd.NA, n=pd.NA, verdict=NOT_MEASURED)
    samples, p, other = judged
    e = compare(samples, p, other)["auc"]
    found = dict(difference=e.value, difference_low=e.low, difference_high=e.high, users=e.users, n=len(samples), p=e.p)
    return found | dict(verdict=IDENTICAL if e.identical else "")


def for_reading(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The table of `judge` for reading, a line a comparison: the paper's difference, each reader's and its verdict.

    An asterisk marks a verdict where the paper's difference lies outside our interval, `OURS` a comparison that the
    paper does not make. For samples and users see `counted`.
    """
    lines, last = [], None
    for (number, _), rows in table.groupby(["number", "compared"], sort=False):
        first = rows.iloc[0]
        compared = first.compared + ("" if first.of_paper else f" {OURS}")
        line = {"claim": f"{number}. {first.claim}" if number != last else "", "compared": compared}
        line |= {"what differs": first.changes, f"paper{paper.elsewhere(table, dataset)}": _signed(first.paper)}
        for reader in (LLM, VOTE):
            of = next(rows[rows.reader == reader].itertuples(), None)
            line[reader] = "–" if of is None else _found_here(of)
        lines.append(line)
        last = number
    return pd.DataFrame(lines)


def notes(table: pd.DataFrame) -> str:
    """What has to be known to read rows of a table of `judge`: a line a note, with its claims."""
    claims = table[table["note"] != ""].groupby("note", sort=False)["number"].agg(lambda of: sorted(set(of)))
    lines = []
    for note, numbers in claims.items():
        *first, last = map(str, numbers)
        lines.append(f"- Claims {', '.join(first)} and {last}: {note}" if first else f"- Claim {last}: {note}")
    return "\n".join(lines)


def counted(table: pd.DataFrame) -> str:
    """Samples and users of a table of `judge`, a sentence: those of most comparisons of each reader, and the others."""
    told = []
    for reader, rows in table[table["n"].notna()].groupby("reader", sort=False):
        sizes = rows.groupby(["n", "users"], sort=False)["number"].agg(lambda of: list(dict.fromkeys(of)))
        sizes = sizes.sort_values(key=lambda of: -of.map(len), kind="stable")
        parts = [f"{n:,} samples of {users:,} users" for n, users in sizes.index]
        parts[1:] = [
            f"claim {', '.join(map(str, numbers))}: {part}"
            for part, numbers in zip(parts[1:], sizes.iloc[1:], strict=True)
        ]
        told.append(f"{reader}: {parts[0]}" + (f" ({'; '.join(parts[1:])})" if parts[1:] else ""))
    return ". ".join(told) + "." if told else ""


def _found_here(row) -> str:
    if row.verdict in (NOT_MEASURED, IDENTICAL):
        return row.verdict
    return f"{interval(row.difference, row.difference_low, row.difference_high, '+')} {_marked(row)}"


def _marked(row) -> str:
    return row.verdict + ("" if pd.isna(row.within) or row.within else " *")


def _signed(difference: float) -> str:
    return "–" if np.isnan(difference) else f"{difference:+.4f}"


def summed(table: pd.DataFrame) -> str:
    """What the table of `judge` says, a line a reader: how many comparisons replicate, and which have which verdict.

    The paper's comparisons are counted apart from ours, which are marked.
    """
    lines = []
    for reader, rows in table[table["verdict"] != NOT_MEASURED].groupby("reader", sort=False):
        ours = ~rows["of_paper"].astype(bool)
        marked = rows["compared"] + np.where(ours, f" {OURS}", "")
        names = marked.groupby(rows["verdict"]).agg("; ".join)
        told = [f"*{verdict}*: {names[verdict]}" for verdict in SUMMED if verdict in names]
        through = "Through the LLM" if reader == LLM else "By the vote"
        replicate = rows["verdict"] == REPLICATES
        n = f"{replicate[~ours].sum()} of the paper's {(~ours).sum()} comparisons replicate"
        n += f", and {replicate[ours].sum()} of our {ours.sum()}" if ours.any() else ""
        lines.append(f"- **{through}, {n}.** {'. '.join(told)}.")
    return "\n".join(lines) or "Nothing was measured."
