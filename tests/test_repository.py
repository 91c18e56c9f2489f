"""What the repository holds: the reference run, published artefacts, environment."""

import json
import re
import subprocess
import tomllib

import numpy as np
import pytest
import yaml

import rallrec as rr
from rallrec.infra.cache import Cache, read_published
from rallrec.infra.files import ROOT, published_dir
from rallrec.representations.text import MAX_NEW_TOKENS, description_prompt, plain, tidy
from rallrec.runs.publishing import LIMIT
from rallrec.runs.reporting import compare
from rallrec.runs.run import NOTEBOOKS

from .test_notebooks import check_executed

PUBLISHED = published_dir() / "ml-100k"
DATASETS = sorted(p.parent.name for p in published_dir().glob("*/reference.json"))


@pytest.fixture
def real(real_data, tmp_path):
    """ML-100K and SmolLM2 with an empty cache that sees nothing published."""
    return rr.load("ml-100k"), rr.language_model("smollm2-135m", device="cpu", cache=Cache(tmp_path / "cache"))


def test_published_descriptions_and_embeddings_can_be_made_again(real):
    data, llm = real
    published = [json.loads(line) for line in (PUBLISHED / "descriptions.jsonl").read_text("utf-8").splitlines()]
    assert [e["item"] for e in published] == list(range(data.n_items))
    rows = np.random.default_rng(0).permutation(data.n_items)[:4]
    prompts = [description_prompt(data.items.iloc[i], data, llm) for i in rows]
    again = llm.generate(prompts, max_new_tokens=MAX_NEW_TOKENS)
    # another processor's rounding may turn a word, and all that follow it, once in a while
    assert sum(a == published[i]["answer"] for a, i in zip(again, rows, strict=True)) >= 3
    answers = read_published(published_dir())
    texts = [plain(data)[i] for i in rows] + [tidy(published[i]["answer"]) for i in rows]
    kept = np.stack([np.frombuffer(answers[llm._key("embed", t, {})], np.float16) for t in texts]).astype(np.float32)
    made = llm.embed(texts)
    assert np.abs(made - kept).max() / np.abs(kept).max() < 2e-3


def test_published_answers_cover_the_whole_catalogue(real):
    data, llm = real
    llm.cache = Cache(llm.cache.path.with_name("other"), published_dir())
    described = rr.describe(data, llm)
    assert len(described) == data.n_items
    texts = list(dict.fromkeys(described + plain(data)))
    assert len(llm._known("embed", texts, {})) == len(texts)


@pytest.mark.parametrize("dataset", DATASETS)
def test_published_artefacts_have_a_provenance(dataset):
    folder = published_dir() / dataset
    provenance = json.loads((folder / "provenance.json").read_text())
    assert {"weights", "descriptions", "hardware", "date", "command"} < set(provenance)
    for name, width in (("embeddings-plain", 576), ("embeddings-described", 576), ("answers", 2)):
        with np.load(folder / f"{name}.npz") as z:
            assert z["rows"].shape == (len(z["keys"]), width)
            assert np.isfinite(z["rows"]).all()
    with np.load(folder / "answers.npz") as z:
        assert z["rows"].sum(1) == pytest.approx(1)
    reference = json.loads((folder / "reference.json").read_text())
    assert reference["settings"]["data_hash"] == provenance["data_hash"]


def test_published_artefacts_stay_small_and_the_adapter_is_of_the_published_model():
    provenance = json.loads((PUBLISHED / "provenance.json").read_text())
    adapter = json.loads((PUBLISHED / "adapter" / "rallrec.json").read_text())["inputs"]
    assert adapter["model"] == provenance["weights"]
    assert adapter["data"] == provenance["data_hash"]
    assert sum(p.stat().st_size for p in published_dir().rglob("*") if p.is_file()) < LIMIT


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_reference_run_agrees_with_the_recorded_values(dataset):
    said, good = compare(dataset)
    assert good, said
    assert "recorded values reproduced" in said


def test_a_value_that_differs_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "papermill_runs" / "ml-100k"
    folder.mkdir(parents=True)
    metrics = json.loads((ROOT / "papermill_runs/ml-100k/metrics.json").read_text())
    metrics["notebooks"]["01_descriptions"]["values"]["ratings"] -= 1
    (folder / "metrics.json").write_text(json.dumps(metrics))
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    said, good = compare("ml-100k")
    assert not good
    assert re.search(r"01_descriptions/ratings\s+100000\s+99999\s+0\s+NOT reproduced", said)
    metrics["seed"] = 7
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "recorded for other settings, so nothing to compare: seed 7 (recorded: 0)" in compare("ml-100k")[0]


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_reference_run_has_no_path_clock_or_error(dataset):
    recorded = json.loads((published_dir() / dataset / "reference.json").read_text())["values"]
    notebooks = sorted({name.split("/")[0] for name in recorded})
    assert notebooks[:5] == list(NOTEBOOKS[:5])
    for notebook in notebooks:
        path = ROOT / "papermill_runs" / dataset / f"{notebook}.ipynb"
        assert path.stat().st_size < 3 * 2**19  # of more a browser shows no page
        check_executed(path)


def test_make_prints_its_targets():
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True).stdout
    for target in ("reproduce", "all", "test", "lab", "clean"):
        assert f"make {target} " in said


def test_one_list_of_pins():
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    pins = {line.split("==")[0].lower().replace("_", "-") for line in lock if not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*project["dependencies"], *project["optional-dependencies"]["test"]} <= pins
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lock if not line.startswith("#"))
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert "-r requirements.lock" in environment["dependencies"][-1]["pip"]
    assert not re.search(r"==", (ROOT / "environment.yml").read_text())
