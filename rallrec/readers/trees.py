"""LightGBM as a reader of what is shown, and as a conventional recommender without retrieval."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache as memoise
from importlib.metadata import version

import numpy as np
import pandas as pd

from ..data.past import item_statistics, user_mean
from ..data.split import Samples, Split
from ..infra.cache import Cache, default_cache
from ..infra.code import code_of, codes_of
from ..retrieval.retrieve import Shown, similarities
from ..retrieval.selectors import last
from .base import folds_by_user
from .fields import fields, past

TREES = dict(
    learning_rate=0.03,
    num_leaves=15,
    min_child_samples=50,
    subsample=0.8,
    subsample_freq=1,
    reg_lambda=1.0,
    deterministic=True,
    force_row_wise=True,
    verbosity=-1,
)
SMALL = dict(num_leaves=7, min_child_samples=20)  # fewer samples than training has


def features(split: Split, shown: Shown, items: np.ndarray) -> pd.DataFrame:
    """What LightGBM reads: the shown ratings, their similarity to the target, and the past of user and item.

    Args:
        items: [n_items, d], the embedding that similarity is measured with.

    Returns:
        One row a sample.
    """
    data, samples = split.data, shown.samples
    overall = data.rating[split.train_ratings].mean(dtype=float)
    similar = similarities(shown, items)
    weight = np.where(shown.real, np.exp(4 * similar), 0)
    nearest = np.where(shown.real, similar, -np.inf)  # padding, which counts 0, may be above what is shown
    mean, count = item_statistics(split, samples)
    return pd.DataFrame(
        {
            "mean rating shown": (shown.rating * shown.real).sum(1) / shown.real.sum(1),
            "mean rating shown, by similarity": (shown.rating * weight).sum(1) / weight.sum(1),
            "similarity, highest": nearest.max(1),
            "similarity, mean": similar.sum(1) / shown.real.sum(1),
            "rating of the most similar": np.take_along_axis(shown.rating, nearest.argmax(1)[:, None], 1)[:, 0],
            "item's mean rating": mean,
            "item's ratings": count,
            "user's mean rating": user_mean(samples, overall),
            "user's ratings": samples.n_earlier,
        }
    )


def lightgbm_reader(
    split: Split,
    select: Callable[[Samples], Shown],
    items: np.ndarray,
    samples: Samples,
    seed: int = 0,
    cache: Cache | None = None,
    shown_by: Mapping | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """P(like) by gradient-boosted trees on `features`, fitted on validation samples in five folds by user.

    Not on training samples: the graph has their ratings for edges, so that a liked target lies nearer to its
    user's history than any later one will (Amazon: the mean similarity alone has an AUC of 0.72 on training
    samples and 0.51 on validation samples), and trees that learn this are worse than none.

    Kept under the features and labels that they are fitted on: an answer from the cache if there is one.

    Args:
        select: maps samples to what is shown of them, the same way for validation and ``samples``.
        shown_by: all that ``select`` depends on beside the samples, for a key; with it the features are not made
            again where the answer is kept.

    Returns:
        float64 [n_samples], the mean of the five; and that of the validation samples, each from the trees that
        have not seen its user. `share_of_likes` of them for all, where they are all liked or none is, or a fold
        would be fitted on a single one. With fewer users there are fewer folds.

    Raises:
        InputError: if the validation samples are of one user only.
    """
    return next(lightgbm_readers(split, select, items, samples, [seed], cache, shown_by))


def lightgbm_readers(
    split: Split,
    select: Callable[[Samples], Shown],
    items: np.ndarray,
    samples: Samples,
    seeds: Sequence[int],
    cache: Cache | None = None,
    shown_by: Mapping | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `lightgbm_reader` gives with each of ``seeds``; the features are made once."""
    valid, cache = split.valid, cache or default_cache()
    folds = folds_by_user(valid)
    if len(set(valid.liked)) < 2 or min(len(rows) for rows, _ in folds) < 2:
        same = tuple(np.full(len(part), share_of_likes(valid.liked)) for part in (samples, valid))
        yield from [same] * len(seeds)
        return

    @memoise
    def tables() -> dict[str, np.ndarray]:
        return {
            name: features(split, select(part), items).to_numpy(np.float64)
            for name, part in (("x", valid), ("asked", samples))
        }

    of = dict(lightgbm=version("lightgbm"), liked=valid.liked, folds=[rows for _, rows in folds])
    for seed in seeds:
        inputs = of | dict(code=code_of(__file__), seed=seed)
        name = shown_by and inputs | dict(shown_by=shown_by, items=items) | _of_past(split, valid, samples)
        made = cache.named(
            "trees",
            name,
            lambda inputs=inputs: inputs | tables(),
            lambda of: _fit(of["x"], valid.liked, folds, of["asked"], of["seed"]),
        )
        yield made["asked"], made["unseen"]


