"""A learned reranker: which items of a history agree with the target's label?

The paper reranks by a rule (section 2.4). LightGBM's lambdarank learns from training samples instead: a
group is one sample's history, and an item of it is relevant if the user's opinion of it is that of the target.

The ranker does not read how the user rated an item. If it does, it shows liked items beside targets that
are generally liked, and disliked ones beside others: what is shown is then the target's popularity, and says
little of the user any more (MovieLens-100K, validation, vote at K = 10: AUC 0.724 with it, 0.748 without).
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..data.past import item_statistics
from ..data.split import Samples, Split
from ..infra.cache import Cache, default_cache, digest, key_of
from ..infra.code import code_of, codes_of
from ..infra.errors import InputError, at_least
from .retrieve import Representation, Shown, columns_for, retrieve, similarities
from .selectors import released, selector

BLOCK = 50_000  # samples whose candidates' features are in memory at once
KEPT = 4  # sets of samples whose ranking is kept
TIE = 2**30  # scores that round to the same multiple of 1/TIE are ties
COMPARED = ("title", "description", "colla", "mixture")  # representations whose similarity the ranker reads


@dataclass(frozen=True, eq=False)
class LearnedReranker:
    """A fitted ranker; made by `learn_reranker`.

    Attributes:
        proposes: the representation whose reranked items are the candidates.
        compared: the representations whose similarity it reads, by their names.
        model: LightGBM's booster, or what else has its `predict`.
        importance: total gain of each feature, largest first.
        ndcg: NDCG at K on validation samples, of the ranker.
        key: of all that its ranking depends on beside the samples.
    """

    split: Split
    proposes: Representation
    compared: dict[str, Representation]
    pool: int
    model: object
    importance: pd.Series
    ndcg: float
    key: str
    _ranked: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def select(self, samples: Samples, k: int) -> Shown:
        """The K items of each history that are likeliest to agree with the target, the likeliest last."""
        k = columns_for(k, samples.data)
        key = digest(samples.position)
        if key not in self._ranked:  # the same for every K
            ranked = self._rank(samples)
            while len(self._ranked) >= KEPT:
                del self._ranked[next(iter(self._ranked))]
            self._ranked[key] = ranked
        position = self._ranked[key][:, :k]
        position = np.pad(position, ((0, 0), (0, k - position.shape[1])), constant_values=-1)
        n = (position >= 0).sum(1, keepdims=True)  # the best of them goes last, padding stays at the end
        column = np.where(np.arange(k) < n, n - 1 - np.arange(k), np.arange(k))
        return Shown(samples, np.take_along_axis(position, column, 1))

    def _rank(self, samples: Samples) -> np.ndarray:
        """Candidates, the best first, of equal ones the newer rating, int64 [n_samples, pool]."""
        candidates = _candidates(samples, self.proposes, self.pool)
        blocks = np.array_split(np.arange(len(samples)), len(samples) // BLOCK + 1)
        score = np.concatenate([self._scores(candidates.take(rows)) for rows in blocks])
        order = np.lexsort((-candidates.position, -np.rint(score * TIE)), axis=1)
        return np.take_along_axis(candidates.position, order, 1)

    def _scores(self, shown: Shown) -> np.ndarray:
        """The model's scores, float64 [n_samples, pool], -inf for padding."""
        score = np.full(shown.position.shape, -np.inf)
        if shown.real.any():
            score[shown.real] = self.model.predict(_features(self.split, shown, self.compared))
        return score


