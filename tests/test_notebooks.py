"""All six notebooks through the runner, on generated data with a tiny model; twice, for the same bytes."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.infra.files import ROOT, data_dir
from rallrec.readers.prompts import Details
from rallrec.runs.publishing import write_answers
from rallrec.runs.run import NOTEBOOKS
from rallrec.runs.runner import execute

from .executed import PARAMETERS

LINES = 25  # of a cell


def check_executed(path: Path) -> None:
    """No error, no warning, no path of a machine, no clock, no address in memory."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output
            output.get("data", {}).pop("image/png", None)
    text = nbformat.writes(notebook)
    assert not re.search(r"/(home|root|tmp|work|Users)/", text), path
    assert not re.search(r"202\d-\d\d-\d\dT|start_time|iopub|at 0x", text), path


def test_every_notebook_ran_and_left_its_outputs(outputs):
    folder, files, _ = outputs
    assert {f"papermill_runs/tiny+tiny-random+smoke/{n}.ipynb" for n in NOTEBOOKS} < set(files)
    for kind, least in (("png", 10), ("pdf", 10), ("csv", 8), ("md", 8), ("tex", 8)):
        assert sum(f.endswith(kind) for f in files) >= least, kind
    metrics = json.loads((folder / "papermill_runs/tiny+tiny-random+smoke/metrics.json").read_text())
    assert {"data_hash", "llm", "seed", "version"} < set(metrics)
    for notebook in NOTEBOOKS:
        part = metrics["notebooks"][notebook]
        assert part["values"]
        assert {"hardware", "seconds"} <= set(part["made"])
    assert not list(folder.rglob(".staging*"))


def test_a_second_run_changes_no_file(outputs):
    _, first, second = outputs
    assert first == second


def test_a_slow_machine_gives_the_same_bytes(tmp_path, monkeypatch):
    """A kernel sends what is printed every 0.2 s; a cell's prints are one output all the same."""
    from rallrec.runs import runner as runs

    cells = [
        "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items()),
        "import time\nprint('one')\ntime.sleep(0.5)\nprint('two')",
        "import rallrec as rr\nrun = rr.start('01_descriptions', DATASET, LLM, PROFILE, SEED)\nrun.record(values=2)",
    ]
    source = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    source.cells[0].metadata["tags"] = ["parameters"]
    source.metadata["kernelspec"] = dict(name="python3", display_name="Python 3", language="python")
    (tmp_path / "notebooks").mkdir()
    nbformat.write(source, tmp_path / "notebooks" / "01_descriptions.ipynb")
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    executed = nbformat.read(execute("01_descriptions", PARAMETERS), 4)
    (printed,) = (cell.outputs for cell in executed.cells if "time.sleep" in cell.source)
    assert [output.text for output in printed] == ["one\ntwo\n"]


def test_a_run_that_found_all_kept_does_not_say_how_long_it_takes(tmp_path, monkeypatch):
    """Its time is that of who paid for what is kept, though a value came out otherwise."""
    from rallrec.runs import runner as runs

    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))

    def rows(value: int, paid: int, row: str) -> list[str]:
        cells = [
            "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items()),
            "import rallrec as rr\nfrom rallrec.infra.cache import Cache",
            "run = rr.start('01_descriptions', DATASET, LLM, PROFILE, SEED)",
            f"Cache.paid += {paid}\nwith run.timed({row!r}):\n    run.record(values={value})",
            "run.record()",
        ]
        source = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        source.cells[0].metadata["tags"] = ["parameters"]
        source.metadata["kernelspec"] = dict(name="python3", display_name="Python 3", language="python")
        nbformat.write(source, tmp_path / "notebooks" / "01_descriptions.ipynb")
        place = execute("01_descriptions", PARAMETERS).parent
        part = json.loads((place / "metrics.json").read_text())["notebooks"]["01_descriptions"]
        assert part["values"] == {"values": value}
        return list(part["made"]["rows"])

    assert rows(1, 0, "first") == ["first"]
    assert rows(2, 1, "paid") == ["paid"]
    assert rows(3, 0, "kept") == ["paid"]
    assert rows(3, 5, "same values") == ["paid"]
    assert rows(4, 5, "paid again") == ["paid again"]


def test_executed_notebooks_hold_no_error_warning_path_or_clock(outputs):
    folder, *_ = outputs
    for path in folder.rglob("*.ipynb"):
        check_executed(path)


