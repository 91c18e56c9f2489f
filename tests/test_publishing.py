"""What is published for a data set, and the values that it is compared with."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec import pipeline
from rallrec.infra.cache import Cache, pack, unpack
from rallrec.pipeline import Study
from rallrec.readers import adapter as adapters
from rallrec.representations import alignment, lightgcn
from rallrec.retrieval import learned
from rallrec.runs import place, publishing, reporting, stale
from rallrec.runs import retrained as spot
from rallrec.runs.publishing import publish, record_reference, tolerance
from rallrec.runs.retrained import retrained

from .studies import study_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository of its own."""
    for module in (publishing, adapters, place, spot):
        monkeypatch.setattr(module, "published_dir", lambda: tmp_path / "published")
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    return tmp_path


PLACE = "tiny+tiny-random+smoke"
CHOICES = (
    rr.Choice(selector="recent", reader="llm"),
    rr.Choice(selector="learned", reader="llm"),
    rr.Choice(reader="llm"),  # alpha by validation
    rr.Choice("mixture, principal components", "high", "llm"),
)


@pytest.fixture
def trainings_go_to(monkeypatch):
    """Have trainings kept in another cache."""

    def to(cache: Cache) -> None:
        for module in (alignment, learned, lightgcn, pipeline, publishing):
            monkeypatch.setattr(module, "default_cache", lambda: cache)

    return to


def whole_study_of(split, folder) -> Study:
    """One that embeds and trains for itself."""
    return replace(study_of(split, folder), parts={})


def ran(study: Study, place: str = PLACE) -> None:
    """Leave behind what a run of a notebook does."""
    lines = [f"{key} {form} {verb}\n" for key, (form, verb) in study.llm.asked.items()]
    path = publishing.asked_path(place, "06_ablations")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


def test_what_is_published_answers_another_checkout(folder, tiny_split, monkeypatch, trainings_go_to):
    study = whole_study_of(tiny_split, folder)
    trainings_go_to(study.llm.cache)
    monkeypatch.setattr(Study, "of", lambda *a: study)
    p = [study.predict(choice) for choice in CHOICES]
    ran(study)
    left = folder / "published" / "tiny" / "trained" / f"lightgcn-{'0' * 64}.npz"  # of code as it was
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    made = publish("tiny", "tiny-random", "smoke", 0)
    steps = {path.name.partition("-")[0] for path in (made / "trained").iterdir()}
    assert steps == {"alignment", "lightgcn", "reduction", "reranker"}
    assert not left.exists()
    assert made == folder / "published" / "tiny"
    provenance = json.loads((made / "provenance.json").read_text())
    assert provenance["data_hash"] == tiny_split.data.hash
    assert provenance["weights"] == study.llm.weights
    assert json.loads((made / "adapter" / "rallrec.json").read_text())["inputs"]["data"] == tiny_split.data.hash

    there = whole_study_of(tiny_split, folder / "there")
    there.llm.cache = Cache(folder / "there" / "empty", folder / "published")
    trainings_go_to(there.llm.cache)
    monkeypatch.setenv("RALLREC_DATA", str(folder / "there"))
    for verb in ("_generate", "_embed", "_choose"):
        monkeypatch.setattr(rr.llm.local.LocalModel, verb, lambda *a, **k: pytest.fail("asked again"))
    for module, what in ((adapters, "Training"), (lightgcn, "_train"), (alignment, "_train"), (learned, "_fit")):
        monkeypatch.setattr(module, what, lambda *a, **k: pytest.fail("trained again"))
    monkeypatch.setattr(pipeline, "principal_components", lambda *a: pytest.fail("decomposed again"))
    data = tiny_split.data
    assert len(rr.describe(data, there.llm)) == data.n_items
    assert there.llm.embed(rr.plain(data)).shape[0] == data.n_items
    assert there.adapter_of().folder == made / "adapter"
    assert [there.predict(choice).tolist() for choice in CHOICES] == [each.tolist() for each in p]
    assert there.trained == study.trained


