"""Readers: what turns the shown history into P(the user likes the target), each under its name.

A `Study` asks a reader for a choice and a part of the samples, ``"test"`` or ``"valid"``.
"""

import inspect
from collections.abc import Callable

import numpy as np

from ..data.split import Samples
from ..infra.errors import InputError, one_of
from ..infra.registry import Registry
from ..retrieval.retrieve import Shown

SAMPLES = ("all", "asked")
FOLDS = 5  # of validation users, in which a reader that is fitted is fitted


class Reader:
    """A reader under its name; a subclass gives `score`, or `predict` where that is not enough.

    Attributes:
        family: how figures group it, ``LLM`` or ``no LLM``.
        samples: which it judges: ``all``, or ``asked``, as many drawn ones as an LLM can afford.
        reads_shown: whether its answer depends on what is shown.
        calibrates: whether a logistic curve, fitted on validation samples, makes probabilities of its scores;
            None: only if they are none (0 to 1).
    """

    samples = "all"
    family = "no LLM"
    reads_shown = True
    calibrates: bool | None = True

    def __init__(self, name: str):
        self.name = name

    def k(self, study, choice) -> int:
        """How many history items it is shown, where the choice does not say."""
        return study.size.llm_k if self.samples == "asked" else study.size.k

    def judged(self, study, part: str) -> Samples:
        """The samples that it judges."""
        return study.samples(part) if self.samples == "all" else study.asked(part)

    def score(self, study, shown: Shown) -> np.ndarray:
        """A score of each sample, the higher the likelier a like, float64 [n_samples]."""
        raise NotImplementedError

    def scores(self, study, choice, part: str) -> np.ndarray:
        """The scores of `judged` samples, checked, float64 [n_judged]."""
        samples = self.judged(study, part)
        return checked(self.name, self.score(study, study.shown(choice, samples)), samples)

    def predict(self, study, choice, part: str) -> np.ndarray:
        """P(like) of the `judged` samples, float64 [n_judged]."""

        def scores_of(part: str) -> np.ndarray:  # those of validation calibrate both parts
            return study.remember(("scores", part, *choice.identity), lambda: self.scores(study, choice, part))

        scores = scores_of(part)
        if self.calibrates is False or (self.calibrates is None and ((scores >= 0) & (scores <= 1)).all()):
            return scores
        return study.calibrated(scores, scores_of("valid"), self.judged(study, "valid").liked)


def checked(name: str, scores, samples: Samples) -> np.ndarray:
    """A reader's scores as float64 [n_samples].

    Raises:
        InputError: another shape, or values that are no numbers.
    """
    scores = np.asarray(scores)
    if scores.shape != (len(samples),) or not np.issubdtype(scores.dtype, np.number):
        said = f"{scores.dtype} of the shape {scores.shape}"
        raise InputError(f"reader {name!r} gives {said}; {len(samples)} samples need as many numbers")
    if (bad := ~np.isfinite(scores)).any():
        raise InputError(f"reader {name!r}: {bad.sum()} of its {len(scores)} scores are no numbers")
    return scores.astype(float)


READERS: Registry[Reader] = Registry("reader")


def reader(name: str, samples: str = "all", probability: bool | None = None):
    """Register a function, or a class, as the reader ``name``.

    A function takes ``(study, shown)`` and gives a score or P(like) of each sample, [n_samples]. A class has
    ``fit(study, shown)`` and ``predict(study, shown)``; it is made without arguments and fitted on the validation
    samples (labels: ``shown.samples.liked``) in five folds by user, as LightGBM is: a validation sample is predicted
    by the one that has not seen its user, a test sample by the mean of the five.

    Args:
        samples: ``all``, or ``asked`` for a reader that is too slow for more than the samples that the LLM answers.
        probability: whether what it gives is P(like). None: it is, if all of it lies between 0 and 1. What is
            none becomes one by a logistic curve fitted on validation samples, which keeps the order.

    Example:
        >>> import rallrec as rr
        >>> @rr.reader("share of likes")
        ... def share_of_likes(study, shown):
        ...     return (shown.liked & shown.real).sum(1) / shown.real.sum(1)
    """
    one_of("samples", samples, SAMPLES)

    def register(made: Callable | type) -> Callable | type:
        kind = _Fitted if inspect.isclass(made) else _Function
        one = kind(name, made)
        one.samples, one.calibrates = samples, None if probability is None else not probability
        READERS.add(name, one)
        return made

    return register


class _Function(Reader):
    """A user's function as a reader."""

    def __init__(self, name: str, made: Callable):
        super().__init__(name)
        self.score = made


class _Fitted(Reader):
    """A user's class as a reader: cross-fitted on validation samples."""

    def __init__(self, name: str, made: type):
        super().__init__(name)
        if not (hasattr(made, "fit") and hasattr(made, "predict")):
            raise InputError(f"reader {name!r} is a class without fit and predict; give it both, or write a function")
        self.made = made

    def scores(self, study, choice, part: str) -> np.ndarray:
        return study.remember((self, *choice.identity), lambda: self._cross_fitted(study, choice))[part]

    def _cross_fitted(self, study, choice) -> dict[str, np.ndarray]:
        valid, test = (study.shown(choice, self.judged(study, part)) for part in ("valid", "test"))
        out = {"valid": np.full(len(valid), np.nan), "test": np.zeros(len(test))}
        folds = folds_by_user(valid.samples)
        for rows, held_out in folds:
            fitted = self.made()
            fitted.fit(study, valid.take(rows))
            unseen = valid.take(held_out)
            out["valid"][held_out] = checked(self.name, fitted.predict(study, unseen), unseen.samples)
            out["test"] += checked(self.name, fitted.predict(study, test), test.samples) / len(folds)
        return out


def folds_by_user(samples: Samples) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit on and rows to predict, in `FOLDS` folds (fewer with fewer users); no user in both.

    Raises:
        InputError: the samples are of one user only.
    """
    from sklearn.model_selection import GroupKFold

    n_users = len(np.unique(samples.user))
    if n_users < 2:
        raise InputError(
            "the validation samples are of one user; a reader is fitted on some users and judged on others: take data "
            "of more users"
        )
    return list(GroupKFold(min(FOLDS, n_users)).split(samples.position, groups=samples.user))
