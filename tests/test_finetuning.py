import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.infra.files import ROOT
from rallrec.readers import adapter as finetuning
from rallrec.readers.adapter import adapter, sequences

SETTINGS = dict(sequences=24, valid_sequences=8, batch=4, k=3, checks=3, learning_rate=1e-2)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))


def test_labels_are_where_they_are_said_to_be(tiny_split, embedding, llm):
    shown = rr.select(tiny_split.train.take(np.arange(4)), "recent", embedding, 3)
    yes, no = (llm.tokenizer(o)["input_ids"][0] for o in (" Yes", " No"))
    for n, (ids, places, liked) in enumerate(sequences(shown, llm)):
        assert [ids[p] for p in places] == [yes if like else no for like in liked]
        assert places[-1] == len(ids) - 1
        assert liked == [*shown.liked[n], shown.samples.liked[n]]


def test_training_lowers_the_loss_and_the_adapter_is_used(tiny_split, embedding, llm, folders):
    trained = adapter(tiny_split, embedding, llm, **SETTINGS)
    folder, curve = trained.folder, trained.curve
    assert trained.trained_on == "tiny"
    assert curve.valid[-1] < curve.valid[0]
    adapted = llm.adapted(folder)
    shown = rr.select(tiny_split.test.take(np.arange(20)), "recent", embedding, 3)
    plain, tuned = rr.recommend(shown, llm), rr.recommend(shown, adapted)
    assert adapted.weights != llm.weights
    losses = [rr.evaluation.metrics.log_loss(shown.samples.liked, p) for p in (plain, tuned)]
    assert losses[1] < losses[0]
    assert json.loads((folder / "rallrec.json").read_text())["curve"]["step"] == curve.step


def test_the_plain_model_stays_as_it_was(tiny_split, embedding, llm, folders):
    before = llm.model.state_dict()["model.layers.0.mlp.up_proj.weight"].clone()
    adapter(tiny_split, embedding, llm, **SETTINGS)
    assert (llm.model.state_dict()["model.layers.0.mlp.up_proj.weight"] == before).all()


def test_resumed_equals_uninterrupted(tiny_split, embedding, tmp_path, monkeypatch):
    weights = []
    for name in ("whole", "resumed"):
        monkeypatch.setenv("RALLREC_DATA", str(tmp_path / name))
        llm = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path / name / "cache"))
        if name == "resumed":
            losses, real = [], finetuning._label_losses

            def dies(*a, losses=losses, real=real):
                losses.append(1)
                if len(losses) == 11:
                    raise KeyboardInterrupt
                return real(*a)

            with monkeypatch.context() as m:
                m.setattr(finetuning, "_label_losses", dies)
                with pytest.raises(KeyboardInterrupt):
                    adapter(tiny_split, embedding, llm, **SETTINGS)
        trained = adapter(tiny_split, embedding, llm, **SETTINGS)
        folder, curve = trained.folder, trained.curve
        weights.append((folder / "adapter_model.safetensors").read_bytes())
        assert curve.step == [2, 4, 6]
    assert weights[0] == weights[1]


SCRIPT = """
import sys
from pathlib import Path

import numpy as np

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.readers.adapter import adapter

data = rr.load("tiny")
llm = rr.language_model("tiny-random", device="cpu", cache=Cache(Path(sys.argv[1]) / "cache"))
items = np.random.default_rng(3).normal(size=(data.n_items, 12)).astype(np.float32)
# dropout draws its masks by the shape of what a process holds, which is not the same in one and in two
settings = dict(sequences=24, valid_sequences=8, batch=4, k=3, checks=3, learning_rate=1e-2, dropout=0.0)
print(adapter(rr.split(data), items, llm, **settings).folder)
"""


def test_two_processes_have_the_curve_of_one(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    curves = []
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    for name, command in (("one", [sys.executable]), ("two", launch)):
        monkeypatch.setenv("RALLREC_DATA", str(tmp_path / name))
        done = subprocess.run(
            [*command, str(tmp_path / "train.py"), str(tmp_path / name)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        (folder,) = (tmp_path / name / "adapters").iterdir()
        curves.append(json.loads((folder / "rallrec.json").read_text())["curve"])
    assert curves[0]["step"] == curves[1]["step"]
    for kind in ("train", "valid"):
        assert curves[1][kind] == pytest.approx(curves[0][kind], abs=2e-4)


def test_trained_once(tiny_split, embedding, llm, folders, monkeypatch):
    first = adapter(tiny_split, embedding, llm, **SETTINGS)
    monkeypatch.setattr(finetuning, "_train", lambda *a: pytest.fail("trained again"))
    assert adapter(tiny_split, embedding, llm, **SETTINGS) == first


def test_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(rr.InputError, match=r"holds no adapter_model.safetensors; train one"):
        rr.language_model("tiny-random", adapter=tmp_path)


def test_an_adapter_of_another_data_set_is_borrowed_if_it_fits_the_model(
    tiny_split, embedding, llm, folders, tmp_path, monkeypatch
):
    own = adapter(tiny_split, embedding, llm, **SETTINGS)
    published = tmp_path / "published"
    shutil.copytree(own.folder, published / "lender" / "adapter")
    monkeypatch.setattr(finetuning, "published_dir", lambda: published)
    other = rr.split(replace(tiny_split.data, name="borrower", like_above=2))
    lent = adapter(other, embedding, llm, "lender", **SETTINGS)
    assert (lent.trained_on, lent.folder) == ("lender", published / "lender" / "adapter")
    # one's own comes first, where there is one
    assert adapter(tiny_split, embedding, llm, "lender", **SETTINGS) == own
    # of another model it is not taken
    record = json.loads((published / "lender" / "adapter" / "rallrec.json").read_text())
    record["inputs"]["model"] = "another"
    (published / "lender" / "adapter" / "rallrec.json").write_text(json.dumps(record))
    assert adapter(other, embedding, llm, "lender", **SETTINGS).trained_on == "borrower"
