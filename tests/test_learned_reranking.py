import numpy as np
import pytest

import rallrec as rr
from rallrec.retrieval.learned import _features, learn_reranker
from rallrec.retrieval.retrieve import Representation


@pytest.fixture(scope="module")
def representations(tiny):
    rng = np.random.default_rng(0)
    return {
        name: Representation(name, (rng.normal(size=(tiny.n_items, 6)).astype(np.float32),))
        for name in ("txt", "text", "colla", "mix3")
    }


@pytest.fixture(scope="module")
def ranker(tiny_split, representations):
    return learn_reranker(tiny_split, representations, k=4, pool=12, n_samples=300)


def test_what_is_shown_is_the_users_own_past(tiny_split, ranker):
    samples = tiny_split.test
    shown = ranker.select(samples, 4)
    assert shown.position.shape == (len(samples), 4)
    assert (shown.real.sum(1) == np.minimum(samples.n_earlier, 4)).all()
    first = samples.position - samples.n_earlier
    inside = (shown.position >= first[:, None]) & (shown.position < samples.position[:, None])
    assert inside[shown.real].all()
    for row, real in zip(shown.position, shown.real, strict=True):
        assert len(set(row[real])) == real.sum()
        assert real[: real.sum()].all()  # padding at the end


def test_the_likeliest_to_agree_is_last(tiny_split, ranker):
    more, fewer = ranker.select(tiny_split.test, 6), ranker.select(tiny_split.test, 2)
    full = (more.real.sum(1) == 6) & (fewer.real.sum(1) == 2)
    assert full.any()
    assert (more.position[full, -2:] == fewer.position[full]).all()
    assert (ranker.select(tiny_split.test, 20).real.sum(1) == np.minimum(tiny_split.test.n_earlier, 12)).all()  # pool


def test_ratings_are_not_read(tiny_split, representations):
    """Neither the target's, which would be the answer, nor the candidates'."""
    from dataclasses import replace

    shown = rr.retrieve(tiny_split.test, representations["mix3"], 5)
    x = _features(tiny_split, shown, representations)
    rating = tiny_split.data.rating.copy()
    rating[np.setdiff1d(np.arange(len(rating)), tiny_split.train_ratings)] = 1
    other = rr.split(replace(tiny_split.data, rating=rating))
    y = _features(other, rr.retrieval.retrieve.Shown(other.test, shown.position), representations)
    assert x.equals(y)


def test_importance_and_ndcg(ranker):
    assert 0 < ranker.ndcg <= 1
    assert (ranker.importance.diff().dropna() <= 0).all()
    assert "similarity, colla" in ranker.importance
