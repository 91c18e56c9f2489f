import numpy as np
import pytest

import rallrec as rr
from rallrec.recommending import features, item_statistics, lightgbm_reader, user_mean


def test_vote_is_the_mean_rating_shown(tiny_split, embedding):
    shown = rr.select(tiny_split.test, "high", embedding, 60)
    row = shown.position[0][shown.position[0] >= 0]
    assert rr.vote(shown)[0] == pytest.approx((tiny_split.data.rating[row].mean() - 1) / 4)


def test_item_statistics_see_only_the_past(tiny, tiny_split):
    overall = tiny.rating[tiny_split.train_ratings].mean(dtype=float)
    rank = np.argsort(tiny.by_time)
    for part in (tiny_split.train, tiny_split.test):
        mean, count = item_statistics(tiny_split, part, prior=5)
        for n in (0, 7, len(part) - 1):
            allowed = tiny_split.train_ratings[rank[tiny_split.train_ratings] < rank[part.position[n]]]
            ratings = tiny.rating[allowed[tiny.item[allowed] == part.item[n]]]
            assert count[n] == len(ratings)
            assert mean[n] == pytest.approx((ratings.sum() + 5 * overall) / (len(ratings) + 5))


def test_user_mean(tiny, tiny_split):
    part = tiny_split.test
    history = tiny.rating[part.position[4] - part.n_earlier[4] : part.position[4]]
    assert user_mean(part, 3.0, prior=2)[4] == pytest.approx((history.sum() + 6) / (len(history) + 2))


def test_features_do_not_know_the_target(tiny, tiny_split, embedding):
    from dataclasses import replace

    part = tiny_split.test
    before = features(tiny_split, rr.select(part, "high", embedding, 5), embedding)
    rating = tiny.rating.copy()
    rating[part.position[-1]] = 6 - rating[part.position[-1]]  # the last rating of all is in nobody's history
    other = replace(tiny, rating=rating)
    moved = rr.splits.Samples(other, part.position)
    after = features(replace(tiny_split, data=other), rr.select(moved, "high", embedding, 5), embedding)
    assert before.equals(after)
    assert not before.isna().any().any()


def test_lightgbm_beats_chance_and_repeats(tiny, tiny_split):
    genre = np.stack([(tiny.items.genres == g).to_numpy(np.float32) for g in tiny.items.genres.unique()], axis=1)

    def shown(samples):
        return rr.select(samples, "high", genre, 5)

    p = lightgbm_reader(tiny_split, shown, genre, tiny_split.test)
    assert rr.evaluate(tiny_split.test, p)["auc"].low > 0.5
    assert (p == lightgbm_reader(tiny_split, shown, genre, tiny_split.test)).all()


def test_the_llm_reader_gives_probabilities(tiny_split, embedding, llm):
    shown = rr.select(tiny_split.test.take(np.arange(5)), "rerank", embedding, 3)
    for kind in rr.prompts.KINDS:
        p = rr.recommend(shown, llm, kind)
        assert p.shape == (5,)
        assert ((p > 0) & (p < 1)).all()
