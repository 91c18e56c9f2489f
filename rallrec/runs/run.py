"""Runs of the notebooks: parameters, outputs, provenance.

A notebook calls `start`, hands its tables, figures and values to the `Run`, and owns nothing.
Under the runner (`execute`) all outputs go to a staging folder first and appear together when the
notebook has finished; opened in JupyterLab a notebook shows everything and writes nothing, so that
turning a knob can't damage the reference run.
"""

import json
import re
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

from ..data.loading import name_of
from ..extensions import load_extra
from ..infra.cache import Cache, key_of
from ..infra.downloads import sha256_of
from ..infra.errors import InputError, at_least, one_of
from ..infra.files import ROOT
from ..infra.noted import NOTED
from ..llm.base import LanguageModel
from ..pipeline import Choice, Study
from ..profiles import profile
from ..version import VERSION
from . import figures, handed, predictions
from .context import CONTEXT, output_root
from .place import extra_file
from .tracing import own_files, ran

LIBRARIES = ("torch", "transformers", "peft", "lightgbm", "faiss-cpu", "pandas", "numpy")
NOTEBOOKS = (
    "01_descriptions",
    "02_text_embeddings",
    "03_collaborative_embeddings",
    "04_joint_representation",
    "05_recommendation",
    "06_ablations",
)


_INTERVAL = re.compile(r"\S+ \[[^\]]*\]")  # a value with its interval, which no line breaks
WRAPPED = 30  # characters of a cell that stand in one line


class Table:
    """A table as a notebook shows it: whole, without its index, no wider than the page.

    Headings, and columns of long texts, are written in several lines; a number and its interval in one.
    """

    def __init__(self, frame: pd.DataFrame, caption: str = ""):
        self.frame, self.caption = frame, caption

    def __repr__(self) -> str:
        return figures.markdown(self.frame) + (f"\n{self.caption}\n" if self.caption else "")

    def _repr_html_(self) -> str:
        styles = [
            {"selector": "td, th", "props": "font-size: 85%; white-space: nowrap; vertical-align: top"},
            {"selector": "th", "props": "white-space: normal"},
            {"selector": ".col0", "props": "text-align: left"},
            {
                "selector": "caption",
                "props": "caption-side: bottom; text-align: left; font-size: 85%; padding: 4px 8px",
            },
        ]
        for at, column in enumerate(self.frame):
            if self.frame[column].astype(str).str.len().max() > WRAPPED:
                styles += [{"selector": f"td.col{at}, th.col{at}", "props": "white-space: normal; text-align: left"}]
        name = key_of(table=repr(self))[:8]  # pandas would draw a new one at every run
        whole = self.frame.map(lambda cell: _INTERVAL.sub(lambda of: of[0].replace(" ", "\u00a0"), str(cell)))
        styled = whole.style.hide().set_table_styles(styles).set_uuid(name)
        return (styled.set_caption(self.caption) if self.caption else styled).to_html()


