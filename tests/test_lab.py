"""The lab without a browser: every widget is built on the generated data and moved as a hand would."""

import json
import os
import re
import signal

import numpy as np
import pytest

import rallrec as rr
from rallrec.evaluation.metrics import auc, compare
from rallrec.infra.cache import Cache
from rallrec.infra.early_stopping import EarlyStopping, Watch, watched
from rallrec.infra.errors import InputError
from rallrec.infra.progress import Progress, duration, line, showing
from rallrec.panels import own, trials
from rallrec.panels.lab import Lab
from rallrec.panels.person import Sample, matches, what_if
from rallrec.panels.training import KeptIfWhole
from rallrec.pipeline import Choice
from rallrec.readers.base import READERS
from rallrec.representations.mixture import REPRESENTATIONS
from rallrec.retrieval.selectors import SELECTORS
from rallrec.runs.copies import copy_notebooks
from rallrec.study.knobs import OPTIONS

PAPER = trials.PAPER


@pytest.fixture
def lab(study):
    return Lab(study)


@pytest.fixture
def registries():
    """What a test registers is gone after it."""
    of = (REPRESENTATIONS, SELECTORS, READERS, own.PROMPTS)
    before = [dict(each._things) for each in of]
    yield
    for each, things in zip(of, before, strict=True):
        each._things = things


# --- trials


def test_a_trial_is_judged_against_the_pinned_baseline(lab, study):
    """The paper's K is the baseline's, whatever the trial's K is: a loss is a loss."""
    valid = study.split.valid
    trial = lab.turn(selector="recent", k=3)
    ours, paper = (rr.vote(study.shown(c, valid)) for c in (Choice(selector="recent", k=3), Choice(k=30)))
    assert Choice(k=30) == PAPER
    assert trial.auc.value == pytest.approx(auc(valid.liked, ours))
    assert trial.difference.value == pytest.approx(auc(valid.liked, ours) - auc(valid.liked, paper))
    p, other = (study.predict(c, "valid") for c in (Choice(selector="recent", k=3), PAPER))
    expected = compare(valid, p, other)["auc"]
    assert (trial.difference.low, trial.difference.high) == pytest.approx((expected.low, expected.high))
    pinned = lab.pin(Choice("colla", "high", k=5))
    assert lab.turn(representation="colla", selector="high", k=5).verdict == "the same predictions"
    assert lab.turn().baseline == pinned
    assert lab.turn(part="test").n == len(study.split.test)
    with pytest.raises(InputError, match="part is 'train'; it must be one of: valid, test"):
        lab.turn(part="train")


def test_a_sentence_says_what_was_found(lab):
    for _, chosen in zip(range(4), ({}, {"selector": "recent"}, {"k": 5}, {"selector": "high", "k": 3}), strict=True):
        trial = lab.turn(**chosen)
        begin = {"higher": "Better", "lower": "Worse", "inconclusive": "Inconclusive"}.get(
            trial.verdict, "This predicts"
        )
        assert trial.sentence.startswith(begin)
        assert f"{trial.n:,} validation samples of {trial.users:,} users" in trial.sentence
        assert f"{trial.auc.value:.3f}" in trial.sentence


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"weights": (1, 1)}, r"weights are \(1, 1\); give 3 of them"),
        ({"weights": (0, 0, 0)}, r"weights are \(0, 0, 0\); at least one of them must be above 0"),
        ({"alpha": 2}, "alpha is 2; it must be a number"),
        ({"selector": "best"}, "selector is 'best'; it must be one of: recent, high"),
        ({"speed": 2}, "knob is 'speed'; it must be one of: representation, selector"),
        ({"selector": "high", "alpha": 0.5}, "selector 'high' takes no 'alpha'"),
        ({"representation": "colla", "weights": (1, 2)}, "representation 'colla' has no weights"),
    ],
)
def test_a_mistake_is_a_line_that_names_the_knob(lab, chosen, said):
    with pytest.raises(InputError, match=said) as e:
        lab.turn(**chosen)
    assert e.value._render_traceback_() == [f"InputError: {e.value}"]  # what IPython shows of it
    assert not lab.log.trials


