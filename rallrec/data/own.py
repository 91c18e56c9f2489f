"""A data set of the user's own: a folder of CSV files."""

import math
import tomllib
from dataclasses import fields
from pathlib import Path
from reprlib import repr as short

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from .dataset import EXACT, Dataset, Words, build
from .text import one_line

RATINGS, ITEMS, USERS, SETTINGS = "ratings.csv", "items.csv", "users.csv", "dataset.toml"
KEYS = ("scale", "like_above", "item_attributes", "user_attributes", "beside_title", "category", "words")


def own_data(folder: Path, like_above: float | None = None) -> Dataset:
    """Read ``ratings.csv``, ``items.csv`` and, where there are, ``users.csv`` and ``dataset.toml``.

    ``ratings.csv`` has the columns ``user_id, item_id, rating`` and, if times are known, ``time`` (seconds
    since 1970, or a date such as 2024-05-01 or 2024-05-01T12:30); ``items.csv`` has ``item_id, title``
    and any attributes; ``users.csv`` has ``user_id`` and any attributes. Rows come in any order.

    ``dataset.toml`` may set ``scale = [1, 5]`` (by default from the lowest to the highest rating),
    ``like_above = 3`` (by default the middle of the scale), ``item_attributes``, ``user_attributes`` (by
    default all columns), ``beside_title`` (a column shown in brackets after the title), ``category`` (a
    column that says what kind of item it is) and a table ``[words]`` with fields of `Words`.

    A pair rated twice keeps its latest rating, a rating of an unknown item is left out, and a user without
    a row gets an empty profile; `Dataset.notes` says so.

    Raises:
        InputError: names file, line and mend for anything else that is wrong.
    """
    folder = Path(folder)
    settings = _settings(folder / SETTINGS)
    ratings, items, users = _tables(folder)
    ratings, timed, notes = _ratings(ratings, items, folder)
    users, more = _profiles(users, ratings)
    settings, last = _completed(settings, like_above, ratings, items, users, folder)
    return build(
        folder.resolve().name,
        ratings,
        items.map(one_line),
        users.map(one_line),
        timed=timed,
        notes=(*notes, *more, *last),
        **settings,
    )


def _tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings, items and users as text; no id is twice among items or users, and every item has a title."""
    ratings = _table(folder / RATINGS, ("user_id", "item_id", "rating"))
    items = _table(folder / ITEMS, ("item_id", "title"))
    has_users = (folder / USERS).exists()
    users = _table(folder / USERS, ("user_id",)) if has_users else pd.DataFrame({"user_id": []}, dtype=str)
    for table, column, file in ((items, "item_id", ITEMS), (users, "user_id", USERS)):
        if (twice := table[column].duplicated()).any():
            row = int(np.flatnonzero(twice)[0])
            raise InputError(
                f"{folder / file}:{row + 2}: {column} {table[column][row]!r} is listed twice; keep one row"
            )
    if (empty := items["title"] == "").any():
        raise InputError(f"{folder / ITEMS}:{np.flatnonzero(empty)[0] + 2}: the title is empty")
    if not len(ratings):
        raise InputError(f"{folder / RATINGS} holds no rating")
    return ratings, items, users


def _ratings(ratings: pd.DataFrame, items: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, bool, list[str]]:
    """The ratings to use, as numbers; whether their times are known; what was left out or mended."""
    notes = []
    ratings["rating"] = _numbers(ratings["rating"], folder / RATINGS)
    timed = "time" in ratings and bool((ratings["time"] != "").any())
    if timed:
        ratings["time"] = _seconds(ratings["time"], folder / RATINGS)
        if (np.diff(ratings["time"]) < 0).any():
            notes.append("Ratings were not in the order of time; they are ordered by user and time.")
    else:
        notes.append(
            "No times are known: each user's ratings are shuffled with a fixed seed, and the last is the target."
        )
    unknown = ~ratings["item_id"].isin(items["item_id"])
    if unknown.all():
        raise InputError(f"{folder / RATINGS}: no item_id is listed in {ITEMS}; the two must use the same ids")
    if unknown.any():
        first = int(np.flatnonzero(unknown)[0])
        notes.append(
            f"{unknown.sum():,} ratings of items that {ITEMS} lacks are left out "
            f"(the first: line {first + 2}, item {one_line(ratings['item_id'][first])})."
        )
        ratings = ratings[~unknown]
    n = len(ratings)
    if timed:
        ratings = ratings.sort_values("time", kind="stable")
    ratings = ratings.drop_duplicates(["user_id", "item_id"], keep="last")
    if len(ratings) < n:
        notes.append(
            f"{n - len(ratings):,} ratings of a pair that is rated again {'later' if timed else 'below'} are left out."
        )
    return ratings, timed, notes


def _profiles(users: pd.DataFrame, ratings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A row for every user who rates, empty where ``users`` has none; what was added."""
    new = sorted(set(ratings["user_id"]) - set(users["user_id"]))
    notes = [f"{len(new):,} users have no row in {USERS}: their profile is empty."] if new and len(users) else []
    return pd.concat([users, pd.DataFrame({"user_id": new})], ignore_index=True).fillna(""), notes


