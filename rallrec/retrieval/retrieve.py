"""Retrieval from a user's history.

Similarity is computed between the targets and the history of one user at a time, as one matrix
product; nothing of size n_items x n_items ever exists.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info, threadpool_limits

from ..data.dataset import Dataset
from ..data.split import Samples
from ..infra.cache import digest
from ..infra.errors import InputError, at_least, one_of

FUSIONS = ("cosine", "softmax", "halves")
UNIT = 2**26  # see `unit`
TIE = 2**20  # similarities that round to the same multiple of 1/TIE are ties
BLOCK = 2**18  # similarities that are computed at a time, of one user's samples


def matrix(what: str, x: object) -> np.ndarray:
    """Return ``x``, or raise `InputError` if it is no array of finite numbers with a row an item, [n_items, d]."""
    if not (isinstance(x, np.ndarray) and x.ndim == 2 and np.issubdtype(x.dtype, np.number)):
        raise InputError(f"{what} must be a matrix of numbers [n_items, d]")
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x).all(1))[0])
        raise InputError(f"{what}: row {row} holds a value that is no number")
    return x


def columns_for(k: int, data: Dataset) -> int:
    """Columns that K shown items need: K, or the length of the data's longest history where that is less.

    Raises:
        InputError: K is no whole number of at least 1.
    """
    return min(at_least("k", k, 1), max(int(np.diff(data.start).max(initial=0)) - 1, 1))


@dataclass(frozen=True, eq=False)
class Representation:
    """What similarity between items means.

    Attributes:
        parts: float32 [n_items, d_i] each.
        fusion: ``cosine`` (one part), ``softmax`` (mean of the softmaxes of each part's cosine over
            the history) or ``halves`` (half of K by the first part, the rest by the second).
        history: the parts by which items of the history are compared, where they are others (see `shifted`).

    Raises:
        InputError: an unknown fusion, or one that takes another number of parts; parts that are no matrices of
            numbers with a row an item.
    """

    name: str
    parts: tuple[np.ndarray, ...]
    fusion: str = "cosine"
    history: tuple[np.ndarray, ...] | None = None

    def __post_init__(self):
        one_of("fusion", self.fusion, FUSIONS)
        fits = {"cosine": len(self.parts) == 1, "softmax": len(self.parts) > 1, "halves": len(self.parts) == 2}
        if not fits[self.fusion]:
            raise InputError(f"representation {self.name!r}: {self.fusion} does not take {len(self.parts)} parts")
        for part in self.parts:
            matrix(f"representation {self.name!r}", part)
        if len({len(part) for part in self.parts}) > 1:
            raise InputError(f"representation {self.name!r}: its parts have {[len(p) for p in self.parts]} rows")

    @cached_property
    def digests(self) -> list[str]:
        """All that similarity depends on, for keys."""
        return [self.fusion, *(digest(x) for x in self.parts + (self.history or ()))]

    def unit(self) -> "Representation":
        """The same with `unit` rows."""
        history = self.history and tuple(unit(p) for p in self.history)
        return replace(self, parts=tuple(unit(p) for p in self.parts), history=history)


@dataclass(frozen=True, eq=False)
class Shown:
    """The history items that are shown to the reader, in the order of the prompt.

    Attributes:
        samples: whose histories they are.
        position: int64 [n_samples, K], positions of the shown ratings; -1 (at the end of a row)
            where the history is shorter than K.

    Raises:
        InputError: a position outside its sample's history: the target, a later rating, another user's.
    """

    samples: Samples
    position: np.ndarray

    def __post_init__(self):
        samples, position = self.samples, self.position
        if not (isinstance(position, np.ndarray) and np.issubdtype(position.dtype, np.integer)):
            raise InputError(f"positions are {type(position).__name__}; a selector gives an array of whole numbers")
        if position.ndim != 2 or len(position) != len(samples):
            raise InputError(f"positions have the shape {position.shape}; {len(samples)} samples need [n_samples, K]")
        real = position >= 0
        first = samples.position - samples.n_earlier
        outside = real & ((position < first[:, None]) | (position >= samples.position[:, None])) | (position < -1)
        if outside.any():
            row, column = (int(x[0]) for x in np.nonzero(outside))
            shown, target = int(position[row, column]), int(samples.position[row])
            what = "the target itself" if shown == target else "none of the user's earlier ratings"
            raise InputError(
                f"sample {row} is shown position {shown}, {what}; its history is {int(first[row])} to {target - 1}"
            )
        if (real[:, 1:] & ~real[:, :-1]).any():
            row = int(np.flatnonzero((real[:, 1:] & ~real[:, :-1]).any(1))[0])
            raise InputError(f"sample {row}: padding (-1) must stand at the end of a row of positions")

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def k(self) -> int:
        return self.position.shape[1]

    @property
    def real(self) -> np.ndarray:
        """bool [n_samples, K]: not padding."""
        return self.position >= 0

    @property
    def item(self) -> np.ndarray:
        """int32 [n_samples, K]; meaningless where not `real`."""
        return self.samples.data.item[self.position]

    @property
    def rating(self) -> np.ndarray:
        """float32 [n_samples, K]; meaningless where not `real`."""
        return self.samples.data.rating[self.position]

    @property
    def liked(self) -> np.ndarray:
        """bool [n_samples, K]; meaningless where not `real`."""
        return self.samples.data.liked[self.position]

    def take(self, rows: np.ndarray) -> "Shown":
        """The shown items of the samples at ``rows`` (indices or a mask)."""
        return Shown(self.samples.take(rows), self.position[rows])


def shifted(items: Representation, data: Dataset) -> Representation:
    """The released code's off-by-one: an item of the history is compared by the embedding of the next raw id.

    There row r of the embeddings is movie id r + 1; the target's row is picked right, but the numbers
    of its most similar rows are taken for movie ids. A next id that does not exist is similar to nothing.

    Raises:
        InputError: the raw ids are no whole numbers.
    """
    ids = data.items["item_id"].to_numpy()
    if not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"{data.name}: item ids are no whole numbers, so there is no next id to shift to")
    following = pd.Index(ids).get_indexer(ids + 1)
    history = tuple(np.where(following[:, None] >= 0, part[following], 0) for part in items.parts)
    return replace(items, name=f"{items.name}, shifted", history=history)


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of unit length, float64 [n, d], of which every processor makes the same products; zero rows stay zero.

    Libraries sum a product's terms in the order that suits the processor, and each order rounds otherwise. Here nothing
    is rounded: components are multiples of ``2**-26``, so every sum of terms is one of ``2**-52`` and at most about 1,
    which float64 holds exactly.
    """
    norm = norms(x)
    return np.rint(x / np.where(norm > 0, norm, 1) * UNIT) / UNIT


