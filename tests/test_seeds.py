"""Trained readers with several seeds; what two rows differ in; the study of explicit ratings."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import rallrec as rr
from rallrec.evaluation.metrics import adjusted, auc
from rallrec.pipeline import METHOD, Choice
from rallrec.runs.figures import counted, with_intervals
from rallrec.study import ablations, claims, seeds
from rallrec.study import explicit as explicits
from rallrec.study.compared import compared, in_words

from .studies import study_of


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


def test_a_table_of_means_over_seeds(study):
    """Rows of trained readers with their spread, others once; all differences are one family."""
    rows = {"trees": Choice(selector="recent", reader="lightgbm"), "vote": METHOD, "last": Choice(selector="recent")}
    table = study.table(rows, "vote", predict=partial(seeds.predict, study))
    assert table.seeds.tolist() == [study.size.seeds, 1, 1]
    assert table.auc_spread.notna().tolist() == [True, False, False]
    each = [auc(study.split.test.liked, p) for p in seeds.predict(study, rows["trees"])]
    assert table.auc[0] == pytest.approx(np.mean(each))
    assert table.adjusted_p.dropna().tolist() == adjusted(table.difference_p.dropna()).tolist()


def test_tables_for_reading_tell_seeds_users_and_chance(study):
    rows = {"trees": Choice(selector="recent", reader="lightgbm"), "vote": METHOD}
    table = study.table(rows, "vote", predict=partial(seeds.predict, study))
    show = with_intervals(table, {"auc": "AUC", "calibration_error": "calibration error"})
    assert show.columns.tolist() == ["method", "AUC", "calibration error (by chance)", "AUC over seeds"]
    assert show["AUC over seeds"].tolist() == [f"± {table.auc_spread[0]:.3f} (2)", "–"]
    assert show["calibration error (by chance)"][1].endswith(f" ({table.calibration_floor[1]:.3f})")
    test, users = study.split.test, len(np.unique(study.split.test.user))
    assert counted(table) == f"{len(test):,} samples of {users:,} users"
    table.loc[0, "users"] -= 1  # rows on other samples say so themselves
    assert counted(table) == ""
    show = with_intervals(table, {"auc": "AUC"})
    assert show["users"].tolist() == [f"{users - 1:,}", f"{users:,}"]
    assert show["samples"].tolist() == [f"{len(test):,}"] * 2


def test_differences_of_rows_on_other_samples_are_of_the_same_family(study):
    rows = {"vote": METHOD, "last": Choice(selector="recent"), "llm": METHOD.read_by("zero-shot")}
    table = study.table(rows, "vote")
    assert table.n.nunique() == 2
    assert table.adjusted_p.dropna().tolist() == adjusted(table.difference_p.dropna()).tolist()


def test_a_reader_without_a_training_answers_once(study):
    assert (seeds.predict(study, METHOD) == study.predict(METHOD)).all()


def test_what_two_choices_differ_in():
    high = Choice("colla", "high")
    assert compared(high, replace(high, reader="llm")) == {"reader": ("vote", "llm")}
    assert compared(high, Choice("text", "high", k=3)) == {"representation": ("colla", "text"), "k": (None, 3)}
    assert compared(Choice("colla", "recent"), Choice("text", "recent")) == {}
    assert compared(high, Choice("text", "recent")) == {"selector": ("high", "recent")}
    assert compared(high, Choice(reader="DIN", k=3)) == {"reader": ("vote", "DIN")}
    assert in_words(high, replace(high, k=3)) == "k: – / 3"
    assert in_words(high, high) == "nothing"
    assert in_words(replace(METHOD, recent=0.5), replace(METHOD, recent=0.25)) == "recent: 0.5 / 0.25"


@pytest.mark.parametrize(("claim", "one", "other"), ablations.CLAIMS)
def test_a_claim_of_ours_changes_the_one_thing_in_brackets(claim, one, other):
    rows = ablations.FAST | ablations.ASKED
    (changed,) = compared(rows[one], rows[other])
    assert claim.endswith(f"({changed})")


@pytest.mark.parametrize("claim", [c for c in claims.CLAIMS if not any(map(callable, c.llm))], ids=lambda c: c.compared)
def test_a_claim_of_the_papers_says_whether_it_changes_one_thing(claim):
    for sides in filter(None, (claim.llm, claim.vote)):
        assert len(compared(*sides)) <= 1 or not claim.one_change
    assert claim.one_change or len(compared(*claim.llm)) > 1


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
