from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import rallrec as rr
from rallrec.data.past import item_statistics, user_mean
from rallrec.evaluation.metrics import auc
from rallrec.infra.cache import Cache
from rallrec.readers import prompts, trees
from rallrec.readers.combination import combine
from rallrec.readers.trees import features, lightgbm_reader


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
    part = tiny_split.test
    before = features(tiny_split, rr.select(part, "high", embedding, 5), embedding)
    rating = tiny.rating.copy()
    rating[part.position[-1]] = 6 - rating[part.position[-1]]  # the last rating of all is in nobody's history
    other = replace(tiny, rating=rating)
    moved = rr.data.split.Samples(other, part.position)
    after = features(replace(tiny_split, data=other), rr.select(moved, "high", embedding, 5), embedding)
    assert before.equals(after)
    assert not before.isna().any().any()


def test_padding_is_not_the_most_similar(tiny, tiny_split):
    """A short history whose items are all unlike the target: its own highest similarity, and that item's rating."""
    sample = tiny_split.test.take([0])
    across = np.ones((tiny.n_items, 2), np.float32)
    across[sample.item[0]] = -1, -0.9
    shown = rr.select(sample, "recent", k=200)
    assert not shown.real.all()
    of = features(tiny_split, shown, across).iloc[0]
    first = shown.position[0, 0]  # all are as unlike, the first is taken
    assert of["similarity, highest"] == pytest.approx(-1.9 / np.sqrt(2 * (1 + 0.9**2)), abs=1e-6)
    assert of["rating of the most similar"] == tiny.rating[first]


def test_lightgbm_beats_chance_and_repeats(tiny, tiny_split):
    genre = np.stack([(tiny.items.genres == g).to_numpy(np.float32) for g in tiny.items.genres.unique()], axis=1)

    def shown(samples):
        return rr.select(samples, "high", genre, 5)

    p, valid = lightgbm_reader(tiny_split, shown, genre, tiny_split.test)
    assert rr.evaluate(tiny_split.test, p)["auc"].low > 0.5
    assert valid.shape == (len(tiny_split.valid),)
    assert (p == lightgbm_reader(tiny_split, shown, genre, tiny_split.test)[0]).all()


def test_lightgbm_is_fitted_once(tiny_split, embedding, tmp_path, monkeypatch):
    cache, fitted = Cache(tmp_path / "cache"), []
    fit = trees._fit
    monkeypatch.setattr(trees, "_fit", lambda *given: fitted.append(given) or fit(*given))

    def read(k=5, seed=0):
        chosen = partial(rr.select, selector="high", items=embedding, k=k)
        return lightgbm_reader(tiny_split, chosen, embedding, tiny_split.test, seed, cache)

    first, again = read(), read()
    assert len(fitted) == 1
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    for others in (dict(seed=1), dict(k=3)):  # another seed, other features
        assert (read(**others)[0] != first[0]).any()
    assert len(fitted) == 3


@pytest.mark.parametrize("reader", ["lightgbm", "lightgbm, no retrieval"])
@pytest.mark.parametrize("selector", ["rerank", "recent", "learned"])
def test_lightgbm_that_was_fitted_is_asked_without_its_features(study, reader, selector, monkeypatch, retrievals):
    choice, one = rr.Choice(selector=selector, reader=reader, k=4), again(study)
    first = one.predict(choice)
    retrievals.clear()
    for name in ("features", "past", "_fit", "_fit_on_training"):
        monkeypatch.setattr(trees, name, lambda *_: pytest.fail("made again"))
    assert (again(study).predict(choice) == first).all()
    assert not retrievals
    if reader == "lightgbm":
        for other in (dict(k=3), dict(representation="text", selector="high")):
            with pytest.raises(pytest.fail.Exception, match="made again"):
                again(study).predict(replace(choice, **other))


def test_lightgbm_reads_what_a_users_own_selector_shows(study):
    """What that depends on is not known, so features are made each time."""
    shown = [1]

    @rr.selector("of a reader's test")
    def back(study, samples, items, k):
        return (samples.position - shown[0])[:, None]

    choice = rr.Choice(selector="of a reader's test", reader="lightgbm", k=1)
    last = again(study).predict(choice)
    shown[0] = 2
    assert (again(study).predict(choice) != last).any()


