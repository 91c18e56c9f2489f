"""Study and Choice: what is shown, who reads it, and the command line that makes a row."""

import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec import pipeline
from rallrec.__main__ import main
from rallrec.data.past import item_statistics
from rallrec.data.split import Samples
from rallrec.evaluation.calibration import platt
from rallrec.evaluation.metrics import auc
from rallrec.pipeline import FULL, METHOD, Choice, Study
from rallrec.profiles import profile
from rallrec.readers.base import READERS
from rallrec.readers.combination import combine
from rallrec.representations.alignment import TWO_SIDED
from rallrec.representations.mixture import mix
from rallrec.retrieval.selectors import ALPHAS
from rallrec.study import formats
from rallrec.study.ablations import (
    ALIGNMENTS,
    ASKED,
    CLAIMS,
    FAST,
    GRAPHS,
    IN_ORDER,
    VARIANTS,
    best_cell,
    highest,
)

from .studies import study_of


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
    assert (study["mixture"] == mix(study["text"], study["colla"], study["ssl"])).all()
    assert (study["mixture, title"] == mix(study["title"], study["colla"], study["ssl of the title"])).all()
    with pytest.raises(rr.InputError, match="'mix2' is not one matrix but 2"):
        study["mix2"]


def test_nothing_is_made_before_it_is_asked_for_and_nothing_twice(tiny_split, tmp_path, monkeypatch):
    made = []
    for name in ("train_lightgcn", "align", "describe"):
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
    study.auc(Choice("concatenation"))
    assert made == ["train_lightgcn", "describe", "align"]


@pytest.mark.parametrize(
    ("part", "of", "settings"),
    [
        ("ssl", "text", {}),
        ("ssl of the title", "title", {}),
        ("ssl of the description", "description", {}),
        ("ssl, two-sided", "text", TWO_SIDED),
    ],
)
def test_what_each_alignment_is_trained_on(tiny_split, tmp_path, monkeypatch, part, of, settings):
    study, trained = study_of(tiny_split, tmp_path), []
    monkeypatch.setattr(pipeline, "align", lambda *a, **k: trained.append((a, k)) or a)
    del study.parts[part]
    _ = study[part]
    ((text, colla, warm), given), usual = trained[0], study.size.alignment | dict(seed=0, device="cpu", cache=None)
    assert text is study[of]
    assert colla is study["colla"]
    assert (warm == pipeline.warm_items(tiny_split)).all()
    assert given == settings | usual


def test_items_of_the_graph_are_those_that_it_may_see(tiny_split):
    data = tiny_split.data
    warm = pipeline.warm_items(tiny_split)
    assert set(np.flatnonzero(warm)) == set(data.item[tiny_split.graph_ratings])


def test_weights_and_retrained_parts(study):
    mixed = study.items(Choice(weights=(0, 1, 0))).parts[0]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (mixed[:, -12:-6], study["colla"])]
    np.testing.assert_allclose(*unit, atol=1e-5)
    assert (mixed[:, -6:] == 0).all()
    none, one = (study.items(Choice("colla", layers=n)).parts[0] for n in (0, 1))
    assert not np.allclose(none, one)
    for name in ("mixture", "mixture, two-sided"):
        cold, hot = (study.items(Choice(name, temperature=t)).parts[0] for t in (0.05, 1.0))
        assert not np.allclose(cold, hot), name
    assert study.items(Choice("text")).parts[0] is study["text"]  # a variant shares what does not differ


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice("poem"), "representation is 'poem'; it must be one of: title; description; text"),
        (Choice(selector="best"), "selector is 'best'; it must be one of: recent, high"),
        (Choice(reader="oracle"), "reader is 'oracle'; it must be one of: vote; global mean"),
        (Choice("text", layers=1), "'text' does not depend on layers"),
        (Choice("colla", temperature=1.0), "'colla' does not depend on temperature"),
        (Choice("colla", weights=(1, 2, 1)), "'colla' has no weights; these have: concatenation, mixture, mix3"),
        (Choice(weights=(1, 2)), r"weights are \(1, 2\); give 3 of them"),
        (Choice(selector="high", recent=0.5), "selector 'high' takes no 'recent'"),
        (Choice(recent=0.5), "selector 'rerank' takes no 'recent'"),
        (Choice(selector="released", alpha=0.5), "selector 'released' takes no 'alpha'"),
        (Choice("concatenation", stop="held out"), "'concatenation' does not depend on stop"),
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


# --- alpha: chosen on validation ----------------------------------------------------------------


