"""What comparisons say in words, and tables as records: the last cells of the notebooks."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..data.split import Samples
from .metrics import METRICS, adjust, columns, compare, interval, verdict

CLAIM = {1: "holds", 0: "inconclusive", -1: "does not hold"}  # by `verdict` of the difference
NOTHING = "it changes nothing"  # of a row with the very predictions of the full method


def claim(text: str, samples: Samples, p: np.ndarray, other: np.ndarray) -> dict[str, str | float | int]:
    """A row for `judged`: is the AUC of ``p`` above that of ``other`` on the same samples?

    Args:
        p, other: as for `metrics.compare`; of several trainings, [n_seeds, n_samples].

    Returns:
        ``claim`` (the text), ``difference`` with ``_low``, ``_high`` and ``_p``, ``n`` samples, ``users``.
    """
    e = compare(samples, p, other)["auc"]
    return dict(claim=text, **columns("difference", e), n=len(samples), users=e.users)


def judged(claims: Iterable[dict]) -> pd.DataFrame:
    """The table of claims: rows of `claim` with ``adjusted_p``, all of them one family, and ``verdict``, of `CLAIM`.

    A claim holds where its interval lies above zero and its adjusted p-value is at most 0.05 (see `metrics.adjusted`).
    """
    table = adjust(pd.DataFrame(list(claims)))
    return table.assign(verdict=[CLAIM[_verdict(row)] for row in table.itertuples()])


def summed(table: pd.DataFrame) -> str:
    """Which rows of a results table are above its baseline, which below, and of which that is inconclusive.

    Args:
        table: as `metrics.results_table` gives it, without the baseline's own row.

    Returns:
        Markdown: a sentence a verdict, the differences of what is decided in brackets.
    """
    told = {"Higher": [], "Lower": [], "Inconclusive": [], "Identical predictions": []}
    for row in table.itertuples():
        decided = f"{row.method} ({change(row)})"
        where = {1: ("Higher", decided), -1: ("Lower", decided), 0: ("Inconclusive", row.method)}[_verdict(row)]
        lead, name = ("Identical predictions", row.method) if _identical(row) else where
        told[lead].append(name)
    return " ".join(f"**{lead}**: {'; '.join(names)}." for lead, names in told.items() if names)


def change(row) -> str:
    """A row's ``difference`` and its interval, with their signs; see `metrics.interval`."""
    return interval(row.difference, row.difference_low, row.difference_high, "+")


def _verdict(row) -> int:
    return verdict(row.difference_low, row.difference_high, row.adjusted_p)


def _identical(row) -> bool:
    return row.difference == row.difference_low == row.difference_high == 0


def chosen(row, why: str) -> str:
    """A setting that is kept on all data sets, and what its study says of it on these: a sentence.

    Args:
        row: of a `metrics.results_table` whose baseline is without the setting. why: it is kept.
    """
    words = {1: "it helps", 0: "inconclusive", -1: "it hurts"}
    here = NOTHING if _identical(row) else words[_verdict(row)]
    return f"*{row.method}* {why}; on these {row.n:,} samples it changes the AUC by {change(row)}: {here}."


CHANCE = {1: "above chance", -1: "below chance", 0: "not told from chance"}


def against_chance(low: float, high: float, chance: float = 0.5) -> str:
    """What an interval says of a value and of chance, by default that of an AUC: a word of `CHANCE`."""
    return CHANCE[verdict(low - chance, high - chance)]


def calibrated(
    table: pd.DataFrame, samples: Samples, predictions: dict[str, np.ndarray], method: str, parts: Sequence[str]
) -> str:
    """The calibration error of a combination beside those of what it combines, and minus the best of these: a sentence.

    Args:
        table: a `metrics.results_table` of ``samples``. predictions: of the combination and its parts, by their rows.
        method: the combination's row. parts: the rows of its readers.
    """
    rows = table.set_index("method")

    def error(name: str) -> str:
        row = rows.loc[name]
        cell = interval(row.calibration_error, row.calibration_error_low, row.calibration_error_high)
        return f"{cell} ({name}; by chance alone {row.calibration_floor:.3f})"

    best = rows.calibration_error[list(parts)].idxmin()
    e = compare(samples, predictions[method], predictions[best])["calibration_error"]
    lead = {1: "is less well calibrated than", -1: "is better calibrated than", 0: "can't be told from"}[e.verdict]
    by = f"{interval(e.value, e.low, e.high, '+')} against {best}"
    errors = ", ".join(map(error, (method, *parts)))
    return f"The combination {lead} its best part{' in calibration' * (not e.verdict)}: error {errors}; {by}, paired."


def keyed(table: pd.DataFrame, columns: str | Sequence[str] = METRICS) -> dict:
    """A table with the column ``method`` as a record of numbers: ``{method: {column: value}}``.

    Of one column, given by its name alone: ``{method: value}``.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    record = table.set_index("method")[names].to_dict("index")  # raises where a method stands twice
    return {method: of[columns] for method, of in record.items()} if isinstance(columns, str) else record