def norms(x: np.ndarray) -> np.ndarray:
    """Length of each row, float64 [n, 1], the same on every processor: of whole numbers of 23 bits, summed exactly."""
    _, exponent = np.frexp(np.abs(x).max(axis=1, keepdims=True, initial=0))
    whole = np.rint(np.ldexp(x.astype(float), 23 - exponent)).astype(np.int64)
    return np.ldexp(np.sqrt(np.square(whole).sum(axis=1, keepdims=True).astype(float)), exponent - 23)


def given(items: np.ndarray | Representation) -> Representation:
    """A matrix [n_items, d] as a representation; what is one stays as it is."""
    return items if isinstance(items, Representation) else Representation("given", (items,))


def retrieve(samples: Samples, items: np.ndarray | Representation, k: int = 30) -> Shown:
    """The K history items most similar to the target, most similar first (paper, section 2.2.4).

    Args:
        items: a `Representation`, or a matrix [n_items, d] compared by cosine.
        k: how many to show; histories that are shorter are shown whole. No column is made for more than the data's
            longest history.

    Ties go to the newer rating.

    Raises:
        InputError: ``k`` < 1, or no matrix of numbers whose rows are the data's items.
    """
    data = samples.data
    width, items = columns_for(k, data), given(items)
    if any(len(p) != data.n_items for p in items.parts):
        raise InputError(f"the representation has {len(items.parts[0])} rows; {data.name} has {data.n_items} items")
    items = items.unit()
    position = np.full((len(samples), width), -1, np.int64)

    def one_block(rows: np.ndarray) -> None:
        first, last = data.start[samples.user[rows[0]]], samples.position[rows].max()
        history = data.item[first:last]  # [h]
        earlier = np.arange(last - first) < samples.n_earlier[rows][:, None]  # [t, h]
        pairs = zip(items.parts, items.history or items.parts, strict=True)
        cosines = [part[samples.item[rows]] @ other[history].T for part, other in pairs]  # [t, h] each
        local = _most_similar(cosines, earlier, items.fusion, k)
        position[rows, : local.shape[1]] = np.where(local >= 0, local + first, -1)

    _each_block(samples, one_block)
    return Shown(samples, position)


