"""The runner: one notebook through papermill, its outputs in place all together or not at all."""

import json
import os
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from ..data.loading import load, name_of
from ..infra.errors import InputError, one_of
from ..infra.files import ROOT, alone, data_dir, workplace
from ..infra.reproducible import hardware
from ..version import VERSION
from .run import NOTEBOOKS, _write_json, output_root, read_metrics, start


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
    dataset = parameters["DATASET"]
    # checks them before a kernel starts
    start(notebook, dataset, parameters["LLM"], parameters["PROFILE"], parameters["SEED"], parameters.get("K"))
    began = time.monotonic()
    runs = output_root() / "papermill_runs"
    for folder in (data_dir(), runs):
        folder.mkdir(parents=True, exist_ok=True)
    # two runs of a notebook follow each other: what the first paid for, the second finds in the cache
    with workplace(runs / f"staging-{name_of(dataset)}-{notebook}") as staging:
        executed = staging / f"{notebook}.ipynb"
        with (
            _environment(
                RALLREC_STAGING=str(staging),
                RALLREC_PROGRESS=str(staging / "progress"),
                RALLREC_ASKED=str(staging / "asked"),
            ),
            _reported(notebook, staging),
        ):
            try:
                papermill.execute_notebook(
                    str(source),
                    str(executed),
                    parameters,
                    kernel_name="python3",
                    progress_bar=False,
                    cwd=str(ROOT / "notebooks"),
                    coalesce_streams=True,  # a kernel sends prints every 0.2 s; outputs can't depend on its speed
                    extra_arguments=["--log-level=CRITICAL"],  # no kernel's notices at every start and end
                )
            except papermill.PapermillExecutionError as e:
                if e.ename == "InputError":
                    raise InputError(e.evalue) from e
                raise
        clean = scrubbed(nbformat.read(executed, as_version=4))
        nbformat.write(clean, executed)
        return _put_in_place(staging, notebook, dataset, parameters, time.monotonic() - began)


def scrubbed(notebook):
    """The executed notebook without clocks, machine names and paths, so that the same run gives the same bytes."""
    for part in (notebook, *notebook.cells):
        for key in ("papermill", "execution"):
            part.metadata.pop(key, None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
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
            other_parameters={k: v for k, v in parameters.items() if k not in ("DATASET", "LLM", "PROFILE", "SEED")},
            version=VERSION,
        )
        parts = metrics.get("notebooks", {}) if all(metrics.get(k) == v for k, v in head.items()) else {}
        if parts.get(notebook, {}).get("values") == values:
            made = parts[notebook]["made"]  # nothing new: hardware and time stay those of who first found it
        parts[notebook] = dict(values=values, made=made)
        part = staging / "merged.json"
        _write_json(part, head | {"notebooks": dict(sorted(parts.items()))})
        os.replace(part, runs / "metrics.json")
        os.replace(staging / f"{notebook}.ipynb", runs / f"{notebook}.ipynb")
    return runs / f"{notebook}.ipynb"


def asked_path(dataset: str, notebook: str) -> Path:
    """Where a run keeps the cache keys of what it asked the LLM to choose."""
    folder = data_dir() / "asked"
    folder.mkdir(exist_ok=True)
    return folder / f"{dataset}-{notebook}"


@contextmanager
def _environment(**variables: str):
    """Set environment variables for the kernels started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@contextmanager
def _reported(notebook: str, staging: Path):
    """Print a line when a notebook is done; meanwhile, on a terminal, show what it is at."""
    began, stop = time.monotonic(), threading.Event()
    terminal = sys.stderr.isatty()

    def watch() -> None:
        while not stop.wait(0.5):
            try:
                state = (staging / "progress").read_text(encoding="utf-8")
            except OSError:
                state = ""
            print(
                f"\r\033[K{notebook}  {time.monotonic() - began:4.0f} s  {state}", end="", file=sys.stderr, flush=True
            )

    watcher = threading.Thread(target=watch, daemon=True)
    if terminal:
        watcher.start()
    try:
        yield
    finally:
        stop.set()
        if terminal:
            watcher.join()
            print("\r\033[K", end="", file=sys.stderr)
    print(f"{notebook:<30} done in {time.monotonic() - began:4.0f} s", flush=True)
