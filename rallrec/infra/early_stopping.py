"""Early stopping: keep the best of a training, and stop when nothing better comes."""

from typing import Any


class EarlyStopping:
    """What had the highest score so far, and how long that is ago.

    Args:
        patience: checks in a row without a higher score after which `over` is true.

    Attributes:
        best: what was kept at the highest score; None before the first check. score: that score.
        stale: checks since then.
    """

    def __init__(self, patience: int):
        self.patience, self.best, self.score, self.stale = patience, None, float("-inf"), 0

    def check(self, score: float, state: Any) -> bool:
        """Take note of a check; keep ``state`` (a callable is called only then) if ``score`` is the highest so far.

        A score that is NaN is never the highest.
        """
        better = score > self.score
        if better:
            self.best, self.score, self.stale = (state() if callable(state) else state), score, 0
        else:
            self.stale += 1
        return better

    @property
    def over(self) -> bool:
        return self.stale >= self.patience
