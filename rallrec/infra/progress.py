"""Progress of long steps: a bar on a terminal.

Nothing is ever written into a notebook's output, so that executed notebooks carry no clock.
"""

import sys

from tqdm import tqdm


class Progress:
    """Counts ``total`` units of work; use as a context manager and call `add`.

    A bar is drawn while it is open, if standard error is a terminal (of a notebook it is none).
    """

    def __init__(self, what: str, total: int, unit: str = "it"):
        self.total = total
        silent = not sys.stderr.isatty()
        self._bar = tqdm(desc=what, total=total, unit=unit, disable=silent, leave=False, unit_scale=True)

    def __enter__(self) -> "Progress":
        return self

    def add(self, n: int = 1) -> None:
        self._bar.update(n)

    def __exit__(self, *_) -> None:
        self._bar.close()
