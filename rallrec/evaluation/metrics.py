"""AUC, log loss, accuracy and calibration error with 95 % user-bootstrap intervals, and paired comparisons.

A trained model may be judged by its predictions with several seeds: its metric is the mean over them, and the interval
holds both sources of noise, users and training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from ..data.split import Samples
from ..infra.errors import InputError, one_of
from .resampling import metrics_of, resampled_users, won

METRICS = ("auc", "log_loss", "accuracy", "calibration_error")
RESAMPLES = 1000
LEVEL = 0.95  # of an interval
FALSE_DISCOVERIES = 0.05  # the share of a table's verdicts that may be wrong, on average
RARE = 5  # users: where fewer have a hit, or fewer a miss, the bootstrap says too little of a share
IDENTICAL = "identical predictions"


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % confidence interval.

    Attributes:
        p: of a difference, the two-sided p-value of there being none, see `p_value`; None of any other value.
        users: how many were resampled.
        seeds: how many trainings the value is a mean of. spread: the standard deviation over them, NaN of one.
    """

    value: float
    low: float
    high: float
    p: float | None = None
    users: int = 0
    seeds: int = 1
    spread: float = np.nan

    @property
    def verdict(self) -> int:
        """What the interval says of the sign, as the only comparison; see `verdict`."""
        return verdict(self.low, self.high)

    @property
    def identical(self) -> bool:
        """Whether it is the difference of identical predictions."""
        return self.p is not None and self.low == self.high == 0

    def __str__(self) -> str:
        return interval(self.value, self.low, self.high)


def interval(value: float, low: float, high: float, sign: str = "") -> str:
    """``value [low, high]``, or a dash where nothing could be measured; ``sign`` may be ``+``.

    Where all replicates agree it says so instead: a difference of zero is that of identical predictions (see
    `compare`), another value does not vary.
    """
    written = ["–" if np.isnan(x) else f"{x:{sign}.3f}" for x in (value, low, high)]
    if np.isnan(value):
        return written[0]
    if low == high == value:
        return f"0 ({IDENTICAL})" if value == 0 else f"{written[0]} [no spread]"
    return f"{written[0]} [{written[1]}, {written[2]}]"


def verdict(low: float, high: float, adjusted_p: float = 0.0) -> int:
    """1 where the whole interval lies above zero, -1 where it lies below, 0 where it is inconclusive (or NaN).

    Args:
        adjusted_p: of a difference among others, see `adjusted`: above `FALSE_DISCOVERIES` it is inconclusive whatever
            its interval. It can take a verdict away, not make one.
    """
    return int(adjusted_p <= FALSE_DISCOVERIES) * (int(low > 0) - int(high < 0))


def p_value(value: float, replicates: np.ndarray) -> float:
    """Two-sided p-value of a difference being zero, from its user bootstrap: ``2 Phi(-|value| / sd)``.

    ``sd`` is the standard deviation of the replicates. The difference is taken to be normal: a count of replicates
    beyond zero could tell no p-value below 1 / resamples from another. 1 where the value is zero, 0 where it is not
    and all replicates agree, NaN where nothing can be resampled.
    """
    known = replicates[~np.isnan(replicates)]
    if np.isnan(value) or len(known) < 2:
        return np.nan
    if value == 0:
        return 1.0
    sd = known.std(ddof=1)
    return float(2 * stats.norm.sf(abs(value) / sd)) if sd else 0.0


def adjusted(p_values: Sequence[float]) -> np.ndarray:
    """p-values adjusted for their number (Benjamini and Hochberg 1995), float64 [n].

    Where those of at most q are taken for differences, a share of at most q of these is wrong on average: for tests
    that are independent or, as differences to one baseline are, positively dependent.

    Args:
        p_values: of one family, such as all claims of a table. NaN (not measured) and 1 (identical predictions) stay
            and do not count: nothing was tested.

    Example:
        >>> adjusted([0.01, 0.04, float("nan"), 1.0]).tolist()
        [0.02, 0.04, nan, 1.0]
    """
    out = np.array(p_values, float)
    tested = out < 1
    if tested.any():
        out[tested] = stats.false_discovery_control(out[tested])
    return out


