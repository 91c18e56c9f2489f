"""Figures that a notebook hands to its runner, which writes them while the notebook goes on.

To write one as PNG and PDF takes a third of a second, and the core that the runner waits on has nothing else to do.
"""

import io
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from types import FunctionType

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from ..infra.errors import InputError
from . import figures
from .tracing import CALLED, PACKAGE

END = ".figure"  # of a file that holds one, beside the files that are made of it
PAUSE = 0.1  # seconds between two looks for them
SHARED = {"builtins", "collections", "copyreg", "cycler", "datetime", "functools", "matplotlib", "mpl_toolkits"}
SHARED |= {"numpy", "pandas", "pathlib", "seaborn", PACKAGE}  # what the runner has, too
FONTS = len(fontManager.ttflist)


class _Pickler(pickle.Pickler):
    def reducer_override(self, made):
        if isinstance(made, type | FunctionType) and made.__module__.split(".")[0] not in SHARED:
            raise pickle.PicklingError(f"{made.__module__} may be unknown to the runner")
        return NotImplemented


def hand_over(figure: Figure, path: Path) -> None:
    """Have the runner write ``path``.png and ``path``.pdf as `figures.save` does.

    What the runner could draw otherwise, or not at all, is written here: of the user's own classes or fonts.
    """
    held, style = io.BytesIO(), {name: value for name, value in mpl.rcParams.items() if not name.startswith("backend")}
    try:
        _Pickler(held).dump((style, figure))
    except (pickle.PicklingError, TypeError, AttributeError):
        held = None
    if held is None or len(fontManager.ttflist) != FONTS:
        figures.save(figure, path)
        return
    part = path.with_name(f"{path.name}{END}.part")
    part.write_bytes(held.getvalue())
    os.replace(part, path.with_name(f"{path.name}{END}"))
    CALLED.add(f"{figures.__name__}:{figures.save.__name__}")  # the runner calls it, for this notebook


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Within the block a thread writes the figures that are handed over in a folder; at its end all are written.

    It sets matplotlib's style, which is the whole process's: nothing else may draw in this process meanwhile.

    Raises:
        InputError: there is no space to write one.
    """
    mpl.use("agg")
    stop = Event()
    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(_write_all, folder, stop)
        try:
            yield
        finally:
            stop.set()
        thread.result()


def _write_all(folder: Path, stop: Event) -> None:
    while True:
        last = stop.is_set()
        for handed in sorted(folder.glob(f"*{END}")):
            path = handed.with_name(handed.name.removesuffix(END))
            try:
                _write(handed, path)
            except OSError as e:
                raise InputError(f"{path} can't be written ({e.strerror or e}); free some space and run again") from e
        if last:
            return
        stop.wait(PAUSE)


def _write(handed: Path, path: Path) -> None:
    with mpl.rc_context():
        style, figure = pickle.loads(handed.read_bytes())
        mpl.rcParams.update(style)
        figures.save(figure, path)
    plt.close(figure)
    handed.unlink()
