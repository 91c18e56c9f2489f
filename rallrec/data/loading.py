"""Data sets by their names."""

import re
from collections.abc import Callable
from functools import partial
from inspect import signature
from pathlib import Path

from ..infra.errors import InputError
from ..infra.files import raw_dirs
from .amazon import CATEGORIES, META, OF_2023, REVIEWS, amazon_2023, amazon_movies, archives_of, no_category
from .bookcrossing import BX, bookcrossing, bookcrossing_explicit
from .dataset import Dataset
from .generated import tiny
from .movielens import ML1M, ML100K_FILES, ml_1m, ml_100k
from .movielens_csv import ML25M, ML32M, ml_25m, ml_32m
from .own import own_data
from .own_files import ITEMS, RATINGS, is_own
from .raw import find, is_here

LOADERS: dict[str, Callable[..., Dataset]] = {
    "ml-100k": ml_100k,
    "ml-1m": ml_1m,
    "ml-25m": ml_25m,
    "ml-32m": ml_32m,
    "bookcrossing": bookcrossing,
    "bookcrossing-explicit": bookcrossing_explicit,
    "amazon-movies": amazon_movies,
    **{f"{OF_2023}-{category}": partial(amazon_2023, category) for category in CATEGORIES},
    "tiny": tiny,
}

DATASETS = ("ml-100k", "ml-1m", "bookcrossing", "amazon-movies")  # the paper's, and a smaller one that is always here

ARCHIVES = {
    "ml-1m": (ML1M,),
    "ml-25m": (ML25M,),
    "ml-32m": (ML32M,),
    "bookcrossing": (BX,),
    "bookcrossing-explicit": (BX,),
    "amazon-movies": (REVIEWS, META),
    **{f"{OF_2023}-{category}": archives_of(category) for category in CATEGORIES},
}


def load(name: str, **options) -> Dataset:
    """Read a data set.

    Args:
        name: ``ml-100k`` (MovieLens-100K), ``ml-1m``, ``ml-25m``, ``ml-32m``, ``bookcrossing``,
            ``bookcrossing-explicit`` (without implicit ratings), ``amazon-movies``, ``amazon-2023/Books`` or another
            category, ``tiny`` (generated, for tests); a folder of your own, or its name in a raw folder (see
            `own_data`).
        options: the filters and the like threshold, by their names in the data set's function
            (`movielens.ml_1m`, `bookcrossing.bookcrossing`, `amazon.amazon_movies`, `amazon.amazon_2023`); the paper's
            by default.

    Raises:
        InputError: an unknown name or option; a file that is missing, altered or has a broken line.
    """
    reader = LOADERS[listed] if (listed := listed_as(name)) else partial(own_data, own_folder(name))
    known = list(signature(reader).parameters)
    if unknown := [option for option in options if option not in known]:
        raise InputError(f"data set {name} takes no option {unknown[0]!r}; it takes: {', '.join(known) or 'none'}")
    return reader(**options)


def listed_as(name: str) -> str | None:
    """The name in `LOADERS` that a user means, or None of a data set of their own.

    It is a folder's name, too, as outputs go to one: that of ``amazon-2023/Books`` is ``amazon-2023-Books``.
    """
    listed = f"{OF_2023}-{name.removeprefix(f'{OF_2023}/')}" if name.startswith(f"{OF_2023}/") else name
    return listed if listed in LOADERS else None


def name_of(dataset: str) -> str:
    """The short name of a data set, under which its outputs are kept: for a folder of your own, the folder's.

    Raises:
        InputError: there is no such data set.
    """
    return listed_as(dataset) or own_folder(dataset).resolve().name


def missing_files() -> dict[str, str]:
    """Data sets of the paper whose raw files lie in no raw folder, and what to do about it."""
    out = {}
    for name in filter(ARCHIVES.get, DATASETS):
        lacking = [a for a in ARCHIVES[name] if not is_here(a)]
        if lacking:
            urls = " and ".join(a.url for a in lacking)
            out[name] = f"`make all DATASETS={name}` downloads it, or place {urls} in data/raw/{name}/"
    return out


def is_local(name: str) -> bool:
    """Whether a data set can be read without a download."""
    if name == "ml-100k":
        return all(find(name, (file.name,)) for file in ML100K_FILES.values())
    return all(map(is_here, ARCHIVES.get(listed_as(name), ())))


def own_folder(name: str) -> Path:
    """The folder of a data set of the user's own: a path, or a name in a raw folder.

    Raises:
        InputError: there is none of that name, or it can't be a data set's name; tells the names that are known.
    """
    given = Path(name).expanduser()
    if given.is_file():
        raise InputError(f"data set is {name!r}, a file; name its folder, {str(given.parent)!r}")
    candidates = [given, *(raw / name for raw in raw_dirs())]
    for folder in filter(is_own, candidates):
        called = folder.resolve().name
        if called.lower() in map(str.lower, LOADERS):
            raise InputError(f"{folder} has the name of another data set; rename the folder")
        if not re.fullmatch(r"\w[\w .-]*(?<![ .])", called):
            raise InputError(
                f"{folder}: files are named after the folder, and {called!r} is no name for them; rename it to "
                f"letters, digits, blanks and .-_"
            )
        return folder
    if re.match(rf"{OF_2023}($|[/-])", name):
        raise InputError(no_category(name))
    if folder := next((folder for folder in candidates if folder.is_dir()), None):
        holds = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise InputError(f"{folder} has no {RATINGS}; it holds {holds}")
    known = ", ".join([*(name for name in LOADERS if not name.startswith(OF_2023)), f"{OF_2023}/CATEGORY"])
    raise InputError(f"data set is {name!r}; it must be one of: {known}, or a folder with {RATINGS} and {ITEMS}")
