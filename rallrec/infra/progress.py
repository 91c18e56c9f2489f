"""Progress of long steps: a bar on a terminal, a line with an estimate in a notebook that is opened by hand.

Executed notebooks carry no clock: the runner sets ``RALLREC_BARS=0`` in its kernels, and elsewhere a line is taken
away when its step is over.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from html import escape

from tqdm import tqdm

Show = Callable[[str], object]  # is given a line of HTML at every change, and an empty one at the end
_SHOW: ContextVar[Show | None] = ContextVar("show", default=None)
DELAY = 1.0  # seconds; what is over by then shows no line


@contextmanager
def showing(show: Show) -> Iterator[None]:
    """Within the block, lines of progress go to ``show``: a panel has a place of its own for them."""
    token = _SHOW.set(show)
    try:
        yield
    finally:
        _SHOW.reset(token)


class Progress:
    """Counts ``total`` units of work; use as a context manager and call `add`.

    While it is open, a bar is drawn if standard error is a terminal, and a line below the cell in a notebook's kernel.
    """

    def __init__(self, what: str, total: int, unit: str = "it"):
        self.total = total
        options = dict(desc=what, total=total, unit=unit, leave=False)
        if show := _SHOW.get() or _of_the_cell():
            self._bar = _Line(show, **options)
        else:
            self._bar = tqdm(**options, disable=not sys.stderr.isatty(), unit_scale=True)

    def __enter__(self) -> "Progress":
        return self

    def add(self, n: int = 1) -> None:
        self._bar.update(n)

    def __exit__(self, *_) -> None:
        self._bar.close()


class _Line(tqdm):
    """A bar that is a line of HTML."""

    monitor_interval = 0  # no thread of tqdm's own

    def __init__(self, show: Show, **options):
        self._show = show
        super().__init__(file=io.StringIO(), delay=DELAY, mininterval=0.3, **options)

    def display(self, *_, **__) -> bool:
        self._show(line(self.desc, self.n, self.total, self.unit, self.format_dict["elapsed"]))
        return True

    def close(self) -> None:
        super().close()
        self._show("")


def line(what: str, n: int, total: int, unit: str, elapsed: float) -> str:
    """A bar, how much is done, and about how long the rest will take, as HTML."""
    left = f", about {duration(elapsed / n * (total - n))} left" if n else ""
    told = f"{n:,} of {total:,} {unit}{'' if unit == 'B' or total == 1 else 's'}{left}"
    return f'{escape(what)} <progress value="{n}" max="{total}"></progress> {told}'


def duration(seconds: float) -> str:
    """Seconds in words, to the precision that an estimate has: ``42 s``, ``7 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _of_the_cell() -> Show | None:
    """What shows lines below the running cell; None outside of a notebook's kernel, and in the runner's."""
    return Below() if in_kernel() and os.environ.get("RALLREC_BARS") != "0" else None


def in_kernel() -> bool:
    """Whether a notebook's kernel runs this."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


class Below:
    """HTML below the running cell that is written anew at every call; outside of a kernel nothing is shown."""

    def __init__(self):
        self._handle = None

    def __call__(self, told: str) -> None:
        from IPython.display import HTML, display

        if self._handle is not None:
            self._handle.update(HTML(told))
        elif told and in_kernel():
            self._handle = display(HTML(told), display_id=True)