def _completed(
    settings: dict,
    like_above: float | None,
    ratings: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame,
    folder: Path,
) -> tuple[dict, list[str]]:
    """The settings as fields of `Dataset`, with defaults for what is not set; what was assumed."""
    notes = []
    low, high = settings.get("scale", (float(ratings["rating"].min()), float(ratings["rating"].max())))
    above = settings.get("like_above") if like_above is None else like_above
    if above is None:
        above = (low + high) / 2
        notes.append(f"{SETTINGS} sets no like_above: ratings above the middle of the scale, {above:g}, are likes.")
    if "category" in settings:
        settings = settings | {"category": (settings["category"], ", ")}
    defaults = {
        "item_attributes": tuple(c for c in items if c not in ("item_id", "title")),
        "user_attributes": tuple(c for c in users if c != "user_id"),
        "beside_title": "year" if "year" in items else None,
        "category": ("genres", ", ") if "genres" in items else None,
    }
    settings = defaults | settings | {"scale": (low, high), "like_above": above}
    shown = [("item_attributes", c, items, ITEMS) for c in settings["item_attributes"]]
    shown += [("user_attributes", c, users, USERS) for c in settings["user_attributes"]]
    shown += [("beside_title", settings["beside_title"], items, ITEMS)] if settings["beside_title"] else []
    shown += [("category", settings["category"][0], items, ITEMS)] if settings["category"] else []
    for key, column, table, file in shown:
        if column not in table:
            raise InputError(f"{folder / SETTINGS}: {key} names {column!r}; {file} has {', '.join(table)}")
    return settings, notes


def _settings(path: Path) -> dict:
    """The content of ``dataset.toml``, checked; empty where there is none."""
    if not path.exists():
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:  # not UTF-8, no TOML, a number of thousands of digits
        raise InputError(f"{path} is no TOML ({type(e).__name__}: {str(e)[:200]})") from e
    if unknown := [key for key in settings if key not in KEYS]:
        raise InputError(f"{path}: key {short(unknown[0])} is unknown; it may have: {', '.join(KEYS)}")
    wanted = {
        "scale": ("[lowest, highest]", lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_number, v))),
        "like_above": ("a number", _is_number),
        **dict.fromkeys(("item_attributes", "user_attributes"), ("a list of columns", _are_texts)),
        **dict.fromkeys(("beside_title", "category"), ("a column", lambda v: isinstance(v, str))),
        "words": ("a table, [words]", lambda v: isinstance(v, dict)),
    }
    for key, (form, fits) in wanted.items():
        if key in settings and not fits(settings[key]):
            raise InputError(f"{path}: {key} is {short(settings[key])}; it must be {form}")
    if "scale" in settings and not settings["scale"][0] < settings["scale"][1]:
        raise InputError(f"{path}: scale is {settings['scale']}; its first number must be the lower one")
    names = [f.name for f in fields(Words)]
    if unknown := [word for word in settings.get("words", {}) if word not in names]:
        raise InputError(f"{path}: [words] may have: {', '.join(names)}; found {short(unknown[0])}")
    if "words" in settings:
        settings["words"] = Words(**{name: one_line(str(word)) for name, word in settings["words"].items()})
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def _is_number(value) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def _are_texts(value) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file as text."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skip_blank_lines=False)
    except FileNotFoundError as e:
        raise InputError(f"{path} is missing; it needs the columns {', '.join(columns)}") from e
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 ({e.reason} at byte {e.start:,}); save it as UTF-8") from e
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as e:
        raise InputError(f"{path} is no CSV table: {str(e).strip().splitlines()[-1]}") from e
    table.columns = table.columns.str.strip()
    if missing := [c for c in columns if c not in table]:
        raise InputError(f"{path}:1: column {missing[0]!r} is missing; found {', '.join(map(str, table.columns))}")
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path}: lines have more fields than the header names")
    table = table[(table != "").any(axis=1)].reset_index(drop=True) if (table == "").all(axis=1).any() else table
    for column in columns:
        if column.endswith("_id") and (empty := table[column].str.strip() == "").any():
            raise InputError(f"{path}:{np.flatnonzero(empty)[0] + 2}: {column} is empty")
    table.attrs["path"] = str(path)
    return table


def _numbers(column: pd.Series, path: Path) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    if (bad := ~np.isfinite(numbers)).any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(f"{path}:{row + 2}: {column.name} {column[row]!r} is no number")
    return numbers


def _seconds(column: pd.Series, path: Path) -> pd.Series:
    """Times as whole seconds since 1970, from seconds or from dates."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.isna().all():
        dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        numbers = (dates - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)
    if (bad := ~(numbers.astype(float).abs() < EXACT)).any():  # true of what is no number
        row = int(np.flatnonzero(bad)[0])
        said = "is missing; give all times, or none" if column[row] == "" else "is neither seconds nor an ISO date"
        raise InputError(f"{path}:{row + 2}: time {column[row]!r} {said}")
    return numbers.astype(np.int64)
