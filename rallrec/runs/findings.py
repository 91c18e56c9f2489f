"""What was found, for a reader in a hurry: five findings, a table of ten rows, what is not run yet.

All sentences follow from verdicts and values; which of them stand there changes with the runs.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..data.loading import DATASETS
from ..evaluation.claims import CLAIM
from ..evaluation.metrics import interval, verdict
from ..study import paper
from ..study.ablations import RALLREC
from ..study.claims import CLAIMS, CONTRADICTS, INCONCLUSIVE, NOT_MEASURED, REPLICATES, VOTE
from ..study.experiments import ID_BASED
from .context import output_root
from .paper_tables import own_name
from .place import READS
from .run import NOTEBOOKS, read_metrics
from .side_by_side import dataset_of, reader_of

TITLES = {"ml-100k": "MovieLens-100K"} | paper.NAMES
ID_BASED_CLAIM = CLAIMS[0].compared
# what each comparison does, as the subject of a sentence
PLAIN = {
    ID_BASED_CLAIM: "RALLRec instead of the best ID-based model",
    "RALLRec − ReLLa": "RALLRec instead of text retrieval (ReLLa)",
    "mixture − title, both most similar": "retrieving by the mixture instead of the title",
    "RALLRec − Hybrid-Score": "RALLRec instead of separate retrieval by text and by id",
    "mixture − halves by text and id, both most similar": "retrieving by the mixture instead of separately",
    "concatenation − text": "adding collaborative embeddings to the text's",
    "concatenation − id": "adding text embeddings to the collaborative ones",
    "mixture − concatenation": "adding aligned embeddings",
    "reranked − most similar": "reranking",
    "RALLRec − tuned on, and shown, the last K": "tuning on and showing retrieved items instead of the last K",
    "tuned on retrieved − on recent, both shown the last K": "tuning on retrieved items instead of the last K",
    "RALLRec − without data augmentation": "data augmentation",
    "RALLRec − untuned": "tuning the LLM",
    "RALLRec, K = 30 − K = 5": "showing RALLRec 30 items instead of 5",
    "ReLLa, K = 30 − K = 5": "showing text retrieval 30 items instead of 5",
    "untuned, K = 30 − K = 5": "showing the untuned LLM 30 items instead of 5",
    "RALLRec − last K, the same adapter": "showing the same tuned LLM retrieved items instead of the last K",
}
# what the findings call them
PARTS = {
    "concatenation − text": "adding collaborative embeddings to text",
    "concatenation − id": "adding text to collaborative embeddings",
    "mixture − concatenation": "alignment",
    "reranked − most similar": "reranking",
}
USE = {
    "RALLRec − untuned": "tuning the LLM",
    "RALLRec − without data augmentation": "data augmentation",
    "RALLRec − last K, the same adapter": "showing the same tuned LLM retrieved items instead of the last K",
}
# what needs an LLM with another tuning beside RALLRec's
TUNED_OTHERWISE = {"RALLRec − tuned on, and shown, the last K", "RALLRec − without data augmentation"}
OVER_K = {
    "RALLRec, K = 30 − K = 5": "RALLRec",
    "ReLLa, K = 30 − K = 5": "text retrieval",
    "untuned, K = 30 − K = 5": "the untuned LLM",
}
# readers without an LLM that are set beside it: rows of notebook 05's main table
SIMPLE = {
    "LightGBM, RALLRec": "LightGBM on the same items",
    "item mean + vote, RALLRec": "mean ratings of the item and of the retrieved items",
    "DIN": "DIN",
}
BESIDE = "the LLM beside LightGBM beats LightGBM alone (reader)"
SHORT = range(1, 10)  # claims of the short table: 10 is about K, a finding of its own; 11 the paper has on ML-1M alone
DECIDED = (REPLICATES, CONTRADICTS)
MARKS = {REPLICATES: " ✓", CONTRADICTS: " ✗"}


def title_of(dataset: str) -> str:
    """A data set as prose calls it: ``MovieLens-1M``, ``MovieLens-1M (full)`` of ``ml-1m+full``, or a user's name."""
    name, _, suffix = dataset.partition("+")
    return TITLES.get(name, name) + (f" ({suffix})" if suffix else "")


