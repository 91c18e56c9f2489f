"""Item texts: a plain template of title and attributes, and the description that an LLM writes.

Paper, section 2.2.1: the plain template gives ``e_title``, the description ``e_desc``; together they are ``e_text``.
"""

import re

import pandas as pd

from ..data.dataset import Dataset
from ..llm.base import LanguageModel

MAX_NEW_TOKENS = 100  # fewer than 80 words


def plain(data: Dataset) -> list[str]:
    """The fixed template of title and attributes, one text an item [n_items]."""
    return [_plain(row, data) for _, row in data.items.iterrows()]


def _plain(row: pd.Series, data: Dataset) -> str:
    known = [f"{name.replace('_', ' ')}: {row[name]}" for name in data.item_attributes if str(row[name])]
    return ". ".join([f"The {data.words.item} is called {row.title}", *known]) + "."


def describe(data: Dataset, llm: LanguageModel, rows=None, **sampling) -> list[str]:
    """Let the LLM describe items (paper, section 2.2.1) in fewer than 80 words (released code).

    Args:
        rows: codes of the items to describe; all by default.
        sampling: ``temperature``, ``top_p``, ``seed`` for `LanguageModel.generate`. The released code samples
            at temperature 0.8 and top-p 0.9; the default here is greedy, since a small LLM strays
            when sampled.

    Returns:
        One description an item, [n_items] or [len(rows)]; the plain text where the LLM answers nothing.
    """
    items = data.items if rows is None else data.items.iloc[rows]
    prompts = [description_prompt(row, data, llm) for _, row in items.iterrows()]
    answers = llm.generate(prompts, max_new_tokens=MAX_NEW_TOKENS, **sampling)
    return [tidy(answer) or _plain(row, data) for answer, (_, row) in zip(answers, items.iterrows(), strict=True)]


def description_prompt(row: pd.Series, data: Dataset, llm: LanguageModel) -> str:
    """The request for one item, in the LLM's chat format."""
    known = "; ".join(str(row[name]) for name in data.item_attributes if str(row[name]))
    title = row.title.replace('"', "'")  # it stands between quotes
    about = f'the {data.words.item} "{title}"' + (f" ({known})" if known else "")
    return llm.chat(f"Describe {about} in one paragraph of fewer than 80 words: {data.words.aspects}.")


def tidy(answer: str) -> str:
    """One paragraph of whole, distinct sentences: small LLMs repeat themselves, and stop in mid-sentence."""
    text = " ".join(answer.split())
    *whole, last = re.split(r"(?<=[.!?])\s+", text)
    if last.endswith((".", "!", "?")):
        whole.append(last)
    return " ".join(dict.fromkeys(whole)) or text
