"""Study and Choice: what is shown, who reads it, and the command line that makes a row."""

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec import pipeline
from rallrec.__main__ import main
from rallrec.data.past import item_statistics
from rallrec.evaluation.calibration import platt
from rallrec.evaluation.metrics import auc
from rallrec.pipeline import FULL, METHOD, Choice, Study
from rallrec.profiles import profile
from rallrec.readers.base import READERS
from rallrec.readers.combination import combine
from rallrec.representations.mixture import mix
from rallrec.study.ablations import ASKED, CLAIMS, FAST, VARIANTS

from .studies import study_of


@pytest.fixture(scope="module")
def study(tiny_split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_DATA", str(folder))
        yield study_of(tiny_split, folder)


def test_a_choice_is_what_its_selector_and_representation_show(study):
    test = study.split.test
    for label, choice in VARIANTS.items():
        shown = study.shown(choice, test)
        assert shown.k == study.size.k, label
    plain = rr.select(test, "high", study["colla"], 7)
    assert (study.shown(Choice("colla", "high", k=7), test).position == plain.position).all()
    assert study.auc(Choice("colla", "high", k=7)) == auc(test.liked, rr.vote(plain))
    assert VARIANTS[FULL] == Choice() == METHOD


def test_parts_and_representations_have_one_name(study):
    assert study["mix3"] == pytest.approx(mix(study["text"], study["colla"], study["ssl"]))
    assert study["mix3-plain"] == pytest.approx(mix(study["title"], study["colla"], study["ssl of the title"]))
    with pytest.raises(rr.InputError, match="'mix2' is not one matrix but 2"):
        study["mix2"]


def test_nothing_is_made_before_it_is_asked_for_and_nothing_twice(tiny_split, tmp_path, monkeypatch):
    made = []
    for name in ("train_lightgcn", "train_alignment", "describe"):
        real = getattr(pipeline, name)
        monkeypatch.setattr(
            pipeline, name, lambda *a, _name=name, _real=real, **k: made.append(_name) or _real(*a, **k)
        )
    study = Study(tiny_split, study_of(tiny_split, tmp_path).llm, profile("smoke"))
    study.auc(Choice(selector="recent"))
    assert made == []
    study.auc(Choice("colla", "high"))
    assert made == ["train_lightgcn"]
    study.auc(Choice())
    study.auc(Choice("mix"))
    assert made == ["train_lightgcn", "describe", "train_alignment"]


def test_weights_and_retrained_parts(study):
    mixed = study.items(Choice(weights=(0, 1, 0))).parts[0]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (mixed[:, -12:-6], study["colla"])]
    np.testing.assert_allclose(*unit, atol=1e-5)
    assert (mixed[:, -6:] == 0).all()
    none, one = (study.items(Choice("colla", layers=n)).parts[0] for n in (0, 1))
    assert not np.allclose(none, one)
    cold, hot = (study.items(Choice(temperature=t)).parts[0] for t in (0.05, 1.0))
    assert not np.allclose(cold, hot)
    assert study.items(Choice("text")).parts[0] is study["text"]  # a variant shares what does not differ


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice("poem"), "representation is 'poem'; it must be one of: title, text, colla"),
        (Choice(selector="best"), "selector is 'best'; it must be one of: recent, high"),
        (Choice(reader="oracle"), "reader is 'oracle'; it must be one of: vote, global mean"),
        (Choice("text", layers=1), "'text' does not depend on layers"),
        (Choice("colla", temperature=1.0), "'colla' does not depend on temperature"),
        (Choice("colla", weights=(1, 2, 1)), "'colla' has no weights; these have: mix, mix3"),
        (Choice(weights=(1, 2)), r"weights are \(1, 2\); give 3 of them"),
        (Choice(selector="high", recent=0.5), "selector 'high' takes no 'recent'"),
        (Choice(selector="learned", layers=1), "'learned' reads no one representation, so layers changes nothing"),
    ],
)
def test_what_a_choice_can_not_be(study, choice, said):
    with pytest.raises(rr.InputError, match=said):
        study.auc(choice)


def test_settings_that_a_representation_uses_are_told_after_another_was_made(study):
    study.items(Choice("colla", layers=1))
    with pytest.raises(rr.InputError, match="'text' does not depend on layers"):
        study.items(Choice("text", layers=1))


def test_p_of_the_fast_readers(study):
    """Each reader's P(like) as its parts have it, put together by hand."""
    test, valid, split = study.split.test, study.split.valid, study.split
    votes = [rr.vote(study.shown(METHOD, part)) for part in (valid, test)]
    assert study.predict(METHOD) == pytest.approx(platt(votes[0], valid.liked)(votes[1]))
    means = [item_statistics(split, part)[0] for part in (valid, test)]
    mean = [platt(means[0], valid.liked)(part) for part in means]
    k = study.with_best_k(METHOD).k
    aucs = {k: auc(valid.liked, rr.vote(study.shown(Choice(k=k), valid))) for k in study.size.curve_k}
    assert aucs[k] == max(aucs.values())
    vote = [study.predict(Choice(k=k), part) for part in ("valid", "test")]
    p, _ = combine([mean[0], vote[0]], valid.liked, [mean[1], vote[1]])
    assert study.predict(METHOD.read_by("item mean + vote")) == pytest.approx(p)
    assert study.predict(METHOD.read_by("global mean")) == pytest.approx(valid.liked.mean(), abs=1e-3)


