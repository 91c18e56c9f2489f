"""Prompts: the paper's kind, and the labelled history that a small LLM can use.

The domain's words come from the data set. Titles are one line each (`datasets.one_line`), so that a
title can't open a line of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .datasets import Dataset
from .errors import one_of
from .llm import LanguageModel
from .retrieval import Shown

KINDS = ("paper", "labelled")
LABELS = ("Yes", "No")


@dataclass(frozen=True)
class Prompts:
    """Prompts and the two answers, like first, as they continue these prompts."""

    texts: list[str]
    options: tuple[str, str]


def build(shown: Shown, kind: str = "labelled", llm: LanguageModel | None = None) -> Prompts:
    """One prompt a sample, in the order in which its items are shown.

    Args:
        kind: ``paper`` (profile, rated history, question; needs the ``llm`` for its chat format) or
            ``labelled`` (one line an item, ``Title (year): Yes`` or ``: No``, the target last and open).
    """
    one_of("prompt", kind, KINDS)
    if kind == "labelled":
        return Prompts([text for text, _ in labelled_history(shown)], tuple(f" {label}" for label in LABELS))
    questions = _questions(shown)
    return Prompts([llm.chat(q) if llm else q for q in questions], LABELS)


def titles(data: Dataset) -> list[str]:
    """The title of each item and, in brackets, what `Dataset.beside_title` names, where it is known, [n_items]."""
    beside = data.items[data.beside_title] if data.beside_title else [""] * data.n_items
    return [f"{t} ({b})" if b else t for t, b in zip(data.items["title"], beside, strict=True)]


def labelled_history(shown: Shown) -> Iterator[tuple[str, list[tuple[int, bool]]]]:
    """The labelled prompt of each sample, and where its labels end: (index of the character after, liked).

    The target's own label is not in the text.
    """
    data = shown.samples.data
    names = titles(data)
    head = f"One {data.words.user}'s {data.words.items}, and whether they liked each of them.\n\n"
    for target, row, items, liked in zip(shown.samples.item, shown.real, shown.item, shown.liked, strict=True):
        text, labels = head, []
        for item, like in zip(items[row], liked[row], strict=True):
            text += f"{names[item]}: {LABELS[0] if like else LABELS[1]}"
            labels.append((len(text), bool(like)))
            text += "\n"
        yield f"{text}{names[target]}:", labels


def _questions(shown: Shown) -> Iterator[str]:
    """The paper's kind of prompt: who the user is, what they rated and how, will they like the target?"""
    data = shown.samples.data
    names, words = titles(data), data.words
    low, high = (f"{x:g}" for x in data.scale)
    profiles = [profile(user, data) for user in data.users.to_dict("records")]
    rows = zip(shown.samples.user, shown.samples.item, shown.real, shown.item, shown.rating, strict=True)
    for user, target, real, items, ratings in rows:
        history = "\n".join(
            f"- {names[item]}: {rating:g} of {high}" for item, rating in zip(items[real], ratings[real], strict=True)
        )
        yield (
            f"{profiles[user]}This person {words.consumed} these {words.items} and rated them "
            f"from {low} (worst) to {high} (best):\n{history}\n\n"
            f"Judging by these ratings, will this person like the {words.item} {names[target]}? "
            f"Answer with {LABELS[0]} or {LABELS[1]} only."
        )


def profile(user: dict, data: Dataset) -> str:
    """A sentence of what is known of a user, or nothing."""
    known = [f"{name}: {user[name]}" for name in data.user_attributes if str(user[name])]
    return f"About a person ({', '.join(known)}). " if known else ""