def test_the_log_is_exported_as_a_table_and_as_commands(lab, tmp_path, registries):
    with pytest.raises(InputError, match="no trial to save yet"):
        lab.save(tmp_path)
    lab.turn(selector="rerank", k=5, alpha=2 / 3)
    lab.turn(selector="rerank", k=5, alpha=2 / 3)  # again: logged once
    lab.turn(weights=(1, 0, 0.5), k=3)
    lab.representation("mine's", np.eye(lab.study.split.data.n_items, 4))
    lab.turn(representation="mine's")
    lab.settings = trials.settings_of("tiny-random", "", "smoke", 1)
    table, commands = lab.save(tmp_path)
    assert len(table.read_text().splitlines()) == 4
    lines = [each for each in commands.read_text().splitlines() if "ablate" in each]
    assert lines[0] == "rallrec ablate --dataset tiny --k 5 --alpha 2/3 --llm tiny-random --profile smoke --seed 1"
    from rallrec.__main__ import _parser

    for command in lines[:2]:
        _parser().parse_args(command.split()[1:])
    assert lines[2].startswith('# representation "mine\'s": of a notebook. Register it in a file')


def test_of_large_data_whole_users_are_judged(study):
    valid = study.split.valid
    some = trials.of_some_users(valid, 40)
    assert 40 <= len(some) < len(valid)
    assert not set(some.user) & set(valid.user[~np.isin(valid.position, some.position)])
    few = trials.smaller(study, 40)
    assert few["colla"] is study["colla"]
    assert few.samples("valid").position.tolist() == some.position.tolist()
    assert trials.of_some_users(valid, len(valid) - 1) is valid


def test_an_llm_is_asked_of_samples_among_those_that_it_is_asked_of_elsewhere(study):
    few, more = (trials.asking(study, n).asked("valid").position for n in (5, 10))
    assert set(few) <= set(more) <= set(study.asked("valid").position)
    assert (len(few), len(more)) == (5, 10)


# --- your own


def test_a_new_matrix_under_an_old_name_gives_a_new_auc(lab, study, registries):
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(study.split.data.n_items, 8))
    lab.representation("mine", matrix)
    first = lab.turn(representation="mine", selector="high", k=3)
    matrix[:] = rng.normal(size=matrix.shape)  # in place: it counts when it is registered again
    assert lab.turn(representation="mine", selector="high", k=3) == first
    lab.representation("mine", matrix)
    second = lab.turn(representation="mine", selector="high", k=3)
    valid = study.split.valid
    assert second.auc.value == pytest.approx(auc(valid.liked, rr.vote(rr.select(valid, "high", matrix, k=3))), abs=1e-3)
    assert second.auc.value != first.auc.value
    assert second.content != first.content
    recipe = REPRESENTATIONS["mine"]
    lab.representation("mine", matrix.copy())
    assert REPRESENTATIONS["mine"] is recipe  # the same content: nothing is computed anew
    with pytest.raises(InputError, match="representation 'mine' has 3 rows; tiny has"):
        lab.representation("mine", matrix[:3])
    with pytest.raises(InputError, match="representation 'colla' is built in"):
        lab.representation("colla", matrix)


def test_own_parts_join_the_knobs(lab, study, registries):
    knobs = lab.knobs()
    lab.representation("mine", np.eye(study.split.data.n_items, 4))
    lab.selector("oldest", lambda study, samples, items, k: (samples.position - samples.n_earlier)[:, None], False)
    lab.reader("share", lambda study, shown: (shown.liked & shown.real).sum(1) / shown.real.sum(1))
    lab.prompt("bare", "{history}\n{title}:")
    knobs.knob["k"].value = 4
    for name, value in (("representation", "mine"), ("selector", "oldest"), ("reader", "share")):
        knobs.knob[name].value = value
    valid = study.split.valid
    shown = study.shown(Choice(selector="oldest", k=4), valid)
    assert knobs.trial.auc.value == pytest.approx(auc(valid.liked, shown.liked[:, 0]))
    assert "prompt: bare" in knobs.knob["reader"].options
    assert own.fits("mine", "tiny")
    assert not own.fits("mine", "ml-100k")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{title}", "lacks {history}"),
        ("{history} {titel}", "template has {titel}; it may have: {history}, {title}"),
        ("{history {title}", "is no template"),
    ],
)
def test_a_template_is_checked(lab, template, said):
    with pytest.raises(InputError, match=re.escape(said)):
        lab.prompt("mine", template)


