"""Text of raw files made fit for prompts, and ids made comparable."""

import re
import unicodedata

JOINERS = "\u200c\u200d"  # within a word they are letters' business (Persian, Hindi, emoji); elsewhere nobody's


def one_line(text: str) -> str:
    """``text`` without what could break a prompt's structure.

    Control characters, line breaks and runs of white space become one space; invisible characters go, but for
    joiners within a word; the brackets of something like ``<|im_end|>``, which a chat model would take for the end
    of a turn, become others.
    """
    line = "".join(c if c.isprintable() or c in JOINERS else "" if _invisible(c) else " " for c in text)
    words = (word.strip(JOINERS) for word in line.split())
    return _TAG.sub("‹\\1›", " ".join(filter(None, words)))


_TAG = re.compile(r"<([^<>]*)>")


def clean_id(text: str) -> str:
    """An id as it is compared, in every file: no invisible or control characters, no blank at its ends, one inside."""
    if text.isalnum():  # as nearly all are; a data set has millions
        return text
    return " ".join("".join("" if _invisible(c) else c if c.isprintable() else " " for c in text).split())


def _invisible(c: str) -> bool:
    """Whether a character takes no place: a byte-order mark, a zero-width space or joiner, a soft hyphen."""
    return unicodedata.category(c) == "Cf"


_ARTICLE = re.compile(r"^(.+), (The|A|An|Les|Le|La|L'|Il|Lo|Das|Der|Die|El|Los|Las|Une?|Det)( \(.*\))?$")


def article_first(title: str) -> str:
    """MovieLens writes "Matrix, The"; everyone else, and an LLM, knows "The Matrix"."""
    if match := _ARTICLE.match(title):
        stem, article, rest = match.groups()
        return f"{article}{'' if article.endswith(chr(39)) else ' '}{stem}{rest or ''}"
    return title
