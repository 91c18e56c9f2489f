import json

import numpy as np
import pytest

from rallrec.__main__ import main
from rallrec.evaluation.metrics import auc
from rallrec.profiles import profile
from rallrec.representations.mixture import KINDS, represent
from rallrec.study import adapter_seeds
from rallrec.study.ablations import Study


@pytest.fixture
def study(tiny, tiny_split, llm, tmp_path, monkeypatch):
    from rallrec.study import ablations

    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    monkeypatch.setattr(adapter_seeds, "published_dir", lambda: tmp_path)
    (tmp_path / "tiny").mkdir()
    rng = np.random.default_rng(0)
    txt, text, colla, ssl = (rng.normal(size=(tiny.n_items, d)).astype(np.float32) for d in (9, 9, 6, 6))
    items = {kind: represent(kind, txt, text, colla, ssl) for kind in KINDS}
    made = Study(tiny_split, llm, items, text, profile("smoke"))
    monkeypatch.setattr(ablations, "study", lambda *a: made)
    return made


def test_answers_of_other_seeds_are_published_and_read(study, llm, tmp_path, capsys):
    assert adapter_seeds.published(study.split, llm) is None
    assert main(["seeds", "--dataset", "tiny", "1", "2"]) == 0
    samples, by_seed = adapter_seeds.published(study.split, llm)
    assert len(samples) == study.size.seed_samples
    assert set(by_seed) == {"1", "2"}
    ranker, (adapted, details) = study.ranker, study.adapted
    by_seed = {"0": adapter_seeds.ask(samples, ranker, adapted, details, study.size.llm_k)} | by_seed
    first, second = (by_seed[s]["LLM, RALLRec"] for s in "01")
    assert (first != second).any()
    table = adapter_seeds.spread(samples, by_seed)
    assert table.method.tolist() == list(adapter_seeds.READERS)
    aucs = [auc(samples.liked, by_seed[s]["LLM, RALLRec"]) for s in "012"]
    assert table.loc[0, ["mean", "deviation"]].tolist() == pytest.approx([np.mean(aucs), np.std(aucs, ddof=1)])
    assert table.loc[0, ["seed 0", "seed 1", "seed 2"]].tolist() == pytest.approx(aucs)


def test_answers_for_other_data_are_not_taken(study, llm, tmp_path):
    made = dict(data_hash="other", weights=llm.weights, position=[], answers={})
    (tmp_path / "tiny" / "adapter-seeds.json").write_text(json.dumps(made))
    assert adapter_seeds.published(study.split, llm) is None
    made["data_hash"] = study.split.data.hash
    (tmp_path / "tiny" / "adapter-seeds.json").write_text(json.dumps(made))
    assert adapter_seeds.published(study.split, llm)[1] == {}
