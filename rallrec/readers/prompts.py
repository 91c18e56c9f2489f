"""Prompts: the paper's kind, and the labelled history that a small LLM can use.

The domain's words come from the data set. Titles are one line each (`dataset.one_line`), so that a
title can't open a line of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import accumulate

import numpy as np

from ..data.dataset import Dataset
from ..data.past import item_statistics
from ..data.split import Samples, Split
from ..infra.errors import one_of
from ..llm.base import LanguageModel
from ..retrieval.retrieve import Shown

KINDS = ("paper", "labelled")
LABELS = ("Yes", "No")


@dataclass(frozen=True)
class Prompts:
    """Prompts and the two answers, like first, as they continue these prompts."""

    texts: list[str]
    options: tuple[str, str]


@dataclass(frozen=True, eq=False)
class Details:
    """What a labelled prompt tells beside titles and answers.

    Attributes:
        profile: the user's attributes, in the first line.
        category: each item's category (genres, author …; see `Dataset.category`).
        statistics: a split, whose training period says of each item which share of its raters liked it, as it
            was known at the time of the line (see `past.item_statistics`). None tells nothing of it.
        short: the first line says what the share is, the others give the number alone.
        bare: titles without what `Dataset.beside_title` names, the year say.
    """

    profile: bool = False
    category: bool = False
    statistics: Split | None = None
    short: bool = False
    bare: bool = False

    @classmethod
    def of(cls, tells: Sequence[str], split: Split) -> "Details":
        """From names of its attributes; ``statistics`` are those of ``split``."""
        for name in tells:
            one_of("detail of a prompt", name, [f.name for f in fields(cls)])
        return cls(**dict.fromkeys(tells, True) | ({"statistics": split} if "statistics" in tells else {}))

    def head(self, data: Dataset) -> str:
        """The first line: what the others are."""
        told = ", the share of raters who liked each of them" if self.short and self.statistics is not None else ""
        return f"One {data.words.user}'s {data.words.items}{told}, and whether they liked each of them.\n\n"

    def lines(self, samples: Samples) -> list[str]:
        """What stands in a line before the answer, for the target of each of ``samples``."""
        data = samples.data
        names = _names(data, self.bare, self.category)
        lines = [names[item] for item in samples.item.tolist()]
        if self.statistics is not None:
            share, _ = item_statistics(self.statistics, samples, values=data.liked)
            percent = np.rint(100 * share).astype(int)
            told = "%" if self.short else "% like it"
            lines = [f"{line}, {p}{told}" for line, p in zip(lines, percent, strict=True)]
        return lines


TITLES = Details()  # nothing beside titles


def build(shown: Shown, kind: str = "labelled", llm: LanguageModel | None = None, details: Details = TITLES) -> Prompts:
    """One prompt a sample, in the order in which its items are shown.

    Args:
        kind: ``paper`` (profile, rated history, question; needs the ``llm`` for its chat format) or
            ``labelled`` (one line an item, ``Title (year): Yes`` or ``: No``, the target last and open).
        details: what the labelled kind tells beside that.
    """
    one_of("prompt", kind, KINDS)
    if kind == "labelled":
        return Prompts([text for text, _ in labelled_history(shown, details)], tuple(f" {label}" for label in LABELS))
    return Prompts([_turn(question, llm) for question in _questions(shown)], LABELS)


def titles(data: Dataset) -> list[str]:
    """The title of each item and, in brackets, what `Dataset.beside_title` names, where it is known, [n_items]."""
    beside = data.items[data.beside_title] if data.beside_title else [""] * data.n_items
    return [f"{t} ({b})" if b else t for t, b in zip(data.items["title"], beside, strict=True)]


@lru_cache(maxsize=4)
def _names(data: Dataset, bare: bool, category: bool) -> list[str]:
    """What an item is called in a line, [n_items]."""
    names = list(data.items["title"]) if bare else titles(data)
    if category and data.category:
        kinds = data.items[data.category[0]]
        names = [f"{name}, {kind}" if kind else name for name, kind in zip(names, kinds, strict=True)]
    return names


def labelled_history(shown: Shown, details: Details = TITLES) -> Iterator[tuple[str, list[tuple[int, bool]]]]:
    """The labelled prompt of each sample, and where its labels end: (index of the character after, liked).

    The target's own label is not in the text.
    """
    data, real = shown.samples.data, shown.real
    head = details.head(data)
    heads = [profile(user, data) + head for user in data.users.to_dict("records")] if details.profile else None
    position, row = np.unique(shown.position[real], return_inverse=True)  # each line is written once
    likes = data.liked[position].tolist()
    told = details.lines(Samples(data, position))
    written = [f"{line}: {LABELS[0] if like else LABELS[1]}\n" for line, like in zip(told, likes, strict=True)]
    rows = np.split(row, np.cumsum(real.sum(1)))[:-1]
    for n, (target, of) in enumerate(zip(details.lines(shown.samples), rows, strict=True)):
        begin, lines = heads[shown.samples.user[n]] if heads else head, [written[i] for i in of.tolist()]
        ends = accumulate(map(len, lines), initial=len(begin) - 1)  # before a line's last character, which ends it
        labels = zip(list(ends)[1:], (likes[i] for i in of.tolist()), strict=True)
        yield f"{begin}{''.join(lines)}{target}:", list(labels)


def reasoned(shown: Shown, llm: LanguageModel | None = None, opinions: Sequence[bool] | None = None) -> list[str]:
    """Prompts that ask for reasons, one a sample.

    Args:
        opinions: what another model answers (RALLRec+'s knowledge-injected prompt: the tuned LLM's Yes or No), told
            in the prompt; None tells nothing.
    """
    asked = _open_questions(shown, opinions)
    return [_turn(f"{text} Weigh briefly what speaks for it and what against.", llm) for text in asked]


def concluded(
    shown: Shown,
    reasons: Sequence[Sequence[str]],
    llm: LanguageModel | None = None,
    opinions: Sequence[bool] | None = None,
) -> Prompts:
    """The questions of `reasoned` with one answer's reasons after each, sample by sample, that ask for Yes or No."""
    texts = [
        _turn(f"{text}\n\nThoughts on this:\n{each}\n\nNow answer with {LABELS[0]} or {LABELS[1]} only.", llm)
        for text, several in zip(_open_questions(shown, opinions), reasons, strict=True)
        for each in several
    ]
    return Prompts(texts, LABELS)


