"""Data with hardly anything in them: every notebook ends well or in one line, and what can't be measured is a dash."""

import contextlib
import io
import json
import os
import re
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import rallrec as rr
from rallrec.infra.files import ROOT
from rallrec.profiles import PROFILES
from rallrec.retrieval.selectors import SELECTORS
from rallrec.runs.run import NOTEBOOKS, Run, flat

# RALLREC_EXAMPLES=500 looks longer, beside the named kinds
EXAMPLES = int(os.environ.get("RALLREC_EXAMPLES", "4"))
SMOKE = PROFILES["smoke"]
LEAST = replace(
    SMOKE,
    llm_samples=12,
    ablation_samples=8,
    valid_samples=8,
    study_samples=6,
    reason_samples=2,
    curve_k=(1, 5),
    seeds=1,
    lightgcn=dict(dimensions=4, layers=1, epochs=4, check_every=2),
    alignment=dict(dimensions=4, hidden=8, epochs=4, batch=64),
    adapter=SMOKE.adapter | dict(sequences=6, valid_sequences=4, batch=2, checks=1),
    released_epochs=2,
)
TABLE, SAY = Run.table, Run.say
CELLS = {}
for _notebook in NOTEBOOKS:
    _cells = json.loads((ROOT / "notebooks" / f"{_notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    CELLS[_notebook] = [
        (c["metadata"].get("tags", []), "".join(c["source"])) for c in _cells if c["cell_type"] == "code"
    ]


def write(folder, users=8, items=20, n=120, likes=0.5, order="mixed", attributes=True, seed=0):
    """A folder of one's own with ``n`` ratings (fewer, if there are fewer pairs).

    Args:
        order: of the times: ``mixed``, ``tied`` (few times), ``at once`` (one time), ``by user`` (users one after
            the other), ``by item``, or ``unknown``.
    """
    rng = np.random.default_rng(seed)
    user, item = np.divmod(rng.permutation(users * items)[:n], items)
    n = len(user)
    liked, time = rng.random(n) < likes, rng.integers(0, 10**6, n)
    ratings = pd.DataFrame(dict(user_id=user, item_id=item, rating=rng.integers(1, 4, n) + 2 * liked))
    first = {
        "mixed": time,
        "tied": time % 7,
        "at once": 0,
        "by user": user * 10**6 + time,
        "by item": item * 10**6 + time,
    }
    if order != "unknown":
        ratings["time"] = first[order]
    ratings["rating"] = np.where(liked, np.maximum(ratings["rating"], 4), np.minimum(ratings["rating"], 3))
    known = pd.DataFrame(dict(item_id=np.arange(items), title=[f"Work {i}" for i in range(items)]))
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    if attributes:
        known["year"], known["genres"] = 1990 + np.arange(items), rng.choice(["Drama", "Comedy, Drama", ""], items)
        profiles = dict(
            user_id=np.arange(users), age=rng.integers(9, 70, users), occupation=rng.choice(["a", "b"], users)
        )
        pd.DataFrame(profiles).to_csv(folder / "users.csv", index=False)
    ratings.to_csv(folder / "ratings.csv", index=False)
    known.to_csv(folder / "items.csv", index=False)
    (folder / "dataset.toml").write_text("scale = [1, 5]\nlike_above = 3\n")
    return folder


class Runs:
    """The notebooks' code, a notebook after the other, in this process.

    Attributes:
        space: each notebook's names. ended: None, or the one line in which it ended.
        tables, said, values: what each showed, said and recorded.
    """

    def __init__(self, monkeypatch, folder, notebooks=NOTEBOOKS):
        self.space, self.ended, self.tables, self.said, self.values = {}, {}, [], [], {}
        monkeypatch.setitem(PROFILES, "least", LEAST)
        monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
        monkeypatch.setattr(Run, "figure", lambda run, name, figure: (figure.canvas.draw(), plt.close("all")))
        monkeypatch.setattr(
            Run, "table", lambda run, name, *a, **k: self.tables.append((name, a[0], TABLE(run, name, *a, **k)))
        )
        monkeypatch.setattr(Run, "say", lambda run, text: self.said.append(SAY(run, text).data))
        monkeypatch.setattr(
            Run, "keep", lambda run, study, rows: [check_probabilities(study, c) for c in rows.values()]
        )
        monkeypatch.setattr(Run, "record", lambda run, study=None, /, **values: self.values.update(flat(values)))
        given = dict(DATASET=str(folder), PROFILE="least", LLM="tiny-random")
        for notebook in notebooks:
            self.space[notebook], self.ended[notebook] = {}, None
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()) as stderr, quiet():
                warnings.simplefilter("error")  # what is on stderr is in the notebook
                warnings.filterwarnings("ignore", category=DeprecationWarning)
                warnings.filterwarnings("ignore", category=ResourceWarning)
                try:
                    for tags, source in CELLS[notebook]:
                        exec(compile(source, notebook, "exec"), self.space[notebook])
                        self.space[notebook].update(given if "parameters" in tags else {})
                except rr.InputError as e:
                    self.ended[notebook] = str(e)
            assert stderr.getvalue() == ""
        plt.close("all")