def test_a_template_is_filled_in(study, tiny):
    shown = study.shown(Choice(selector="recent", k=2), study.split.valid.take(np.arange(3)))
    asked = own.Template("{profile}{history}\n{title}? ", "{title}: {answer} ({rating} of {highest})").build(shown)
    names = rr.readers.prompts.titles(tiny)
    first, last = (int(p) for p in shown.position[0])
    told = [
        f"{names[tiny.item[p]]}: {'Yes' if tiny.liked[p] else 'No'} ({tiny.rating[p]:g} of 5)" for p in (first, last)
    ]
    assert asked.texts[0].startswith("About a person")
    assert asked.texts[0].endswith(f"{told[0]}\n{told[1]}\n{names[shown.samples.item[0]]}? ")


# --- the knobs


def test_the_knobs_begin_at_the_baseline_and_grey_what_changes_nothing(lab):
    knobs = lab.knobs()
    assert knobs.choice == PAPER
    assert knobs.trial.verdict == "the same predictions"
    off = {name for name, knob in knobs.knob.items() if knob.disabled}
    assert off == {"dataset", "recent", "samples"}
    knobs.knob["selector"].value = "recent"
    off = {name for name, knob in knobs.knob.items() if knob.disabled}
    assert {"representation", "alpha", "beta", "both", "order", "weight 1", "weight 2", "weight 3"} <= off
    assert knobs.choice == Choice(selector="recent", k=30)
    knobs.knob["selector"].value, knobs.knob["representation"].value = "released", "concatenation"
    assert not knobs.knob["recent"].disabled
    assert [knobs.knob[f"weight {n}"].disabled for n in (1, 2, 3)] == [False, False, True]
    assert knobs.knob["weight 1"].description == "weight, text"
    knobs.reset.click()
    assert knobs.choice == PAPER


def test_every_value_of_every_knob_is_judged(lab, study):
    """Each that a list offers is one that the study takes; the numbers are the study's."""
    knobs = lab.knobs()
    knobs.knob["k"].value = 3
    valid = study.split.valid
    for selector in ("rerank", "released", "learned"):
        knobs.knob["selector"].value = selector
        for name in (set(SELECTORS[selector].options) & set(OPTIONS)) | {"selector"}:
            for value in knobs.knob[name].options if name != "selector" else [selector]:
                knobs.knob[name].value = value
                assert knobs.trial.auc.value == pytest.approx(
                    auc(valid.liked, rr.vote(study.shown(knobs.choice, valid)))
                )
                assert "judged and drawn" in knobs.status.value
    knobs.reset.click()
    knobs.knob["k"].value = 3
    assert set(knobs.knob["representation"].options) == {n for n in REPRESENTATIONS if own.fits(n, "tiny")}
    for representation in ("title", "hybrid", "mix3"):
        knobs.knob["representation"].value = representation
        assert knobs.trial.choice == Choice(representation, k=3)
    knobs.knob["representation"].value = "mixture"
    for n, weights in ((1, (0.5, 1, 1)), (2, (0.5, 0, 1)), (3, (0.5, 0, 2))):
        knobs.knob[f"weight {n}"].value = weights[n - 1]
        assert knobs.trial.choice == Choice(k=3, weights=weights)
    assert knobs.table.value.count("<tr>") == 13  # the head, and the last twelve


