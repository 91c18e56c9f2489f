"""What two rows of a table differ in: a claim compares one thing."""

from dataclasses import fields

from ..pipeline import Choice
from ..readers.base import READERS
from ..retrieval.selectors import SELECTORS

OF_ITEMS = ("representation", "weights", "layers", "edges", "temperature", "stop")  # read by some selectors only


def compared(one: Choice, other: Choice) -> dict[str, tuple]:
    """The parts in which two choices differ, by name, with the values of both.

    Only parts that both read are compared. That one of them reads no representation, or nothing that is shown, follows
    from its selector, or its reader, and is no second difference.

    Example:
        >>> compared(Choice("colla", "high"), Choice(selector="recent"))
        {'selector': ('high', 'recent')}
    """
    mine, theirs = _read(one), _read(other)
    return {name: (mine[name], theirs[name]) for name in mine if name in theirs and mine[name] != theirs[name]}


def in_words(one: Choice, other: Choice) -> str:
    """`compared` as a cell of a table: ``selector: rerank / recent``, with a dash for what the profile says."""
    pairs = compared(one, other).items()
    return "; ".join(f"{name}: {_written(mine)} / {_written(theirs)}" for name, (mine, theirs) in pairs) or "nothing"


def _read(choice: Choice) -> dict:
    shown, items = READERS[choice.reader].reads_shown, SELECTORS[choice.selector].reads_items
    parts = {f.name: getattr(choice, f.name) for f in fields(choice)}
    return {name: v for name, v in parts.items() if name == "reader" or (shown and (items or name not in OF_ITEMS))}


def _written(value) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
