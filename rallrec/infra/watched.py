"""Files that the user's own code opens to read: noted like those that the package reads for it."""

import os
import sys
from functools import cache
from pathlib import Path

from .noted import NOTED, noted

PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
INSTALLED = tuple(str(Path(p).resolve()) + os.sep for p in (sys.prefix, sys.base_prefix, sys.exec_prefix))
OF_THE_MACHINE = ("/proc/", "/sys/", "/dev/", "/etc/")


@cache
def watch() -> None:
    """Note, from now on, what the user's own code opens to read, as ``np.load`` and ``pd.read_csv`` do.

    What a library reads without Python's ``open``, as safetensors does, is not seen.
    """
    sys.addaudithook(_opened)


def _opened(event: str, arguments: tuple) -> None:
    if event != "open" or not isinstance(arguments[0], str) or not str(arguments[1]).startswith("r"):
        return
    path, frame = os.path.realpath(arguments[0]), sys._getframe(1)
    if path in NOTED or path.startswith((*INSTALLED, *OF_THE_MACHINE)) or not os.path.isfile(path):
        return
    whose = None
    while frame and whose is None:  # the nearest that is the user's, or ours: what we read for the user is our affair
        whose, frame = _whose(frame.f_code.co_filename), frame.f_back
    if whose == "user":
        noted(path)


@cache
def _whose(file: str) -> str | None:
    """``package``, ``import`` or ``user``; None of what is installed, and of a notebook's cell."""
    if file.startswith("<frozen importlib"):  # what a library opens while it is imported
        return "import"
    path = os.path.realpath(file)
    if path.startswith(PACKAGE):
        return "package"
    installed = path.startswith(INSTALLED) or {"site-packages", "dist-packages"} & set(Path(path).parts)
    return None if installed or not os.path.isfile(path) else "user"