def test_the_figures_show_the_trial_and_the_whole_curve(lab, study):
    knobs = lab.knobs()
    knobs.knob["selector"].value = "high"
    curve = lab.curve(selector="high")
    assert list(curve) == list(study.size.curve_k)
    for k, value in curve.items():
        assert value == pytest.approx(study.auc(Choice(selector="high", k=k), "valid"))
        assert f"K = {k}: {value:.3f}" in knobs.figures.value
    assert f"{knobs.trial.difference.value:+.3f}" in knobs.figures.value
    assert "nan" not in knobs.figures.value


def test_a_baseline_is_pinned_and_let_go(lab):
    knobs = lab.knobs()
    knobs.knob["selector"].value = "recent"
    knobs.pin.click()
    assert knobs.trial.verdict == "the same predictions"
    assert lab.baseline == Choice(selector="recent", k=30)
    knobs.knob["k"].value = 2
    assert knobs.trial.baseline == Choice(selector="recent", k=30)
    knobs.unpin.click()
    assert knobs.trial.baseline == PAPER


def test_a_mistake_in_the_knobs_is_one_line(lab):
    knobs = lab.knobs()
    for n in (1, 2, 3):
        knobs.knob[f"weight {n}"].value = 0.0
    assert "weights are (0.0, 0.0, 0.0); at least one of them must be above 0" in knobs.status.value
    assert knobs.trial.choice.weights == (0.0, 0.0, 1.0)  # the figures stay those of the last one
    knobs.knob["weight 1"].value = 1.0
    assert knobs.trial.choice.weights == (1.0, 0.0, 0.0)


def test_test_samples_are_a_deliberate_switch(lab, study):
    knobs = lab.knobs()
    assert knobs.trial.part == "valid"
    knobs.knob["test"].value = True
    assert knobs.trial.n == len(study.split.test)
    assert "Test samples: report on them, choose nothing." in knobs.sentence.value


def test_slow_readers_wait_for_the_button_that_says_how_long(lab, study):
    knobs = lab.knobs()
    before = knobs.trial
    knobs.knob["reader"].value = "lightgbm"
    assert knobs.trial is before
    assert re.match(r"Fit lightgbm on \d+ samples: about \d+ s", knobs.ask.description)
    knobs.ask.click()
    assert knobs.trial.choice == Choice(reader="lightgbm", k=30)
    knobs.reset.click()
    knobs.knob["k"].value, knobs.knob["samples"].value, before = 3, 20, study.reader.paid
    knobs.knob["reader"].value = "zero-shot"
    assert re.match(r"Ask tiny-random on 20 samples: 20 to ask, about \d+ s", knobs.ask.description)
    assert study.reader.paid == before
    knobs.ask.click()
    few = trials.asking(study, 20)
    p = few.predict(Choice(reader="zero-shot", k=3), "valid")
    assert study.reader.paid == before + 20
    assert knobs.trial.n == 20
    assert knobs.trial.auc.value == pytest.approx(auc(few.asked("valid").liked, p))
    knobs.reset.click()
    knobs.knob["k"].value = 3
    knobs.knob["reader"].value = "zero-shot"  # answered before: at once
    assert knobs.trial.choice.reader == "zero-shot"
    assert knobs.ask.layout.display == "none"


def test_asking_is_stopped_and_keeps_what_is_answered(lab, study):
    knobs = lab.knobs()
    knobs.knob["k"].value = 2
    knobs.knob["reader"].value = "zero-shot"
    before = study.reader.paid
    steps = knobs._answers(knobs.choice, knobs._turns)
    next(steps), next(steps)
    knobs.stop.click()
    assert not list(steps)
    assert "stopped: 8 of 20 answers are kept" in knobs.status.value or "8 answered, 12 to ask" in knobs.ask.description
    assert study.reader.paid == before + 8


# --- a person


def test_the_data_as_they_are_give_the_sample_as_it_is(tiny, tiny_split):
    wanted = tiny_split.test.take(np.array([3]))
    split, sample = what_if(tiny_split, int(wanted.user[0]), int(wanted.item[0]))
    assert sample.position.tolist() == wanted.position.tolist()
    for name in ("user", "item", "rating", "time"):
        np.testing.assert_array_equal(getattr(split.data, name), getattr(tiny, name))
    np.testing.assert_array_equal(split.train_ratings, tiny_split.train_ratings)


