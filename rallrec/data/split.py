"""Samples of the task and their chronological split, with a certificate that nothing leaks.

A sample is a position in `Dataset.rating`: its user, its target item, whether the user liked it,
and the user's earlier ratings, which are the slice before it. Nothing is copied.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..infra.errors import InputError, at_least, one_of
from .dataset import Dataset


@dataclass(frozen=True)
class Protocol:
    """What a run may see. All False is ``strict``; each switch is a way of the released code, all True ``released``.

    Attributes:
        graph_sees_test: LightGCN trains on all ratings but each user's last, test targets included.
        all_ratings_are_edges: dislikes are edges of the graph, like likes.
        chosen_on_test: choices are made on the first `CHOSEN_ON` test samples, not on validation.
        id_shift: items of the history are compared by the embedding of the next raw id (see
            `retrieve.shifted`). For data sets with whole numbers as ids; the released code has it on MovieLens-1M.
        first_rows: scores are given on the first `SCORED` test samples, not on all.
    """

    graph_sees_test: bool = False
    all_ratings_are_edges: bool = False
    chosen_on_test: bool = False
    id_shift: bool = False
    first_rows: bool = False


PROTOCOLS = {"strict": Protocol(), "released": Protocol(True, True, True, True, True)}
CHOSEN_ON, SCORED = 1_000, 10_000  # test samples, under the released protocol


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
        rng = np.random.default_rng(at_least("seed", seed, 0))
        return np.sort(rng.permutation(len(self))[:n])


@dataclass(frozen=True, eq=False)
class Split:
    """Training, validation and test samples, and what training may see.

    Attributes:
        train_ratings: int64, positions of all ratings of the training period (also those too early in
            a user's life to be samples), or, without time, of all ratings but the targets of validation
            and test: the only ones that PCA, item means, ranker and adapter may use.
        graph_ratings: int64, positions of the ratings that LightGCN may use; under ``strict`` the same.
        chosen_on: the samples that choices are made on; under ``strict`` those of validation.
        parts: shares of training, validation and test. min_history: earlier ratings that a sample needs.
    """

    data: Dataset
    train: Samples
    valid: Samples
    test: Samples
    train_ratings: np.ndarray
    graph_ratings: np.ndarray
    chosen_on: Samples
    protocol: Protocol
    parts: tuple[int, int, int]
    min_history: int

    def certificate(self) -> pd.DataFrame:
        """Check that nothing of the future is used; one row a check, with the count of violations.

        Raises:
            InputError: a check failed under ``strict``. A run must not go on. Under another protocol the
                violations are what it does on purpose, and are only counted.
        """
        data = self.data
        parts = (self.train, self.valid, self.test)
        held_out = np.concatenate([self.valid.position, self.test.position])
        drawn = np.zeros(data.n_ratings, bool)
        drawn[np.concatenate([part.position for part in parts])] = True
        checks = {
            "no target of validation or test is in the graph": _common(held_out, self.graph_ratings),
            "no target of validation or test is among the training ratings": _common(held_out, self.train_ratings),
            "no sample is in two parts": sum(map(len, parts)) - int(drawn.sum()),
            "no choice is made on test samples": _common(self.chosen_on.position, self.test.position),
        }
        if data.timed:
            rank = data.rank
            checks |= {
                "every training sample precedes every validation sample": _not_before(rank, self.train, self.valid),
                "every validation sample precedes every test sample": _not_before(rank, self.valid, self.test),
                "every history rating is no later than its target": sum(
                    int((data.time[s.position - 1] > data.time[s.position])[s.n_earlier > 0].sum()) for s in parts
                ),
                "ratings of a user are in time order": int(
                    ((np.diff(data.time) < 0) & (np.diff(data.user) == 0)).sum()
                ),
                "every rating in the graph precedes validation and test": int(
                    (rank[self.graph_ratings] >= rank[held_out].min()).sum()
                ),
            }
        else:
            users = [np.unique(part.user) for part in parts]
            checks["no user has samples in two parts"] = sum(map(len, users)) - len(np.unique(np.concatenate(users)))
        table = pd.DataFrame({"check": checks.keys(), "violations": checks.values()})
        if table.violations.any() and self.protocol == PROTOCOLS["strict"]:
            broken = table[table.violations > 0].iloc[0]
            raise InputError(f"leakage: {broken.check!r} is violated {broken.violations} times; mend the split")
        return table

    def sentence(self) -> str:
        """How samples were made and divided, in words."""
        words = self.data.words
        train, valid, test = (f"{100 * part / sum(self.parts):.3g} %" for part in self.parts)
        if self.data.timed:
            return (
                f"Samples are ordered by time over all users: the first {train} train, the next {valid} validate, the "
                f"last {test} test. A sample needs at least {self.min_history} earlier ratings of its user; all that "
                "are earlier are its history."
            )
        return (
            f"These data have no timestamps. Each {words.user}'s ratings are shuffled with a fixed seed, and the last "
            f"is the target: one sample a {words.user} with at least {self.min_history} other ratings, which are its "
            f"history. {train} of the samples train, {valid} validate, {test} test. *Last K* and *recent* mean places "
            "in the shuffled list, that is, random items."
        )


def _common(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.isin(a, b).sum())


def _not_before(rank: np.ndarray, earlier: Samples, later: Samples) -> int:
    return int((rank[earlier.position] >= rank[later.position].min()).sum())


def split(
    data: Dataset,
    protocol: str | Protocol = "strict",
    min_history: int | None = None,
    parts: tuple[int, int, int] = (8, 1, 1),
    seed: int = 0,
) -> Split:
    """Split chronologically over all users (paper, section 3); data without time, over users.

    Samples are ordered by (time, user, item); the first 8/10 train, the next 1/10 validate, the
    rest tests. Without time the last of each user's shuffled ratings is a sample, and users are
    divided at random. (The released code's BookCrossing has nine tenths for training and none for
    validation; here one of the nine validates.)

    Args:
        protocol: ``strict`` (nothing of the future anywhere), ``released`` (what the released code
            does), or a `Protocol` with some of its switches.
        min_history: a sample needs this many earlier ratings of its user; by default 5, without time 4.
        parts: shares of training, validation and test, whole numbers.
        seed: of the division of users.

    Raises:
        InputError: an unknown protocol, parts that leave one of the three without a sample, or too few samples.
    """
    if not isinstance(protocol, Protocol):
        one_of("protocol", protocol, PROTOCOLS)
        protocol = PROTOCOLS[protocol]
    least = at_least("min_history", (5 if data.timed else 4) if min_history is None else min_history, 1)
    parts, seed = _shares(parts), at_least("seed", seed, 0)
    n_earlier = np.arange(data.n_ratings) - data.start[data.user]
    if data.timed:
        samples = data.by_time[n_earlier[data.by_time] >= least]
    else:
        last = data.start[1:] - 1
        samples = np.random.default_rng(seed).permutation(last[n_earlier[last] >= least])
    if len(samples) < 10:
        raise InputError(f"{data.name}: {len(samples)} samples with {least} earlier ratings; too few to split")
    cuts = np.cumsum([len(samples) * part // sum(parts) for part in parts[:2]])
    train, valid, test = (Samples(data, part) for part in np.split(samples, cuts))
    if not (len(train) and len(valid) and len(test)):
        said = f"{len(train)} to train, {len(valid)} to validate and {len(test)} to test"
        raise InputError(f"{data.name}: of {len(samples)} samples, parts {parts} leave {said}; give each more")
    if data.timed:  # ratings before the first validation sample
        train_ratings = np.flatnonzero(data.rank < data.rank[valid.position[0]])
    else:
        train_ratings = _others(data, samples[cuts[0] :])
    return Split(
        data,
        train,
        valid,
        test.take(np.arange(min(len(test), SCORED))) if protocol.first_rows else test,
        train_ratings,
        _all_but_one(data, seed) if protocol.graph_sees_test else train_ratings,
        test.take(np.arange(min(len(test), CHOSEN_ON))) if protocol.chosen_on_test else valid,
        protocol,
        parts,
        least,
    )


def _shares(parts: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shares of a split, checked."""
    try:
        train, valid, test = (at_least("part", part, 1) for part in parts)
    except (TypeError, ValueError) as e:
        raise InputError(f"parts are {parts!r}; give three whole numbers of at least 1, such as (8, 1, 1)") from e
    return train, valid, test


def _all_but_one(data: Dataset, seed: int) -> np.ndarray:
    """Positions of all ratings but each user's last or, without time, but one at random."""
    n = np.diff(data.start)
    left_out = data.start[1:] - 1
    if not data.timed:
        left_out = data.start[:-1] + np.random.default_rng([seed, 1]).integers(0, np.maximum(n, 1))
    return _others(data, left_out[n > 0])


def _others(data: Dataset, positions: np.ndarray) -> np.ndarray:
    """The positions of all ratings but these, int64, ascending."""
    other = np.ones(data.n_ratings, bool)
    other[positions] = False
    return np.flatnonzero(other)