class Run:
    """One execution of one notebook; made by `start`.

    Attributes:
        settings: the profile's sizes.
        llm, reader: names of the LLM that describes and embeds, and of the one that is asked for P(like).
    """

    def __init__(
        self,
        notebook: str,
        dataset: str,
        llm: str,
        profile_name: str,
        seed: int,
        k: int | None,
        extra: str,
        reader: str,
    ):
        one_of("notebook", notebook, NOTEBOOKS)
        self.extra = load_extra(extra_file(extra)) if extra else ""
        self.extra_file = relative(extra_file(extra)) if extra else ""
        self.notebook, self.dataset, self.llm, self.profile_name = notebook, name_of(dataset), llm, profile_name
        self.reader = reader or llm
        self.settings = profile(profile_name)
        if k is not None:
            self.settings = replace(self.settings, k=at_least("K", k, 1), llm_k=k)
        self.seed = at_least("seed", seed, 0)
        self._staging = CONTEXT.staging
        self._values: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        figures.use_style()

    def __repr__(self) -> str:
        libraries = ", ".join(f"{name} {metadata.version(name).split('+')[0]}" for name in LIBRARIES)
        llms = f"LLM {self.llm}" + (f", reader {self.reader}" if self.reader != self.llm else "")
        return (
            f"{self.notebook} on {self.dataset}: profile {self.profile_name}, {llms}, seed {self.seed}\n"
            f"rallrec {VERSION}, {libraries}{', with ' + self.extra if self.extra else ''}"
        )

    def table(
        self, name: str, frame: pd.DataFrame, show: pd.DataFrame | None = None, digits: int = 3, caption: str = ""
    ) -> Table:
        """Show a table, and keep it as CSV (``frame``, all digits), Markdown and LaTeX (``show``, for reading).

        Args:
            caption: what stands below it; by default samples and users that all rows have in common.
        """
        caption = caption or figures.counted(frame)
        show = (frame if show is None else show).map(lambda v: _cell(v, digits))
        if self._staging:
            figures.save_table(frame, show, self._folder() / name, caption)
        return Table(show, caption)

    def show(self, frame: pd.DataFrame, digits: int = 3, caption: str = "") -> Table:
        """Show a table without keeping it; ``caption`` as of `table`."""
        return Table(frame.map(lambda v: _cell(v, digits)), caption or figures.counted(frame))

    def figure(self, name: str, figure: Figure) -> None:
        """Show a figure, and keep it as PNG and PDF, without a date."""
        if self._staging:
            handed.hand_over(figure, self._folder() / name)
        plt.show()

    def say(self, text: str) -> Markdown:
        """A sentence whose numbers come from the run; a NaN, which could not be measured, is a dash as in tables."""
        return Markdown(re.sub(r"[+]?\bnan\b%?", "–", text))

    @contextmanager
    def timed(self, row: str, llm: LanguageModel | None = None, before: float = 0.0):
        """Keep the seconds that a table's row takes, for ``metrics.json``: not shown, since each run has its own.

        Of a row that asks an ``llm`` only if it had to answer: reading the cache takes no time worth telling.

        Args:
            before: seconds that it took already, as those of trainings side by side.
        """
        began, paid = time.monotonic(), llm.paid if llm else 0
        yield
        if llm is None or llm.paid > paid:
            self._seconds[row] = round(before + time.monotonic() - began, 1)

    def keep(self, study: Study, rows: dict[str, Choice]) -> None:
        """Keep P(like) of each row's test samples, by its label; see `predictions`."""
        if self._staging:
            kept = {label: (study.judged(choice), study.predict(choice)) for label, choice in rows.items()}
            predictions.write(self._staging / "predictions.parquet", study.split, kept, self.notebook)

    def record(self, study: Study | None = None, /, **values) -> None:
        """Keep named values (numbers, or nested dicts of them) for ``metrics.json``.

        Args:
            study: whose LLMs were asked; ``rallrec publish`` keeps what they answered.
        """
        self._values |= flat(values)
        if self._staging:
            write_json(self._staging / "metrics.json", self._values)
            write_json(self._staging / "seconds.json", dict(rows=self._seconds, paid=Cache.paid))
            models = [] if study is None else [study.llm, study.reader]
            asked = {key: how for model in models for key, how in model.asked.items()}
            lines = [f"{key} {number_format} {verb}\n" for key, (number_format, verb) in asked.items()]
            (self._staging / "asked").write_text("".join(lines), encoding="ascii")
            files = NOTED | {str(path): sha256_of(path) for path in own_files()}
            write_json(self._staging / "made_of.json", dict(ran=ran(), files=files))

    def _folder(self) -> Path:
        folder = self._staging / "figures"
        folder.mkdir(exist_ok=True)
        return folder


def _cell(value, digits: int) -> str:
    """A table's cell for reading: fixed digits for fractions, thousands apart for counts, a dash for NaN."""
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def start(
    notebook: str,
    dataset: str,
    llm: str,
    profile: str = "quick",
    seed: int = 0,
    k: int | None = None,
    extra: str = "",
    reader: str = "",
) -> Run:
    """Begin a notebook: check its parameters, set the style of figures.

    Args:
        k: history items to show, in the place of the profile's.
        extra: a Python file that registers methods and rows of your own (see `extensions`).
        reader: the LLM that is asked for P(like); by default ``llm``.

    Raises:
        InputError: an unknown notebook, data set or profile, a seed below 0, a k below 1, a file that can't be run.
    """
    return Run(notebook, dataset, llm, profile, seed, k, extra, reader)


def relative(path: Path) -> str:
    """A path as commands name it: from the repository, or of a file elsewhere the name alone."""
    path = path.resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


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


def read_metrics(place: str, root: Path | None = None) -> dict:
    """The ``metrics.json`` of a place, such as ``ml-100k``; empty where there is none.

    Args:
        root: by default `context.output_root`.

    Raises:
        InputError: it is damaged.
    """
    path = (root or output_root()) / "papermill_runs" / place / "metrics.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as e:
        raise InputError(f"{path} is damaged ({e}); delete it and run `make all` again") from e


def values_of(metrics: dict) -> dict[str, float]:
    """All recorded values, named ``notebook/name``."""
    return {f"{n}/{k}": v for n, part in metrics.get("notebooks", {}).items() for k, v in part["values"].items()}


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
