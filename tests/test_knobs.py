"""Knobs: validation samples unless switched, every list and slider, one sample in all its parts."""

import numpy as np
import pytest

import rallrec as rr
from rallrec.evaluation.metrics import auc
from rallrec.pipeline import METHOD, Choice
from rallrec.retrieval.selectors import SELECTORS
from rallrec.study.knobs import Knobs, one_sample, sample_of

from .studies import study_of


@pytest.fixture(scope="module")
def study(tiny_split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_DATA", str(folder))
        yield study_of(tiny_split, folder)


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
    widgets["representation"].value = METHOD.representation
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
            widgets["selector"].value, first = selector, widgets[name].value
            for _, value in widgets[name].options:
                widgets[name].value = value
                choice = Choice(selector=selector, k=3, **{name: value}, weights=(1, 1, 1))
                valid = study.split.valid
                assert tables[-1].auc[0] == pytest.approx(auc(valid.liked, rr.vote(study.shown(choice, valid))))
            widgets[name].value = first


def test_one_sample_in_all_its_parts(tiny, study):
    wanted = study.split.test.take(np.array([3]))
    user, item = tiny.users.user_id[wanted.user[0]], tiny.items.item_id[wanted.item[0]]
    sample = sample_of(study.split, user, item)
    assert sample.position.tolist() == wanted.position.tolist()
    choice = Choice(selector="high", reader="llm", k=4)
    one = one_sample(study, sample, choice)
    shown, adapted, details = study.shown(choice, sample), study.adapted(), study.details
    assert [cell.split(" · ")[1] for cell in one.sides["high"] if cell] == [
        f"{r:g}" for r in shown.rating[0][shown.real[0]]
    ]
    assert one.prompt == rr.readers.prompts.build(shown, details=details).texts[0]
    assert one.p_like == pytest.approx(rr.recommend(shown, adapted, details=details)[0])
    assert one.liked == wanted.liked[0]


def test_a_user_or_an_item_that_is_not_there(tiny, study):
    with pytest.raises(rr.InputError, match=r"tiny has no user 'nobody'; one of its users is"):
        sample_of(study.split, "nobody", 1)
    user, last = tiny.users.user_id.tolist()[0], tiny.item[tiny.start[1] - 3]
    item, title = tiny.items.item_id.tolist()[last], tiny.items.title[last]  # by its title, not as np.int64(100)
    with pytest.raises(rr.InputError, match=rf"has no history before 'nothing'; try one of: {item!r} \({title}"):
        sample_of(study.split, user, "nothing")