def together(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def against(main: pd.DataFrame, comparisons: pd.DataFrame, claims: pd.DataFrame) -> pd.Series:
    """The ID-based recommender that claim 1 compares with, in each place; it is the best on validation.

    The claim's table does not name it. It is the one whose AUC, with the seed of the run, is RALLRec's less the claim's
    difference; our comparisons give the AUC of each with that seed.

    Args:
        main, comparisons, claims: tables of `side_by_side.read`.

    Returns:
        Names by place; places where the claim is not measured, or where none fits, are left out.
    """
    found, first = {}, claims[(claims["compared"] == ID_BASED_CLAIM) & claims["difference"].notna()]
    for row in first.itertuples():
        auc = main[main["place"] == row.place].set_index("method")["auc"]
        less = comparisons[comparisons["place"] == row.place].set_index("claim")["difference"]
        both = "LLM + LightGBM, RALLRec"
        names = {name: f"LLM + LightGBM beats {name} (reader)" for name in ID_BASED}
        aucs = {name: auc[both] - less[text] for name, text in names.items() if both in auc and text in less}
        far = {name: abs(value - (auc.get(RALLREC, np.nan) - row.difference)) for name, value in aucs.items()}
        near = [name for name, distance in far.items() if distance < 1e-5]  # tables have six digits
        if len(near) == 1:
            found[row.place] = near[0]
    return pd.Series(found, dtype=object)


# --- five findings -------------------------------------------------------------------------------


def five(claims: pd.DataFrame, main: pd.DataFrame, comparisons: pd.DataFrame) -> list[str]:
    """The findings, a paragraph each: what is found in bold, then the numbers in a list.

    Args:
        claims: of `paper_overview.read_all`. main: notebook 05's main table, of `side_by_side.read`; its differences
            are to `ablations.RALLREC`. comparisons: our own, as `overview.across` gives them.
    """
    known = claims[claims["verdict"] != NOT_MEASURED]
    asked, voted = known[known["read_by"] != VOTE], known[known["read_by"] == VOTE]

    def numbers(names: dict[str, str]) -> list[str]:
        return _numbers(asked, names) + [f"by the vote, {line}" for line in _clear(voted, names, asked)]

    over_k = f"{_start(f'shown 30 items instead of 5, {_headline(asked, OVER_K, GAIN)}')} {_by_llm(asked)}"
    return [
        _replication(asked[asked["of_paper"]]),
        _listed(_start(_headline(asked, PARTS)), numbers(PARTS)),
        _listed(_start(_headline(asked, USE)), numbers(USE)),
        _simple(main, comparisons, asked),
        _listed(over_k, numbers(OVER_K)),
    ]


def _listed(head: str, lines: Iterable[str]) -> str:
    """A finding: its head in bold, and a list below it that belongs to a numbered paragraph."""
    return "".join([f"**{head}**", *(f"\n   - {line[0].upper()}{line[1:]}." for line in lines)])


def _change(row) -> str:
    return interval(row.difference, row.difference_low, row.difference_high, "+")


def _of(row) -> str:
    """A difference, where it is found, and who reads."""
    reader = f", {row.read_by}" if row.read_by != VOTE else ""
    return f"{_change(row)} ({title_of(row.dataset)}{reader})"


def _datasets(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table["dataset"]))


def _titles(datasets: Iterable[str]) -> str:
    return together([title_of(name) for name in datasets])


def _largest(rows: pd.DataFrame):
    return rows.loc[rows["difference"].abs().idxmax()]


def _narrowest(rows: pd.DataFrame):
    return rows.loc[(rows["difference_high"] - rows["difference_low"]).idxmin()]


def _decided(rows: pd.DataFrame, compared: str, sign: int) -> pd.DataFrame:
    """Rows of a comparison with a verdict, whose difference has this sign."""
    told = rows[(rows["compared"] == compared) & rows["verdict"].isin(DECIDED)]
    return told[np.sign(told["difference"]) == sign]