def test_what_is_published_was_used_and_stays(folder, tiny_split, monkeypatch, trainings_go_to):
    """A training with the same key and other last bits, as it may come out here, is neither taken nor published."""
    study = whole_study_of(tiny_split, folder)
    trainings_go_to(cache := study.llm.cache)
    monkeypatch.setattr(Study, "of", lambda *a: study)
    study.predict(CHOICES[0])
    ran(study)
    made = publish("tiny", "tiny-random", "smoke", 0)
    (graph,) = (made / "trained").glob("lightgcn-*")
    key, before = graph.stem.removeprefix("lightgcn-"), graph.read_bytes()
    (blob,) = cache.get([key])
    cache.put({key: pack({name: x + 1 for name, x in unpack(blob).items()})})
    publish("tiny", "tiny-random", "smoke", 0)
    assert graph.read_bytes() == before
    trainings_go_to(Cache(cache.path, folder / "published"))
    assert (whole_study_of(tiny_split, folder)["colla"] == study["colla"]).all()


def test_the_published_reranker_is_fitted_anew_and_compared(folder, tiny_split, monkeypatch, trainings_go_to):
    study = whole_study_of(tiny_split, folder)
    trainings_go_to(study.llm.cache)
    monkeypatch.setattr(Study, "of", lambda *a: study)
    monkeypatch.setattr(place.Parameters, "suffix", "")
    of = place.Parameters("tiny", "tiny-random", "smoke")
    study.predict(CHOICES[1])
    ran(study, "tiny")
    assert retrained(of) == ("", True)
    publish("tiny", "tiny-random", "smoke", 0)
    said, same = retrained(of)
    assert same
    assert said.startswith("tiny: published trainings were used (")
    values = re.findall(r"validation (0\.\d+), of the published one (0\.\d+)", said)
    assert values[0][0] == values[0][1] != "0.5000"
    fit = learned._fit
    monkeypatch.setattr(learned, "_fit", lambda x, y, *others: fit(x, 1 - y, *others))
    assert retrained(of)[1] is False


def test_other_settings_never_overwrite_what_is_recorded(folder, tiny_split, monkeypatch):
    study = study_of(tiny_split, folder)
    monkeypatch.setattr(Study, "of", lambda *a: study)
    settings = dict(data_hash=tiny_split.data.hash, llm="smollm2-135m", profile="smoke", seed=0)
    (folder / "published" / "tiny").mkdir(parents=True)
    path = folder / "published" / "tiny" / "reference.json"
    path.write_text(json.dumps(dict(settings=settings, values={})))
    with pytest.raises(rr.InputError, match=r"others: llm tiny-random \(recorded: smollm2-135m\); to record others"):
        publish("tiny", "tiny-random", "smoke", 0)
    assert list(path.parent.iterdir()) == [path]


def test_adapters_whose_weights_stay_here_are_listed(folder, tiny_split):
    """By the digest that their answers are kept under; a published one is no news, and what was listed stays."""
    study = study_of(tiny_split, folder)
    trained, made = study.adapter_of().folder, folder / "published" / "tiny"
    record = stale.record_path(PLACE, "05_recommendation")
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(dict(files={str(trained / stale.ADAPTER): "", "titles.csv": ""})))
    made.mkdir(parents=True)
    (made / "adapters.json").write_text(json.dumps({"0123": dict(digest="of another run")}))
    publishing.list_adapters(PLACE, made)
    listed = json.loads((made / "adapters.json").read_text())
    assert listed.keys() == {"0123", trained.name}
    entry = listed[trained.name]
    assert study.llm.adapted(trained).weights == f"{study.llm.weights}+{entry['digest']}"
    assert entry["inputs"]["data"] == tiny_split.data.hash
    assert len(entry["curve"]["valid"]) == len(study.adapter_of().curve.valid)
    answers = study.predict(CHOICES[0])
    shutil.copytree(trained, made / "elsewhere")
    shutil.rmtree(trained)  # in a fresh clone its answers do
    there = study_of(tiny_split, folder)
    assert not there.adapter_at_hand()
    assert there.predict(CHOICES[0]) == pytest.approx(answers)
    assert not there.adapted().at_hand
    (made / "adapters.json").unlink()
    (made / "elsewhere").rename(trained)
    shutil.copytree(trained, made / "adapter")
    publishing.list_adapters(PLACE, made)
    assert not (made / "adapters.json").exists()


