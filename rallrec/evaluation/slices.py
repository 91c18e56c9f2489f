"""Where a method is good and where it is not: slices of the test samples, and AUC within each user."""

import numpy as np
import pandas as pd

from ..data.past import item_statistics
from ..data.split import Samples, Split
from ..infra.errors import at_least
from .metrics import LEVEL, Estimate, compare, evaluate

RATERS = (0, 5, 50)  # borders between the slices of items, training ratings
EARLIER = (20, 50, 200)  # borders between the slices of users, earlier ratings
LEAST = 20  # samples of each class that a slice must hold to be judged


def slices(split: Split, samples: Samples) -> dict[str, np.ndarray]:
    """bool [n_samples] each: by ratings of the target in the training period, and by length of the history."""
    _, raters = item_statistics(split, samples)
    parts = {"all": np.ones(len(samples), bool)}
    for what, values, borders in (("item's ratings", raters, RATERS), ("history", samples.n_earlier, EARLIER)):
        for low, high in zip((-1, *borders), (*borders, np.inf), strict=True):
            inside = (values > low) & (values <= high)
            name = f"over {low:,}" if high == np.inf else f"{low + 1:,} to {high:,}"
            name = "none" if high == 0 else name
            parts[f"{what}: {name}"] = inside
    return parts


def by_slice(
    parts: dict[str, np.ndarray], samples: Samples, predictions: dict[str, np.ndarray], baseline: str
) -> pd.DataFrame:
    """AUC of each method on each slice, and its paired difference to ``baseline``.

    Slices with fewer than `LEAST` likes or dislikes are left out.

    Returns:
        Columns ``slice``, ``method``, ``auc`` and ``difference`` with ``_low`` and ``_high``, ``n``.
    """
    rows = []
    for name, inside in parts.items():
        some = samples.take(inside)
        if min(some.liked.sum(), (~some.liked).sum()) < LEAST:
            continue
        for method, p in predictions.items():
            e = evaluate(some, p[inside])["auc"]
            row = dict(slice=name, method=method, auc=e.value, auc_low=e.low, auc_high=e.high)
            if method != baseline:
                d = compare(some, p[inside], predictions[baseline][inside])["auc"]
                row |= dict(difference=d.value, difference_low=d.low, difference_high=d.high)
            rows.append(row | dict(n=len(some)))
    columns = ("slice", "method", "auc", "auc_low", "auc_high", "n", "difference", "difference_low", "difference_high")
    return pd.DataFrame(rows, columns=columns)


def user_auc(samples: Samples, p: np.ndarray, resamples: int = 1000, seed: int = 0) -> tuple[Estimate, int]:
    """Mean over users of the AUC within a user, with its interval, and the number of users it is over.

    Only users with likes and dislikes among the samples have one; where it is a single user, the interval is NaN.
    Nothing is gained here by knowing who likes much and who little, which AUC over all samples rewards.
    """
    order = np.lexsort((p, samples.user))
    user, liked, score = samples.user[order], samples.liked[order], np.asarray(p)[order]
    values = []
    for rows in np.split(np.arange(len(user)), np.flatnonzero(np.diff(user)) + 1):
        likes = liked[rows]
        if likes.all() or not likes.any():
            continue
        pairs = np.sign(score[rows][likes][:, None] - score[rows][~likes])
        values.append((pairs.mean() + 1) / 2)
    if not values:
        return Estimate(np.nan, np.nan, np.nan), 0
    values = np.array(values)
    drawn = np.random.default_rng(at_least("seed", seed, 0)).integers(0, len(values), (resamples, len(values)))
    tail = (1 - LEVEL) / 2 * 100
    low, high = np.percentile(values[drawn].mean(1), [tail, 100 - tail]) if len(values) > 1 else (np.nan, np.nan)
    return Estimate(float(values.mean()), float(low), float(high)), len(values)
