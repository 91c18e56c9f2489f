"""A sample as fields, whole numbers, for what is trained on ids, attributes and the past, without retrieval."""

import numpy as np
import pandas as pd

from ..data.past import item_statistics, user_mean
from ..data.split import Samples, Split
from ..retrieval.selectors import last

BUCKETS = 20


def fields(split: Split, samples: Samples, history: int) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """A sample as whole numbers: user and item, their attributes, buckets of their past, and the last items.

    Returns:
        Fields, int64 [n_samples] each, and ``liked items`` and ``disliked items``, int64 [n_samples, history]
        (item code + 1; 0 is padding); and how many values each field has.
    """
    data = split.data
    values, sizes = {}, {}

    def add(name: str, column: np.ndarray, size: int) -> None:
        values[name], sizes[name] = column.astype(np.int64), int(size)

    add("user", samples.user, data.n_users)
    add("item", samples.item + 1, data.n_items + 1)  # 0 is padding, as in the bags
    for table, names, code in (
        (data.users, data.user_attributes, samples.user),
        (data.items, data.item_attributes, samples.item),
    ):
        for name in names:
            kinds, distinct = pd.factorize(table[name].astype(str))
            add(name, kinds[code], len(distinct))
    for name, of in past(split).items():
        edges = np.unique(np.quantile(of(split.train), np.linspace(0, 1, BUCKETS + 1)[1:-1]))
        add(name, np.searchsorted(edges, of(samples)), len(edges) + 1)
    shown = last(samples, history)
    for name, kept in (("liked items", shown.real & shown.liked), ("disliked items", shown.real & ~shown.liked)):
        add(name, np.where(kept, shown.item + 1, 0), data.n_items + 1)
    return values, sizes


def past(split: Split) -> dict:
    """What is known of item and user before each sample, by its name: functions of samples, float [n_samples]."""
    overall = split.data.rating[split.train_ratings].mean(dtype=float)
    return {
        "item's mean rating": lambda s: item_statistics(split, s)[0],
        "item's ratings": lambda s: item_statistics(split, s)[1],
        "user's mean rating": lambda s: user_mean(s, overall),
        "user's ratings": lambda s: s.n_earlier,
    }
