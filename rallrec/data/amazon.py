"""Amazon reviews of films and television: the layouts of 2014 (McAuley), 2018 (Ni et al.) and 2023 (Hou et al.)."""

import ast
import html
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..infra.errors import InputError, at_least
from .dataset import Dataset, build
from .filters import enough, limits, rated_between
from .raw import Archive, damaged, located, opened
from .rows import LeftOut
from .text import clean_id, one_line

_SITE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/"
# other names under which users have the same, those of 2023 and of 2014 last
REVIEWS, META = (
    Archive(
        "amazon-movies",
        f"{kind}Movies_and_TV.json.gz",
        f"{_SITE}{folder}/{kind}Movies_and_TV.json.gz",
        names=(*(f"{kind}Movies_and_TV.{ending}" for ending in ("json", "jsonl.gz", "jsonl")), *older),
    )
    for kind, folder, older in (
        (
            "",
            "categoryFiles",
            ("reviews_Movies_and_TV.json.gz", "reviews_Movies_and_TV.json")
            + tuple(f"{start}Movies_and_TV_5.json{ending}" for start in ("", "reviews_") for ending in (".gz", "")),
        ),
        ("meta_", "metaFiles2", ()),
    )
)
# fields of the layouts: the first that a line has is taken
_USER, _ITEM = ("reviewerID", "user_id"), ("parent_asin", "asin")
_RATING, _TIME = ("overall", "rating"), ("unixReviewTime", "timestamp")
_MILLISECONDS = 10**11  # a time stamp above this counts milliseconds: the layout of 2023
_LATEST = 10**13  # milliseconds
_NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?\s*")
_MARKUP = re.compile(r"</?(a|b|big|br|div|em|font|i|li|p|small|span|strong|sub|sup|u|ul)(\s[^<>]*)?/?>", re.IGNORECASE)


def amazon_movies(
    n_categories: int = 3,
    user_ratings: tuple[int, int] = (11, 200),
    item_ratings: tuple[int, int] = (10, 200),
    most_rated: int = 5000,
    like_above: float = 3,
) -> Dataset:
    """Amazon Movies and TV.

    Args:
        n_categories: only items whose category list has this many entries; the third is the genre.
        user_ratings, item_ratings: fewest and most ratings of a user and of an item that stay; applied
            again and again until nothing changes.
        most_rated: of the items left, this many with the most ratings stay.
    """
    at_least("n_categories", n_categories, 3)
    user_ratings, item_ratings = limits("user_ratings", user_ratings), limits("item_ratings", item_ratings)
    most_rated = at_least("most_rated", most_rated, 2)
    reviews, meta = located(REVIEWS), located(META)
    items, notes = _items(meta, n_categories)
    ratings, more = _ratings(reviews, set(items["item_id"]))
    notes += more
    if "_5." in reviews.name:
        notes.append(f"{reviews.name} is a 5-core: users and titles with fewer than 5 ratings were left out before.")
    n = len(ratings)
    ratings = ratings.sort_values("time", kind="stable").drop_duplicates(["user_id", "item_id"], keep="last")
    if n > len(ratings):
        notes.append(f"{n - len(ratings):,} ratings that the same user later gave anew to the same title are left out.")
    enough("amazon-movies", ratings, f"{reviews.name} together with {meta.name} ({n_categories=})")
    enough("amazon-movies", rated_between(ratings, "user_id", *user_ratings), f"{user_ratings=}")
    enough("amazon-movies", rated_between(ratings, "item_id", *item_ratings), f"{item_ratings=}")
    ratings = _core(ratings, user_ratings, item_ratings)
    enough("amazon-movies", ratings, f"{user_ratings=} with {item_ratings=}")
    counts = ratings["item_id"].value_counts()
    keep = counts.reset_index().sort_values(["count", "item_id"], ascending=[False, True])["item_id"][:most_rated]
    ratings = enough("amazon-movies", ratings[ratings["item_id"].isin(keep)], f"{most_rated=}")
    items = items[items["item_id"].isin(ratings["item_id"])]
    return build(
        "amazon-movies",
        ratings,
        items,
        pd.DataFrame({"user_id": np.unique(ratings["user_id"])}),
        like_above=like_above,
        item_attributes=("genres",),
        beside_title="genres",
        notes=(*notes, *damaged(items["title"])),
    )


def _core(ratings: pd.DataFrame, user_ratings: tuple[int, int], item_ratings: tuple[int, int]) -> pd.DataFrame:
    """The ratings that stay when users and items outside their bounds go, until none is outside."""
    while True:
        n = len(ratings)
        for column, bounds in (("user_id", user_ratings), ("item_id", item_ratings)):
            ratings = rated_between(ratings, column, *bounds)
        if len(ratings) == n:
            return ratings


