"""AUC, log loss and accuracy with intervals that resample users, and paired comparisons.

A user's samples resemble each other, so resampling rows would make every interval too narrow.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import InputError
from .splits import Samples

METRICS = ("auc", "log_loss", "accuracy")
RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auc(liked: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve; ties count half. NaN where only one class is present."""
    return float(_aucs(np.asarray(liked, bool), np.asarray(p, float), np.ones((1, len(p))))[0])


def log_loss(liked: np.ndarray, p: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats; p is kept 1e-6 away from 0 and 1."""
    return float(_losses(np.asarray(liked, bool), np.asarray(p, float)).mean())


def accuracy(liked: np.ndarray, p: np.ndarray) -> float:
    """Share of samples on the right side of 0.5."""
    return float(((np.asarray(p) > 0.5) == np.asarray(liked, bool)).mean())


def evaluate(samples: Samples, p: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """The three metrics of the paper (section 3), each with a 95 % interval.

    Args:
        samples: what was predicted. p: P(like), [n_samples].
        resamples: bootstrap replicates; each draws as many users as there are, with replacement.

    Raises:
        InputError: ``p`` has another length, or values that are no probabilities.
    """
    p = _probabilities(samples, p)
    values = _metrics(samples.liked, p, np.ones((1, len(p))))
    replicates = _metrics(samples.liked, p, user_weights(samples.user, resamples, seed))
    return {m: _estimate(values[m][0], replicates[m]) for m in METRICS}


def compare(samples: Samples, p: np.ndarray, other: np.ndarray, resamples: int = RESAMPLES, seed: int = 0):
    """Metrics of ``p`` minus metrics of ``other`` on the same samples, resampled together."""
    p, other = _probabilities(samples, p), _probabilities(samples, other)
    one, weights = np.ones((1, len(p))), user_weights(samples.user, resamples, seed)
    differences = []
    for w in (one, weights):
        a, b = _metrics(samples.liked, p, w), _metrics(samples.liked, other, w)
        differences.append({m: a[m] - b[m] for m in METRICS})
    return {m: _estimate(differences[0][m][0], differences[1][m]) for m in METRICS}


def results_table(samples: Samples, predictions: dict[str, np.ndarray], baseline: str | None = None) -> pd.DataFrame:
    """One row a prediction: metrics with intervals, and the AUC's paired difference to ``baseline``.

    Columns: ``method``, each metric with ``_low`` and ``_high``, ``difference`` (likewise), ``n``.
    """
    rows = []
    for method, p in predictions.items():
        row = {"method": method}
        for metric, e in evaluate(samples, p).items():
            row |= {metric: e.value, f"{metric}_low": e.low, f"{metric}_high": e.high}
        if baseline is not None and method != baseline:
            e = compare(samples, p, predictions[baseline])["auc"]
            row |= {"difference": e.value, "difference_low": e.low, "difference_high": e.high}
        rows.append(row | {"n": len(samples)})
    return pd.DataFrame(rows)


def user_weights(user: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """How often each sample counts when users are drawn with replacement, float64 [resamples, n_samples]."""
    _, code = np.unique(user, return_inverse=True)
    n = code.max() + 1
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)[:, code].astype(float)


def platt(scores: np.ndarray, liked: np.ndarray):
    """A map from scores to probabilities, fitted on held-out samples (Platt 1999): logistic in the score.

    A logistic curve with a positive slope keeps the order, so it changes log loss and accuracy, not AUC.
    """
    from sklearn.linear_model import LogisticRegression

    scores = np.asarray(scores, float)
    mean, spread = scores.mean(), scores.std() or 1.0
    model = LogisticRegression(C=1e6).fit(((scores - mean) / spread)[:, None], liked)
    return lambda s: model.predict_proba(((np.asarray(s, float) - mean) / spread)[:, None])[:, 1]


def _probabilities(samples: Samples, p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, float)
    if p.shape != (len(samples),):
        raise InputError(f"p has shape {p.shape}; {len(samples)} samples need ({len(samples)},)")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("p has values that are no probabilities (0 to 1); calibrate scores with `platt` first")
    return p


def _metrics(liked: np.ndarray, p: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric under each row of ``weights`` [replicates, n]."""
    total = weights.sum(1)
    return {
        "auc": _aucs(liked, p, weights),
        "log_loss": weights @ _losses(liked, p) / total,
        "accuracy": weights @ ((p > 0.5) == liked) / total,
    }


def _losses(liked: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -np.log(np.where(liked, p, 1 - p))


def _aucs(liked: np.ndarray, p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted AUC of one sorted pass: the share of (like, dislike) pairs in the right order.

    The scores are sorted once; each replicate only sums weights in that order.
    """
    levels, group = np.unique(p, return_inverse=True)
    aucs = []
    for w in weights:
        likes = np.bincount(group, w * liked, len(levels))
        dislikes = np.bincount(group, w * ~liked, len(levels))
        pairs = likes.sum() * dislikes.sum()
        won = (likes * (np.cumsum(dislikes) - dislikes / 2)).sum()
        aucs.append(won / pairs if pairs else np.nan)
    return np.array(aucs)


def _estimate(value: float, replicates: np.ndarray) -> Estimate:
    tail = (1 - LEVEL) / 2 * 100
    low, high = np.nanpercentile(replicates, [tail, 100 - tail]) if not np.isnan(replicates).all() else (np.nan,) * 2
    return Estimate(float(value), float(low), float(high))
