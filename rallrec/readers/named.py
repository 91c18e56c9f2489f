"""The readers of the tables by their names: means, the vote, LightGBM, conventional ones, the LLM, two at once."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from ..data.past import item_statistics, user_mean
from ..llm.base import LanguageModel
from ..retrieval.retrieve import Shown
from .base import READERS, Reader
from .combination import combine
from .conventional import MODELS
from .prompts import Prompts, build
from .trees import lightgbm_baseline, lightgbm_readers
from .vote import vote


class Alone(Reader):
    """A reader that looks at no history: ``of(study, samples)`` scores them."""

    reads_shown = False

    def __init__(self, name: str, of):
        super().__init__(name)
        self.of = of

    def scores(self, study, choice, part):
        return self.of(study, self.judged(study, part))


class Pair(Reader):
    """A reader that answers for test and validation samples in one go: ``both(study, choice)``, in this order."""

    calibrates = False

    def __init__(self, name: str, both, reads_shown: bool = True):
        super().__init__(name)
        self.both, self.reads_shown = both, reads_shown

    def predict(self, study, choice, part):
        test, valid = study.remember((self, *choice.identity), lambda: self.both(study, choice))
        return test if part == "test" else valid

    scores = predict


class Vote(Reader):
    """The mean rating of what is shown."""

    def score(self, study, shown: Shown) -> np.ndarray:
        return vote(shown)

    def scores(self, study, choice, part: str) -> np.ndarray:
        return study.voted(choice, self.judged(study, part), self.k(study, choice))


class LLM(Reader):
    """The LLM with the adapter of a tuning (see `profiles.TUNINGS`), or without one: the same prompts for all."""

    samples, family, calibrates = "asked", "LLM", False

    def __init__(self, name: str, tuning: str | None):
        super().__init__(name)
        self.tuning = tuning

    def llm(self, study) -> LanguageModel:
        """The LLM that is asked."""
        return study.reader if self.tuning is None else study.adapted(self.tuning)

    def prompts(self, study, shown: Shown) -> Prompts:
        """What it is asked of each sample."""
        return build(shown, "labelled", self.llm(study), study.details)

    def score(self, study, shown: Shown) -> np.ndarray:
        llm, asked = self.llm(study), self.prompts(study, shown)
        llm.asked |= {key: (step, "trained") for key, step in study.trained.items()}
        return llm.choose(asked.texts, asked.options)[:, 0]


class Together(Reader):
    """Two readers of one choice, combined by a logistic regression on their logits, fitted on validation samples."""

    def __init__(self, name: str, first: str, second: str):
        super().__init__(name)
        self.names = first, second
        readers = [READERS[each] for each in self.names]
        self.samples = "asked" if any(r.samples == "asked" for r in readers) else "all"
        self.family = "LLM" if any(r.family == "LLM" for r in readers) else "no LLM"

    def predict(self, study, choice, part):
        return self.fitted(study, choice)[0][part]

    scores = predict

    def fitted(self, study, choice) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """P(like) of each part, and the readers' weights in units of their spread."""
        return study.remember((self, *choice.identity), lambda: self._fitted(study, choice))

    def _fitted(self, study, choice):
        test, valid = (self.judged(study, part) for part in ("test", "valid"))
        choices = [choice.read_by(name) for name in self.names]
        on_test = [study.predict(each, "test", test) for each in choices]
        on_valid = [study.predict(each, "valid", valid) for each in choices]
        p, weights = combine(on_valid, valid.liked, [np.concatenate(ps) for ps in zip(on_test, on_valid, strict=True)])
        return {"test": p[: len(test)], "valid": p[len(test) :]}, weights


class MeanAndVote(Together):
    """The item's mean rating beside the vote of as many items as are best on validation samples."""

    def _fitted(self, study, choice):
        return super()._fitted(study, choice if choice.k else study.with_best_k(choice))


# --- what they are made of ----------------------------------------------------------------------


def _user_mean(study, samples):
    split = study.split
    return user_mean(samples, split.data.rating[split.train_ratings].mean(dtype=float))


def trees(study, choice, seeds: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """P(like) of all test and of all validation samples by LightGBM on what a choice shows, with each of ``seeds``."""
    similarity, test, by = study.method.parts[0], study.split.test, study.shown_by(choice)
    return lightgbm_readers(study.split, partial(study.shown, choice), similarity, test, seeds, shown_by=by)


def _trees(study, choice):
    return next(trees(study, choice, [study.seed]))


def _trees_alone(study, choice):
    return lightgbm_baseline(study.split, study.split.test, study.seed)


def _conventional(model: str):
    def both(study, choice):
        """Chosen by AUC, strong weight decay leaves the logits too small: they are calibrated."""
        valid, test = study.conventional(model)
        p, _ = combine([valid], study.split.valid.liked, [np.concatenate([test, valid])])
        return p[: len(test)], p[len(test) :]

    return both


BUILT_IN = (
    Vote("vote"),
    Alone("global mean", lambda study, samples: np.zeros(len(samples))),
    Alone("user's mean rating", _user_mean),
    Alone("item's mean rating", lambda study, samples: item_statistics(study.split, samples)[0]),
    *(Pair(model, _conventional(model), reads_shown=False) for model in MODELS),
    Pair("lightgbm, no retrieval", _trees_alone, reads_shown=False),
    Pair("lightgbm", _trees),
    LLM("llm", "paper"),
    LLM("llm, no augmentation", "no augmentation"),
    LLM("llm, tuned on recent", "recent"),
    LLM("llm, ours", "ours"),
    LLM("zero-shot", None),
)

for _one in BUILT_IN:
    READERS.add(_one.name, _one)
READERS.add("item mean + vote", MeanAndVote("item mean + vote", "item's mean rating", "vote"))
READERS.add("llm + lightgbm", Together("llm + lightgbm", "llm", "lightgbm"))
