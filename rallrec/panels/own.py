"""Your own parts, a line each: a matrix, a selector, a reader, a prompt. They join the registries, and so the knobs."""

import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data.dataset import Dataset
from ..infra.cache import digest
from ..infra.errors import InputError
from ..infra.registry import Registry
from ..readers.base import READERS, reader
from ..readers.named import LLM
from ..readers.prompts import KINDS, LABELS, Prompts, profile, titles
from ..representations.mixture import REPRESENTATIONS, Recipe
from ..retrieval.retrieve import Shown, matrix
from ..retrieval.selectors import selector

LINE, OPTIONS = "{title}: {answer}", (" Yes", " No")
FIELDS = ("history", "title", "profile", "user", "item", "items")
OF_A_LINE = ("title", "answer", "rating", "highest")


@dataclass(frozen=True, eq=False)
class OfData(Recipe):
    """A representation of one data set's items.

    Attributes:
        dataset: its name. content: a digest of what it was made of.
    """

    dataset: str = ""
    content: str = ""


def matrix_of(name: str, x: np.ndarray, data: Dataset) -> None:
    """Register a matrix as a representation of a data set's items.

    A copy is kept: what happens to the matrix afterwards changes nothing until it is registered again. The same
    content under the same name stays the same representation, so that nothing is computed anew.

    Raises:
        InputError: not a finite matrix with a row an item, or a built-in's name.
    """
    x = np.array(matrix(f"representation {name!r}", np.asarray(x)), np.float32)
    if len(x) != data.n_items:
        raise InputError(
            f"representation {name!r} has {len(x)} rows; {data.name} has {data.n_items} items: give a row an item, in "
            f"the order of lab.study.split.data.items"
        )
    content = digest(x)
    if name in REPRESENTATIONS and getattr(REPRESENTATIONS[name], "content", None) == content:
        return
    REPRESENTATIONS.add(name, OfData(name, lambda study: x, data.name, content))


def fits(name: str, dataset: str) -> bool:
    """Whether a representation is of this data set, or of any."""
    return getattr(REPRESENTATIONS[name], "dataset", dataset) == dataset


def selector_of(name: str, choose: Callable, reads_items: bool) -> None:
    """Register a function as a selector.

    Raises:
        InputError: no function, or a built-in's name.
    """
    if not callable(choose):
        raise InputError(f"selector {name!r} is {type(choose).__name__}; give a function (study, samples, items, k)")
    selector(name, reads_items)(choose)


def reader_of(name: str, score: Callable | type, samples: str) -> None:
    """Register a function or a class as a reader.

    Raises:
        InputError: neither of them, or a built-in's name.
    """
    if not callable(score):
        raise InputError(f"reader {name!r} is {type(score).__name__}; give a function (study, shown), or a class")
    reader(name, samples)(score)


@dataclass(frozen=True)
class Template:
    """A prompt with places to fill in.

    Attributes:
        text: with ``{history}`` (a line each of what is shown, in its order) and ``{title}`` (of the target); besides
            ``{profile}`` (a sentence of what is known of the user, or nothing) and the data set's words ``{user}``,
            ``{item}``, ``{items}``.
        line: of the history, with ``{title}``, ``{answer}`` (Yes or No), ``{rating}``, ``{highest}`` (of the scale).
        options: how the two answers continue the prompt, the like first.

    Raises:
        InputError: a place of another name, or none for what is asked.
    """

    text: str
    line: str = LINE
    options: tuple[str, str] = OPTIONS

    def __post_init__(self):
        _check("template", self.text, FIELDS, ("history", "title"))
        _check("line", self.line, OF_A_LINE, ("title",))
        if len(self.options) != 2 or not all(isinstance(o, str) and o for o in self.options):
            raise InputError(f"options are {self.options!r}; give two texts, the like's first")

    def build(self, shown: Shown) -> Prompts:
        """One prompt a sample."""
        data = shown.samples.data
        names, words, highest = titles(data), data.words, f"{data.scale[1]:g}"
        people = {user: profile(data.users.iloc[user].to_dict(), data) for user in np.unique(shown.samples.user)}
        texts = []
        for n, (user, target) in enumerate(zip(shown.samples.user, shown.samples.item, strict=True)):
            real = shown.real[n]
            told = zip(shown.item[n][real], shown.rating[n][real], shown.liked[n][real], strict=True)
            lines = [
                self.line.format(
                    title=names[item], answer=LABELS[0 if like else 1], rating=f"{rating:g}", highest=highest
                )
                for item, rating, like in told
            ]
            places = dict(user=words.user, item=words.item, items=words.items, profile=people[user])
            texts.append(self.text.format(history="\n".join(lines), title=names[target], **places))
        return Prompts(texts, tuple(self.options))


PROMPTS: Registry[Template] = Registry("prompt")


class Templated(LLM):
    """The LLM with the paper's adapter, asked by a template."""

    def __init__(self, name: str, template: Template):
        super().__init__(name, "paper")
        self.template = template

    def prompts(self, study, shown: Shown) -> Prompts:
        return self.template.build(shown)


def prompt_of(name: str, template: str, line: str, options: tuple[str, str]) -> None:
    """Register a template as the prompt ``name``, and as the reader ``prompt: name``."""
    made = Template(template, line, tuple(options))
    if name in KINDS:
        raise InputError(f"prompt {name!r} is built in; give yours another name")
    if name in PROMPTS and PROMPTS[name] == made:
        return
    PROMPTS.add(name, made)
    READERS.add(f"prompt: {name}", Templated(f"prompt: {name}", made))


def _check(what: str, text: str, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    try:
        found = [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
    except (ValueError, TypeError) as e:
        raise InputError(f"{what} {text!r} is no template ({e}); write {{{{ and }}}} for braces") from e
    if unknown := [field for field in found if field not in known]:
        raise InputError(f"{what} has {{{unknown[0]}}}; it may have: {', '.join(f'{{{name}}}' for name in known)}")
    if missing := [field for field in needed if field not in found]:
        raise InputError(f"{what} {text!r} lacks {{{missing[0]}}}")