def _open_questions(shown: Shown, opinions: Sequence[bool] | None) -> Iterator[str]:
    words = shown.samples.data.words
    for n, (history, target) in enumerate(_histories(shown)):
        opinion = "" if opinions is None else f" Another model answers {LABELS[0 if opinions[n] else 1]}."
        yield f"{history}Will this person like the {words.item} {target}?{opinion}"


def _turn(text: str, llm: LanguageModel | None) -> str:
    return llm.chat(text) if llm else text


def _questions(shown: Shown) -> Iterator[str]:
    """The paper's kind of prompt: who the user is, what they rated and how, will they like the target?"""
    words = shown.samples.data.words
    for history, target in _histories(shown):
        yield (
            f"{history}Judging by these ratings, will this person like the {words.item} {target}? "
            f"Answer with {LABELS[0]} or {LABELS[1]} only."
        )


def _histories(shown: Shown) -> Iterator[tuple[str, str]]:
    """Who the user is, what they rated and how, in words; and the target's title."""
    data = shown.samples.data
    names, words = titles(data), data.words
    low, high = (f"{x:g}" for x in data.scale)
    profiles = [profile(user, data) for user in data.users.to_dict("records")]
    rows = zip(shown.samples.user, shown.samples.item, shown.real, shown.item, shown.rating, strict=True)
    for user, target, real, items, ratings in rows:
        history = "\n".join(
            f"- {names[item]}: {rating:g} of {high}" for item, rating in zip(items[real], ratings[real], strict=True)
        )
        rated = f"This person {words.consumed} these {words.items} and rated them from {low} (worst) to {high} (best)"
        yield f"{profiles[user]}{rated}:\n{history}\n\n", names[target]


def profile(user: dict, data: Dataset) -> str:
    """A sentence of what is known of a user, or nothing."""
    known = [f"{name}: {user[name]}" for name in data.user_attributes if str(user[name])]
    return f"About a person ({', '.join(known)}). " if known else ""
