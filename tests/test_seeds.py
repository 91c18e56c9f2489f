"""Trained readers with several seeds; what two rows differ in; the study of explicit ratings."""

from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec.pipeline import METHOD, Choice
from rallrec.study import explicit as explicits
from rallrec.study import seeds
from rallrec.study.compared import compared, in_words

from .test_ablations import study_of


@pytest.fixture(scope="module")
def study(tiny_split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_DATA", str(folder))
        yield study_of(tiny_split, folder)


@pytest.mark.parametrize("reader", ["DIN", "lightgbm, no retrieval", "lightgbm"])
def test_a_trained_reader_is_asked_with_several_seeds(study, reader):
    """The first is the study's own prediction; the others are other trainings."""
    choice = Choice(selector="recent", reader=reader)
    p = seeds.predict(study, choice)
    assert p.shape == (study.size.seeds, len(study.split.test))
    assert p[0] == pytest.approx(study.predict(choice))
    assert (p[1] != p[0]).any()
    next_seed = study.changed(study.size, (), seed=study.seed + 1)
    if reader != "DIN":  # whose settings would be tuned with that seed
        assert p[1] == pytest.approx(next_seed.predict(choice))
    some = study.split.test.take(np.array([5, 1]))
    assert (seeds.predict(study, choice, some) == p[:, [5, 1]]).all()
    e = rr.evaluate(study.split.test, p)["auc"]
    assert (e.seeds, e.users) == (study.size.seeds, len(np.unique(study.split.test.user)))


def test_a_reader_without_a_training_answers_once(study):
    assert (seeds.predict(study, METHOD) == study.predict(METHOD)).all()


def test_what_two_choices_differ_in():
    high = Choice("colla", "high")
    assert compared(high, replace(high, reader="llm")) == {"reader": ("vote", "llm")}
    assert compared(Choice("colla", "recent"), Choice("text", "recent")) == {}
    assert compared(replace(high, reader="DIN"), Choice(reader="DIN", k=3)) == {}
    assert compared(high, Choice("text", "recent")) == {
        "representation": ("colla", None),
        "selector": ("high", "recent"),
    }
    assert in_words(high, replace(high, k=3)) == "k: – / 3"
    assert in_words(high, high) == "nothing"
    assert in_words(replace(METHOD, recent=0.5), replace(METHOD, recent=0.25)) == "recent: 0.5 / 0.25"


def test_the_study_of_explicit_ratings(tiny, tiny_split, tmp_path, monkeypatch):
    monkeypatch.setattr(explicits, "load", lambda name: replace(tiny, name=name, timed=False))
    named = replace(tiny, name="bookcrossing", timed=False)
    of = study_of(rr.split(named), tmp_path, n_asked=7)
    made = explicits.explicit(of)
    assert made.split.data.name == "bookcrossing-explicit"
    assert (made.llm, made.size, made.seed) == (of.llm, of.size, of.seed)
    assert len(made.split.test) == len(made.split.train) == 24  # two fifths of sixty users
    assert not made.parts  # other ratings, other parts
    assert made.predict(Choice(selector="recent")).shape == (24,)
    assert explicits.explicit(study_of(tiny_split, tmp_path)) is None
