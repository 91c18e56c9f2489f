"""Ids made comparable between files: cleaned on every side, and numbers where all of them are."""

import re

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from .text import clean_id, one_line

NONE = ("", "nan", "none", "null", "<na>", "n/a", "\\n")  # how files write that there is no id, in lower case
ROUNDED = re.compile(r"-?[0-9](?:[.,][0-9]+)?[eE]\+[0-9]{2,}")  # 7.65612E+16


def cleaned(column: pd.Series, where: str) -> tuple[pd.Series, list[str]]:
    """Ids as they are compared (see `clean_id`), empty where there is none; what was mended.

    Raises:
        InputError: a program took an id for a number and rounded it, so that it may stand for several.
    """
    code, raw = pd.factorize(column)
    ids = [clean_id(text) for text in raw]
    ids = np.array(["" if text.lower() in NONE or text == "NA" else text for text in ids] or [""], dtype=object)
    clean = pd.Series(ids[code] if len(column) else [], index=column.index, name=column.name, dtype=str)
    changed = clean.ne(column) & clean.ne("")
    notes = []
    if rounded := next(filter(ROUNDED.fullmatch, ids), None):
        line = clean.eq(rounded).idxmax()
        raise InputError(
            f"{where}:{line}: {column.name} {clean[line]!r} was rounded by a spreadsheet or a program that took it for "
            f"a number, so that different ids are one; export the ids as text"
        )
    if changed.any():
        line = changed.idxmax()
        notes.append(
            f"{where}: blanks or invisible characters in {changed.sum():,} {column.name}s are mended "
            f"(the first: line {line}, {one_line(clean[line])})."
        )
    return clean, notes


def refuse_doubles(clean: pd.Series, raw: pd.Series, where: str) -> None:
    """Raise `InputError` if two rows of items or users have one id; names both lines."""
    if (twice := clean.duplicated()).any():
        line = twice.idxmax()
        first = clean.eq(clean[line]).idxmax()
        how = "is listed twice" if raw[first] == raw[line] else f"is in line {first} written {raw[first]!r}"
        raise InputError(f"{where}:{line}: {clean.name} {raw[line]!r} {how} (lines {first} and {line}); keep one row")


def numbered(columns: list[pd.Series]) -> tuple[list[pd.Series], list[str]]:
    """The same ids in several files as whole numbers, if every one is one; what was read differently.

    ``12.0``, as pandas writes 12 beside an empty cell, is 12 where all ids are whole numbers; ``007`` is no number.
    """
    texts = pd.Series(pd.unique(pd.concat(columns, ignore_index=True)), dtype=str)
    if not texts.str.fullmatch(r"(0|-?[1-9][0-9]{0,17})(\.0+)?").all() or not len(texts):
        return columns, []
    notes = []
    if (floats := texts.str.contains(".", regex=False)).any():
        notes.append(f"{columns[0].name}s such as {texts[floats.idxmax()]} are read as whole numbers.")
    return [column.str.replace(r"\.0+$", "", regex=True).astype(np.int64) for column in columns], notes


def codes_of(ids: pd.Series, asked) -> np.ndarray:
    """Where each id that a user writes stands among a data set's, int64 [len(asked)], -1 where it is unknown.

    However it is written: ``12``, ``"12 "``, or ``12.0``, where ids are whole numbers.
    """
    texts = pd.Series(asked).map(lambda value: clean_id(str(value)))
    if pd.api.types.is_integer_dtype(ids):
        texts = texts.str.replace(r"\.0+$", "", regex=True)
    return pd.Index(ids.astype(str)).get_indexer(texts)