def test_rows_know_their_samples(study):
    asked = study.asked()
    assert len(asked) == study.size.ablation_samples
    p = study.predict(METHOD, of=asked)
    rows = [study.split.test.position.tolist().index(position) for position in asked.position]
    assert (p == study.predict(METHOD)[rows]).all()
    with pytest.raises(rr.InputError, match="reader 'llm' does not judge"):
        study.predict(METHOD.read_by("llm"), of=study.split.test)
    table = study.table({FULL: METHOD, "LLM": METHOD.read_by("llm"), "last K": Choice(selector="recent")}, FULL)
    assert table.method.tolist() == [FULL, "LLM", "last K"]
    assert table.n.tolist() == [len(study.split.test), len(asked), len(study.split.test)]
    llm, vote = study.predict(METHOD.read_by("llm")), study.predict(METHOD, of=asked)
    assert table.difference[1] == pytest.approx(auc(asked.liked, llm) - auc(asked.liked, vote))


def test_the_tables_rows_name_what_exists():
    rows = FAST | ASKED
    assert all(a in rows and b in rows for _, a, b in CLAIMS)
    assert {READERS[choice.reader].samples for choice in FAST.values()} == {"all"}
    assert {READERS[choice.reader].family for choice in ASKED.values()} == {"LLM"}


# --- the command line ---------------------------------------------------------------------------


def test_commands_say_what_differs():
    assert Choice().command("tiny") == "rallrec ablate --dataset tiny"
    choice = Choice("colla", "high", "llm", 7, 0.25, (1, 2, 0), layers=3, edges="all", temperature=0.1)
    assert choice.command("tiny", "my file.py") == (
        "rallrec ablate --dataset tiny --extra 'my file.py' --representation colla --selector high --reader llm --k 7 "
        "--recent 0.25 --weights 1 2 0 --layers 3 --edges all --temperature 0.1"
    )
    assert Choice(recent=2 / 3).command("tiny").endswith("--recent 2/3")


@pytest.mark.parametrize("recent", [1 / 3, 2 / 3, 0.1, 0.123456, 1.0])
def test_a_command_gives_the_very_same_share(recent, study, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(Study, "of", lambda *a: study)
    monkeypatch.setattr(Study, "row", lambda _, choice, beside: seen.append(choice) or pd.DataFrame([METRICS]))
    assert main(Choice(recent=recent).command("tiny").split()[1:]) == 0
    assert seen == [Choice(recent=recent)]


METRICS = dict(method="x", n=1) | {
    m + end: 0.5 for m in ("auc", "log_loss", "difference") for end in ("", "_low", "_high")
}


@pytest.mark.parametrize("written", ["1/0", "nan", "third"])
def test_a_share_that_is_none_is_refused(written, capsys):
    with pytest.raises(SystemExit):
        main(["ablate", "--dataset", "tiny", "--recent", written])
    assert f"argument --recent: invalid share value: '{written}'" in capsys.readouterr().err


@pytest.mark.parametrize(("written", "share"), [(0.3333, 1 / 3), (0.6667, 2 / 3), (0.667, 2 / 3)])
def test_a_rounded_share_shows_what_the_fraction_shows(study, written, share):
    for k in (3, 6, 12, 30):
        shown = [study.shown(Choice(recent=r, k=k), study.split.test).position for r in (written, share)]
        assert (shown[0] == shown[1]).all()


@pytest.mark.parametrize(
    "choice", [Choice("colla", "high", k=3), Choice(selector="recent", reader="llm"), METHOD.read_by("zero-shot")]
)
def test_the_command_makes_the_row(capsys, monkeypatch, study, choice):
    monkeypatch.setattr(Study, "of", lambda *a: study)
    assert main(choice.command("tiny").split()[1:]) == 0
    said = capsys.readouterr().out
    for row in (choice, METHOD.read_by(choice.reader)):
        samples = study.judged(row)
        assert f" {auc(samples.liked, study.predict(row)):.3f} [" in said


def test_the_llm_reads_with_and_without_its_adapter(study):
    asked, (adapted, details) = study.asked(), study.adapted
    shown = rr.select(asked, "recent", k=study.size.llm_k)
    for reader, llm in (("llm", adapted), ("zero-shot", study.llm)):
        p = rr.recommend(shown, llm, details=details)
        assert study.predict(Choice(selector="recent", reader=reader)) == pytest.approx(p)


@pytest.mark.parametrize("selector", ["recent", "high", "sequential", "rerank"])
@pytest.mark.parametrize("kind", ["mix3", "mix2", "hybrid"])
def test_what_is_kept_shows_what_select_shows(study, kind, selector):
    test, options = study.split.test, {"recent": 0.5} if selector == "rerank" else {}
    for k in (1, 4, 9, 4, 60):
        expected = rr.select(test, selector, study.representation(kind), k, **options)
        assert (study.shown(Choice(kind, selector, k=k, **options), test).position == expected.position).all()


def test_a_row_names_the_parts_that_it_depends_on():
    from rallrec.study.ablations import FAST, parts_of

    table = parts_of(FAST).set_index("row")
    assert table.loc["vote, RALLRec"].tolist() == ["mix3", "rerank", "vote"]
    assert table.loc["vote, last K"].tolist() == ["–", "recent", "vote"]
    assert table.loc["DeepFM"].tolist() == ["–", "–", "DeepFM"]
    assert table.loc["global mean"].tolist() == ["–", "–", "global mean"]
