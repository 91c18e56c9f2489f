"""The method from data to representations in one call, for those who start where it ends.

Notebooks 01 to 04 go through the same steps slowly; every step answers from the cache.
"""

import numpy as np

from .data.dataset import Dataset
from .data.split import Split
from .llm.base import LanguageModel
from .profiles import Profile
from .representations.alignment import train_alignment
from .representations.lightgcn import train_lightgcn
from .representations.mixture import KINDS, mix, represent
from .representations.text import describe, plain
from .retrieval.retrieve import Representation


def representations(
    data: Dataset, split: Split, llm: LanguageModel, size: Profile, seed: int = 0
) -> dict[str, Representation]:
    """Every representation of the paper's ablation (paper, section 3), by its name.

    Beside them ``mix3-plain``: the method with the plain template in the place of the descriptions.
    """
    txt, text = llm.embed(plain(data)), llm.embed(describe(data, llm))
    colla, ssl = collaborative(split, text, size, seed)
    _, ssl_plain = collaborative(split, txt, size, seed)
    named = {kind: represent(kind, txt, text, colla, ssl) for kind in KINDS}
    return named | {"mix3-plain": Representation("mix3-plain", (mix(txt, colla, ssl_plain),))}


def collaborative(split: Split, text: np.ndarray, size: Profile, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The two learned parts of the mixture: collaborative embeddings, and ``text`` aligned with them."""
    colla = train_lightgcn(split, **size.lightgcn, seed=seed).items
    return colla, train_alignment(text, colla, warm_items(split), **size.alignment, seed=seed).ssl


def warm_items(split: Split) -> np.ndarray:
    """bool [n_items]: the item has a rating that the graph may see."""
    return np.bincount(split.data.item[split.graph_ratings], minlength=split.data.n_items) > 0