def test_lightgbm_reads_no_training_sample(tiny_split, embedding):
    """The embedding has seen their labels."""
    looked_at = []

    def shown(samples):
        looked_at.extend(samples.position)
        return rr.select(samples, "high", embedding, 5)

    lightgbm_reader(tiny_split, shown, embedding, tiny_split.test)
    assert set(looked_at) == set(tiny_split.valid.position) | set(tiny_split.test.position)


def test_lightgbm_needs_two_users(tiny_split):
    one = tiny_split.valid.take(np.flatnonzero(tiny_split.valid.user == tiny_split.valid.user[0]))
    alone = replace(tiny_split, valid=one)
    with pytest.raises(rr.InputError, match="one user"):
        lightgbm_reader(alone, lambda s: rr.select(s, "recent", None, 5), np.eye(tiny_split.data.n_items), one)


def test_readers_together_are_better_than_each_alone():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4000))
    liked = rng.random(4000) < 1 / (1 + np.exp(-(a + 2 * b)))
    p = [1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))]
    half = slice(0, 2000), slice(2000, 4000)
    together, weights = combine([x[half[0]] for x in p], liked[half[0]], [x[half[1]] for x in p])
    assert auc(liked[half[1]], together) > max(auc(liked[half[1]], x[half[1]]) for x in p) + 0.02
    assert weights[1] > weights[0] > 0


