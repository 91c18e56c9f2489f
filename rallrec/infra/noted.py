"""Files of the user's that a run read beside its data: what they held decides whether it must run again."""

from pathlib import Path

from .downloads import sha256_of

NOTED: dict[str, str] = {}  # SHA-256 of their content, by absolute path


def noted(path: str | Path) -> Path:
    """Note that results depend on a file, and give its path back.

    Raises:
        OSError: it can't be read.
    """
    NOTED[str(Path(path).resolve())] = sha256_of(Path(path))
    return Path(path)
