from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.data import split as splits
from rallrec.data.dataset import build
from rallrec.data.disclosures import arbitrary_last, disclosures, whole
from rallrec.data.past import item_statistics
from rallrec.data.split import PROTOCOLS, Protocol, Samples
from rallrec.retrieval.selectors import released


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
    leaking = replace(tiny_split, graph_ratings=np.append(tiny_split.graph_ratings, tiny_split.test.position[0]))
    with pytest.raises(rr.InputError, match="no target of validation or test is in the graph"):
        leaking.certificate()


def _backwards(split):
    data = replace(split.data, time=split.data.time[::-1])
    return dict(data=data) | {part: Samples(data, getattr(split, part).position) for part in ("train", "valid", "test")}


LEAKS = {
    "no target of validation or test is in the graph": lambda s: dict(
        graph_ratings=np.append(s.graph_ratings, s.test.position[0])
    ),
    "no target of validation or test is among the training ratings": lambda s: dict(
        train_ratings=np.append(s.train_ratings, s.valid.position[-1])
    ),
    "no sample is in two parts": lambda s: dict(
        valid=Samples(s.data, np.append(s.valid.position, s.train.position[0]))
    ),
    "no choice is made on test samples": lambda s: dict(chosen_on=s.test),
    "every training sample precedes every validation sample": lambda s: dict(train=s.valid, valid=s.train),
    "every validation sample precedes every test sample": lambda s: dict(valid=s.test, test=s.valid),
    "every history rating is no later than its target": _backwards,
    "ratings of a user are in time order": _backwards,
    "every rating in the graph precedes validation and test": lambda s: dict(
        graph_ratings=np.append(s.graph_ratings, s.valid.position[-1])
    ),
}


@pytest.mark.parametrize("check", LEAKS)
def test_each_check_of_the_certificate_notices_its_leak(tiny_split, check):
    """Under another protocol violations are counted rather than refused."""
    assert set(LEAKS) == set(tiny_split.certificate().check)
    counted = replace(tiny_split, protocol=Protocol(id_shift=True), **LEAKS[check](tiny_split)).certificate()
    assert counted.set_index("check").violations[check] > 0
    with pytest.raises(rr.InputError, match=r"leakage: .* is violated [1-9]"):
        replace(tiny_split, **LEAKS[check](tiny_split)).certificate()


def test_a_draw_is_paired_and_repeatable(tiny_split):
    rows = tiny_split.test.draw(20, seed=1)
    assert (rows == tiny_split.test.draw(20, seed=1)).all()
    assert set(tiny_split.test.draw(10, seed=1)) < set(rows)
    assert len(tiny_split.test.draw(10**6)) == len(tiny_split.test)


def test_unknown_protocol(tiny):
    with pytest.raises(rr.InputError, match="'loose'; it must be one of: strict"):
        rr.split(tiny, "loose")


# --- the released protocol ------------------------------------------------------------------------


def test_the_released_graph_sees_all_but_each_users_last_rating(tiny):
    split = rr.split(tiny, "released")
    left_out = np.setdiff1d(np.arange(tiny.n_ratings), split.graph_ratings)
    assert left_out.tolist() == (tiny.start[1:] - 1).tolist()
    counts = split.certificate().set_index("check").violations
    assert counts["no target of validation or test is in the graph"] > 0
    assert counts["no choice is made on test samples"] == len(split.test)


def test_each_switch_changes_only_what_it_names(tiny, tiny_split):
    assert rr.split(tiny, Protocol()).protocol == PROTOCOLS["strict"]
    graph = rr.split(tiny, Protocol(graph_sees_test=True))
    assert (graph.train_ratings == tiny_split.train_ratings).all()
    assert graph.chosen_on.position.tolist() == tiny_split.valid.position.tolist()
    chosen = rr.split(tiny, Protocol(chosen_on_test=True))
    assert (chosen.graph_ratings == tiny_split.graph_ratings).all()
    assert chosen.chosen_on.position.tolist() == tiny_split.test.position[:1000].tolist()


def test_only_the_first_rows_are_scored(tiny, tiny_split, monkeypatch):
    monkeypatch.setattr(splits, "SCORED", 7)
    assert rr.split(tiny, Protocol(first_rows=True)).test.position.tolist() == tiny_split.test.position[:7].tolist()


# --- data without time ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untimed(tiny):
    raw = pd.DataFrame({"user_id": tiny.user + 1, "item_id": tiny.item + 1, "rating": tiny.rating})
    return build("untimed", raw, tiny.items, tiny.users, timed=False)


