"""All notebooks with the profile `full`, cut to minutes: a GPU's first run meets no code that nobody ran before.

Every value of `full` stays but how often something is done: K, dimensions, layers, batches, rates, tunings, 16 answers
with reasons, and the training of adapters rather than borrowing one. The cut comes in as a user's own file would.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from rallrec.profiles import PROFILES
from rallrec.runs.run import NOTEBOOKS
from rallrec.runs.runner import execute

from .test_notebooks import check_executed

CUT = """
from dataclasses import replace

from rallrec.profiles import PROFILES

full = PROFILES["full"]
PROFILES["full"] = replace(
    full,
    **dict(llm_samples=12, ablation_samples=8, valid_samples=12, seed_samples=8, study_samples=6, reason_samples=2),
    released_epochs=5,
    lightgcn=full.lightgcn | dict(epochs=5),
    alignment=full.alignment | dict(epochs=5),
    adapter=full.adapter | dict(sequences=32, valid_sequences=4),
)
"""
SAMPLES = {"llm_samples", "ablation_samples", "valid_samples", "seed_samples", "study_samples", "reason_samples"}
OF_A_TRAINING = {"lightgcn": {"epochs"}, "alignment": {"epochs"}, "adapter": {"sequences", "valid_sequences"}}


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """The folder in which all six ran; `full` is as the file left it."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "cut.py").write_text(CUT)
    parameters = dict(DATASET="tiny", LLM="tiny-random", PROFILE="full", SEED=0, EXTRA=str(folder / "cut.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "full", PROFILES["full"])  # put back in the end
        for variable, name in (("DATA", "data"), ("OUTPUT", "out")):
            patch.setenv(f"RALLREC_{variable}", str(folder / name))
        for notebook in NOTEBOOKS:
            execute(notebook, parameters)
        yield folder


def test_every_notebook_runs_to_its_end(ran):
    executed = sorted((ran / "out").rglob("*.ipynb"))
    assert [path.stem for path in executed] == list(NOTEBOOKS)
    for path in executed:
        check_executed(path)
    (metrics,) = (json.loads(path.read_text()) for path in (ran / "out").rglob("metrics.json"))
    assert metrics["profile"] == "full"
    values = metrics["notebooks"]["05_recommendation"]["values"]
    assert values["llm_samples"] == 12
    for row in ("RALLRec", "w/o Data Aug.", "w/o Retrieval", "w/o IT"):  # each tuning has a row
        assert 0 <= values[f"table_3/{row}/auc"] <= 1
    assert any(name.startswith("reasons_length/") for name in values)
    assert metrics["notebooks"]["06_ablations"]["values"]


def test_each_tuning_was_trained_with_the_batch_of_full(ran):
    records = [json.loads(path.read_text())["inputs"] for path in (ran / "data" / "adapters").glob("*/rallrec.json")]
    assert len({tuple(inputs["orders"]) for inputs in records}) == len(PROFILES["full"].tunings) == 4
    assert {(inputs["batch"], inputs["k"]) for inputs in records} == {(32, 30)}


def test_nothing_but_counts_was_cut(ran):
    cut = asdict(PROFILES["full"])
    (module,) = (m for name, m in sys.modules.items() if name.startswith("cut.py@"))
    full = asdict(module.full)
    changed = {name for name in full if full[name] != cut[name]}
    assert changed == SAMPLES | {"released_epochs"} | OF_A_TRAINING.keys()
    for name, counts in OF_A_TRAINING.items():
        assert full[name].items() - cut[name].items() <= {(count, full[name].get(count)) for count in counts}
