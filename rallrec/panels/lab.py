"""The lab: one data set at a time, opened in seconds, with knobs, people, prompts and trainings.

lab = rr.lab("ml-100k")
lab.knobs()
"""

import contextlib
import io
from collections.abc import Callable

import numpy as np

from ..data.loading import load
from ..data.split import split
from ..infra.progress import Progress
from ..llm.opening import language_model
from ..pipeline import Study
from ..profiles import profile
from . import own, prompts, training
from .desk import FEW, Desk
from .knobs import Knobs
from .person import Person
from .trials import PAPER, settings_of, smaller

METHODS = """\
knobs()                  lists and sliders, judged at every turn
person()                 one user and one item: what each selector shows, the prompt, P(like)
compare_prompts(a, b)    two prompts on the same samples
train(layers=1)          another graph and alignment, with its curve
turn(selector="recent")  a trial without widgets; log.table() and save() for all of them
representation(name, matrix), selector(name, function), reader(name, function), prompt(name, template)
                         your own, which then stand in the knobs"""


class Lab(Desk):
    """A study to play with; made by `lab`. What it has beside `Desk`: panels, and parts of your own."""

    def __repr__(self) -> str:
        return f"{self.dataset}: {self.said}\n{METHODS}"

    # --- panels

    def knobs(self) -> Knobs:
        """Lists and sliders that turn every knob; the answer beside them, the log below. A widget."""
        return Knobs(self)

    def person(self) -> Person:
        """One user and one item, rated or not: what each selector shows, the prompt, P(like). A widget."""
        return Person(self)

    def compare_prompts(
        self, a: str, b: str, samples: int = FEW, selector: str = "rerank", k: int = 10
    ) -> prompts.Compared:
        """P(like) by two prompts on the same validation samples; see `prompts.compare_prompts`."""
        return prompts.compare_prompts(self, a, b, samples, selector, k)

    def train(self, name: str = "", **settings) -> training.Trained:
        """Train graph and alignment otherwise; see `training.train`."""
        made = training.train(self, name, **settings)
        self.offer()
        return made

    # --- your own

    def representation(self, name: str, matrix: np.ndarray) -> None:
        """A matrix of yours [n_items, d], compared by cosine, as the representation ``name``; see `own.matrix_of`."""
        own.matrix_of(name, matrix, self.study.split.data)
        self.offer()

    def selector(self, name: str, choose: Callable, reads_items: bool = True) -> None:
        """A function ``(study, samples, items, k)`` as the selector ``name``; see `retrieval.selectors.selector`."""
        own.selector_of(name, choose, reads_items)
        self.offer()

    def reader(self, name: str, score: Callable | type, samples: str = "all") -> None:
        """A function ``(study, shown)`` or a class as the reader ``name``; see `readers.base.reader`."""
        own.reader_of(name, score, samples)
        self.offer()

    def prompt(self, name: str, template: str, line: str = own.LINE, options: tuple[str, str] = own.OPTIONS) -> None:
        """A template as a prompt, and as a reader that asks the LLM with it; see `own.Template`."""
        own.prompt_of(name, template, line, options)
        self.offer()


def lab(
    dataset: str = "ml-100k", llm: str = "smollm2-135m", reader: str = "", profile_name: str = "quick", seed: int = 0
) -> Lab:
    """Open the lab on a data set.

    Args:
        dataset, llm, reader, profile_name, seed: as `Study.of` takes them. LLMs are opened when they are asked.

    Raises:
        InputError: an unknown name, or data that are not here and can't be fetched.

    Example:
        >>> import rallrec as rr
        >>> lab = rr.lab("tiny", "tiny-random", profile_name="smoke")  # doctest: +ELLIPSIS
        tiny: every turn is judged on ...
        >>> lab.turn(selector="recent", k=3).part
        'valid'
    """
    size = profile(profile_name)

    def opened(name: str) -> Study:
        steps = ("title", "description", "colla", "ssl")
        with Progress(f"opening {name}", len(steps) + 2, "step") as progress, contextlib.redirect_stdout(io.StringIO()):
            data = split(load(name))
            progress.add()
            one = language_model(llm)
            study = Study(data, one, size, seed, language_model(reader) if reader not in ("", llm) else one)
            for part in steps:
                _ = study[part]
                progress.add()
            few = study.remember("few", lambda: smaller(study))
            few.predict(PAPER, "valid")
            progress.add()
        return study

    made = Lab(opened(dataset), opened, settings_of(llm, reader, profile_name, seed))
    print(f"{made.dataset}: {made.said}")
    return made
