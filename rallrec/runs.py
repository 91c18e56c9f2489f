"""Runs of the notebooks: parameters, outputs, provenance.

A notebook calls `start`, hands its tables, figures and values to the `Run`, and owns nothing.
Under the runner (`execute`) all outputs go to a staging folder first and appear together when the
notebook has finished; opened in JupyterLab a notebook shows everything and writes nothing, so that
turning a knob can't damage the reference run.
"""

import json
import os
import platform
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from . import figures
from .cache import key_of
from .errors import InputError, at_least, one_of
from .knobs import Knobs
from .llm import LanguageModel
from .loading import load, name_of
from .locks import alone, workplace
from .paths import ROOT, data_dir
from .reranking import SELECTORS
from .settings import profile
from .version import VERSION

LIBRARIES = ("torch", "transformers", "peft", "lightgbm", "faiss-cpu", "pandas", "numpy")
NOTEBOOKS = (
    "01_descriptions",
    "02_text_embeddings",
    "03_collaborative_embeddings",
    "04_joint_representation",
    "05_recommendation",
    "06_ablations",
)


def output_root() -> Path:
    """The folder that holds ``papermill_runs/`` and ``figures/``: the repository, or ``RALLREC_OUTPUT``."""
    return Path(os.environ.get("RALLREC_OUTPUT", ROOT))


class Table:
    """A table as a notebook shows it: whole, without its index; long texts in several lines if ``wrap``."""

    def __init__(self, frame: pd.DataFrame, wrap: bool = False):
        self.frame, self.wrap = frame, wrap

    def __repr__(self) -> str:
        return figures.markdown(self.frame)

    def _repr_html_(self) -> str:
        cells = {"selector": "td, th", "props": f"white-space: {'normal' if self.wrap else 'nowrap'}; font-size: 85%"}
        left = {"selector": "td, th" if self.wrap else ".col0", "props": "text-align: left"}
        name = key_of(table=repr(self))[:8]  # pandas would draw a new one at every run
        return self.frame.style.hide().set_table_styles([cells, left]).set_uuid(name).to_html()