def test_without_time_each_user_gives_one_sample_and_the_graph_no_held_out_target(untimed):
    split = rr.split(untimed)
    assert not split.certificate().violations.any()
    positions = np.concatenate([p.position for p in (split.train, split.valid, split.test)])
    assert sorted(positions) == (untimed.start[1:] - 1).tolist()
    assert [len(split.train), len(split.valid), len(split.test)] == [48, 6, 6]
    held_out = np.concatenate([split.valid.position, split.test.position])
    assert set(held_out) == set(range(untimed.n_ratings)) - set(split.graph_ratings)
    assert "no time" in split.sentence()
    assert "at least 4 other ratings" in split.sentence()
    assert "80 % of the samples train, 10 % validate, 10 % test." in split.sentence()


def test_the_sentence_says_how_this_split_was_made(tiny):
    said = rr.split(tiny, min_history=3, parts=(6, 1, 1)).sentence()
    assert "the first 75 % train, the next 12.5 % validate, the last 12.5 % test" in said
    assert "at least 3 earlier ratings" in said


def test_without_time_a_user_in_two_parts_is_a_leak(untimed):
    split = rr.split(untimed)
    another = untimed.start[split.valid.user[0]] + 1  # of a user who validates
    with pytest.raises(rr.InputError, match="'no user has samples in two parts' is violated 1 times"):
        replace(split, train=Samples(untimed, np.append(split.train.position, another))).certificate()


def test_the_shuffle_does_not_depend_on_the_order_of_the_rows(untimed, tiny):
    raw = pd.DataFrame({"user_id": tiny.user + 1, "item_id": tiny.item + 1, "rating": tiny.rating})
    again = build("untimed", raw.sample(frac=1, random_state=3), tiny.items, tiny.users, timed=False)
    assert again.hash == untimed.hash
    assert (np.diff(untimed.item[: untimed.start[1]]) < 0).any()  # it is a shuffle, not the order of ids


def test_without_time_the_released_reranker_keeps_the_most_similar_then_the_last_in_the_list(untimed, embedding):
    samples = rr.split(untimed).train
    shown = rr.retrieve(samples, embedding, 6)
    reranked = released(shown)
    for row, position, earlier in zip(reranked.position, shown.position, samples.n_earlier, strict=True):
        if earlier <= 6:
            assert row.tolist() == position.tolist()
        else:
            assert row[:4].tolist() == position[:4].tolist()
            assert len(set(row)) == 6
            assert (np.diff(row[4:]) > 0).all()


def test_without_time_no_target_is_in_the_items_mean(untimed):
    split = rr.split(untimed)
    turned = replace(untimed, rating=untimed.rating.copy())
    turned.rating[split.train.position] = 6 - turned.rating[split.train.position]
    other = rr.split(turned)
    for part, same in ((split.train, other.train), (split.test, other.test)):
        a, b = item_statistics(split, part), item_statistics(other, same)
        assert (a[1] == b[1]).all()
        # only the global mean, towards which an item's is drawn, may move
        overall = [d.rating[s.train_ratings].mean() for d, s in ((untimed, split), (turned, other))]
        drawn = 5 / (a[1] + 5)
        assert a[0] - drawn * overall[0] == pytest.approx(b[0] - drawn * overall[1], abs=1e-5)


# --- what limits results ------------------------------------------------------------------------


def test_ties_that_decide_which_ratings_are_the_last(tiny):
    """By hand: of ratings at times 0 0 1 1 2 the last 3 of the fifth are determined, the last 1 and 2 …"""
    data = replace(tiny, time=np.concatenate([[0, 0, 1, 1, 2], tiny.time[5:]]))
    sample = Samples(data, np.array([4]))  # four earlier ratings
    assert [bool(arbitrary_last(sample, k)[0]) for k in (1, 2, 3, 4, 9)] == [True, False, True, False, False]
    assert not arbitrary_last(Samples(replace(data, timed=False), np.array([4])), 1).any()


def test_disclosures_are_counted(tiny, tiny_split):
    test = tiny_split.test
    longest = int(test.n_earlier.max())
    assert whole(test, longest).all()
    assert not any("whole history" in said for said in disclosures(tiny_split, int(test.n_earlier.min()) - 1))
    said = disclosures(tiny_split, longest)
    assert said == [
        f"K = {longest} shows the whole history of 100 % of the 124 test samples: there selectors differ in order "
        "alone, which the vote does not read."
    ]
    low = replace(tiny, unrated=1.0, timed=False)
    split = replace(tiny_split, data=low, test=Samples(low, test.position))
    ones = (low.rating[test.position] == 1).sum()
    said = disclosures(split, 1)
    dislikes = f"{ones} of the {(~test.liked).sum()} dislikes among the test samples"
    assert said == [f"{dislikes} are ratings of 1, which stand for no rating."]
    tied = replace(tiny, time=np.zeros_like(tiny.time))
    said = disclosures(replace(tiny_split, data=tied, test=Samples(tied, test.position)), 3)
    assert said[0].startswith("For 100 % of the 124 test samples item ids decide which ratings are the last 3")
