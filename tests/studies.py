"""A study for tests: the generated data, random embeddings, a tiny model."""

import numpy as np

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.pipeline import ALIGNED, Study
from rallrec.profiles import profile


def study_of(split, folder, **options) -> Study:
    """A study with random embeddings and a tiny model."""
    rng = np.random.default_rng(0)
    widths = {"title": 9, "description": 9, "text": 18, "colla": 6} | dict.fromkeys(ALIGNED, 6)
    parts = {name: rng.normal(size=(split.data.n_items, d)).astype(np.float32) for name, d in widths.items()}
    llm = rr.language_model("tiny-random", device="cpu", cache=Cache(folder / "cache"))
    return Study(split, llm, profile("smoke"), parts=parts, **options)
