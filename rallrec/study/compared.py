"""What two rows of a table differ in: a claim compares one thing."""

from dataclasses import fields

from ..pipeline import Choice
from ..readers.base import READERS
from ..retrieval.selectors import SELECTORS


def compared(one: Choice, other: Choice) -> dict[str, tuple]:
    """The parts in which two choices differ, by name, with the values of both.

    A part that changes nothing in a row is none there: the representation under a selector that looks at none, and all
    of what is shown to a reader that does not read it.

    Example:
        >>> compared(Choice("colla", "high"), Choice(selector="recent"))
        {'representation': ('colla', None), 'selector': ('high', 'recent')}
    """
    mine, theirs = _parts(one), _parts(other)
    return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


def in_words(one: Choice, other: Choice) -> str:
    """`compared` as a cell of a table: ``selector: rerank / recent; reader: llm / vote``."""
    pairs = compared(one, other).items()
    return "; ".join(f"{name}: {_written(mine)} / {_written(theirs)}" for name, (mine, theirs) in pairs) or "nothing"


def _parts(choice: Choice) -> dict:
    parts = {f.name: getattr(choice, f.name) for f in fields(choice)}
    shown = READERS[choice.reader].reads_shown
    read = shown and SELECTORS[choice.selector].reads_items
    for name in parts.keys() - {"reader"}:
        of_items = name in ("representation", "weights", "layers", "edges", "temperature")
        if not (read if of_items else shown):
            parts[name] = None
    return parts


def _written(value) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
