"""The runner: one notebook through papermill, its outputs in place all together or not at all."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from ..data.loading import load, name_of
from ..infra.errors import InputError, one_of
from ..infra.files import ROOT, alone, data_dir, workplace
from ..infra.reproducible import hardware
from ..version import VERSION
from . import context, predictions
from .context import output_root
from .run import NOTEBOOKS, extra_path, read_metrics, start, write_json

OF_EVERY_RUN = ("DATASET", "LLM", "PROFILE", "SEED")


def execute(notebook: str, parameters: dict) -> Path:
    """Run one notebook through papermill and put its outputs in place, all of them or none.

    Args:
        parameters: values for the notebook's ``parameters`` cell, by their names there.

    Returns:
        The executed notebook.
    Raises:
        InputError: an unknown notebook or parameter, or a user's mistake that the notebook met.
    """
    import nbformat
    import papermill

    one_of("notebook", notebook, NOTEBOOKS)
    source = ROOT / "notebooks" / f"{notebook}.ipynb"
    known = papermill.inspect_notebook(str(source))
    if unknown := [name for name in parameters if name not in known]:
        raise InputError(f"{notebook} has no parameter {unknown[0]!r}; it has: {', '.join(known)}")
    dataset, extra = parameters["DATASET"], parameters.get("EXTRA", "")
    if extra:
        parameters = parameters | {"EXTRA": str(extra_path(extra).resolve())}
    # checks them before a kernel starts
    checked = [parameters[name] for name in ("LLM", "PROFILE", "SEED")]
    run = start(notebook, dataset, *checked, parameters.get("K"), parameters.get("EXTRA", ""))
    began = time.monotonic()
    runs = output_root() / "papermill_runs"
    for folder in (data_dir(), runs):
        folder.mkdir(parents=True, exist_ok=True)
    # two runs of a notebook follow each other: what the first paid for, the second finds in the cache
    name = f"staging-{name_of(dataset)}-{notebook}"
    with alone(name), workplace(runs / name) as staging:
        executed = staging / f"{notebook}.ipynb"
        try:
            papermill.execute_notebook(
                str(source),
                str(executed),
                parameters,
                kernel_name="python3",
                progress_bar=sys.stderr.isatty(),
                cwd=str(ROOT / "notebooks"),
                coalesce_streams=True,  # a kernel sends prints every 0.2 s; outputs can't depend on its speed
                # no kernel's notices at every start and end
                extra_arguments=["--log-level=CRITICAL", *context.arguments(staging)],
            )
        except papermill.PapermillExecutionError as e:
            if e.ename == "InputError":
                raise InputError(e.evalue) from e
            raise
        print(f"{notebook:<30} done in {time.monotonic() - began:4.0f} s", flush=True)
        clean = scrubbed(nbformat.read(executed, as_version=4), extra and parameters["EXTRA"])
        nbformat.write(clean, executed)
        known = parameters | ({"EXTRA": run.extra} if extra else {})
        return _put_in_place(staging, notebook, dataset, known, time.monotonic() - began)


def scrubbed(notebook, extra: str = ""):
    """The executed notebook without clocks, machine names and paths, so that the same run gives the same bytes.

    Args:
        extra: the path of the user's own file, of which the name remains.
    """
    for part in (notebook, *notebook.cells):
        for key in ("papermill", "execution"):
            part.metadata.pop(key, None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
            cell.source = cell.source.replace(extra, Path(extra).name) if extra else cell.source
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = output["text"].replace(str(ROOT), "rallrec")
    return notebook


def _put_in_place(staging: Path, notebook: str, dataset: str, parameters: dict, seconds: float) -> Path:
    """Move a finished notebook's outputs to their places, under a lock.

    The notebook comes last: what `make` finds newer than its sources has all its outputs.
    """
    name = name_of(dataset)
    runs, pictures = (output_root() / kind / name for kind in ("papermill_runs", "figures"))
    for folder in (runs, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    values = json.loads((staging / "metrics.json").read_text(encoding="utf-8"))
    made = dict(hardware=hardware(), seconds=round(seconds))
    if rows := json.loads((staging / "seconds.json").read_text(encoding="utf-8")):
        made["rows"] = rows
    with alone("outputs"):
        for path in sorted((staging / "figures").glob("*")):
            os.replace(path, pictures / path.name)
        if (staging / "asked").exists():
            asked = asked_path(name, notebook)
            part = asked.with_name(f"{asked.name}.part")
            shutil.copyfile(staging / "asked", part)  # not moved: the data folder may be on another disk
            os.replace(part, asked)
        metrics = read_metrics(name)
        head = dict(
            dataset=name,
            data_hash=load(dataset).hash,
            llm=parameters["LLM"],
            profile=parameters["PROFILE"],
            seed=parameters["SEED"],
            other_parameters={k: v for k, v in parameters.items() if k not in OF_EVERY_RUN and v != ""},
            version=VERSION,
        )
        parts = metrics.get("notebooks", {}) if all(metrics.get(k) == v for k, v in head.items()) else {}
        if parts.get(notebook, {}).get("values") == values:
            made = parts[notebook]["made"]  # nothing new: hardware and time stay those of who first found it
        parts[notebook] = dict(values=values, made=made)
        part = staging / "merged.json"
        write_json(part, head | {"notebooks": dict(sorted(parts.items()))})
        os.replace(part, runs / "metrics.json")
        if (rows := staging / "predictions.parquet").exists():
            predictions.merged(rows, predictions.path_of(name))
            os.replace(rows, predictions.path_of(name))
        os.replace(staging / f"{notebook}.ipynb", runs / f"{notebook}.ipynb")
    return runs / f"{notebook}.ipynb"


def asked_path(dataset: str, notebook: str) -> Path:
    """Where a run keeps the cache keys of what it asked the LLM to choose."""
    folder = data_dir() / "asked"
    folder.mkdir(exist_ok=True)
    return folder / f"{dataset}-{notebook}"
