"""Two prompts on the same samples: AUC and log loss of each, and their difference, as the answers come in."""

import time
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from ..data.split import Samples
from ..evaluation.metrics import Estimate, compare, evaluate, interval
from ..infra.errors import InputError, at_least
from ..infra.progress import Below, duration, line, showing
from ..llm.base import LanguageModel
from ..pipeline import Choice, Study
from ..readers.prompts import KINDS, Prompts, build
from ..retrieval.retrieve import Shown
from .desk import Desk
from .own import PROMPTS, Template

BLOCK = 5  # samples between two looks at the interval
ANSWER = 0.5  # seconds of a small LLM on two cores, until it was timed here
METRICS = {"auc": "AUC", "log_loss": "log loss"}


@dataclass(frozen=True, eq=False)
class Compared:
    """P(like) by two prompts.

    Attributes:
        names: of the two. samples: those that were answered. p: float64 [2, n_samples].
        wanted: samples that were to be answered.
    """

    names: tuple[str, str]
    samples: Samples
    p: np.ndarray
    wanted: int

    @property
    def metrics(self) -> list[dict[str, Estimate]]:
        """AUC, log loss … of each prompt."""
        return [evaluate(self.samples, p) for p in self.p]

    @property
    def difference(self) -> dict[str, Estimate]:
        """Of the first prompt minus the second's, on the same samples."""
        return compare(self.samples, *self.p)

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        a, b = self.names
        d, n = self.difference["auc"], len(self.samples)
        on = f"on {n} validation samples of {len(np.unique(self.samples.user))} users"
        if d.identical:
            return f"{a} and {b} say the same {on}."
        if np.isnan([d.value, d.low, d.high]).any():
            return f"No difference can be told yet {on}."
        by = f"AUC {interval(d.value, d.low, d.high, '+')}"
        if d.verdict == 0:
            return f"Inconclusive {on}: {a} minus {b}, {by}."
        return f"{a if d.verdict > 0 else b} is better {on}: {a} minus {b}, {by}."

    def table(self) -> pd.DataFrame:
        """A row a prompt, and their difference."""
        rows = [*zip(self.names, self.metrics, strict=True), ("difference", self.difference)]
        cells = [{"prompt": name} | {METRICS[m]: str(of[m]) for m in METRICS} for name, of in rows]
        return pd.DataFrame(cells)

    def __repr__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        n = len(self.samples)
        return self.html(f" Stopped: {n} of {self.wanted} samples." if n < self.wanted else "")

    def html(self, then: str = "") -> str:
        """The sentence, ``then`` behind it, and the table."""
        table = self.table().style.hide().set_table_attributes("style='font-size:13px'").to_html()
        return f"<div style='font-size:15px'>{escape(self.sentence)}{then}</div>{table}"


def compare_prompts(lab: Desk, a: str, b: str, samples: int, selector: str, k: int) -> Compared:
    """Ask the LLM, with the paper's adapter, by two prompts, and show the difference as the answers come in.

    Interrupt it, and it ends with what is answered until then; answers are kept, so that the next call goes on.

    Args:
        a, b: ``labelled`` (which the adapter was tuned on), ``paper``, the name of one of your own, or a template.
        samples: validation samples, drawn at random. selector, k: what is shown of each.

    Raises:
        InputError: an unknown prompt, two that are the same, or no whole number of samples.
    """
    at_least("samples", samples, 1)
    if a == b:
        raise InputError(f"both prompts are {a!r}; give two")
    study: Study = lab.study
    drawn = study.split.valid.take(study.split.valid.draw(samples, study.seed))
    drawn = drawn.take(np.random.default_rng(study.seed).permutation(len(drawn)))  # any beginning is a random sample
    llm, shown = study.adapted(), study.shown(Choice(selector=selector), drawn, k)
    asked = [built(name, study, shown, llm) for name in (a, b)]
    left = sum(llm.unanswered(each.texts, each.options) for each in asked)
    names = tuple(name if len(name) <= 30 else f"{name[:28]} …" for name in (a, b))
    price = f"about {duration(left * ANSWER)}" if left else "all answered before"
    said = f"{llm.name}: {2 * len(drawn)} prompts on {len(drawn)} samples, {left} to ask, {price}"
    below, began, answered = Below(), time.monotonic(), 0
    below(said)
    p, done = np.zeros((2, len(drawn))), 0

    def so_far() -> Compared:
        return Compared(names, drawn.take(np.arange(done)), p[:, :done], len(drawn))

    try:
        with showing(lambda told: None):
            while done < len(drawn):
                rows = slice(done, done + BLOCK)
                for at, each in enumerate(asked):
                    texts = each.texts[rows]
                    answered += llm.unanswered(texts, each.options)
                    p[at, rows] = llm.choose(texts, each.options)[:, 0]
                    if at == 1:
                        done = min(done + BLOCK, len(drawn))
                    if answered:
                        bar = line(llm.name, answered, max(left, answered), "answer", time.monotonic() - began)
                        found = so_far().html() if done else f"<div>{said}</div>"
                        below(f"{found}<div>{bar}; interrupt (■) keeps what is answered</div>")
    except KeyboardInterrupt:
        if not done:
            raise
    below("")
    return so_far()


def built(name: str, study: Study, shown: Shown, llm: LanguageModel) -> Prompts:
    """The prompts of a kind, of a template's name, or of a template itself.

    Raises:
        InputError: none of these.
    """
    if name in PROMPTS:
        return PROMPTS[name].build(shown)
    if name in KINDS:
        return build(shown, name, llm, study.details)
    if "{" in name:
        return Template(name).build(shown)
    known = ", ".join([*KINDS, *PROMPTS])
    raise InputError(f"prompt is {name!r}; it must be one of: {known}, or a template with {{history}} and {{title}}")
