"""Amazon reviews of films and television, in the layouts of 2018 (Ni et al.) and of 2023 (Hou et al.)."""

import gzip
import html
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..infra.errors import InputError, at_least
from .dataset import EXACT, Dataset, build, rated_between
from .raw import DAMAGED, Archive, located
from .text import one_line

_SITE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/"
# other names under which users have the same, those of 2023 last
REVIEWS, META = (
    Archive(
        "amazon-movies",
        f"{kind}Movies_and_TV.json.gz",
        f"{_SITE}{folder}/{kind}Movies_and_TV.json.gz",
        names=tuple(f"{kind}Movies_and_TV.{ending}" for ending in ("json", "jsonl.gz", "jsonl")),
    )
    for kind, folder in (("", "categoryFiles"), ("meta_", "metaFiles2"))
)
# fields of the two layouts: the first that a line has is taken
_USER, _ITEM = ("reviewerID", "user_id"), ("parent_asin", "asin")
_RATING, _TIME = ("overall", "rating"), ("unixReviewTime", "timestamp")
_CATEGORIES = ("category", "categories")
_MILLISECONDS = 10**11  # a time stamp above this counts milliseconds: the layout of 2023


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
    reviews, meta = located(REVIEWS), located(META)
    items = _items(meta, n_categories)
    ratings, notes = _ratings(reviews, set(items["item_id"]))
    n = len(ratings)
    ratings = ratings.sort_values("time", kind="stable").drop_duplicates(["user_id", "item_id"], keep="last")
    if n > len(ratings):
        notes.append(f"{n - len(ratings):,} ratings that the same user later gave anew to the same title are left out.")
    ratings = _core(ratings, user_ratings, item_ratings)
    if not len(ratings):
        raise InputError(f"amazon-movies: no rating passes {user_ratings=} and {item_ratings=}; widen them")
    counts = ratings["item_id"].value_counts()
    keep = counts.reset_index().sort_values(["count", "item_id"], ascending=[False, True])["item_id"][:most_rated]
    ratings = ratings[ratings["item_id"].isin(keep)]
    return build(
        "amazon-movies",
        ratings,
        items[items["item_id"].isin(ratings["item_id"])],
        pd.DataFrame({"user_id": np.unique(ratings["user_id"])}),
        like_above=like_above,
        item_attributes=("genres",),
        beside_title="genres",
        notes=tuple(notes),
    )


def _core(ratings: pd.DataFrame, user_ratings: tuple[int, int], item_ratings: tuple[int, int]) -> pd.DataFrame:
    """The ratings that stay when users and items outside their bounds go, until none is outside."""
    while True:
        n = len(ratings)
        for column, bounds in (("user_id", user_ratings), ("item_id", item_ratings)):
            ratings = rated_between(ratings, column, *bounds)
        if len(ratings) == n:
            return ratings


def _items(path: Path, n_categories: int) -> pd.DataFrame:
    """Titled items with a category list of the right length, the first of each id."""
    rows = {}
    for _, entry in _lines(path):
        item, categories, title = _first(entry, _ITEM), _first(entry, _CATEGORIES), entry.get("title")
        if item and title and isinstance(categories, list) and len(categories) == n_categories:
            rows.setdefault(
                str(item), (one_line(html.unescape(str(title))), one_line(html.unescape(str(categories[2]))))
            )
    table = pd.DataFrame([(item, *row) for item, row in rows.items()], columns=["item_id", "title", "genres"])
    return table[table["title"] != ""]


def _ratings(path: Path, items: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """The ratings of ``items``, and what was left out."""
    columns, other = ([], [], [], []), 0
    for number, entry in _lines(path):
        user, item, rating, time = (_first(entry, names) for names in (_USER, _ITEM, _RATING, _TIME))
        if not isinstance(item, str) or item not in items:
            other += 1
            continue
        try:
            values = user, item, float(rating), int(time)
        except (TypeError, ValueError, OverflowError) as e:
            raise InputError(f"{path}:{number}: user, rating or time is missing or no number ({e})") from e
        if not isinstance(user, str) or isinstance(rating, bool) or not 1 <= values[2] <= 5:
            raise InputError(f"{path}:{number}: no user, or the rating {str(rating)[:60]} is off the scale 1 to 5")
        if isinstance(time, bool) or not 0 <= values[3] < EXACT:
            raise InputError(f"{path}:{number}: time {str(time)[:60]} is no number of seconds")
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    table = pd.DataFrame(dict(zip(("user_id", "item_id", "rating", "time"), columns, strict=True)))
    table["time"] = table["time"].where(table["time"] < _MILLISECONDS, table["time"] // 1000)
    return table, [f"{other:,} ratings of items without a title or with another depth of categories are left out."]


def _first(entry: dict, names: tuple[str, ...]):
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _lines(path: Path) -> Iterator[tuple[int, dict]]:
    """Number and content of every line: one JSON object each."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as f:
            for number, line in enumerate(f, start=1):
                if not line.strip():
                    continue
                try:
                    entry = json.loads(line.decode("utf-8", errors="replace"))
                except (ValueError, RecursionError):  # a number of 5,000 digits is no JSONDecodeError
                    entry = None
                if not isinstance(entry, dict):
                    raise InputError(f"{path}:{number}: no JSON object; the file is damaged, fetch it again")
                yield number, entry
    except DAMAGED as e:
        raise InputError(f"{path} is truncated or altered ({e}); delete it and run again") from e