def learn_reranker(
    split: Split,
    proposes: Representation,
    compared: dict[str, Representation],
    k: int = 10,
    pool: int = 40,
    n_samples: int = 20_000,
    seed: int = 0,
    cache: Cache | None = None,
) -> LearnedReranker:
    """Fit the ranker on training samples, stop on validation. An answer from the cache if there is one.

    Kept under the features and labels that it is fitted on, which are the same to the last bit on every processor
    (see `retrieve.unit`); the trees that are fitted to them need not be.

    Args:
        proposes: its ``pool`` most similar items of each history, reranked, are the candidates.
        compared: one-part representations whose similarity is read, by their names (features of the ranker).
        k: where NDCG is cut off.
        n_samples: training samples drawn; a tenth as many of validation, at least one.
    """
    from lightgbm import Booster

    for what, value in (("k", k), ("pool", pool), ("n_samples", n_samples)):
        at_least(what, value, 1)
    at_least("seed", seed, 0)
    drawn = {"train": split.train.draw(n_samples, seed), "valid": split.valid.draw(max(1, n_samples // 10), seed)}

    def inputs() -> dict:
        parts = {}
        for name, rows in drawn.items():
            samples = getattr(split, name).take(rows)
            shown = _candidates(samples, proposes, pool)
            agrees = (shown.liked == samples.liked[:, None])[shown.real].astype(int)
            parts[name] = _features(split, shown, compared), agrees, shown.real.sum(1)
        return dict(code=code_of(__file__), features=_names(split, compared), k=k, seed=seed, **parts)

    name = dict(code=codes_of(LearnedReranker, retrieve, released, item_statistics), data=split.data.hash)
    name |= dict(drawn=drawn, seen=split.train_ratings, pool=pool, k=k, seed=seed)
    name |= dict(proposes=proposes.digests, compared={name: each.digests for name, each in compared.items()})
    cache = cache or default_cache()
    made = cache.named("reranker", name, inputs, lambda of: _fit(*of["train"], *of["valid"], k, seed))
    gain = pd.Series(made["gain"], index=_names(split, compared)).sort_values(ascending=False)
    model = Booster(model_str=made["model"].tobytes().decode())
    key = key_of(model=made["model"], **name)
    return LearnedReranker(split, proposes, compared, pool, model, gain, float(made["ndcg"]), key)


def _fit(x, y, groups, valid_x, valid_y, valid_groups, k: int, seed: int) -> dict[str, np.ndarray]:
    """The ranker in LightGBM's text format (UTF-8, as bytes), its features' total gain, and its NDCG on validation."""
    import lightgbm

    ranker = lightgbm.LGBMRanker(
        objective="lambdarank",
        n_estimators=400,
        learning_rate=0.05,
        num_leaves=15,
        min_child_samples=100,
        reg_lambda=1.0,
        lambdarank_truncation_level=2 * k,
        random_state=seed,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )
    ranker.fit(
        x,  # without names: LightGBM allows no commas and colons in them
        y,
        group=groups,
        eval_X=valid_x,
        eval_y=valid_y,
        eval_group=[valid_groups],
        eval_at=[k],
        callbacks=[lightgbm.early_stopping(30, verbose=False)],
    )
    ((_, scores),) = ranker.best_score_.items()
    text = np.frombuffer(ranker.booster_.model_to_string().encode(), np.uint8)
    return dict(model=text, gain=ranker.booster_.feature_importance("gain"), ndcg=np.array(scores[f"ndcg@{k}"]))


@selector("learned", reads_items=False)
def _learned(study, samples: Samples, items, k: int) -> Shown:
    if study is None:
        raise InputError("selector 'learned' is fitted to a study: give `select` a LearnedReranker in its place")
    return study.ranker.select(samples, k)


def _candidates(samples: Samples, proposes: Representation, pool: int) -> Shown:
    return released(retrieve(samples, proposes, pool), k=pool)


def _features(split: Split, shown: Shown, compared: dict[str, Representation]) -> np.ndarray:
    """What is known of each candidate (padding left out) beside the target, float64 [n_candidates, n_features]."""
    data, samples, real = split.data, shown.samples, shown.real
    row = np.nonzero(real)[0]
    candidate = Samples(data, shown.position[real])
    mean, count = item_statistics(split, candidate)
    target_mean, target_count = item_statistics(split, samples)
    columns = [similarities(shown, each.parts[0])[real] for each in compared.values()]
    columns += [samples.position[row] - candidate.position, mean, count, target_mean[row], target_count[row]]
    columns += [samples.n_earlier[row]]
    if data.timed:
        columns += [(data.time[samples.position[row]] - data.time[candidate.position]) / 86_400]
    return np.column_stack(columns).astype(np.float64)


def _names(split: Split, compared: dict[str, Representation]) -> list[str]:
    """Of the columns of `_features`."""
    names = [f"similarity, {name}" for name in compared]
    names += ["recency: ratings since", "item's mean rating", "item's ratings"]
    names += ["target's mean rating", "target's ratings", "history"]
    return names + ["recency: days since"] * split.data.timed
