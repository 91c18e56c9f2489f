"""AUC, log loss, accuracy and calibration error with intervals that resample users, and paired comparisons.

A user's samples resemble each other, so resampling rows would make every interval too narrow.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.split import Samples
from ..infra.errors import InputError, at_least, one_of

METRICS = ("auc", "log_loss", "accuracy", "calibration_error")
BINS = 10  # of the calibration error, of equal counts
RESAMPLES = 1000
LEVEL = 0.95
LEAST_SLOPE = 1e-6  # of a calibration, in units of the scores' spread: next to nothing, yet scores keep their order


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> int:
        """What the interval says of the sign; see `verdict`."""
        return verdict(self.low, self.high)

    def __str__(self) -> str:
        return interval(self.value, self.low, self.high)


def interval(value: float, low: float, high: float, sign: str = "") -> str:
    """``value [low, high]``, or a dash where nothing could be measured; ``sign`` may be ``+``."""
    written = ["–" if np.isnan(x) else f"{x:{sign}.3f}" for x in (value, low, high)]
    return written[0] if np.isnan(value) else f"{written[0]} [{written[1]}, {written[2]}]"


def verdict(low: float, high: float) -> int:
    """1 where the whole interval lies above zero, -1 where it lies below, 0 where it tells neither (or is NaN)."""
    return int(low > 0) - int(high < 0)


def auc(liked: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve; ties count half. NaN where only one class is present."""
    everyone = np.zeros(len(p), int)
    return float(_aucs(np.asarray(liked, bool), np.asarray(p, float), everyone, np.ones((1, 1)))[0])


