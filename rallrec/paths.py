"""Where things lie. Nothing here depends on the working directory."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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