def quiet():
    return contextlib.redirect_stdout(io.StringIO())


def check_probabilities(study, choice):
    for part in ("test", "valid"):
        p = study.predict(choice, part)
        assert len(p) == len(study.judged(choice, part))
        assert ((p >= 0) & (p <= 1)).all()  # false of a NaN


def check(runs: Runs) -> None:
    """What holds of any run."""
    for name, frame, shown in runs.tables:
        assert not re.search(r"\bnan\b|\binf\b", str(shown)), name
        for value in (c.removesuffix("_low") for c in frame if c.endswith("_low")):
            low, high = frame[f"{value}_low"], frame[f"{value}_high"]
            assert (low.isna() | (low <= high)).all(), name
            assert (frame[value].notna() | (low.isna() & high.isna())).all(), name
            if value in ("auc", "difference", "accuracy", "log_loss"):
                assert (low.isna() | ((low <= frame[value] + 1e-9) & (frame[value] <= high + 1e-9))).all(), (
                    name,
                    frame,
                )
    assert not [said for said in runs.said if re.search(r"\bnan\b", said)]
    assert all(np.isfinite(v) for v in runs.values.values() if isinstance(v, int | float))
    space = runs.space["06_ablations"]
    if "parts" in space:
        study, table = space["study"], space["parts"].set_index("method")
        for label, choice in space["rows"].items():
            assert np.isclose(table.auc[label], sklearns_auc(study.split.test, study.predict(choice)), equal_nan=True)
        for part, selector in ((p, s) for p in (study.split.valid, study.split.test) for s in SELECTORS):
            check_histories(study.shown(rr.Choice(selector=selector, k=10_000), part))


def sklearns_auc(samples, p):
    return roc_auc_score(samples.liked, p) if len(set(samples.liked)) == 2 else np.nan


def check_histories(shown) -> None:
    data, target, real = shown.samples.data, shown.samples.position[:, None], shown.real
    assert (data.user[shown.position] == data.user[target])[real].all()
    assert (shown.position < target).all()
    assert (data.time[shown.position] <= data.time[target])[real].all()
    assert real.any(1).all()


