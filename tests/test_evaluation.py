from dataclasses import dataclass

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

import rallrec as rr
from rallrec.evaluation import catalogue
from rallrec.evaluation.metrics import auc, platt, recalls, resampled_users

LIKED = np.array([True, False, True, True, False])


@dataclass
class Judged:
    """Labels alone, each of a user of its own."""

    liked: np.ndarray

    def __len__(self) -> int:
        return len(self.liked)

    @property
    def user(self) -> np.ndarray:
        return np.arange(len(self.liked))


def values(liked, p) -> dict[str, float]:
    """The metrics, without intervals."""
    return {metric: e.value for metric, e in rr.evaluate(Judged(liked), p, resamples=1).items()}


def test_limits_of_auc():
    assert auc(LIKED, LIKED.astype(float)) == 1
    assert auc(LIKED, 1.0 - LIKED) == 0
    assert auc(LIKED, np.full(5, 0.3)) == 0.5
    assert np.isnan(auc(np.ones(3, bool), np.arange(3)))


def test_limits_of_log_loss_and_accuracy():
    right, wrong, torn = (values(LIKED, p) for p in (LIKED.astype(float), 1.0 - LIKED, np.full(5, 0.5)))
    assert torn["log_loss"] == pytest.approx(np.log(2))
    assert right["log_loss"] == pytest.approx(0, abs=1e-5)
    assert np.isfinite(wrong["log_loss"])
    assert (right["accuracy"], wrong["accuracy"]) == (1, 0)


def test_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.random(20_000)
    liked = rng.random(len(p)) < p
    assert values(liked, p)["calibration_error"] < 0.02
    assert values(liked, np.clip(p + 0.2, 0, 1))["calibration_error"] == pytest.approx(0.18, abs=0.02)
    assert values(np.array([True, False]), np.array([1.0, 0.0]))["calibration_error"] == 0
    # two bins of five: 0.2 said and 1/5 liked, 0.9 said and 3/5 liked
    liked = np.repeat([True, False, True, False], [1, 4, 3, 2])
    by_hand = {10: np.mean([*[0.8], *[0.2] * 4, *[0.1] * 3, *[0.9] * 2])}  # ten bins of one sample each
    assert values(liked, np.repeat([0.2, 0.9], 5))["calibration_error"] == pytest.approx(by_hand[10])


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.25, 0.5, 0.6, 0.9])), min_size=2, max_size=50))
def test_equal_to_scikit_learn(rows):
    liked, p = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if liked.all() or not liked.any():
        return
    mine = values(liked, p)
    assert mine["auc"] == auc(liked, p) == pytest.approx(roc_auc_score(liked, p))
    assert mine["log_loss"] == pytest.approx(log_loss(liked, p))
    assert mine["accuracy"] == pytest.approx(accuracy_score(liked, p > 0.5))


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


def test_a_rising_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    score = rng.normal(3, 2, size=300)
    liked = rng.random(300) < 1 / (1 + np.exp(-score))
    mean, spread = score.mean(), score.std()
    fitted = LogisticRegression(C=1e6).fit((score[:, None] - mean) / spread, liked)
    asked = np.linspace(-9, 9, 50)
    assert (platt(score, liked)(asked) == fitted.predict_proba((asked[:, None] - mean) / spread)[:, 1]).all()


