"""Raw files of data sets: found where the user put them, else downloaded from their distributor."""

import codecs
import gzip
import hashlib
import os
import re
import struct
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from ..infra.errors import InputError
from ..infra.files import alone, data_dir, raw_dirs
from ..infra.progress import Progress

BLOCK = 1 << 20
DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, NotImplementedError)
BROKEN_ZIP = (*DAMAGED, RuntimeError, ValueError, KeyError, struct.error)  # what a flipped bit can make of a zip


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
    """The first of ``names`` that lies in a raw folder: ``<raw>/<dataset>/``, a folder in it, or ``<raw>/``.

    Capitals don't count, but a name in the right ones comes first.
    """
    for raw in raw_dirs():
        folders = (raw / dataset, *sorted(p for p in (raw / dataset).glob("*") if p.is_dir()), raw)
        files = [p for folder in folders for p in sorted(folder.glob("*")) if p.is_file()]
        for same in (str, str.lower):
            for name in names:
                if path := next((p for p in files if same(p.name) == same(name)), None):
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
    files = [p for raw in raw_dirs() for p in sorted((raw / archive.dataset).glob("*")) if archive.members]
    return [p for p in files if p.suffix.lower() == ".zip" and p.is_file()]


@dataclass(frozen=True)
class Member:
    """One needed file of an archive: it lies loose, or is packed.

    Attributes:
        where: it comes from, for messages. mend: what to do if it is damaged.
        path: of the file on the disk. packed: names within zip archives, the outermost first; none of a loose file.
    """

    where: str
    mend: str
    path: Path
    packed: tuple[str, ...] = ()

    def blocks(self, size: int = -1) -> Iterator[bytes]:
        """Its bytes, ``size`` at a time; unpacked as they are asked for, and nothing is written to disk.

        Raises:
            InputError: it is truncated or altered; a packed one's checksum is compared when its end is reached.
        """
        try:
            with ExitStack() as stack:
                f = stack.enter_context(open(self.path, "rb"))
                for name in self.packed:
                    f = stack.enter_context(stack.enter_context(zipfile.ZipFile(f)).open(name))
                while block := f.read(size):
                    yield block
        except (*BROKEN_ZIP, OSError) as e:
            if self.packed:
                raise InputError(_altered(self.path, e, self.mend)) from e
            raise InputError(f"{self.path} can't be read ({getattr(e, 'strerror', e)})") from e

    def read(self) -> bytes:
        """All of it."""
        return b"".join(self.blocks())


def members(archive: Archive) -> dict[str, tuple[str, bytes]]:
    """Of each needed member where it comes from, for messages, and its bytes; see `member_files`."""
    return {key: (member.where, member.read()) for key, member in member_files(archive).items()}


def member_files(archive: Archive) -> dict[str, Member]:
    """Each needed member, to be read in blocks.

    Taken from loose files, else from the archive or any zip archive in the data set's folder, else downloaded.

    Raises:
        InputError: a file is missing, truncated or altered.
    """
    mend = f"fetch {archive.name} from {archive.url}"
    loose = {key: find(archive.dataset, names) for key, names in archive.members.items()}
    if all(loose.values()):
        return {key: Member(str(path), mend, path) for key, path in loose.items()}
    named = find(archive.dataset, (archive.name, *archive.names))
    path = named or next(iter(_zips(archive)), None)
    if not path and (some := next(filter(None, loose.values()), None)):
        lacking = next(archive.members[key] for key in loose if not loose[key])
        raise InputError(f"{some.parent} holds {some.name} but no {' or '.join(lacking)}; place it there, or {mend}")
    path = path or download(archive)
    _no_web_page(path, _head(path), mend)
    try:
        with open(path, "rb") as f:
            return _packed(f, (), Member(str(path), mend, path), archive)
    except InputError:
        raise
    except (*BROKEN_ZIP, OSError) as e:
        raise InputError(_altered(path, e, mend)) from e


def whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks that end where a line does; the last line may lack its end."""
    rest = b""
    for block in blocks:
        lines, end, begun = block.rpartition(b"\n")
        if end:
            yield rest + lines + end
            rest = begun
        else:
            rest += block
    if rest:
        yield rest


def _packed(f: BinaryIO, within: tuple[str, ...], outer: Member, archive: Archive) -> dict[str, Member]:
    """The needed members of a zip archive, or of the one archive inside it.

    Args:
        within: names of the archives that it is packed in. outer: itself.
    """
    where, mend = outer.where, outer.mend
    with zipfile.ZipFile(f) as z:
        inside = [name for name in z.namelist() if not name.startswith("__MACOSX/")]
        out = {}
        for key, names in archive.members.items():
            found = [[i for i in inside if Path(i).name.lower() == name.lower()] for name in names]
            found = next(filter(None, found), [])
            packed = [i for i in inside if i.lower().endswith(".zip")]
            if not found and len(packed) == 1:
                with z.open(packed[0]) as inner:
                    one = replace(outer, where=f"{where}/{packed[0]}")
                    return _packed(inner, (*within, packed[0]), one, archive)
            if not found:
                files = ", ".join([i for i in inside if not i.endswith("/")][:4]) or "nothing"
                raise InputError(f"{where} holds no {' or '.join(names)}, but {files}; {mend}")
            if len(found) > 1:
                raise InputError(f"{where} holds {found[0]} and {found[1]}; keep one")
            out[key] = replace(outer, where=f"{where}/{found[0]}", packed=(*within, found[0]))
        return out


def _altered(path: Path, e: Exception, mend: str) -> str:
    return f"{path} is truncated or altered ({e}); delete it and run again, or {mend}"


def _no_web_page(path: Path, head: bytes, mend: str) -> None:
    """Refuse what a server sends, and a browser saves, where there is no such file."""
    if head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"<":
        raise InputError(f"{path} is a web page that was saved under this name; delete it and {mend}")


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as f:
            return f.read(100)
    except OSError as e:
        raise InputError(f"{path} can't be read ({e.strerror})") from e


def decoded(content: bytes, encoding: str) -> tuple[str, bool]:
    """A file's text, and whether it is UTF-8 where its distributor's file is in another encoding.

    Args:
        encoding: the distributor's; bytes that have no meaning in it become U+FFFD.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8"), not content.isascii()
    except UnicodeDecodeError:
        return content.decode(encoding, errors="replace"), False


def damaged(titles: pd.Series) -> list[str]:
    """A sentence on titles in which a file holds letters that can't be known any more, if there are any."""
    bad = titles[titles.str.contains(_DAMAGED)]
    some = f"{len(bad):,} of {len(titles):,} titles have letters that the file holds damaged, such as "
    return [f"{some}{bad.iloc[0][:80]!r}."] if len(bad) else []


# what UTF-8 becomes if it is taken for cp1252, a letter's first byte perhaps "?"; and what nothing could be made of
_DAMAGED = re.compile("[ÃÂ?][\u0080-\u00bf]|[ÃÂ][?\u0152-\u2122]|\ufffd")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to be read: unpacked if it is gzip, whatever its name says.

    Raises:
        InputError: it can't be read, or turns out to be damaged while it is.
    """
    try:
        with open(path, "rb") as f:
            head = f.read(100)
        _no_web_page(path, head, "fetch the file again")
        with gzip.open(path) if head[:2] == b"\x1f\x8b" else open(path, "rb") as f:
            yield f
    except DAMAGED as e:
        raise InputError(f"{path} is truncated or altered ({e}); delete it and run again") from e
    except OSError as e:
        raise InputError(f"{path} can't be read ({e.strerror or e})") from e


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
