"""The runner: one notebook through papermill, its outputs in place all together or not at all."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from ..extensions import load_extra
from ..infra.errors import InputError, one_of
from ..infra.files import ROOT, alone, data_dir, fresh, workplace
from ..infra.reproducible import hardware
from ..llm.opening import language_model
from ..version import VERSION
from . import context, predictions
from .context import output_root
from .handed import writing
from .place import Parameters, reference
from .run import NOTEBOOKS, read_metrics, write_json
from .stale import Now, source_digest

START = 300  # seconds that a kernel may take to begin, on a machine that does other things; papermill gives up after 60


def run_all(parameters: Parameters) -> None:
    """Run the notebooks of a data set whose outputs are not up to date, and say which and why.

    Those that no reader is asked in are run in the place without one, which all readers share.

    Raises:
        InputError: a user's mistake.
    """
    states = {of: Now(of) for of in dict.fromkeys(parameters.of(notebook) for notebook in NOTEBOOKS)}
    opened = set()
    for notebook in NOTEBOOKS:
        now = states[parameters.of(notebook)]
        if why := now.why(notebook):
            for name in dict.fromkeys(filter(None, [now.parameters.llm, now.parameters.reader])):
                if name not in opened:
                    _fetch(name, now.place)
                    opened.add(name)
            print(f"{now.place}: {notebook} ({why})", flush=True)
            execute(notebook, now.parameters.of_notebook(), now)
    if not opened:
        print(f"{parameters.place()}: nothing to run, since nothing that it depends on has changed")


def _fetch(name: str, place: str) -> None:
    """Open an LLM and fetch it, and so tell its faults, before a notebook needs it.

    Where it can't be fetched, the published answers of a reference run do without it.
    """
    llm = language_model(name)
    try:
        llm.fetch()
    except InputError as e:
        if fresh() or not reference(place):
            raise
        print(f"{e}\n{place}: its published answers are used, and none of them is asked anew", flush=True)


def execute(notebook: str, parameters: dict, now: Now | None = None) -> Path:
    """Run one notebook through papermill and put its outputs in place, all of them or none.

    Args:
        parameters: values for the notebook's ``parameters`` cell, by their names there.
        now: given, the notebook runs only if its outputs are not up to date then: another process may have run it.

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
    of = Parameters(**{name.lower(): value for name, value in parameters.items()})  # checked before a kernel starts
    extra = load_extra(of.extra) if of.extra else ""
    began = time.monotonic()
    state = now or Now(of)
    runs = output_root() / "papermill_runs"
    for folder in (data_dir(), runs):
        folder.mkdir(parents=True, exist_ok=True)
    # two runs of a notebook follow each other: what the first paid for, the second finds in the cache
    name = f"staging-{state.place}-{notebook}"
    with alone(name), workplace(runs / name) as staging:
        executed = staging / f"{notebook}.ipynb"
        if now and now.why(notebook) is None:
            return runs / now.place / executed.name
        before = state.inputs, state.code, source_digest(notebook)  # what is edited meanwhile makes it run again
        try:
            with writing(staging / "figures"):
                papermill.execute_notebook(
                    str(source),
                    str(executed),
                    of.of_notebook(),
                    kernel_name="python3",
                    progress_bar=sys.stderr.isatty(),
                    cwd=str(ROOT / "notebooks"),
                    start_timeout=START,
                    coalesce_streams=True,  # a kernel sends prints every 0.2 s; outputs can't depend on its speed
                    # no kernel's notices at every start and end
                    extra_arguments=["--log-level=CRITICAL", *context.arguments(staging)],
                )
        except papermill.PapermillExecutionError as e:
            if e.ename == "InputError":
                raise InputError(e.evalue) from e
            raise
        seconds = time.monotonic() - began
        print(f"{notebook:<30} done in {seconds:4.0f} s", flush=True)
        nbformat.write(scrubbed(nbformat.read(executed, as_version=4), of.shown()), executed)
        made_of = json.loads((staging / "made_of.json").read_text(encoding="utf-8"))
        beside = [p.name for p in (*sorted((staging / "figures").glob("*")), *staging.glob("predictions.parquet"))]
        placed = _put_in_place(staging, notebook, state, extra, seconds)
        state.remember(notebook, before[-1], made_of["ran"], made_of["files"], placed, beside, seconds)
        return placed


