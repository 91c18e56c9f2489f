"""Cells that a file's way here has damaged: mended where there is one mend, else told."""

import ast
import csv
import html
import json
import re
from pathlib import Path

import ftfy
import ftfy.badness
import pandas as pd

from .text import article_first, one_line

LOSSLESS = ftfy.TextFixerConfig(replace_lossy_sequences=False, restore_byte_a0=True)
LIST = r"(?s)\s*(?:[\[({].*[\])}]|'[^']*'(?:,?\s+'[^']*')+)\s*"  # also without brackets, as RecBole writes Amazon's
HALF = re.compile(r"[ÂÃ]\?")  # a letter of two bytes whose second was lost
UNKNOWN = ("nan", "NaN", "NULL", "null", "None", "NA", "<NA>", "\\N", "N/A", "n/a", "(no genres listed)")
ENTITY = r"&(?:[a-zA-Z]+[0-9]*|#[0-9]+|#[xX][0-9a-fA-F]+);"


def mended(table: pd.DataFrame, columns: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Text columns without what HTML (``&amp;``) and another encoding (``StraÃŸe``) did to them; what was done."""
    notes, changed, lost, bad, n_entities = [], [], [], [], 0
    table, file = table.copy(), _file(table)
    for name in columns:
        better = {}
        plain = table[name].str.replace(ENTITY, lambda entity: html.unescape(entity[0]), regex=True)
        n_entities += int((plain != table[name]).sum())
        table[name] = plain
        for line, text in table.loc[~table[name].map(str.isascii), name].items():
            fixed = ftfy.fix_encoding(text, LOSSLESS)
            if "\ufffd" in fixed:
                lost.append((line, fixed))
            elif ftfy.badness.is_bad(fixed) or HALF.search(fixed):  # half a mend is none
                bad.append((line, text))
            elif fixed != text:
                better[line] = fixed
                changed.append((line, text, fixed))
        if better:
            table.loc[list(better), name] = list(better.values())
    if n_entities:
        notes.append(f"{file}: {n_entities:,} texts have HTML's entities such as &amp; and are read without.")
    if changed:
        line, text, fixed = min(changed)
        notes.append(
            f"{file}: {len(changed):,} texts were saved in a wrong encoding and are mended "
            f"(the first: line {line}, {one_line(text)[:60]!r} is {one_line(fixed)[:60]!r})."
        )
    for broken, how in ((lost, "have lost characters (�)"), (bad, "look as if saved in a wrong encoding")):
        if broken:
            line, text = min(broken)
            notes.append(
                f"{file}: {len(broken):,} texts {how} and can't be mended "
                f"(the first: line {line}, {one_line(text)[:60]!r})."
            )
    return table, notes


def tidy(table: pd.DataFrame, columns: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Attribute columns without what programs write for nothing, for whole numbers and for lists; what was done."""
    notes, table, file = [], table.copy(), _file(table)
    for name in columns:
        values = table[name]
        if (unknown := values.isin(UNKNOWN)).any():
            notes.append(f"{file}: {unknown.sum():,} cells of {name} say {values[unknown].iloc[0]!r} and are empty.")
            values = values.mask(unknown, "")
        given = values[values != ""]
        if len(given) and given.str.fullmatch(r"-?[0-9]+\.0").all():
            notes.append(f"{file}: {name} holds whole numbers such as {given.iloc[0]}, written without .0.")
            values = values.str.removesuffix(".0")
        elif (listed := given.str.fullmatch(LIST)).any():
            lists = {text: joined for text in given[listed].unique() if (joined := _joined(text)) is not None}
            if lists:
                notes.append(f"{file}: {name} holds lists; their entries are joined by commas.")
                values = values.map(lambda text, lists=lists: lists.get(text, text))
        table[name] = values
    return table, notes


def _file(table: pd.DataFrame) -> str:
    return Path(table.attrs["path"]).name


def _joined(text: str) -> str | None:
    """The entries of a list, or their names, as one text; None for what is no list of texts.

    Lists are Python's, also tuples and sets, JSON's, NumPy's (``['Jazz' 'Pop']``) and PostgreSQL's (``{Jazz,Pop}``).
    """
    text = re.sub(r"""(?<=['"])\s+(?=['"])""", ", ", text.strip())  # Python would make one text of NumPy's two
    text = f"[{text}]" if text.startswith("'") else text
    try:
        tree = ast.parse(text, mode="eval").body
        entries = [ast.literal_eval(entry) for entry in tree.elts] if hasattr(tree, "elts") else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        entries = None
    if entries is None:
        try:
            entries = json.loads(text) if text.startswith("[") else None
        except (ValueError, RecursionError):
            return None
    if entries is None and re.fullmatch(r"\{[^{}:]*\}", text):
        entries = next(csv.reader([text[1:-1]]), [])
    if entries is None:
        return None
    entries = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries if entry is not None]
    return ", ".join(entries) if all(isinstance(entry, str) for entry in entries) else None


def of_movielens(items: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Items with titles as MovieLens writes them, ``Matrix, The (1999)``: the year apart, the article first."""
    titles = items["title"].str.strip()
    year = titles.str.extract(r"\((\d{4})(?:[-–]\d{0,4})?\)$")[0]
    notes, items = [], items.copy()
    if "year" not in items and year.notna().mean() > 0.5:
        items.insert(items.columns.get_loc("title") + 1, "year", year.fillna(""))
        titles = titles.where(year.isna(), titles.str.replace(r"\s*\(\d{4}(?:[-–]\d{0,4})?\)$", "", regex=True))
        notes.append("the year after a title is a column of its own")
    items["title"] = titles.map(article_first).where(titles.ne(""), items["title"])
    if (moved := items["title"] != titles).any():
        notes.append(f"articles go first ({titles[moved].iloc[0]!r} is {items['title'][moved].iloc[0]!r})")
    return items, [f"{_file(items)}: titles are MovieLens's: {'; '.join(notes)}."] if notes else []


def split_kinds(column: pd.Series, separator: str | None, file: str) -> tuple[pd.Series, str, list[str]]:
    """A column of categories, what separates several in a cell, and what was found.

    ``separator`` is what the user says; by default ``|`` or ``;`` where many cells have it, else a comma and a
    blank. It becomes the latter, as prose has it, unless a category itself has that.
    """
    found = separator or next((s for s in ("|", ";") if column.str.contains(s, regex=False).mean() > 0.2), ", ")
    if found == ", ":
        return column, found, []
    parts = column.str.split(found, regex=False).map(lambda kinds: [kind.strip() for kind in kinds if kind.strip()])
    if parts.map(lambda kinds: any(", " in kind for kind in kinds)).any():
        return parts.map(found.join), found, [f"{file}: {column.name} is split at {found!r}."]
    return parts.map(", ".join), ", ", [f"{file}: {column.name} is split at {found!r} and joined by commas."]
