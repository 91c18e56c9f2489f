"""What can be said of text embeddings without a user: how narrow their cone is, whether neighbours are of a kind."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from ..data.dataset import Dataset
from .catalogue import Catalogue


def random_pairs(x: np.ndarray, rng: np.random.Generator, n: int = 20_000) -> np.ndarray:
    """Cosines of ``n`` random pairs of distinct rows, float32 [n]; NaN of a row of zeros, or where there is one row."""
    if len(x) < 2:
        return np.full(n, np.nan, np.float32)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    x = x / np.where(norm > 0, norm, np.nan)
    a = rng.integers(0, len(x), n)
    b = (a + rng.integers(1, len(x), n)) % len(x)
    return (x[a] * x[b]).sum(1)


def categories(data: Dataset) -> csr_matrix:
    """Which categories (genres, authors …; see `Dataset.category`) an item has, sparse 0/1 [n_items, n_categories].

    No column for data that have no category.
    """
    if data.category is None:
        return csr_matrix((data.n_items, 0), dtype=np.int32)
    column, separator = data.category
    values = data.items[column]
    kinds = (values.str.split(separator, regex=False) if separator else values.map(lambda v: [v])).explode()
    kinds = kinds[kinds != ""]
    code, _ = pd.factorize(kinds)
    ones = np.ones(len(code), np.int32)
    return csr_matrix((ones, (kinds.index.to_numpy(), code)), shape=(data.n_items, code.max(initial=-1) + 1))


def neighbour_agreement(
    catalogue: Catalogue | None, categories: csr_matrix, rng: np.random.Generator | None = None, k: int = 10
) -> float:
    """Mean share of an item's k nearest items (random ones, without a catalogue) that share a category with it.

    NaN where no item has a category, or there is one item.
    """
    items = np.flatnonzero(categories.getnnz(axis=1))
    if not len(items) or categories.shape[0] < 2:
        return float("nan")
    if catalogue is None:
        near = rng.integers(0, categories.shape[0], (len(items), k))
    else:
        near, _ = catalogue.neighbours(items, k)
    own = categories[np.repeat(items, near.shape[1])]
    return float((own.multiply(categories[near.ravel()]).getnnz(axis=1) > 0).mean())