def scrubbed(notebook, hidden: dict[str, str]):
    """The executed notebook without clocks, machine names and paths, so that the same run gives the same bytes.

    Args:
        hidden: paths of the user's own files, and what stands in their places.
    """
    for part in (notebook, *notebook.cells):
        for key in ("papermill", "execution"):
            part.metadata.pop(key, None)
    notebook.metadata["language_info"] = {"name": "python"}
    hidden = hidden | {str(ROOT): "rallrec"}

    def told(text: str) -> str:
        for path in sorted(hidden, key=len, reverse=True):  # a path within another first
            text = text.replace(path, hidden[path])
        return text

    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
            cell.source = told(cell.source)
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = told(output["text"])
            for kind, value in output.get("data", {}).items():
                if kind.startswith("text/") and isinstance(value, str):
                    output["data"][kind] = told(value)
    return notebook


def _put_in_place(staging: Path, notebook: str, state: Now, extra: str, seconds: float) -> Path:
    """Move a finished notebook's outputs to their places, under a lock; the notebook comes last.

    Args:
        extra: name and digest of the user's own file.
    """
    of, place = state.parameters, state.place
    runs, pictures = (output_root() / kind / place for kind in ("papermill_runs", "figures"))
    for folder in (runs, pictures):
        folder.mkdir(parents=True, exist_ok=True)
    values = json.loads((staging / "metrics.json").read_text(encoding="utf-8"))
    made = dict(hardware=hardware(), seconds=round(seconds))
    timed = json.loads((staging / "seconds.json").read_text(encoding="utf-8"))
    if timed["rows"]:
        made["rows"] = timed["rows"]
    with alone("outputs"):
        for path in sorted((staging / "figures").glob("*")):
            os.replace(path, pictures / path.name)
        if (staging / "asked").exists():
            asked = asked_path(place, notebook)
            asked.parent.mkdir(parents=True, exist_ok=True)
            part = asked.with_name(f"{asked.name}.part")
            shutil.copyfile(staging / "asked", part)  # not moved: the data folder may be on another disk
            os.replace(part, asked)
        metrics = read_metrics(place)
        others = {"K": of.k, "EXTRA": extra}
        head = dict(
            dataset=of.name,
            data_hash=state.data.hash,
            llm=of.shown().get(of.llm, of.llm),
            **({"reader": of.shown().get(of.reader, of.reader)} if of.reader else {}),
            profile=of.profile,
            seed=of.seed,
            other_parameters={name: value for name, value in others.items() if value},
            version=VERSION,
        )
        parts = metrics.get("notebooks", {}) if all(metrics.get(k) == v for k, v in head.items()) else {}
        if (old := parts.get(notebook)) and (old["values"] == values or not timed["paid"]):
            made = old["made"]  # nothing new, or all was kept: hardware and time stay those of who paid for it
        parts[notebook] = dict(values=values, made=made)
        part = staging / "merged.json"
        write_json(part, head | {"notebooks": dict(sorted(parts.items()))})
        os.replace(part, runs / "metrics.json")
        if (rows := staging / "predictions.parquet").exists():
            predictions.merged(rows, predictions.path_of(place))
            os.replace(rows, predictions.path_of(place))
        os.replace(staging / f"{notebook}.ipynb", runs / f"{notebook}.ipynb")
    return runs / f"{notebook}.ipynb"


def asked_path(place: str, notebook: str) -> Path:
    """Where a run keeps the cache keys of what it asked the LLM to choose."""
    return data_dir() / "asked" / f"{place}-{notebook}"
