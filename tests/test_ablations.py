import numpy as np
import pytest

import rallrec as rr
from rallrec.__main__ import main
from rallrec.evaluation.metrics import auc
from rallrec.infra.cache import Cache
from rallrec.profiles import profile
from rallrec.representations.mixture import KINDS, represent
from rallrec.retrieval.retrieve import Representation
from rallrec.study.ablations import FULL, PARTS, Choice, Study
from rallrec.study.knobs import Knobs, one_sample, sample_of


@pytest.fixture(scope="module")
def study(tiny, tiny_split, tmp_path_factory):
    rng = np.random.default_rng(0)
    txt, text, colla, ssl = (rng.normal(size=(tiny.n_items, d)).astype(np.float32) for d in (9, 9, 6, 6))
    items = {kind: represent(kind, txt, text, colla, ssl) for kind in KINDS}
    items["mix3-plain"] = Representation("mix3-plain", (rng.normal(size=(tiny.n_items, 5)).astype(np.float32),))
    llm = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path_factory.mktemp("study") / "cache"))
    return Study(tiny_split, llm, items, text, profile("smoke"))


@pytest.fixture
def knobs(study):
    parts = (study.text, study.representations["colla"].parts[0], study.representations["ssl"].parts[0])
    return Knobs(study.split, study.representations, parts)


def test_a_choice_is_what_its_selector_and_representation_show(study):
    test = study.split.test
    for label, choice in PARTS.items():
        shown = study.shown(choice, test)
        assert shown.k == study.size.k, label
    plain = rr.select(test, "high", study.representations["colla"], 7)
    assert (study.shown(Choice("colla", "high", k=7), test).position == plain.position).all()
    assert study.auc(Choice("colla", "high", k=7)) == auc(test.liked, rr.vote(plain))
    assert PARTS[FULL] == Choice()


def test_weights_and_retrained_parts(study):
    mixed = study.items(Choice(weights=(0, 1, 0))).parts[0]
    alone = study.representations["colla"].parts[0]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (mixed[:, -12:-6], alone)]
    np.testing.assert_allclose(*unit, atol=1e-5)
    assert (mixed[:, -6:] == 0).all()
    two, three = (study.items(Choice("colla", layers=n)).parts[0] for n in (0, 1))
    assert not np.allclose(two, three)
    cold, hot = (study.items(Choice(temperature=t)).parts[0] for t in (0.05, 1.0))
    assert not np.allclose(cold, hot)
    with pytest.raises(rr.InputError, match="'text'; only mix3 and colla have such settings"):
        study.items(Choice("text", layers=1))
    with pytest.raises(rr.InputError, match="k is 0; it must be a whole number of at least 1"):
        study.vote(Choice(k=0))
    with pytest.raises(rr.InputError, match="representation is 'poem'; it must be one of"):
        study.items(Choice("poem"))


def test_commands_say_what_differs():
    assert Choice().command("tiny") == "rallrec ablate --dataset tiny"
    choice = Choice("colla", "high", k=7, recent=0.25, weights=(1, 2, 0), layers=3, edges="all", temperature=0.1)
    assert choice.command("tiny") == (
        "rallrec ablate --dataset tiny --representation colla --selector high --k 7 --recent 0.25 --weights 1 2 0 "
        "--layers 3 --edges all --temperature 0.1"
    )


def test_the_command_makes_the_row(capsys, monkeypatch, study):
    from rallrec.study import ablations

    monkeypatch.setattr(ablations, "study", lambda *a: study)
    command = Choice("colla", "high", k=3).command("tiny").split()[1:]
    assert main(command) == 0
    said = capsys.readouterr().out
    for choice in (Choice("colla", "high", k=3), Choice()):
        assert f" {auc(study.split.test.liked, study.vote(choice)):.3f} [" in said


@pytest.mark.parametrize("reader", ["llm", "zero-shot"])
def test_the_command_asks_the_llm(capsys, monkeypatch, tmp_path, study, reader):
    from rallrec.study import ablations

    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    monkeypatch.setattr(ablations, "study", lambda *a: study)
    assert main(Choice(selector="recent").command("tiny", reader).split()[1:]) == 0
    asked, (adapted, details) = study.asked(), study.adapted
    assert len(asked) == study.size.ablation_samples
    shown = rr.select(asked, "recent", k=study.size.llm_k)
    p = rr.recommend(shown, adapted if reader == "llm" else study.llm, details=details)
    assert f" {auc(asked.liked, p):.3f} [" in capsys.readouterr().out


def test_an_unknown_reader(study):
    with pytest.raises(rr.InputError, match="reader is 'oracle'; it must be one of: vote, llm, zero-shot"):
        study.row(Choice(), "oracle")


@pytest.mark.parametrize("selector", ["recent", "high", "sequential", "rerank"])
@pytest.mark.parametrize("kind", ["mix3", "mix2", "hybrid"])
def test_knobs_show_what_select_shows(knobs, kind, selector):
    test = knobs.split.test
    for k in (1, 4, 9, 4):
        expected = rr.select(test, selector, knobs.representations[kind], k, 0.5)
        assert (knobs.shown(kind, selector, k, 0.5).position == expected.position).all()


def test_knobs_compare_with_the_papers_choice(knobs):
    table = knobs.turn(selector="recent", k=3).set_index("method")
    test = knobs.split.test
    expected = auc(test.liked, rr.vote(rr.select(test, "recent", k=3)))
    assert table.auc["yours"] == pytest.approx(expected)
    assert table.difference["yours"] == pytest.approx(expected - table.auc["RALLRec"])
    weighed = knobs.shown(weights=(0, 1, 0), selector="high", k=4)
    assert (weighed.position == rr.select(test, "high", knobs.representations["colla"], 4).position).mean() > 0.99
    with pytest.raises(rr.InputError, match="only the parts of 'mix3' have weights"):
        knobs.turn(representation="colla", weights=(1, 2, 1))
    with pytest.raises(rr.InputError, match="selector is 'best'"):
        knobs.turn(selector="best")


def test_one_sample_in_all_its_parts(tiny, knobs, llm):
    wanted = knobs.split.test.take(np.array([3]))
    user, item = tiny.users.user_id[wanted.user[0]], tiny.items.item_id[wanted.item[0]]
    sample = sample_of(knobs.split, user, item)
    assert sample.position.tolist() == wanted.position.tolist()
    one = one_sample(sample, knobs.representations["mix3"], llm, "high", 4)
    shown = rr.select(sample, "high", knobs.representations["mix3"], 4)
    assert [cell.split(" · ")[1] for cell in one.sides["high"] if cell] == [
        f"{r:g}" for r in shown.rating[0][shown.real[0]]
    ]
    assert one.prompt == rr.readers.prompts.build(shown).texts[0]
    assert one.p_like == pytest.approx(rr.recommend(shown, llm)[0])
    assert one.liked == wanted.liked[0]


def test_a_user_or_an_item_that_is_not_there(tiny, knobs):
    with pytest.raises(rr.InputError, match=r"tiny has no user 'nobody'; one of its users is"):
        sample_of(knobs.split, "nobody", 1)
    user = tiny.users.user_id[0]
    with pytest.raises(rr.InputError, match=r"has no history before 'nothing'; try one of \["):
        sample_of(knobs.split, user, "nothing")
