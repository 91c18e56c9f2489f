"""Copies of the notebooks to play with: a notebook that is opened by hand is saved by itself, and the sources are not
to change by that.
"""

import hashlib
import json
import shutil
from pathlib import Path

from ..infra.errors import InputError
from ..infra.files import ROOT

FIRST = "00_lab"  # where the lab begins
KEPT = ".sources.json"  # digests of the sources as they were copied, by name


def copy_notebooks(folder: Path | None = None, sources: Path | None = None) -> list[str]:
    """Copy the notebooks into a folder, by default the git-ignored ``lab/``; what was changed there stays.

    A copy counts as changed when the text of its cells is no longer the source's: outputs alone, which running leaves,
    are no change, and go with a copy that is brought up to date.

    Returns:
        A line on each copy that is new, was brought up to date, or stays behind its source.
    Raises:
        InputError: a copy, or the list of what was copied, is damaged.
    """
    folder, sources = folder or ROOT / "lab", sources or ROOT / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    list_of, said, new = folder / KEPT, [], []
    copied = _read(list_of) if list_of.exists() else {}
    for source in sorted(sources.glob("*.ipynb")):
        copy, now = folder / source.name, _text(source)
        if not copy.exists():
            new.append(source.name)
        elif _text(copy) == now:
            copied[source.name] = now
            continue
        elif _text(copy) == copied.get(source.name):
            said.append(f"{_told(copy)} is brought up to date")
        else:
            if copied.get(source.name) != now:
                said.append(
                    f"{_told(copy)} stays as you changed it; {_told(source)} has changed since: for a fresh copy, "
                    f"rename or delete yours and run `make lab` again"
                )
            continue
        shutil.copyfile(source, copy)
        copied[source.name] = now
    list_of.write_text(json.dumps(copied, indent=1) + "\n", encoding="utf-8")
    if new:
        said.insert(0, f"copied into {_told(folder)}/: {', '.join(new)}")
    return said


def _text(notebook: Path) -> str:
    """Digest of the text of a notebook's cells."""
    cells = _read(notebook).get("cells")
    if not isinstance(cells, list):
        raise InputError(f"{notebook} is no notebook; rename or delete it, and run `make lab` again")
    texts = [[cell.get("cell_type"), "".join(cell.get("source", ""))] for cell in cells]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _read(path: Path) -> dict:
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise InputError(f"{path} is damaged ({e}); rename or delete it, and run `make lab` again") from e
    return made if isinstance(made, dict) else {}


def _told(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