KINDS = {
    "all likes": dict(likes=1.0),
    "few likes, none of them in validation": dict(likes=0.05),
    "a session after the other, so that every test user is new": dict(order="by user"),
    "an item after the other, so that every test item is new": dict(order="by item"),
    "one session": dict(users=20, n=200, order="at once"),
    "no time, one class, no attribute": dict(users=20, n=200, likes=1.0, order="unknown", attributes=False),
    "two users": dict(users=2, n=40),
    "six items": dict(users=40, items=6, n=240, attributes=False),
}
NOT_ALL = {
    "no likes": (dict(likes=0.0), dict.fromkeys(NOTEBOOKS[2:], "has no edge; set a lower like_above")),
    "one user": (dict(users=1, items=40, n=40), {"05_recommendation": "are of one user"}),
    "ten samples": (dict(users=3, n=26), {"05_recommendation": "are of one user"}),
    "one item": (dict(users=40, items=1, n=40), dict.fromkeys(NOTEBOOKS, "too few to split")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_notebook_runs_on_data_with_hardly_anything_in_them(kind, tmp_path, monkeypatch):
    runs = Runs(monkeypatch, write(tmp_path / "own", **KINDS[kind]))
    assert runs.ended == dict.fromkeys(NOTEBOOKS)
    check(runs)
    split = runs.space["01_descriptions"]["split"]
    assert len(set(split.valid.liked)) == 1 or "likes" not in KINDS[kind]
    if len(set(split.test.liked)) == 1:
        assert set(runs.space["05_recommendation"]["comparisons"].verdict) == {"inconclusive"}
        assert not set(runs.space["05_recommendation"]["of_paper"].verdict) & {"replicates", "contradicts"}
        assert not [name for name in runs.values if name.startswith(("vote_auc", "claims", "paper_claims"))]
    if len(set(split.valid.liked)) == 1:
        assert not [name for name in runs.values if name.startswith(("valid_vote_auc", "grid_auc"))]
        assert runs.values["alpha"] == pytest.approx(2 / 3, abs=1e-6)
        assert runs.values["chosen_k/item mean + vote, RALLRec"] == LEAST.k
        assert runs.values["chosen_epoch"] == 4  # the last


@pytest.mark.parametrize("kind", NOT_ALL)
def test_what_is_too_little_is_said_in_one_line(kind, tmp_path, monkeypatch):
    made, ends = NOT_ALL[kind]
    runs = Runs(monkeypatch, write(tmp_path / "own", **made))
    assert {notebook for notebook, end in runs.ended.items() if end} == set(ends)
    for notebook, words in ends.items():
        assert words in runs.ended[notebook]
        assert "\n" not in runs.ended[notebook]
    check(runs) if ends.get("06_ablations") is None else None


def test_the_same_run_twice_gives_the_same(tmp_path, monkeypatch):
    made = []
    for name in ("a", "b"):
        monkeypatch.setenv("RALLREC_DATA", str(tmp_path / name))  # nothing is answered from the first one's cache
        runs = Runs(monkeypatch, write(tmp_path / "own", likes=0.3, order="tied"), NOTEBOOKS[2:5])
        made.append((runs.values, runs.said, [str(shown) for _, _, shown in runs.tables]))
    assert made[0] == made[1]


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.fixed_dictionaries(
        dict(
            users=st.integers(1, 20),
            items=st.integers(6, 20),
            n=st.integers(40, 200),
            likes=st.sampled_from([0.02, 0.1, 0.5, 0.9, 0.98]),
            order=st.sampled_from(["mixed", "tied", "at once", "by user", "by item", "unknown"]),
            attributes=st.booleans(),
            seed=st.integers(0, 1000),
        )
    )
)
def test_every_notebook_ends_well_or_in_one_line(tmp_path, made):
    with pytest.MonkeyPatch.context() as monkeypatch:
        runs = Runs(monkeypatch, write(tmp_path / "own", **made))
    assert all("\n" not in end for end in runs.ended.values() if end)
    check(runs) if runs.ended["01_descriptions"] is None else None


# --- what is measured of little -----------------------------------------------------------------


@pytest.fixture
def one_user(tiny_split):
    """The training samples of one user, of both classes."""
    samples = tiny_split.train.take(tiny_split.train.user == tiny_split.train.user[0])
    assert 0 < samples.liked.sum() < len(samples)
    return samples


def test_one_user_has_values_without_intervals(one_user):
    p = np.linspace(0, 1, len(one_user))
    e = rr.evaluate(one_user, p)
    assert e["auc"].value == pytest.approx(roc_auc_score(one_user.liked, p))
    assert np.isnan([e[m].low for m in e] + [e[m].high for m in e]).all()
    assert str(e["auc"]) == f"{e['auc'].value:.3f} [–, –]"
    assert rr.compare(one_user, p, 1 - p)["auc"].verdict == 0


def test_one_class_has_no_auc_and_all_else(tiny_split):
    likes = tiny_split.test.take(tiny_split.test.liked)
    e = rr.evaluate(likes, np.full(len(likes), 0.8))
    assert str(e["auc"]) == "–"
    assert e["accuracy"].value == 1
    assert e["log_loss"].value == pytest.approx(-np.log(0.8))


def test_lightgbm_without_a_choice_gives_the_share_of_likes(tiny_split):
    from rallrec.readers.trees import lightgbm_baseline, lightgbm_reader

    likes = replace(tiny_split, valid=tiny_split.valid.take(tiny_split.valid.liked))
    items, n = np.eye(tiny_split.data.n_items, dtype=np.float32), len(likes.valid)
    p, unseen = lightgbm_reader(likes, lambda samples: rr.select(samples, "recent", k=3), items, likes.test)
    assert set(p) == set(unseen) == {(n + 1) / (n + 2)}
    dislikes = replace(tiny_split, train=tiny_split.train.take(~tiny_split.train.liked))
    p, valid = lightgbm_baseline(dislikes, dislikes.test)
    assert set(p) == set(valid) == {1 / (len(dislikes.train) + 2)}


def test_a_batch_of_one_sample(tiny_split, cache):
    """Of 2 n + 1 samples in batches of n, the last one is alone: in training and in prediction."""
    from rallrec.readers.conventional import baseline

    small = replace(tiny_split, train=tiny_split.train.take(slice(18)), test=tiny_split.test.take(slice(33)))
    for model in ("DCNv2", "DIN"):
        _, _, p = baseline(model, small, cache, batch=4, checks=2, epochs=1)
        assert len(p) == 33
        assert ((p > 0) & (p < 1)).all()


def test_k_beyond_the_longest_history_shows_all_of_it(tiny_split, embedding):
    data = tiny_split.data
    longest = int(np.diff(data.start).max()) - 1
    for name in ("recent", "high", "sequential", "rerank", "released"):
        shown = rr.select(tiny_split.test, name, None if name == "recent" else embedding, 10**9)
        assert shown.k == longest  # no more is allocated
        assert (shown.real.sum(1) == tiny_split.test.n_earlier).all()


def test_a_user_who_liked_nothing_has_no_candidates():
    items = np.eye(4, dtype=np.float32)
    codes, cosines = rr.Catalogue(items).candidates([np.array([1]), np.array([], int)], 2)
    assert (codes[0] >= 0).all()
    assert codes[1].tolist() == [-1, -1]
    assert np.isnan(cosines[1]).all()
    assert rr.Catalogue(items).candidates([np.array([], int)], 9)[0].tolist() == [[-1] * 4]


def test_embeddings_of_one_item_or_of_the_same_text():
    from rallrec.evaluation.text_quality import random_pairs
    from rallrec.representations.mixture import principal_components

    assert np.isnan(random_pairs(np.ones((1, 3), np.float32), np.random.default_rng(0), 5)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert principal_components(np.ones((5, 3), np.float32)).tolist() == [[0] * 3] * 5
        assert principal_components(np.ones((1, 3), np.float32)).tolist() == [[0]]


def test_the_dates_of_any_span_are_found():
    """Matplotlib warns of spans between two of its steps, such as 90 seconds or 20 months."""
    from datetime import datetime, timedelta

    from rallrec.runs.figures import _few_dates

    start = datetime(2001, 1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seconds in (0, 1, 90, 5500, 130_000, 50_000_000, 10**9, 10**10):
            assert len(_few_dates().tick_values(start, start + timedelta(seconds=seconds))) > 0


# --- settings of nonsense -----------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "choice",
    [
        *(dict(weights=w) for w in [(NAN, 1, 1), (INF, 1, 1), (-1, 1, 1), (0, 0, 0), (), ("a", 1, 1), (True, 1, 1), 1]),
        *(dict(temperature=t) for t in (-0.1, 0, NAN, INF, "warm")),
        *({name: r} for name in ("recent", "alpha") for r in (-0.1, 1.1, NAN, INF, True, "half")),
        *(dict(beta=b) for b in (-1, 0, NAN, INF, True, "steep")),
        *(dict(k=k) for k in (0, -1, 1.5, True, "3", NAN)),
        *(dict(layers=n) for n in (-1, 1.5, True, 10**6)),
        dict(edges="dislikes"),
        dict(both="mean"),
        dict(order="random"),
        dict(stop="never"),
    ],
)
def test_a_choice_of_nonsense(choice):
    with pytest.raises(rr.InputError, match=rf"^(weights? (is|are)|{next(iter(choice))} is) "):
        rr.Choice(**choice)


def test_a_choice_at_the_border():
    rr.Choice(k=1, recent=0, weights=[0, 1, 0], layers=0, edges="all", temperature=1e-3)
    rr.Choice(alpha=0, beta=1e-3, both="max", order="best last", stop="held out")
    assert rr.Choice(weights=[0, 1, 0]) == rr.Choice(weights=(0, 1, 0))  # and it can be a key
    assert hash(rr.Choice(weights=np.array([0, 1.0, 0]))) == hash(rr.Choice(weights=(0, 1, 0)))


@pytest.mark.parametrize("options", [["--weights", "nan", "1", "1"], ["--temperature", "-0.1"], ["--seed", "-1"]])
def test_nonsense_on_the_command_line(options, capsys):
    from rallrec.__main__ import main

    assert main(["ablate", "--dataset", "tiny", "--llm", "tiny-random", "--profile", "smoke", *options]) == 2
    assert re.fullmatch(r"rallrec: .* is (nan|-0.1|-1); it must be a .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("parts", [(8, 1), (0, 0, 0), (-1, 1, 1), (0.8, 0.1, 0.1), (1, 0, 0), (10**6, 1, 1), None, 8])
def test_parts_that_leave_nothing(tiny, parts):
    with pytest.raises(rr.InputError, match="parts"):
        rr.split(tiny, parts=parts)


def nonsense(split, embedding):
    """Calls that can't be answered, each with a word of the line that says so."""
    test, p = split.test, np.full(len(split.test), 0.5)
    bad = p.copy()
    bad[3] = NAN
    shown, none = rr.retrieve(test, embedding, 3), test.take(slice(0))
    holed = np.where(np.arange(12) == 5, NAN, embedding).astype(np.float32)
    yield "seed", lambda: rr.split(split.data, seed=-1)
    yield "min_history", lambda: rr.split(split.data, min_history=0)
    yield "protocol", lambda: rr.split(split.data, ["strict"])
    yield "seed", lambda: test.draw(3, -1)
    yield "sample size", lambda: test.draw(0)
    yield "seed", lambda: rr.evaluate(test, p, seed=-1)
    yield "resamples", lambda: rr.evaluate(test, p, -1)
    yield "no samples", lambda: rr.evaluate(none, p[:0])
    yield "shape", lambda: rr.evaluate(test, p[1:])
    yield "no probabilities", lambda: rr.evaluate(test, bad)
    yield "no probabilities", lambda: rr.evaluate(test, p + 1)
    yield "no number", lambda: rr.evaluate(test, ["a"] * len(test))
    yield "no samples", lambda: rr.compare(none, p[:0], p[:0])
    yield "no number", lambda: rr.compare(test, p, rr.evaluate)
    yield "rows", lambda: rr.compare(test, p, p, rows=np.ones(3, bool))
    yield "rows", lambda: rr.compare(test, p, p, other_rows=np.arange(len(test)))
    yield "baseline", lambda: rr.results_table(test, {"a": p}, "b")
    yield "k is", lambda: rr.retrieve(test, embedding, 0)
    yield "matrix", lambda: rr.retrieve(test, "colla")
    yield "matrix", lambda: rr.retrieve(test, None)
    yield "row 0", lambda: rr.retrieve(test, holed)
    yield "rows", lambda: rr.retrieve(test, embedding[1:])
    yield "alpha", lambda: rr.rerank(test, embedding, 3, NAN)
    yield "alpha", lambda: rr.select(test, "rerank", embedding, 3, alpha="half")
    yield "beta", lambda: rr.rerank(test, embedding, 3, beta=0)
    yield "recent", lambda: rr.select(test, "released", embedding, 3, recent=2)
    yield "takes no 'recent'", lambda: rr.select(test, "rerank", embedding, 3, recent=0.5)
    yield "selector", lambda: rr.select(test, "best", embedding)
    yield "selector", lambda: rr.select(test, 3)
    yield "needs a representation", lambda: rr.select(test, "high")
    yield "weight", lambda: rr.mix(embedding, embedding, weights=(NAN, 1))
    yield "one a part", lambda: rr.mix(embedding, embedding, weights=(1, 1, 1))
    yield "matrix", lambda: rr.mix(embedding[:, 0], embedding)
    yield "rows", lambda: rr.mix(embedding, embedding[1:])
    yield "row 0", lambda: rr.mix(holed, embedding)
    yield "temperature", lambda: rr.align(embedding, embedding, temperature=0)
    yield "sides", lambda: rr.align(embedding, embedding, sides="colla")
    yield "stop", lambda: rr.align(embedding, embedding, stop="never")
    yield "epochs", lambda: rr.align(embedding, embedding, epochs=-1)
    yield "row 0", lambda: rr.align(embedding, holed)
    yield "layers", lambda: rr.lightgcn(split, layers=-1)
    yield "layers", lambda: rr.lightgcn(split, layers=10**6)
    yield "epochs", lambda: rr.lightgcn(split, epochs=0)
    yield "edges", lambda: rr.lightgcn(split, edges="none")
    yield "seed", lambda: rr.lightgcn(split, seed=-1)
    yield "seed is -1", lambda: rr.Study.of("tiny", "no such LLM", "smoke", -1)
    yield "profile", lambda: rr.Study.of("tiny", "no such LLM", "huge")
    yield "n_asked", lambda: rr.Study(split, None, LEAST, n_asked=0)
    yield "temperature", lambda: rr.reason(shown, None, temperature=NAN)
    yield "opinions", lambda: rr.reason(shown, None, opinions=bad)


def test_nonsense_is_said_in_one_line(tiny_split, embedding):
    for word, call in nonsense(tiny_split, embedding):
        with pytest.raises(rr.InputError, match=word) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_a_part_of_weight_zero_has_no_say(embedding):
    other = embedding[:, ::-1].copy()
    assert not rr.mix(embedding, other, weights=(1, 0))[:, 12:].any()
    assert rr.mix(embedding, other, weights=(0, 1))[:, 12:].any()
