"""BookCrossing, as Cai-Nicolas Ziegler collected it in 2004: the dump, or a copy of it as plain CSV."""

import csv
import html
import io
import re

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from .dataset import Dataset, Words, build, rated_between
from .raw import Archive, members
from .text import one_line

BX = Archive(
    "bookcrossing",
    "BX-CSV-Dump.zip",
    "http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip",
    members={
        "ratings": ("BX-Book-Ratings.csv", "Ratings.csv"),
        "books": ("BX-Books.csv", "Books.csv"),
        "users": ("BX-Users.csv", "Users.csv"),
    },
)
WORDS = Words(
    item="book",
    items="books",
    consumed="read",
    user="reader",
    category="author",
    aspects=(
        "its plot or subject, themes and genre, setting, main characters, author, year and publisher, style, "
        "tone, and place in culture"
    ),
)
JOINED = 5  # physical lines that a record with line breaks in it may have


def bookcrossing(min_item_ratings: int = 10, min_user_ratings: int = 5, like_above: float = 4) -> Dataset:
    """BookCrossing: ratings 1 to 10 and implicit ones (0), without time.

    Args:
        min_item_ratings, min_user_ratings: books with fewer ratings are left out, then users with fewer.
        like_above: the paper's likes are ratings of 5 and more.
    """
    ratings, books, users, notes = _tables()
    ratings, books, users, more = _sound(ratings, books, users)
    ratings = rated_between(ratings, "item_id", min_item_ratings)
    ratings = rated_between(ratings, "user_id", min_user_ratings)
    if not len(ratings):
        raise InputError(f"bookcrossing: no rating passes {min_item_ratings=} and {min_user_ratings=}; lower them")
    return build(
        "bookcrossing",
        ratings,
        _items(books[books["ISBN"].isin(ratings["item_id"])]),
        _readers(users, np.unique(ratings["user_id"])),
        scale=(0, 10),
        like_above=like_above,
        words=WORDS,
        item_attributes=("author", "year", "publisher"),
        user_attributes=("age", "location"),
        timed=False,
        beside_title="author",
        category=("author", None),
        notes=(*notes, *more),
    )


def _tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """Ratings, books and users as text, and how many records could not be read."""
    files, tables, notes = members(BX), [], []
    for what, columns in (
        ("ratings", ("User-ID", "ISBN", "Book-Rating")),
        ("books", ("ISBN", "Book-Title", "Book-Author", "Year-Of-Publication", "Publisher")),
        ("users", ("User-ID", "Location", "Age")),
    ):
        table, broken = _records(*files[what], columns)
        tables.append(table)
        if broken:
            notes.append(f"{broken:,} unreadable records of {what} are left out.")
    return *tables, notes


