import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import rallrec as rr
from rallrec.__main__ import main
from rallrec.evaluation.metrics import auc
from rallrec.infra.files import ROOT
from rallrec.pipeline import Study
from rallrec.study import adapter_seeds

from .studies import study_of


@pytest.fixture
def study(tiny_split, tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    monkeypatch.setattr(adapter_seeds, "published_dir", lambda: tmp_path)
    (tmp_path / "tiny").mkdir()
    made = study_of(tiny_split, tmp_path)
    monkeypatch.setattr(Study, "of", lambda *a: made)
    return made


def test_answers_of_other_seeds_are_published_and_read(study):
    assert adapter_seeds.published(study) is None
    assert main(["seeds", "--dataset", "tiny", "1", "2"]) == 0
    samples, by_seed = adapter_seeds.published(study)
    assert len(samples) == study.size.seed_samples
    assert set(by_seed) == {"1", "2"}
    by_seed = {"0": adapter_seeds.ask(study, samples, study.adapted())} | by_seed
    first, second = (by_seed[s]["LLM, RALLRec"] for s in "01")
    assert (first != second).any()
    table = adapter_seeds.spread(samples, by_seed)
    assert table.method.tolist() == list(adapter_seeds.ROWS)
    aucs = [auc(samples.liked, by_seed[s]["LLM, RALLRec"]) for s in "012"]
    assert table.loc[0, ["mean", "deviation"]].tolist() == pytest.approx([np.mean(aucs), np.std(aucs, ddof=1)])
    assert table.loc[0, ["seed 0", "seed 1", "seed 2"]].tolist() == pytest.approx(aucs)


def test_the_notebook_shows_the_spread_over_seeds(study):
    """Notebook 05 has it only for data whose seeds are published; its cell, on others."""
    cells = json.loads((ROOT / "notebooks" / "05_recommendation.ipynb").read_text(encoding="utf-8"))["cells"]
    (source,) = ("".join(c["source"]) for c in cells if "adapter_seeds.published(" in "".join(c["source"]))
    tables, said = [], []
    run = SimpleNamespace(table=lambda *a, caption: tables.append((*a, caption)), say=said.append)
    space = dict(study=study, run=run, SEED=0, adapted=study.adapted(), details=study.details)
    exec(source, space)
    assert said == ["The adapter was trained with one seed; others are not measured here."]
    adapter_seeds.publish(study, [1])
    exec(source, space)
    ((_, table, caption),) = tables
    assert {"seed 0", "seed 1"} < set(table)
    first, second = (table.loc[1, seed] - table.loc[0, seed] for seed in ("seed 0", "seed 1"))
    assert f"{first:+.3f} with seed 0 (the adapter at hand), {second:+.3f} with seed 1; their mean" in caption


@pytest.mark.parametrize("here", [0.1, -0.1])
def test_the_order_of_the_main_table_is_compared_with_that_over_seeds(study, monkeypatch, here):
    """A learned reranker that is better with the adapters of three seeds, and better or worse in the main table."""
    test, rng = study.split.test, np.random.default_rng(0)
    samples = test.take(np.arange(60))

    def p(of, gain):
        noise = rng.random(len(of))
        return 0.5 + gain * (of.liked - 0.5) + 0.3 * (noise - 0.5)

    by_seed = {s: {adapter_seeds.RALLREC: p(samples, 0.1), adapter_seeds.LEARNED: p(samples, 0.3)} for s in "012"}
    monkeypatch.setattr(Study, "both", lambda self, a, b: (test, p(test, 0.2 + here), p(test, 0.2)))
    said = adapter_seeds.order(study, samples, by_seed)
    stacked = [np.stack([q[n] for q in by_seed.values()]) for n in (adapter_seeds.LEARNED, adapter_seeds.RALLREC)]
    first = rr.compare(samples, *stacked, same_training=True)["auc"]
    assert f"their mean {first.value:+.3f} [{first.low:+.3f}, {first.high:+.3f}]. On 124 samples" in said
    changes = "the sign changes with the samples, not with these seeds."
    assert said.endswith("the same sign with each seed, and on both sets of samples." if here > 0 else changes)
    by_seed["1"] = {name: 1 - p for name, p in by_seed["1"].items()}
    assert "the sign changes with the adapter's seed." in adapter_seeds.order(study, samples, by_seed)
    monkeypatch.setattr(Study, "both", lambda self, a, b: (test, p(test, 0), p(test, 0)))
    same = {seed: {name: p(samples, 0) for name in adapter_seeds.ROWS} for seed in "01"}
    assert adapter_seeds.order(study, samples, same).endswith("Both intervals hold 0, so no order is established.")


def test_answers_made_with_other_settings_are_not_taken(study, tmp_path):
    path, made = tmp_path / "tiny" / "adapter-seeds.json", dict(position=[], answers={})
    path.write_text(json.dumps(made | {"settings": adapter_seeds.settings_of(study)}))
    assert adapter_seeds.published(study)[1] == {}
    for setting in ("data_hash", "llm", "reader", "k", "lightgcn", "adapter", "orders", "rows"):
        path.write_text(json.dumps(made | {"settings": adapter_seeds.settings_of(study) | {setting: "other"}}))
        assert adapter_seeds.published(study) is None, setting
    study.size = replace(study.size, adapter=study.size.adapter | {"r": 4})
    path.write_text(json.dumps(made | {"settings": adapter_seeds.settings_of(study)}))
    study.size = replace(study.size, adapter=study.size.adapter | {"r": 8})
    assert adapter_seeds.published(study) is None
