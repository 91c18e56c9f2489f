"""Predictions of trained readers with several seeds, so that the noise of training is in their intervals.

`metrics.evaluate`, `compare` and `results_table` take what `predict` gives.
"""

from collections.abc import Iterator

import numpy as np

from ..data.split import Samples
from ..pipeline import Choice, Study, rows_of
from ..readers.combination import combine
from ..readers.conventional import MODELS
from ..readers.named import trees
from ..readers.trees import lightgbm_baselines

TRAINED = (*MODELS, "lightgbm, no retrieval", "lightgbm")  # readers that a seed changes and that train in minutes


def predict(study: Study, choice: Choice, of: Samples | None = None) -> np.ndarray:
    """P(like) of test samples by the choice's reader; by one of `TRAINED` with as many seeds as the profile has.

    The seeds are the study's and those after it; settings are tuned once, with the study's own.

    Args:
        of: samples among those that the reader judges; by default all of these.

    Returns:
        float64 [n_seeds, n_judged] or [n_seeds, len(of)] of a trained reader, without the first axis of any other.
    """
    if choice.reader not in TRAINED:
        return study.predict(choice, of=of)
    seeds = range(study.seed, study.seed + study.size.seeds)
    p = study.remember(("seeds", *choice.identity), lambda: np.stack(list(_trained(study, choice, seeds))))
    test = study.split.test
    return p if of is None or of is test else p[:, rows_of(of, test, choice.reader)]


def both(study: Study, one: Choice, other: Choice) -> tuple[Samples, np.ndarray, np.ndarray]:
    """The test samples that the readers of two choices judge, and P(like) by each, as `predict` gives it."""
    samples = study.both(one, other)[0]
    return samples, predict(study, one, samples), predict(study, other, samples)


def _trained(study: Study, choice: Choice, seeds: range) -> Iterator[np.ndarray]:
    """P(like) of all test samples, as `Study.predict` gives it with each seed."""
    split = study.split
    if choice.reader in MODELS:
        for valid, test in study.conventionals([choice.reader], seeds)[choice.reader]:
            yield combine([valid], split.valid.liked, [test])[0]
    elif choice.reader == "lightgbm":
        yield from (test for test, _ in trees(study, choice, seeds))
    else:
        yield from (test for test, _ in lightgbm_baselines(split, split.test, seeds))
