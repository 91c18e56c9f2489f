"""What comparisons say in words, and tables as records: the last cells of the notebooks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..data.split import Samples
from .metrics import METRICS, columns, compare, interval, verdict

CLAIM = {1: "holds", 0: "can't be told", -1: "does not hold"}  # by `verdict` of the difference
FINDING = {  # of a row that changes the full method
    1: "the full method is worse than this",
    0: "no difference can be told",
    -1: "the full method is better",
}


def claim(text: str, samples: Samples, p: np.ndarray, other: np.ndarray) -> dict[str, str | float | int]:
    """A row of the table of claims: is the AUC of ``p`` above that of ``other`` on the same samples?

    Returns:
        ``claim`` (the text), ``difference`` with ``_low`` and ``_high``, ``n``, ``verdict`` (a word of `CLAIM`).
    """
    e = compare(samples, p, other)["auc"]
    return dict(claim=text, **columns("difference", e), n=len(samples), verdict=CLAIM[e.verdict])


def said(row) -> str:
    """A row of `claim` (with attributes, as ``itertuples`` gives it) as a line of a list."""
    end = " at this sample size" if row.verdict == CLAIM[0] else ""
    return f"- *{row.claim}*: {row.verdict}{end} ({change(row)}, {row.n:,} samples)."


def finding(row) -> str:
    """What a row with ``difference_low`` and ``difference_high``, against the full method, says of it in words."""
    return FINDING[verdict(row.difference_low, row.difference_high)]


def change(row) -> str:
    """A row's ``difference`` and its interval, with their signs; see `metrics.interval`."""
    return interval(row.difference, row.difference_low, row.difference_high, "+")


def keyed(table: pd.DataFrame, columns: str | Sequence[str] = METRICS) -> dict:
    """A table with the column ``method`` as a record of numbers: ``{method: {column: value}}``.

    Of one column, given by its name alone: ``{method: value}``.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    record = table.set_index("method")[names].to_dict("index")  # raises where a method stands twice
    return {method: of[columns] for method, of in record.items()} if isinstance(columns, str) else record
