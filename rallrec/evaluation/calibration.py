"""Scores made to probabilities, and how far from the truth a probability may be by chance."""

from collections.abc import Callable

import numpy as np

BINS = 10  # of the calibration error, of equal counts
LEAST_SLOPE = 1e-6  # of a calibration, in units of the scores' spread: next to nothing, yet scores keep their order


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


def bins(p: np.ndarray) -> np.ndarray:
    """The bin of each sample, `BINS` of equal counts by ``p``, int64 [n_samples]."""
    bin_of = np.empty(len(p), np.int64)
    for b, rows in enumerate(np.array_split(np.argsort(p, kind="stable"), BINS)):
        bin_of[rows] = b
    return bin_of


def calibration_floor(p: np.ndarray) -> float:
    """The calibration error that a reader without any fault would show on so many samples.

    With labels that are drawn with the very probabilities ``p`` the mean of a bin misses by chance: by
    ``sqrt(2 / pi * sum p (1 - p))`` samples on average, over the ten bins. An error near it is no sign of a fault.

    Args:
        p: P(like), [n_samples].
    """
    return float(np.sqrt(2 / np.pi * np.bincount(bins(p), p * (1 - p))).sum() / len(p))
