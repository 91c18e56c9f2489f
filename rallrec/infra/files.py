"""Where things lie, whatever the working directory, and one process at a time where two would do the same work."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def data_dir() -> Path:
    """The git-ignored folder of downloads, converted models and the cache (``RALLREC_DATA``)."""
    return Path(os.environ.get("RALLREC_DATA", ROOT / "data"))


def raw_dirs() -> list[Path]:
    """Folders searched, in this order, for raw files that the user already has (``RALLREC_RAW``)."""
    own = os.environ.get("RALLREC_RAW")
    return ([Path(own)] if own else []) + [data_dir() / "raw"]


def published_dir() -> Path:
    """The repository's published artefacts: descriptions, embeddings, adapters."""
    return ROOT / "published"


def fresh() -> bool:
    """Whether published artefacts and the ordinary cache are to be ignored (``RALLREC_FRESH``)."""
    return os.environ.get("RALLREC_FRESH", "") not in ("", "0")


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Be the only process with this data folder that makes ``what``, waiting, with a word, as long as another does.

    The system frees the lock when its process ends, however that ends.
    """
    folder = data_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / what, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another process makes {what}; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def workplace(final: Path) -> Iterator[Path]:
    """A temporary folder beside ``final``, for one process at a time to make it in and to rename it from there.

    What killed processes left in theirs is deleted first.
    """
    with alone(final.name):
        final.parent.mkdir(parents=True, exist_ok=True)
        for left in final.parent.glob(f".{final.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}-") as tmp:
            yield Path(tmp)