def aucs_by_alpha(study, samples, items, k: int, **options) -> dict[float, float]:
    """The vote's AUC at each of the paper's alphas, as the definition has it."""
    return {a: round(auc(samples.liked, rr.vote(rr.rerank(samples, items, k, a, **options))), 4) for a in ALPHAS}


def with_ratings(study, samples, rng) -> Study:
    """The study with other ratings of these samples' targets."""
    split, rating = study.split, study.split.data.rating.copy()
    rating[samples.position] = rng.permutation(rating[samples.position])
    data = replace(split.data, rating=rating)
    parts = {name: Samples(data, getattr(split, name).position) for name in ("train", "valid", "test")}
    return study.changed(study.size, (), split=replace(split, data=data, **parts))


@pytest.mark.parametrize(("name", "k"), [("mixture", 5), ("mixture", 10), ("colla", 3), ("text", 8)])
def test_alpha_is_the_best_of_the_papers_three_on_validation(study, name, k):
    items = study.representation(name)
    for options in ({}, dict(both="max"), dict(beta=2.0)):
        aucs, best = aucs_by_alpha(study, study.split.valid, items, k, **options), study.best_alpha(items, k, **options)
        assert aucs[best] == max(aucs.values())
        test = study.split.test
        shown = study.shown(Choice(name, k=k, **options), test)
        assert (shown.position == rr.rerank(test, items, k, best, **options).position).all()
        other = study.shown(Choice(name, k=k, alpha=0.1, **options), test)
        assert (other.position == rr.rerank(test, items, k, 0.1, **options).position).all()


def test_alpha_is_chosen_on_validation_alone(study):
    """Other labels of test samples, by which another alpha were the best of them, change nothing; of validation do."""
    k, rng = 5, np.random.default_rng(0)
    items = study.method

    def best_on(study, part: str) -> set[float]:
        aucs = aucs_by_alpha(study, study.samples(part), items, k)
        return {a for a in ALPHAS if aucs[a] == max(aucs.values())}

    alpha, chosen = study.best_alpha(items, k), set()
    differ = [
        other for _ in range(20) if alpha not in best_on(other := with_ratings(study, study.split.test, rng), "test")
    ]
    assert len(differ) > 3
    assert {other.best_alpha(items, k) for other in differ} == {alpha}
    for _ in range(20):
        other = with_ratings(study, study.split.valid, rng)
        chosen.add(other.best_alpha(items, k))
        assert chosen <= set(ALPHAS)
        assert other.best_alpha(items, k) in best_on(other, "valid")
    assert len(chosen) > 1


def test_without_a_choice_alpha_is_two_thirds(study):
    """Where all alphas are as good, and where validation has one class."""
    assert study.best_alpha(study.method, 1000) == 2 / 3  # everything is shown
    likes = study.split.valid.take(study.split.valid.liked)
    one_class = study.changed(study.size, (), split=replace(study.split, valid=likes))
    assert one_class.best_alpha(study.method, 5) == 2 / 3


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
    options = dict(recent=0.25, weights=(1, 2, 0), layers=3, edges="all", temperature=0.1, stop="held out")
    choice = Choice("colla", "high", "llm", 7, **options)
    assert choice.command("tiny", "my file.py") == (
        "rallrec ablate --dataset tiny --extra 'my file.py' --representation colla --selector high --reader llm --k 7 "
        "--recent 0.25 --weights 1 2 0 --layers 3 --edges all --temperature 0.1 --stop 'held out'"
    )
    choice = Choice("mixture, title", alpha=4 / 5, beta=1 / 3, both="max", order="best first")
    assert choice.command("tiny") == (
        "rallrec ablate --dataset tiny --representation 'mixture, title' --alpha 0.8 --beta 1/3 --both max "
        "--order 'best first'"
    )
    assert Choice(recent=2 / 3).command("tiny").endswith("--recent 2/3")


@pytest.mark.parametrize("recent", [1 / 3, 2 / 3, 0.1, 0.123456, 1.0])
def test_a_command_gives_the_very_same_share(recent, study, monkeypatch, capsys):
    choice = Choice(selector="released", recent=recent)
    assert read_again(choice, study, monkeypatch) == choice


@pytest.mark.parametrize("choice", [*(VARIANTS | IN_ORDER | GRAPHS | ALIGNMENTS).values(), Choice(alpha=2 / 3)])
def test_a_command_gives_the_very_same_choice(choice, study, monkeypatch, capsys):
    assert read_again(choice, study, monkeypatch) == choice


