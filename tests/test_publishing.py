"""What is published for a data set, and the values that it is compared with."""

import json

import numpy as np
import pytest

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.pipeline import Study
from rallrec.readers import adapter as adapters
from rallrec.runs import place, publishing, reporting
from rallrec.runs.publishing import publish, record_reference, tolerance

from .test_ablations import study_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository of its own."""
    for module in (publishing, adapters, place):
        monkeypatch.setattr(module, "published_dir", lambda: tmp_path / "published")
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    return tmp_path


def test_what_is_published_answers_another_checkout(folder, tiny_split, monkeypatch):
    study = study_of(tiny_split, folder)
    monkeypatch.setattr(Study, "of", lambda *a: study)
    (folder / "data" / "asked").mkdir(parents=True)
    p = study.predict(rr.Choice(selector="recent", reader="llm"))
    lines = [f"{key} {form} {verb}\n" for key, (form, verb) in study.llm.asked.items()]
    publishing.asked_path("tiny+tiny-random+smoke", "06_ablations").write_text("".join(lines))
    made = publish("tiny", "tiny-random", "smoke", 0)
    assert made == folder / "published" / "tiny"
    provenance = json.loads((made / "provenance.json").read_text())
    assert provenance["data_hash"] == tiny_split.data.hash
    assert provenance["weights"] == study.llm.weights
    assert json.loads((made / "adapter" / "rallrec.json").read_text())["inputs"]["data"] == tiny_split.data.hash

    there = study_of(tiny_split, folder / "there")
    there.llm.cache = Cache(folder / "there" / "empty", folder / "published")
    monkeypatch.setenv("RALLREC_DATA", str(folder / "there"))
    for verb in ("_generate", "_embed", "_choose"):
        monkeypatch.setattr(rr.llm.local.LocalModel, verb, lambda *a, **k: pytest.fail("asked again"))
    monkeypatch.setattr(adapters, "Training", lambda *a, **k: pytest.fail("trained again"))
    data = tiny_split.data
    assert len(rr.describe(data, there.llm)) == data.n_items
    assert there.llm.embed(rr.plain(data)).shape[0] == data.n_items
    assert there.adapter.folder == made / "adapter"
    assert there.predict(rr.Choice(selector="recent", reader="llm")) == pytest.approx(p)


def test_answers_that_are_gone_are_named(folder, llm):
    (folder / "data" / "asked").mkdir(parents=True)
    publishing.asked_path("tiny", "06_ablations").write_text("0123 float32 choose\n")
    with pytest.raises(rr.InputError, match="1 answers of the last runs are not in the cache; run `make all` again"):
        publishing.write_answers("tiny", llm, folder)


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
