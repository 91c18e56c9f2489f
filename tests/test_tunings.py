"""What an adapter is tuned on, whose readers it is, and which rows a profile can afford."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec.llm.known import KnownAdapter
from rallrec.pipeline import Choice, Study
from rallrec.profiles import TUNINGS
from rallrec.readers import adapter as finetuning
from rallrec.readers.base import READERS
from rallrec.runs import place, publishing, stale
from rallrec.study import experiments

from .studies import study_of

ORDERS = {
    "paper": ["high", "sequential"],  # data augmentation
    "no augmentation": ["high"],
    "recent": ["recent"],
    "ours": ["recent", "released", "learned"],
}
READ_BY = {
    "llm": "paper",
    "llm, no augmentation": "no augmentation",
    "llm, tuned on recent": "recent",
    "llm, ours": "ours",
}
LAST_K = Choice(selector="recent", reader="llm")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository of its own."""
    for module in (publishing, finetuning, place):
        monkeypatch.setattr(module, "published_dir", lambda: tmp_path / "published")
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def study(tiny_split, folder) -> Study:
    return study_of(tiny_split, folder)


def train_no_more(monkeypatch) -> None:
    monkeypatch.setattr(finetuning, "Training", lambda *a: pytest.fail("trained again"))


# --- what it is tuned on ------------------------------------------------------------------------


def test_each_tuning_has_as_many_prompts_in_its_own_orders(study, monkeypatch):
    """Of the same samples, an equal share in each order, none of them reranked by the paper's rule."""
    shown, real = {}, Study.shown

    class Stop(Exception):
        pass

    class Training:
        def __init__(self, *a):
            pass

        def run(self, train, valid, checkpoint):
            raise Stop(len(train), len(valid))

    def noted(self, choice, samples, k=None):
        shown[tuning].append((choice, k, samples))
        return real(self, choice, samples, k)

    monkeypatch.setattr(finetuning, "Training", Training)
    monkeypatch.setattr(Study, "shown", noted)
    s = study.size.adapter
    assert TUNINGS.keys() == ORDERS.keys() == set(study.size.tunings)
    for tuning, orders in ORDERS.items():
        shown[tuning] = []
        with pytest.raises(Stop) as stopped:
            study.adapter_of(tuning)
        assert stopped.value.args == (s["sequences"], s["valid_sequences"])
        asked = [(choice.selector, k) for choice, k, _ in shown[tuning]]
        assert asked == [(order, s["k"]) for order in orders] * 2
        assert {choice.representation for choice, _, _ in shown[tuning]} == {"mixture"}
        for part in (slice(len(orders)), slice(len(orders), None)):
            sizes = [len(samples) for _, _, samples in shown[tuning][part]]
            assert max(sizes) - min(sizes) <= 1
    drawn = [sorted(np.concatenate([samples.position for _, _, samples in of])) for of in shown.values()]
    assert all(positions == drawn[0] for positions in drawn)


def test_each_tuning_is_an_adapter_of_its_own(study, folder, monkeypatch):
    """By its key, and by the folder that it is published in."""
    train_no_more(monkeypatch)
    split, _, made_of, llm = study._adapter_wanted
    wanted = {t: finetuning._Wanted(split, made_of, llm, None, t, settings(study, t)) for t in TUNINGS}
    assert len({w.key for w in wanted.values()}) == len({w.published for w in wanted.values()}) == 4
    for w in wanted.values():
        lies = folder / "published" / "tiny" / w.published
        lies.mkdir(parents=True)
        (lies / "rallrec.json").write_text(json.dumps(dict(inputs=w.inputs, curve={})))
    assert {t: study.adapter_at_hand(t).name for t in TUNINGS} == {
        "paper": "adapter",
        "no augmentation": "adapter-no-augmentation",
        "recent": "adapter-recent",
        "ours": "adapter-ours",
    }
    # nor is one taken for another
    shutil.copyfile(lies / "rallrec.json", folder / "published" / "tiny" / "adapter" / "rallrec.json")
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        study.adapter_of()
    with pytest.raises(rr.InputError, match="tuning is 'dreams'; it must be one of: paper, no augmentation, recent"):
        study.adapter_of("dreams")


def test_another_tuning_is_borrowed_only_where_the_papers_is(study, folder):
    """Else their comparison would be one of the data that they were trained on."""
    split, _, made_of, llm = study._adapter_wanted
    study.size = replace(study.size, borrow="lender")

    def put(owner: str, tuning: str, **others) -> None:
        wanted = finetuning._Wanted(split, made_of, llm, None, tuning, settings(study, tuning))
        lies = folder / "published" / owner / wanted.published
        lies.mkdir(parents=True)
        record = dict(inputs=wanted.inputs | others, curve={}, titles="0" * 8)
        (lies / "rallrec.json").write_text(json.dumps(record))

    for tuning in ("paper", "recent"):
        put("lender", tuning, data="others")
    lent = [study.adapter_at_hand(tuning).parent.name for tuning in ("paper", "recent")]
    assert lent == ["lender", "lender"]
    put("tiny", "paper")
    assert study.adapter_at_hand("paper").parent.name == "tiny"
    assert study.adapter_at_hand("recent") is None


def settings(study: Study, tuning: str) -> finetuning.AdapterSettings:
    return finetuning.AdapterSettings(**study.size.adapter, orders=TUNINGS[tuning], seed=study.seed)