def recalls(top: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Recall at k of each row, float64 [n]: the share found of what is wanted, or of k where more is wanted.

    Args:
        top: int [n, k], columns of what each row was given. wanted: bool [n, n_columns], at least one a row.
    """
    return np.take_along_axis(wanted, top, axis=1).sum(1) / np.minimum(wanted.sum(1), top.shape[1])


def evaluate(samples: Samples, p: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """The three metrics of the paper (section 3) and the calibration error, each with a 95 % interval.

    AUC is NaN where all samples are liked, or none; every interval where they are of one user, who can't be resampled.
    Sampling noise adds to a calibration error, in a replicate more than in the sample: its interval lies high.

    Args:
        samples: what was predicted. p: P(like), [n_samples].
        resamples: bootstrap replicates; each draws as many users as there are, with replacement.

    Raises:
        InputError: no samples, or ``p`` has another length, or values that are no probabilities.
    """
    p = _probabilities(samples, p)
    user, drawn = resampled_users(samples.user, resamples, seed)
    metrics = _metrics(samples.liked, p, user, drawn)
    return {m: _estimate(metrics[m]) for m in METRICS}


def compare(
    samples: Samples,
    p: np.ndarray,
    other: np.ndarray,
    rows: np.ndarray | None = None,
    other_rows: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Metrics of ``p`` minus metrics of ``other`` on the same samples, resampled together.

    Args:
        rows, other_rows: bool [n_samples], where ``p`` and where ``other`` is judged; by default everywhere.

    Raises:
        InputError: as for `evaluate`.
    """
    user, drawn = resampled_users(samples.user, resamples, seed)

    def metrics(p: np.ndarray, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        judged = np.ones(len(samples), bool) if rows is None else np.asarray(rows)
        if judged.dtype != bool or judged.shape != (len(samples),):
            raise InputError(f"rows are {judged.dtype} {judged.shape}; {len(samples)} samples need a truth value each")
        return _metrics(samples.liked[judged], _probabilities(samples, p)[judged], user[judged], drawn)

    a, b = metrics(p, rows), metrics(other, other_rows)
    return {m: _estimate(a[m] - b[m]) for m in METRICS}


def results_table(
    samples: Samples, predictions: dict[str, np.ndarray], baseline: str | None = None, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """One row a prediction: metrics with intervals, and the AUC's paired difference to ``baseline``.

    Columns: ``method``, each metric with ``_low`` and ``_high``, ``difference`` (likewise), ``n``.

    Raises:
        InputError: as for `evaluate`, or a baseline without a prediction.
    """
    if baseline is not None:
        one_of("baseline", baseline, predictions)
    user, drawn = resampled_users(samples.user, resamples, 0)
    metrics = {m: _metrics(samples.liked, _probabilities(samples, p), user, drawn) for m, p in predictions.items()}
    rows = []
    for method, values in metrics.items():
        row = {"method": method}
        for metric in METRICS:
            row |= columns(metric, _estimate(values[metric]))
        if baseline is not None and method != baseline:
            row |= columns("difference", _estimate(values["auc"] - metrics[baseline]["auc"]))
        rows.append(row | {"n": len(samples)})
    return pd.DataFrame(rows)


def columns(name: str, e: Estimate) -> dict[str, float]:
    """A value and its interval as columns of a table: ``name``, ``name_low``, ``name_high``."""
    return {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}


def resampled_users(user: np.ndarray, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each sample's user as a code, and how often each code counts in each replicate.

    Returns:
        int64 [n_samples] and float64 [1 + resamples, n_users]: in the first row each user once, in the
        others as many users as there are, drawn with replacement; NaN where there is one user, since no
        draw of them differs.
    """
    if not len(user):
        raise InputError("there are no samples to judge")
    at_least("resamples", resamples, 0)
    _, code = np.unique(user, return_inverse=True)
    n = code.max() + 1
    drawn = np.random.default_rng(at_least("seed", seed, 0)).multinomial(n, np.full(n, 1 / n), resamples)
    return code, np.concatenate([np.ones((1, n)), drawn if n > 1 else np.full(drawn.shape, np.nan)])


def platt(scores: np.ndarray, liked: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A map from scores to probabilities, fitted on held-out samples (Platt 1999): logistic in the score.

    The curve always rises (see `rising`) and so keeps the order: it changes log loss and accuracy, not AUC.
    """
    scores = np.asarray(scores, float)
    mean, spread = scores.mean(), scores.std() if np.ptp(scores) > 0 else 1.0
    model = rising(((scores - mean) / spread)[:, None], liked, c=1e6)
    return lambda s: model.predict_proba(((np.asarray(s, float) - mean) / spread)[:, None])[:, 1]


def rising(x: np.ndarray, liked: np.ndarray, c: float):
    """A logistic regression of labels that never turns the order of a score around.

    The best rising curve of a score that is worse than chance is constant. This one has a slope of `LEAST_SLOPE`
    all the same: a calibration says how sure a reader may be, and whether its order is any good is the AUC's to say.

    Where no curve is the best, since all labels are the same or all likes lie above all dislikes, a like with the
    lowest score and a dislike with the highest stand beside the samples. Of n samples that are all liked the
    curve says ``(n + 1) / (n + 2)``.

    Args:
        x: [n, n_scores], of mean 0 and spread 1. One of several may weigh against the others; a single one must
            rise, and so must all where the labels are the same.
        c: the inverse of the penalty's weight, scikit-learn's ``C``.

    Returns:
        A fitted ``LogisticRegression``.
    """
    from sklearn.linear_model import LogisticRegression

    liked, single = np.asarray(liked, bool), x.shape[1] == 1
    alike = liked.all() or not liked.any()
    if alike or (single and np.ptp(x) > 0 and x[liked].min() >= x[~liked].max()):
        x, liked = np.concatenate([x, [x.min(0), x.max(0)]]), np.append(liked, [True, False])
    model = LogisticRegression(C=c).fit(x, liked)
    if alike or single:
        if model.coef_.min() < 0:
            model.fit(np.zeros_like(x), liked)  # the intercept that goes with a slope of next to nothing
        model.coef_ = np.maximum(model.coef_, LEAST_SLOPE)
    return model


def _probabilities(samples: Samples, p: np.ndarray) -> np.ndarray:
    try:
        p = np.asarray(p, float)
    except (TypeError, ValueError) as e:
        raise InputError(f"p is {type(p).__name__} of what is no number; {len(samples)} samples need one each") from e
    if p.shape != (len(samples),):
        raise InputError(f"p has shape {p.shape}; {len(samples)} samples need ({len(samples)},)")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("p has values that are no probabilities (0 to 1); calibrate scores with `platt` first")
    return p


def _metrics(liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric under each row of ``drawn`` [replicates, n_users]; ``user`` is each sample's column."""
    n = drawn.shape[1]
    total = drawn @ np.bincount(user, minlength=n)
    total = np.where(total > 0, total, np.nan)  # a replicate may draw none of the few users that are judged
    return {
        "auc": _aucs(liked, p, user, drawn),
        "log_loss": drawn @ np.bincount(user, _losses(liked, p), n) / total,
        "accuracy": drawn @ np.bincount(user, (p > 0.5) == liked, n) / total,
        "calibration_error": _calibration(liked, p, user, drawn),
    }


def _calibration(liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Calibration error under each row of ``drawn``; the bins stay those of the sample."""
    cell = user * BINS
    for b, rows in enumerate(np.array_split(np.argsort(p, kind="stable"), BINS)):
        cell[rows] += b
    shape = drawn.shape[1], BINS
    excess = np.bincount(cell, p - liked, shape[0] * BINS).reshape(shape)  # [n_users, BINS]
    total = drawn @ np.bincount(user, minlength=shape[0])
    return np.abs(drawn @ excess).sum(1) / np.where(total > 0, total, np.nan)


def _losses(liked: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -np.log(np.where(liked, p, 1 - p))


def _aucs(liked: np.ndarray, p: np.ndarray, user: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Weighted AUC of one sorted pass: the share of (like, dislike) pairs in the right order.

    The scores are sorted once; each replicate only sums weights in that order.
    """
    levels, group = np.unique(p, return_inverse=True)
    like_group, like_user, other_group, other_user = group[liked], user[liked], group[~liked], user[~liked]
    aucs = []
    for w in drawn:
        likes = np.bincount(like_group, w[like_user], len(levels))
        dislikes = np.bincount(other_group, w[other_user], len(levels))
        pairs = likes.sum() * dislikes.sum()
        won = (likes * (np.cumsum(dislikes) - dislikes / 2)).sum()
        aucs.append(won / pairs if pairs else np.nan)
    return np.array(aucs)


def _estimate(values: np.ndarray) -> Estimate:
    """The first value with the interval of the others."""
    value, replicates = values[0], values[1:]
    tail = (1 - LEVEL) / 2 * 100
    low, high = np.nanpercentile(replicates, [tail, 100 - tail]) if not np.isnan(replicates).all() else (np.nan,) * 2
    return Estimate(float(value), float(low), float(high))
