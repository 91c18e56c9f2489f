"""The LLM as a reader: P(like) from its answer to a prompt."""

import numpy as np

from ..llm.base import LanguageModel
from ..retrieval.retrieve import Shown
from . import prompts


def recommend(
    shown: Shown, llm: LanguageModel, prompt: str = "labelled", details: prompts.Details = prompts.TITLES
) -> np.ndarray:
    """The LLM's P(like): softmax over its two answers at the answer position (paper, section 2.3).

    Args:
        prompt, details: see `prompts.build`.

    Returns:
        float64 [n_samples].
    """
    asked = prompts.build(shown, prompt, llm, details)
    return llm.choose(asked.texts, asked.options)[:, 0]
