"""A FAISS index of the whole catalogue: an item's nearest neighbours, a user's candidates."""

import faiss
import numpy as np

from ..infra.errors import at_least
from ..retrieval.retrieve import Representation

EXACT_UP_TO = 100_000  # items; beyond, a graph index answers approximately


class Catalogue:
    """Nearest neighbours by cosine among all items.

    Args:
        items: [n_items, d], or a `Representation` of one part.
    """

    def __init__(self, items: np.ndarray | Representation):
        if isinstance(items, Representation):
            (items,) = items.parts
        self.items = np.ascontiguousarray(items, np.float32).copy()
        faiss.normalize_L2(self.items)
        n, d = self.items.shape
        if n <= EXACT_UP_TO:
            self.index = faiss.IndexFlatIP(d)
        else:
            self.index = faiss.IndexHNSWFlat(d, 32, faiss.METRIC_INNER_PRODUCT)
            self.index.hnsw.efSearch = 128
        self.index.add(self.items)

    def neighbours(self, codes, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The k items most similar to each of ``codes``, itself left out: codes and cosines, [n, k]."""
        codes = np.atleast_1d(np.asarray(codes, np.int64))
        return self._search(self.items[codes], [[c] for c in codes], at_least("k", k, 1))

    def candidates(self, liked: list[np.ndarray], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Items most similar to the mean of each user's liked items, these left out: codes and cosines, [n, k].

        A user who liked nothing has no candidates: codes are -1 and cosines NaN.
        """
        none = np.array([not len(codes) for codes in liked], bool)
        if none.all():
            k = min(at_least("k", k, 1), len(self.items))
            return np.full((len(liked), k), -1), np.full((len(liked), k), np.nan, np.float32)
        means = np.stack([self.items[codes if len(codes) else [0]].mean(0) for codes in liked])
        faiss.normalize_L2(means)
        code, cosine = self._search(means, liked, at_least("k", k, 1))
        code[none], cosine[none] = -1, np.nan
        return code, cosine

    def _search(self, queries: np.ndarray, without, k: int) -> tuple[np.ndarray, np.ndarray]:
        most = max(map(len, without), default=0)
        k = min(k, len(self.items) - most)
        cosine, code = self.index.search(queries, k + most)
        keep = np.stack([~np.isin(row, left_out) & (row >= 0) for row, left_out in zip(code, without, strict=True)])
        best = np.argsort(~keep, axis=1, kind="stable")[:, :k]  # kept ones first, in order of cosine
        code, cosine = np.take_along_axis(code, best, 1), np.take_along_axis(cosine, best, 1)
        for row in np.flatnonzero(keep.sum(1) < k):  # a graph's walk may end too early: look at all
            every = self.items @ queries[row]
            every[without[row]] = -np.inf
            code[row] = np.argsort(-every, kind="stable")[:k]
            cosine[row] = every[code[row]]
        return code, cosine
