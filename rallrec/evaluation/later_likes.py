"""Retrieval from the whole catalogue: does an embedding find what its users like later?

Independent of any reader, and the one place where items without a single training rating can be
judged: for them a collaborative embedding knows nothing and a text must speak.
"""

import numpy as np
import pandas as pd

from ..data.split import Split
from .claims import CHANCE, against_chance
from .metrics import RESAMPLES, columns, estimate, recalls
from .resampling import resampled_users

CUTS = (10, 50)
POPULARITY = {"all items": (0, np.inf), "no training rating": (0, 0), "1 to 20": (1, 20), "21 to 100": (21, 100)}
POPULARITY |= {"over 100": (101, np.inf)}


def later_likes(split: Split) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Users with likes both in training and in the test period: the items of the former, of the latter, the users."""
    data = split.data
    seen = split.train_ratings[data.liked[split.train_ratings]]
    later = split.test.position[split.test.liked]
    users = np.intersect1d(data.user[seen], data.user[later])
    return [_items(data, seen, users), _items(data, later, users)] + [users]


def _items(data, positions: np.ndarray, users: np.ndarray) -> list[np.ndarray]:
    """For each of ``users`` the items at ``positions``, which are in order of users."""
    positions = np.sort(positions)
    first, end = (np.searchsorted(data.user[positions], users, side) for side in ("left", "right"))
    return [data.item[positions[a:b]] for a, b in zip(first, end, strict=True)]


def _table(of_users: list[np.ndarray], n_items: int) -> np.ndarray:
    """Whether an item is among a user's, bool [n_users, n_items]."""
    table = np.zeros((len(of_users), n_items), bool)
    for row, items in zip(table, of_users, strict=True):
        row[items] = True
    return table


def find(split: Split, representations: dict[str, np.ndarray], cuts: tuple[int, ...] = CUTS) -> pd.DataFrame:
    """Recall and NDCG at each of ``cuts`` of the test period's likes, by popularity of the item.

    A user's query is the mean of the unit embeddings of all training likes. Candidates are the items of
    one slice of popularity that the user has not rated in training, so that slices can be compared with chance.

    Args:
        representations: [n_items, d] each.

    Returns:
        Columns ``representation`` (``chance`` is the expectation of a random order), ``popularity``, ``cut``,
        ``recall`` and ``ndcg`` with ``_low`` and ``_high`` (95 %, users resampled), ``users``. A slice without a later
        like, or with fewer items than twice a cut, has no row: there may be none at all.
    """
    data = split.data
    past, later, users = later_likes(split)
    raters = np.bincount(data.item[split.train_ratings], minlength=data.n_items)
    liked, rated = (_table(items, data.n_items) for items in (later, _items(data, split.train_ratings, users)))
    scores = {name: _scores(x, past) for name, x in representations.items()}
    rows = []
    for popularity, (low, high) in POPULARITY.items():
        inside = np.flatnonzero((raters >= low) & (raters <= high))
        some = liked[:, inside].any(1)
        sensible = tuple(cut for cut in cuts if len(inside) >= 2 * cut)  # half of the candidates is no retrieval
        if not sensible or not some.any():
            continue
        of = np.ix_(some, inside)
        wanted, candidate = liked[of], ~rated[of]
        found = {"chance": _by_chance(candidate.sum(1), wanted.sum(1), sensible)}
        for name, score in scores.items():
            found[name] = _at_cuts(np.where(candidate, score[of], -np.inf), wanted, sensible)
        rows += [
            dict(representation=name, popularity=popularity, cut=cut, **at, users=int(some.sum()))
            for name, at_cuts in found.items()
            for cut, at in at_cuts.items()
        ]
    measured = [f"{metric}{end}" for metric in ("recall", "ndcg") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["representation", "popularity", "cut", *measured, "users"])


def _scores(x: np.ndarray, past: list[np.ndarray]) -> np.ndarray:
    """Cosine of each user's mean of liked items with each item, float32 [n_users, n_items]."""
    x = x - x.mean(0)  # text embeddings share one large component, which says nothing
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    means = [unit[items].mean(0) for items in past]
    return np.stack(means) @ unit.T if means else np.zeros((0, len(x)), x.dtype)


