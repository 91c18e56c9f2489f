"""Which rows stay: those that can be right, then those of users and items with enough of them."""

import numpy as np
import pandas as pd

from ..infra.errors import InputError, at_least
from .rows import LeftOut


def kept(
    table: pd.DataFrame, left_out: LeftOut, checks: list[tuple[str, pd.Series, str]]
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that pass all checks, and what was left out.

    Args:
        table: indexed by the line in its file. left_out: of the same file, with what could not be read.
        checks: a column, bool [n_rows] whether its values can be right, and what is said of one that can't.

    Raises:
        InputError: too many rows are left out.
    """
    n_rows = len(table) + len(left_out)
    for column, sound, said in checks:
        for line, value in table[column][~sound].items():
            left_out.add(line, f"{column} {str(value)[:60]!r} {said}")
    return table[~table.index.isin(list(left_out.rows))], left_out.notes(n_rows)


def sound(table: pd.DataFrame, left_out: LeftOut, checks: list[tuple[str, pd.Series, str]]) -> pd.DataFrame:
    """As `kept`, of a part of a file that is read in parts: what is left out is told when all of it was read."""
    bad = ~np.logical_and.reduce([good for _, good, _ in checks])
    if not bad.any():
        return table
    first = int(np.argmax(bad))
    column, _, said = next(check for check in checks if not check[1].iloc[first])
    value = str(table[column].iloc[first])[:60]
    left_out.count(int(bad.sum()), int(table.index[first]), f"{column} {value!r} {said}")
    return table[~bad]


def latest(ratings: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Of each user and item the last rating, and how many others there were.

    Args:
        ratings: ``user_id`` and ``item_id``, whole numbers of at least 0; ``time``. Of one time the lower row is later.
    """
    if ratings.empty:
        return ratings, 0
    n_items = int(ratings["item_id"].max()) + 1
    pair = ratings["user_id"].to_numpy(np.int64) * n_items + ratings["item_id"].to_numpy()
    ordered = np.sort(pair)
    several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(several):  # as in the distributors' files
        return ratings, 0
    rows = np.flatnonzero(several[np.minimum(np.searchsorted(several, pair), len(several) - 1)] == pair)
    some = ratings.iloc[rows].set_axis(rows).sort_values("time", kind="stable")
    earlier = some.index[some.duplicated(["user_id", "item_id"], keep="last")]
    stays = np.ones(len(ratings), bool)
    stays[earlier] = False
    return ratings[stays], len(earlier)


def once(table: pd.DataFrame, column: str, what: str) -> tuple[pd.DataFrame, list[str]]:
    """The first row of each id in ``column``, and how many others there are."""
    again = table[column].duplicated()
    return table[~again], [f"{again.sum():,} {what} are listed again: the first row stays."] if again.any() else []


def rated_between(ratings: pd.DataFrame, column: str, least: int, most: int | None = None) -> pd.DataFrame:
    """The ratings whose user, or item (``column``), has at least ``least`` and at most ``most`` of them."""
    code, _ = pd.factorize(ratings[column])
    n = np.bincount(code)
    return ratings[((n >= least) & (n <= (np.inf if most is None else most)))[code]]


def enough(name: str, ratings: pd.DataFrame, what: str) -> pd.DataFrame:
    """``ratings``, if they are worth a study: by two users or more, of two items or more.

    Args:
        name: the data set's. what: made them what they are, for the message.

    Raises:
        InputError: they are not.
    """
    users, items = (ratings[column].nunique() for column in ("user_id", "item_id"))
    if users < 2 or items < 2:
        left = f"{users} user{'s' * (users != 1)} and {items} item{'s' * (items != 1)}" if users else "no rating"
        raise InputError(f"{name}: {what} leaves {left}; at least 2 users and 2 items are needed")
    return ratings


def limits(what: str, value: tuple[int, int | None]) -> tuple[int, int | None]:
    """A fewest and a most as whole numbers; None for the most is no bound.

    Raises:
        InputError: they aren't, or nothing can lie between them.
    """
    if not isinstance(value, list | tuple) or len(value) != 2:
        said = "it must be two whole numbers, the fewest and the most (None: any number)"
        raise InputError(f"{what} is {value!r}; {said}")
    least, most = at_least(f"{what}[0]", value[0], 0), value[1]
    return least, most if most is None else at_least(f"{what}[1]", most, max(least, 1))


def in_words(bounds: tuple[int, int | None]) -> str:
    """``at least 5``, or ``5 to 100``."""
    least, most = bounds
    return f"at least {least:,}" if most is None else f"{least:,} to {most:,}"