def test_what_if(tiny, tiny_split):
    """One item turned around, one taken away; an item that was not rated becomes the next one."""
    user = int(tiny_split.test.user[0])
    own_items = tiny.item[tiny.start[user] : tiny.start[user + 1]]
    new = int(np.setdiff1d(np.arange(tiny.n_items), own_items)[0])
    turned, gone = int(own_items[1]), int(own_items[2])
    split, sample = what_if(tiny_split, user, new, {turned}, {gone})
    data = split.data
    assert sample.item.tolist() == [new]
    assert sample.n_earlier.tolist() == [len(own_items) - 1]
    history = data.item[data.start[user] : data.start[user] + len(own_items) - 1]
    assert history.tolist() == [i for i in own_items if i != gone]
    at, before = data.start[user] + 1, tiny.start[user] + 1
    assert data.liked[at] != tiny.liked[before]
    assert data.n_ratings == tiny.n_ratings
    assert len(split.train_ratings) == len(tiny_split.train_ratings) - int(
        tiny.start[user] + 2 in set(tiny_split.train_ratings.tolist())
    )
    changed = {int(p) for p in split.train_ratings} & {int(sample.position[0])}
    assert not changed  # what is not known is no training rating
    pairs = {(int(tiny.user[p]), int(tiny.item[p])) for p in tiny_split.train_ratings} - {(user, gone)}
    assert {(int(data.user[p]), int(data.item[p])) for p in split.train_ratings} == pairs
    first = int(own_items[0])
    with pytest.raises(InputError, match=r"has no history before '.*'; take a later one, such as '"):
        what_if(tiny_split, user, first)


def test_a_person_is_found_and_what_if_changes_prompt_and_probability(lab, study, tiny):
    person = lab.person()
    person.find_user.value = str(tiny.users.user_id[7])
    assert 7 in [code for _, code in person.user.options]
    person.user.value = 7
    person.find_item.value = tiny.items.title[5]
    assert person.item.value == 5
    person.find_item.value = "no such thing"
    assert "no item has 'no such thing' in its name" in person.status.value
    rated = tiny.item[tiny.start[7] : tiny.start[8]]
    person._setting = True
    person.item.options = [(tiny.items.title[int(rated[0])], int(rated[0]))]
    person._setting = False
    person.item.value = int(rated[0])
    person._chosen()
    assert "has no history before" in person.status.value
    assert person.table.value == person.prompt.value == ""  # nothing of another sample
    person.find_item.value = tiny.items.title[5]
    assert all(selector in person.table.value for selector in SELECTORS)
    assert "P(like) <b>" in person.table.value
    person._setting = True
    person.item.options = [(tiny.items.title[int(rated[-1])], int(rated[-1]))]
    person._setting = False
    person.item.value = int(rated[-1])
    person._chosen()
    before, prompt = person.table.value, person.prompt.value
    shown = person._shown("rerank")
    position = shown.position[0][shown.real[0]][0]
    person.history.value = (int(tiny.item[position]),)
    person.turn.click()
    assert person.prompt.value != prompt
    assert "↻" in person.table.value
    assert "was " in person.table.value
    person.take.click()
    assert int(tiny.item[position]) not in person._shown("rerank").item[0][person._shown("rerank").real[0]]
    person.back.click()
    assert person.table.value.replace(" ", "") == before.replace(" ", "")
    assert person.prompt.value == prompt
    person.k.value = 3
    person.ask.click()
    assert person.table.value.count("llm <b>") == len(SELECTORS)


def test_a_person_sees_what_the_study_shows(study, tiny_split):
    wanted = tiny_split.valid.take(np.array([2]))
    sample = Sample(study, int(wanted.user[0]), int(wanted.item[0]))
    assert sample.liked == bool(wanted.liked[0])
    for selector in SELECTORS:
        column = sample.column("mixture", selector, 5)
        expected = study.shown(Choice(selector=selector, k=5), wanted)
        np.testing.assert_array_equal(column.shown.item[column.shown.real], expected.item[expected.real])
        p = study.predict(Choice(selector=selector, k=5), "valid")[2]
        assert column.p == pytest.approx(p)


