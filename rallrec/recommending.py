"""Readers: what turns the shown history into P(the user likes the target)."""

import numpy as np
import pandas as pd

from . import prompts
from .errors import InputError
from .llm import LanguageModel
from .retrieval import Shown, similarities
from .splits import Samples, Split


def recommend(shown: Shown, llm: LanguageModel, prompt: str = "labelled") -> np.ndarray:
    """The LLM's P(like): softmax over its two answers at the answer position (paper, section 2).

    Args:
        prompt: ``labelled`` or ``paper``; see `prompts.build`.

    Returns:
        float64 [n_samples].
    """
    asked = prompts.build(shown, prompt, llm)
    return llm.choose(asked.texts, asked.options)[:, 0]


def vote(shown: Shown) -> np.ndarray:
    """The mean rating of the shown items, scaled to 0 … 1: what the selection alone knows, without an LLM.

    Its order is a prediction; `evaluation.platt` makes a probability of it.

    Returns:
        float64 [n_samples].
    """
    low, high = shown.samples.data.scale
    n = shown.real.sum(1)
    if not n.all():
        raise InputError(f"{(n == 0).sum()} samples show no history; a vote needs at least one item")
    mean = (shown.rating * shown.real).sum(1, dtype=float) / n
    return (mean - low) / (high - low)


# --- statistics of the past, without a look at the future ------------------------------------------


def item_statistics(split: Split, samples: Samples, prior: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    """Mean rating and number of ratings of each target item in what may be seen of the past.

    For samples of the training period: the ratings before the sample. For later ones: the whole
    training period. Without time: all training ratings that are no targets. The mean is drawn towards
    the global mean as by ``prior`` ratings of that value.

    Returns:
        mean (float64 [n_samples], rating scale), count (int64 [n_samples]).
    """
    data, seen = split.data, split.train_ratings
    overall = data.rating[seen].mean(dtype=float)
    rank = data.rank
    if not data.timed:  # a target's own rating must not be in what predicts it, in training as in test
        seen, rank = np.setdiff1d(seen, split.train.position), np.zeros(data.n_ratings, np.int64)
    order = seen[np.lexsort((rank[seen], data.item[seen]))]  # by item, then time
    total = np.concatenate([[0], np.cumsum(data.rating[order], dtype=float)])
    # where in `order` the item's ratings begin, and where those before the sample end
    key = data.item[order].astype(np.int64) * (data.n_ratings + 1) + rank[order]
    first = samples.item.astype(np.int64) * (data.n_ratings + 1)
    until = rank[samples.position] if data.timed else 1
    begin, end = np.searchsorted(key, first), np.searchsorted(key, first + until)
    count = end - begin
    return (total[end] - total[begin] + prior * overall) / (count + prior), count


def user_mean(samples: Samples, overall: float, prior: float = 5.0) -> np.ndarray:
    """Mean of each user's earlier ratings, drawn towards ``overall``, float64 [n_samples]."""
    data = samples.data
    total = np.concatenate([[0], np.cumsum(data.rating, dtype=float)])
    earlier = total[samples.position] - total[samples.position - samples.n_earlier]
    return (earlier + prior * overall) / (samples.n_earlier + prior)


# --- LightGBM ------------------------------------------------------------------------------------


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
    mean, count = item_statistics(split, samples)
    return pd.DataFrame(
        {
            "mean rating shown": (shown.rating * shown.real).sum(1) / shown.real.sum(1),
            "mean rating shown, by similarity": (shown.rating * weight).sum(1) / weight.sum(1),
            "similarity, highest": similar.max(1),
            "similarity, mean": similar.sum(1) / shown.real.sum(1),
            "rating of the most similar": np.take_along_axis(shown.rating, similar.argmax(1)[:, None], 1)[:, 0],
            "item's mean rating": mean,
            "item's ratings": count,
            "user's mean rating": user_mean(samples, overall),
            "user's ratings": samples.n_earlier,
        }
    )


def lightgbm_reader(split: Split, select, items: np.ndarray, samples: Samples, seed: int = 0) -> np.ndarray:
    """P(like) by gradient-boosted trees on `features`, fitted on training samples, stopped on validation.

    Args:
        select: maps samples to what is shown of them, the same way for training, validation and ``samples``.

    Returns:
        float64 [n_samples].
    """
    import lightgbm

    parts = (split.train, split.valid, samples)
    train, valid, asked = (features(split, select(part), items).to_numpy(np.float64) for part in parts)
    model = lightgbm.LGBMClassifier(
        n_estimators=500,
        learning_rate=0.03,
        num_leaves=15,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        reg_lambda=1.0,
        random_state=seed,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )
    stop = lightgbm.early_stopping(30, verbose=False)
    model.fit(train, split.train.liked, eval_X=valid, eval_y=split.valid.liked, eval_metric="auc", callbacks=[stop])
    return model.predict_proba(asked)[:, 1]
