"""Ablations: one thing changed at a time, judged by the fast reader or by the LLM.

A row of a table is a `Choice`; the notebook and ``rallrec ablate`` make it in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd

from ..data.loading import load
from ..data.split import Samples, Split, split
from ..evaluation.metrics import auc, platt, results_table
from ..infra.errors import InputError, at_least, one_of
from ..llm.base import LanguageModel
from ..llm.opening import language_model
from ..pipeline import representations, warm_items
from ..profiles import Profile, profile
from ..readers.adapter import Adapter, adapter
from ..readers.llm import recommend
from ..readers.prompts import Details
from ..readers.vote import vote
from ..representations.alignment import train_alignment
from ..representations.lightgcn import train_lightgcn
from ..representations.mixture import mix
from ..representations.text import describe
from ..retrieval.learned import LearnedReranker, learn_reranker
from ..retrieval.retrieve import Representation, Shown
from ..retrieval.selectors import SELECTORS, select


@dataclass(frozen=True)
class Choice:
    """The method with some of its parts chosen otherwise; the defaults are the paper's.

    Attributes:
        representation: ``txt text colla ssl mix mix2 mix3 hybrid mix3-plain``.
        selector: ``recent high sequential rerank learned``.
        k: history items shown; None takes the profile's. recent: share of recent items under ``rerank``.
        weights: of text, collaborative and aligned part in ``mix3``.
        layers, edges: of LightGCN. temperature: of the alignment. None takes the profile's.
    """

    representation: str = "mix3"
    selector: str = "rerank"
    k: int | None = None
    recent: float = 1 / 3
    weights: tuple[float, float, float] = (1, 1, 1)
    layers: int | None = None
    edges: str | None = None
    temperature: float | None = None

    def command(self, dataset: str, reader: str = "vote") -> str:
        """The command line that makes this row; ``reader`` is one of `READERS`."""
        said = [f"rallrec ablate --dataset {dataset}"] + ([f"--reader {reader}"] if reader != "vote" else [])
        for f in fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                values = value if isinstance(value, tuple) else (value,)
                said.append(f"--{f.name} " + " ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values))
        return " ".join(said)


READERS = ("vote", "llm", "zero-shot")  # the last is the LLM without its adapter
FULL = "RALLRec, all parts"
PARTS = {
    FULL: Choice(),
    "without reranker": Choice(selector="high"),
    "without alignment": Choice("mix"),
    "without mixture (aligned part alone)": Choice("ssl"),
    "without descriptions (plain text)": Choice("mix3-plain"),
    "without collaborative (text alone)": Choice("text"),
    "without text (collaborative alone)": Choice("colla"),
    "without retrieval (last K)": Choice(selector="recent"),
    "learned reranker for the rule": Choice(selector="learned"),
}
WEIGHTS = ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 1))
LAYERS = (0, 1, 2, 3)
TEMPERATURES = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(eq=False)
class Study:
    """All that choices are made of.

    Attributes:
        llm: the LLM, without an adapter.
        representations: by name, as `pipeline.representations` gives them. text: [n_items, d_llm], described.
    """

    split: Split
    llm: LanguageModel
    representations: dict[str, Representation]
    text: np.ndarray
    size: Profile
    seed: int = 0

    @cached_property
    def ranker(self) -> LearnedReranker:
        """The learned reranker, fitted when it is first asked for."""
        return learn_reranker(self.split, self.representations, self.size.llm_k, seed=self.seed)

    @cached_property
    def adapter(self) -> Adapter:
        """The LLM's adapter: published, borrowed, or trained when it is first asked for."""
        return adapter(self.split, self.ranker, self.llm, self.size.borrow, **self.size.adapter, seed=self.seed)

    @cached_property
    def adapted(self) -> tuple[LanguageModel, Details]:
        """The LLM with its adapter, and what its prompts tell."""
        return self.llm.adapted(self.adapter.folder), Details.of(self.adapter.tells, self.split)

    def items(self, choice: Choice) -> Representation:
        """The representation that a choice asks for."""
        graph = {n: v for n, v in (("layers", choice.layers), ("edges", choice.edges)) if v is not None}
        trained = graph or choice.temperature is not None
        if not trained and choice.weights == (1, 1, 1):
            one_of("representation", choice.representation, self.representations)
            return self.representations[choice.representation]
        if choice.representation not in ("mix3", "colla"):
            raise InputError(f"representation is {choice.representation!r}; only mix3 and colla have such settings")
        colla, ssl = (self.representations[n].parts[0] for n in ("colla", "ssl"))
        if graph:  # these graphs are trained for fewer epochs, so compare them with each other
            settings = self.size.lightgcn | {"epochs": self.size.released_epochs} | graph
            colla = train_lightgcn(self.split, **settings, seed=self.seed).items
        if trained:
            settings = self.size.alignment | ({} if choice.temperature is None else {"temperature": choice.temperature})
            ssl = train_alignment(self.text, colla, warm_items(self.split), **settings, seed=self.seed).ssl
        parts = (colla,) if choice.representation == "colla" else (mix(self.text, colla, ssl, choice.weights),)
        return Representation("yours", parts)

    def shown(self, choice: Choice, samples: Samples, k: int | None = None) -> Shown:
        """What is shown of each sample."""
        k = k or self.size.k if choice.k is None else at_least("k", choice.k, 1)
        if choice.selector == "learned":
            return self.ranker.select(samples, k)
        items = None if choice.selector == "recent" else self.items(choice)
        return select(samples, choice.selector, items, k, choice.recent)

    def vote(self, choice: Choice) -> np.ndarray:
        """The vote's P(like) of the test samples, its logistic calibration fitted on validation samples."""
        scores = [vote(self.shown(choice, part)) for part in (self.split.valid, self.split.test)]
        return platt(scores[0], self.split.valid.liked)(scores[1])

    def ask(self, choice: Choice, samples: Samples, adapted: bool = True) -> np.ndarray:
        """The LLM's P(like) of the samples, with its adapter or as it is; the same prompts for both."""
        llm, details = self.adapted
        return recommend(self.shown(choice, samples, self.size.llm_k), llm if adapted else self.llm, details=details)

    def asked(self) -> Samples:
        """The test samples that the LLM answers in ablations."""
        return self.split.test.take(self.split.test.draw(self.size.ablation_samples, self.seed))

    def row(self, choice: Choice, reader: str = "vote") -> pd.DataFrame:
        """One row of the tables, with the full method beside it: `metrics.results_table`."""
        one_of("reader", reader, READERS)
        if reader == "vote":
            return results_table(self.split.test, {"this row": self.vote(choice), FULL: self.vote(Choice())}, FULL)
        asked = self.asked()
        p = {"this row": self.ask(choice, asked, reader == "llm"), FULL: self.ask(Choice(), asked)}
        return results_table(asked, p, FULL)

    def auc(self, choice: Choice) -> float:
        """AUC of the vote on the test samples."""
        return auc(self.split.test.liked, vote(self.shown(choice, self.split.test)))

    def grid(self, representations: Sequence[str], selectors: Sequence[str] = SELECTORS) -> pd.DataFrame:
        """AUC of the vote, a row a representation, a column a selector."""
        return pd.DataFrame({r: {s: self.auc(Choice(r, s)) for s in selectors} for r in representations}).T

    def over(self, field: str, values: Sequence, choices: dict[str, Choice]) -> pd.DataFrame:
        """AUC of the vote over values of one field, for each of ``choices``. Columns: choice, ``field``, auc."""
        return pd.DataFrame(
            [
                {"choice": label, field: value, "auc": self.auc(replace(choice, **{field: value}))}
                for label, choice in choices.items()
                for value in values
            ]
        )


def study(dataset: str, llm_name: str, profile_name: str, seed: int) -> Study:
    """A `Study` from names, as the command line gives them."""
    data, llm, size = load(dataset), language_model(llm_name), profile(profile_name)
    parts = split(data)
    return Study(parts, llm, representations(data, parts, llm, size, seed), llm.embed(describe(data, llm)), size, seed)
