"""What a reader of the results should know of the test samples, computed: ties in time, whole histories, labels."""

import numpy as np

from ..infra.errors import at_least
from .dataset import percent
from .split import Samples, Split


def arbitrary_last(samples: Samples, k: int) -> np.ndarray:
    """bool [n_samples]: whether it hangs on item ids which ratings are the last K.

    The K-th and the next older rating have the same time, and such are ordered by item id. Nowhere in data without
    timestamps, whose order is arbitrary as a whole.
    """
    at_least("k", k, 1)
    data = samples.data
    longer = samples.n_earlier > k
    first = np.where(longer, samples.position - k, 1)  # of the last K; 1 where there is no older one, and not looked at
    return data.timed & longer & (data.time[first] == data.time[first - 1])


def whole(samples: Samples, k: int) -> np.ndarray:
    """bool [n_samples]: whether all of the history is shown, whatever the selector."""
    return samples.n_earlier <= at_least("k", k, 1)


def disclosures(split: Split, k: int) -> list[str]:
    """What limits results on these test samples, where it does, a sentence each.

    Args:
        k: history items shown.
    """
    test, data, said = split.test, split.data, []
    if (all_shown := whole(test, k)).any():
        said.append(
            f"K = {k} shows the whole history of {percent(all_shown)} of the {len(test):,} test samples: there "
            f"selectors differ in order alone, which the vote does not read."
        )
    if (ties := arbitrary_last(test, k)).any():
        said.append(
            f"For {percent(ties)} of the {len(test):,} test samples item ids decide which ratings are the last {k}: "
            f"the oldest of them and the next older one have the same time."
        )
    if data.unrated is not None:
        disliked = test.position[~test.liked]
        n = (data.rating[disliked] == data.unrated).sum()
        said.append(
            f"{n:,} of the {len(disliked):,} dislikes among the test samples are ratings of {data.unrated:g}, which "
            f"stand for no rating."
        )
    return said
