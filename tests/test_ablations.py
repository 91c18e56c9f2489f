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
from rallrec.infra.cache import Cache
from rallrec.pipeline import FULL, METHOD, Choice, Study
from rallrec.profiles import profile
from rallrec.readers.base import READERS
from rallrec.readers.combination import combine
from rallrec.representations.mixture import mix
from rallrec.retrieval.selectors import SELECTORS
from rallrec.study.ablations import ASKED, CLAIMS, FAST, PARTS
from rallrec.study.knobs import Knobs, one_sample, sample_of


def study_of(split, folder, **options) -> Study:
    """A study with random embeddings and a tiny model."""
    rng = np.random.default_rng(0)
    widths = {"title": 9, "text": 9, "colla": 6, "ssl": 6, "ssl of the title": 6}
    parts = {name: rng.normal(size=(split.data.n_items, d)).astype(np.float32) for name, d in widths.items()}
    llm = rr.language_model("tiny-random", device="cpu", cache=Cache(folder / "cache"))
    return Study(split, llm, profile("smoke"), parts=parts, **options)


@pytest.fixture(scope="module")
def study(tiny_split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_DATA", str(folder))
        yield study_of(tiny_split, folder)


def test_a_choice_is_what_its_selector_and_representation_show(study):
    test = study.split.test
    for label, choice in PARTS.items():
        shown = study.shown(choice, test)
        assert shown.k == study.size.k, label
    plain = rr.select(test, "high", study["colla"], 7)
    assert (study.shown(Choice("colla", "high", k=7), test).position == plain.position).all()
    assert study.auc(Choice("colla", "high", k=7)) == auc(test.liked, rr.vote(plain))
    assert PARTS[FULL] == Choice() == METHOD


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


# --- knobs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("selector", ["recent", "high", "sequential", "rerank"])
@pytest.mark.parametrize("kind", ["mix3", "mix2", "hybrid"])
def test_what_is_kept_shows_what_select_shows(study, kind, selector):
    test, options = study.split.test, {"recent": 0.5} if selector == "rerank" else {}
    for k in (1, 4, 9, 4, 60):
        expected = rr.select(test, selector, study.representation(kind), k, **options)
        assert (study.shown(Choice(kind, selector, k=k, **options), test).position == expected.position).all()


def test_knobs_compare_with_the_papers_choice(study):
    """On validation samples; on those of test when asked to, and labelled."""
    knobs = Knobs(study)
    for switched, part in (({}, "valid"), ({"part": "test"}, "test")):
        samples = study.samples(part)
        table = knobs.turn(selector="recent", k=3, **switched).set_index("method")
        expected = auc(samples.liked, rr.vote(rr.select(samples, "recent", k=3)))
        assert table.auc["yours"] == pytest.approx(expected)
        assert table.difference["yours"] == pytest.approx(expected - table.auc["RALLRec"])
        assert table.n.tolist() == [len(samples)] * 2
        assert table.part.tolist() == [part] * 2
    with pytest.raises(rr.InputError, match="selector is 'best'"):
        knobs.turn(selector="best")


def test_sliders_turn_the_knobs(study):
    """Every widget is built, and moved as a hand would."""
    tables = []
    turn = Knobs(study).sliders(3, tables.append)
    widgets = {w.description: w for w in turn.children if hasattr(w, "description")}
    taken = {name for selector in SELECTORS for name in SELECTORS[selector].options}
    assert {"part", "representation", "selector", "k", "text", "colla", "ssl"} | taken == set(widgets)
    assert all(hasattr(METHOD, name) for name in taken)
    assert widgets["part"].value == "valid"
    assert "learned" in widgets["selector"].options
    assert len(tables) == 1  # drawn at once
    for name, value in (("k", 5), ("selector", "recent"), ("representation", "colla"), ("selector", "high")):
        widgets[name].value = value
    aucs = [table.auc[0] for table in tables[-4:]]
    valid = study.split.valid
    expected = [
        Choice(k=5),
        Choice(selector="recent", k=5),
        Choice("colla", "recent", k=5),
        Choice("colla", "high", k=5),
    ]
    assert aucs == [pytest.approx(auc(valid.liked, rr.vote(study.shown(c, valid)))) for c in expected]
    widgets["representation"].value = "mix3"
    widgets["text"].value = 0.0
    weighed = Choice(selector="high", k=5, weights=(0, 1, 1))
    assert tables[-1].auc[0] == pytest.approx(auc(valid.liked, rr.vote(study.shown(weighed, valid))))
    widgets["part"].value = "test"
    test = study.split.test
    assert tables[-1].part.tolist() == ["test"] * 2
    assert tables[-1].auc[0] == pytest.approx(auc(test.liked, rr.vote(study.shown(weighed, test))))


def test_every_option_of_a_selector_can_be_turned(study):
    """Each value that a list offers is one that `Choice` and the selector take."""
    tables = []
    widgets = {w.description: w for w in Knobs(study).sliders(3, tables.append).children if hasattr(w, "description")}
    for selector in SELECTORS:
        for name in SELECTORS[selector].options:
            widgets["selector"].value = selector
            for _, value in widgets[name].options:
                widgets[name].value = value
                choice = Choice(selector=selector, k=3, **{name: value}, weights=(1, 1, 1))
                valid = study.split.valid
                assert tables[-1].auc[0] == pytest.approx(auc(valid.liked, rr.vote(study.shown(choice, valid))))


def test_one_sample_in_all_its_parts(tiny, study):
    wanted = study.split.test.take(np.array([3]))
    user, item = tiny.users.user_id[wanted.user[0]], tiny.items.item_id[wanted.item[0]]
    sample = sample_of(study.split, user, item)
    assert sample.position.tolist() == wanted.position.tolist()
    choice = Choice(selector="high", reader="llm", k=4)
    one = one_sample(study, sample, choice)
    shown, (adapted, details) = study.shown(choice, sample), study.adapted
    assert [cell.split(" · ")[1] for cell in one.sides["high"] if cell] == [
        f"{r:g}" for r in shown.rating[0][shown.real[0]]
    ]
    assert one.prompt == rr.readers.prompts.build(shown, details=details).texts[0]
    assert one.p_like == pytest.approx(rr.recommend(shown, adapted, details=details)[0])
    assert one.liked == wanted.liked[0]


def test_a_user_or_an_item_that_is_not_there(tiny, study):
    with pytest.raises(rr.InputError, match=r"tiny has no user 'nobody'; one of its users is"):
        sample_of(study.split, "nobody", 1)
    user = tiny.users.user_id[0]
    with pytest.raises(rr.InputError, match=r"has no history before 'nothing'; try one of \["):
        sample_of(study.split, user, "nothing")


def test_a_row_names_the_parts_that_it_depends_on():
    from rallrec.study.ablations import FAST, parts_of

    table = parts_of(FAST).set_index("row")
    assert table.loc["vote, RALLRec"].tolist() == ["mix3", "rerank", "vote"]
    assert table.loc["vote, last K"].tolist() == ["–", "recent", "vote"]
    assert table.loc["DeepFM"].tolist() == ["–", "–", "DeepFM"]
    assert table.loc["global mean"].tolist() == ["–", "–", "global mean"]
