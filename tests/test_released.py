"""The released protocol, switch by switch."""

from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec.data.split import PROTOCOLS, Protocol
from rallrec.evaluation.metrics import auc
from rallrec.pipeline import Choice
from rallrec.readers.base import READERS
from rallrec.retrieval.retrieve import Representation, shifted
from rallrec.study import released

from .test_ablations import study_of


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


def test_changes_are_measured_against_strict(tiny_split, tmp_path, monkeypatch):
    study, test = study_of(tiny_split, tmp_path), tiny_split.test
    other = study.changed(study.size, ("colla",))
    other.parts["colla"] = np.random.default_rng(9).normal(size=study["colla"].shape).astype(np.float32)
    switched = {
        "same": (PROTOCOLS["strict"], other),
        "first": (Protocol(first_rows=True), other),
        "other": (Protocol(True), other),
    }
    monkeypatch.setattr(released, "SCORED", 50)
    choice = Choice("colla", "high", k=3)
    table = released.changes(study, switched, choice).set_index("protocol")
    a, b = (rr.vote(rr.retrieve(test, of["colla"], 3)) for of in (study, other))
    assert table.difference["same"] == 0
    assert table.difference["first"] == pytest.approx(auc(test.liked[:50], a[:50]) - auc(test.liked, a))
    assert table.difference["other"] == pytest.approx(auc(test.liked, b) - auc(test.liked, a))
    assert table.n.tolist() == [len(test), len(test), 50, len(test)]
    low, high = table.difference_low["other"], table.difference_high["other"]
    assert low < table.difference["other"] < high

    asked = []

    def recorded(study, shown):
        asked.append(len(shown))
        return rr.vote(shown)

    monkeypatch.setattr(READERS["vote"], "score", recorded)
    table = released.changes(study, switched, choice, n=40).set_index("protocol")
    everywhere, early = test.draw(40), test.take(np.arange(50)).draw(40)
    assert asked == [len(np.union1d(everywhere, early)), 40]  # what is judged, and nothing else
    assert table.n.tolist() == [40] * 4
    assert table.auc["strict"] == pytest.approx(auc(test.liked[everywhere], a[everywhere]))
    assert table.auc["first"] == pytest.approx(auc(test.liked[early], a[early]))
    assert table.auc["other"] == pytest.approx(auc(test.liked[everywhere], b[everywhere]))


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
    def row(low, high):
        return type("Row", (), dict(difference=(low + high) / 2, difference_low=low, difference_high=high))

    assert released.finding(row(0.01, 0.03)).startswith("flatters")
    assert released.finding(row(-0.03, -0.01)).startswith("harms")
    assert released.finding(row(-0.01, 0.02)).startswith("changes nothing")
