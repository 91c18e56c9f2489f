"""Metrics under a bootstrap of users: what `metrics` makes its intervals of.

A user's samples resemble each other, so resampling rows would make every interval too narrow.
"""

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array

from ..infra.cache import default_cache, key_of, make_room
from ..infra.code import codes_of
from ..infra.errors import InputError, at_least
from .calibration import BINS, bins, calibration_floor

BLOCKS = 512  # into which more levels of a score are divided, see `aucs`
MOST_USERS = 4000  # of more users a table of pairs of users is larger than the scores are
CHUNK = 100  # replicates that are summed at once
MOST_KEPT = 400  # predictions whose metrics are kept in memory, 32 kB each of 1,000 replicates
MANY = 1000  # samples: what is computed of as many is kept in the cache
MOST_DRAWN = 2**28  # bytes of counts of users that are kept in memory, or one table of them
_KEPT: dict[str, dict[str, np.ndarray]] = {}
_DRAWN: dict[tuple[int, int, int], np.ndarray] = {}


def resampled_users(user: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each sample's user as a code, and how often each code counts in each replicate.

    Returns:
        int64 [n_samples] and float64 [1 + resamples, n_users]: in the first row each user once, in the
        others as many users as there are, drawn with replacement; NaN where there is one user, since no
        draw of them differs.
    """
    if not len(user):
        raise InputError("there are no samples to judge")
    at_least("resamples", resamples, 0)
    _, code = np.unique(user, return_inverse=True)
    return code, _drawn(int(code.max()) + 1, resamples, at_least("seed", seed, 0))


def _drawn(n: int, resamples: int, seed: int) -> np.ndarray:
    if (of := (n, resamples, seed)) not in _DRAWN:
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
        counts = np.concatenate([np.ones((1, n)), drawn if n > 1 else np.full(drawn.shape, np.nan)])
        counts.flags.writeable = False  # the next caller is given the same array
        make_room(_DRAWN, counts, MOST_DRAWN)
        _DRAWN[of] = counts
    return _DRAWN[of]


def metrics_of(liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric under each row of ``drawn`` [replicates, n_users], and `calibration_floor`.

    A table's row stands in many comparisons: what was computed last is kept in memory.

    Args:
        user: each sample's column of ``drawn``.
        drawn: of `resampled_users`; its last draw tells with what seed all were made.
    """
    return _kept(_metrics_of, liked, p, user, drawn)


def kept_aucs(liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """`aucs`, kept as `metrics_of` are."""
    return _kept(_auc_alone, liked, p, user, drawn)["auc"]


def _kept(make: Callable, liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> dict:
    """What ``make`` gives of the others: out of memory or, of `MANY` samples, the cache, if it is there."""
    of = dict(step=make.__name__, liked=liked, p=p, user=user, drawn=drawn[-1], shape=drawn.shape)
    key = key_of(code=codes_of(metrics_of, bins), **of)
    if key not in _KEPT:
        if len(p) < MANY:
            made = make(liked, p, user, drawn)
        else:
            made = default_cache().small(dict(step="metrics", of=key), lambda: make(liked, p, user, drawn))
        if len(_KEPT) == MOST_KEPT:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[key] = made
        for replicates in made.values():
            replicates.flags.writeable = False  # the next caller is given the same arrays
    return _KEPT[key]


def _metrics_of(liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    n = drawn.shape[1]
    total = drawn @ np.bincount(user, minlength=n)
    total = np.where(total > 0, total, np.nan)  # a replicate may draw none of the few users that are judged
    return {
        "auc": aucs(liked, p, user, drawn),
        "log_loss": drawn @ np.bincount(user, losses(liked, p), n) / total,
        "accuracy": drawn @ np.bincount(user, (p > 0.5) == liked, n) / total,
        "calibration_error": _calibration(liked, p, user, drawn, total),
        "calibration_floor": np.array(calibration_floor(p)),
    }


def losses(liked: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The log loss of each sample."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -np.log(np.where(liked, p, 1 - p))


def _calibration(liked, p, user, drawn, total) -> np.ndarray:
    """Calibration error under each row of ``drawn``; the bins stay those of the sample.

    A replicate holds the sample's noise and its own, so that its error lies higher by about as much as the sample's
    does over the true one. The replicates are moved down by that: their mean is the sample's error.
    """
    n = drawn.shape[1]
    excess = np.bincount(user * BINS + bins(p), p - liked, n * BINS).reshape(n, BINS)
    errors = np.abs(drawn @ excess).sum(1) / total
    if len(errors) > 1 and not np.isnan(errors[1:]).all():
        errors[1:] = np.maximum(errors[1:] - (np.nanmean(errors[1:]) - errors[0]), 0)
    return errors


def _auc_alone(liked, p, user, drawn) -> dict[str, np.ndarray]:
    return {"auc": aucs(liked, p, user, drawn)}


def aucs(liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """AUC under each row of ``drawn``: the share of (like, dislike) pairs in the right order, ties half.

    The scores are sorted once, and users' likes and dislikes counted in blocks of levels; a replicate then is a
    product with its counts of users. Pairs within a block count as ties there; in what many levels share a block, a
    table [n_users, n_users] of such pairs says by how much that is wrong. All sums are of whole numbers and halves, so
    no rounding depends on the way they are added.
    """
    levels, group, size = np.unique(p, return_inverse=True, return_counts=True)
    n_users = drawn.shape[1]
    exact = len(levels) <= BLOCKS or n_users > MOST_USERS
    block = group if exact else _blocks(size)[group]
    n_blocks = int(block.max()) + 1
    likes, dislikes = (
        csr_array((np.ones(rows.sum()), (user[rows], block[rows])), (n_users, n_blocks)) for rows in (liked, ~liked)
    )
    inside = None if exact else _inside(liked, group, user, block, n_users)
    out = np.empty(len(drawn))
    for first in range(0, len(drawn), CHUNK):
        w = drawn[first : first + CHUNK]
        a, b = w @ likes, w @ dislikes
        right = won(a, b)
        if inside is not None:
            right += (w @ inside * w).sum(1)
        pairs = a.sum(1) * b.sum(1)
        out[first : first + CHUNK] = np.divide(right, pairs, where=pairs != 0, out=np.full(len(w), np.nan))
    return out


def won(likes: np.ndarray, dislikes: np.ndarray) -> np.ndarray:
    """Pairs in which the like's level is above the dislike's, ties half; counts by level, [..., n_levels]."""
    return (likes * (np.cumsum(dislikes, -1) - dislikes / 2)).sum(-1)


def _blocks(size: np.ndarray) -> np.ndarray:
    """The block of each level, of levels with ``size`` samples: about `BLOCKS`; a level that fills one has its own."""
    most = size.sum() // BLOCKS + 1
    window, large = (np.cumsum(size) - size) // most, size >= most
    return np.cumsum(np.concatenate([[0], (np.diff(window) > 0) | large[1:] | large[:-1]]))


def _inside(liked, group, user, block, n_users: int) -> np.ndarray:
    """Half of pairs won less half of pairs lost within a block, by users of like and dislike, [n_users, n_users]."""
    table = np.zeros(n_users * n_users)
    order = np.argsort(block, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
        a, b = rows[liked[rows]], rows[~liked[rows]]
        half = np.sign(group[a][:, None] - group[b]) / 2
        np.add.at(table, (user[a][:, None] * n_users + user[b]).ravel(), half.ravel())
    return table.reshape(n_users, n_users)
