"""MovieLens-25M and -32M, as GroupLens publishes them: CSV files, of which the ratings are read in blocks.

No file is held as a whole: of each rating that stays 20 bytes are, so memory grows with the ratings.
"""

import codecs
import csv
import io
import re
from itertools import chain

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from .dataset import Dataset, build
from .filters import enough, latest, once, sound
from .movielens import LATEST, titled
from .raw import Archive, Member, damaged, decoded, member_files, whole_lines
from .rows import LeftOut
from .text import clean_id, one_line

_SITE = "https://files.grouplens.org/datasets/movielens"
ML25M, ML32M = (
    Archive(
        name,
        f"{name}.zip",
        f"{_SITE}/{name}.zip",
        md5=md5,
        members={file: (file,) for file in ("ratings.csv", "movies.csv")},
    )
    for name, md5 in (
        ("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
        ("ml-32m", "d472be332d4daa821edc399621853b57"),
    )
)
N_RATINGS = {"ml-25m": 25_000_095, "ml-32m": 32_000_204}  # rows of ratings.csv; a loose file has no checksum
COLUMNS = {"userId": np.int32, "movieId": np.int32, "rating": np.float32, "timestamp": np.int64}
NAMES = ("user_id", "item_id", "rating", "time")  # of these columns here
FILM = ("movieId", "title", "genres")
BLOCK = 1 << 24  # bytes of ratings.csv that are looked at together
LARGEST = 10**9  # ids are below it
STARS = (0.5, 5)
_WHOLE = re.compile(r"[0-9]{1,9}(\.0+)?")
_FORMS = (_WHOLE, _WHOLE, re.compile(r"[0-9]{1,9}(\.[0-9]*)?"), re.compile(r"[0-9]{1,15}(\.0+)?"))  # of `COLUMNS`
NO_GENRES = "(no genres listed)"


def ml_25m(like_above: float = 3) -> Dataset:
    """MovieLens-25M: ratings of half a star to five, 1995 to 2019. Films that nobody rated are left out."""
    return _movielens(ML25M, like_above)


def ml_32m(like_above: float = 3) -> Dataset:
    """MovieLens-32M: ratings of half a star to five, 1995 to 2023. Films that nobody rated are left out."""
    return _movielens(ML32M, like_above)


def _movielens(archive: Archive, like_above: float) -> Dataset:
    name, files = archive.dataset, member_files(archive)
    items, notes = _films(files["movies.csv"])
    ratings, more = _ratings(files["ratings.csv"], pd.Index(items["item_id"]))
    if len(ratings) != N_RATINGS[name]:  # another MovieLens, or one that lost its end
        more.append(f"ratings.csv gives {len(ratings):,} ratings; that of GroupLens, {N_RATINGS[name]:,}.")
    ratings, n_again = latest(ratings)
    if n_again:
        more.append(f"{n_again:,} ratings of a pair that is rated again later are left out.")
    enough(name, ratings, "ratings.csv together with movies.csv")
    rated = items["item_id"].isin(pd.unique(ratings["item_id"]))
    return build(
        name,
        ratings,
        items[rated],
        pd.DataFrame({"user_id": np.sort(pd.unique(ratings["user_id"]))}),
        scale=STARS,
        like_above=like_above,
        item_attributes=("year", "genres"),
        notes=(
            f"{(~rated).sum():,} of {len(items):,} listed films have no rating and are left out.",
            *(*more, *notes, *damaged(items["title"])),
        ),
    )


def _films(file: Member) -> tuple[pd.DataFrame, list[str]]:
    """The items, and what was left out."""
    left_out, rows = LeftOut(file.where, "rows of movies.csv"), []
    head, *lines = decoded(file.read(), "latin-1")[0].split("\n")
    _check_head(file, head, FILM)
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = _fields(line)
        film = clean_id(fields[0])
        if len(fields) != len(FILM) or not _WHOLE.fullmatch(film):
            left_out.add(number, f"{line[:60]!r} has not 3 fields that begin with an id")
        elif not (title := one_line(fields[1])):
            left_out.add(number, "the title is empty")
        else:
            genres = one_line(fields[2]).replace("|", ", ")
            rows.append((int(float(film)), *titled(title), "" if genres == NO_GENRES else genres))
    notes = left_out.notes(len(rows) + len(left_out))
    table, more = once(pd.DataFrame(rows, columns=["item_id", "title", "year", "genres"]), "item_id", "films")
    return table, [*notes, *more]


def _fields(line: str) -> list[str]:
    """Fields of a line; one text, where its quotes are broken. No title has a line break."""
    try:
        return next(csv.reader([line.removesuffix("\r")], strict=True))
    except csv.Error:
        return [line]


def _check_head(file: Member, line: str, columns: tuple[str, ...]) -> None:
    if tuple(field.strip() for field in line.split(",")) != columns:
        expected = ",".join(columns)
        raise InputError(f"{file.where}:1: the header is {line.strip()[:60]!r}, not {expected}; {file.mend}")


def _ratings(file: Member, films: pd.Index) -> tuple[pd.DataFrame, list[str]]:
    """The ratings of ``films`` that can be right, and what was left out."""
    left_out, n_sound, n_unknown = LeftOut(file.where, "rows of ratings.csv"), 0, 0
    parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    blocks = whole_lines(file.blocks(BLOCK))
    head, _, rest = next(blocks, b"").removeprefix(codecs.BOM_UTF8).partition(b"\n")
    _check_head(file, head.decode("utf-8", errors="replace"), tuple(COLUMNS))
    line = 2
    for block in chain([rest], blocks):
        table = _numbers(block, line)
        if table is None:
            table = _lines(block, line, left_out)
        stars = table["rating"].between(*STARS) & (table["rating"] * 2 % 1 == 0)
        said = (
            ("rating", stars, "is not half a star to 5"),
            ("timestamp", table["timestamp"] < LATEST, "is no number of seconds"),
        )
        table = sound(table, left_out, said)
        known = films.get_indexer(table["movieId"]) >= 0
        n_sound, n_unknown = n_sound + len(table), n_unknown + int((~known).sum())
        for name, column in parts.items():
            column.append(table[name].to_numpy()[known])
        line += block.count(b"\n")
    notes = left_out.notes(n_sound + len(left_out))
    if n_unknown:
        notes.append(f"{n_unknown:,} ratings of films that movies.csv lacks are left out.")
    # one column after the other, so that there are never two copies of all
    whole = {name: np.concatenate(parts.pop(column)) for name, column in zip(NAMES, COLUMNS, strict=True)}
    return pd.DataFrame(whole, copy=False), notes


def _numbers(block: bytes, line: int) -> pd.DataFrame | None:
    """Ratings by their line numbers, the fast way; None if a row is not four numbers.

    Args:
        line: in which the block begins.
    """
    n_rows = block.rstrip().count(b"\n") + 1
    if block.translate(None, b"0123456789.,\r\n") or block.count(b",") != n_rows * (len(COLUMNS) - 1):
        return None
    try:
        table = pd.read_csv(io.BytesIO(block), header=None, names=[*COLUMNS], dtype=COLUMNS, index_col=False)
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    if len(table) != n_rows or max(table["userId"].max(), table["movieId"].max()) >= LARGEST:
        return None  # pandas counts no blank lines
    return table.set_axis(range(line, line + n_rows))


def _lines(block: bytes, line: int, left_out: LeftOut) -> pd.DataFrame:
    """The same, line by line, without the lines that are not four numbers."""
    rows = {}
    for number, text in enumerate(block.decode("utf-8", errors="replace").split("\n"), start=line):
        fields = [clean_id(field) for field in text.split(",")]
        if len(fields) == len(COLUMNS) and all(f.fullmatch(v) for f, v in zip(_FORMS, fields, strict=True)):
            rows[number] = [int(float(fields[0])), int(float(fields[1])), float(fields[2]), int(float(fields[3]))]
        elif text.strip():
            left_out.count(1, number, f"{text.strip()[:60]!r} is not 4 numbers")
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=[*COLUMNS]).astype(COLUMNS)
