"""What the past tells of an item and of a user, without a look at the future."""

from functools import lru_cache

import numpy as np

from .split import Samples, Split


def item_statistics(
    split: Split, samples: Samples, prior: float = 5.0, values: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean rating and number of ratings of each target item in what may be seen of the past.

    For samples of the training period: the ratings before the sample. For later ones: the whole
    training period. Without time: all training ratings that are no targets, nor the sample's own. The
    mean is drawn towards the global mean as by ``prior`` ratings of that value.

    Args:
        values: [n_ratings], what the mean is of; by default the rating. ``data.liked`` gives the share of likes.

    Returns:
        mean (float64 [n_samples]), count (int64 [n_samples]).
    """
    data, seen = split.data, split.train_ratings
    values = data.rating if values is None else values
    overall = values[seen].mean(dtype=float)
    whole = any(samples is part for part in (split.train, split.valid, split.test))
    order, begin, end = (_seen_of_part if whole else _seen_of)(split, samples)
    total = np.concatenate([[0], np.cumsum(values[order], dtype=float)])
    count, sums = end - begin, total[end] - total[begin]
    if not data.timed:  # an item of the history is no target, so its own rating is among those seen
        own = np.isin(samples.position, order)
        count, sums = count - own, sums - np.where(own, values[samples.position], 0)
    return (sums + prior * overall) / (count + prior), count


def _seen_of(split: Split, samples: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ratings that may be seen, by item and then time, and where in them those before each sample begin and end."""
    data = split.data
    order, key = _by_item(split)
    first = samples.item.astype(np.int64) * (data.n_ratings + 1)
    until = data.rank[samples.position] if data.timed else 1
    return order, np.searchsorted(key, first), np.searchsorted(key, first + until)


_seen_of_part = lru_cache(maxsize=6)(_seen_of)  # of two splits; whole parts are asked for again and again


@lru_cache(maxsize=2)
def _by_item(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the ratings that may be seen, by item and then time, and the number that sorts them so."""
    data, seen, rank = split.data, split.train_ratings, split.data.rank
    if not data.timed:  # a target's own rating must not be in what predicts it, in training as in test
        seen, rank = np.setdiff1d(seen, split.train.position), np.zeros(data.n_ratings, np.int64)
    order = seen[np.lexsort((rank[seen], data.item[seen]))]
    return order, data.item[order].astype(np.int64) * (data.n_ratings + 1) + rank[order]


def user_mean(samples: Samples, overall: float, prior: float = 5.0) -> np.ndarray:
    """Mean of each user's earlier ratings, drawn towards ``overall``, float64 [n_samples]."""
    data = samples.data
    total = np.concatenate([[0], np.cumsum(data.rating, dtype=float)])
    earlier = total[samples.position] - total[samples.position - samples.n_earlier]
    return (earlier + prior * overall) / (samples.n_earlier + prior)