@pytest.fixture
def judged():
    """Labels, a reader of them, and one that answers at random; [600] each."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=600)
    return rng.random(600) < 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-logit)), rng.uniform(0.1, 0.9, 600)


def test_a_reader_alone_is_calibrated(judged):
    liked, good, _ = judged
    p, weights = combine([good], liked, [good])
    x = np.log(good / (1 - good))[:, None]
    model = LogisticRegression(C=1.0).fit((x - x.mean(0)) / x.std(0), liked)
    assert (p == model.predict_proba((x - x.mean(0)) / x.std(0))[:, 1]).all()
    assert weights == model.coef_[0]
    assert auc(liked, p) == auc(liked, good)


def test_a_reader_alone_is_not_turned_around(judged):
    liked, good, _ = judged
    p, weights = combine([1 - good], liked, [1 - good])
    assert auc(liked, p) == auc(liked, 1 - good) < 0.4
    assert p == pytest.approx(np.full(600, liked.mean()), abs=1e-4)
    assert 0 < weights[0] < 1e-3


def test_beside_others_a_reader_may_weigh_against_them(judged):
    """Of two readers with a common fault one corrects the other."""
    liked, good, noise = judged
    tilted = good * noise / (good * noise + (1 - good) * (1 - noise))  # the sum of both logits
    p, weights = combine([tilted, noise], liked, [tilted, noise])
    assert weights[0] > 0 > weights[1]
    assert auc(liked, p) == pytest.approx(auc(liked, good), abs=0.01)


def test_a_reader_that_says_the_same_of_all_changes_nothing(judged):
    liked, good, _ = judged
    constant = np.full(600, 0.3)
    with_it, weights = combine([good, constant], liked, [good, constant])
    assert with_it == pytest.approx(combine([good], liked, [good])[0], abs=1e-3)
    assert weights[1] == pytest.approx(0, abs=1e-6)
    assert combine([constant], liked, [constant])[0] == pytest.approx(np.full(600, liked.mean()), abs=1e-4)


@pytest.mark.parametrize("label", [True, False])
@pytest.mark.parametrize("n_readers", [1, 2])
def test_validation_labels_of_one_class_tell_the_base_rate(judged, label, n_readers):
    readers = list(judged[1:])[:n_readers]
    p, weights = combine(readers, np.full(600, label), readers)
    assert p == pytest.approx(np.full(600, (600 * label + 1) / 602), abs=1e-4)
    assert (weights > 0).all()
    if n_readers == 1:
        assert (np.argsort(p) == np.argsort(readers[0])).all()


def test_the_llm_reader_gives_probabilities(tiny_split, embedding, llm):
    shown = rr.select(tiny_split.test.take(np.arange(5)), "rerank", embedding, 3)
    for kind in prompts.KINDS:
        p = rr.recommend(shown, llm, kind)
        assert p.shape == (5,)
        assert ((p > 0) & (p < 1)).all()


def test_without_time_an_items_own_rating_is_not_in_its_statistics(tiny):
    data = rr.data.dataset.build(
        "untimed",
        tiny.items[["item_id"]]
        .iloc[tiny.item]
        .assign(user_id=tiny.users.user_id.to_numpy()[tiny.user], rating=tiny.rating),
        tiny.items,
        tiny.users,
        timed=False,
    )
    split = rr.split(data)
    history = np.setdiff1d(split.train_ratings, split.train.position)
    some = rr.data.split.Samples(data, history[::7])
    mean, count = item_statistics(split, some, prior=5)
    overall = data.rating[split.train_ratings].mean(dtype=float)
    for n in (0, 3, len(some) - 1):
        others = history[(data.item[history] == some.item[n]) & (history != some.position[n])]
        assert count[n] == len(others)
        assert mean[n] == pytest.approx((data.rating[others].sum() + 5 * overall) / (len(others) + 5))


# --- votes are kept ---------------------------------------------------------------------------------


@pytest.fixture
def retrievals(monkeypatch) -> list[int]:
    """The K of each retrieval that is made."""
    from rallrec import pipeline

    made, real = [], pipeline.retrieve
    monkeypatch.setattr(pipeline, "retrieve", lambda samples, items, k: made.append(k) or real(samples, items, k))
    return made


def again(study) -> rr.Study:
    """The study as another process has it: nothing but the cache and its trained parts are kept."""
    return replace(study, _kept={}, _retrieved={})


@pytest.mark.parametrize("selector", ["high", "sequential", "rerank", "released", "learned", "recent"])
def test_a_vote_that_was_kept_is_the_vote(study, selector, retrievals):
    choice = rr.Choice(selector=selector, k=4)
    first, test = study.predict(choice), study.split.test
    one = again(study)
    retrievals.clear()
    assert (one.predict(choice) == first).all()
    assert not retrievals
    assert (one.voted(choice, test) == rr.vote(one.shown(choice, test))).all()


def test_a_vote_is_kept_under_all_that_it_depends_on(study, embedding, retrievals):
    one, test = again(study), study.split.test
    choices = [
        rr.Choice(selector="high", k=4),
        rr.Choice(selector="high", k=5),
        rr.Choice(selector="sequential", k=5),
        rr.Choice("text", "high", k=5),
        rr.Choice(selector="rerank", k=5),
        rr.Choice(selector="rerank", k=5, alpha=0.5),
        rr.Choice(selector="rerank", k=5, beta=2),
        rr.Choice(selector="rerank", k=5, weights=(1, 2, 3)),
        rr.Choice("hybrid", "high", k=5),
        rr.Choice(selector="learned", k=5),
        rr.Choice(selector="learned", k=4),
        rr.Choice(selector="recent", k=5),
        rr.Choice(selector="recent", k=4),
    ]
    for choice in choices:
        for samples in (test, one.split.valid, test.take(np.arange(5))):
            assert (one.voted(choice, samples) == rr.vote(one.shown(choice, samples))).all()
    for items in (embedding, -embedding[:, ::2]):  # another matrix under the same name
        rr.representation("of a reader's test")(lambda study, items=items: items)
        choice = rr.Choice("of a reader's test", "high", k=3)
        assert (one.voted(choice, test) == rr.vote(one.shown(choice, test))).all()


@pytest.mark.parametrize("selector", ["recent", "learned"])
def test_a_setting_that_changes_nothing_is_refused_of_what_is_kept_too(study, selector):
    choice, test = rr.Choice(selector=selector, k=4), study.split.test
    study.voted(choice, test)
    for setting in (dict(weights=(1, 2, 3)), dict(layers=1), dict(alpha=0.5)):
        with pytest.raises(rr.InputError, match=r"changes nothing|takes no 'alpha'"):
            again(study).voted(replace(choice, **setting), test)


def test_a_vote_is_not_kept_of_what_is_not_known(study):
    """A selector of the user's may depend on anything."""
    turn = [0]

    @rr.selector("of a reader's test")
    def either(study, samples, items, k):
        turn[0] += 1
        return (samples.position - turn[0])[:, None]

    choice = rr.Choice(selector="of a reader's test", k=1)
    votes = [again(study).voted(choice, study.split.test) for _ in range(2)]
    assert (votes[0] != votes[1]).any()


# --- what is shown of drawn samples is kept -----------------------------------------------------------


