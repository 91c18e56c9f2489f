from dataclasses import dataclass

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

import rallrec as rr
from rallrec.evaluation import catalogue, later_likes, resampling
from rallrec.evaluation.calibration import calibration_floor, platt
from rallrec.evaluation.metrics import IDENTICAL, adjusted, auc, interval, p_value, recalls, share, verdict
from rallrec.evaluation.resampling import aucs, resampled_users

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
    rng = np.random.default_rng(0)
    liked, p, w = rng.random(40) < 0.5, rng.integers(0, 6, 40) / 6, rng.integers(0, 4, 40)
    drawn = w[None].astype(float)
    assert aucs(liked, p, np.arange(40), drawn)[0] == pytest.approx(roc_auc_score(liked.repeat(w), p.repeat(w)))


def one_by_one(liked, p, user, drawn):
    """AUC of each replicate by a pass over all levels."""
    levels, group = np.unique(p, return_inverse=True)
    out = []
    for w in drawn:
        likes, dislikes = (np.bincount(group[r], w[user[r]], len(levels)) for r in (liked, ~liked))
        pairs = likes.sum() * dislikes.sum()
        out.append((likes * (np.cumsum(dislikes) - dislikes / 2)).sum() / pairs if pairs else np.nan)
    return np.array(out)


@pytest.mark.parametrize("most_users", [4000, 5])
@pytest.mark.parametrize("n_levels", [3, 90, 100_000])
def test_blocks_of_levels_change_no_bit(monkeypatch, n_levels, most_users):
    """Few levels, many, and one level that holds a third of the samples; with the table of pairs and without."""
    monkeypatch.setattr(resampling, "BLOCKS", 20)
    monkeypatch.setattr(resampling, "MOST_USERS", most_users)
    rng = np.random.default_rng(0)
    p = rng.integers(0, n_levels, 900) / n_levels
    p[rng.random(900) < 1 / 3] = 0.5
    liked = rng.random(900) < 0.3 + 0.4 * p
    user, drawn = resampled_users(rng.integers(0, 30, 900), 150, seed=0)
    assert (aucs(liked, p, user, drawn) == one_by_one(liked, p, user, drawn)).all()
    assert aucs(liked, p, user, drawn)[0] == auc(liked, p)


def test_a_replicate_without_a_dislike_has_no_auc():
    liked, user = np.array([True, True, False]), np.array([0, 1, 2])
    assert np.isnan(aucs(liked, np.array([0.1, 0.2, 0.3]), user, np.array([[1.0, 2.0, 0.0]]))).all()


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
    assert e.users == len(np.unique(samples.user))


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
    assert (e.p, e.identical, e.verdict) == (1, True, 0)
    assert str(e) == f"0 ({IDENTICAL})"
    same_order = rr.compare(tiny_split.test, p, p**2)
    assert np.isnan([same_order["auc"].low, same_order["auc"].p]).all()
    assert str(same_order["auc"]) == "0.000 [–, –]"
    assert not same_order["log_loss"].identical
    assert not rr.evaluate(tiny_split.test, np.full(len(p), 0.5))["auc"].identical


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


def test_intervals_that_are_points():
    assert interval(0, 0, 0, "+") == f"0 ({IDENTICAL})"
    assert interval(0.5, 0.5, 0.5) == "0.500 [no spread]"
    assert interval(0.0, -0.1, 0.1, "+") == "+0.000 [-0.100, +0.100]"
    assert interval(np.nan, np.nan, np.nan) == "–"


def test_the_p_value_of_a_difference(tiny_split):
    """That of a normal difference; small where the interval is far from zero, and for no metric alone."""
    rng = np.random.default_rng(0)
    replicates = rng.normal(1.0, 0.5, 4000)
    assert p_value(1.0, replicates) == pytest.approx(2 * norm.sf(2), rel=0.1)
    assert p_value(-1.0, -replicates) == p_value(1.0, replicates)
    assert (p_value(0.0, replicates), p_value(0.1, np.full(9, 0.1))) == (1, 0)
    assert np.isnan([p_value(np.nan, replicates), p_value(1.0, np.full(5, np.nan))]).all()
    samples = tiny_split.train
    noise = rng.random(len(samples))
    e = rr.compare(samples, samples.liked * 0.3 + noise * 0.7, noise)["auc"]
    assert e.low > 0
    assert e.p < 1e-6
    assert e.users == len(np.unique(samples.user))
    assert rr.evaluate(samples, noise)["auc"].p is None


