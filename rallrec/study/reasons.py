"""RALLRec+'s study of answers with reasons (arXiv 2503.20430): length, agreement, retrieval, and its table 5.

The LLM that reasons is not tuned. It is asked three times: of the last items, of those that the method retrieves, and
of these with the tuned LLM's answer told in the prompt (knowledge-injected). Nothing but that Yes or No, P(like) above
0.5, carries from one LLM to the other's prompts.
"""

import numpy as np
import pandas as pd

from ..data.split import Samples
from ..evaluation.metrics import METRICS, RESAMPLES, adjust, auc, columns, compare, difference, evaluate, results_table
from ..evaluation.resampling import resampled_users
from ..infra.errors import at_least
from ..llm.base import LanguageModel
from ..pipeline import METHOD, Choice, Study
from ..readers.reasoning import WEIGHT, Reasons, merge, reason

RECENT, RETRIEVED, INJECTED = "last K", "retrieved", "retrieved, tuned LLM's answer told"
LEAST = 30  # samples that a figure, or a finding, needs
WITHOUT_REASONS = "no reasons, last K"
ROWS = {  # what stands beside which row of RALLRec+'s tables 2 and 3
    "Llama-3.1-8B-Instruct": WITHOUT_REASONS,
    "DeepSeek-R1-Distill-Llama-8B": RECENT,
    "DeepSeek-R1-Distill-Llama-8B with retrieval": RETRIEVED,
}
NEITHER, BOTH = "no KP, no CM", "KP and CM"  # as in RALLRec+'s table 5: KP is the injected prompt, CM the merge


def ask(
    study: Study, samples: Samples, tuned: np.ndarray, choice: Choice = METHOD, llm: LanguageModel | None = None
) -> dict[str, Reasons]:
    """The reasoning LLM's answers to ``samples``, under `RECENT`, `RETRIEVED` and `INJECTED`.

    Args:
        tuned: P(like) by the tuned LLM, [n_samples]. choice: what is retrieved; K is the LLM's.
        llm: the reasoning LLM; None takes the study's, without an adapter.
    """
    llm, n, k = llm or study.llm, study.size.reason_answers, study.size.llm_k
    retrieved = study.shown(choice, samples, k)
    return {
        RECENT: reason(study.shown(Choice(selector="recent"), samples, k), llm, n=n, seed=study.seed),
        RETRIEVED: reason(retrieved, llm, n=n, seed=study.seed),
        INJECTED: reason(retrieved, llm, np.asarray(tuned) > 0.5, n=n, seed=study.seed),
    }


def by_length(samples: Samples, reasons: Reasons, groups: int = 5) -> pd.DataFrame:
    """Single answers in groups by their length in characters, the shortest first, of equal size (RALLRec+: five).

    Returns:
        A line a group: ``group``, ``shortest`` and ``longest``, ``n`` answers, ``likes`` (share of likes), ``auc`` and
        ``accuracy`` with intervals that resample users, ``difference`` (accuracy minus the last group's, likewise),
        and ``adjusted_p`` of these differences.
    """
    lengths = reasons.lengths
    each = samples.take(np.repeat(np.arange(len(samples)), lengths.shape[1]))
    return _grouped(each, reasons.p.ravel(), lengths.ravel(), ("shortest", "longest"), groups)


def by_agreement(samples: Samples, reasons: Reasons, groups: int = 5) -> pd.DataFrame:
    """Samples in groups by the variance of their answers, the least first, each judged by its mean answer.

    Returns:
        As `by_length`, with ``least`` and ``most`` variance.
    """
    return _grouped(samples, reasons.mean, reasons.variance, ("least", "most"), groups)


