"""Answers with reasons, as RALLRec+ has them (arXiv 2503.20430): sampled, told an opinion, merged by their agreement.

A reasoning LLM gives its reasons several times. After each of them it is asked for Yes or No, and P(like) is read from
its two logits as everywhere else (the authors' released code does the same), so that no answer is missing. The better
its answers to a sample agree, the more they weigh beside the tuned LLM's.
"""

from dataclasses import dataclass

import numpy as np

from ..infra.errors import InputError, at_least, within
from ..llm.base import LanguageModel
from ..retrieval.retrieve import Shown
from . import prompts

WEIGHT = 0.1  # of the reasoning LLM beside the tuned one (RALLRec+: alpha)
LEAST = 1e-3  # RALLRec+: epsilon


@dataclass(frozen=True, eq=False)
class Reasons:
    """Several answers with reasons to each sample.

    Attributes:
        texts: the reasons, [n_samples][n]; an empty one said nothing (a thought that did not end in time, say).
        p: P(like) after each of them, float64 [n_samples, n].
    """

    texts: list[list[str]]
    p: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """P(like) of each sample, the mean over its answers, float64 [n_samples]."""
        return self.p.mean(1)

    @property
    def variance(self) -> np.ndarray:
        """Of a sample's answers, float64 [n_samples]; 0 where they agree."""
        return self.p.var(1)

    @property
    def lengths(self) -> np.ndarray:
        """Characters of each answer's reasons, int64 [n_samples, n]."""
        return np.array([[len(text) for text in several] for several in self.texts], int).reshape(self.p.shape)

    @property
    def silent(self) -> float:
        """Share of the answers without reasons; their P(like) is the question's alone."""
        return float((self.lengths == 0).mean()) if self.p.size else 0.0


def reason(
    shown: Shown,
    llm: LanguageModel,
    opinions: np.ndarray | None = None,
    n: int = 6,
    temperature: float = 0.6,
    top_p: float = 0.95,
    max_new_tokens: int = 120,
    seed: int = 0,
) -> Reasons:
    """Answers of a reasoning LLM: its reasons are sampled, and P(like) is read after them.

    Args:
        opinions: bool [n_samples], whether the tuned LLM says Yes (its P(like) is above 0.5), told in the prompt
            (RALLRec+'s knowledge-injected prompt); None tells nothing.
        n: answers a sample. max_new_tokens: of the reasons; longer ones are cut there.

    Raises:
        InputError: a number out of its range, or opinions that are not one truth value for each sample.
    """
    at_least("n", n, 1), at_least("max_new_tokens", max_new_tokens, 1), at_least("seed", seed, 0)
    within("temperature", temperature, 0, above=True), within("top_p", top_p, 0, 1, above=True)
    if opinions is not None:
        opinions = np.asarray(opinions)
        if opinions.dtype != bool or opinions.shape != (len(shown.samples),):
            raise InputError(
                f"opinions are {opinions.dtype} {opinions.shape}; {len(shown.samples)} samples need a truth value each"
            )
    texts = llm.sample(
        prompts.reasoned(shown, llm, opinions),
        n,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )
    asked = prompts.concluded(shown, texts, llm, opinions)
    return Reasons(texts, llm.choose(asked.texts, asked.options)[:, 0].reshape(-1, n))


def merge(reasoned: np.ndarray, tuned: np.ndarray, drawn: bool = False) -> np.ndarray:
    r"""One P(like) of a reasoning and a tuned LLM, each weighed by how well its answers agree (RALLRec+).

    .. math:: P = \frac{a\, m_R / (v_R + \epsilon) + m_G / (v_G + \epsilon)}
                       {a / (v_R + \epsilon) + 1 / (v_G + \epsilon)}

    with mean m and variance v of the reasoning (R) and of the tuned LLM's answers (G), a = 0.1 and
    :math:`\epsilon` = 0.001. A P(like) that is read from logits is the same in each run: its variance is 0, and even
    reasons that agree perfectly weigh a tenth of it. (The released code reads it so, too, and takes the first run
    for the mean.)

    Args:
        reasoned: P(like) of each answer with reasons, float64 [n_samples, n], as `Reasons.p`.
        tuned: P(like) by the tuned LLM, float64 [n_samples], or of several runs, [n_samples, m].
        drawn: take for v_G the variance of a drawn answer, as if the tuned LLM's Yes or No were sampled, too:
            :math:`m_G (1 - m_G)`.

    Returns:
        float64 [n_samples].

    Raises:
        InputError: arrays of other shapes, or values that are no probabilities.
    """
    reasoned, tuned = np.asarray(reasoned, float), np.asarray(tuned, float)
    tuned = tuned[:, None] if tuned.ndim == 1 else tuned
    for what, p in (("reasoned", reasoned), ("tuned", tuned)):
        if p.ndim != 2 or not p.shape[1] or len(p) != len(tuned):
            raise InputError(f"{what} has the shape {p.shape}; give both LLMs' answers to the same samples")
        if not ((p >= 0) & (p <= 1)).all():
            raise InputError(f"{what} has values that are no probabilities (0 to 1)")
    mean = tuned.mean(1)
    weight = WEIGHT / (reasoned.var(1) + LEAST)
    other = 1 / ((mean * (1 - mean) if drawn else tuned.var(1)) + LEAST)
    return (weight * reasoned.mean(1) + other * mean) / (weight + other)