def _items(path: Path, n_categories: int) -> tuple[pd.DataFrame, list[str]]:
    """Titled items with a category list of the right length, the first of each id; what was left out or mended."""
    rows, lines, n_nested, n_repeated, depths = {}, _Lines(path), 0, 0, Counter()
    for number, entry in lines:
        item, title = _id(_first(entry, _ITEM)), entry.get("title")
        categories = entry.get("category") or entry.get("categories") or []
        if isinstance(categories, list) and categories and isinstance(categories[0], list):
            categories, n_nested = categories[0], n_nested + 1
        if not item:
            lines.left_out.add(number, "the item has no id")
        elif not (title is None or type(title) in (str, int, float)):
            lines.left_out.add(number, f"title {str(title)[:60]} is no text")
        elif not (isinstance(categories, list) and all(isinstance(c, str) for c in categories)):
            lines.left_out.add(number, f"the categories {str(categories)[:60]} are no list of texts")
        elif title := "" if title is None or title != title else _text(str(title)):  # NaN is not itself
            depths[len(categories)] += 1
            if len(categories) == n_categories:
                n_repeated += item in rows
                rows.setdefault(item, (title, _text(categories[2])))
    notes = lines.notes()
    if not rows:
        have = ", ".join(f"{n:,} have {depth}" for depth, n in depths.most_common(3)) or "none has a title"
        raise InputError(
            f"{path}: no item with a title has {n_categories} categories, as n_categories wants, of which the third "
            f"is the genre ({have})"
        )
    if n_nested:
        notes.append(f"{n_nested:,} lines of {path.name} list several category lists: the first is used.")
    if n_repeated:
        notes.append(f"{n_repeated:,} lines of {path.name} describe an item again: the first stays.")
    table = pd.DataFrame([(item, *row) for item, row in rows.items()], columns=["item_id", "title", "genres"])
    return table, notes


def _ratings(path: Path, items: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """The ratings of ``items``, and what was left out or mended."""
    columns, lines, other = ([], [], [], []), _Lines(path), 0
    for number, entry in lines:
        user, item, rating, time = (_first(entry, names) for names in (_USER, _ITEM, _RATING, _TIME))
        if not isinstance(item, str) or item not in items:
            item = _id(item)
            if item and item not in items:
                other += 1
                continue
        values = _id(user), item, _number(rating), _number(time)
        if not item:
            lines.left_out.add(number, "the review names no item")
        elif not values[0]:
            lines.left_out.add(number, "the review names no user")
        elif not 1 <= values[2] <= 5:
            lines.left_out.add(number, f"rating {str(rating)[:60]} is no number from 1 to 5")
        elif not 0 <= values[3] < _LATEST:
            lines.left_out.add(number, f"time {str(time)[:60]} is no number of seconds or milliseconds")
        else:
            for column, value in zip(columns, values, strict=True):
                column.append(value)
    notes = lines.notes()
    table = pd.DataFrame(dict(zip(("user_id", "item_id", "rating", "time"), columns, strict=True)))
    table = table.astype({"rating": float, "time": np.int64})
    table["time"] = table["time"].where(table["time"] < _MILLISECONDS, table["time"] // 1000)
    said = f"{other:,} ratings of items without a title or with another depth of categories are left out."
    return table, [said, *notes]


def _first(entry: dict, names: tuple[str, ...]):
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _id(value) -> str:
    """An id as it is compared; empty where there is none."""
    return clean_id(value) if isinstance(value, str) else str(value) if type(value) is int else ""


def _number(value) -> float:
    """A number, or a text that is one; NaN where there is none."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else math.nan
    return value if type(value) in (float, int) else math.nan  # bool is no number


def _text(text: str) -> str:
    return one_line(_MARKUP.sub(" ", html.unescape(text)))


class _Lines:
    """Number and content of every line of a file that holds an object: JSON, or a Python dict as in 2014.

    Attributes:
        left_out: the lines that can't be right.
    """

    def __init__(self, path: Path):
        self.path, self.left_out = path, LeftOut(str(path), f"lines of {path.name}")
        self.n = self.n_dicts = 0

    def __iter__(self) -> Iterator[tuple[int, dict]]:
        n_blank = number = 0
        with opened(self.path) as f:
            for number, line in enumerate(f, start=1):
                if not line.strip():
                    n_blank += 1
                    continue
                text = line.decode("utf-8", errors="replace")
                try:
                    entry = json.loads(text)
                except (ValueError, RecursionError):  # a number of 5,000 digits is no JSONDecodeError
                    entry = self._otherwise(text)
                if isinstance(entry, dict):
                    yield number, entry
                else:
                    self.left_out.add(number, f"no JSON object: {text.strip()[:40]!r}")
        self.n = number - n_blank

    def _otherwise(self, text: str) -> object:
        """What is on a line that is not JSON as it stands."""
        text = text.strip("\ufeff \t\r\n[],")  # a byte-order mark; a list's brackets and commas
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
        try:
            entry = ast.literal_eval(text) if text.startswith("{") else None
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
        self.n_dicts += isinstance(entry, dict)
        return entry

    def notes(self) -> list[str]:
        """What was left out or read otherwise, a sentence each, once all lines are read.

        Raises:
            InputError: the file is empty, or too many lines can't be right.
        """
        if not self.n:
            raise InputError(f"{self.path} is empty; fetch it again")
        notes = self.left_out.notes(self.n)
        if self.n_dicts:
            layout = "Python dicts, the layout of 2014, and read as such"
            notes.append(f"{self.n_dicts:,} of {self.n:,} lines of {self.path.name} are {layout}.")
        return notes
