"""Independent trainings side by side, in processes of their own."""

import warnings
from collections.abc import Callable, Iterator, Sequence

import joblib

from .progress import Progress

PROCESSES = 8  # at most: each holds the samples' fields once more


def side_by_side(make: Callable, of: Sequence[tuple], what: str) -> Iterator[tuple[int, object]]:
    """``make(*arguments)`` for each of ``of``, as many at once as there are cores, in the order that they are done.

    What small networks take is Python's time between small operations, which threads of one process can't share.

    Args:
        make: a function of a module, so that another process finds it. what: is trained, for the bar.

    Yields:
        The position in ``of``, and what was made.
    """
    jobs = (joblib.delayed(_numbered)(n, make, arguments) for n, arguments in enumerate(of))
    at_once = min(len(of), joblib.cpu_count(), PROCESSES)
    with Progress(what, len(of), "training") as progress, warnings.catch_warnings():
        # a worker whose memory grew is replaced: nothing is lost, and a notebook is to hold no warning
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
        for made in joblib.Parallel(at_once, return_as="generator_unordered")(jobs):
            progress.add()
            yield made


def _numbered(n: int, make: Callable, arguments: tuple) -> tuple[int, object]:
    return n, make(*arguments)