def adjust(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ``adjusted_p``, its column ``difference_p`` as one family (see `adjusted`), in its last column."""
    return table.assign(adjusted_p=adjusted(table["difference_p"]))


def auc(liked: np.ndarray, p: np.ndarray) -> float:
    """Area under the ROC curve; ties count half. NaN where only one class is present."""
    liked = np.asarray(liked, bool)
    levels, group = np.unique(np.asarray(p, float), return_inverse=True)
    likes, dislikes = (np.bincount(group[rows], minlength=len(levels)) for rows in (liked, ~liked))
    pairs = likes.sum() * dislikes.sum()
    return float(won(likes, dislikes) / pairs) if pairs else np.nan


def recalls(top: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Recall at k of each row, float64 [n]: the share found of what is wanted, or of k where more is wanted.

    Args:
        top: int [n, k], columns of what each row was given. wanted: bool [n, n_columns], at least one a row.
    """
    return np.take_along_axis(wanted, top, axis=1).sum(1) / np.minimum(wanted.sum(1), top.shape[1])


def evaluate(samples: Samples, p: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Estimate]:
    """The three metrics of the paper (section 3) and the calibration error, each with a 95 % interval.

    AUC is NaN where all samples are liked, or none; every interval where they are of one user, who can't be resampled.
    An accuracy that few users' samples tell from 0 or 1 has an exact interval, see `share`. Noise adds to a calibration
    error, see `calibration_floor`; what the bootstrap adds once more is taken out of its interval.

    Args:
        samples: what was predicted.
        p: P(like), [n_samples], or by trainings with several seeds, [n_seeds, n_samples]. Then a value is the mean of
            the trainings' metrics, and a replicate is of drawn users and one training: the interval is of what another
            training gives on other users. (That of the mean over as many trainings would be narrower.)
        resamples: bootstrap replicates; each draws as many users as there are, with replacement.

    Raises:
        InputError: no samples, or ``p`` has another length, or values that are no probabilities.
    """
    user, drawn = resampled_users(samples.user, resamples, seed)
    return _judged(samples, p, user, drawn).estimates()


def compare(
    samples: Samples,
    p: np.ndarray,
    other: np.ndarray,
    rows: np.ndarray | None = None,
    other_rows: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    same_training: bool = False,
) -> dict[str, Estimate]:
    """Metrics of ``p`` minus metrics of ``other`` on the same samples, resampled together.

    Of identical predictions the interval is the point zero, and the p-value 1. Others may have a metric in common in
    all replicates (one order, one AUC): then the bootstrap tells nothing of its difference, and both are NaN.

    Args:
        p, other: as for `evaluate`. Where both are of several trainings, a replicate is of one of each, in all pairs.
        rows, other_rows: bool [n_samples], where ``p`` and where ``other`` is judged; by default everywhere.
        same_training: whether ``p[i]`` and ``other[i]`` are of one training, and stay together: one adapter, two
            prompts. Otherwise each is paired with each.

    Raises:
        InputError: as for `evaluate`; of one training, but not of as many.
    """
    user, drawn = resampled_users(samples.user, resamples, seed)
    a = _judged(samples, p, user, drawn, rows=rows)
    b = _judged(samples, other, user, drawn, other_rows)
    if same_training and len(a.p) != len(b.p):
        raise InputError(f"p is of {len(a.p)} trainings, other of {len(b.p)}; the same trainings give as many of each")
    return {m: a.minus(b, m, same_training) for m in METRICS}


def results_table(
    samples: Samples, predictions: dict[str, np.ndarray], baseline: str | None = None, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """One row a prediction: metrics with intervals, and the AUC's paired difference to ``baseline``.

    Args:
        predictions: as for `evaluate`; those of several trainings stand as means.

    Returns:
        Columns ``method``, each metric with ``_low`` and ``_high``, ``calibration_floor``, ``difference`` (with
        ``_low``, ``_high``, ``_p``), ``n``, ``users``; where a prediction is of several trainings ``seeds`` and
        ``auc_spread``; and ``adjusted_p``, of the differences of this table.

    Raises:
        InputError: as for `evaluate`, or a baseline without a prediction.
    """
    if baseline is not None:
        one_of("baseline", baseline, predictions)
    user, drawn = resampled_users(samples.user, resamples, 0)
    judged = {method: _judged(samples, p, user, drawn) for method, p in predictions.items()}
    rows = []
    for method, of in judged.items():
        row, made = {"method": method}, of.estimates()
        for metric in METRICS:
            row |= columns(metric, made[metric])
        row |= {"calibration_floor": of.floor}
        if baseline is not None:
            none = Estimate(np.nan, np.nan, np.nan, np.nan)  # of the baseline itself
            row |= columns("difference", none if method == baseline else of.minus(judged[baseline], "auc"))
        row |= {"n": len(samples), "users": made["auc"].users}
        if any(len(p) > 1 for p in (other.p for other in judged.values())):
            row |= {"seeds": made["auc"].seeds, "auc_spread": made["auc"].spread}
        rows.append(row)
    table = pd.DataFrame(rows)
    return table if baseline is None else adjust(table)


def columns(name: str, e: Estimate) -> dict[str, float]:
    """An estimate as columns of a table: ``name``, ``name_low``, ``name_high`` and, of a difference, ``name_p``."""
    made = {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
    return made if e.p is None else made | {f"{name}_p": e.p}


def estimate(values: np.ndarray, users: int) -> Estimate:
    """A value and the interval of its replicates, [1 + resamples]."""
    value, replicates = values[0], values[1:]
    tail = (1 - LEVEL) / 2 * 100
    low, high = np.nanpercentile(replicates, [tail, 100 - tail]) if not np.isnan(replicates).all() else (np.nan,) * 2
    return Estimate(float(value), float(low), float(high), users=users)


def difference(values: np.ndarray, users: int) -> Estimate:
    """The same of a difference, with its p-value."""
    return replace(estimate(values, users), p=p_value(values[0], values[1:]))


def share(user: np.ndarray, hit: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """A share of samples with its 95 % interval: a bootstrap of users, or exact where that says too little.

    Where fewer than `RARE` users have a hit, or fewer a miss, few replicates differ (none, of a share of 0 or 1). There
    it is Clopper and Pearson's (1934), and nothing tells how alike a user's samples are: they are taken to be all
    alike, as if the share were of ``(sum m)^2 / sum m^2`` independent samples, m the number of each user's (Korn and
    Graubard 1998). That is the number of users where all have as many; the interval is wide rather than wrong.

    Args:
        user: [n_samples], whose each is. hit: [n_samples], true or false, or a share.
    """
    code, drawn = resampled_users(user, resamples, seed)
    n = drawn.shape[1]
    hit = np.asarray(hit, float)
    shares = drawn @ np.bincount(code, hit, n) / (drawn @ np.bincount(code, minlength=n))
    return _exact_where_rare(estimate(shares, n), code, hit)


def _probabilities(samples: Samples, p: np.ndarray) -> np.ndarray:
    """P(like) by each training, [n_seeds, n_samples]."""
    try:
        p = np.asarray(p, float)
    except (TypeError, ValueError) as e:
        raise InputError(f"p is {type(p).__name__} of what is no number; {len(samples)} samples need one each") from e
    if p.ndim not in (1, 2) or p.shape[-1] != len(samples) or not p.size:
        raise InputError(f"p has shape {p.shape}; {len(samples)} samples need ({len(samples)},), or a row a seed")
    if not ((p >= 0) & (p <= 1)).all():
        raise InputError("p has values that are no probabilities (0 to 1); calibrate scores with `platt` first")
    return np.atleast_2d(p)


@dataclass(frozen=True, eq=False)
class _Judged:
    """A prediction's metrics under each replicate.

    Attributes:
        p: [n_seeds, n]. liked, user (as codes): [n].
        by_seed: each metric, [n_seeds, 1 + resamples]. floor: the mean of the trainings', see `calibration_floor`.
    """

    p: np.ndarray
    liked: np.ndarray
    user: np.ndarray
    by_seed: dict[str, np.ndarray]
    floor: float

    def values(self, metric: str) -> np.ndarray:
        """The mean over seeds, then each seed's replicates, [n_seeds, 1 + resamples].

        Of s trainings the squared distance from their mean is (s - 1) / s of the variance: distances are widened.
        """
        each, n = self.by_seed[metric], len(self.p)
        mean = each.mean(0)
        values = mean + np.sqrt(n / max(n - 1, 1)) * (each - mean)
        values[:, 0] = mean[0]
        return values

    @property
    def users(self) -> int:
        return _count(self.user)

    def estimates(self) -> dict[str, Estimate]:
        n_seeds, made = len(self.p), {}
        for metric, each in self.by_seed.items():
            spread = float(each[:, 0].std(ddof=1)) if n_seeds > 1 else np.nan
            value = estimate(_in_a_row(self.values(metric)), self.users)
            made[metric] = replace(value, seeds=n_seeds, spread=spread)
        right = ((self.p > 0.5) == self.liked).mean(0)
        return made | {"accuracy": _exact_where_rare(made["accuracy"], self.user, right)}

    def minus(self, other: "_Judged", metric: str, same_training: bool = False) -> Estimate:
        mine, theirs = self.values(metric), other.values(metric)
        pairs = mine - theirs if same_training else mine[:, None] - theirs
        made = difference(_in_a_row(pairs), _count(np.append(self.user, other.user)))
        if made.identical and not np.array_equal(self.p, other.p):
            return Estimate(made.value, np.nan, np.nan, np.nan, made.users)
        return made


def _in_a_row(values: np.ndarray) -> np.ndarray:
    """The value and all replicates, of [..., 1 + resamples] whose first column holds the value again and again."""
    return np.append(values.flat[0], values[..., 1:])


def _judged(samples: Samples, p, user: np.ndarray, drawn: np.ndarray, rows: np.ndarray | None = None) -> _Judged:
    rows = np.ones(len(samples), bool) if rows is None else np.asarray(rows)
    if rows.dtype != bool or rows.shape != (len(samples),):
        raise InputError(f"rows are {rows.dtype} {rows.shape}; {len(samples)} samples need a truth value each")
    p, liked, user = _probabilities(samples, p)[:, rows], samples.liked[rows], user[rows]
    each = [metrics_of(liked, one, user, drawn) for one in p]
    floor = float(np.mean([made["calibration_floor"] for made in each]))
    return _Judged(p, liked, user, {m: np.stack([made[m] for made in each]) for m in METRICS}, floor)


def _count(user: np.ndarray) -> int:
    """How many users there are, of their codes."""
    return int(np.count_nonzero(np.bincount(user)))


def _exact_where_rare(e: Estimate, user: np.ndarray, hit: np.ndarray) -> Estimate:
    """A share's estimate, its interval exact where few users have a hit or a miss; see `share`."""
    with_some = [_count(user[rows]) for rows in (hit > 0, hit < 1)]
    if e.users < 2 or min(with_some) >= RARE:
        return e
    each = np.bincount(user)
    n = each.sum() ** 2 / (each**2).sum()
    x, tail = hit.mean() * n, (1 - LEVEL) / 2
    low = stats.beta.ppf(tail, x, n - x + 1) if x > 0 else 0.0
    high = stats.beta.ppf(1 - tail, x + 1, n - x) if x < n else 1.0
    return replace(e, low=float(low), high=float(high))
