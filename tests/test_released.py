"""The released protocol, switch by switch."""

from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec.data.split import Protocol
from rallrec.evaluation.metrics import auc
from rallrec.pipeline import Choice
from rallrec.retrieval.retrieve import Representation, shifted
from rallrec.study import released

from .studies import study_of


def test_the_shift_compares_history_items_by_the_next_id(tiny, tiny_split):
    """With one-hot rows the most similar history item of a target is the one before it in the catalogue."""
    one_hot = Representation("ids", (np.eye(tiny.n_items, dtype=np.float32),))
    samples = tiny_split.test
    shown = rr.retrieve(samples, shifted(one_hot, tiny), 1)
    for position, n, target, first in zip(
        samples.position, samples.n_earlier, samples.item, shown.item[:, 0], strict=True
    ):
        if target - 1 in tiny.item[position - n : position]:
            assert first == target - 1


def test_a_next_id_that_does_not_exist_is_similar_to_nothing(tiny):
    items = Representation("x", (np.random.default_rng(0).normal(size=(tiny.n_items, 4)).astype(np.float32),))
    (history,) = shifted(items, tiny).history
    assert (history[:-1] == items.parts[0][1:]).all()
    assert (history[-1] == 0).all()


def test_ids_that_are_no_numbers_cannot_be_shifted(tiny):
    named = replace(tiny, items=tiny.items.assign(item_id=tiny.items.item_id.astype(str)))
    with pytest.raises(rr.InputError, match="no whole numbers"):
        shifted(Representation("x", (np.zeros((tiny.n_items, 2), np.float32),)), named)


def test_what_applies_to_a_data_set(tiny_split):
    labels = released.applicable(tiny_split)
    assert released.SWITCHES["id_shift"] in labels
    assert released.SWITCHES["first_rows"] not in labels  # its test set is short
    assert labels[released.ALL] == Protocol(True, True, True, True, False)


def test_ids_that_are_names_have_no_shift(tiny):
    named = replace(tiny, items=tiny.items.assign(item_id=tiny.items.item_id.astype(str)))
    labels = released.applicable(rr.split(named))
    assert released.SWITCHES["id_shift"] not in labels
    assert not labels[released.ALL].id_shift


def test_changes_are_measured_against_strict_on_the_same_samples(tiny_split, tmp_path):
    study, test = study_of(tiny_split, tmp_path), tiny_split.test
    first = test.take(np.arange(50))
    other = study.changed(study.size, ("colla",))
    other.parts["colla"] = np.random.default_rng(9).normal(size=study["colla"].shape).astype(np.float32)
    fewer = other.changed(other.size, (), split=replace(tiny_split, test=first))
    same = study.changed(study.size, ())
    switched = {
        "same": (Protocol(chosen_on_test=True), same),
        "first": (Protocol(first_rows=True), same.changed(same.size, (), split=fewer.split)),
        "other": (Protocol(True), other),
        "both": (Protocol(True, first_rows=True), fewer),
    }
    table = released.changes(study, switched, Choice("colla", "high", k=3)).set_index("protocol")
    a, b = (rr.vote(rr.retrieve(test, of["colla"], 3)) for of in (study, other))
    assert table.difference["same"] == table.difference_low["same"] == 0
    assert table.difference["other"] == pytest.approx(auc(test.liked, b) - auc(test.liked, a))
    assert table.difference["both"] == pytest.approx(auc(first.liked, b[:50]) - auc(first.liked, a[:50]))
    assert np.isnan(table.difference[["strict", "first"]]).all()  # other samples, no paired effect
    assert table.auc["first"] == pytest.approx(auc(first.liked, a[:50]))
    assert table.auc_low["first"] < table.auc["first"] < table.auc_high["first"]
    assert table.n.tolist() == [len(test), len(test), 50, len(test), 50]
    assert table.users.tolist()[1:3] == [len(np.unique(part.user)) for part in (test, first)]
    assert table.difference_low["other"] < table.difference["other"] < table.difference_high["other"]