def test_matches_are_ranked():
    names, count = ["Star Wars", "The Star", "A star", "Sun"], np.array([1, 2, 3, 9])
    assert matches(names, "star", count) == [0, 2, 1]
    assert matches(names, "wars star", count) == [0]
    assert matches(names, "", count, 2) == [3, 2]


# --- prompts, trainings


def test_two_prompts_are_compared_and_an_interrupt_keeps_what_is_answered(lab, study, registries, monkeypatch):
    lab.prompt("bare", "{history}\n{title}:")
    compared = lab.compare_prompts("labelled", "bare", samples=12, k=3)
    assert compared.p.shape == (2, 12)
    assert len(compared.table()) == 3
    drawn = study.split.valid.draw(12, 0)
    assert set(compared.samples.position) == set(study.split.valid.take(drawn).position)
    llm, asked = study.adapted(), []
    choose = type(llm).choose

    def interrupted(self, prompts, *options):
        asked.append(len(prompts))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return choose(self, prompts, *options)

    monkeypatch.setattr(type(llm), "choose", interrupted)
    some = lab.compare_prompts("{history} … {title}", "bare", samples=12, k=3)
    assert len(some.samples) == 5
    assert "Stopped: 5 of 12 samples." in some._repr_html_()
    for a, b, said in (("bare", "bare", "both prompts are 'bare'"), ("x", "bare", "prompt is 'x'; it must be one of")):
        with pytest.raises(InputError, match=said):
            lab.compare_prompts(a, b)


def test_a_training_joins_the_knobs(lab, study, registries):
    knobs = lab.knobs()
    made = lab.train(dimensions=6, epochs=20)
    assert made.names[2] == "mixture (dimensions 6, epochs 20)"
    assert list(made.scores) == [10, 20]  # by epoch
    assert not made.stopped
    assert not made.cached
    assert made.names[0] in knobs.knob["representation"].options  # before a knob is turned
    assert max(made.scores.values()) == pytest.approx(
        auc(study.split.valid.liked, rr.vote(rr.select(study.split.valid, "high", study[made.names[0]], k=10))),
        abs=0.02,
    )
    knobs.knob["k"].value = 4
    knobs.knob["representation"].value = made.names[2]
    assert [knobs.knob[f"weight {n}"].disabled for n in (1, 2, 3)] == [False] * 3
    knobs.knob["weight 1"].value = 0.5
    assert knobs.trial.choice.weights == (0.5, 1.0, 1.0)
    again = lab.train(dimensions=6, epochs=20)
    assert again.cached
    assert again.scores == made.scores
    assert "(trained before, out of the cache): validation AUC" in repr(again)
    with pytest.raises(InputError, match="setting is 'depth'; it must be one of: dimensions"):
        lab.train(depth=2)
    with pytest.raises(InputError, match="layers is -1"):
        lab.train(layers=-1)
    with pytest.raises(InputError, match="temperature is 0"):
        lab.train(dimensions=7, temperature=0)


def test_an_interrupted_training_keeps_the_best_and_is_not_cached(lab, registries, monkeypatch):
    """The signal comes after the first check, as from the button of JupyterLab."""
    check = EarlyStopping.check

    def interrupting(self, *args):
        better = check(self, *args)
        if len(self._watch.scores if self._watch else ()) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return better

    monkeypatch.setattr(EarlyStopping, "check", interrupting)
    made = lab.train(dimensions=5, epochs=200)
    assert made.stopped
    assert len(made.scores) <= 2
    monkeypatch.undo()
    again = lab.train(dimensions=5, epochs=200)
    assert not again.stopped
    assert len(again.scores) > 2