def test_platt_turns_no_order_around():
    """Of scores that are worse than chance on the held-out samples it says the base rate, and keeps their order."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=500)
    liked = rng.random(500) < 1 / (1 + np.exp(2 * score + 1))
    p = platt(score, liked)(score)
    assert auc(liked, p) == auc(liked, score) < 0.3
    assert p == pytest.approx(np.full(500, liked.mean()), abs=1e-4)
    assert (np.argsort(p) == np.argsort(score)).all()
    asked = rng.normal(size=100)
    assert (np.argsort(platt(score, liked)(asked)) == np.argsort(asked)).all()


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("n", [1, 50])
def test_platt_on_labels_of_one_class(label, n):
    score = np.random.default_rng(0).normal(size=n)
    p = platt(score, np.full(n, label))
    assert p(score) == pytest.approx(np.full(n, (label * n + 1) / (n + 2)), abs=1e-4)
    assert (np.diff(p(np.linspace(-3, 3, 20))) > 0).all()


@pytest.mark.parametrize("scores", [[0, 0, 1, 5, 9], [0, 1, 1, 5, 9]])
def test_platt_is_not_certain_where_few_labels_lie_apart(scores):
    """No slope is too steep for them, also where the two sides touch."""
    p = platt(scores, [False, False, True, True, True])(scores)
    assert (np.unique(p, return_inverse=True)[1] == np.unique(scores, return_inverse=True)[1]).all()
    assert p.min() > 0.1
    assert p.max() < 0.95


@pytest.mark.parametrize("constant", [7, 0.3])  # the mean of many times 0.3 is not quite 0.3
def test_platt_of_a_constant_is_the_base_rate(constant):
    p = platt(np.full(600, constant), np.tile(LIKED, 120))
    assert p(np.full(3, constant)) == pytest.approx(np.full(3, 0.6), abs=1e-4)
    assert (np.diff(p(np.arange(4))) > 0).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=1, max_size=30))
def test_platt_keeps_any_auc(rows):
    liked, score = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    p = platt(score, liked)(score)
    assert ((p > 0) & (p < 1)).all()
    assert (np.unique(p, return_inverse=True)[1] == np.unique(score, return_inverse=True)[1]).all()


def test_recall_by_hand():
    wanted = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1]], bool)
    top = np.array([[0, 2, 4], [1, 0, 4], [4, 0, 1]])
    # of two wanted one is found; of four wanted, three can be and two are; of one all
    assert recalls(top, wanted).tolist() == pytest.approx([1 / 2, 2 / 3, 1])


@pytest.fixture
def clustered():
    """Items in 40 clusters, [2000, 16]."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(40, 16))[rng.integers(0, 40, 2000)] + 0.5 * rng.normal(size=(2000, 16))).astype(np.float32)


def test_a_large_catalogue_answers_nearly_as_an_exact_one(clustered, monkeypatch):
    exact = rr.Catalogue(clustered)
    monkeypatch.setattr(catalogue, "EXACT_UP_TO", 1999)
    large = rr.Catalogue(clustered)
    assert (type(exact.index), type(large.index)) == (faiss.IndexFlatIP, faiss.IndexHNSWFlat)
    assert type(rr.Catalogue(clustered[:1999]).index) is faiss.IndexFlatIP
    codes = np.arange(0, 2000, 10)
    liked = [np.arange(n, n + 20) for n in range(0, 1000, 10)]
    for ask in (lambda c: c.neighbours(codes, 10), lambda c: c.candidates(liked, 10)):
        (found, cosine), (best, highest) = ask(large), ask(exact)
        assert found.shape == cosine.shape == best.shape
        shared = [len(np.intersect1d(a, b)) / 10 for a, b in zip(found, best, strict=True)]
        assert np.mean(shared) > 0.95
        assert (np.diff(cosine, axis=1) <= 0).all()
        assert (cosine <= highest + 1e-6).all()
        assert all(len(set(row)) == 10 for row in found)
        assert (found >= 0).all()
    assert not (large.neighbours(codes, 10)[0] == codes[:, None]).any()
    found, _ = large.candidates(liked, 10)
    assert not any(np.isin(row, own).any() for row, own in zip(found, liked, strict=True))
    unit = clustered / np.linalg.norm(clustered, axis=1, keepdims=True)
    near, cosine = large.neighbours(7, 5)
    assert cosine[0] == pytest.approx(unit[near[0]] @ unit[7], abs=1e-5)


def test_a_large_catalogue_gives_as_many_as_are_asked_for(monkeypatch):
    """Many equal items make a graph whose walk ends before it has found enough."""
    monkeypatch.setattr(catalogue, "EXACT_UP_TO", 1)
    items = np.repeat(np.random.default_rng(0).normal(size=(30, 16)), 100, axis=0).astype(np.float32)
    large, codes = rr.Catalogue(items), np.arange(0, 3000, 150)
    assert (large.index.search(large.items[codes], 2500)[0] < -1).any()  # faiss tells what is missing so
    found, cosine = large.neighbours(codes, 2499)
    assert found.min() >= 0
    assert not (found == codes[:, None]).any()
    assert all(len(set(row)) == 2499 for row in found)
    assert (cosine[:, :99] > 0.999).all()
    assert (np.diff(cosine, axis=1) <= 1e-6).all()
    found, _ = large.candidates([np.arange(50), np.arange(200, 290)], 2499)
    assert found.min() >= 0
    assert not np.isin(found[0], np.arange(50)).any()
