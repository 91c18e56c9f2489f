"""Progress of long steps: a bar on a terminal, or a line for the process that runs the notebooks.

Nothing is ever written into a notebook's output, so that executed notebooks carry no clock.
"""

import os
import sys
from pathlib import Path

from tqdm import tqdm


class Progress:
    """Counts ``total`` units of work; use as a context manager and call `add`.

    Under ``RALLREC_PROGRESS`` (a file's path, set by the notebook runner) the state goes to that
    file; otherwise a bar is drawn, if standard error is a terminal.
    """

    def __init__(self, what: str, total: int, unit: str = "it"):
        self.what, self.total, self.done = what, total, 0
        channel = os.environ.get("RALLREC_PROGRESS")
        self._file = Path(channel) if channel else None
        silent = self._file is not None or not sys.stderr.isatty()
        self._bar = tqdm(desc=what, total=total, unit=unit, disable=silent, leave=False, unit_scale=True)

    def __enter__(self) -> "Progress":
        self.add(0)
        return self

    def add(self, n: int = 1) -> None:
        self.done += n
        self._bar.update(n)
        if self._file:
            self._file.write_text(f"{self.what} {self.done / max(self.total, 1):.0%}", encoding="utf-8")

    def __exit__(self, *_) -> None:
        self._bar.close()
        if self._file:
            self._file.write_text("", encoding="utf-8")