def test_what_the_llm_chose_can_be_published(outputs, tmp_path, monkeypatch):
    """Another checkout, with an empty cache, then answers without asking."""
    folder, *_ = outputs
    monkeypatch.setenv("RALLREC_DATA", str(folder.with_name("data-of-the-runs")))
    llm = rr.language_model("tiny-random", device="cpu", cache=Cache(data_dir() / "cache.sqlite"))
    (tmp_path / "published" / "tiny").mkdir(parents=True)
    write_answers("tiny+tiny-random+smoke", llm.cache, tmp_path / "published" / "tiny")
    with np.load(tmp_path / "published" / "tiny" / "answers.npz") as z:
        assert len(z["keys"]) > 100
        np.testing.assert_allclose(z["rows"].sum(1), 1)
    other = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path / "empty", tmp_path / "published"))
    monkeypatch.setattr(other, "_choose", lambda *a: pytest.fail("asked again"))
    split = rr.split(rr.load("tiny"))
    study = split.valid.take(split.valid.draw(20, 0))
    shown, details = rr.select(study, "recent", k=3), Details.of(("statistics",), split)  # of the study of prompts
    assert (rr.recommend(shown, other, details=details) == rr.recommend(shown, llm, details=details)).all()


def test_values_are_those_of_the_data(outputs):
    folder, *_ = outputs
    values = json.loads((folder / "papermill_runs/tiny+tiny-random+smoke/metrics.json").read_text())["notebooks"]
    split = rr.split(rr.load("tiny"))
    assert values["01_descriptions"]["values"]["samples/test"] == len(split.test)
    test, valid = (
        rr.evaluation.metrics.auc(p.liked, rr.vote(rr.select(p, "recent", k=5))) for p in (split.test, split.valid)
    )
    assert values["06_ablations"]["values"]["vote_auc/without retrieval (last K)"] == pytest.approx(test, abs=1e-6)
    assert values["06_ablations"]["values"]["grid_auc/colla/recent"] == pytest.approx(valid, abs=1e-6)


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_sources_are_clean(notebook):
    source = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4)
    code = [c for c in source.cells if c.cell_type == "code"]
    assert all(not c.outputs and c.execution_count is None for c in code)
    assert [c.metadata.get("tags") for c in code].count(["parameters"]) == 1
    assert code[0].metadata.tags == ["parameters"]
    assert source.cells[0].source.startswith(f"# {notebook[:2]} · ")
    assert source.metadata.kernelspec.name == "python3"
    for cell in code:  # ruff holds their columns, see notebooks/ruff.toml
        assert len(cell.source.splitlines()) <= LINES, cell.source
        if cell.source.startswith(("run.keep(", "run.record(")):
            assert "hide-input" in cell.metadata.tags


def test_an_interrupted_notebook_leaves_nothing_half_done(outputs, monkeypatch):
    folder, files, _ = outputs
    from rallrec.runs import runner as runs

    monkeypatch.setenv("RALLREC_OUTPUT", str(folder))
    monkeypatch.setattr(runs, "scrubbed", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        execute("03_collaborative_embeddings", PARAMETERS | {"SEED": 1})
    after = {p: hashlib.sha256((folder / p).read_bytes()).hexdigest() for p in files}
    assert after == files
    assert not list(folder.rglob(".staging*"))


# --- the command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "05_recommendation", "--dataset", "ml-99"], "'ml-99'; it must be one of: ml-100k, ml-1m"),
        (["run", "05_recommendation", "--profile", "huge"], "'huge'; it must be one of: quick, full, smoke"),
        (["run", "07_dreams"], "it must be one of: 01_descriptions"),
        (["run", "05_recommendation", "-p", "TEMPERATUR", "1"], "has no parameter 'TEMPERATUR'; it has: DATASET"),
        (["run", "05_recommendation", "--seed", "-1"], "seed is -1; it must be a whole number of at least 0"),
        (["run", "05_recommendation", "-p", "K", "0"], "K is 0; it must be a whole number of at least 1"),
        (["fetch", "--dataset", "tiny", "--llm", "gpt-17"], "valid are: smollm2-135m, gemma3-270m, tiny-random"),
        (["check", "tiny"], "papermill_runs/tiny has no metrics.json; run `make all` with these settings first"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(tmp_path, arguments, said):
    environment = os.environ | {"RALLREC_OUTPUT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "rallrec", *arguments], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.ipynb"))


def test_a_users_mistake_inside_a_notebook_gets_one_line(tmp_path):
    """The LLM is opened by the notebook's kernel; its complaint comes out as the command's."""
    arguments = ["run", "02_text_embeddings", "--dataset", "tiny", "--llm", "gpt-17"]
    environment = os.environ | {"RALLREC_OUTPUT": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "rallrec", *arguments], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2
    assert "rallrec: LLM 'gpt-17' is unknown" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
