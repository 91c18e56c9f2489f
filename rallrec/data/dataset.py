"""Ratings of items by users: the one form in which every data set is used.

One owner of identity: the row number in `Dataset.items` and `Dataset.users` is the code used
everywhere inside; raw ids live in their columns and appear only when reading and showing.
"""

from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..infra.cache import key_of
from ..infra.errors import InputError

TOLD = ("name", "notes", "unrated")  # fields that change no result
EXACT = 2**53  # below it a float holds every whole number
TIES = 0.05  # share of a user's neighbouring ratings of one time above which a note tells of them


@dataclass(frozen=True)
class Words:
    """How a data set's items are spoken of, in prompts and in prose."""

    item: str = "film"
    items: str = "films"
    consumed: str = "watched"
    user: str = "viewer"
    category: str = "genre"
    aspects: str = (
        "its plot, themes and genre, setting, main characters and actors, director and style, "
        "tone, and place in culture"
    )


@dataclass(frozen=True, eq=False)
class Dataset:
    """Ratings, each stored once, ordered by user and then by time.

    Attributes:
        items: one row an item; ``item_id``, ``title`` and attribute columns. Row number = code.
        users: one row a user; ``user_id`` and attribute columns. Row number = code.
        user, item: int32 [n_ratings], codes. ``user`` is sorted.
        rating: float32 [n_ratings].
        time: int64 [n_ratings], seconds; ascending within a user. Where the data have no timestamps, each
            rating's place in the user's shuffled list.
        scale: lowest and highest rating possible.
        like_above: a rating above this is a like.
        item_attributes, user_attributes: the columns that prompts may show.
        timed: whether ``time`` is a time.
        beside_title: the item column that prompts show in brackets after the title.
        category: the item column that says what kind of item it is, and what separates several kinds
            in a cell (None: a cell is one).
        unrated: the value that stands for no rating given; None where each rating is one.
        notes: what reading left out or mended, and what to know of the labels, a sentence each.
    """

    name: str
    items: pd.DataFrame
    users: pd.DataFrame
    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    scale: tuple[float, float] = (1, 5)
    like_above: float = 3
    words: Words = Words()
    item_attributes: tuple[str, ...] = ()
    user_attributes: tuple[str, ...] = ()
    timed: bool = True
    beside_title: str | None = "year"
    category: tuple[str, str | None] | None = ("genres", ", ")
    unrated: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_items(self) -> int:
        return len(self.items)

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def n_ratings(self) -> int:
        return len(self.rating)

    @cached_property
    def start(self) -> np.ndarray:
        """int64 [n_users + 1]: ratings ``start[u]`` to ``start[u + 1] - 1`` are user u's, in time order."""
        return np.searchsorted(self.user, np.arange(self.n_users + 1))

    @cached_property
    def liked(self) -> np.ndarray:
        """bool [n_ratings]: rating > `like_above`."""
        return self.rating > self.like_above

    @cached_property
    def by_time(self) -> np.ndarray:
        """int64 [n_ratings]: positions of the ratings ordered by (time, user, place in the user's history)."""
        return np.argsort(self.time, kind="stable")

    @cached_property
    def rank(self) -> np.ndarray:
        """int64 [n_ratings]: each rating's place in `by_time`."""
        place = np.empty(self.n_ratings, np.int64)
        place[self.by_time] = np.arange(self.n_ratings)
        return place

    @cached_property
    def hash(self) -> str:
        """Short digest of everything that results can depend on: of every field but those that are only told."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in TOLD}
        return key_of(**{name: _plain(value) for name, value in values.items()})[:16]

    def __repr__(self) -> str:
        return (
            f"{self.name}: {self.n_ratings:,} ratings by {self.n_users:,} users of {self.n_items:,} "
            f"{self.words.items}, {self.liked.mean():.1%} likes"
        )


def _plain(value):
    """A field's value as `key_of` takes it; 3.0 is 3."""
    if isinstance(value, pd.DataFrame):
        return value.to_csv(index=False, lineterminator="\n")
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return asdict(value) if is_dataclass(value) else value


