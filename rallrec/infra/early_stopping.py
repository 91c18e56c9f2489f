"""Early stopping: keep the best of a training, and stop when nothing better comes, or when someone says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Watch:
    """Who watches a training: sees the score of every check, and can end it.

    Attributes:
        on_check: called after every check. scores: of the checks until now, the higher the better.
        stopped: set it, and the training ends at its next check with the best it had until then. What was stopped is
            not what its settings say: see `panels.training`, which keeps it out of the cache.
    """

    on_check: Callable[["Watch"], object] = lambda watch: None
    scores: list[float] = field(default_factory=list)
    stopped: bool = False


_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Within the block, trainings that stop early are watched."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


class EarlyStopping:
    """What had the highest score so far, and how many checks ago that was.

    Args:
        patience: checks in a row without a higher score after which `over` is true.

    Attributes:
        best: what was kept at the highest score; the last state while no score was a number (validation samples
            of one class have no AUC), None before the first check.
        score: the highest score, -inf before there is one. A resumed training sets it, `best` and `stale` itself.
        stale: checks since then.
    """

    def __init__(self, patience: int):
        self.patience, self.best, self.score, self.stale = patience, None, float("-inf"), 0
        self._watch = _WATCH.get()

    def check(self, score: float, state: Any) -> bool:
        """Take note of a check: whether ``score`` is higher than all before it. A NaN is not.

        Args:
            state: kept if so. A callable is called for what to keep, and only then: a copy may be dear.
        """
        better = score > self.score
        if better or self.score == float("-inf"):
            self.best = state() if callable(state) else state
        if better:
            self.score, self.stale = score, 0
        else:
            self.stale += 1
        if self._watch:
            self._watch.scores.append(float(score))
            self._watch.on_check(self._watch)
        return better

    @property
    def over(self) -> bool:
        """Whether `patience` checks have gone by without a higher score, or a `Watch` has stopped it."""
        return self.stale >= self.patience or bool(self._watch and self._watch.stopped)
