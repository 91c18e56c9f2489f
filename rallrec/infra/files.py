"""Where things lie, whatever the working directory, and one process at a time where two would do the same work."""

import glob
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NETWORKED = re.compile(
    r"9p|afs|beegfs|ceph|cifs|fuse\.(glusterfs|sshfs)|glusterfs|gpfs|lustre|nfs4?|orangefs|panfs|pvfs2|smb3|smbfs|wekafs"
)


def given(variable: str, default: Path | None = None) -> Path | None:
    """The folder that an environment variable names, a relative one seen from the working directory.

    A notebook opened by hand has another one than the command that opened it, so a folder that is not there is looked
    for in the repository, too.
    """
    if not (value := os.environ.get(variable)):
        return default
    path = Path(value).expanduser()
    return ROOT / path if not path.exists() and (ROOT / path).exists() else path


def data_dir() -> Path:
    """The git-ignored folder of downloads, converted models and the cache (``RALLREC_DATA``)."""
    return given("RALLREC_DATA", ROOT / "data")


def raw_dirs() -> list[Path]:
    """Folders searched, in this order, for raw files that the user already has (``RALLREC_RAW``).

    Raises:
        InputError: ``RALLREC_RAW`` names no folder.
    """
    own = given("RALLREC_RAW")
    if own and not own.is_dir():
        raise InputError(f"RALLREC_RAW is {own}, which is no folder; name the one above the data sets, or unset it")
    return ([own] if own else []) + [data_dir() / "raw"]


def published_dir() -> Path:
    """The repository's published artefacts: descriptions, embeddings, adapters."""
    return ROOT / "published"


def fresh() -> bool:
    """Whether published artefacts and the ordinary cache are to be ignored (``RALLREC_FRESH``)."""
    return os.environ.get("RALLREC_FRESH", "") not in ("", "0")


def network_disk(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The kind of network's disk that a path lies on, such as ``nfs4``; None of another, or where no system tells.

    Args:
        mounts: the system's list of what is mounted where.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    kinds = {Path(at.replace("\\040", " ")): kind for _, at, kind, *_ in map(str.split, lines)}
    above = [at for at in kinds if path.resolve().is_relative_to(at)]
    kind = kinds[max(above, key=lambda at: len(at.parts))] if above else ""
    return kind if NETWORKED.fullmatch(kind) else None


@contextmanager
def alone(what: str | Path) -> Iterator[Path]:
    """Be the only process with this data folder that makes ``what``, and wait, with one line, while another does.

    The system frees the lock when its process ends, however that ends.

    Args:
        what: a name, or the path of what is made: paths of the same name in different folders are different things.

    Yields:
        The lock's file.
    Raises:
        OSError: the data folder can't be written.
        RuntimeError: this thread makes ``what`` already, so waiting would never end.
    """
    folder = data_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (what if isinstance(what, str) else f"{what.name}-{_digest(what)}")
    lock = FileLock(path, fallback_to_soft=False)  # a soft lock would outlive its process
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"another process makes {what if isinstance(what, str) else what.name}; waiting for it", flush=True)
        lock.acquire()
    try:
        yield path
    finally:
        lock.release()


@contextmanager
def workplace(final: Path) -> Iterator[Path]:
    """A temporary folder beside ``final``, for one process at a time to make it in and to rename it from there.

    What killed processes left in theirs is deleted first. The folder's name tells whose lock it lies under,
    so that nobody else's is taken for such a leftover.
    """
    with alone(final) as lock:
        final.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{final.name}-{_digest(lock)}-"
        for left in final.parent.glob(f"{glob.escape(prefix)}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=prefix) as tmp:
            yield Path(tmp)


def _digest(path: Path) -> str:
    """Eight hex digits that tell a path from others of the same name."""
    return hashlib.sha256(os.fsencode(path.parent.resolve() / path.name)).hexdigest()[:8]
