"""BookCrossing, as Cai-Nicolas Ziegler collected it in 2004: the dump, or a copy of it as plain CSV."""

import csv
import html
import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..infra.errors import InputError, at_least
from .dataset import Dataset, Words, build, percent
from .filters import enough, kept, once, rated_between
from .raw import Archive, damaged, decoded, members
from .rows import LeftOut
from .text import clean_id, one_line

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
UNRATED = 0  # an implicit rating: the book is in a reader's list, without a rating
JOINED = 5  # physical lines that a record with line breaks in it may have


def bookcrossing(min_item_ratings: int = 10, min_user_ratings: int = 5, like_above: float = 4) -> Dataset:
    """BookCrossing: ratings 1 to 10 and implicit ones (0: a book that a reader has, not rated), without timestamps.

    The paper's likes are ratings of 5 and more, so that all implicit ones are dislikes: its label says whether a book
    was rated rather than whether it was liked. `bookcrossing_explicit` leaves them out.

    Args:
        min_item_ratings, min_user_ratings: books with fewer ratings are left out, then users with fewer.
        like_above: a rating above this is a like.
    """
    return _bookcrossing("bookcrossing", False, min_item_ratings, min_user_ratings, like_above)


def bookcrossing_explicit(min_item_ratings: int = 10, min_user_ratings: int = 5, like_above: float = 7) -> Dataset:
    """BookCrossing's ratings 1 to 10 alone, of the books that `bookcrossing` has.

    A like is a rating of 8 and more, near the mean; at the paper's 5 nearly all would be likes (the notes say how
    many).

    Args:
        min_item_ratings: books with fewer ratings, implicit ones among them, are left out, as in `bookcrossing`.
        min_user_ratings: users with fewer explicit ratings of the books that stay are left out.
        like_above: a rating above this is a like.
    """
    return _bookcrossing("bookcrossing-explicit", True, min_item_ratings, min_user_ratings, like_above)


def _bookcrossing(name: str, explicit: bool, min_item_ratings: int, min_user_ratings: int, like_above) -> Dataset:
    at_least("min_item_ratings", min_item_ratings, 0)
    at_least("min_user_ratings", min_user_ratings, 0)
    files = members(BX)
    ratings, notes = _ratings(*files["ratings"])
    books, more = _books(*files["books"])
    users, last = _users(*files["users"])
    known = ratings["item_id"].isin(books["item_id"])
    notes.append(f"{(~known).sum():,} of {len(ratings):,} ratings name a book that the books file lacks: left out.")
    n = known.sum()
    ratings = ratings[known].drop_duplicates(["user_id", "item_id"], keep="last")
    if n > len(ratings):
        notes.append(f"{n - len(ratings):,} ratings of a pair that is rated again below are left out.")
    enough(name, ratings, "the ratings file together with the books file")
    ratings = enough(name, rated_between(ratings, "item_id", min_item_ratings), f"{min_item_ratings=}")
    if explicit:
        n = len(ratings)
        ratings = enough(name, ratings[ratings["rating"] != UNRATED], "leaving out implicit ratings")
        notes.append(f"{n - len(ratings):,} of {n:,} ratings of these books are implicit (0): left out.")
    ratings = rated_between(ratings, "user_id", min_user_ratings)
    enough(name, ratings, f"{min_user_ratings=} after {min_item_ratings=}")
    notes.append(f"Kept are books with at least {min_item_ratings} ratings, then readers with {min_user_ratings}.")
    items = _items(books[books["item_id"].isin(ratings["item_id"])])
    raters = np.unique(ratings["user_id"])
    if lacking := (~np.isin(raters, users.index)).sum():
        last.append(f"{lacking:,} users have no row in the users file: their profile is empty.")
    return build(
        name,
        ratings,
        items,
        _readers(users, raters),
        scale=(1 if explicit else 0, 10),
        like_above=like_above,
        words=WORDS,
        item_attributes=("author", "year", "publisher"),
        user_attributes=("age", "location"),
        timed=False,
        beside_title="author",
        category=("author", None),
        unrated=None if explicit else UNRATED,
        notes=(*notes, *more, *last, *damaged(items["title"]), _labels(ratings["rating"], like_above)),
    )


def _labels(rating: pd.Series, like_above: float) -> str:
    """What the labels mean, a sentence."""
    none, disliked = rating == UNRATED, rating <= like_above
    if not none.any():
        return (
            f"{percent(~disliked)} of the ratings are likes (above {like_above:g} of 10); at the paper's threshold, 5 "
            f"and more, {percent(rating >= 5)} would be."
        )
    return (
        f"{percent(none)} of the ratings are {UNRATED}, which stands for a book that was not rated. They count as "
        f"dislikes, as in the paper, and are {percent(none[disliked])} of these: a dislike here says little about "
        f"taste, although prompts tell it as one."
    )


