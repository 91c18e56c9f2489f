"""Graphs and alignments of several choices, trained side by side."""

from dataclasses import replace

import pytest

import rallrec as rr
from rallrec import pipeline
from rallrec.infra.cache import Cache, NotKept, only_kept
from rallrec.pipeline import METHOD, Choice, Study, train
from rallrec.study import released

from .studies import study_of


@pytest.fixture
def jobs(monkeypatch) -> list[tuple[Study, Choice]]:
    """What other processes were asked for, whatever the size of the data."""
    made, real = [], pipeline.side_by_side
    monkeypatch.setattr(pipeline, "WORTH_A_PROCESS", 1)
    monkeypatch.setattr(pipeline, "side_by_side", lambda make, of, what: made.extend(of) or real(make, of, what))
    return made


@pytest.fixture
def study(tiny_split, tmp_path) -> Study:
    """Only its texts are at hand."""
    study = study_of(tiny_split, tmp_path, cache=Cache(tmp_path / "trainings"))
    study.parts = {name: study.parts[name] for name in ("title", "description")}
    return study


CHOICES = [Choice(layers=1), Choice(layers=2), Choice(edges="likes"), Choice(temperature=0.5), METHOD]


def test_nothing_is_trained_twice(study, jobs, monkeypatch):
    """The graph of two layers is that of likes; the alignment's and the method's are one, trained by the first."""
    seconds = study.train(CHOICES)
    assert [(s.size.lightgcn["layers"], s.size.alignment.get("temperature")) for s, _ in jobs] == [
        (1, None),
        (2, None),
        (2, 0.5),
        (2, None),
    ]
    assert [seconds[c] > 0 for c in CHOICES] == [True, True, False, True, True]
    fresh = replace(study, parts=dict(study.parts), _kept={}, _retrieved={})
    with only_kept():
        for choice in CHOICES:
            fresh.items(choice)
    jobs.clear()
    assert set(fresh.train(CHOICES).values()) == {0.0}
    assert not jobs


def test_it_is_what_one_process_trains(study, jobs, tmp_path):
    alone = replace(study, parts=dict(study.parts), cache=Cache(tmp_path / "alone"), _kept={}, _retrieved={})
    study.train(CHOICES)
    for choice in CHOICES:
        assert study.items(choice).parts[0] == pytest.approx(alone.items(choice).parts[0], abs=2e-3)


def test_another_protocols_graph(study, jobs):
    under = [released.under(study, protocol) for protocol in released.applicable(study.split).values()]
    train([(each, METHOD) for each in under])
    trained = {s.split.protocol for s, _ in jobs}
    assert {each.split.protocol for each in under if each.differs} <= trained
    with only_kept():
        for each in under:
            each.items(METHOD)


def test_what_another_process_does_not_know_is_left(study, jobs):
    rr.representation("known here only")(lambda study: study["colla"])
    study.train([Choice("known here only"), Choice(selector="recent"), Choice("title")])
    assert not jobs


def test_a_part_that_is_given_is_taken(study, jobs, embedding):
    """A graph of the user's own is not trained behind her back."""
    study.parts["colla"] = embedding
    study.train([Choice(temperature=0.5), Choice(temperature=2)])
    assert len(jobs) == 2
    assert all((s.parts["colla"] == embedding).all() for s, _ in jobs)


def test_only_what_is_kept(cache):
    cache.arrays(dict(step="a"), dict)
    with only_kept():
        assert cache.arrays(dict(step="a"), lambda: 1 / 0) == {}
        with pytest.raises(NotKept):
            cache.arrays(dict(step="b"), lambda: 1 / 0)
    assert cache.arrays(dict(step="b"), dict) == {}
