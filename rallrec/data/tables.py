"""CSV files as tables of text in which every row is known by its line."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from .text import one_line

NUMBER = r"-?[0-9]+(\.[0-9]+)?"
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file, its fields separated by commas, semicolons, tabs or vertical bars, as text.

    Returns:
        Columns by the names in the header; the index is the line of the file at which each row begins. ``attrs``
        has ``path``, and ``notes``: what is unusual and how it was read.

    Raises:
        InputError: the file is no text, or has a row whose end is not clear; names the line.
    """
    text, notes = _text(path)
    start, header, text = _header(text)
    if not header.strip():
        raise InputError(f"{path} is no CSV table: it is empty")
    if header.lower().startswith("sep=") and len(header) == 5:  # what Excel writes above a header
        separator = header[4]
        more, header, text = _header(text.partition("\n")[2])
        start += 1 + more
    else:
        outside = re.sub(r'"[^"]*"', "", header)
        separator = max(SEPARATORS, key=outside.count)
    if separator != ",":
        notes.append(f"{path.name}: fields are separated by {SEPARATORS.get(separator, repr(separator))}.")
    table = _regular(text, header, start, separator)
    if table is None:
        table, more = _irregular(text.split("\n"), start, separator, path)
        notes += more
    table.columns = [one_line(name) for name in table.columns]
    if (twice := table.columns.duplicated() & (table.columns != "")).any():
        name = table.columns[twice][0]
        mend = "put a line with the columns' names above it" if re.fullmatch(NUMBER, name) else "keep one"
        raise InputError(f"{path}:{start + 1}: column {name!r} is there twice; {mend}")
    alike = table[table.iloc[:, 0] == table.columns[0]]
    if len(again := alike.index[(alike == list(table.columns)).all(axis=1)]):
        notes.append(f"{path.name}: the header is there again in line {again[0]}; it is no row.")
        table = table.drop(again)
    table, more = _without_row_numbers(table[(table != "").any(axis=1)], path)
    table.attrs.update(path=str(path), notes=notes + more)
    return table