def build(name: str, ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame, **settings) -> Dataset:
    """Make a `Dataset` of raw tables, whatever the order of their rows.

    Args:
        ratings: ``user_id``, ``item_id``, ``rating``, ``time`` (seconds) and, if it is known, ``microsecond``.
        items: ``item_id``, ``title``, attributes. users: ``user_id``, attributes.
        settings: the other fields of `Dataset`. With ``timed=False`` no ``time`` is needed: each user's
            ratings are shuffled, the same way whatever the order of the rows.

    Codes follow the raw ids (numbers by value), so permuting a table changes nothing. Ratings of
    the same user and time are ordered by raw item id; where they are many, a note says so.

    Raises:
        InputError: an id twice in a table, an item without a title, an unknown id in ``ratings``, a pair
            rated twice, a rating off the scale, or a `like_above` that makes every rating possible the same.
    """
    low, high = settings.get("scale", Dataset.scale)
    above = settings.get("like_above", Dataset.like_above)
    if isinstance(above, bool) or not isinstance(above, int | float | np.number) or not low <= above < high:
        raise InputError(
            f"{name}: like_above is {above!r}; it must be a number from {low:g} to less than {high:g}, "
            f"the ends of the scale"
        )
    items, users = _ordered(items, "item_id", name), _ordered(users, "user_id", name)
    if (empty := items["title"] == "").any():
        raise InputError(f"{name}: item {items['item_id'][int(np.flatnonzero(empty)[0])]} has no title")
    codes = {}
    for table, column in ((users, "user_id"), (items, "item_id")):
        code = pd.Index(table[column]).get_indexer(ratings[column])
        if (code < 0).any():
            row = int(np.flatnonzero(code < 0)[0])
            raise InputError(f"{_line(name, ratings, row)}: {column} {ratings[column].iloc[row]} is unknown")
        codes[column] = code.astype(np.int32)
    rating = ratings["rating"].to_numpy(np.float32)
    if not ((rating >= low) & (rating <= high)).all():
        row = int(np.flatnonzero(~((rating >= low) & (rating <= high)))[0])
        raise InputError(f"{_line(name, ratings, row)}: rating {rating[row]:g} is off the scale {low:g} to {high:g}")
    time = _places(**codes) if not settings.get("timed", True) else ratings["time"].to_numpy(np.int64)
    ties = [ratings["microsecond"].to_numpy()] if settings.get("timed", True) and "microsecond" in ratings else []
    order = _order(codes["user_id"], codes["item_id"], [time, *ties])
    user, item, rating, *times = (x[order] for x in (codes["user_id"], codes["item_id"], rating, time, *ties))
    settings["notes"] = (*settings.get("notes", ()), *_notes(user, times, rating > above))
    data = Dataset(name, items, users, user, item, rating, times[0], **settings)
    pair = user.astype(np.int64) * data.n_items + item
    pair.sort()
    if (again := pair[1:] == pair[:-1]).any():
        user, item = divmod(int(pair[1:][again][0]), data.n_items)
        raise InputError(
            f"{name}: user {users.user_id[user]} rated item {items.item_id[item]} more than once; keep one rating"
        )
    return data


def _order(user: np.ndarray, item: np.ndarray, times: list[np.ndarray]) -> np.ndarray:
    """Places of the ratings ordered by user, then each of ``times``, then item, int64 [n_ratings].

    Files are mostly in order of users and items. One stable sort of such ratings, by one number each, takes a tenth of
    what sorting them three times does.
    """
    in_order = (user[1:] > user[:-1]) | ((user[1:] == user[:-1]) & (item[1:] >= item[:-1]))
    if len(user) and len(times) == 1 and in_order.all():
        first = int(times[0].min())
        span = int(times[0].max()) - first + 1
        if span * (int(user[-1]) + 1) < 2**63:
            return np.argsort(user.astype(np.int64) * span + (times[0] - first), kind="stable")
    return np.lexsort((item, *times[::-1], user))


def _notes(user: np.ndarray, times: list[np.ndarray], liked: np.ndarray) -> list[str]:
    """What to know of ratings in their order: that it is in part arbitrary, or that all or none are likes."""
    notes = []
    neighbours = user[1:] == user[:-1]
    same = neighbours.copy()
    for part in times:
        same &= part[1:] == part[:-1]
    if same.sum() > TIES * neighbours.sum():
        days = " (times are whole days)" if not (times[0] % 86_400).any() else ""
        notes.append(
            f"{percent(same[neighbours])} of neighbouring ratings of a user have the same time{days}; "
            f"they are ordered by item id, which is arbitrary."
        )
    if len(liked) and liked.all() | ~liked.any():
        notes.append(f"{'Every' if liked.all() else 'No'} rating is a like, so there is nothing to tell apart.")
    return notes


def _places(user_id: np.ndarray, item_id: np.ndarray, seed: int = 0) -> np.ndarray:
    """Each rating's place in its user's list, shuffled with a fixed seed, int64 [n_ratings]."""
    canonical = np.lexsort((item_id, user_id))
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(canonical)), user_id[canonical]))
    user = user_id[canonical][shuffled]
    place = np.empty(len(user), np.int64)
    place[canonical[shuffled]] = np.arange(len(user)) - np.searchsorted(user, user)
    return place


def percent(true: np.ndarray) -> str:
    """The share of what is true, in words: ``67 %``, ``0.34 %``."""
    share = 100 * np.mean(true)
    return f"{share:.0f} %" if share >= 1 or share == 0 else f"{share:.2g} %"


def _line(name: str, table: pd.DataFrame, row: int) -> str:
    """Where a row of a table came from: the file and, as its index, the line if it was read from a file."""
    return f"{table.attrs['path']}:{table.index[row]}" if "path" in table.attrs else f"{name}: row {row + 1}"


def _ordered(table: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    if table[column].duplicated().any():
        raise InputError(f"{name}: {column} {table[column][table[column].duplicated()].iloc[0]} is listed twice")
    return table.sort_values(column, kind="stable").reset_index(drop=True)