def _of_past(split: Split, *parts: Samples) -> dict:
    """What fields, and what is known of the past of samples, depend on, for a key."""
    of = dict(code_of_past=codes_of(fields, item_statistics, similarities, last), data=split.data.hash)
    return of | dict(seen=split.train_ratings, parts=[part.position for part in parts])


def _fit(x: np.ndarray, liked: np.ndarray, folds: list, asked: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """P(like) of the rows of ``asked``, and that of ``x`` from the trees that were not fitted on them."""
    import lightgbm

    made = lightgbm.cv(
        TREES | SMALL | dict(objective="binary", metric="auc", seed=seed),
        lightgbm.Dataset(x, liked.astype(float), free_raw_data=False),
        num_boost_round=500,
        folds=folds,
        callbacks=[lightgbm.early_stopping(30, verbose=False)],
        return_cvbooster=True,
    )
    fitted = made["cvbooster"]
    unseen = np.empty(len(x))
    for (_, held_out), trees in zip(folds, fitted.boosters, strict=True):
        unseen[held_out] = trees.predict(x[held_out], num_iteration=fitted.best_iteration)
    return dict(asked=np.mean(fitted.predict(asked, num_iteration=fitted.best_iteration), axis=0), unseen=unseen)


def lightgbm_baseline(
    split: Split, samples: Samples, seed: int = 0, cache: Cache | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """P(like) by gradient-boosted trees on ids, attributes and the past of user and item, without retrieval.

    Fitted on the training samples, stopped when the AUC of the validation samples has not risen for 30 trees; where
    these have one class, after the first tree. Kept as `lightgbm_reader`'s answers are.

    Returns:
        float64 [n_samples], and the same of the validation samples. `share_of_likes` of the training samples for
        all, where they are all liked or none is.
    """
    return next(lightgbm_baselines(split, samples, [seed], cache))


def lightgbm_baselines(
    split: Split, samples: Samples, seeds: Sequence[int], cache: Cache | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `lightgbm_baseline` gives with each of ``seeds``; its tables are made once."""
    train, valid, cache = split.train, split.valid, cache or default_cache()
    if len(set(train.liked)) < 2:
        same = tuple(np.full(len(part), share_of_likes(train.liked)) for part in (samples, valid))
        yield from [same] * len(seeds)
        return

    @memoise
    def tables() -> dict:
        of_past, whole = past(split), (train, valid, samples)
        parts = [fields(split, part, 1)[0] for part in whole]
        kinds = [n for n in parts[0] if n not in of_past and "liked items" not in n]
        made = [
            np.column_stack([values[n] for n in kinds] + [of(part) for of in of_past.values()]).astype(np.float64)
            for values, part in zip(parts, whole, strict=True)
        ]
        return dict(tables=made, kinds=len(kinds))

    of = dict(lightgbm=version("lightgbm"), liked=[train.liked, valid.liked])
    for seed in seeds:
        inputs = of | dict(code=code_of(__file__), seed=seed)
        made = cache.named(
            "trees without retrieval",
            inputs | _of_past(split, train, valid, samples),
            lambda inputs=inputs: inputs | tables(),
            lambda of: _fit_on_training(of["tables"], train, valid, of["kinds"], of["seed"]),
        )
        yield made["asked"], made["valid"]


def _fit_on_training(
    tables: list[np.ndarray], train: Samples, valid: Samples, kinds: int, seed: int
) -> dict[str, np.ndarray]:
    """P(like) of the third of ``tables`` and of the second, by trees fitted on the first."""
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=500, random_state=seed, **TREES).fit(
        tables[0],
        train.liked,
        eval_X=tables[1],
        eval_y=valid.liked,
        eval_metric="auc",
        callbacks=[lightgbm.early_stopping(30, verbose=False)],
        categorical_feature=list(range(kinds)),
    )
    return {name: model.predict_proba(x)[:, 1] for name, x in zip(("valid", "asked"), tables[1:], strict=True)}


def share_of_likes(liked: np.ndarray) -> float:
    """What labels alone say of the next: ``(likes + 1) / (n + 2)``, which is never certain."""
    return (np.count_nonzero(liked) + 1) / (len(liked) + 2)
