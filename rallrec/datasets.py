"""Ratings of items by users, read from the files that their distributors publish.

One owner of identity: the row number in `Dataset.items` and `Dataset.users` is the code used
everywhere inside; raw ids live in their columns and appear only when reading and showing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from .cache import digest, key_of
from .downloads import WheelFile, fetch
from .errors import InputError, one_of


@dataclass(frozen=True)
class Words:
    """How a data set's items are spoken of, in prompts and in prose."""

    item: str = "film"
    items: str = "films"
    consumed: str = "watched"
    user: str = "viewer"
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
        time: int64 [n_ratings], seconds; ascending within a user.
        scale: lowest and highest rating possible.
        like_above: a rating above this is a like.
        item_attributes, user_attributes: the columns that prompts may show.
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
        return np.lexsort((np.arange(self.n_ratings), self.time))

    @cached_property
    def rank(self) -> np.ndarray:
        """int64 [n_ratings]: each rating's place in `by_time`."""
        return np.argsort(self.by_time)

    @cached_property
    def hash(self) -> str:
        """Short digest of everything that results can depend on."""
        arrays = [digest(a) for a in (self.user, self.item, self.rating, self.time)]
        tables = [t.to_csv(index=False) for t in (self.items, self.users)]
        return key_of(arrays=arrays, tables=tables, scale=self.scale, like_above=self.like_above)[:16]

    def __repr__(self) -> str:
        return (
            f"{self.name}: {self.n_ratings:,} ratings by {self.n_users:,} users of {self.n_items:,} "
            f"{self.words.items}, {self.liked.mean():.1%} likes"
        )


def build(name: str, ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame, **settings) -> Dataset:
    """Make a `Dataset` of raw tables, whatever the order of their rows.

    Args:
        ratings: ``user_id``, ``item_id``, ``rating``, ``time``.
        items: ``item_id``, ``title``, attributes. users: ``user_id``, attributes.
        settings: the other fields of `Dataset`.

    Codes follow the raw ids (numbers by value), so permuting a table changes nothing. Ratings of
    the same user and second are ordered by raw item id.

    Raises:
        InputError: an id twice in a table, an unknown id in ``ratings``, a pair rated twice, or a
            rating off the scale.
    """
    items, users = _ordered(items, "item_id", name), _ordered(users, "user_id", name)
    codes = {}
    for table, column in ((users, "user_id"), (items, "item_id")):
        code = pd.Index(table[column]).get_indexer(ratings[column])
        if (code < 0).any():
            row = int(np.flatnonzero(code < 0)[0])
            raise InputError(f"{_line(name, ratings, row)}: {column} {ratings[column].iloc[row]} is unknown")
        codes[column] = code.astype(np.int32)
    rating = ratings["rating"].to_numpy(np.float32)
    low, high = settings.get("scale", Dataset.scale)
    if not ((rating >= low) & (rating <= high)).all():
        row = int(np.flatnonzero(~((rating >= low) & (rating <= high)))[0])
        raise InputError(f"{_line(name, ratings, row)}: rating {rating[row]:g} is off the scale {low:g} to {high:g}")
    time = ratings["time"].to_numpy(np.int64)
    order = np.lexsort((codes["item_id"], time, codes["user_id"]))
    data = Dataset(
        name, items, users, codes["user_id"][order], codes["item_id"][order], rating[order], time[order], **settings
    )
    pair = np.sort(data.user.astype(np.int64) * data.n_items + data.item)
    if (pair[1:] == pair[:-1]).any():
        user, item = divmod(int(pair[1:][pair[1:] == pair[:-1]][0]), data.n_items)
        raise InputError(
            f"{name}: user {users.user_id[user]} rated item {items.item_id[item]} more than once; keep one rating"
        )
    return data


def _line(name: str, table: pd.DataFrame, row: int) -> str:
    """Where a row of a table came from: file and line if it was read from a file."""
    return f"{table.attrs['path']}:{row + 2}" if "path" in table.attrs else f"{name}: row {row + 1}"


