"""How much each user moves an AUC, and what this says of the difference of any two.

A bootstrap of users draws user u a number of times, w_u, 1 on average. To first order the AUC of a replicate is

    AUC + sum_u (w_u - 1) h_u

with h_u the user's influence. So the standard deviation of an AUC under the bootstrap is the length of its vector h,
and that of the paired difference of two AUCs is the distance of theirs (DeLong, DeLong and Clarke-Pearson 1988; for
several samples a user: Obuchowski 1997). One vector a prediction tells of every pair, and there is no drawing.
"""

import numpy as np
from scipy import stats

from .metrics import LEVEL, Estimate

WIDTH = float(stats.norm.ppf((1 + LEVEL) / 2))  # half an interval, in standard deviations


def influences(liked: np.ndarray, p: np.ndarray, user: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC, and by how much each user moves it.

    Args:
        liked: bool [n]. p: scores, [n]; ties count half. user: int [n], codes 0 … n_users - 1.

    Returns:
        The AUC, NaN where only one class is present, and float64 [n_users], which sums to 0.

    Example:
        >>> auc, h = influences(np.array([True, False, False]), np.array([0.6, 0.2, 0.9]), np.array([0, 0, 1]))
        >>> auc, h.tolist()
        (0.5, [0.25, -0.25])
    """
    liked, n_users = np.asarray(liked, bool), int(user.max()) + 1
    _, level = np.unique(np.asarray(p, float), return_inverse=True)
    likes, dislikes = (np.bincount(level[rows], minlength=level.max() + 1) for rows in (liked, ~liked))
    n_likes, n_dislikes = likes.sum(), dislikes.sum()
    if not (n_likes and n_dislikes):
        return np.nan, np.full(n_users, np.nan)
    below = (np.cumsum(dislikes) - dislikes / 2) / n_dislikes  # by level: the share of dislikes that a like beats
    above = 1 - (np.cumsum(likes) - likes / 2) / n_likes  # the share of likes that beat a dislike
    auc = float(likes @ below / n_likes)
    each = np.where(liked, (below[level] - auc) / n_likes, (above[level] - auc) / n_dislikes)
    return auc, np.bincount(user, each, n_users)


def paired(auc: float, h: np.ndarray, other: float, other_h: np.ndarray) -> Estimate:
    """The difference of two AUCs and its 95 % interval, by the users' influences on each."""
    value, sd = auc - other, float(np.linalg.norm(h - other_h))
    p = 1.0 if value == 0 else float(2 * stats.norm.sf(abs(value) / sd)) if sd else 0.0
    return Estimate(value, value - WIDTH * sd, value + WIDTH * sd, p, len(h))
