"""Early stopping: keep the best of a training, and stop when nothing better comes."""

from typing import Any


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
        return better

    @property
    def over(self) -> bool:
        """Whether `patience` checks have gone by without a higher score."""
        return self.stale >= self.patience
