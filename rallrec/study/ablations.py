"""The rows of the tables: what is compared in notebook 05, and one thing changed at a time in notebook 06."""

import pandas as pd

from ..pipeline import FULL, METHOD, Choice
from ..readers.base import READERS
from ..readers.conventional import MODELS
from ..retrieval.selectors import SELECTORS

# --- notebook 05: every reader ------------------------------------------------------------------

VOTES = {
    "vote, last K": Choice(selector="recent"),
    "vote, plain text": Choice("title", "high"),
    "vote, collaborative": Choice("colla", "high"),
    "vote, RALLRec": METHOD,
    "vote, RALLRec, learned reranker": Choice(selector="learned"),
}
TREES = {
    "LightGBM, no retrieval": METHOD.read_by("lightgbm, no retrieval"),
    "LightGBM, last K": Choice(selector="recent", reader="lightgbm"),
    "LightGBM, RALLRec": METHOD.read_by("lightgbm"),
    "LightGBM, learned reranker": Choice(selector="learned", reader="lightgbm"),
}
FAST = {
    "global mean": METHOD.read_by("global mean"),
    "user's mean rating": METHOD.read_by("user's mean rating"),
    "item's mean rating": METHOD.read_by("item's mean rating"),
    **VOTES,
    "item mean + vote, collaborative": Choice("colla", "high", "item mean + vote"),
    "item mean + vote, RALLRec": METHOD.read_by("item mean + vote"),
    "item mean + vote, learned reranker": Choice(selector="learned", reader="item mean + vote"),
    **{model: METHOD.read_by(model) for model in MODELS},
    **TREES,
}
LLM = {
    "LLM, last K (TALLRec's way)": Choice(selector="recent", reader="llm"),
    "LLM, text retrieval (ReLLa's way)": Choice("title", "high", "llm"),
    "LLM, RALLRec": METHOD.read_by("llm"),
    "LLM, RALLRec, learned reranker": Choice(selector="learned", reader="llm"),
}
FULL_METHOD = "LLM + LightGBM, RALLRec, learned reranker"
ASKED = LLM | {FULL_METHOD: Choice(selector="learned", reader="llm + lightgbm")}
ASIDE = ("global mean", "user's mean rating", "vote, plain text")  # not beside the LLM in the main table

# what `claims.claim` compares: a claim, its two rows
CLAIMS = (
    ("LLM: retrieval beats the last K", "LLM, RALLRec", "LLM, last K (TALLRec's way)"),
    ("LLM: RALLRec beats text retrieval", "LLM, RALLRec", "LLM, text retrieval (ReLLa's way)"),
    ("LLM: RALLRec beats DIN", "LLM, RALLRec", "DIN"),
    ("LLM: the learned reranker beats the rule", "LLM, RALLRec, learned reranker", "LLM, RALLRec"),
    ("vote: RALLRec beats the last K", "vote, RALLRec", "vote, last K"),
    ("vote: RALLRec beats collaborative", "vote, RALLRec", "vote, collaborative"),
    ("vote: the learned reranker beats the rule", "vote, RALLRec, learned reranker", "vote, RALLRec"),
    ("LightGBM: retrieval beats none", "LightGBM, learned reranker", "LightGBM, no retrieval"),
    ("combination beats the LLM alone", FULL_METHOD, "LLM, RALLRec, learned reranker"),
    ("combination beats LightGBM alone", FULL_METHOD, "LightGBM, learned reranker"),
    *((f"combination beats {model}", FULL_METHOD, model) for model in MODELS),
)

# --- notebook 06: one thing changed -------------------------------------------------------------

PARTS = {
    FULL: METHOD,
    "without reranker": Choice(selector="high"),
    "without alignment": Choice("mix"),
    "without mixture (aligned part alone)": Choice("ssl"),
    "without descriptions (plain text)": Choice("mix3-plain"),
    "without collaborative (text alone)": Choice("text"),
    "without text (collaborative alone)": Choice("colla"),
    "without retrieval (last K)": Choice(selector="recent"),
    "learned reranker for the rule": Choice(selector="learned"),
}
OVER_K = {
    "RALLRec (mix3, rerank)": METHOD,
    "RALLRec, learned reranker": Choice(selector="learned"),
    "mix3, most similar": Choice(selector="high"),
    "collaborative, most similar": Choice("colla", "high"),
    "text, most similar": Choice("text", "high"),
    "last K": Choice(selector="recent"),
}
SHARES = (0, 0.1, 0.2, 1 / 3, 0.5, 2 / 3, 0.8, 1)
WEIGHTS = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 1))
LAYERS = (0, 1, 2, 3)
TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0)
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
