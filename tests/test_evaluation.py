import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sk_log_loss
from sklearn.metrics import roc_auc_score

import rallrec as rr
from rallrec.evaluation.metrics import accuracy, auc, log_loss, platt, resampled_users

LIKED = np.array([True, False, True, True, False])


def test_limits_of_auc():
    assert auc(LIKED, LIKED.astype(float)) == 1
    assert auc(LIKED, 1.0 - LIKED) == 0
    assert auc(LIKED, np.full(5, 0.3)) == 0.5
    assert np.isnan(auc(np.ones(3, bool), np.arange(3)))


def test_limits_of_log_loss_and_accuracy():
    assert log_loss(LIKED, np.full(5, 0.5)) == pytest.approx(np.log(2))
    assert log_loss(LIKED, LIKED.astype(float)) == pytest.approx(0, abs=1e-5)
    assert np.isfinite(log_loss(LIKED, 1.0 - LIKED))
    assert accuracy(LIKED, LIKED.astype(float)) == 1
    assert accuracy(LIKED, 1.0 - LIKED) == 0


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.25, 0.5, 0.6, 0.9])), min_size=2, max_size=50))
def test_equal_to_scikit_learn(rows):
    liked, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if liked.all() or not liked.any():
        return
    assert auc(liked, p) == pytest.approx(roc_auc_score(liked, p))
    assert log_loss(liked, p) == pytest.approx(sk_log_loss(liked, p))


def test_weighted_auc_is_the_auc_of_repeated_rows():
    from rallrec.evaluation.metrics import _aucs

    rng = np.random.default_rng(0)
    liked, p, w = rng.random(40) < 0.5, rng.integers(0, 6, 40) / 6, rng.integers(0, 4, 40)
    drawn = w[None].astype(float)
    assert _aucs(liked, p, np.arange(40), drawn)[0] == pytest.approx(roc_auc_score(liked.repeat(w), p.repeat(w)))


def test_bootstrap_draws_whole_users():
    user = np.array([5, 5, 9, 9, 9, 2])
    code, drawn = resampled_users(user, 200, seed=0)
    assert code.tolist() == [1, 1, 2, 2, 2, 0]
    assert drawn.shape == (201, 3)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(1) == 3).all()


def test_a_prediction_judged_on_some_rows_is_compared_with_the_other_on_all(tiny_split):
    samples = tiny_split.train
    p = np.random.default_rng(0).random(len(samples)) * 0.5 + samples.liked * 0.3
    rows = np.arange(len(samples)) < 200
    e = rr.compare(samples, p, p, rows)["auc"]
    assert e.value == pytest.approx(auc(samples.liked[rows], p[rows]) - auc(samples.liked, p))
    assert e.low < e.value < e.high


def test_interval_holds_the_value_and_narrows_with_users(tiny_split):
    samples = tiny_split.train
    p = np.clip(samples.liked * 0.4 + np.random.default_rng(0).random(len(samples)) * 0.6, 0, 1)
    wide, narrow = rr.evaluate(samples.take(np.arange(60)), p[:60])["auc"], rr.evaluate(samples, p)["auc"]
    assert narrow.low < narrow.value < narrow.high
    assert narrow.high - narrow.low < wide.high - wide.low


def test_a_prediction_does_not_differ_from_itself(tiny_split):
    p = np.random.default_rng(0).random(len(tiny_split.test))
    e = rr.compare(tiny_split.test, p, p)["auc"]
    assert e.value == e.low == e.high == 0


def test_paired_interval_is_narrower_than_the_two(tiny_split):
    rng = np.random.default_rng(0)
    samples = tiny_split.train
    p = rng.random(len(samples)) * 0.5 + samples.liked * 0.3
    q = p + rng.normal(0, 0.01, len(p))
    difference, alone = rr.compare(samples, p.clip(0, 1), q.clip(0, 1))["auc"], rr.evaluate(samples, p)["auc"]
    assert difference.high - difference.low < alone.high - alone.low


@pytest.mark.parametrize("p", [np.full(3, 0.5), np.full(1, np.nan), None])
def test_bad_predictions_are_refused(tiny_split, p):
    samples = tiny_split.test.take(np.arange(4)) if p is None or len(p) == 3 else tiny_split.test.take(np.arange(1))
    with pytest.raises(rr.InputError, match="p has"):
        rr.evaluate(samples, np.full(4, 1.5) if p is None else p)


def test_platt_keeps_the_order_and_mends_the_loss():
    rng = np.random.default_rng(0)
    score = rng.normal(size=2000)
    liked = rng.random(2000) < 1 / (1 + np.exp(-2 * score - 1))
    p = platt(score, liked)(score)
    assert auc(liked, p) == pytest.approx(auc(liked, score))
    assert p.mean() == pytest.approx(liked.mean(), abs=0.01)