class Run:
    """One execution of one notebook; made by `start`.

    Attributes:
        settings: the profile's sizes.
    """

    def __init__(self, notebook: str, dataset: str, llm: str, profile_name: str, seed: int, k: int | None):
        one_of("notebook", notebook, NOTEBOOKS)
        self.notebook, self.dataset, self.llm, self.profile_name = notebook, name_of(dataset), llm, profile_name
        self.settings = profile(profile_name)
        if k is not None:
            self.settings = replace(self.settings, k=at_least("K", k, 1), llm_k=k)
        self.seed = at_least("seed", seed, 0)
        staging = os.environ.get("RALLREC_STAGING")
        self._staging = Path(staging) if staging else None
        self._values: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        figures.use_style()

    def __repr__(self) -> str:
        libraries = ", ".join(f"{name} {metadata.version(name).split('+')[0]}" for name in LIBRARIES)
        return (
            f"{self.notebook} on {self.dataset}: profile {self.profile_name}, LLM {self.llm}, seed {self.seed}\n"
            f"rallrec {VERSION}, {libraries}"
        )

    def table(self, name: str, frame: pd.DataFrame, show: pd.DataFrame | None = None, digits: int = 3) -> Table:
        """Show a table, and keep it as CSV (``frame``, all digits), Markdown and LaTeX (``show``, for reading)."""
        show = frame if show is None else show
        show = show.map(lambda v: _cell(v, digits))
        if self._staging:
            figures.save_table(frame, show, self._folder() / name)
        return Table(show)

    def show(self, frame: pd.DataFrame, wrap: bool = False) -> Table:
        """Show a table without keeping it."""
        return Table(frame, wrap)

    def figure(self, name: str, figure: Figure) -> None:
        """Show a figure, and keep it as PNG and PDF, without a date."""
        if self._staging:
            figures.save(figure, self._folder() / name)
        plt.show()

    def sliders(self, knobs: Knobs, k: int):
        """Sliders for the knobs, in a notebook opened by hand where ipywidgets is installed; otherwise a word."""
        if self._staging:
            return Markdown("*Sliders appear here in a notebook that is opened by hand.*")
        try:
            from ipywidgets import FloatSlider, IntSlider, interact
        except ImportError:
            return Markdown("*For sliders: `pip install ipywidgets`.*")

        def turn(representation: str, selector: str, k: int, recent: float, text: float, colla: float, ssl: float):
            weights = (text, colla, ssl) if representation == "mix3" else (1, 1, 1)
            mine = knobs.turn(representation=representation, selector=selector, k=k, recent=recent, weights=weights)
            return self.show(figures.with_intervals(mine, {"auc": "AUC", "difference": "minus RALLRec's"}))

        weight = {name: FloatSlider(1, min=0, max=3, step=0.25) for name in ("text", "colla", "ssl")}
        return interact(
            turn,
            representation=list(knobs.representations)[::-1],
            selector=SELECTORS[::-1],
            k=IntSlider(k, min=1, max=50),
            recent=FloatSlider(1 / 3, min=0, max=1, step=1 / 12),
            **weight,
        )

    def say(self, text: str) -> Markdown:
        """A sentence whose numbers come from the run."""
        return Markdown(text)

    @contextmanager
    def timed(self, row: str, llm: LanguageModel | None = None):
        """Keep the seconds that a table's row takes, for ``metrics.json``: not shown, since each run has its own.

        Of a row that asks an ``llm`` only if it had to answer: reading the cache takes no time worth telling.
        """
        began, paid = time.monotonic(), llm.paid if llm else 0
        yield
        if llm is None or llm.paid > paid:
            self._seconds[row] = round(time.monotonic() - began, 1)

    def record(self, **values) -> None:
        """Keep named values (numbers, or nested dicts of them) for ``metrics.json``."""
        self._values |= flat(values)
        if self._staging:
            _write_json(self._staging / "metrics.json", self._values)
            _write_json(self._staging / "seconds.json", self._seconds)

    def _folder(self) -> Path:
        folder = self._staging / "figures"
        folder.mkdir(exist_ok=True)
        return folder


def _cell(value, digits: int) -> str:
    """A table's cell for reading: fixed digits for fractions, thousands apart for counts, a dash for NaN."""
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def start(notebook: str, dataset: str, llm: str, profile: str = "quick", seed: int = 0, k: int | None = None) -> Run:
    """Begin a notebook: check its parameters, set the style of figures.

    Args:
        k: history items to show, in the place of the profile's.

    Raises:
        InputError: an unknown notebook, data set or profile, a seed below 0, a k below 1.
    """
    return Run(notebook, dataset, llm, profile, seed, k)


def flat(values: dict, prefix: str = "") -> dict[str, float]:
    """Nested dicts as one: ``{"a": {"b": 1}}`` becomes ``{"a/b": 1}``; rounded to 6 digits."""
    out = {}
    for name, value in values.items():
        if isinstance(value, dict):
            out |= flat(value, f"{prefix}{name}/")
        elif hasattr(value, "value"):
            out |= flat({name: value.value}, prefix)
        else:
            number = value.item() if isinstance(value, np.generic) else value
            if number != number:  # JSON has no NaN; what could not be measured is left out
                continue
            out[prefix + name] = round(number, 6) if isinstance(number, float) else number
    return out


# --- the runner ------------------------------------------------------------------------------------


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


def read_metrics(dataset: str) -> dict:
    """A data set's ``metrics.json``; empty where there is none."""
    path = output_root() / "papermill_runs" / dataset / "metrics.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def values_of(metrics: dict) -> dict[str, float]:
    """All recorded values, named ``notebook/name``."""
    return {f"{n}/{k}": v for n, part in metrics.get("notebooks", {}).items() for k, v in part["values"].items()}


def hardware() -> str:
    """Processor, cores and GPU in words."""
    import torch

    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {os.cpu_count()} cores{gpu}"


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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
