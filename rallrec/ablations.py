"""Ablations: one part of the method changed at a time, judged by the fast reader or by the LLM."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from .evaluation import auc, platt
from .recommending import vote
from .reranking import SELECTORS, select
from .retrieval import Representation
from .splits import Samples, Split

# what is changed, representation, selector; the full method first
PARTS = (
    ("RALLRec, all parts", "mix3", "rerank"),
    ("without reranker", "mix3", "high"),
    ("without alignment", "mix", "rerank"),
    ("without descriptions (plain text)", "mix3-plain", "rerank"),
    ("without collaborative (text alone)", "text", "rerank"),
    ("without text (collaborative alone)", "colla", "rerank"),
    ("without retrieval (last K)", None, "recent"),
)


def calibrated_vote(
    split: Split, samples: Samples, selector: str, items: Representation | None, k: int, recent: float = 1 / 3
) -> np.ndarray:
    """The vote's P(like), its logistic calibration fitted on validation samples, float64 [n_samples]."""
    scores = [vote(select(part, selector, items, k, recent)) for part in (split.valid, samples)]
    return platt(scores[0], split.valid.liked)(scores[1])


def parts_removed(
    representations: dict[str, Representation], predict: Callable[[str, Representation | None], np.ndarray]
) -> dict[str, np.ndarray]:
    """Predictions of the full method and of each with one part removed, by `PARTS`' labels.

    Args:
        predict: maps a selector and a representation to P(like).
    """
    return {label: predict(selector, representations.get(kind)) for label, kind, selector in PARTS}


def grid(
    samples: Samples,
    representations: dict[str, Representation],
    k: int,
    selectors: Sequence[str] = SELECTORS,
) -> pd.DataFrame:
    """AUC of the vote, a row a representation, a column a selector."""
    rows = {
        name: {s: auc(samples.liked, vote(select(samples, s, items, k))) for s in selectors}
        for name, items in representations.items()
    }
    return pd.DataFrame(rows).T


def over_k(samples: Samples, choices: dict[str, tuple[str, Representation | None]], ks: Sequence[int]) -> pd.DataFrame:
    """AUC of the vote over K; ``choices`` maps a label to selector and representation. Columns: choice, k, auc."""
    return pd.DataFrame(
        [
            dict(choice=label, k=k, auc=auc(samples.liked, vote(select(samples, selector, items, k))))
            for label, (selector, items) in choices.items()
            for k in ks
        ]
    )


def over_recent(samples: Samples, representations: dict[str, Representation], k: int, shares: Sequence[float]):
    """AUC of the vote over the reranker's share of recent items. Columns: representation, share, auc."""
    return pd.DataFrame(
        [
            dict(representation=name, share=r, auc=auc(samples.liked, vote(select(samples, "rerank", items, k, r))))
            for name, items in representations.items()
            for r in shares
        ]
    )