def _ordered(table: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    if table[column].duplicated().any():
        raise InputError(f"{name}: {column} {table[column][table[column].duplicated()].iloc[0]} is listed twice")
    return table.sort_values(column, kind="stable").reset_index(drop=True)


def load(name: str) -> Dataset:
    """Read a data set by its name.

    ``ml-100k``: MovieLens-100K, 100,000 ratings. ``tiny``: generated, for tests.

    Raises:
        InputError: an unknown name; a file that is missing, altered or has a broken line.
    """
    one_of("data set", name, LOADERS)
    return LOADERS[name]()


# --- MovieLens-100K ---------------------------------------------------------------------------

_ML100K = "recbole/dataset_example/ml-100k/ml-100k."
ML100K_FILES = {
    "inter": WheelFile(
        "recbole", "1.2.1", _ML100K + "inter", "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
    ),
    "item": WheelFile(
        "recbole", "1.2.1", _ML100K + "item", "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532"
    ),
    "user": WheelFile(
        "recbole", "1.2.1", _ML100K + "user", "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972"
    ),
}


def _ml100k() -> Dataset:
    paths = {kind: fetch(file, "ml-100k") for kind, file in ML100K_FILES.items()}
    ratings = read_table(paths["inter"], {"user_id": int, "item_id": int, "rating": float, "timestamp": float})
    items = read_table(paths["item"], {"item_id": int, "movie_title": str, "release_year": str, "class": str})
    users = read_table(paths["user"], {"user_id": int, "age": int, "gender": str, "occupation": str, "zip_code": str})
    return build(
        "ml-100k",
        ratings.rename(columns={"timestamp": "time"}).astype({"time": np.int64}),
        pd.DataFrame(
            {
                "item_id": items["item_id"],
                "title": items["movie_title"].map(article_first),
                "year": items["release_year"].where(items["release_year"].str.fullmatch(r"\d{4}"), ""),
                "genres": items["class"].str.split().str.join(", ").replace("unknown", ""),
            }
        ),
        pd.DataFrame(
            {
                "user_id": users["user_id"],
                "age": users["age"],
                "gender": users["gender"].map({"M": "male", "F": "female"}),
                "occupation": users["occupation"].where(users["occupation"] != "none", ""),
            }
        ),
        item_attributes=("year", "genres"),
        user_attributes=("age", "gender", "occupation"),
    )


def read_table(path, columns: dict[str, type]) -> pd.DataFrame:
    """Read a RecBole table: tab-separated, a header of ``name:type``, no quoting.

    Raises:
        InputError: names file and line of the first line that has the wrong number of fields or a
            field that is no number where one is expected.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, ValueError) as e:
        raise InputError(f"{path} is no UTF-8 table ({e}); fetch it again") from e
    names = [field.split(":")[0] for field in header.split("\t")]
    if missing := [c for c in columns if c not in names]:
        raise InputError(f"{path}:1: column {missing[0]!r} is missing; found {', '.join(names)}")
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise InputError(f"{path}:{number}: {len(row)} fields where {len(names)} are expected")
    table = pd.DataFrame(rows, columns=names)[list(columns)]
    for column, kind in columns.items():
        if kind is str:
            table[column] = table[column].map(one_line)
            continue
        parsed = pd.to_numeric(table[column], errors="coerce")
        if parsed.isna().any():
            row = int(np.flatnonzero(parsed.isna())[0])
            raise InputError(f"{path}:{row + 2}: {column} {table[column][row]!r} is no number")
        table[column] = parsed.astype(kind)
    table.attrs["path"] = str(path)
    return table


def one_line(text: str) -> str:
    """``text`` without control characters and runs of white space, so that it can't break a prompt."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


_ARTICLE = re.compile(r"^(.+), (The|A|An|Les|Le|La|L'|Il|Lo|Das|Der|Die|El|Los|Las|Une?|Det)( \(.*\))?$")


def article_first(title: str) -> str:
    """MovieLens writes "Matrix, The"; everyone else, and an LLM, knows "The Matrix"."""
    if match := _ARTICLE.match(title):
        stem, article, rest = match.groups()
        return f"{article}{'' if article.endswith(chr(39)) else ' '}{stem}{rest or ''}"
    return title


# --- the generated data set -------------------------------------------------------------------


def _tiny(n_users: int = 60, n_items: int = 80, seed: int = 0) -> Dataset:
    """Planted tastes: each user likes two of four genres, so that retrieval by genre must win."""
    rng = np.random.default_rng(seed)
    genres = np.array(["Comedy", "Horror", "Western", "Musical"])
    genre = rng.integers(0, len(genres), n_items)
    adjective = rng.choice(["Silent", "Golden", "Broken", "Last", "Hidden"], n_items)
    noun = rng.choice(["River", "Crown", "Letter", "Garden", "Engine"], n_items)
    tastes = np.stack([rng.permutation(len(genres))[:2] for _ in range(n_users)])
    frames = []
    for user in range(n_users):
        item = rng.permutation(n_items)[: rng.integers(12, 40)]
        likes = np.isin(genre[item], tastes[user]) ^ (rng.random(len(item)) < 0.1)
        frames.append(
            pd.DataFrame(
                {
                    "user_id": user + 1,
                    "item_id": item + 1,
                    "rating": np.where(likes, rng.integers(4, 6, len(item)), rng.integers(1, 4, len(item))),
                    # users overlap in time, so that some users of the test period are in training too
                    "time": 900_000_000 + rng.integers(0, 3000, len(item)) * 6000 + user * 90_000,
                }
            )
        )
    items = pd.DataFrame(
        {
            "item_id": np.arange(n_items) + 1,
            "title": [f"The {a} {n} {k + 1}" for k, (a, n) in enumerate(zip(adjective, noun, strict=True))],
            "year": (1950 + rng.integers(0, 50, n_items)).astype(str),
            "genres": genres[genre],
        }
    )
    users = pd.DataFrame(
        {
            "user_id": np.arange(n_users) + 1,
            "age": rng.integers(18, 70, n_users),
            "gender": rng.choice(["male", "female"], n_users),
            "occupation": rng.choice(["writer", "nurse", "pilot"], n_users),
        }
    )
    return build(
        "tiny",
        pd.concat(frames, ignore_index=True),
        items,
        users,
        item_attributes=("year", "genres"),
        user_attributes=("age", "gender", "occupation"),
    )


LOADERS: dict[str, Callable[[], Dataset]] = {"ml-100k": _ml100k, "tiny": _tiny}