def _of_all(verdicts: pd.Series) -> str:
    """What several LLMs say of one comparison."""
    right, wrong = (verdicts == REPLICATES), (verdicts == CONTRADICTS)
    if right.any() and wrong.any():
        return "opposite"
    return "all" if right.all() else "some" if right.any() else "wrong" if wrong.any() else "open"


def _replication(ours: pd.DataFrame) -> str:
    """How many of the paper's comparisons replicate on each data set, the largest effect, and what is contradicted."""
    if not len(ours):
        return "**No comparison of the paper was made through an LLM.**"
    said = ours.groupby(["dataset", "number", "compared"], sort=False)["verdict"].agg(_of_all)
    told, silent, shared, sentences = [], [], [], []
    sizes = set(said.groupby(level=0, sort=False).size())
    for dataset, of in said.groupby(level=0, sort=False):
        every, some = (of == "all").sum(), (of == "some").sum()
        if not every + some:
            silent.append(dataset)
            continue
        among = f" of {len(of)}" if len(sizes) > 1 else ""
        told.append(f"{every + some}{among} {'replicate ' * (not told)}on {title_of(dataset)}")
        if len(set(ours.loc[ours["dataset"] == dataset, "read_by"])) > 1:
            shared.append(f"{every} on {title_of(dataset)}")
    if told:
        total = "" if len(sizes) > 1 else f"{max(sizes)} "
        head = f"{'With at least one LLM, of' if shared else 'Of'} the paper's {total}comparisons {together(told)}"
        head += f", none on {_titles(silent)}" if silent else ""
    else:
        head = "None of the paper's comparisons replicates"
    if shared:
        sentences.append(f"with every LLM: {together(shared)}")
    if len(right := ours[ours["verdict"] == REPLICATES]):
        row = _largest(right)
        source = f" on {TITLES[row.reported_on]}" if row.reported_on not in ("", own_name(row.dataset)) else ""
        theirs = "" if np.isnan(row.paper) else f", where the paper has {row.paper:+.3f}{source}"
        sentences.append(f"the largest effect that replicates is that of {PLAIN[row.compared]}: AUC {_of(row)}{theirs}")
    wrong = said[said.isin(["wrong", "opposite"])].index
    if len(wrong):
        where = wrong.to_frame(index=False).groupby("compared", sort=False)["dataset"]
        found = [f"{PLAIN[compared]} ({_titles(datasets)})" for compared, datasets in where]
        sentences.append(f"the paper's sign is contradicted for {together(found)}")
    if silent:
        of = ours[ours["dataset"].isin(silent) & ours["paper"].notna()]
        half = (of["difference_high"] - of["difference_low"]) / 2
        small = (of["paper"].abs() < half).groupby([of["dataset"], of["compared"]]).all()
        sizes = [f"{title_of(name)} {ours.loc[ours['dataset'] == name, 'n'].max():,.0f}" for name in silent]
        told = f"{small.sum()} of the {len(small)} effects that the paper reports are smaller than half of our interval"
        sentences.append(f"where none replicates, {told} (test samples: {', '.join(sizes)})")
    return _listed(f"{head}.", sentences)


MOVES = (
    ("raises the AUC", "raise the AUC"),
    ("lowers the AUC", "lower the AUC"),
    ("has", "have"),
)  # of one, of several
GAIN = (("gains", "gain"), ("loses", "lose"), ("shows", "show"))


def _headline(rows: pd.DataFrame, names: dict[str, str], verbs: tuple[tuple[str, str], ...] = MOVES) -> str:
    """Two sentences at most: what any LLM finds a clear gain or loss of, and where; what has no clear effect."""
    clear = []
    for (one, several), sign in zip(verbs, (1, -1), strict=False):
        on: dict[str, list[str]] = {}
        for name, words in names.items():
            if len(found := _decided(rows, name, sign)):
                on.setdefault(_titles(_datasets(found)), []).append(words)
        clear += [f"{together(of)} clearly {several if of[1:] else one} on {where}" for where, of in on.items()]
    sentences = [f"{'; '.join(clear)}."] if clear else []
    if rest := [names[name] for name in _inconclusive(rows, names)]:
        sentences.append(f"{together(rest)} {verbs[2][len(rest) > 1]} no clear effect through any LLM.")
    return " ".join(sentences) or f"{NOT_MEASURED}."


