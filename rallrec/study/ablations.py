"""The rows of the tables: what is compared in notebook 05, and one thing changed at a time in notebook 06."""

import pandas as pd

from ..pipeline import FULL, METHOD, Choice
from ..readers.base import READERS
from ..readers.conventional import MODELS
from ..retrieval.selectors import SELECTORS

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
RALLREC = "LLM, RALLRec"
# the paper's table 1, through the LLM, and what a careful reader wants beside it
LLM = {
    "LLM, untuned": METHOD.read_by("zero-shot"),
    "LLM, last K": Choice(selector="recent", reader="llm"),
    "LLM, text retrieval (ReLLa)": Choice("title", "high", "llm"),
    "LLM, Hybrid-Score": Choice("hybrid", "high", "llm"),
    RALLREC: METHOD.read_by("llm"),
    "LLM, learned reranker (ours)": Choice(selector="learned", reader="llm"),
}
FULL_METHOD = "LLM + LightGBM, learned reranker (ours)"
ASKED = LLM | {
    "LLM + LightGBM, last K": Choice(selector="recent", reader="llm + lightgbm"),
    "LLM + LightGBM, RALLRec": METHOD.read_by("llm + lightgbm"),
    FULL_METHOD: Choice(selector="learned", reader="llm + lightgbm"),
}
ASIDE = ("global mean", "vote, title (ReLLa)")  # not beside the LLM in the main table

# the paper's table 3, and figure 4: parts of the tuning taken away
TUNED = {
    RALLREC: METHOD.read_by("llm"),
    "without data augmentation": METHOD.read_by("llm, no augmentation"),
    "without retrieval (tuned on recent, last K)": Choice(selector="recent", reader="llm, tuned on recent"),
    "without tuning": METHOD.read_by("zero-shot"),
    "without retrieval at inference only (last K)": Choice(selector="recent", reader="llm"),
    "tuned as ours": METHOD.read_by("llm, ours"),
}
# the paper's figure 4: two tunings, four ways to show items
SHOWN_AS = {
    "Recent": Choice(selector="recent"),
    "HybRet": Choice("hybrid", "high"),
    "MixEmb": Choice(selector="high"),
    "ReRank": METHOD,
}
TUNED_ON = {"tuned on recent": "llm, tuned on recent", "RAG-enhanced tuning": "llm"}
FIGURE_4 = {
    f"{tuned} / {shown}": choice.read_by(reader)
    for tuned, reader in TUNED_ON.items()
    for shown, choice in SHOWN_AS.items()
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

# the paper's table 4
TABLE_4 = {
    FULL: METHOD,
    "text": Choice("text", "high"),
    "id (LightGCN)": Choice("colla", "high"),
    "concatenation": Choice("concatenation", "high"),
    "with alignment, no reranking": Choice(selector="high"),
}
# whose each step is: the paper's is replaced by another's; and the other choice where the paper is silent
VARIANTS = {
    FULL: METHOD,
    "text: description alone (released code)": Choice("mixture, description"),
    "text: title alone (ReLLa)": Choice("mixture, title"),
    "alignment: both sides projected, temperature 0.1 (ours)": Choice("mixture, two-sided"),
    "alignment: stopped on held-out items (paper silent)": Choice(stop="held out"),
    "mixture: 128 principal components, largest norm (released code)": Choice("mixture, principal components"),
    "reranker: the newest two thirds (released code)": Choice(selector="released"),
    "reranker: learned (ours)": Choice(selector="learned"),
    "reranker: an item of both channels has the higher score (paper silent)": Choice(both="max"),
    "text, mixture and reranker of the released code": Choice("mix3", "released"),
    "without reranker": Choice(selector="high"),
    "without alignment": Choice("concatenation"),
    "without text (LightGCN alone)": Choice("colla"),
    "without LightGCN (text alone)": Choice("text"),
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
# the paper's figure 3
FIGURE_3 = {
    "Ours": METHOD.read_by("llm"),
    "w/o ReR": Choice(selector="high", reader="llm"),
    "ReLLa": Choice("title", "high", "llm"),
    "Zero-shot": METHOD.read_by("zero-shot"),
}
FIGURE_3_K = (5, 10, 15, 20, 25, 30)
ALPHAS = (0, 0.2, 1 / 3, 1 / 2, 2 / 3, 4 / 5, 0.9, 1)
WEIGHTS = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 1))
LAYERS = (0, 1, 2, 3)
TEMPERATURES = (0.1, 0.2, 0.5, 1.0)
GRAPHS = {f"layers: {n}": Choice(layers=n) for n in LAYERS}
GRAPHS |= {"edges: likes": Choice(edges="likes"), "edges: all ratings": Choice(edges="all")}
ALIGNMENTS = {f"temperature {t:g}": Choice(temperature=t) for t in TEMPERATURES}


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
