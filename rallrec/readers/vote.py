"""The fastest reader: the mean rating of what is shown."""

import numpy as np

from ..infra.errors import InputError
from ..retrieval.retrieve import Shown


def vote(shown: Shown) -> np.ndarray:
    """The mean rating of the shown items, scaled to 0 … 1: what the selection alone knows, without an LLM.

    Its order is a prediction; `calibration.platt` makes a probability of it.

    Returns:
        float64 [n_samples].
    """
    low, high = shown.samples.data.scale
    n = shown.real.sum(1)
    if not n.all():
        raise InputError(f"{(n == 0).sum()} samples show no history; a vote needs at least one item")
    mean = (shown.rating * shown.real).sum(1, dtype=float) / n
    return (mean - low) / (high - low)
