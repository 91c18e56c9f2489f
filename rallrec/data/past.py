"""What the past tells of an item and of a user, without a look at the future."""

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
    rank = data.rank
    if not data.timed:  # a target's own rating must not be in what predicts it, in training as in test
        seen, rank = np.setdiff1d(seen, split.train.position), np.zeros(data.n_ratings, np.int64)
    order = seen[np.lexsort((rank[seen], data.item[seen]))]  # by item, then time
    total = np.concatenate([[0], np.cumsum(values[order], dtype=float)])
    # where in `order` the item's ratings begin, and where those before the sample end
    key = data.item[order].astype(np.int64) * (data.n_ratings + 1) + rank[order]
    first = samples.item.astype(np.int64) * (data.n_ratings + 1)
    until = rank[samples.position] if data.timed else 1
    begin, end = np.searchsorted(key, first), np.searchsorted(key, first + until)
    count, sums = end - begin, total[end] - total[begin]
    if not data.timed:  # an item of the history is no target, so its own rating is among those seen
        own = np.isin(samples.position, seen)
        count, sums = count - own, sums - np.where(own, values[samples.position], 0)
    return (sums + prior * overall) / (count + prior), count


def user_mean(samples: Samples, overall: float, prior: float = 5.0) -> np.ndarray:
    """Mean of each user's earlier ratings, drawn towards ``overall``, float64 [n_samples]."""
    data = samples.data
    total = np.concatenate([[0], np.cumsum(data.rating, dtype=float)])
    earlier = total[samples.position] - total[samples.position - samples.n_earlier]
    return (earlier + prior * overall) / (samples.n_earlier + prior)
