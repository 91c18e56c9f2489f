"""How much of the vote's AUC is about the item, and how much about who likes much and who little?

AUC within each user, the usual answer, is biased here: the history of a sample holds the user's other labels. After a
like, fewer likes are left for it, so that even with ratings that know nothing of their items it lies below 0.5, the
further the more is shown. Here each user's ratings are permuted among the user's items instead, labels and histories
alike: what is left of the AUC is the user's, what is lost is the item's.
"""

from dataclasses import replace
from functools import cache as memoise

import numpy as np
import pandas as pd

from ..data.dataset import Dataset
from ..data.split import Samples
from ..evaluation.metrics import RESAMPLES, adjust, columns, difference, estimate
from ..evaluation.resampling import aucs, kept_aucs, resampled_users
from ..infra.code import codes_of
from ..infra.errors import at_least
from ..pipeline import Choice, Study
from ..readers.vote import vote
from ..retrieval.retrieve import Shown

REPEATS = 5  # permutations, whose mean AUC is taken


def permuted(data: Dataset, seed: int = 0) -> Dataset:
    """The data with each user's ratings permuted among the user's items; all else stays."""
    order = np.lexsort((np.random.default_rng(at_least("seed", seed, 0)).random(data.n_ratings), data.user))
    return replace(data, rating=data.rating[order])


def against_permuted(study: Study, rows: dict[str, Choice], repeats: int = REPEATS) -> pd.DataFrame:
    """AUC of the vote on all test samples, and of the same vote with each user's ratings permuted.

    Args:
        rows: what is shown, by label; each is read by the vote. What is shown stays as it was chosen without a look
            at the user's ratings, as all selectors here do.
        repeats: permutations.

    Returns:
        Columns ``method``, ``auc`` with ``_low`` and ``_high``, ``permuted`` (mean AUC of the permutations),
        ``difference`` of the two (paired, with ``_low``, ``_high``, ``_p``): what the vote knows of items; ``n``,
        ``users``, ``adjusted_p``.
    """
    samples = study.split.test
    user, drawn = resampled_users(samples.user, RESAMPLES, 0)
    seeds = range(at_least("repeats", repeats, 1))

    @memoise
    def moved() -> list[Samples]:
        return [Samples(permuted(samples.data, seed), samples.position) for seed in seeds]

    def null_aucs(shown: Shown) -> np.ndarray:
        """Means over the permutations, [1 + resamples]."""
        each = [aucs(of.liked, vote(Shown(of, shown.position)), user, drawn) for of in moved()]
        return np.mean(each, axis=0)

    others = dict(repeats=repeats, resamples=RESAMPLES, code_of_aucs=codes_of(aucs))
    table = []
    for label, choice in rows.items():
        own = kept_aucs(samples.liked, study.of_shown(vote, choice, samples), user, drawn)
        null = study.of_shown(null_aucs, choice, samples, **others)
        row = {"method": label} | columns("auc", estimate(own, drawn.shape[1])) | {"permuted": null[0]}
        row |= columns("difference", difference(own - null, drawn.shape[1]))
        table.append(row | {"n": len(samples), "users": drawn.shape[1]})
    return adjust(pd.DataFrame(table))