def test_answers_that_are_gone_are_named(folder, llm):
    (folder / "data" / "asked").mkdir(parents=True)
    publishing.asked_path("tiny", "06_ablations").write_text("0123 float32 choose\n4567 lightgcn trained\n")
    with pytest.raises(rr.InputError, match="1 answers of the last runs are not in the cache; run `make all` again"):
        publishing.write_answers("tiny", llm.cache, folder)
    with pytest.raises(rr.InputError, match=r"a training of the last runs \(lightgcn\) is not in the cache"):
        publishing.write_trainings("tiny", llm.cache, folder)


def test_more_than_the_repository_takes_is_refused(folder, tiny_split, monkeypatch):
    monkeypatch.setattr(Study, "of", lambda *a: study_of(tiny_split, folder))
    monkeypatch.setattr(publishing, "LIMIT", 1000)
    (folder / "data").mkdir()
    with pytest.raises(rr.InputError, match="MiB; the limit is"):
        publish("tiny", "tiny-random", "smoke", 0)


def test_recorded_values_are_those_of_the_last_run(folder):
    with pytest.raises(rr.InputError, match=r"tiny has no metrics\.json"):
        record_reference("tiny")
    metrics = dict(dataset="tiny", data_hash="h", llm="tiny-random", profile="smoke", seed=0, other_parameters={})
    values = {"fast/vote/auc": 0.7, "n": 3}
    metrics["notebooks"] = {"05_recommendation": dict(values=values, made={})}
    runs = folder / "papermill_runs" / "tiny"
    runs.mkdir(parents=True)
    (runs / "metrics.json").write_text(json.dumps(metrics))
    (folder / "published" / "tiny").mkdir(parents=True)
    recorded = json.loads(record_reference("tiny").read_text())
    assert recorded["values"] == {"05_recommendation/fast/vote/auc": [0.7, 0.01], "05_recommendation/n": [3, 0]}
    for value, n, good in ((0.709, 3, True), (0.711, 3, False), (0.7, 4, False)):
        values |= {"fast/vote/auc": value, "n": n}
        (runs / "metrics.json").write_text(json.dumps(metrics))
        assert reporting.compare("tiny")[1] is good


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("05_recommendation/llm/LLM, RALLRec/auc", 0.02),
        ("05_recommendation/fast/DIN/auc", 0.02),
        ("05_recommendation/fast/vote, RALLRec/auc", 0.01),
        ("05_recommendation/study/last K/auc", 0.02),
        ("06_ablations/released/LLM, RALLRec/strict", 0.02),
        ("06_ablations/released/vote, RALLRec/strict", 0.01),
        ("03_collaborative_embeddings/valid_vote_auc/collaborative", 0.01),
        ("06_ablations/grid_auc/DINNER/high", 0.01),  # no part of it is a model's name
    ],
)
def test_room_is_by_the_group_of_a_value(name, room):
    assert tolerance(name, 0.5) == room
    assert tolerance(name, 5) == 0


@pytest.mark.parametrize("good", [True, False])
def test_a_fresh_cache_goes_only_when_all_is_reproduced(folder, monkeypatch, good):
    monkeypatch.setattr(reporting, "compare", lambda _: ("said", good))
    monkeypatch.setenv("RALLREC_FRESH", "1")
    cache, adapter = folder / "data" / "cache-fresh.sqlite", folder / "data" / "adapters-fresh"
    adapter.mkdir(parents=True)
    cache.write_bytes(b"paid for")
    assert reporting.finish(["tiny"]) is good
    assert cache.exists() is not good
    assert adapter.exists() is not good


def test_embeddings_are_kept_in_half_precision(folder, tiny_split, monkeypatch):
    study = study_of(tiny_split, folder)
    monkeypatch.setattr(Study, "of", lambda *a: study)
    (folder / "data").mkdir()
    made = publish("tiny", "tiny-random", "smoke", 0)
    with np.load(made / "embeddings-plain.npz") as z:
        assert z["rows"].dtype == np.float16
        assert z["rows"] == pytest.approx(study.llm.embed(rr.plain(tiny_split.data)).astype(np.float16))