@pytest.fixture
def few(study, monkeypatch):
    """Drawn samples of which what is shown is kept."""
    monkeypatch.setattr("rallrec.pipeline.DRAWN", (20, 1000))
    return study.split.test.take(study.split.test.draw(25, 1))


@pytest.mark.parametrize("selector", ["high", "sequential", "rerank", "released", "learned", "recent"])
def test_what_is_shown_is_not_retrieved_again(study, few, selector, retrievals):
    choice = rr.Choice(selector=selector, k=4)
    first = again(study).shown(choice, few)
    retrievals.clear()
    kept = again(study).shown(choice, few.take(np.arange(len(few))))
    assert not retrievals
    assert kept.position.dtype == first.position.dtype == np.int64
    assert (kept.position == first.position).all()
    with_whole = study.shown(choice, study.split.test).take(study.split.test.draw(25, 1))
    assert (kept.position == with_whole.position).all()


def test_what_is_shown_is_kept_under_all_that_it_depends_on(study, few, embedding):
    one, other = again(study), study.split.valid.take(study.split.valid.draw(25, 1))
    asked = [
        dict(selector="high"),
        dict(selector="high", k=5),
        dict(selector="high", representation="text"),
        dict(selector="high", representation="hybrid"),
        dict(selector="sequential", representation="colla"),
        dict(selector="rerank", alpha=0.5),
        dict(selector="rerank", alpha=0.9, order="best last"),
        dict(selector="rerank", weights=(1, 2, 3)),
        dict(selector="learned"),
        dict(selector="released", recent=0.5),
        dict(selector="recent"),
    ]
    for _ in range(2):  # made, then kept
        for of in asked:
            choice = rr.Choice(**dict(k=4) | of)
            for samples in (few, other):
                whole = study.split.test if samples is few else study.split.valid
                expected = one.shown(choice, whole).take(whole.draw(25, 1))
                assert (again(study).shown(choice, samples).position == expected.position).all(), of
    for items in (embedding, -embedding[:, ::2]):  # another matrix under the same name
        rr.representation("of a test of what is shown")(lambda study, items=items: items)
        choice = rr.Choice("of a test of what is shown", "high", k=3)
        expected = rr.retrieve(few, items, 3)
        assert (again(study).shown(choice, few).position == expected.position).all()


def test_what_a_users_own_selector_shows_is_not_kept(study, few):
    turn = [0]

    @rr.selector("of a test of what is shown")
    def either(study, samples, items, k):
        turn[0] += 1
        return (samples.position - turn[0])[:, None]

    choice = rr.Choice(selector="of a test of what is shown", k=1)
    shown = [again(study).shown(choice, few) for _ in range(2)]
    assert (shown[0].position != shown[1].position).any()


def test_a_setting_that_a_selector_lacks_is_refused_of_drawn_samples(study, few):
    again(study).shown(rr.Choice(selector="recent", k=4), few)
    with pytest.raises(rr.InputError, match="takes no 'alpha'"):
        again(study).shown(rr.Choice(selector="recent", k=4, alpha=0.5), few)


# --- so is what calibrates a score ----------------------------------------------------------------------


def test_calibrated_scores_are_kept_under_all_that_they_depend_on(study, monkeypatch):
    from rallrec import pipeline
    from rallrec.evaluation.calibration import platt

    made = []
    monkeypatch.setattr(pipeline, "platt", lambda valid, liked: made.append(1) or platt(valid, liked))
    monkeypatch.setattr(pipeline, "codes_of", lambda *of: ["the code"])
    monkeypatch.setattr(pipeline, "MANY", 40)
    rng = np.random.default_rng(0)
    scores, valid, liked = rng.random(30), rng.random(50), rng.random(50) < 0.5
    asked = [(scores, valid, liked), (scores[::-1], valid, liked), (scores, -valid, liked), (scores, valid, ~liked)]
    for _ in range(2):
        for each, of, labels in asked:
            assert (again(study).calibrated(each, of, labels) == platt(of, labels)(each)).all()
    assert len(made) == len(asked)
    monkeypatch.setattr(pipeline, "codes_of", lambda *of: ["another code"])
    study.calibrated(*asked[0])
    assert len(made) == len(asked) + 1
    monkeypatch.setattr(pipeline, "MANY", 51)  # so few are computed again
    for _ in range(2):
        study.calibrated(*asked[0])
    assert len(made) == len(asked) + 3