def windows(samples: Samples, reasons: Reasons, width: int | None = None) -> pd.DataFrame:
    """Accuracy of the mean answer in windows that slide over the samples, ordered by the variance of their answers.

    Args:
        width: samples of a window; None takes a fifth of them.

    Returns:
        A line a window: its mean ``variance``, ``accuracy`` and ``likes`` (share of likes).
    """
    width = at_least("width", max(len(samples) // 5, 1) if width is None else width, 1)
    order = np.argsort(reasons.variance, kind="stable")
    right = (reasons.mean > 0.5) == samples.liked
    parts = dict(variance=reasons.variance[order], accuracy=right[order], likes=samples.liked[order])
    moved = {name: np.lib.stride_tricks.sliding_window_view(x, min(width, len(x))).mean(1) for name, x in parts.items()}
    return pd.DataFrame(moved)


def retrieval(samples: Samples, answers: dict[str, Reasons], direct: np.ndarray) -> pd.DataFrame:
    """`metrics.results_table` of mean answers after the last K items and after the retrieved ones, paired.

    Args:
        answers: as `ask` gives them. direct: P(like) by an untuned LLM that gives no reasons, [n_samples].

    Returns:
        Rows `WITHOUT_REASONS`, `RECENT` (which ``difference`` is against) and `RETRIEVED`; ``single`` is the AUC of
        one answer, the mean over the answers: the mean answer has less noise.
    """
    rows = {WITHOUT_REASONS: Reasons([], direct[:, None])} | {name: answers[name] for name in (RECENT, RETRIEVED)}
    table = results_table(samples, {name: each.mean for name, each in rows.items()}, RECENT)
    return table.assign(single=[np.mean([auc(samples.liked, p) for p in each.p.T]) for each in rows.values()])


def table5(samples: Samples, tuned: np.ndarray, answers: dict[str, Reasons]) -> pd.DataFrame:
    """RALLRec+'s table 5: with the merge or without, with the injected prompt or without.

    What stands in for the merge is chosen here: RALLRec+'s row with neither lies near the tuned LLM's AUC and far from
    the reasoning LLM's on each data set, so the tuned LLM must weigh most there, too, and the answers' means have the
    merge's own weights without the variances, 0.1 and 1. The last two rows measure other choices: equal weights, and
    the variance of a drawn answer in the merge (see `reasoning.merge`).

    Args:
        tuned: P(like) by the tuned LLM, [n_samples]. answers: as `ask` gives them.

    Returns:
        As `metrics.results_table`, with the paired difference to `NEITHER` of each metric (``difference``: AUC;
        ``log_loss_difference`` …).
    """
    plain, told = answers[RETRIEVED], answers[INJECTED]
    rows = {
        "tuned LLM": tuned,
        "reasoning LLM": plain.mean,
        "reasoning LLM, injected prompt": told.mean,
        NEITHER: _fixed(plain, tuned, WEIGHT),
        "CM only": merge(plain.p, tuned),
        "KP only": _fixed(told, tuned, WEIGHT),
        BOTH: merge(told.p, tuned),
        f"{NEITHER}, equal weights": _fixed(plain, tuned, 1),
        f"{BOTH}, variance of a drawn answer": merge(told.p, tuned, drawn=True),
    }
    table = results_table(samples, rows, NEITHER)
    against = {name: compare(samples, p, rows[NEITHER]) for name, p in rows.items() if name != NEITHER}
    for metric in METRICS[1:]:
        found = [columns(f"{metric}_difference", against[name][metric]) if name in against else {} for name in rows]
        table = table.join(pd.DataFrame(found))
    return table


def _fixed(reasons: Reasons, tuned: np.ndarray, weight: float) -> np.ndarray:
    return (weight * reasons.mean + tuned) / (weight + 1)


def _grouped(samples: Samples, p: np.ndarray, value: np.ndarray, ends: tuple[str, str], groups: int) -> pd.DataFrame:
    """Samples in groups of equal size in the order of a value. ``ends`` names the columns of each group's limits."""
    parts = np.array_split(np.argsort(value, kind="stable"), min(at_least("groups", groups, 1), len(samples)))
    inside = [np.isin(np.arange(len(samples)), part) for part in parts]
    accuracy, users = _accuracies(samples, p, inside)
    lines = []
    for number, rows in enumerate(inside):
        found = evaluate(samples.take(rows), p[rows])
        line = dict(group=number + 1, n=int(rows.sum()), likes=samples.liked[rows].mean())
        line |= dict(zip(ends, (value[rows].min(), value[rows].max()), strict=True))
        line |= columns("auc", found["auc"]) | columns("accuracy", found["accuracy"])
        against_last = accuracy[number] - (accuracy[-1] if number < len(parts) - 1 else np.nan)
        lines.append(line | columns("difference", difference(against_last, users)))
    return adjust(pd.DataFrame(lines))


def _accuracies(samples: Samples, p: np.ndarray, inside: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """The accuracy of each group and under each replicate of users, [1 + resamples], NaN where none of its users is in
    it; and how many users there are."""
    user, drawn = resampled_users(samples.user, RESAMPLES, 0)
    n, right = drawn.shape[1], (p > 0.5) == samples.liked
    counts = [(drawn @ np.bincount(user, x, n) for x in (right & rows, rows)) for rows in inside]
    return [np.divide(hit, of, out=np.full(len(of), np.nan), where=of > 0) for hit, of in counts], n