def _each_block(samples: Samples, do: Callable[[np.ndarray], None]) -> None:
    """``do(rows)`` for samples of one user at a time, as many as have `BLOCK` similarities to the history."""
    order = np.argsort(samples.user, kind="stable")
    users = np.split(order, np.flatnonzero(np.diff(samples.user[order])) + 1)
    blocks = [
        block
        for rows in users
        for block in np.array_split(rows, len(rows) * samples.n_earlier[rows].max(initial=0) // BLOCK + 1)
        if len(block)
    ]
    # products and partitions of a block are too small to share; a thread a block keeps every core busy
    libraries = threadpool_info()
    n_threads = max((each["num_threads"] for each in libraries if each["user_api"] == "blas"), default=1)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_threads) as pool:
        for _ in pool.map(do, blocks):  # raises what a thread raised
            pass


def _most_similar(cosines: list[np.ndarray], earlier: np.ndarray, fusion: str, k: int) -> np.ndarray:
    """int64 [t, min(k, h)]: columns of the most similar items, most similar first, -1 where there is none."""
    if fusion == "cosine":
        return _top(cosines[0], earlier, k)
    if fusion == "softmax":  # scaled by the history's length, so that ties mean the same as for cosines
        weight = earlier.sum(1, keepdims=True) / len(cosines)
        return _top(sum(_softmax(c, earlier) for c in cosines) * weight, earlier, k)
    by_text = _top(cosines[0], earlier, k // 2) if k > 1 else np.zeros((len(earlier), 0), np.int64)
    left = np.concatenate([earlier, np.zeros((len(earlier), 1), bool)], axis=1)  # a spare column for -1
    np.put_along_axis(left, by_text, False, axis=1)
    by_colla = _top(cosines[1], left[:, :-1], k - k // 2)
    both = np.concatenate([by_text, by_colla], axis=1)
    first = np.argsort(both < 0, axis=1, kind="stable")[:, : earlier.shape[1]]  # an item is in one half only
    return np.take_along_axis(both, first, axis=1)


def _top(similarity: np.ndarray, allowed: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest allowed entries of each row, largest first, at most all; the later wins a tie.

    Similarity and column are packed into one integer, so that one partition settles both.
    """
    h, none = similarity.shape[1], np.iinfo(np.int64).min
    key = np.rint(similarity * TIE).astype(np.int64)
    key <<= 32
    key |= np.arange(h)
    np.copyto(key, none, where=~allowed)
    if h > k:
        key.partition(h - k, axis=1)
        key = key[:, h - k :]
    key.sort(axis=1)
    key = key[:, ::-1]
    return np.where(key == none, -1, key & 0xFFFFFFFF)


def _softmax(x: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    e = np.where(allowed, np.exp(x), 0)
    return e / np.maximum(e.sum(1, keepdims=True), np.finfo(np.float32).tiny)


def similarities(shown: Shown, items: np.ndarray) -> np.ndarray:
    """Cosine between each sample's target and each of its shown items, float64 [n_samples, K], 0 for padding."""
    items, samples, data = unit(items), shown.samples, shown.samples.data
    out = np.zeros(shown.position.shape)

    def one_block(rows: np.ndarray) -> None:
        first, last = data.start[samples.user[rows[0]]], samples.position[rows].max()
        if last > first:
            similar = items[samples.item[rows]] @ items[data.item[first:last]].T  # [t, h]
            out[rows] = np.take_along_axis(similar, np.maximum(shown.position[rows] - first, 0), 1)

    _each_block(samples, one_block)
    return out * shown.real
