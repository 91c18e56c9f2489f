"""Selectors: which history items are shown, and in which order (paper, section 2).

Source of the names and of the recency rule: the paper's prompts and those of ReLLa before it.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

from ..data.split import Samples
from ..infra.errors import InputError, at_least, one_of
from .retrieve import Representation, Shown, retrieve

if TYPE_CHECKING:
    from .learned import LearnedReranker

SELECTORS = ("recent", "high", "sequential", "rerank")


def select(
    samples: Samples,
    selector: str,
    items: "np.ndarray | Representation | LearnedReranker | None" = None,
    k: int = 30,
    recent: float = 1 / 3,
) -> Shown:
    """Choose and order the history items to show.

    Args:
        selector: ``recent`` (the last K, oldest first; needs no ``items``), ``high`` (the K most
            similar, most similar first), ``sequential`` (the same in time order), ``rerank`` (the
            recency rule, see `rerank`), ``learned`` (``items`` is a `LearnedReranker`, which chooses).
        recent: share of recent items under ``rerank``.
    """
    one_of("selector", selector, (*SELECTORS, "learned"))
    if selector == "recent":
        return last(samples, k)
    if items is None:
        raise InputError(f"selector {selector!r} needs a representation; only 'recent' does without")
    if selector == "learned":
        return items.select(samples, k)
    shown = retrieve(samples, items, k)
    if selector == "sequential":
        return in_time_order(shown)
    return rerank(shown, recent) if selector == "rerank" else shown


def last(samples: Samples, k: int = 30) -> Shown:
    """The last K ratings of each history, oldest first."""
    at_least("k", k, 1)
    back = np.minimum(samples.n_earlier, k)  # how many there are
    position = (samples.position - back)[:, None] + np.arange(k)
    return Shown(samples, np.where(np.arange(k) < back[:, None], position, -1))


def in_time_order(shown: Shown) -> Shown:
    """The same items, oldest first. Positions of a user's ratings are in time order."""
    return Shown(shown.samples, _pad_last(np.sort(shown.position, axis=1)))


def rerank(shown: Shown, recent: float = 1 / 3) -> Shown:
    """Rerank the retrieved items for recency (paper, section 2).

    Of the K retrieved, the newest ``floor((1 - recent) K)``, newest first; then the most recent
    history items that are not among them, oldest first, until there are K. The paper's share of
    recent items is 1/3.

    Data without time have no newest: the ``floor((1 - recent) K)`` most similar, then the last in
    list order; a history that is no longer than K stays as it was retrieved.
    """
    if not 0 <= recent <= 1:
        raise InputError(f"recent is {recent!r}; it must be a share from 0 to 1")
    k, samples = shown.k, shown.samples
    kept = math.floor((1 - recent) * k + 1e-9)  # 1 - 1/3 is a little more than 2/3
    timed = samples.data.timed
    newest = (np.sort(shown.position, axis=1)[:, ::-1] if timed else shown.position)[:, :kept]  # padding (-1) last
    # of the last K ratings at most `kept` are taken already, so K - kept of them are free, or the history is out
    free = last(samples, k).position
    first = (samples.position - np.minimum(samples.n_earlier, k))[:, None]
    rows, columns = np.nonzero(newest >= first)
    free[rows, (newest - first)[rows, columns]] = -1
    free.sort(axis=1)
    position = _pad_last(np.concatenate([newest, free[:, kept:]], axis=1))  # the newest free ones, oldest first
    if not timed:
        position = np.where((samples.n_earlier > k)[:, None], position, shown.position)
    return Shown(samples, position)


def _pad_last(position: np.ndarray) -> np.ndarray:
    """Move the padding of each row to its end, in place, keeping the order of the rest."""
    rows = np.flatnonzero((position < 0).any(axis=1))  # most rows have none
    position[rows] = np.take_along_axis(position[rows], np.argsort(position[rows] < 0, axis=1, kind="stable"), axis=1)
    return position
