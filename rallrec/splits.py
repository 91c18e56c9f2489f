"""Samples of the task and their chronological split, with a certificate that nothing leaks.

A sample is a position in `Dataset.rating`: its user, its target item, whether the user liked it,
and the user's earlier ratings, which are the slice before it. Nothing is copied.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from .datasets import Dataset
from .errors import InputError, at_least, one_of

PROTOCOLS = ("strict",)


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples of one data set.

    Attributes:
        position: int64 [n_samples], positions of the targets in the data's ratings.
    """

    data: Dataset
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.position)

    @cached_property
    def user(self) -> np.ndarray:
        """int32 [n_samples]."""
        return self.data.user[self.position]

    @cached_property
    def item(self) -> np.ndarray:
        """int32 [n_samples]: the target."""
        return self.data.item[self.position]

    @cached_property
    def liked(self) -> np.ndarray:
        """bool [n_samples]: the label."""
        return self.data.liked[self.position]

    @cached_property
    def n_earlier(self) -> np.ndarray:
        """int64 [n_samples]: length of the history; it is the ratings just before ``position``."""
        return self.position - self.data.start[self.user]

    def take(self, rows: np.ndarray) -> "Samples":
        """The samples at ``rows`` (indices or a mask)."""
        return Samples(self.data, self.position[rows])

    def draw(self, n: int, seed: int = 0) -> np.ndarray:
        """Rows of ``n`` samples drawn without replacement, in order; all of them where there are fewer."""
        at_least("sample size", n, 1)
        rng = np.random.default_rng(seed)
        return np.sort(rng.permutation(len(self))[:n])


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test samples, and what training may see.

    Attributes:
        train_ratings: int64, positions of all ratings of the training period (also those too early in
            a user's life to be samples): the only ones that graph, PCA, ranker and adapter may use.
    """

    data: Dataset
    train: Samples
    valid: Samples
    test: Samples
    train_ratings: np.ndarray

    def certificate(self) -> pd.DataFrame:
        """Check that nothing of the future is used; one row a check, with the count of violations.

        Raises:
            InputError: a check failed. A run must not go on.
        """
        data = self.data
        rank = data.rank
        held_out = np.concatenate([self.valid.position, self.test.position])
        checks = {
            "every training sample precedes every validation sample": _not_before(rank, self.train, self.valid),
            "every validation sample precedes every test sample": _not_before(rank, self.valid, self.test),
            "every history rating is no later than its target": sum(
                int((data.time[s.position - 1] > data.time[s.position])[s.n_earlier > 0].sum())
                for s in (self.train, self.valid, self.test)
            ),
            "ratings of a user are in time order": int(((np.diff(data.time) < 0) & (np.diff(data.user) == 0)).sum()),
            "no target of validation or test is in the graph": int(np.isin(held_out, self.train_ratings).sum()),
            "every rating in the graph precedes validation and test": int(
                (rank[self.train_ratings] >= rank[held_out].min()).sum()
            ),
            "no sample is in two parts": sum(map(len, (self.train, self.valid, self.test)))
            - len(np.unique(np.concatenate([self.train.position, held_out]))),
        }
        table = pd.DataFrame({"check": checks.keys(), "violations": checks.values()})
        if table.violations.any():
            broken = table[table.violations > 0].iloc[0]
            raise InputError(f"leakage: {broken.check!r} is violated {broken.violations} times; mend the split")
        return table


def _not_before(rank: np.ndarray, earlier: Samples, later: Samples) -> int:
    return int((rank[earlier.position] >= rank[later.position].min()).sum())


def split(data: Dataset, protocol: str = "strict", min_history: int = 5, parts=(8, 1, 1)) -> Split:
    """Split chronologically over all users (paper, section 3).

    Samples are ordered by (time, user, item); the first 8/10 train, the next 1/10 validate, the
    rest tests. Under ``strict`` nothing later than the training period is seen in training.

    Args:
        min_history: a sample needs this many earlier ratings of its user.
        parts: shares of training, validation and test.

    Raises:
        InputError: an unknown protocol, or too few samples to split.
    """
    one_of("protocol", protocol, PROTOCOLS)
    at_least("min_history", min_history, 1)
    order = data.by_time
    n_earlier = np.arange(data.n_ratings) - data.start[data.user]
    samples = order[n_earlier[order] >= min_history]
    cuts = np.cumsum([len(samples) * part // sum(parts) for part in parts[:2]])
    if len(samples) < 10:
        raise InputError(f"{data.name}: {len(samples)} samples with {min_history} earlier ratings; too few to split")
    train, valid, test = (Samples(data, part) for part in np.split(samples, cuts))
    before = np.flatnonzero(order == valid.position[0])[0]  # ratings before the first validation sample
    return Split(data, train, valid, test, np.sort(order[:before]))
