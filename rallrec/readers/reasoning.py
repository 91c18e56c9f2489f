"""Answers with reasons, as RALLRec+ has them (arXiv 2503.20430): sampled, hinted, merged by their consistency.

A reasoning LLM is asked several times, with the plain reader's answer as a hint, and ends each answer with a
probability. The more its answers agree with each other, the more they weigh beside the plain reader's.
"""

import re

import numpy as np

from ..infra.errors import InputError, at_least, within
from ..llm.base import LanguageModel
from ..retrieval.retrieve import Shown
from . import prompts

STATED = re.compile(r"probability\W{0,12}?(?:is |of |at )?\W{0,4}?(?<!-)(\d*\.?\d+)\s*(%|/\s*\d+)?", re.IGNORECASE)
PRIORS = 0.1, 1.0  # of the reasoned and of the plain answers (RALLRec+: w0)
SPREAD = 1.0  # tau
LEAST = 1e-3  # epsilon


def reason(
    shown: Shown,
    llm: LanguageModel,
    hints: np.ndarray | None = None,
    n: int = 6,
    temperature: float = 0.6,
    top_p: float = 0.95,
    max_new_tokens: int = 120,
    seed: int = 0,
) -> np.ndarray:
    """P(like) as several sampled answers state it.

    Args:
        hints: float64 [n_samples], a plain reader's P(like), told in the prompt; None tells nothing.
        n: answers a sample.

    Returns:
        float64 [n_samples, n]; NaN where an answer states no probability. See `missing`.

    Raises:
        InputError: a number out of its range, or not one hint from 0 to 1 for each sample.
    """
    at_least("n", n, 1), at_least("max_new_tokens", max_new_tokens, 1), at_least("seed", seed, 0)
    within("temperature", temperature, 0, above=True), within("top_p", top_p, 0, 1, above=True)
    if hints is not None and len(hints) != len(shown.samples):
        raise InputError(f"{len(hints)} hints for {len(shown.samples)} samples; give one for each")
    for hint in () if hints is None else hints:
        within("hint", hint, 0, 1)
    texts = prompts.reasoned(shown, llm, hints)
    answers = llm.sample(texts, n, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
    return np.array([[stated(answer) for answer in several] for several in answers]).reshape(len(texts), n)


def stated(answer: str) -> float:
    """The last probability in an answer: ``probability: 0.7``, ``70%``, ``7/10``; NaN if none from 0 to 1 is there."""
    found = STATED.findall(answer)
    if not found:
        return np.nan
    number, of = found[-1]
    whole = {"": 1, "%": 100}.get(of) or int(of[1:])
    p = float(number) / whole if whole else np.nan
    return p if 0 <= p <= 1 else np.nan


def missing(answers: np.ndarray) -> float:
    """Share of the answers that state no probability."""
    return float(np.isnan(answers).mean()) if answers.size else 0.0


def merge(reasoned: np.ndarray, plain: np.ndarray) -> np.ndarray:
    r"""One P(like) of several answers of two readers, weighed by how well each reader's answers agree.

    :math:`(w_A m_A + w_B m_B) / (w_A + w_B)` with :math:`w = w_0 / (\mathrm{var} / \tau + \epsilon)`. A reader
    without a single stated answer has no weight. A reader that answered once has no variance, so that a single
    plain answer outweighs the reasoned ones ten times or more.

    Args:
        reasoned: float64 [n_samples, n]. plain: float64 [n_samples], or [n_samples, m]; one answer has no variance.

    Returns:
        float64 [n_samples]; NaN where neither reader states anything.
    """
    plain = plain[:, None] if plain.ndim == 1 else plain
    if reasoned.ndim != 2:
        raise InputError(f"answers with reasons have the shape {reasoned.shape}; give [n_samples, n]")
    if len(plain) != len(reasoned):
        raise InputError(f"{len(reasoned)} samples with reasons, {len(plain)} without; merge the same samples")
    above, below = np.zeros(len(plain)), np.zeros(len(plain))
    for answers, prior in zip((reasoned, plain), PRIORS, strict=True):
        said = ~np.isnan(answers)
        n = said.sum(1)
        mean = np.where(said, answers, 0).sum(1) / np.maximum(n, 1)
        variance = np.square(np.where(said, answers - mean[:, None], 0)).sum(1) / np.maximum(n, 1)
        weight = np.where(n > 0, prior / (variance / SPREAD + LEAST), 0)
        above += weight * mean
        below += weight
    return np.divide(above, below, out=np.full(len(plain), np.nan), where=below > 0)
