"""The rows of the paper's tables and figures as choices, under the paper's own names (see `paper.numbers`).

`paper.beside` puts what they give beside what the paper reports:

    results = study.table(experiments.TABLE_3, "RALLRec")
    paper.beside("table 3", study.split.data.name, results)

Where a row of the paper can't be told from another, the choice is ours, and said here.
"""

from dataclasses import replace

from ..pipeline import METHOD, Choice

RALLREC = METHOD.read_by("llm")
RELLA = Choice("title", "high", "llm")  # most similar by the title's embedding; read by the one adapter that there is
HYBRID = Choice("hybrid", "high", "llm")  # half of K by text, half by id
MIXED = Choice(selector="high", reader="llm")  # RALLRec without reranking
UNTUNED = METHOD.read_by("zero-shot")
LAST_K = Choice(selector="recent", reader="llm")
ON_RECENT = "llm, tuned on recent"  # the reader of table 3's "without retrieval" and of half of figure 4

# names of RALLRec's tables for the conventional recommenders, which see ids alone, and the readers here
ID_BASED = {"DeepFM": "DeepFM", "xDeepFM": "xDeepFM", "DCN": "DCN", "AutoInt": "AutoInt"}

TABLE_1 = {row: METHOD.read_by(reader) for row, reader in ID_BASED.items()} | {
    "untuned LLM": UNTUNED,  # on ML-1M table 3 has the same numbers for RALLRec's history, untuned
    "ReLLa": RELLA,
    "Hybrid-Score": HYBRID,
    "RALLRec": RALLREC,
}
BESIDE_TABLE_1 = {  # what the paper's table lacks
    "LLM, last K": LAST_K,
    "DCNv2": METHOD.read_by("DCNv2"),
    "DIN": METHOD.read_by("DIN"),
    "LightGBM, RALLRec": METHOD.read_by("lightgbm"),
}
TABLE_3 = {
    "RALLRec": RALLREC,
    "w/o Data Aug.": METHOD.read_by("llm, no augmentation"),
    "w/o Retrieval": Choice(selector="recent", reader=ON_RECENT),
    "w/o IT": UNTUNED,
}
BESIDE_TABLE_3 = {"RALLRec's adapter, last K": LAST_K}  # retrieval taken away, and nothing else
TABLE_4 = {
    "Text-based": Choice("text", "high", "llm"),
    "ID-based": Choice("colla", "high", "llm"),
    "Concat. w/o SSL": Choice("concatenation", "high", "llm"),
    "Concat. w/ SSL": MIXED,
}
TABLE_4_VOTE = {row: choice.read_by("vote") for row, choice in TABLE_4.items()}

KS = (5, 10, 15, 20, 25, 30)
LINES = {"RALLRec": RALLREC, "ReLLa": RELLA, "Zero-shot": UNTUNED, "w/o ReR": MIXED}
FIGURE_3 = {f"{line}, K={k}": replace(choice, k=k) for line, choice in LINES.items() for k in KS}

TUNINGS = {"tuned on recent": ON_RECENT, "RAG-enhanced tuning": "llm"}
INFERENCES = {"Recent": LAST_K, "HybRet": HYBRID, "MixEmb": MIXED, "ReRank": RALLREC}
FIGURE_4 = {f"{t} / {i}": choice.read_by(reader) for t, reader in TUNINGS.items() for i, choice in INFERENCES.items()}


def labels(of: dict[str, Choice], rows: dict[str, Choice]) -> dict[str, str]:
    """The paper's rows among rows that are labelled otherwise, {the paper's row: our label}; see `paper.beside`.

    Args:
        of: one of the tables above. rows: a table of choices by our labels, such as `ablations.LLM`.
    """
    ours = {choice: label for label, choice in rows.items()}
    return {row: ours[choice] for row, choice in of.items() if choice in ours}
