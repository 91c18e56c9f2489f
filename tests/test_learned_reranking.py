from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.data.split import Samples
from rallrec.evaluation.metrics import auc
from rallrec.infra.cache import Cache
from rallrec.retrieval import learned
from rallrec.retrieval.learned import _candidates, _features, _names, learn_reranker
from rallrec.retrieval.retrieve import Representation, Shown

POOL = 12


@pytest.fixture(scope="module")
def compared(tiny):
    """The genre, by which tastes are planted, and noise."""
    noise = np.random.default_rng(0).normal(size=(tiny.n_items, 6)).astype(np.float32)
    genre = pd.get_dummies(tiny.items.genres).to_numpy(np.float32)
    return {"noise": Representation("noise", (noise,)), "genre": Representation("genre", (genre,))}


@pytest.fixture(scope="module")
def ranker(tiny_split, compared):
    """Candidates are proposed at random: what is shown is the ranker's own merit."""
    return learn_reranker(tiny_split, compared["noise"], compared, k=4, pool=POOL)


def agreement(shown: Shown) -> np.ndarray:
    """Share of what is shown of each sample that the user liked or disliked as the target, float64 [n_samples]."""
    agrees = (shown.liked == shown.samples.liked[:, None]) & shown.real
    return agrees.sum(1) / shown.real.sum(1)


def test_what_is_shown_is_the_users_own_past(tiny_split, ranker):
    """Each candidate at most once, never the target or what came after it."""
    samples = tiny_split.test
    for k in (1, 4, POOL, 20):
        shown = ranker.select(samples, k)
        assert shown.position.shape == (len(samples), k)
        assert (shown.real.sum(1) == np.minimum(samples.n_earlier, min(k, POOL))).all()
        first = samples.position - samples.n_earlier
        inside = (shown.position >= first[:, None]) & (shown.position < samples.position[:, None])
        assert inside[shown.real].all()
        candidates = _candidates(samples, ranker.proposes, POOL).position
        for row, real, allowed in zip(shown.position, shown.real, candidates, strict=True):
            assert len(set(row[real])) == real.sum()
            assert real[: real.sum()].all()  # padding at the end
            assert np.isin(row[real], allowed).all()


@pytest.mark.parametrize("feature", ["similarity, genre", "recency: ratings since", "item's mean rating"])
def test_the_models_word_is_the_order(tiny_split, compared, ranker, feature):
    """With a model that only looks at one feature, its highest values are shown, the highest last."""
    candidates = _candidates(tiny_split.test, ranker.proposes, POOL)
    features, column = _features(tiny_split, candidates, compared), _names(tiny_split, compared).index(feature)
    simple = replace(ranker, model=SimpleNamespace(predict=lambda x: x[:, column]), _ranked={})
    shown = simple.select(tiny_split.test, 4)
    values = np.full(shown.position.shape, np.nan)
    values[shown.real] = _features(tiny_split, shown, compared)[:, column]
    assert not (np.diff(values, axis=1) < 0).any()  # rising to the last
    every = np.full(candidates.position.shape, -np.inf)
    every[candidates.real] = features[:, column]
    best = np.sort(every, axis=1)[:, -4:]
    full = shown.real.all(1)
    assert full.sum() > 100
    assert (values[full] == best[full]).all()


def test_it_ranks_by_the_model_that_was_fitted(tiny_split, compared, ranker):
    shown = ranker.select(tiny_split.test, POOL)
    score = np.full(shown.position.shape, np.inf)
    score[shown.real] = ranker.model.predict(_features(tiny_split, shown, compared))
    assert (np.diff(np.where(shown.real, score, np.inf), axis=1)[shown.real[:, 1:]] >= 0).all()
    assert len(np.unique(score)) > POOL


def test_it_comes_out_of_the_cache_as_it_was_fitted(tiny_split, compared, tmp_path, monkeypatch):
    cache, settings = Cache(tmp_path / "cache"), dict(k=4, pool=POOL)
    fitted = learn_reranker(tiny_split, compared["noise"], compared, **settings, cache=cache)
    other = learn_reranker(tiny_split, compared["noise"], compared, **settings | dict(k=3), cache=cache)
    assert other.ndcg != fitted.ndcg
    monkeypatch.setattr(learned, "_fit", lambda *a: pytest.fail("fitted again"))
    again = learn_reranker(tiny_split, compared["noise"], compared, **settings, cache=cache)
    assert again.importance.equals(fitted.importance)
    assert again.ndcg == fitted.ndcg
    shown = [r.select(tiny_split.test, 4).position for r in (fitted, again)]
    assert (shown[0] == shown[1]).all()
    moved = compared | {"genre": Representation("genre", (compared["genre"].parts[0] + 1,))}
    with pytest.raises(pytest.fail.Exception, match="fitted again"):  # other features
        learn_reranker(tiny_split, compared["noise"], moved, **settings, cache=cache)


