"""Selectors: which history items are shown, and in which order.

``rerank`` is the paper's (section 2.4). ``recent``, ``high``, ``sequential`` and ``released`` are those of the released
code and of ReLLa before it; ``learned`` is ours (see `learned`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..data.split import Samples
from ..infra.errors import InputError, at_least, one_of, within
from ..infra.registry import Registry
from .retrieve import Representation, Shown, columns_for, given, retrieve


@dataclass(frozen=True, eq=False)
class Selector:
    """A way to choose history items, registered under its name.

    Attributes:
        choose: ``choose(study, samples, items, k, **options)`` gives a `Shown`, or positions, int [n_samples, K].
        reads_items: whether it looks at ``items``, a `Representation`.
        options: the settings that it takes beside K.
    """

    name: str
    choose: Callable
    reads_items: bool = True
    options: tuple[str, ...] = ()

    def show(self, study, samples: Samples, items: Representation | None, k: int, **options) -> Shown:
        """What is shown of each sample.

        Raises:
            InputError: no ``items`` where they are needed, an option that this selector does not take, or positions
                that are not the user's earlier ratings, once each, at most K of them.
        """
        at_least("k", k, 1)
        if self.reads_items and items is None:
            raise InputError(f"selector {self.name!r} needs a representation; only 'recent' does without")
        if unknown := [name for name in options if name not in self.options]:
            raise InputError(f"selector {self.name!r} takes no {unknown[0]!r}")
        chosen = self.choose(study, samples, items, k, **options)
        return chosen if isinstance(chosen, Shown) else self._checked(samples, chosen, k)

    def _checked(self, samples: Samples, positions, k: int) -> Shown:
        try:
            shown = Shown(samples, np.asarray(positions))
        except InputError as e:
            raise InputError(f"selector {self.name!r}: {e}") from e
        if shown.k > k:
            raise InputError(f"selector {self.name!r} shows {shown.k} items where K is {k}")
        ordered = np.sort(shown.position, axis=1)
        if twice := ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(1).nonzero()[0].tolist():
            raise InputError(f"selector {self.name!r} shows sample {twice[0]} the same rating twice")
        return shown


ALPHA, ALPHAS = 2 / 3, (1 / 2, 2 / 3, 4 / 5)  # weights of similarity; the paper searches these (section 2.4)
BOTH, ORDERS = ("sum", "max"), ("time", "best first", "best last")
BLOCK = 4000  # samples whose channels are merged at a time: what is sorted stays in a processor's cache
ROUNDED = 0.02  # of an item: a share that was written as 0.333 or 0.6667 means the fraction


class Fitted(Protocol):
    """A selector that was fitted to data, such as `learned.LearnedReranker`."""

    def select(self, samples: Samples, k: int) -> Shown: ...


SELECTORS: Registry[Selector] = Registry("selector")


def selector(name: str, reads_items: bool = True, options: tuple[str, ...] = ()):
    """Register a function as the selector ``name``.

    The function takes ``(study, samples, items, k)`` and gives the positions of the ratings to show, int
    [n_samples, K], in the order of the prompt, -1 at the end of a row where there are fewer. A sample's history is
    ``samples.position - samples.n_earlier`` up to, and without, ``samples.position``; anything else is refused.

    Args:
        reads_items: False for a selector that looks at no representation.
        options: names of the fields of a `Choice` that it takes as keywords, beside K.

    Example:
        >>> import rallrec as rr
        >>> @rr.selector("oldest", reads_items=False)
        ... def oldest(study, samples, items, k):
        ...     back = np.arange(k) < np.minimum(samples.n_earlier, k)[:, None]
        ...     return np.where(back, (samples.position - samples.n_earlier)[:, None] + np.arange(k), -1)
    """

    def register(choose: Callable) -> Callable:
        SELECTORS.add(name, Selector(name, choose, reads_items, options))
        return choose

    return register


def select(
    samples: Samples,
    selector: str | Fitted,
    items: np.ndarray | Representation | None = None,
    k: int = 30,
    **options,
) -> Shown:
    """Choose and order the history items to show.

    Args:
        selector: ``recent`` (the last K, oldest first; needs no ``items``), ``high`` (the K most
            similar, most similar first), ``sequential`` (the same in time order), ``rerank`` (the paper's, see
            `rerank`), ``released`` (the released code's, see `released`); the name of one of your own; or a fitted
            one, such as a `LearnedReranker`.
        options: of the selector: ``alpha``, ``beta``, ``both``, ``order`` of ``rerank``; ``recent`` of ``released``.
    """
    if not isinstance(selector, str):
        if items is not None or options:
            raise InputError("a fitted selector has its own representations and settings; leave out items and options")
        if not hasattr(selector, "select"):
            raise InputError(f"selector is {selector!r}; it must be a name, or have a method `select`")
        return selector.select(samples, k)
    items = None if items is None else given(items)
    return SELECTORS[selector].show(None, samples, items, k, **options)


def _retrieved(study, samples: Samples, items: Representation, k: int) -> Shown:
    return retrieve(samples, items, k) if study is None else study.retrieve(samples, items, k)


@selector("recent", reads_items=False)
def _recent(study, samples: Samples, items, k: int) -> Shown:
    return last(samples, k)


@selector("high")
def _high(study, samples: Samples, items: Representation, k: int) -> Shown:
    return _retrieved(study, samples, items, k)


@selector("sequential")
def _sequential(study, samples: Samples, items: Representation, k: int) -> Shown:
    return in_time_order(_retrieved(study, samples, items, k))


@selector("rerank", options=("alpha", "beta", "both", "order"))
def _rerank(study, samples: Samples, items: Representation, k: int, alpha: float | None = None, **options) -> Shown:
    if alpha is None:
        rules = {name: value for name, value in options.items() if name != "order"}
        alpha = ALPHA if study is None else study.best_alpha(items, k, **rules)
    return two_channels(_retrieved(study, samples, items, k), alpha, **options)


@selector("released", options=("recent",))
def _released(study, samples: Samples, items: Representation, k: int, recent: float = 1 / 3) -> Shown:
    return released(_retrieved(study, samples, items, k), recent, k)


def last(samples: Samples, k: int = 30) -> Shown:
    """The last K ratings of each history, oldest first."""
    k = columns_for(k, samples.data)
    back = np.minimum(samples.n_earlier, k)  # how many there are
    position = (samples.position - back)[:, None] + np.arange(k)
    return Shown(samples, np.where(np.arange(k) < back[:, None], position, -1))


def in_time_order(shown: Shown) -> Shown:
    """The same items, oldest first. Positions of a user's ratings are in time order."""
    return Shown(shown.samples, _pad_last(np.sort(shown.position, axis=1)))


def rerank(samples: Samples, items: np.ndarray | Representation, k: int = 30, alpha: float = ALPHA, **options) -> Shown:
    """The paper's reranker (section 2.4): the K most similar and the K most recent items compete by `two_channels`.

    Args:
        items: a `Representation`, or a matrix [n_items, d] compared by cosine.
        alpha, options: see `two_channels`. A `Study` chooses alpha on validation samples.
    """
    return two_channels(retrieve(samples, given(items), k), alpha, **options)


def two_channels(
    similar: Shown, alpha: float = ALPHA, beta: float = 1.0, both: str = "sum", order: str = "time"
) -> Shown:
    r"""The K items of the highest score among the K most similar and the K most recent (paper, section 2.4).

    The r-th most similar item scores :math:`\alpha / r^\beta`, the r-th most recent :math:`(1 - \alpha) / r^\beta`,
    r = 1 … K. The paper does not say what an item scores that stands in both channels, nor in which order the prompt
    has the items; ties go to the newer item. Data without timestamps have their ratings in list order, which is
    arbitrary: there the recent channel is a fixed, random one.

    Args:
        similar: the K most similar items, the most similar first.
        alpha: weight of similarity, 0 to 1; 1 shows the K most similar, 0 the K most recent.
        beta: how fast a score falls with the rank, above 0.
        both: what an item of both channels scores, the ``sum`` or the ``max``.
        order: of what is shown: ``time`` (oldest first), ``best first``, ``best last``.
    """
    within("alpha", alpha, 0, 1), within("beta", beta, 0, above=True)
    one_of("both", both, BOTH), one_of("order", order, ORDERS)
    blocks = np.array_split(np.arange(len(similar)), len(similar) // BLOCK + 1)
    merged = [_merged(similar.take(rows), alpha, beta, both, order) for rows in blocks]
    return Shown(similar.samples, np.concatenate(merged))


def _merged(similar: Shown, alpha: float, beta: float, both: str, order: str) -> np.ndarray:
    """Positions of `two_channels`, int64 [n_samples, K]."""
    samples, k = similar.samples, similar.k
    by_rank = 1 / np.arange(1, k + 1) ** float(beta)  # [K]
    recent = last(samples, k).position[:, ::-1]  # padding first
    age = samples.position[:, None] - similar.position  # the rank by recency, [n, K]
    fresh = similar.real & (age <= k)
    score = np.broadcast_to(alpha * by_rank, age.shape)
    other = np.where(fresh, (1 - alpha) * by_rank[np.where(fresh, age - 1, 0)], 0.0)
    score = np.where(similar.real, score + other if both == "sum" else np.maximum(score, other), -1.0)
    taken = np.zeros((len(samples), k + 1), bool)  # by age - 1; a spare column for the others
    np.put_along_axis(taken, np.where(fresh, age - 1, k), True, axis=1)
    age = samples.position[:, None] - recent
    free = (recent >= 0) & ~np.take_along_axis(taken, np.where(recent >= 0, age - 1, k), axis=1)
    rest = np.where(free, (1 - alpha) * by_rank[np.where(free, age - 1, 0)], -1.0)
    position = np.concatenate([similar.position, recent], axis=1)  # [n, 2 K]
    # a score in units that no rounding of a processor reaches, then the position: the newer wins a tie
    key = np.rint(np.concatenate([score, rest], axis=1) * 2**30).astype(np.int64)
    key = np.where(key >= 0, key << 32 | np.maximum(position, 0), -1)
    key.sort(axis=1)
    key = key[:, : -k - 1 : -1]  # the highest first
    position = np.where(key >= 0, key & 0xFFFFFFFF, -1)
    if order == "time":
        position = _pad_last(np.sort(position, axis=1))
    elif order == "best last":
        n = (position >= 0).sum(1, keepdims=True)
        column = np.where(np.arange(k) < n, n - 1 - np.arange(k), np.arange(k))
        position = np.take_along_axis(position, column, 1)
    return position


def released(shown: Shown, recent: float = 1 / 3, k: int | None = None) -> Shown:
    """The released code's reranker: keep the newer ones of the retrieved, fill up with the most recent others.

    Of the K retrieved, the newest ``floor((1 - recent) K)``, newest first; then the most recent
    history items that are not among them, oldest first, until there are K. Its share of recent items is 1/3.

    Data without timestamps have no newest: the ``floor((1 - recent) K)`` most similar, then the last in
    list order; a history that is no longer than K stays as it was retrieved.

    Args:
        k: K, where it is more than ``shown`` has columns, since no history is so long.
    """
    within("recent", recent, 0, 1)
    samples, width = shown.samples, shown.k
    k = width if k is None else at_least("k", k, width)
    kept = math.floor((1 - recent) * k + ROUNDED)
    timed = samples.data.timed
    newest = (np.sort(shown.position, axis=1)[:, ::-1] if timed else shown.position)[:, :kept]  # padding (-1) last
    # of the last K ratings at most `kept` are taken already, so K - kept of them are free, or the history is out
    free = last(samples, width).position
    free = np.pad(free, ((0, 0), (0, width - free.shape[1])), constant_values=-1)
    first = (samples.position - np.minimum(samples.n_earlier, width))[:, None]
    rows, columns = np.nonzero(newest >= first)
    free[rows, (newest - first)[rows, columns]] = -1
    free.sort(axis=1)
    free = free[:, max(0, width - (k - kept)) :]  # the newest ones, oldest first
    position = _pad_last(np.concatenate([newest, free], axis=1))[:, :width]
    if not timed:
        position = np.where((samples.n_earlier > k)[:, None], position, shown.position)
    return Shown(samples, position)


def _pad_last(position: np.ndarray) -> np.ndarray:
    """Move the padding of each row to its end, in place, keeping the order of the rest."""
    rows = np.flatnonzero((position < 0).any(axis=1))  # most rows have none
    position[rows] = np.take_along_axis(position[rows], np.argsort(position[rows] < 0, axis=1, kind="stable"), axis=1)
    return position