def test_an_interrupted_alignment_leaves_the_graph(lab, registries, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("rallrec.panels.training.align", interrupted)
    made = lab.train(dimensions=4, epochs=10)
    assert made.names == ("colla (dimensions 4, epochs 10)",)
    assert "The alignment was interrupted" in made.sentence
    assert lab.turn(representation=made.names[0], selector="high").n
    assert "mixture (dimensions 4, epochs 10)" not in REPRESENTATIONS


def test_what_was_stopped_is_not_kept(tmp_path):
    watch = Watch()
    cache = KeptIfWhole(Cache(tmp_path / "c"), watch)
    cache.put({"a": b"1"})
    watch.stopped = True
    cache.put({"b": b"2"})
    assert cache.get(["a", "b"]) == [b"1", None]


def test_a_watch_sees_every_check_and_ends_a_training():
    watch = Watch()
    with watched(watch):
        stopping = EarlyStopping(9)
    for score in (1, 2, 0):
        stopping.check(score, score)
    assert watch.scores == [1, 2, 0]
    assert not stopping.over
    watch.stopped = True
    assert stopping.over
    assert stopping.best == 2
    assert not EarlyStopping(9).over


# --- progress, copies


def test_progress_says_how_much_is_left(monkeypatch):
    told = []
    with showing(told.append):
        monkeypatch.setattr("rallrec.infra.progress.DELAY", 0)
        with Progress("counting", 4, "step") as progress:
            for _ in range(4):
                progress.add()
    assert told[0].startswith('counting <progress value="0" max="4">')
    assert told[-1] == ""  # it is taken away
    assert line("a", 1, 4, "step", 10) == 'a <progress value="1" max="4"></progress> 1 of 4 steps, about 30 s left'
    assert [duration(s) for s in (0.2, 42, 600, 7200)] == ["1 s", "42 s", "10 min", "2.0 h"]


def test_copies_never_overwrite_what_was_changed(tmp_path):
    def write(path, text, outputs=()):
        cell = dict(cell_type="code", source=text, outputs=list(outputs))
        path.write_text(json.dumps(dict(cells=[cell])), encoding="utf-8")

    sources, copies = tmp_path / "notebooks", tmp_path / "lab"
    sources.mkdir()
    for name in ("a", "b", "c"):
        write(sources / f"{name}.ipynb", "1")
    assert copy_notebooks(copies, sources) == ["copied into lab/: a.ipynb, b.ipynb, c.ipynb"]
    assert copy_notebooks(copies, sources) == []
    write(copies / "a.ipynb", "mine")
    write(copies / "b.ipynb", "1", outputs=["42"])  # was run, not changed
    assert copy_notebooks(copies, sources) == []
    for name in ("a", "b", "c"):
        write(sources / f"{name}.ipynb", "2")
    a, b, c = copy_notebooks(copies, sources)
    assert a.startswith(
        "a.ipynb stays as you changed it; a.ipynb has changed since: for a fresh copy, rename or delete"
    )
    assert (b, c) == ("b.ipynb is brought up to date", "c.ipynb is brought up to date")
    assert "mine" in (copies / "a.ipynb").read_text()
    (copies / "a.ipynb").unlink()
    assert copy_notebooks(copies, sources) == ["copied into lab/: a.ipynb"]
    (copies / "b.ipynb").write_text("{")
    with pytest.raises(InputError, match=r"b\.ipynb is damaged"):
        copy_notebooks(copies, sources)


def test_the_labs_notebook_runs(tmp_path, monkeypatch, registries):
    """Its cells, one after the other, on the generated data."""
    from rallrec.infra.files import ROOT

    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    cells = json.loads((ROOT / "notebooks" / "00_lab.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")
    names = {}
    for cell in cells:
        code = "".join(cell["source"]).replace(
            'rr.lab("ml-100k")', 'rr.lab("tiny", "tiny-random", profile_name="smoke")'
        )
        if cell["cell_type"] == "code":
            exec(re.sub(r"^# (lab\.)", r"\1", code, flags=re.M).replace("samples=50", "samples=4"), names)
    lab = names["lab"]
    assert {"mixture (dimensions 32)", "mixture (layers 1, temperature 0.1)"} < set(REPRESENTATIONS)
    assert [t.choice for t in lab.log.trials] == [PAPER, Choice(selector="oldest", reader="share of likes", k=30)]
