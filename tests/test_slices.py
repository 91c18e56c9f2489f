import numpy as np
import pandas as pd
import pytest

from rallrec.evaluation.later_likes import find, later_likes, unseen
from rallrec.evaluation.metrics import auc
from rallrec.evaluation.slices import by_slice, slices


def test_slices_divide_the_samples(tiny_split):
    test = tiny_split.test
    parts = slices(tiny_split, test)
    for what in ("item's ratings", "history"):
        own = np.stack([mask for name, mask in parts.items() if name.startswith(what)])
        assert parts["all"].all()
        assert (own.sum(0) == 1).all()
    assert f"history: {test.n_earlier.min()} to 20" in parts
    part = slices(tiny_split, test.take(test.n_earlier > 8))
    assert list(part) == list(parts)  # a part of the samples has the same slices
    raters = np.bincount(test.data.item[tiny_split.train_ratings], minlength=test.data.n_items)
    assert (raters[test.item[parts["item's ratings: 6 to 50"]]] >= 6).all()


def test_slices_are_judged_like_the_whole(tiny_split):
    test = tiny_split.test
    rng = np.random.default_rng(0)
    p = {"a": rng.random(len(test)), "b": rng.random(len(test))}
    most = np.arange(len(test)) % 5 > 0
    table = by_slice({"all": np.ones(len(test), bool), "most": most, "few": np.arange(len(test)) < 5}, test, p, "a")
    assert table.slice.tolist() == ["all", "all", "most", "most"]
    row = table[(table.slice == "most") & (table.method == "b")].iloc[0]
    a, b = (auc(test.liked[most], p[m][most]) for m in "ab")
    assert (row.auc, row.difference) == (pytest.approx(b), pytest.approx(b - a))
    assert row.difference_low < row.difference < row.difference_high
    assert row.users == len(np.unique(test.user[most]))
    assert (table.adjusted_p[[1, 3]] >= table.difference_p[[1, 3]]).all()
    none = by_slice({"few": np.arange(len(test)) < 5}, test, p, "a")
    assert list(none) == list(table)
    assert not len(none)


def test_later_likes_and_their_retrieval(tiny, tiny_split):
    past, later, users = later_likes(tiny_split)
    for n in (0, len(users) - 1):
        mine = tiny_split.test.position[(tiny_split.test.user == users[n]) & tiny_split.test.liked]
        assert sorted(later[n]) == sorted(tiny.item[mine])
        seen = tiny_split.train_ratings[tiny.user[tiny_split.train_ratings] == users[n]]
        assert sorted(past[n]) == sorted(tiny.item[seen[tiny.liked[seen]]])
    # an embedding that knows who likes what later finds it
    oracle = np.zeros((tiny.n_items, len(users)), np.float32)
    for n in range(len(users)):
        oracle[np.union1d(past[n], later[n]), n] = 1
    table = find(tiny_split, {"oracle": oracle}, cuts=(5, 10)).query("popularity == 'all items' and cut == 10")
    oracle_row, chance = (table[table.representation == r].iloc[0] for r in ("oracle", "chance"))
    assert 0 < chance.recall < oracle_row.recall <= 1
    assert chance.ndcg < oracle_row.ndcg <= 1


def test_what_is_said_of_items_without_a_training_rating():
    rows = [("chance", 0.2, 0.2, 0.2), ("title", 0.4, 0.3, 0.5), ("text", 0.3, 0.1, 0.5), ("colla", 0.1, 0.0, 0.15)]
    found = pd.DataFrame(rows, columns=["representation", "recall", "recall_low", "recall_high"])
    found = found.assign(popularity="no training rating", cut=10, users=38)
    assert unseen(found) == (
        "**Conclusion.** For items without a training rating, title is above chance; colla is below chance; text is "
        "not told from chance (recall@10 of 38 users, 95 % intervals; chance 0.200)."
    )
    assert unseen(found[:0]).startswith("Nothing is measured of items without a training rating")