def _at_cuts(score: np.ndarray, wanted: np.ndarray, cuts: tuple[int, ...]) -> dict[int, dict[str, float]]:
    """Recall and NDCG at each cut, means over users with their intervals, as columns of a table."""
    order = _highest(score, max(cuts))
    hit = np.take_along_axis(wanted, order, 1)
    gain = _gain(max(cuts))
    best, n = np.cumsum(gain), wanted.sum(1)
    return {
        cut: _mean("recall", recalls(order[:, :cut], wanted))
        | _mean("ndcg", (hit[:, :cut] * gain[:cut]).sum(1) / best[np.minimum(n, cut) - 1])
        for cut in cuts
    }


def _highest(score: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k highest scores of each row, the highest first; of equal ones the first. int64 [n, k]."""
    least = np.partition(score, score.shape[1] - k, axis=1)[:, -k, None]
    above, equal = score > least, score == least
    taken = above | equal & (np.cumsum(equal, axis=1) <= k - above.sum(1, keepdims=True))
    columns = np.nonzero(taken)[1].reshape(-1, k)
    order = np.argsort(-np.take_along_axis(score, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)


def _gain(n: int) -> np.ndarray:
    """What a hit at each of the first n ranks weighs in NDCG."""
    return 1 / np.log2(np.arange(n) + 2)


def _by_chance(candidates: np.ndarray, likes: np.ndarray, cuts: tuple[int, ...]) -> dict[int, dict[str, float]]:
    """What `_at_cuts` gives in expectation for a random order; candidates and likes of each user, [n_users]."""
    share, best = likes / candidates, np.cumsum(_gain(max(cuts)))
    return {
        cut: _mean("recall", share * np.minimum(cut, candidates) / np.minimum(cut, likes))
        | _mean("ndcg", share * best[np.minimum(cut, candidates) - 1] / best[np.minimum(cut, likes) - 1])
        for cut in cuts
    }


def _mean(name: str, of_users: np.ndarray) -> dict[str, float]:
    """The mean over users with its interval, as columns of a table."""
    drawn = resampled_users(np.arange(len(of_users)), RESAMPLES, 0)[1]
    means = np.concatenate([[of_users.mean()], drawn[1:] @ of_users / len(of_users)])
    return columns(name, estimate(means, len(of_users)))


def unseen(found: pd.DataFrame) -> str:
    """What is found of items without a training rating at the smallest cut: which representations are above chance."""
    at = found[(found["cut"] == found["cut"].min()) & (found["popularity"] == "no training rating")]
    if not len(at):
        return "Nothing is measured of items without a training rating: too few of them, or none among the later likes."
    chance = at.loc[at["representation"] == "chance", "recall"].iloc[0]
    others = at[at["representation"] != "chance"]
    told = {row.representation: against_chance(row.recall_low, row.recall_high, chance) for row in others.itertuples()}
    named = {word: [name for name in told if told[name] == word] for word in CHANCE.values()}
    parts = [f"{', '.join(of)} {'is' if len(of) == 1 else 'are'} {word}" for word, of in named.items() if of]
    return (
        f"**Conclusion.** For items without a training rating, {'; '.join(parts)} (recall@{at['cut'].iloc[0]} of "
        f"{at['users'].iloc[0]:,} users, 95 % intervals; chance {chance:.3f})."
    )


def for_reading(found: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Recall at the smallest cut for reading: a line a slice of popularity, a column a representation; what it is.

    The other cut, NDCG and the intervals are in the table of `find`.
    """
    if not len(found):
        return pd.DataFrame({"popularity": []}), "No user has likes in both periods."
    at = found[found["cut"] == found["cut"].min()]
    wide = at.pivot_table(index=["popularity", "users"], columns="representation", values="recall", sort=False)
    return wide.rename_axis(None, axis=1).reset_index(), f"recall@{at['cut'].iloc[0]}, by the items' training ratings."
