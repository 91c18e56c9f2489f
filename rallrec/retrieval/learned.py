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
from ..infra.cache import digest
from ..infra.errors import InputError, at_least
from .retrieve import Representation, Shown, columns_for, retrieve, similarities
from .selectors import released, selector

BLOCK = 10_000  # samples whose candidates are in memory at once
KEPT = 4  # sets of samples whose ranking is kept
COMPARED = ("title", "description", "colla", "mixture")  # representations whose similarity the ranker reads


@dataclass(frozen=True, eq=False)
class LearnedReranker:
    """A fitted ranker; made by `learn_reranker`.

    Attributes:
        proposes: the representation whose reranked items are the candidates.
        compared: the representations whose similarity it reads, by their names.
        importance: total gain of each feature, largest first.
        ndcg: NDCG at K on validation samples, of the ranker.
    """

    split: Split
    proposes: Representation
    compared: dict[str, Representation]
    pool: int
    model: object
    importance: pd.Series
    ndcg: float
    _ranked: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def select(self, samples: Samples, k: int) -> Shown:
        """The K items of each history that are likeliest to agree with the target, the likeliest last."""
        k = columns_for(k, samples.data)
        key = digest(samples.position)
        if key not in self._ranked:  # the same for every K
            blocks = np.array_split(np.arange(len(samples)), len(samples) // BLOCK + 1)
            ranked = np.concatenate([self._rank(samples.take(rows)) for rows in blocks])
            while len(self._ranked) >= KEPT:
                del self._ranked[next(iter(self._ranked))]
            self._ranked[key] = ranked
        position = self._ranked[key][:, :k]
        position = np.pad(position, ((0, 0), (0, k - position.shape[1])), constant_values=-1)
        n = (position >= 0).sum(1, keepdims=True)  # the best of them goes last, padding stays at the end
        column = np.where(np.arange(k) < n, n - 1 - np.arange(k), np.arange(k))
        return Shown(samples, np.take_along_axis(position, column, 1))

    def _rank(self, samples: Samples) -> np.ndarray:
        """Candidates, the best first, int64 [n_samples, pool]."""
        candidates = _candidates(samples, self.proposes, self.pool)
        x = _features(self.split, candidates, self.compared)
        score = np.full(candidates.position.shape, -np.inf)
        if len(x):
            score[candidates.real] = self.model.predict(x.to_numpy(np.float64))
        return np.take_along_axis(candidates.position, np.argsort(-score, axis=1, kind="stable"), 1)


def learn_reranker(
    split: Split,
    proposes: Representation,
    compared: dict[str, Representation],
    k: int = 10,
    pool: int = 40,
    n_samples: int = 20_000,
    seed: int = 0,
) -> LearnedReranker:
    """Fit the ranker on training samples, stop on validation.

    Args:
        proposes: its ``pool`` most similar items of each history, reranked, are the candidates.
        compared: one-part representations whose similarity is read, by their names (features of the ranker).
        k: where NDCG is cut off.
        n_samples: training samples drawn; a tenth as many of validation, at least one.
    """
    import lightgbm

    for what, value in (("k", k), ("pool", pool), ("n_samples", n_samples)):
        at_least(what, value, 1)
    at_least("seed", seed, 0)

    model = lightgbm.LGBMRanker(
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
    parts = {}
    for name, part, n in (("train", split.train, n_samples), ("valid", split.valid, max(1, n_samples // 10))):
        samples = part.take(part.draw(n, seed))
        shown = _candidates(samples, proposes, pool)
        agrees = (shown.liked == samples.liked[:, None])[shown.real].astype(int)
        parts[name] = _features(split, shown, compared), agrees, shown.real.sum(1)
    x, y, groups = parts["train"]
    valid_x, valid_y, valid_groups = parts["valid"]
    model.fit(
        x.to_numpy(np.float64),  # without names: LightGBM allows no commas and colons in them
        y,
        group=groups,
        eval_X=valid_x.to_numpy(np.float64),
        eval_y=valid_y,
        eval_group=[valid_groups],
        eval_at=[k],
        callbacks=[lightgbm.early_stopping(30, verbose=False)],
    )
    gain = pd.Series(model.booster_.feature_importance("gain"), index=x.columns).sort_values(ascending=False)
    ((_, scores),) = model.best_score_.items()
    return LearnedReranker(split, proposes, compared, pool, model, gain, float(scores[f"ndcg@{k}"]))


@selector("learned", reads_items=False)
def _learned(study, samples: Samples, items, k: int) -> Shown:
    if study is None:
        raise InputError("selector 'learned' is fitted to a study: give `select` a LearnedReranker in its place")
    return study.ranker.select(samples, k)


def _candidates(samples: Samples, proposes: Representation, pool: int) -> Shown:
    return released(retrieve(samples, proposes, pool), k=pool)


def _features(split: Split, shown: Shown, compared: dict[str, Representation]) -> pd.DataFrame:
    """One row a candidate (padding left out): what is known of it beside the target."""
    data, samples, real = split.data, shown.samples, shown.real
    row = np.nonzero(real)[0]
    candidate = Samples(data, shown.position[real])
    mean, count = item_statistics(split, candidate)
    target_mean, target_count = item_statistics(split, samples)
    columns = {f"similarity, {n}": similarities(shown, r.parts[0])[real] for n, r in compared.items()}
    columns |= {
        "recency: ratings since": samples.position[row] - candidate.position,
        "item's mean rating": mean,
        "item's ratings": count,
        "target's mean rating": target_mean[row],
        "target's ratings": target_count[row],
        "history": samples.n_earlier[row],
    }
    if data.timed:
        columns["recency: days since"] = (data.time[samples.position[row]] - data.time[candidate.position]) / 86_400
    return pd.DataFrame(columns)