def test_a_reader_has_the_adapter_of_its_name(study, monkeypatch):
    asked = []
    monkeypatch.setattr(Study, "adapted", lambda self, tuning: asked.append(tuning) or self.reader)
    assert {name: READERS[name].tuning for name in READERS if getattr(READERS[name], "tuning", None)} == READ_BY
    p = {name: study.predict(Choice(selector="recent", reader=name)) for name in (*READ_BY, "zero-shot")}
    assert list(dict.fromkeys(asked)) == list(READ_BY.values())
    assert all((of == p["zero-shot"]).all() for of in p.values())  # the prompts are the same


# --- what a profile can afford ------------------------------------------------------------------


def test_rows_whose_adapter_is_neither_here_nor_trained_are_left_out(study):
    rows = experiments.TABLE_3 | experiments.BESIDE_TABLE_3 | {"LightGBM": Choice(reader="lightgbm")}
    rows |= {"together": Choice(reader="llm + lightgbm"), "ours": Choice(reader="llm, ours")}
    assert study.affordable(rows) == rows  # the profile trains them all
    quick = study.changed(replace(study.size, tunings=("paper",)), ())
    gone = {"w/o Data Aug.", "w/o Retrieval", "ours"}
    assert list(quick.affordable(rows)) == [label for label in rows if label not in gone]
    study.adapter_of("recent")  # once it is here, its rows are, too
    assert list(quick.affordable(rows)) == [label for label in rows if label not in gone - {"w/o Retrieval"}]


# --- adapters whose weights are not here --------------------------------------------------------


def list_and_lose(study: Study, folder, *tunings: str) -> None:
    """List a study's adapters as published, and take their weights away."""
    at = "tiny+tiny-random+smoke"
    files = [study.adapter_of(tuning).folder / stale.ADAPTER for tuning in tunings]
    record = stale.record_path(at, "05_recommendation")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(dict(files={str(file): "" for file in files})))
    (folder / "published" / "tiny").mkdir(parents=True)
    publishing.list_adapters(at, folder / "published" / "tiny")
    shutil.rmtree(folder / "data" / "adapters")


def test_a_listed_adapter_answers_without_its_weights(tiny_split, study, folder, monkeypatch):
    """From the cache, each tuning's by its own; what was never asked of it needs a training."""
    choices, tunings = (LAST_K, LAST_K.read_by("llm, no augmentation")), ("paper", "no augmentation")
    p, curve = [study.predict(choice) for choice in choices], study.adapter_of().curve
    list_and_lose(study, folder, *tunings)
    train_no_more(monkeypatch)

    there = study_of(tiny_split, folder)
    assert there.adapter_at_hand() is None
    assert there.known_adapter() == finetuning.Adapter(
        None, curve, "tiny", ("statistics",), there.known_adapter().digest
    )
    assert [there.predict(choice).tolist() for choice in choices] == [each.tolist() for each in p]
    adapted = [there.adapted(tuning) for tuning in tunings]
    assert all(isinstance(each, KnownAdapter) for each in adapted)
    assert [each.weights for each in adapted] == [study.adapted(tuning).weights for tuning in tunings]
    quick = there.changed(replace(there.size, tunings=("paper",)), ())
    rows = {"augmented": choices[0], "not": choices[1], "ours": LAST_K.read_by("llm, ours")}
    assert list(quick.affordable(rows)) == ["augmented", "not"]
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        there.predict(Choice(selector="recent", reader="llm", k=2))


def otherwise(study: Study, what: str) -> Study:
    """A study of which one thing is another."""
    split, data, size = study.split, study.split.data, study.size
    if what == "data":
        return replace(study, split=rr.split(replace(data, like_above=2)))
    if what == "split":
        return replace(study, split=rr.split(data, parts=(6, 2, 2)))
    if what == "statistics":
        return replace(study, split=replace(split, train_ratings=split.train_ratings[:-1]))
    if what == "seed":
        return replace(study, seed=1)
    if what == "the LLM that describes":
        return replace(study, reader=rr.language_model("tiny-random", device="cpu", cache=study.llm.cache))
    if what == "the model":
        reader = rr.language_model("tiny-random", device="cpu", cache=study.llm.cache)
        reader.weights = "another"
        return replace(study, llm=reader, reader=reader)
    if what == "llm_k":
        return replace(study, size=replace(size, llm_k=size.llm_k + 1))
    of, field = what.split(": ")
    value = ("category",) if field == "tells" else 2
    return replace(study, size=replace(size, **{of: getattr(size, of) | {field: value}}))


@pytest.mark.parametrize(
    "what",
    [
        *("data", "split", "statistics", "seed", "the LLM that describes", "the model", "llm_k"),
        *(
            "adapter: r",
            "adapter: k",
            "adapter: sequences",
            "adapter: tells",
            "alignment: hidden",
            "lightgcn: dimensions",
        ),
    ],
)
def test_a_listed_adapter_is_not_taken_for_another(tiny_split, study, folder, monkeypatch, what):
    list_and_lose(study, folder, "paper")
    train_no_more(monkeypatch)
    there = study_of(tiny_split, folder)
    assert there.known_adapter()
    other = otherwise(there, what)
    assert other.known_adapter() is None
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        other.predict(LAST_K)
    assert not any(there.known_adapter(tuning) for tuning in TUNINGS if tuning != "paper")
    monkeypatch.setenv("RALLREC_FRESH", "1")
    assert there.known_adapter() is None


def test_a_damaged_list_is_told(study, folder):
    (folder / "published" / "tiny").mkdir(parents=True)
    (folder / "published" / "tiny" / "adapters.json").write_text('{"0123')
    with pytest.raises(rr.InputError, match=r"adapters.json is damaged .*; `git checkout .*` brings it back"):
        study.known_adapter()
