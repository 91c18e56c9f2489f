"""Where a method is good and where it is not: slices of the test samples."""

import numpy as np
import pandas as pd

from ..data.past import item_statistics
from ..data.split import Samples, Split
from .metrics import adjust, interval, results_table

RATERS = (0, 5, 50)  # borders between the slices of items, training ratings
EARLIER = (20, 50, 200)  # borders between the slices of users, earlier ratings
LEAST = 20  # samples of each class that a slice must hold to be judged
COLUMNS = ["method", "auc", "auc_low", "auc_high"]
COLUMNS += ["difference", "difference_low", "difference_high", "difference_p", "n", "users"]


def slices(split: Split, samples: Samples) -> dict[str, np.ndarray]:
    """bool [n_samples] each: by ratings of the target in the training period, and by length of the history."""
    _, raters = item_statistics(split, samples)
    parts = {"all": np.ones(len(samples), bool)}
    for what, values, borders in (("item's ratings", raters, RATERS), ("history", samples.n_earlier, EARLIER)):
        # of all test samples: the names are the same for a part of them
        least = split.test.n_earlier.min() if what == "history" else 0
        for low, high in zip((-1, *borders), (*borders, np.inf), strict=True):
            inside = (values > low) & (values <= high)
            first = max(low + 1, min(least, high))
            name = f"over {low:,}" if high == np.inf else f"{first:,.0f} to {high:,}"
            name = "none" if high == 0 else name
            parts[f"{what}: {name}"] = inside
    return parts


def by_slice(
    parts: dict[str, np.ndarray], samples: Samples, predictions: dict[str, np.ndarray], baseline: str
) -> pd.DataFrame:
    """AUC of each method on each slice, and its paired difference to ``baseline``.

    Slices with fewer than `LEAST` likes or dislikes are left out.

    Returns:
        Columns ``slice``, then those of `results_table` that are of the AUC; ``adjusted_p`` counts all slices.
    """
    tables = [pd.DataFrame(columns=["slice", *COLUMNS])]
    for name, inside in parts.items():
        some = samples.take(inside)
        if min(some.liked.sum(), (~some.liked).sum()) >= LEAST:
            judged = results_table(some, {method: p[inside] for method, p in predictions.items()}, baseline)
            tables.append(judged[COLUMNS].assign(slice=name))
    return adjust(pd.concat(tables[1:] or tables, ignore_index=True)[["slice", *COLUMNS]])


def for_reading(table: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """A table of `by_slice` for reading: a line a slice, the baseline's AUC, and a column a method: its difference."""
    lines = []
    for name, rows in table.groupby("slice", sort=False):
        of = rows.set_index("method")
        first = of.loc[baseline]
        line = {"slice": name, "samples (users)": f"{first['n']:,} ({first['users']:,})"}
        line[f"AUC of {baseline}"] = f"{first['auc']:.3f}"
        for method in of.index.drop(baseline):
            row = of.loc[method]
            line[f"{method}, minus that"] = interval(
                row["difference"], row["difference_low"], row["difference_high"], "+"
            )
        lines.append(line)
    return pd.DataFrame(lines)
