"""Selectors against cases worked out by hand from the rule (paper, section 2)."""

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.data.dataset import build
from rallrec.data.split import Samples


def one_user(n: int, similar: list[int], alone: bool = False):
    """A user with n ratings in a row and a target; item i is the similar[i]-th most similar to the target.

    Another user has 20 ratings of other items, so that there are longer histories, unless ``alone``.
    """
    more = 0 if alone else 20
    ids = np.arange(n + 1 + more)
    data = build(
        "one",
        pd.DataFrame({"user_id": (ids > n).astype(int), "item_id": ids, "rating": 3, "time": ids}),
        pd.DataFrame({"item_id": ids, "title": [f"t{i}" for i in ids]}),
        pd.DataFrame({"user_id": [0, 1]}),
    )
    angle = np.array([*similar, -1, *[0] * more]) * 0.1 + 0.1
    return Samples(data, np.array([n])), np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


# ten ratings 0 (oldest) to 9 (newest); most similar first: 3 1 8 0 6 9 2 7 4 5
TEN = one_user(10, [3, 1, 6, 0, 8, 9, 4, 7, 2, 5])


@pytest.mark.parametrize(
    ("selector", "k", "shown"),
    [
        ("high", 6, [3, 1, 8, 0, 6, 9]),
        ("sequential", 6, [0, 1, 3, 6, 8, 9]),
        ("recent", 6, [4, 5, 6, 7, 8, 9]),
        # kept: the newest floor(2*6/3) = 4 of {3 1 8 0 6 9}, newest first; then the last two others, oldest first
        ("rerank", 6, [9, 8, 6, 3, 5, 7]),
        ("rerank", 3, [8, 3, 9]),  # of {3 1 8} the newest 2; then 9
        ("rerank", 5, [8, 6, 3, 7, 9]),  # floor(10/3) = 3 of {3 1 8 0 6}; then 7 9
        ("rerank", 1, [9]),  # floor(2/3) = 0 kept: the most recent
        ("high", 1, [3]),
        ("rerank", 2, [3, 9]),  # floor(4/3) = 1 of {3 1}: 3; then 9
    ],
)
def test_by_hand(selector, k, shown):
    assert rr.select(*TEN[:1], selector, TEN[1], k).position[0].tolist() == shown


@pytest.mark.parametrize(
    ("selector", "shown"),
    [
        ("high", [3, 1, 0, 2, 4, -1, -1, -1]),
        ("sequential", [0, 1, 2, 3, 4, -1, -1, -1]),
        ("recent", [0, 1, 2, 3, 4, -1, -1, -1]),
        ("rerank", [4, 3, 2, 1, 0, -1, -1, -1]),  # floor(16/3) = 5: all of them, newest first
    ],
)
def test_history_shorter_than_k(selector, shown):
    samples, items = one_user(5, [2, 1, 3, 0, 4])
    assert rr.select(samples, selector, items, 8).position[0].tolist() == shown


def test_short_history_with_room_for_recent_ones():
    samples, items = one_user(5, [2, 1, 3, 0, 4])
    assert rr.select(samples, "rerank", items, 6).position[0].tolist() == [4, 3, 2, 1, 0, -1]  # keeps 4, adds 0


def test_share_of_recent_items():
    samples, items = TEN
    assert rr.select(samples, "rerank", items, 6, recent=0).position[0].tolist() == [9, 8, 6, 3, 1, 0]
    assert rr.select(samples, "rerank", items, 6, recent=1).position[0].tolist() == [4, 5, 6, 7, 8, 9]
    with pytest.raises(rr.InputError, match="at least 0 and at most 1"):
        rr.rerank(rr.retrieve(samples, items, 3), 1.2)


@pytest.mark.parametrize("k", [1, 2, 3, 10, 30, 50])
def test_rerank_shows_k_distinct_items_of_the_history(tiny_split, embedding, k):
    test = tiny_split.test
    shown = rr.select(test, "rerank", embedding, k)
    for position, row, n in zip(test.position, shown.position, test.n_earlier, strict=True):
        real = row[row >= 0]
        assert len(set(real)) == len(real) == min(k, n)
        assert ((real < position) & (real >= position - n)).all()
        assert (row[len(real) :] == -1).all()


@pytest.mark.parametrize("selector", ["high", "sequential", "recent", "rerank"])
@pytest.mark.parametrize("k", [6, 7, 8, 19, 10_000])
def test_k_beyond_the_longest_history_shows_the_same_without_padding(selector, k):
    similar = [2, 1, 3, 0, 4]
    (samples, items), (alone, its) = one_user(5, similar), one_user(5, similar, alone=True)
    padded, shown = rr.select(samples, selector, items, k).position, rr.select(alone, selector, its, k).position
    assert shown.tolist() == padded[:, :5].tolist()
    assert padded.shape[1] == min(k, 19)
    assert (padded[:, 5:] == -1).all()


def test_unknown_selector_and_missing_representation(tiny_split):
    with pytest.raises(rr.InputError, match="'best'; it must be one of: recent, high, sequential, rerank, learned"):
        rr.select(tiny_split.test, "best")
    with pytest.raises(rr.InputError, match="needs a representation"):
        rr.select(tiny_split.test, "high")
    with pytest.raises(rr.InputError, match="'high' takes no 'recent'"):
        rr.select(tiny_split.test, "high", np.ones((80, 2), np.float32), 3, recent=0.5)
    with pytest.raises(rr.InputError, match="'learned' is fitted to a study"):
        rr.select(tiny_split.test, "learned", np.ones((80, 2), np.float32))


def test_a_fitted_selector_has_its_own_representations(tiny_split, embedding):
    class Fitted:
        def select(self, samples, k):
            return rr.select(samples, "recent", k=k)

    assert rr.select(tiny_split.test, Fitted(), k=4).k == 4
    with pytest.raises(rr.InputError, match="leave out items and options"):
        rr.select(tiny_split.test, Fitted(), embedding, 4)
