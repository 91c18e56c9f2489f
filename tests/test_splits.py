from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr


def test_parts_are_eight_one_one_in_time_order(tiny, tiny_split):
    sizes = [len(p) for p in (tiny_split.train, tiny_split.valid, tiny_split.test)]
    n = sum(sizes)
    assert sizes[:2] == [n * 8 // 10, n // 10]
    assert n == np.maximum(np.diff(tiny.start) - 5, 0).sum()
    assert tiny.time[tiny_split.train.position].max() <= tiny.time[tiny_split.valid.position].min()
    assert tiny.time[tiny_split.valid.position].max() <= tiny.time[tiny_split.test.position].min()


def test_no_future_rating_in_any_history(tiny, tiny_split):
    for part in (tiny_split.train, tiny_split.valid, tiny_split.test):
        for position, n in zip(part.position, part.n_earlier, strict=True):
            history = slice(position - n, position)
            assert n >= 5
            assert (tiny.user[history] == tiny.user[position]).all()
            assert (tiny.time[history] <= tiny.time[position]).all()
            assert tiny.item[position] not in tiny.item[history]


def test_history_is_all_that_came_before(tiny, tiny_split):
    sample = tiny_split.test.take(np.array([3]))
    mine = (tiny.user == sample.user[0]) & (np.arange(tiny.n_ratings) < sample.position[0])
    assert sample.n_earlier[0] == mine.sum()


def test_training_ratings_precede_validation(tiny, tiny_split):
    seen, border = tiny_split.train_ratings, tiny.time[tiny_split.valid.position].min()
    assert np.isin(tiny_split.train.position, seen).all()
    assert (tiny.time[seen] <= border).all()
    assert not np.isin(tiny_split.test.position, seen).any()


def test_certificate_is_clean_and_notices_a_leak(tiny_split):
    assert not tiny_split.certificate().violations.any()
    leaking = replace(tiny_split, train_ratings=np.append(tiny_split.train_ratings, tiny_split.test.position[0]))
    with pytest.raises(rr.InputError, match="no target of validation or test is in the graph"):
        leaking.certificate()
    swapped = replace(tiny_split, train=tiny_split.test, test=tiny_split.train)
    with pytest.raises(rr.InputError, match="leakage"):
        swapped.certificate()


def test_a_draw_is_paired_and_repeatable(tiny_split):
    rows = tiny_split.test.draw(20, seed=1)
    assert (rows == tiny_split.test.draw(20, seed=1)).all()
    assert set(tiny_split.test.draw(10, seed=1)) < set(rows)
    assert len(tiny_split.test.draw(10**6)) == len(tiny_split.test)


def test_unknown_protocol(tiny):
    with pytest.raises(rr.InputError, match="'loose'; it must be one of: strict"):
        rr.split(tiny, "loose")
