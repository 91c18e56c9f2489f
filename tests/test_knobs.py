"""Knobs: validation samples unless switched, one sample in all its parts."""

import numpy as np
import pytest

import rallrec as rr
from rallrec.evaluation.metrics import auc
from rallrec.pipeline import METHOD, Choice
from rallrec.study.knobs import Knobs, one_sample, sample_of


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
        assert table.auc["RALLRec"] == pytest.approx(study.auc(METHOD, part))  # whatever K is chosen
    with pytest.raises(rr.InputError, match="selector is 'best'"):
        knobs.turn(selector="best")


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