def _sound(
    ratings: pd.DataFrame, books: pd.DataFrame, users: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """Ratings on the scale of known books, the last of each pair; each book and user once; what was left out."""
    notes = []
    ratings.columns = ["user_id", "item_id", "rating"]
    number = pd.to_numeric(ratings["rating"], errors="coerce")
    sound = number.between(0, 10) & (number % 1 == 0) & _is_id(ratings["user_id"])
    ratings = ratings.assign(rating=number)[sound].astype({"user_id": np.int64})
    if (~sound).any():
        notes.append(f"{(~sound).sum():,} ratings that are no whole number from 0 to 10, or of no user, are left out.")
    books = books[~books["ISBN"].duplicated()]
    users = users[_is_id(users["User-ID"])].astype({"User-ID": np.int64})
    users = users[~users["User-ID"].duplicated()].set_index("User-ID")
    known = ratings["item_id"].isin(books["ISBN"])
    notes.append(f"{(~known).sum():,} of {len(ratings):,} ratings name a book that the books file lacks: left out.")
    return ratings[known].drop_duplicates(["user_id", "item_id"], keep="last"), books, users, notes


def _items(books: pd.DataFrame) -> pd.DataFrame:
    """The data set's items: markup and control characters gone, an impossible year empty."""
    year = books["Year-Of-Publication"]
    return pd.DataFrame(
        {
            "item_id": books["ISBN"],
            "title": books["Book-Title"].map(_clean),
            "author": books["Book-Author"].map(_clean),
            "year": year.where(year.str.fullmatch(r"1[4-9]\d\d|20\d\d"), ""),
            "publisher": books["Publisher"].map(_clean),
        }
    )


def _readers(users: pd.DataFrame, user_id: np.ndarray) -> pd.DataFrame:
    """The data set's users, those of ``user_id``: an age outside 5 to 100 is empty, as is what ``users`` lacks."""
    profile = users.reindex(user_id)
    age = pd.to_numeric(profile["Age"], errors="coerce")
    return pd.DataFrame(
        {
            "user_id": user_id,
            "age": [f"{a:.0f}" if 5 <= a <= 100 else "" for a in age],
            "location": [_clean(place) if isinstance(place, str) else "" for place in profile["Location"]],
        }
    )


def _clean(text: str) -> str:
    return one_line(html.unescape(text))


def _is_id(column: pd.Series) -> pd.Series:
    """Where a text is a whole number that 64 bits hold."""
    return column.str.fullmatch(r"\d{1,18}", flags=re.ASCII)


def _records(where: str, content: bytes, columns: tuple[str, ...]) -> tuple[pd.DataFrame, int]:
    """The named columns of a table, as text, and how many records could not be read.

    The dump is cp1252 with ``;`` between quoted fields, quotes in them written ``\\"`` or not escaped
    at all, and damaged letters; copies of it are ordinary CSV in UTF-8.
    """
    head = content[:200].decode("cp1252", errors="replace").split("\n")[0]
    if ";" not in head:
        try:
            rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig", errors="replace"), newline="")))
        except csv.Error as e:
            raise InputError(f"{where} is no CSV table ({e}); fetch it again") from e
        names, records = rows[0] if rows else [], rows[1:]
    else:
        lines = content.decode("cp1252", errors="replace").replace("\r\n", "\n").split("\n")
        names = _fields(lines[0])
        records = list(_joined(lines[1:], len(names)))
    if missing := [c for c in columns if c not in names]:
        raise InputError(f"{where}:1: column {missing[0]!r} is missing; found {', '.join(names)[:80]}")
    good = [r for r in records if len(r) == len(names)]
    table = pd.DataFrame(good, columns=names, dtype=str)[list(columns)]
    return table, len(records) - len(good)


def _joined(lines: list[str], n_fields: int):
    """Records of the dump; one that has line breaks in a field is put together again."""
    at = 0
    while at < len(lines):
        record = lines[at]
        if not record.strip():
            at += 1
            continue
        taken, fields = 1, _fields(record)
        while len(fields) < n_fields and taken < JOINED and at + taken < len(lines) and not _begins(lines[at + taken]):
            record = f"{record} {lines[at + taken]}"
            taken, fields = taken + 1, _fields(record)
        if len(fields) > n_fields == 8:
            fields = _by_shape(fields)
        yield [f.replace('\\"', '"').replace("\\\\", "\\") for f in fields]
        at += taken


def _begins(line: str) -> bool:
    """Whether a line looks like the beginning of a record: a quoted id."""
    return re.match(r'"[\w .*?/+-]{1,15}";', line) is not None


def _fields(record: str) -> list[str]:
    """Fields of one record: what stands between ``";"`` (or ``;`` around an unquoted NULL)."""
    record = re.sub(r'(?<=");NULL(?=;|$)', ';""', record.strip())
    return record.removeprefix('"').removesuffix('"').split('";"')


def _by_shape(fields: list[str]) -> list[str]:
    """A book's eight fields where its title holds the separator."""
    *front, publisher, small, medium, large = fields
    *names, year = front
    isbn, *title, author = names
    return [isbn, '";"'.join(title), author, year, publisher, small, medium, large]
