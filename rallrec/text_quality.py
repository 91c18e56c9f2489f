"""What can be said of text embeddings without a user: how narrow their cone is, whether neighbours share a genre."""

import numpy as np

from .catalogue import Catalogue
from .datasets import Dataset


def random_pairs(x: np.ndarray, rng: np.random.Generator, n: int = 20_000) -> np.ndarray:
    """Cosines of ``n`` random pairs of distinct rows, float32 [n]."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    a = rng.integers(0, len(x), n)
    b = (a + rng.integers(1, len(x), n)) % len(x)
    return (x[a] * x[b]).sum(1)


def genre_sets(data: Dataset) -> np.ndarray:
    """bool [n_items, n_genres]."""
    return data.items["genres"].str.get_dummies(", ").to_numpy(bool)


def neighbour_agreement(
    catalogue: Catalogue | None, genres: np.ndarray, rng: np.random.Generator | None = None, k: int = 10
) -> float:
    """Mean share of an item's k nearest items (random ones, without a catalogue) that share a genre with it."""
    items = np.flatnonzero(genres.any(1))
    if catalogue is None:
        near = rng.integers(0, len(genres), (len(items), k))
    else:
        near, _ = catalogue.neighbours(items, k)
    return float((genres[items][:, None, :] & genres[near]).any(2).mean())