def test_both_sides_of_a_pair_have_the_same_cap(tiny_split, tmp_path):
    """A graph under another protocol is trained as long as the one that it is compared with."""
    study = study_of(tiny_split, tmp_path)
    del study.parts["colla"], study.parts["ssl"]
    study.size = replace(study.size, lightgcn=study.size.lightgcn | {"epochs": 30}, released_epochs=10)
    strict, leak = released.capped(study), released.under(study, Protocol(True))
    assert strict.size == leak.size
    assert strict.size.lightgcn == study.size.lightgcn | {"epochs": 10}
    assert released.capped(study) is strict
    assert not np.allclose(strict["colla"], study["colla"])
    assert not np.allclose(strict["ssl"], study["ssl"])
    # what chooses another epoch on the same graph is compared with that graph
    choice = Choice("colla", "high", k=3)
    shifted = released.under(study, Protocol(id_shift=True))
    assert (shifted["colla"] == strict["colla"]).all()
    table = released.changes(study, {"leak": (Protocol(True), leak)}, choice)
    a, b = (rr.vote(of.shown(choice, tiny_split.test)) for of in (strict, leak))
    assert table.auc[0] == auc(tiny_split.test.liked, a)
    assert table.difference[1] == pytest.approx(auc(tiny_split.test.liked, b) - auc(tiny_split.test.liked, a))


def test_a_graph_that_is_short_anyway_is_the_studys_own(tiny_split, tmp_path):
    study = study_of(tiny_split, tmp_path)
    assert study.size.lightgcn["epochs"] <= study.size.released_epochs
    assert released.capped(study) is study


def test_all_edges_and_the_leak_change_the_embedding(tiny_split, tmp_path):
    study = study_of(tiny_split, tmp_path)
    leak, edges, again = (
        released.under(study, p)["colla"]
        for p in (Protocol(True), Protocol(all_ratings_are_edges=True), Protocol(chosen_on_test=True))
    )
    assert not np.allclose(leak, edges)
    assert not np.allclose(leak, again)
    assert released.under(study, Protocol(first_rows=True))["colla"] is study["colla"]  # nothing else is trained anew
    assert released.under(study, Protocol(True))["text"] is study["text"]


def test_the_shift_is_a_switch(tiny_split, tmp_path):
    study = study_of(tiny_split, tmp_path)
    one = released.under(study, Protocol(id_shift=True)).representation("mix3")
    assert (one.parts[0] == study["mix3"]).all()
    assert (one.history[0][:-1] == study["mix3"][1:]).all()


def test_a_sentence_follows_the_interval():
    def row(low, high, adjusted_p=0.01, protocol="the graph sees the test ratings"):
        of = dict(difference=(low + high) / 2, difference_low=low, difference_high=high, adjusted_p=adjusted_p)
        of |= dict(auc=0.7, auc_low=0.6, auc_high=0.8, n=10_000, users=99, protocol=protocol)
        return type("Row", (), of)

    assert released.finding(row(0.01, 0.03)).startswith("it flatters the result, +0.020 [")
    assert released.finding(row(-0.03, -0.01)).startswith("it lowers the result")
    assert released.finding(row(-0.01, 0.02)).startswith("inconclusive")
    assert released.finding(row(0.01, 0.03, 0.2)).startswith("inconclusive")
    assert released.finding(row(0, 0, 1.0)) == "identical predictions, so it changes nothing here"
    cannot = released.finding(row(0, 0, 1.0, released.SWITCHES["chosen_on_test"]))
    assert cannot == (
        "identical predictions, since the same epoch is best on validation and on test: the switch can't act here"
    )
    assert released.finding(row(np.nan, np.nan, np.nan)) == (
        "other samples, so nothing is paired, AUC 0.700 [0.600, 0.800] on these 10,000 of 99 users"
    )