def _ratings(where: str, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """The ratings that can be right, and what was left out or mended."""
    table, left_out, notes = _records(where, content, ("User-ID", "ISBN", "Book-Rating"))
    number = pd.to_numeric(table["Book-Rating"], errors="coerce")
    checks = [
        ("User-ID", _is_id(table["User-ID"]), "is no whole number"),
        ("ISBN", table["ISBN"] != "", "names no book"),
        ("Book-Rating", number.between(0, 10) & (number % 1 == 0), "is no whole number from 0 to 10"),
    ]
    table, more = kept(table.assign(rating=number), left_out, checks)
    table = table.rename(columns={"User-ID": "user_id", "ISBN": "item_id"}).astype({"user_id": np.int64})
    return table[["user_id", "item_id", "rating"]], [*notes, *more]


def _books(where: str, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """Each book once, by ``item_id``, and what was left out or mended."""
    columns = ("ISBN", "Book-Title", "Book-Author", "Year-Of-Publication", "Publisher")
    table, left_out, notes = _records(where, content, columns)
    titled = table["Book-Title"].map(_clean) != ""
    checks = [("item_id", table["ISBN"] != "", "is no ISBN"), ("Book-Title", titled, "is no title")]
    table, more = kept(table.rename(columns={"ISBN": "item_id"}), left_out, checks)
    table, last = once(table, "item_id", "books")
    return table, [*notes, *more, *last]


def _users(where: str, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """Each user once, by the id, and what was left out or mended."""
    table, left_out, notes = _records(where, content, ("User-ID", "Location", "Age"))
    table, more = kept(table, left_out, [("User-ID", _is_id(table["User-ID"]), "is no whole number")])
    table, last = once(table.astype({"User-ID": np.int64}), "User-ID", "users")
    return table.set_index("User-ID"), [*notes, *more, *last]


def _items(books: pd.DataFrame) -> pd.DataFrame:
    """The data set's items: markup and control characters gone, an impossible year empty."""
    year = books["Year-Of-Publication"]
    return pd.DataFrame(
        {
            "item_id": books["item_id"],
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


def _records(where: str, content: bytes, columns: tuple[str, ...]) -> tuple[pd.DataFrame, LeftOut, list[str]]:
    """A table's named columns as text, indexed by line, ids cleaned; what could not be read; what was mended.

    The dump is cp1252 with ``;`` between quoted fields, quotes in them written ``\\"`` or not escaped
    at all, and damaged letters; copies of it are ordinary CSV in UTF-8.
    """
    text, _ = decoded(content, "cp1252")
    head, *lines = text.replace("\r\n", "\n").split("\n")
    if head.startswith('"') and ";" in head:
        names, records = _fields(head), _joined
    else:
        separator = max(",;\t", key=head.count)
        names, records = head.split(separator), partial(_plain, separator=separator)
    names = [clean_id(name).strip('"') for name in names]
    if missing := [c for c in columns if c not in names]:
        raise InputError(f"{where}:1: column {missing[0]!r} is missing; found {', '.join(names)[:80]}")
    rows, n_mended = {}, 0
    left_out = LeftOut(where, f"records of {Path(where).name}")
    for number, fields, mended in records(lines, len(names)):
        if len(fields) == len(names):
            rows[number], n_mended = fields, n_mended + mended
        else:
            left_out.add(number, f"{len(fields)} fields where {len(names)} are expected")
    table = pd.DataFrame(list(rows.values()), index=list(rows), columns=names, dtype=str)[list(columns)]
    for column in {"ISBN", "User-ID"} & set(columns):
        table[column] = table[column].map(clean_id).str.upper()  # an ISBN may end in x
    said = f"{n_mended:,} records of {Path(where).name} have a quote too many or too few; they are read without it."
    return table, left_out, [said] if n_mended else []


def _plain(lines: list[str], n_fields: int, separator: str) -> Iterator[tuple[int, list[str], bool]]:
    """Line, fields, and whether they were mended, of each record of ordinary CSV, which may have line breaks in it.

    A quote that is never closed would join all that follows; so a record ends where another begins.
    """
    at = 0
    while at < len(lines):
        taken, fields, mended = 1, lines[at].split(separator), False
        if '"' in lines[at]:
            fields = None
            for more in range(1, JOINED + 1):
                fields = _strictly("\n".join(lines[at : at + more]), n_fields, separator)
                if fields or at + more >= len(lines) or re.match(r'"?(\d|B0)\w*"?[,;\t]', lines[at + more]):
                    taken = more if fields else 1
                    break
            mended = not fields
            fields = fields or [f.removeprefix('"').removesuffix('"') for f in lines[at].split(separator)]
        if lines[at].strip():
            yield at + 2, _unshifted(fields), mended
        at += taken


def _strictly(record: str, n_fields: int, separator: str) -> list[str] | None:
    """The fields of a record as CSV has them, quotes in them doubled or after ``\\``; None if they aren't so many."""
    for text in (record, record.replace('\\"', '""')):
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
        except csv.Error:
            continue
        if len(rows) == 1 and len(rows[0]) == n_fields:
            return rows[0]
    return None


def _unshifted(fields: list[str]) -> list[str]:
    """A book's eight fields where a copy of the dump took title and author for one, and left the last one empty."""
    if len(fields) == 8 and fields[-1] == "" and '";' in fields[1] and re.fullmatch(r"\d{1,4}", fields[2]):
        title, author = fields[1].split('";', 1)
        return [fields[0], title.removesuffix("\\"), author.strip('"\\'), *fields[2:-1]]
    return fields


def _joined(lines: list[str], n_fields: int) -> Iterator[tuple[int, list[str], bool]]:
    """Line and fields of each record of the dump; one that has line breaks in a field is put together again."""
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
        yield at + 2, [f.replace('\\"', '"').replace("\\\\", "\\") for f in fields], False
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
