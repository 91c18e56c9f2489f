"""Does the adapter's result depend on its seed? The answers of adapters that were trained with other seeds.

Training takes some twenty minutes on two cores, and an adapter 5 MB: the repository publishes the
answers of the others, made by ``rallrec seeds``, and compares them with those of the adapter at hand.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.split import Samples, Split
from ..evaluation.metrics import auc
from ..infra.files import published_dir
from ..infra.reproducible import hardware
from ..llm.base import LanguageModel
from ..profiles import Profile
from ..readers.adapter import adapter
from ..readers.llm import recommend
from ..readers.prompts import Details
from ..retrieval.learned import LearnedReranker
from ..retrieval.selectors import select

READERS = {"LLM, RALLRec": "rerank", "LLM, RALLRec, learned reranker": "learned"}  # by their selectors


def ask(samples: Samples, ranker: LearnedReranker, llm: LanguageModel, details: Details, k: int) -> dict:
    """P(like) of the samples by each of `READERS`, float64 [n_samples] each."""
    by = {"rerank": ranker.representations["mix3"], "learned": ranker}
    return {r: recommend(select(samples, s, by[s], k), llm, details=details) for r, s in READERS.items()}


def publish(split: Split, ranker: LearnedReranker, llm: LanguageModel, size: Profile, seeds: list[int]) -> Path:
    """Train an adapter with each seed, ask it, and write ``published/<dataset>/adapter-seeds.json``."""
    samples = split.test.take(split.test.draw(size.seed_samples))
    answers = {}
    for seed in seeds:
        trained = adapter(split, ranker, llm, **size.adapter, seed=seed)
        reader = llm.adapted(trained.folder)
        p = ask(samples, ranker, reader, Details.of(trained.tells, split), size.llm_k)
        answers[seed] = {r: np.round(values, 5).tolist() for r, values in p.items()}
    made = dict(data_hash=split.data.hash, weights=llm.weights, adapter=size.adapter, hardware=hardware())
    made |= dict(position=samples.position.tolist(), answers=answers)
    path = published_dir() / split.data.name / "adapter-seeds.json"
    path.write_text(json.dumps(made) + "\n", encoding="utf-8")
    return path


def published(split: Split, llm: LanguageModel) -> tuple[Samples, dict[str, dict[str, np.ndarray]]] | None:
    """The samples, and each seed's P(like) by each of `READERS`; None where nothing is published for data and LLM."""
    path = published_dir() / split.data.name / "adapter-seeds.json"
    made = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if (made.get("data_hash"), made.get("weights")) != (split.data.hash, llm.weights):
        return None
    answers = {seed: {r: np.array(p) for r, p in by.items()} for seed, by in made["answers"].items()}
    return Samples(split.data, np.array(made["position"])), answers


def spread(samples: Samples, by_seed: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """AUC of each reader by seed, with mean and standard deviation. A row a reader."""
    aucs = {r: {f"seed {seed}": auc(samples.liked, p[r]) for seed, p in by_seed.items()} for r in READERS}
    table = pd.DataFrame(aucs).T
    mean, deviation = table.mean(axis=1), table.std(axis=1)
    return table.assign(mean=mean, deviation=deviation).rename_axis("method").reset_index()