def _start(sentences: str) -> str:
    """With a capital at the start of each sentence."""
    return re.sub(r"(^|\. )([a-z])", lambda first: first[1] + first[2].upper(), sentences)


def _inconclusive(rows: pd.DataFrame, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """The rows of each comparison that is measured and has no verdict on any data set."""
    told = {name: rows[rows["compared"] == name] for name in names}
    return {name: of for name, of in told.items() if len(of) and not of["verdict"].isin(DECIDED).any()}


def _clear(rows: pd.DataFrame, names: dict[str, str], told: pd.DataFrame | None = None) -> list[str]:
    """The clear effects with their numbers, the largest on each data set; a line a comparison.

    Args:
        told: rows of other readers; an effect that is clear with the same sign among them is left out.
    """
    found = []
    for name, words in names.items():
        for sign in (1, -1):
            if told is not None and len(_decided(told, name, sign)):
                continue
            of = _decided(rows, name, sign)
            each = [_of(_largest(one)) for _, one in of.groupby("dataset", sort=False)]
            found += [f"{words}: {', '.join(each)}"] if each else []
    return found


def _numbers(rows: pd.DataFrame, names: dict[str, str]) -> list[str]:
    """The numbers of `_headline`: of a clear effect the largest on each data set, of another the narrowest interval."""
    narrow = [f"{names[name]} {_of(_narrowest(of))}" for name, of in _inconclusive(rows, names).items()]
    return _clear(rows, names) + [f"not clear (narrowest interval): {'; '.join(narrow)}"] * bool(narrow)


def _simple(main: pd.DataFrame, comparisons: pd.DataFrame, asked: pd.DataFrame) -> str:
    """Readers without an LLM beside the LLM with the highest AUC on each data set; the ID-based ones; the LLM added."""
    of = main[main["method"] == RALLREC].sort_values("auc", ascending=False).drop_duplicates("dataset")
    places = dict(of[["dataset", "place"]].itertuples(index=False))
    best = {d: main[main["place"] == places[d]].set_index("method") for d in _datasets(main) if d in places}
    if not best:
        return "**Simple models are not measured beside the LLM.**"
    apart, signs = [], set()
    for method, name in SIMPLE.items():
        for dataset, row in ((d, rows.loc[method]) for d, rows in best.items() if method in rows.index):
            sign = verdict(row.difference_low, row.difference_high, row.adjusted_p)
            apart += [f"{name} {_change(row)} ({title_of(dataset)})"] * bool(sign)
            signs.add(sign)
    aucs = {"RALLRec with the better LLM": RALLREC} | {name: method for method, name in SIMPLE.items()}
    shown = [
        f"{name} {' / '.join(f'{rows.auc[m]:.3f}' if m in rows.index else '–' for rows in best.values())}"
        for name, m in aucs.items()
    ]
    heads = {
        (False, True): "fall behind the LLM in part",
        (True, True): "are above the LLM in part, and below it in part",
    }
    head = heads.get((1 in signs, -1 in signs), "keep up with the LLM")
    than = "RALLRec minus the best ID-based model"
    gain = _clear(asked, {ID_BASED_CLAIM: than}) or [f"{than}: {INCONCLUSIVE}"]
    added = comparisons[comparisons["claim"] == BESIDE]
    clear = "; ".join(_of(row) for row in added[added["verdict"] != CLAIM[0]].itertuples())
    lines = [
        f"AUC on {' / '.join(map(title_of, best))}: {'; '.join(shown)}",
        f"clear differences to the LLM: {'; '.join(apart)}" if apart else "no difference to the LLM is clear",
        *(gain if (asked["compared"] == ID_BASED_CLAIM).any() else []),
        *([f"the LLM added to LightGBM: {clear or INCONCLUSIVE}"] if len(added) else []),
    ]
    return _listed(f"Simple models {head}.", lines)


def _by_llm(asked: pd.DataFrame) -> str:
    """How many verdicts hang on which LLM reads."""
    of = asked.groupby(["dataset", "number", "compared"], sort=False)["verdict"].agg(list)
    several = [verdicts for verdicts in of if len(verdicts) > 1]
    if not several:
        return "No comparison was made through more than one LLM."
    apart = [verdicts for verdicts in several if len(set(verdicts)) > 1]
    opposite = sum({REPLICATES, CONTRADICTS} <= set(verdicts) for verdicts in apart)
    if not apart:
        return f"In none of the {len(several)} comparisons made through several LLMs does the verdict hang on the LLM."
    return (
        f"In {len(apart)} of the {len(several)} comparisons made through several LLMs the verdict hangs on the LLM; "
        f"{opposite or 'none'} of these {'replicate' if opposite > 1 else 'replicates'} with one LLM and "
        f"{'contradict' if opposite > 1 else 'contradicts'} the paper with another."
    )


# --- a table of ten rows -------------------------------------------------------------------------


def short(claims: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The paper's comparisons of `SHORT` beside ours, a line each, a column a data set of the paper's; and notes on it.

    A cell has the paper's difference of AUC, an arrow, and that of each LLM with its mark. MovieLens-100K stands for
    MovieLens-1M as long as that is not run.

    Args:
        claims: of `paper_overview.read_all`.
    """
    rows = claims[claims["of_paper"] & claims["number"].isin(SHORT) & (claims["read_by"] != VOTE)]
    has = _datasets(rows)
    names = {own_name(name) for name in has}
    stand_ins = {name for name, of in paper.STANDS_FOR.items() if of in names}
    shown = [name for name in has if own_name(name) in TITLES and own_name(name) not in stand_ins] or has
    readers = list(dict.fromkeys(rows["read_by"]))
    lines, missing = [], set()
    for (number, compared), of in rows.groupby(["number", "compared"], sort=False):
        line = {f"gain in AUC: paper → {' / '.join(readers)}": f"{number}. {PLAIN[compared]}"}
        for dataset in shown:
            here = of[of["dataset"] == dataset].set_index("read_by")
            theirs = here["paper"].dropna()
            ours = [_marked(here.loc[r]) if r in here.index else "–" for r in readers]
            missing |= {compared} if "–" in ours else set()
            line[title_of(dataset)] = f"{f'{theirs.iloc[0]:+.4f}' if len(theirs) else '–'} → {' / '.join(ours)}"
        lines.append(line)
    notes = []
    for dataset in shown:
        if other := paper.STANDS_FOR.get(own_name(dataset)):
            notes.append(
                f"{title_of(dataset)} is not among the paper's data sets: beside it stand {TITLES[other]}'s values."
            )
    if missing:
        why = ", since that LLM was not tuned so on these data" if missing <= TUNED_OTHERWISE else ""
        notes.append(f"A dash after an arrow: not measured{why}.")
    models = dict(claims.loc[claims["against"] != "", ["dataset", "against"]].itertuples(index=False))
    if of := [f"{models[d]} on {title_of(d)}" for d in shown if d in models]:
        notes.append(f"The best of {together([*ID_BASED])} on validation is {together(of)}.")
    return pd.DataFrame(lines), notes


def _marked(row: pd.Series) -> str:
    if np.isnan(row["difference"]):
        return "–"
    return f"{row['difference']:+.3f}{MARKS.get(row['verdict'], '')}"


# --- what is run ---------------------------------------------------------------------------------


def not_run(claims: pd.DataFrame, wanted: Sequence[str] = DATASETS, lacking: Sequence[str] = ()) -> str:
    """What is not run yet of the data sets ``wanted``, through the LLMs that read any of them: a sentence or two.

    Args:
        lacking: places of which notebook 05 is run, and 06 is not.
    """
    asked = claims[(claims["read_by"] != VOTE) & (claims["verdict"] != NOT_MEASURED)]
    readers = list(dict.fromkeys(asked["read_by"]))
    missing = {
        name: [r for r in readers if r not in set(asked["read_by"][asked["dataset"] == name])] for name in wanted
    }
    none = [title_of(name) for name, of in missing.items() if of == readers]
    some = [f"{title_of(name)} is not read by {together(of)}" for name, of in missing.items() if of and of != readers]
    said = [f"of {together(none)} notebooks 05 and 06 are not run"] if none else []
    half = [f"notebook 06 of {title_of(dataset_of(p))} is not run with {reader_of(p)} as the reader" for p in lacking]
    if not said + some + half:
        return f"All data sets are run, and read by {together(readers)}."
    return f"Not yet: {'; '.join(said + some + half)}. What is missing joins the findings and tables when it is run."


def notebooks(datasets: Sequence[str] = DATASETS) -> pd.DataFrame:
    """Where the executed notebooks are, a line a place: links, relative to the overview's folder."""
    lines, up = [], "../.."
    folders = sorted((output_root() / "papermill_runs").glob("*"))
    for dataset in datasets:
        for place in (folder.name for folder in folders if dataset_of(folder.name) == dataset):
            if place != dataset and not place.startswith(f"{dataset}+{READS}"):
                continue
            made = [name for name in NOTEBOOKS if (output_root() / "papermill_runs" / place / f"{name}.ipynb").exists()]
            if made:
                links = ", ".join(f"[{name[:2]}]({up}/papermill_runs/{place}/{name}.ipynb)" for name in made)
                line = {"data set": title_of(dataset), "read by": reader_of(place), "notebooks": links}
                line["every number"] = f"[metrics.json]({up}/papermill_runs/{place}/metrics.json)"
                lines.append(line | {"figures and tables": f"[figures/{place}]({up}/figures/{place})"})
    return pd.DataFrame(lines)


def times(places: Sequence[str]) -> str:
    """How long the notebooks of each data set took, with the hardware: a sentence."""
    said, hardware = [], []
    for dataset in dict.fromkeys(map(dataset_of, places)):
        parts = []
        for place in (p for p in places if dataset_of(p) == dataset):
            made = [
                of["made"]
                for of in read_metrics(place).get("notebooks", {}).values()
                if "seconds" in of.get("made", {})
            ]
            if made:
                hardware += [of["hardware"] for of in made]
                parts.append(f"{max(1, round(sum(of['seconds'] for of in made) / 60))} min ({reader_of(place)})")
        if parts:
            said.append(f"{title_of(dataset)} {' and '.join(parts)}")
    if not said:
        return "No times are recorded."
    return f"Measured on {together(list(dict.fromkeys(hardware)))}, from stored LLM answers: {'; '.join(said)}."


# --- every finding -------------------------------------------------------------------------------


def everywhere(tables: dict[str, pd.DataFrame], n: int) -> str:
    """What has the same verdict on all data sets, as Markdown: a heading a table, a list a verdict, a line a row.

    Args:
        tables: by heading, each with ``row`` (a name), ``dataset``, ``difference``, ``verdict``. n: data sets.
    """
    parts = []
    for heading, table in tables.items():
        same: dict[str, list[str]] = {}
        for row, of in table.groupby("row", sort=False):
            told = of["verdict"].iloc[0]
            if len(of) == n > 1 and (of["verdict"] == told).all():
                values = ", ".join(f"{r.difference:+.3f} on {title_of(r.dataset)}" for r in of.itertuples())
                same.setdefault(told, []).append(f"- {row}: {values}.\n")
        lists = [f"{told[0].upper()}{told[1:]} on all {n} data sets:\n\n{''.join(of)}" for told, of in same.items()]
        parts.append(f"### {heading}\n\n" + ("\n".join(lists) or "Nothing is the same on all data sets.\n"))
    return "\n".join(parts)
