"""Where runs put their outputs, and what the runner tells the kernel that it starts for a notebook."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..infra.files import ROOT, given


def output_root() -> Path:
    """The folder that holds ``papermill_runs/`` and ``figures/``: the repository, or ``RALLREC_OUTPUT``."""
    return given("RALLREC_OUTPUT", ROOT)


@dataclass
class Context:
    """Where a kernel stands.

    Attributes:
        staging: the folder in which a notebook's outputs are collected; None where it is opened by hand.
    """

    staging: Path | None = None


CONTEXT = Context()


def arguments(staging: Path) -> list[str]:
    """Arguments of a kernel that notes what it runs and collects its outputs in ``staging``."""
    begin = "__import__('rallrec.runs.tracing', fromlist=['']).trace()"  # before another module is loaded
    line = f"{begin}; __import__('rallrec.runs.context', fromlist=['']).enter({str(staging)!r})"
    return [f"--IPKernelApp.exec_lines={line}"]


def enter(staging: str) -> None:
    """Run at the kernel's start."""
    CONTEXT.staging = Path(staging)
    os.environ["RALLREC_BARS"] = "0"  # a clock in the outputs would change them at every run
