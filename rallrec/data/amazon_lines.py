"""Amazon's files of reviews and of items, a line at a time: the layouts of 2014 (McAuley), 2018 (Ni et al.) and 2023
(Hou et al.).

What a review says is forgotten at once: of each rating that stays 20 bytes are kept, of each user the id, once.
"""

import ast
import html
import json
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from .raw import opened
from .rows import LeftOut
from .text import clean_id, one_line

# fields of the layouts: the first that a line has is taken
_USER, _ITEM = ("reviewerID", "user_id"), ("parent_asin", "asin")
_RATING, _TIME = ("overall", "rating"), ("unixReviewTime", "timestamp")
_MILLISECONDS = 10**11  # a time stamp above this counts milliseconds: the layout of 2023
_LATEST = 10**13  # milliseconds
_NUMBER = re.compile(r"\s*[+-]?[0-9]+(\.[0-9]*)?\s*")
_MARKUP = re.compile(r"</?(a|b|big|br|div|em|font|i|li|p|small|span|strong|sub|sup|u|ul)(\s[^<>]*)?/?>", re.IGNORECASE)


def read_items(path: Path, n_categories: int | None) -> tuple[pd.DataFrame, list[str]]:
    """Titled items, the first of each id; what was left out or mended.

    Args:
        n_categories: only items whose category list has this many entries; None for any number.

    Returns:
        ``item_id``, ``title``, ``category`` (the third of the list, the last of a shorter one) and ``store`` (the
        brand, of books the author), both empty where a line does not say.

    Raises:
        InputError: no item is left, or too many lines can't be right.
    """
    rows, lines, n_nested, n_repeated, depths = {}, Lines(path), 0, 0, Counter()
    same: dict[str, str] = {}  # categories and stores are kept once
    for number, entry in lines:
        item, title = _id(_first(entry, _ITEM)), entry.get("title")
        categories = entry.get("category") or entry.get("categories") or []
        if isinstance(categories, list) and categories and isinstance(categories[0], list):
            categories, n_nested = categories[0], n_nested + 1
        if not item:
            lines.left_out.count(1, number, "the item has no id")
        elif not (title is None or type(title) in (str, int, float)):
            lines.left_out.count(1, number, f"title {str(title)[:60]} is no text")
        elif not (isinstance(categories, list) and all(isinstance(c, str) for c in categories)):
            lines.left_out.count(1, number, f"the categories {str(categories)[:60]} are no list of texts")
        elif title := "" if title is None or title != title else _text(str(title)):  # NaN is not itself
            depths[len(categories)] += 1
            if n_categories in (None, len(categories)):
                n_repeated += item in rows
                kind = _text(categories[:3][-1]) if categories else ""
                store = _text(found) if isinstance(found := entry.get("store"), str) else ""
                rows.setdefault(item, (title, same.setdefault(kind, kind), same.setdefault(store, store)))
    notes = lines.notes()
    if not rows:
        have = ", ".join(f"{n:,} have {depth}" for depth, n in depths.most_common(3)) or "none has a title"
        if n_categories is None:
            raise InputError(f"{path}: no item has a title")
        raise InputError(
            f"{path}: no item with a title has {n_categories} categories, as n_categories wants, of which the third "
            f"is the genre ({have})"
        )
    if n_nested:
        notes.append(f"{n_nested:,} lines of {path.name} list several category lists: the first is used.")
    if n_repeated:
        notes.append(f"{n_repeated:,} lines of {path.name} describe an item again: the first stays.")
    columns = {name: [row[n] for row in rows.values()] for n, name in enumerate(("title", "category", "store"))}
    return pd.DataFrame({"item_id": list(rows)} | columns), notes


def read_ratings(path: Path, items: pd.Series) -> tuple[pd.DataFrame, np.ndarray, int, list[str]]:
    """The ratings of ``items``.

    Returns:
        ``user_id`` (int32, a number each), ``item_id`` (int32, the row in ``items``), ``rating``, ``time`` (seconds);
        the users' ids by their numbers, object [n_users]; how many ratings are of other items; what was left out.

    Raises:
        InputError: too many lines can't be right.
    """
    known, users = {item: row for row, item in enumerate(items)}, {}
    columns, lines, n_other = (array("i"), array("i"), array("f"), array("q")), Lines(path), 0
    for number, entry in lines:
        user, item, rating, time = (_first(entry, names) for names in (_USER, _ITEM, _RATING, _TIME))
        row = known.get(item) if isinstance(item, str) else None
        if row is None:
            item = _id(item)
            row = known.get(item)
            if item and row is None:
                n_other += 1
                continue
        user, stars, at = _id(user), _number(rating), _number(time)
        if not item:
            lines.left_out.count(1, number, "the review names no item")
        elif not user:
            lines.left_out.count(1, number, "the review names no user")
        elif not 1 <= stars <= 5:
            lines.left_out.count(1, number, f"rating {str(rating)[:60]} is no number from 1 to 5")
        elif not 0 <= at < _LATEST:
            lines.left_out.count(1, number, f"time {str(time)[:60]} is no number of seconds or milliseconds")
        else:
            for column, value in zip(columns, (users.setdefault(user, len(users)), row, stars, int(at)), strict=True):
                column.append(value)
    notes = lines.notes()
    names = ("user_id", "item_id", "rating", "time")
    arrays = {
        name: np.frombuffer(c, c.typecode) if c else np.empty(0, c.typecode)
        for name, c in zip(names, columns, strict=True)
    }
    time = arrays["time"]
    arrays["time"] = np.where(time < _MILLISECONDS, time, time // 1000)
    return pd.DataFrame(arrays, copy=False), np.array(list(users), dtype=object), n_other, notes


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


class Lines:
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
                    self.left_out.count(1, number, f"no JSON object: {text.strip()[:40]!r}")
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
