"""Raw files of data sets: found where the user put them, else downloaded from their distributor."""

import gzip
import hashlib
import os
import struct
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from ..infra.errors import InputError
from ..infra.files import alone, data_dir, raw_dirs
from ..infra.progress import Progress

BLOCK = 1 << 20
DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, NotImplementedError)


@dataclass(frozen=True)
class Archive:
    """A file as its distributor offers it.

    Attributes:
        dataset: the folder in which it is looked for, and put.
        name: of the file at ``url``. md5: of the same, where the distributor tells it.
        names: other names that the same file goes by.
        members: of a zip archive, what is needed: a name for each, and the file names it goes by.
    """

    dataset: str
    name: str
    url: str
    md5: str | None = None
    names: tuple[str, ...] = ()
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)


def find(dataset: str, names: tuple[str, ...]) -> Path | None:
    """The first of ``names`` that lies in a raw folder: ``<raw>/<dataset>/``, a folder in it, or ``<raw>/``."""
    for raw in raw_dirs():
        for name in names:
            for path in (raw / dataset / name, *sorted((raw / dataset).glob(f"*/{name}")), raw / name):
                if path.is_file():
                    return path
    return None


def located(archive: Archive) -> Path:
    """The archive's path: found under one of its names, or downloaded.

    Raises:
        InputError: neither is possible; says what to fetch and where to place it.
    """
    return find(archive.dataset, (archive.name, *archive.names)) or download(archive)


def is_here(archive: Archive) -> bool:
    """Whether `located` or `members` will find the archive without a download."""
    loose = archive.members and all(find(archive.dataset, names) for names in archive.members.values())
    return bool(loose or _zips(archive) or find(archive.dataset, (archive.name, *archive.names)))


def _zips(archive: Archive) -> list[Path]:
    """Zip archives in the data set's raw folders, whatever their names, where the archive is one."""
    return [p for raw in raw_dirs() for p in sorted((raw / archive.dataset).glob("*.zip")) if archive.members]


def members(archive: Archive) -> dict[str, tuple[str, bytes]]:
    """Each needed member: where it comes from, for messages, and its bytes.

    Taken from loose files, else from any zip archive in the data set's folder, else downloaded.

    Raises:
        InputError: a file is missing, truncated or altered.
    """
    loose = {key: find(archive.dataset, names) for key, names in archive.members.items()}
    if all(loose.values()):
        return {key: (str(path), path.read_bytes()) for key, path in loose.items()}
    path = next(iter(_zips(archive)), None) or located(archive)
    try:
        with zipfile.ZipFile(path) as z:
            inside = {Path(name).name: name for name in z.namelist()}
            out = {}
            for key, names in archive.members.items():
                found = next((inside[name] for name in names if name in inside), None)
                if found is None:
                    raise InputError(f"{path} holds no {' or '.join(names)}; fetch {archive.name} from {archive.url}")
                out[key] = f"{path}/{found}", z.read(found)  # checks the member's CRC; nothing is written to disk
            return out
    except InputError:
        raise
    except (*DAMAGED, OSError, RuntimeError, ValueError, struct.error) as e:  # what a flipped bit can make of a zip
        raise InputError(f"{path} is truncated or altered ({e}); delete it and run again") from e


def download(archive: Archive) -> Path:
    """Fetch an archive into ``data/raw/<dataset>/``, resuming what an earlier attempt left; checked before it is used.

    Raises:
        InputError: no network, no space, or a file that is not what it should be.
    """
    target = data_dir() / "raw" / archive.dataset / archive.name
    part = target.with_name(f"{target.name}.part")
    mend = f"fetch {archive.url} and place it at {target}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target):
            if not target.exists():  # unless another process was first
                _receive(archive.url, part)
                _check(archive, part)
                os.replace(part, target)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as e:
        raise InputError(f"{archive.name} could not be fetched ({getattr(e, 'reason', e)}); {mend}") from e
    except OSError as e:
        raise InputError(f"{part}: {e.strerror or e}; free some space or mend the folder, then run again") from e
    return target


def _receive(url: str, part: Path) -> None:
    """Write what ``url`` serves to ``part``, going on from where it ends, and make sure that nothing is missing."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as e:
        if e.code == 416:  # nothing is left to send
            return
        raise
    with answer:
        resumed = answer.status == 206
        length = int(answer.headers.get("Content-Length", 0)) + (have if resumed else 0)
        with (
            open(part, "ab" if resumed else "wb") as f,
            Progress(f"download {part.stem}", length, "B") as progress,
        ):
            progress.add(have if resumed else 0)
            while block := answer.read(BLOCK):
                f.write(block)
                progress.add(len(block))
    if length and part.stat().st_size < length:
        raise ConnectionError(f"the connection broke after {part.stat().st_size:,} of {length:,} bytes; run again")


def _check(archive: Archive, part: Path) -> None:
    """Refuse, and delete, a download that is not the distributor's file or not a whole archive."""
    try:
        if archive.md5:
            with open(part, "rb") as f:
                good = hashlib.file_digest(f, "md5").hexdigest() == archive.md5
        elif archive.name.endswith(".zip"):
            with zipfile.ZipFile(part) as z:
                good = z.testzip() is None
        else:
            with gzip.open(part) as f:
                while f.read(BLOCK):
                    pass
                good = True
    except DAMAGED:
        good = False
    if not good:
        part.unlink()
        raise InputError(f"{archive.url} served something else than {archive.name}, or a damaged one; run again later")