def test_a_near_tie_goes_to_the_newer_rating(tiny_split, ranker):
    noise = np.random.default_rng(0)
    model = SimpleNamespace(predict=lambda x: 0.3 + noise.normal(size=len(x)) * 1e-12)
    shown = replace(ranker, model=model, _ranked={}).select(tiny_split.test, POOL)
    later = np.diff(shown.position, axis=1)[shown.real[:, 1:]]
    assert (later > 0).all()  # the best, which goes last, is the newest


def test_fewer_are_the_last_of_more(tiny_split, ranker):
    more, fewer = ranker.select(tiny_split.test, 6), ranker.select(tiny_split.test, 2)
    full = (more.real.sum(1) == 6) & (fewer.real.sum(1) == 2)
    assert full.any()
    assert (more.position[full, -2:] == fewer.position[full]).all()


def test_what_is_kept_of_a_ranking_changes_nothing(tiny_split, ranker):
    """Rankings are kept for some sets of samples; others push them out."""
    asked = [tiny_split.test.take(np.arange(n, n + 10)) for n in range(0, 80, 10)]
    fresh = [replace(ranker, _ranked={}).select(samples, 4).position for samples in asked]
    for _ in range(2):
        for samples, expected in zip(asked, fresh, strict=True):
            assert (ranker.select(samples, 4).position == expected).all()


def test_it_shows_what_agrees_with_the_target(tiny_split, ranker):
    """More of it than the candidates in any order would, and the vote of it knows more."""
    for part in (tiny_split.valid, tiny_split.test):
        gain = agreement(ranker.select(part, 4)) - agreement(_candidates(part, ranker.proposes, POOL))
        assert gain.mean() > 0.1
        assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))
    test = tiny_split.test
    at_random = rr.vote(rr.retrieve(test, ranker.proposes, 4))
    assert auc(test.liked, rr.vote(ranker.select(test, 4))) > auc(test.liked, at_random) + 0.1


def test_it_learns_from_training_samples_alone(tiny, tiny_split, compared, ranker):
    """Other labels in the test period change nothing, others in training do."""
    asked = tiny_split.test.take(np.flatnonzero(tiny_split.test.n_earlier >= 8)[:5])
    late = np.flatnonzero(tiny.rank >= tiny.rank[tiny_split.test.position].min())
    for positions, same in ((late, True), (tiny_split.train_ratings[::2], False)):
        rating = tiny.rating.copy()
        rating[positions] = 6 - rating[positions]
        other = rr.split(replace(tiny, rating=rating))
        again = learn_reranker(other, compared["noise"], compared, k=4, pool=POOL)
        assert (again.ndcg == ranker.ndcg) == same
        assert again.importance.equals(ranker.importance) == same
        if same:
            moved = Samples(other.data, asked.position)
            assert (again.select(moved, 4).position == ranker.select(asked, 4).position).all()


def test_ratings_are_not_read(tiny_split, compared):
    """Neither the target's, which would be the answer, nor the candidates'."""
    shown = rr.retrieve(tiny_split.test, compared["noise"], 5)
    x = _features(tiny_split, shown, compared)
    rating = tiny_split.data.rating.copy()
    rating[np.setdiff1d(np.arange(len(rating)), tiny_split.train_ratings)] = 1
    other = rr.split(replace(tiny_split.data, rating=rating))
    y = _features(other, Shown(other.test, shown.position), compared)
    assert (x == y).all()


def test_importance_and_ndcg(tiny_split, compared, ranker):
    """The planted feature matters most; NDCG is that of the ranking on the validation samples."""
    features = _features(tiny_split, _candidates(tiny_split.test, ranker.proposes, POOL), compared)
    names = _names(tiny_split, compared)
    assert set(ranker.importance.index) == set(names)
    assert features.shape[1] == len(names)
    assert ranker.importance.index[0] == "similarity, genre"
    shown = ranker.select(tiny_split.valid, POOL)
    discount, ndcg = 1 / np.log2(np.arange(4) + 2), []
    for row, real, liked in zip(shown.liked, shown.real, shown.samples.liked, strict=True):
        agrees = (row == liked)[real][::-1]  # the best first
        best = np.sort(agrees)[::-1][:4] @ discount[: len(agrees)]
        ndcg.append(
            agrees[:4] @ discount[: len(agrees)] / best if best else 1.0
        )  # LightGBM: nothing to find, all found
    assert ranker.ndcg == pytest.approx(np.mean(ndcg), abs=1e-3)
