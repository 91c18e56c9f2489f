"""Predictions of trained readers with several seeds, so that the noise of training is in their intervals.

`metrics.evaluate`, `compare` and `results_table` take what `predict` gives.
"""

import numpy as np

from ..data.split import Samples
from ..pipeline import Choice, Study, rows_of
from ..readers.combination import combine
from ..readers.conventional import MODELS, lightgbm_baseline
from ..readers.trees import lightgbm_reader

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
    p = study.remember(("seeds", *choice.identity), lambda: np.stack([_trained(study, choice, seed) for seed in seeds]))
    test = study.split.test
    return p if of is None or of is test else p[:, rows_of(of, test, choice.reader)]


def _trained(study: Study, choice: Choice, seed: int) -> np.ndarray:
    """P(like) of all test samples, as `Study.predict` gives it with this seed."""
    split = study.split
    if choice.reader in MODELS:
        valid, test = study.conventional(choice.reader, seed)
        return combine([valid], split.valid.liked, [test])[0]
    if choice.reader == "lightgbm":
        similarity = study.method.parts[0]
        return lightgbm_reader(split, lambda some: study.shown(choice, some), similarity, split.test, seed)[0]
    return lightgbm_baseline(split, split.test, seed)[0]
