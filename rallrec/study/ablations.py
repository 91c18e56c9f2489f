"""The rows of the tables: what is compared in notebook 05, and one thing changed at a time in notebook 06."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ..evaluation.metrics import adjust
from ..pipeline import FULL, METHOD, Choice, Study
from ..readers.base import READERS
from ..readers.conventional import MODELS
from ..retrieval.selectors import SELECTORS
from . import experiments

# --- notebook 05: every reader ------------------------------------------------------------------

VOTES = {
    "vote, last K": Choice(selector="recent"),
    "vote, title (ReLLa)": Choice("title", "high"),
    "vote, LightGCN": Choice("colla", "high"),
    "vote, RALLRec": METHOD,
    "vote, learned reranker (ours)": Choice(selector="learned"),
}
TREES = {
    "LightGBM, no retrieval": METHOD.read_by("lightgbm, no retrieval"),
    "LightGBM, last K": Choice(selector="recent", reader="lightgbm"),
    "LightGBM, RALLRec": METHOD.read_by("lightgbm"),
    "LightGBM, learned reranker (ours)": Choice(selector="learned", reader="lightgbm"),
}
FAST = {
    "global mean": METHOD.read_by("global mean"),
    "user's mean rating": METHOD.read_by("user's mean rating"),
    "item's mean rating": METHOD.read_by("item's mean rating"),
    **VOTES,
    "item mean + vote, LightGCN": Choice("colla", "high", "item mean + vote"),
    "item mean + vote, RALLRec": METHOD.read_by("item mean + vote"),
    "item mean + vote, learned reranker (ours)": Choice(selector="learned", reader="item mean + vote"),
    **{model: METHOD.read_by(model) for model in MODELS},
    **TREES,
}
# of the ratings that BookCrossing's users gave themselves
EXPLICIT = {
    label: FAST[label]
    for label in ("user's mean rating", "item's mean rating", *VOTES, "LightGBM, RALLRec", "DeepFM", "DIN")
}
RALLREC = "LLM, RALLRec"
LEARNED = "LLM, learned reranker (ours)"
LLM = {
    "LLM, untuned": experiments.UNTUNED,
    "LLM, last K": experiments.LAST_K,
    "LLM, text retrieval (ReLLa)": experiments.RELLA,
    "LLM, Hybrid-Score": experiments.HYBRID,
    RALLREC: experiments.RALLREC,
    LEARNED: Choice(selector="learned", reader="llm"),
    "LLM, RALLRec, tuned as ours": METHOD.read_by("llm, ours"),
}
FULL_METHOD = "LLM + LightGBM, learned reranker (ours)"
ASKED = LLM | {
    "LLM + LightGBM, last K": Choice(selector="recent", reader="llm + lightgbm"),
    "LLM + LightGBM, RALLRec": METHOD.read_by("llm + lightgbm"),
    FULL_METHOD: Choice(selector="learned", reader="llm + lightgbm"),
}
ASIDE = ("global mean", "vote, title (ReLLa)")  # not beside the LLM in the main table


def prompt_study(k: int) -> dict[str, tuple[Choice, str, tuple[str, ...]]]:
    """Prompts that are compared on validation samples: by label the choice, the kind of prompt, what its lines tell."""
    method = Choice(k=k)
    return {
        "labelled, titles": (method, "labelled", ()),
        "the paper's prompt": (method, "paper", ()),
        "with profile": (method, "labelled", ("profile",)),
        "with category": (method, "labelled", ("category",)),
        "with statistics": (method, "labelled", ("statistics",)),
        "with statistics, short lines": (method, "labelled", ("statistics", "short")),
        "with statistics, last K": (Choice(selector="recent", k=k), "labelled", ("statistics",)),
        f"with statistics, K = {2 * k}": (Choice(k=2 * k), "labelled", ("statistics",)),
    }


# what `claims.claim` compares beside the paper's own claims (`study.claims`): a claim, its two rows; each changes one
# thing, which stands in brackets
CLAIMS = (
    ("LLM: the learned reranker beats the paper's (selector)", "LLM, learned reranker (ours)", RALLREC),
    ("vote: the learned reranker beats the paper's (selector)", "vote, learned reranker (ours)", "vote, RALLRec"),
    ("vote: RALLRec beats the last K (selector)", "vote, RALLRec", "vote, last K"),
    ("LightGBM: RALLRec's items beat the last K (selector)", "LightGBM, RALLRec", "LightGBM, last K"),
    ("LLM + LightGBM: RALLRec's items beat the last K (selector)", "LLM + LightGBM, RALLRec", "LLM + LightGBM, last K"),
    ("LightGBM beside the LLM beats the LLM alone (reader)", "LLM + LightGBM, RALLRec", RALLREC),
    ("the LLM beside LightGBM beats LightGBM alone (reader)", "LLM + LightGBM, RALLRec", "LightGBM, RALLRec"),
    *((f"LLM + LightGBM beats {model} (reader)", "LLM + LightGBM, RALLRec", model) for model in MODELS),
)

# --- notebook 06: one thing changed -------------------------------------------------------------

# whose each step is: the paper's is replaced by another's; and the other choice where the paper is silent
VARIANTS = {
    FULL: METHOD,
    "text: description alone (released code)": Choice("mixture, description"),
    "text: title alone": Choice("mixture, title"),
    "alignment: both sides projected, temperature 0.1 (ours)": Choice("mixture, two-sided"),
    "alignment: stopped on held-out items (paper silent)": Choice(stop="held out"),
    "mixture: 128 principal components, largest norm (released code)": Choice("mixture, principal components"),
    "reranker: the newest two thirds (released code)": Choice(selector="released"),
    "reranker: learned (ours)": Choice(selector="learned"),
    "reranker: an item of both channels has the higher score (paper silent)": Choice(both="max"),
    "text, mixture and reranker of the released code": Choice("mix3", "released"),
    "without reranker": Choice(selector="high"),
    "without alignment": Choice("concatenation"),
    "without text (LightGCN's embedding)": Choice("colla"),
    "without LightGCN (the text's embedding)": Choice("text"),
    "without retrieval (last K)": Choice(selector="recent"),
}
# the order of the prompt, on which the paper is silent; a vote does not read it
IN_ORDER = {f"prompt: {order} (paper silent)": Choice(order=order) for order in ("best first", "best last")}
OVER_K = {
    "RALLRec": METHOD,
    "RALLRec, no reranking": Choice(selector="high"),
    "learned reranker (ours)": Choice(selector="learned"),
    "title (ReLLa)": Choice("title", "high"),
    "LightGCN": Choice("colla", "high"),
    "last K": Choice(selector="recent"),
}
ALPHAS = (0, 0.2, 1 / 3, 1 / 2, 2 / 3, 4 / 5, 0.9, 1)
WEIGHTS = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 1))
LAYERS = (0, 1, 2, 3)
TEMPERATURES = (0.1, 0.2, 0.5, 1.0)
GRAPHS = {f"layers: {n}": Choice(layers=n) for n in LAYERS}
GRAPHS |= {"edges: likes": Choice(edges="likes"), "edges: all ratings": Choice(edges="all")}
ALIGNMENTS = {f"temperature {t:g}": Choice(temperature=t) for t in TEMPERATURES}


def trained(study: Study, rows: dict[str, Choice]) -> pd.DataFrame:
    """Rows that train a graph or an alignment anew, each against the method, whose graph is trained as long.

    Returns:
        The columns of `Study.table`, without the method's own rows; ``adjusted_p`` counts all rows as one family. And
        ``alone``: the AUC of the vote by the collaborative part alone, NaN of a row that changes only the alignment.
    """
    made = []
    for label, choice in rows.items():
        beside = study.as_long(choice, METHOD)
        found = study.table({label: choice, FULL: beside}, FULL)
        graph = choice.layers is not None or choice.edges is not None
        alone = study.auc(replace(choice, representation="colla", selector="high")) if graph else np.nan
        made.append(found[found["method"] == label].assign(against=found["auc"][1], alone=alone))
    return adjust(pd.concat(made, ignore_index=True))


def highest(aucs: pd.Series, what: str) -> str:
    """Where a curve of AUCs is highest, and the AUC at both ends: a sentence's end.

    Args:
        aucs: by the value that is varied, NaN where there is none. what: its name, such as ``K``.

    Example:
        >>> import pandas as pd
        >>> highest(pd.Series({1: 0.7, 10: 0.77, 50: 0.75}), "K")
        'highest at K = 10 (0.770; 0.700 at K = 1; 0.750 at K = 50)'
    """
    known = aucs.dropna()
    if not len(known):
        return "not measured: validation samples are all liked, or none is"
    best = known.idxmax()
    ends = [f"{known[at]:.3f} at {what} = {_short(at)}" for at in (known.index[0], known.index[-1]) if at != best]
    return f"highest at {what} = {_short(best)} ({'; '.join([f'{known[best]:.3f}', *ends])})"


def best_cell(grid: pd.DataFrame) -> str:
    """The representation and the selector with the highest AUC, and the method's own: a sentence's end.

    Args:
        grid: as `Study.grid` gives it, with the method's representation and selector.
    """
    values = grid.to_numpy(float)
    if np.isnan(values).all():
        return "not measured: validation samples are all liked, or none is"
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    best = grid.index[row], grid.columns[column]
    mine = METHOD.representation, METHOD.selector
    if best == mine:
        return f"highest for the method's own, {' with '.join(mine)} ({grid.loc[mine]:.3f})"
    found = f"any with {best[1]}" if np.ptp(values[:, column]) == 0 else " with ".join(best)
    return (
        f"highest for {found} ({values[row, column]:.3f}); the method, {' with '.join(mine)}, has {grid.loc[mine]:.3f}"
    )


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def parts_of(rows: dict[str, Choice]) -> pd.DataFrame:
    """Representation, selector and reader of each row; a dash for a part that changes nothing in it."""

    def parts(choice: Choice) -> dict:
        shown, read = READERS[choice.reader].reads_shown, SELECTORS[choice.selector].reads_items
        return dict(
            representation=choice.representation if shown and read else "–",
            selector=choice.selector if shown else "–",
            reader=choice.reader,
        )

    return pd.DataFrame([dict(row=label) | parts(choice) for label, choice in rows.items()])
