"""RecBole's atomic files: tab-separated text below a header of ``name:type``, no quoting."""

import re
from pathlib import Path

import pandas as pd

from ..infra.errors import InputError
from .rows import LeftOut

KINDS = ("inter", "item", "user")
_FIELD = re.compile(r"([^:]+):(token|float|token_seq|float_seq)")


def read_atomic(folder: Path) -> dict[str, pd.DataFrame]:
    """The atomic files of a folder.

    Returns:
        By kind (``"inter"``, and ``"item"`` and ``"user"`` where there are such files), what `atomic_table` makes
        of the file.

    Raises:
        InputError: there is no ``.inter`` file or there are several of a kind; what `atomic_table` raises.
    """
    tables = {}
    for kind in KINDS:
        paths = sorted(p for p in Path(folder).glob("[!.]*") if p.suffix.lower() == f".{kind}" and p.is_file())
        if len(paths) > 1:
            raise InputError(
                f"{folder} has {len(paths)} .{kind} files ({', '.join(p.name for p in paths)}); keep one, "
                f"or join them below one header"
            )
        if paths:
            tables[kind] = atomic_table(paths[0])
    if "inter" not in tables:
        raise InputError(f"{folder} has no .inter file, which holds the ratings")
    return tables


def atomic_table(path: Path) -> pd.DataFrame:
    """One atomic file.

    Returns:
        Its fields as text, as they are written; a ``_seq`` holds several values with blanks between. The columns
        have the header's names without types. The index, ``line``, is the line in the file. ``attrs`` has ``path``,
        ``types`` (the header's, by column) and ``notes`` (what was left out, a sentence each).

    Raises:
        InputError: the file is not UTF-8, its header has no types, or too many rows have another number of fields.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as e:
        raise InputError(f"{path} is not UTF-8 ({e.reason} at byte {e.start:,}); save it as UTF-8") from e
    header, *lines = text.split("\n")  # not splitlines, which takes a rare white space for a line break
    found = {}
    for field in header.split("\t"):
        if not (named := _FIELD.fullmatch(field.strip())) or (name := named[1].strip()) in found:
            wrong = "is there twice" if named else "is no name:type"
            raise InputError(
                f"{path}:1: header field {field[:60]!r} {wrong}; an atomic file begins with fields like user_id:token "
                f"and rating:float (or token_seq, float_seq), with tabs between"
            )
        found[name] = named[2]
    rows, left_out = {}, LeftOut(str(path), f"rows of {path.name}")
    for number, line in enumerate(lines, start=2):
        row = line.split("\t")
        if not line.strip():
            continue
        if len(row) == len(found):
            rows[number] = row
        else:
            left_out.add(number, f"{len(row)} fields where {len(found)} are expected")
    notes = left_out.notes(len(rows) + len(left_out.rows))
    table = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows), name="line"), columns=list(found), dtype=str)
    table.attrs = {"path": str(path), "types": found, "notes": notes}
    return table