def _text(path: Path) -> tuple[str, list[str]]:
    """A file's text, its lines ended by a line feed."""
    content, notes = path.read_bytes(), []
    try:
        if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise InputError(f"{path} is UTF-32; save it as UTF-8")
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = content.decode("utf-16")
            notes.append(f"{path.name} is UTF-16 and was read as such.")
        else:
            text = content.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = content[: e.start].count(b"\n") + 1
        raise InputError(f"{path} is not UTF-8 ({e.reason} at byte {e.start:,}, line {line}); save it as UTF-8") from e
    if "\0" in text[:200]:
        raise InputError(f"{path} holds null characters: it is UTF-16 or no text; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _header(text: str) -> tuple[int, str, str]:
    """How many empty lines come first, the line after them, and the text from there on."""
    body = text.lstrip("\n")
    return len(text) - len(body), body.partition("\n")[0], body


def _regular(text: str, header: str, start: int, separator: str) -> pd.DataFrame | None:
    """The table of a text with no quotes whose lines all have as many fields as the header, else None."""
    text = text.rstrip("\n")
    n_fields, n_lines = header.count(separator) + 1, text.count("\n") + 1
    if '"' in text or n_lines == 1 or text.count(separator) != (n_fields - 1) * n_lines:
        return None
    form = dict(dtype=str, keep_default_na=False, skip_blank_lines=False, quoting=csv.QUOTE_NONE)
    try:
        table = pd.read_csv(io.BytesIO(text.encode()), sep=separator, header=0, **form)
    except pd.errors.ParserError:  # a long line beside a short one
        return None
    if len(table) != n_lines - 1 or not isinstance(table.index, pd.RangeIndex):
        return None
    table.index = np.arange(start + 2, start + 1 + n_lines)
    table.columns = header.split(separator)
    return table


def _irregular(lines: list[str], start: int, separator: str, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table of any other file, and what is unusual in it."""
    notes = []
    try:
        records = list(_records(lines, start, separator, path))
    except InputError:
        if not any('\\"' in line for line in lines):
            raise
        records = list(_records(lines, start, separator, path, escapechar="\\"))
        notes.append(f'{path.name}: quotes in quoted fields are written \\" and were read as such.')
    (_, names), *rows = records
    if _numbered([(lines[line - 1 - start], fields) for line, fields in rows if any(fields)], len(names)):
        names = ["", *names]
    width, short = len(names), []
    for line, fields in rows:
        while len(fields) > width and not fields[-1]:
            fields.pop()
        if len(fields) > width:
            raise InputError(
                f"{path}:{line}: {len(fields)} fields where the header has {width}; "
                f"put quotes around a field that holds a {separator!r}, and nothing above the columns' names"
            )
        if any(fields) and len(fields) < width:
            short.append(line)
            fields += [""] * (width - len(fields))
    rows = [(line, fields) for line, fields in rows if any(fields)]
    if short:
        notes.append(
            f"{path.name}: {len(short):,} rows have fewer fields than the header; what they lack is empty "
            f"(the first: line {short[0]})."
        )
    table = pd.DataFrame([fields for _, fields in rows], columns=range(width), dtype=str)
    table.index = np.array([line for line, _ in rows], dtype=np.int64)
    table.columns = names
    return table, notes


def _records(lines: list[str], start: int, separator: str, path: Path, **dialect) -> Iterator[tuple[int, list[str]]]:
    """Each record and the line at which it begins; a quote must close before a separator or the end of a line."""
    reader = csv.reader(
        (line + "\n" for line in lines), delimiter=separator, strict=True, skipinitialspace=True, **dialect
    )
    line, n_fields = start + 1, None
    try:
        for fields in reader:
            end = start + reader.line_num
            n_fields = n_fields or len(fields)
            if end > line and _are_rows(lines[line - 1 - start : end - start], separator, n_fields):
                raise InputError(
                    f"{path}:{line}: a quote opens in this row and closes in line {end}, so that rows became one; "
                    f"close it in its own row (or, if it is one field, write it in one line)"
                )
            yield line, fields
            line = end + 1
    except csv.Error as e:
        what = "is followed by text or closed too late"
        if "unexpected end" in str(e) or "limit" in str(e):  # the field grew beyond what the reader holds
            what = "is never closed"
        raise InputError(
            f"{path}:{line}: a quote that opens in this row {what}; close it, or double a quote within a field"
        ) from e


def _numbered(rows: list[tuple[str, list[str]]], width: int) -> bool:
    """Whether rows, as lines and as fields, are those of R's write.table: one field more than the header, which
    numbers them in quotes."""
    return (
        len(rows) > 1
        and all(len(row) == width + 1 and line.startswith(f'"{n}"') for n, (line, row) in enumerate(rows, start=1))
        and any(row[-1] for _, row in rows)
    )


def _are_rows(lines: list[str], separator: str, n_fields: int) -> bool:
    """Whether the lines of one record look like rows: as many separators, beginning with the same kind of id."""
    full = [line.count(separator) == n_fields - 1 > 0 for line in lines]
    alike = [_shape(line, separator) == _shape(lines[0], separator) for line in lines]
    return all(full) or any(f and a for f, a in zip(full[1:], alike[1:], strict=True))


def _shape(line: str, separator: str) -> str:
    """What kind of text a line begins with: ``i12`` and ``x7`` are alike."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", line.split(separator)[0].strip('" ')))


def _without_row_numbers(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table without columns that number the rows, as pandas writes them; one without a name is ``column 3``."""
    notes, kept = [], {}
    for at, name in enumerate(table.columns):
        values = table.iloc[:, at]
        nameless = not name or re.fullmatch(r"Unnamed: \d+(\.\d+)?", name) is not None
        if nameless or name.lower() in ("index", "level_0"):
            numbers = pd.to_numeric(values, errors="coerce")
            if len(numbers) and numbers.iloc[0] in (0, 1) and (numbers.diff().iloc[1:] == 1).all():
                notes.append(f"{path.name}: column {name!r} only numbers the rows and is dropped.")
                continue
        if not nameless:
            kept[name] = values
        elif (values != "").any():
            kept[f"column {at + 1}"] = values
    return pd.DataFrame(kept, index=table.index), notes