def read_again(choice: Choice, study, monkeypatch) -> Choice:
    """What the command line makes of a choice's own command."""
    seen = []
    monkeypatch.setattr(Study, "of", lambda *a: study)
    monkeypatch.setattr(Study, "row", lambda _, choice, beside: seen.append(choice) or pd.DataFrame([METRICS]))
    assert main(shlex.split(choice.command("tiny"))[1:]) == 0
    return seen[0]


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
        choices = [Choice(selector="released", recent=r, k=k) for r in (written, share)]
        shown = [study.shown(choice, study.split.test).position for choice in choices]
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
    asked = study.asked()
    shown = rr.select(asked, "recent", k=study.size.llm_k)
    for reader, llm in (("llm", study.adapted()), ("zero-shot", study.llm)):
        p = rr.recommend(shown, llm, details=study.details)
        assert study.predict(Choice(selector="recent", reader=reader)) == pytest.approx(p)


def test_the_number_formats_of_a_tables_answers(study):
    rows = {"RALLRec": METHOD.read_by("llm"), "w/o IT": METHOD.read_by("zero-shot")}
    counts = formats.formats_of(study, rows)
    assert {label: list(of) for label, of in counts.items()} == {label: ["float32"] for label in rows}
    assert 0 < counts["RALLRec"]["float32"] <= len(study.asked())  # distinct prompts
    assert formats.of_study(study) == "float32"
    study.reader.asked |= {f"key {n}": ("bfloat16", "choose") for n in range(10_000)}
    assert formats.of_study(study) == "mostly bfloat16, else float32"


def test_a_spot_check_tells_the_number_formats():
    whole, half = {"float32": 9}, {"bfloat16": 1_999, "float32": 1}
    same = formats.checked(0.0001, "float32", {"RALLRec": whole, "w/o IT": whole})
    assert same.endswith("at most 0.0001. All kept answers of RALLRec, w/o IT were computed in float32.")
    apart = formats.checked(0.07, "float32", {"RALLRec": half, "w/o IT": whole})
    assert "at most 0.0700. **Kept answers were computed in bfloat16, these ten in float32.** Number" in apart
    assert "RALLRec: 1,999 in bfloat16, 1 in float32; w/o IT: 9 in float32. **Where two of these rows" in apart
    assert "more than the rounding of float32" in formats.checked(0.07, "float32", {"RALLRec": whole})
    assert formats.checked(None, "float32", {"RALLRec": whole}).startswith("The LLM's weights are not here")


def test_where_a_curve_and_a_grid_are_highest():
    assert highest(pd.Series({0.0: 0.7, 1 / 3: np.nan, 1.0: 0.8}), "α") == "highest at α = 1 (0.800; 0.700 at α = 0)"
    assert highest(pd.Series({10: 0.7}), "K") == "highest at K = 10 (0.700)"
    assert highest(pd.Series({10: np.nan}), "K").startswith("not measured")
    grid = pd.DataFrame({"rerank": [0.7, 0.75], "recent": [0.6, 0.6]}, ["colla", "mixture"])
    assert best_cell(grid) == "highest for the method's own, mixture with rerank (0.750)"
    grid.loc["colla", "rerank"] = 0.8
    assert best_cell(grid) == "highest for colla with rerank (0.800); the method, mixture with rerank, has 0.750"
    grid["recent"] = 0.9
    assert best_cell(grid).startswith("highest for any with recent (0.900); the method")
    assert best_cell(grid * np.nan).startswith("not measured")


OF_SELECTORS = {"rerank": {"alpha": 0.5, "both": "max", "order": "best last"}, "released": {"recent": 0.5}}


@pytest.mark.parametrize("selector", ["recent", "high", "sequential", "rerank", "released"])
@pytest.mark.parametrize("kind", ["mixture", "mix2", "hybrid"])
def test_what_is_kept_shows_what_select_shows(study, kind, selector):
    test, options = study.split.test, OF_SELECTORS.get(selector, {})
    for k in (1, 4, 9, 4, 60):
        expected = rr.select(test, selector, study.representation(kind), k, **options)
        assert (study.shown(Choice(kind, selector, k=k, **options), test).position == expected.position).all()


def test_a_row_names_the_parts_that_it_depends_on():
    from rallrec.study.ablations import FAST, parts_of

    table = parts_of(FAST).set_index("row")
    assert table.loc["vote, RALLRec"].tolist() == ["mixture", "rerank", "vote"]
    assert table.loc["vote, last K"].tolist() == ["–", "recent", "vote"]
    assert table.loc["DeepFM"].tolist() == ["–", "–", "DeepFM"]
    assert table.loc["global mean"].tolist() == ["–", "–", "global mean"]
