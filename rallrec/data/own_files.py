"""The files of a data set of the user's own, and which column of theirs is what."""

from pathlib import Path

import pandas as pd

from ..infra.errors import InputError
from . import columns
from .atomic import read_atomic
from .damage import of_movielens
from .tables import read_csv
from .times import is_times

RATINGS, ITEMS, USERS = "ratings.csv", "items.csv", "users.csv"
NAMES = {  # other names of these files, without their end, in letters and digits
    RATINGS: "ratings rating interactions reviews bookratings bxbookratings",
    ITEMS: "items movies films books products tracks songs artists albums games anime recipes businesses bxbooks",
    USERS: "users readers viewers listeners members customers profiles bxusers",
}


def is_own(folder: Path) -> bool:
    """Whether a folder holds a file of ratings."""
    return folder.is_dir() and (_is_atomic(folder) or RATINGS in _files(folder))


def read_files(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """The tables of a folder, as text; a row's index is its line, ``attrs["path"]`` its file.

    Returns:
        Ratings (``user_id``, ``item_id``, ``rating`` and, if it is known, ``time``), items (``item_id``, ``title``,
        attributes), users (``user_id``, attributes; no row if there is no such file), and what was understood or
        is not used.

    Raises:
        InputError: a file or column is missing, or there are two for one thing.
    """
    notes = []
    if _is_atomic(folder):
        if RATINGS in _files(folder):
            raise InputError(f"{folder} has ratings both as CSV and as an .inter file; keep one")
        read = read_atomic(folder)
        tables = {
            what: read[kind] for what, kind in ((RATINGS, "inter"), (ITEMS, "item"), (USERS, "user")) if kind in read
        }
        wanted = {ITEMS: f"{Path(read['inter'].attrs['path']).stem}.item"}
    else:
        files, wanted = _files(folder), {}
        notes += [f"{path.name} is read as {what}." for what, path in files.items() if path.name != what]
        if other := sorted(path.name for path in _csv(folder) if path not in files.values()):
            notes.append(f"Not used: {', '.join(other)}.")
        tables = {what: read_csv(path) for what, path in files.items()}
    for what, needs in ((RATINGS, "user_id, item_id, rating"), (ITEMS, "item_id, title")):
        if what not in tables:
            raise InputError(f"{folder / wanted.get(what, what)} is missing; it needs the columns {needs}")
    notes += [note for table in tables.values() for note in table.attrs["notes"]]
    no_users = pd.DataFrame({"user_id": []}, dtype=str)
    no_users.attrs["path"] = str(folder / USERS)
    (ratings, spelt, said), items, users = _ratings(tables[RATINGS]), tables[ITEMS], tables.get(USERS, no_users)
    notes += said
    names = {"item_id": _column(items, "item_id", spelt["item_id"]), "title": _column(items, "title")}
    movielens = columns.key(names["item_id"]) == "movieid" or columns.key(names["title"]) == "movietitle"
    items, said = columns.renamed(items, names)
    notes += said
    if movielens:
        items, said = of_movielens(items)
        notes += said
    users, said = columns.renamed(users, {"user_id": _column(users, "user_id", spelt["user_id"])})
    return ratings, items, users, notes + said


def _is_atomic(folder: Path) -> bool:
    return any(path.suffix.lower() == ".inter" for path in folder.glob("[!.]*"))


def _csv(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in (".csv", ".tsv") and path.is_file())


def _files(folder: Path) -> dict[str, Path]:
    """The CSV files of a folder by their documented names."""
    found = {}
    for path in _csv(folder):
        for what, names in NAMES.items():
            if columns.key(path.stem) in names.split():
                if what in found:
                    raise InputError(f"{folder}: {found[what].name} and {path.name} could each be {what}; keep one")
                found[what] = path
    return {what: found[what] for what in NAMES if what in found}


def _ratings(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Ratings with documented names, what each was called, and what is not used."""
    path = table.attrs["path"]
    spelt = {what: _column(table, what) for what in ("user_id", "item_id", "rating")}
    if time := columns.find_time(table):
        spelt["time"] = time
    unused = [name for name in table.columns if name not in spelt.values()]
    if not time and (likely := [name for name in unused if is_times(table[name])]):
        raise InputError(f"{path}:1: column {likely[0]!r} looks like times; call it time, or remove it")
    table, notes = columns.renamed(table, spelt)
    if unused:
        notes.append(f"{Path(path).name}: not used: {', '.join(unused)}.")
    return table[list(spelt)], spelt, notes


def _column(table: pd.DataFrame, what: str, like: str = "") -> str:
    name = columns.find(table, what, like)
    if name is None:
        raise columns.missing(table, what)
    return name