def test_p_values_are_right_where_nothing_differs(tiny_split):
    """Of differences of pure noise about one in twenty has a p-value below 0.05."""
    samples, rng = tiny_split.train, np.random.default_rng(0)
    p = [rr.compare(samples, *rng.random((2, len(samples))), resamples=200)["auc"].p for _ in range(200)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.10


def test_adjusted_p_values():
    p = [0.01, 0.04, 0.03, 0.005]
    assert adjusted(p).tolist() == pytest.approx(false_discovery_control(p).tolist())
    assert adjusted(p).tolist() == pytest.approx([0.02, 0.04, 0.04, 0.02])  # by hand: p n / rank, made monotone
    with_none = adjusted([p[0], np.nan, *p[1:], 1.0])
    assert np.isnan(with_none[1])
    assert with_none[5] == 1
    assert with_none[[0, 2, 3, 4]].tolist() == adjusted(p).tolist()
    assert np.isnan(adjusted([np.nan])).all()
    assert len(adjusted([])) == 0


def test_a_verdict_counts_the_comparisons():
    assert verdict(0.01, 0.02) == verdict(0.01, 0.02, 0.05) == 1
    assert verdict(-0.02, -0.01, 0.051) == verdict(0.01, 0.02, np.nan) == 0
    assert verdict(-0.01, 0.02, 0.001) == 0  # none is made


def test_verdicts_of_many_comparisons_of_noise(tiny_split):
    """With one of many differences of noise an interval lies off zero; after adjusting none is a finding."""
    samples, rng = tiny_split.train, np.random.default_rng(2)
    noise = {str(n): rng.random(len(samples)) for n in range(60)}
    table = rr.results_table(samples, noise, "0", resamples=300)
    alone = [verdict(r.difference_low, r.difference_high) for r in table.itertuples()]
    together = [verdict(r.difference_low, r.difference_high, r.adjusted_p) for r in table.itertuples()]
    assert np.count_nonzero(alone) > 0
    assert np.count_nonzero(together) == 0
    assert (table.adjusted_p[1:] >= table.difference_p[1:]).all()
    assert np.isnan(table.adjusted_p[0])


def test_tables_tell_users_beside_samples(tiny_split):
    samples = tiny_split.train
    p = np.random.default_rng(0).random((2, len(samples)))
    table = rr.results_table(samples, {"a": p[0], "b": p[1]}, "a", resamples=20)
    assert table.n.tolist() == [len(samples)] * 2
    assert table.users.tolist() == [len(np.unique(samples.user))] * 2
    assert table.difference_p[1] == rr.compare(samples, p[1], p[0], resamples=20)["auc"].p
    assert "seeds" not in table
    assert "adjusted_p" not in rr.results_table(samples, {"a": p[0]}, resamples=20)


# --- shares and calibration ---------------------------------------------------------------------


def test_a_share_near_one_has_an_exact_interval():
    """All right, of users with a sample each: Clopper and Pearson's; of users with several: by users."""
    all_right = share(np.arange(30), np.ones(30))
    exact = binomtest(30, 30).proportion_ci(method="exact")
    assert (all_right.value, all_right.low, all_right.high) == (1, pytest.approx(exact.low), 1)
    few = np.ones(30)
    few[:2] = 0
    exact = binomtest(28, 30).proportion_ci(method="exact")
    assert (share(np.arange(30), few).low, share(np.arange(30), few).high) == pytest.approx((exact.low, exact.high))
    assert share(np.arange(30).repeat(20), np.ones(600)).low == pytest.approx(all_right.low)
    uneven = share(np.append(np.arange(30), np.zeros(300)), np.ones(330))
    assert uneven.low < all_right.low  # nearly all is one user's
    assert np.isnan(share(np.zeros(9), np.ones(9)).low)  # one user tells nothing of others


def test_a_share_in_the_middle_is_bootstrapped():
    rng = np.random.default_rng(0)
    user, hit = np.arange(200).repeat(5), rng.random(1000) < 0.4
    e = share(user, hit)
    code, drawn = resampled_users(user, 1000, 0)
    means = drawn[1:] @ np.bincount(code, hit) / 1000
    assert (e.low, e.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def test_an_accuracy_of_one_is_not_certain(tiny_split):
    samples = tiny_split.test
    e = rr.evaluate(samples, samples.liked * 0.8 + 0.1)["accuracy"]
    assert (e.value, e.high) == (1, 1)
    assert 0.8 < e.low < 0.95  # of 37 users


@pytest.mark.parametrize("fault", [0.0, 0.15])
def test_a_calibration_error_lies_in_its_interval(fault):
    """Each replicate is noisier than the sample; that must not push the interval off it."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        p = rng.uniform(0.2, 0.8, 300)
        e = rr.evaluate(Judged(rng.random(300) < p - fault), p, resamples=300)["calibration_error"]
        assert e.low <= e.value <= e.high
        if fault:
            assert e.low < fault < e.high


def test_the_error_of_a_reader_without_fault():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.2, 0.8, 400)
    errors = [values(rng.random(400) < p, p)["calibration_error"] for _ in range(100)]
    assert calibration_floor(p) == pytest.approx(np.mean(errors), rel=0.1)
    assert calibration_floor(np.repeat(p, 100)) == pytest.approx(calibration_floor(p) / 10, rel=0.01)
    assert calibration_floor(np.ones(50)) == 0


# --- several trainings --------------------------------------------------------------------------


def of_trainings(samples, noise: float, n: int, seed: int = 0) -> np.ndarray:
    """P(like) by ``n`` trainings that are good by chance: the weight of the truth differs by ``noise``."""
    rng = np.random.default_rng(seed)
    weights = 0.3 + noise * rng.permutation(norm.ppf((np.arange(n) + 0.5) / n))
    return np.stack([w * samples.liked + (1 - w) * rng.random(len(samples)) for w in weights]).clip(0, 1)


def test_a_mean_over_seeds_has_both_sources_of_noise(tiny_split):
    samples = tiny_split.train
    p = of_trainings(samples, 0.03, 40)
    each = [rr.evaluate(samples, one)["auc"] for one in p]
    e = rr.evaluate(samples, p)["auc"]
    assert e.value == pytest.approx(np.mean([one.value for one in each]))
    assert (e.seeds, e.spread) == (40, pytest.approx(np.std([one.value for one in each], ddof=1)))
    of_users = np.mean([one.high - one.low for one in each]) / (2 * norm.isf(0.025))
    width = (e.high - e.low) / (2 * norm.isf(0.025))
    assert width == pytest.approx(np.hypot(of_users, e.spread), rel=0.2)
    assert width > 1.3 * of_users


def test_seeds_that_agree_are_as_one(tiny_split):
    samples, p = tiny_split.train, of_trainings(tiny_split.train, 0, 1)
    one, same = rr.evaluate(samples, p[0]), rr.evaluate(samples, p.repeat(3, 0))
    for metric in one:
        assert (same[metric].low, same[metric].high) == pytest.approx((one[metric].low, one[metric].high))
    assert np.isnan(one["auc"].spread)
    assert same["auc"].spread == 0


def test_differences_of_trainings(tiny_split):
    """A difference between two models counts the noise of both; between two prompts of one adapter, once."""
    samples = tiny_split.train
    a, b = of_trainings(samples, 0.1, 6), of_trainings(samples, 0.1, 6, seed=1)
    e = rr.compare(samples, a, b)["auc"]
    means = [rr.evaluate(samples, p)["auc"].value for p in (a, b)]
    assert e.value == pytest.approx(means[0] - means[1])
    assert e.high - e.low > 1.5 * np.subtract(*reversed(_of_one(samples, a[0], b[0])))
    assert e.p > rr.compare(samples, a[0], b[0])["auc"].p
    assert rr.compare(samples, a, a, same_training=True)["auc"].identical
    assert rr.compare(samples, a, a)["auc"].high > 0.02  # of two trainings each
    with pytest.raises(rr.InputError, match="p is of 6 trainings, other of 1"):
        rr.compare(samples, a, b[0], same_training=True)


def _of_one(samples, a, b):
    e = rr.compare(samples, a, b)["auc"]
    return e.low, e.high


def test_tables_show_the_spread_over_seeds(tiny_split):
    samples = tiny_split.train
    p = of_trainings(samples, 0.2, 3)
    table = rr.results_table(samples, {"one": p[0], "three": p}, "one", resamples=100)
    assert table.seeds.tolist() == [1, 3]
    assert np.isnan(table.auc_spread[0])
    assert table.auc_spread[1] == pytest.approx(np.std([auc(samples.liked, q) for q in p], ddof=1))


def test_an_interval_does_not_hang_on_the_rest_of_the_table(tiny_split):
    samples = tiny_split.train
    rows = {str(seed): of_trainings(samples, 0.1, 3, seed=seed) for seed in range(3)}
    whole = rr.results_table(samples, rows, "2").set_index("method")
    few = rr.results_table(samples, {name: rows[name] for name in ("2", "1")}, "2").set_index("method")
    assert whole.loc["1"].drop("adjusted_p").equals(few.loc["1"].drop("adjusted_p"))
    e = rr.compare(samples, rows["1"], rows["2"])["auc"]
    assert (e.low, e.high, e.p) == tuple(whole.loc["1", ["difference_low", "difference_high", "difference_p"]])
    assert (whole.loc["1", "auc_low"], whole.loc["1", "auc_high"]) == (
        (alone := rr.evaluate(samples, rows["1"])["auc"]).low,
        alone.high,
    )


def test_predictions_of_no_seed_are_refused(tiny_split):
    with pytest.raises(rr.InputError, match=r"p has shape \(0, 124\)"):
        rr.evaluate(tiny_split.test, np.zeros((0, 124)))


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


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 4))
def test_the_highest_scores_are_those_of_a_stable_sort(seed, k, levels):
    """Ties, of which there are many, go to the first column; so do those of items that are no candidates."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, levels, (5, 12)).astype(np.float32)
    score[rng.random(score.shape) < 0.3] = -np.inf
    score[rng.random(score.shape) < 0.1] = -0.0
    expected = np.argsort(-score, axis=1, kind="stable")[:, :k]
    assert (later_likes._highest(score, k) == expected).all()
