"""What the vote knows of items, and what of users alone."""

import numpy as np
import pytest

import rallrec as rr
from rallrec.data.split import Samples
from rallrec.evaluation.metrics import auc
from rallrec.pipeline import Choice
from rallrec.study.permuted import against_permuted, permuted

from .studies import study_of


def test_a_users_ratings_stay_the_users(tiny):
    moved = permuted(tiny, 1)
    assert (moved.rating != tiny.rating).any()
    for u in range(tiny.n_users):
        own = slice(tiny.start[u], tiny.start[u + 1])
        assert sorted(moved.rating[own]) == sorted(tiny.rating[own])
    assert (moved.item == tiny.item).all()
    assert (permuted(tiny, 1).rating == moved.rating).all()
    assert (permuted(tiny, 2).rating != moved.rating).any()


def test_ratings_that_know_no_item_are_as_good_permuted(tiny, tmp_path):
    """With shuffled ratings nothing is lost; with the data's own something is, as its users agree on items."""
    choice, rows = Choice(selector="recent", k=20), {"last": Choice(selector="recent", k=20)}
    nothing = study_of(rr.split(permuted(tiny, 7)), tmp_path)
    row = against_permuted(nothing, rows, repeats=10).iloc[0]
    assert row.difference_low < 0 < row.difference_high
    study = study_of(rr.split(tiny), tmp_path)
    row = against_permuted(study, rows, repeats=3).iloc[0]
    test = study.split.test
    assert row.auc == pytest.approx(auc(test.liked, rr.vote(study.shown(choice, test))))
    others = [Samples(permuted(tiny, seed), test.position) for seed in range(3)]
    null = np.mean([auc(of.liked, rr.vote(rr.select(of, "recent", k=20))) for of in others])
    assert row.permuted == pytest.approx(null)
    assert row.difference == pytest.approx(row.auc - null)
    assert (row.n, row.users) == (len(test), len(np.unique(test.user)))
