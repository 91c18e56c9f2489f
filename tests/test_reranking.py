"""Selectors against cases worked out by hand, and the paper's reranker against a plain loop (paper, section 2.4)."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rallrec as rr
from rallrec.data.dataset import build
from rallrec.data.split import Samples
from rallrec.retrieval import learned  # noqa: F401 - registers its selector
from rallrec.retrieval.selectors import ALPHA, BOTH, ORDERS, released, two_channels


def one_user(n: int, similar: list[int], alone: bool = False, timed: bool = True):
    """A user with n ratings in a row and a target; item i is the similar[i]-th most similar to the target.

    Another user has 20 ratings of other items, so that there are longer histories, unless ``alone``. Without
    timestamps the ratings, and with them the target, are in another order.
    """
    more = 0 if alone else 20
    ids = np.arange(n + 1 + more)
    data = build(
        "one",
        pd.DataFrame({"user_id": (ids > n).astype(int), "item_id": ids, "rating": 3, "time": ids}),
        pd.DataFrame({"item_id": ids, "title": [f"t{i}" for i in ids]}),
        pd.DataFrame({"user_id": [0, 1]}),
        timed=timed,
    )
    angle = np.array([*similar, -1, *[0] * more]) * 0.1 + 0.1
    angle += 0.003 * angle**2  # nowhere are two as far from a third
    return Samples(data, np.array([n])), np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


# ten ratings 0 (oldest) to 9 (newest); most similar first: 3 1 8 0 6 9 2 7 4 5
TEN = one_user(10, [3, 1, 6, 0, 8, 9, 4, 7, 2, 5])


@pytest.mark.parametrize(
    ("selector", "k", "shown"),
    [
        ("high", 6, [3, 1, 8, 0, 6, 9]),
        ("sequential", 6, [0, 1, 3, 6, 8, 9]),
        ("recent", 6, [4, 5, 6, 7, 8, 9]),
        # alpha 2/3, {3 1 8} and {9 8 7}: 3 has 2/3, 8 has 2/9 + 1/6, 1 and 9 have 1/3, of which 9 is newer, 7 has 1/9
        ("rerank", 3, [3, 8, 9]),
        ("rerank", 2, [3, 9]),  # {3 1} and {9 8}: 2/3, 1/3; 1/3, 1/6
        ("rerank", 1, [3]),
        # kept: the newest floor(2*6/3) = 4 of {3 1 8 0 6 9}, newest first; then the last two others, oldest first
        ("released", 6, [9, 8, 6, 3, 5, 7]),
        ("released", 3, [8, 3, 9]),  # of {3 1 8} the newest 2; then 9
        ("released", 5, [8, 6, 3, 7, 9]),  # floor(10/3) = 3 of {3 1 8 0 6}; then 7 9
        ("released", 1, [9]),  # floor(2/3) = 0 kept: the most recent
        ("high", 1, [3]),
        ("released", 2, [3, 9]),  # floor(4/3) = 1 of {3 1}: 3; then 9
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
        ("rerank", [0, 1, 2, 3, 4, -1, -1, -1]),
        ("released", [4, 3, 2, 1, 0, -1, -1, -1]),  # floor(16/3) = 5: all of them, newest first
    ],
)
def test_history_shorter_than_k(selector, shown):
    samples, items = one_user(5, [2, 1, 3, 0, 4])
    assert rr.select(samples, selector, items, 8).position[0].tolist() == shown


def test_short_history_with_room_for_recent_ones():
    samples, items = one_user(5, [2, 1, 3, 0, 4])
    assert rr.select(samples, "released", items, 6).position[0].tolist() == [4, 3, 2, 1, 0, -1]  # keeps 4, adds 0


def test_share_of_recent_items():
    samples, items = TEN
    assert rr.select(samples, "released", items, 6, recent=0).position[0].tolist() == [9, 8, 6, 3, 1, 0]
    assert rr.select(samples, "released", items, 6, recent=1).position[0].tolist() == [4, 5, 6, 7, 8, 9]
    with pytest.raises(rr.InputError, match=r"recent is 1\.2; it must be a number of at least 0 and at most 1"):
        released(rr.retrieve(samples, items, 3), 1.2)


# --- the paper's two channels -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (dict(order="best first"), [3, 8, 9]),  # 2/3, 2/9 + 1/6, 1/3
        (dict(order="best last"), [9, 8, 3]),
        (dict(both="max"), [1, 3, 9]),  # 8 has 2/9 only
        (dict(alpha=1 / 2, order="best first"), [9, 3, 8]),  # 1/2 and 1/2, 1/6 + 1/4
        (dict(alpha=4 / 5, order="best first"), [3, 1, 8]),  # 4/5, 4/10, 4/15 + 1/10
        (dict(alpha=1, order="best first"), [3, 1, 8]),
        (dict(alpha=0, order="best first"), [9, 8, 7]),
        (dict(beta=2, order="best first"), [3, 9, 1]),  # 2/3, 1/3, 2/12; 8 has 2/27 + 1/12
        (dict(beta=0.5, order="best first"), [3, 8, 1]),  # 2/3, 2/(3 sqrt 3) + 1/(3 sqrt 2), 2/(3 sqrt 2)
    ],
)
def test_two_channels_by_hand(options, shown):
    """K = 3, of which {3 1 8} are the most similar and {9 8 7} the most recent."""
    samples, items = TEN
    assert rr.rerank(samples, items, 3, **options).position[0].tolist() == shown
    assert rr.select(samples, "rerank", items, 3, **options).position[0].tolist() == shown
    assert two_channels(rr.retrieve(samples, items, 3), **options).position[0].tolist() == shown


def plain_loop(similar: list[int], recent: list[int], alpha: Fraction, beta: int, both: str, order: str, k: int):
    """The paper's reranker, one history at a time; positions of a longer history are higher the newer they are.

    Args:
        similar: the K most similar, the most similar first. recent: the K most recent, the newest first.
    """
    scores = {}
    for channel, weight in ((similar, alpha), (recent, 1 - alpha)):
        for rank, position in enumerate(channel, 1):
            scores.setdefault(position, []).append(weight / rank**beta)
    of = {position: sum(each) if both == "sum" else max(each) for position, each in scores.items()}
    best = sorted(of, key=lambda position: (of[position], position), reverse=True)[:k]
    return {"time": sorted(best), "best first": best, "best last": best[::-1]}[order]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 14),
    k=st.integers(1, 18),
    alpha=st.sampled_from([Fraction(0), Fraction(1, 3), *map(Fraction, ("1/2", "2/3", "4/5", "1/7")), Fraction(1)]),
    beta=st.sampled_from([1, 2]),
    both=st.sampled_from(BOTH),
    order=st.sampled_from(ORDERS),
    alone=st.booleans(),
    timed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_two_channels_are_a_plain_loop(n, k, alpha, beta, both, order, alone, timed, seed):
    ranks = np.random.default_rng(seed).permutation(n).tolist()
    samples, items = one_user(n, ranks, alone, timed)
    target, data = int(samples.position[0]), samples.data
    history = range(target)
    angles = np.arctan2(items[:, 1], items[:, 0])
    off = [abs(float(angles[data.item[p]] - angles[data.item[target]])) for p in history]
    similar = sorted(history, key=lambda p: (round(np.cos(off[p]) * 2**20), p), reverse=True)[:k]
    shown = rr.rerank(samples, items, k, float(alpha), beta=beta, both=both, order=order).position[0].tolist()
    assert shown[: min(n, k)] == plain_loop(similar, list(history)[::-1][:k], alpha, beta, both, order, k)
    assert set(shown[min(n, k) :]) <= {-1}


@pytest.mark.parametrize("k", [1, 5, 60])
@pytest.mark.parametrize("both", BOTH)
@pytest.mark.parametrize("order", ORDERS)
def test_many_samples_at_once_are_a_plain_loop(tiny_split, embedding, k, both, order):
    test = tiny_split.test
    similar = rr.retrieve(test, embedding, k)
    recent = rr.select(test, "recent", k=k)
    for alpha in map(Fraction, ("1/2", "2/3", "4/5")):
        shown = two_channels(similar, float(alpha), both=both, order=order)
        for row, near, last in zip(shown.position, similar.position, recent.position, strict=True):
            channels = near[near >= 0].tolist(), last[last >= 0][::-1].tolist()
            assert row[row >= 0].tolist() == plain_loop(*channels, alpha, 1, both, order, k)


@pytest.mark.parametrize("k", [1, 4, 60])
@pytest.mark.parametrize("both", BOTH)
def test_alpha_goes_from_the_most_recent_to_the_most_similar(tiny_split, embedding, k, both):
    test = tiny_split.test
    similar, recent = rr.rerank(test, embedding, k, 1, both=both), rr.rerank(test, embedding, k, 0, both=both)
    assert (similar.position == rr.select(test, "sequential", embedding, k).position).all()
    assert (recent.position == rr.select(test, "recent", k=k).position).all()
    best_first = rr.rerank(test, embedding, k, 1, both=both, order="best first").position
    assert (best_first == rr.select(test, "high", embedding, k).position).all()


def test_without_a_study_alpha_is_two_thirds(tiny_split, embedding):
    """With one, validation decides: see `Study.best_alpha`."""
    shown = rr.select(tiny_split.test, "rerank", embedding, 5)
    assert ALPHA == 2 / 3
    assert (shown.position == rr.rerank(tiny_split.test, embedding, 5, 2 / 3).position).all()
    assert (shown.position != rr.rerank(tiny_split.test, embedding, 5, 1 / 2).position).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(alpha=1.2), "alpha is 1.2; it must be a number of at least 0 and at most 1"),
        (dict(beta=0), "beta is 0; it must be a number above 0"),
        (dict(both="mean"), "both is 'mean'; it must be one of: sum, max"),
        (dict(order="random"), "order is 'random'; it must be one of: time, best first, best last"),
    ],
)
def test_what_the_channels_can_not_be(options, said):
    with pytest.raises(rr.InputError, match=said):
        rr.rerank(*TEN, 3, **options)


@pytest.mark.parametrize("k", [1, 2, 3, 10, 30, 50])
@pytest.mark.parametrize("selector", ["rerank", "released"])
def test_k_distinct_items_of_the_history_are_shown(tiny_split, embedding, selector, k):
    test = tiny_split.test
    shown = rr.select(test, selector, embedding, k)
    for position, row, n in zip(test.position, shown.position, test.n_earlier, strict=True):
        real = row[row >= 0]
        assert len(set(real)) == len(real) == min(k, n)
        assert ((real < position) & (real >= position - n)).all()
        assert (row[len(real) :] == -1).all()


@pytest.mark.parametrize("selector", ["high", "sequential", "recent", "rerank", "released"])
@pytest.mark.parametrize("k", [6, 7, 8, 19, 10_000])
def test_k_beyond_the_longest_history_shows_the_same_without_padding(selector, k):
    similar = [2, 1, 3, 0, 4]
    (samples, items), (alone, its) = one_user(5, similar), one_user(5, similar, alone=True)
    padded, shown = rr.select(samples, selector, items, k).position, rr.select(alone, selector, its, k).position
    assert shown.tolist() == padded[:, :5].tolist()
    assert padded.shape[1] == min(k, 19)
    assert (padded[:, 5:] == -1).all()


def test_unknown_selector_and_missing_representation(tiny_split):
    with pytest.raises(rr.InputError, match="'best'; it must be one of: recent, high, sequential, rerank, released"):
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
