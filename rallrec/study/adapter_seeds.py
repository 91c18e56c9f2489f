"""Does the adapter's result depend on its seed? The answers of adapters that were trained with other seeds.

Training takes some twenty minutes on two cores, and an adapter 5 MB: the repository publishes the
answers of the others, made by ``rallrec seeds``, and compares them with those of the adapter at hand.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.split import Samples
from ..evaluation.metrics import auc, compare, interval, verdict
from ..infra.errors import at_least
from ..infra.files import published_dir
from ..infra.reproducible import hardware
from ..llm.base import LanguageModel
from ..pipeline import Study
from ..profiles import PAPER, TUNINGS
from ..readers.llm import recommend
from .ablations import LEARNED, LLM, RALLREC

ROWS = {label: LLM[label] for label in (RALLREC, LEARNED)}


def ask(study: Study, samples: Samples, llm: LanguageModel) -> dict[str, np.ndarray]:
    """P(like) of the samples by each of `ROWS`, read by ``llm``, float64 [n_samples] each."""
    details = study.details
    return {label: recommend(study.shown(choice, samples), llm, details=details) for label, choice in ROWS.items()}


def settings_of(study: Study) -> dict:
    """All that the published answers depend on beside the seeds, in JSON values."""
    size = study.size
    made = dict(data_hash=study.split.data.hash, llm=study.llm.weights, reader=study.reader.weights, k=size.llm_k)
    made |= dict(rows={label: asdict(choice) for label, choice in ROWS.items()})
    made |= dict(adapter=size.adapter, orders=TUNINGS[PAPER])
    made |= dict(lightgcn=size.lightgcn, alignment=size.alignment, samples=size.seed_samples, seed=study.seed)
    return json.loads(json.dumps(made))


def path_of(study: Study) -> Path:
    return published_dir() / study.split.data.name / "adapter-seeds.json"


def publish(study: Study, seeds: list[int]) -> Path:
    """Train an adapter with each seed, ask it, and write ``published/<dataset>/adapter-seeds.json``."""
    for seed in seeds:
        at_least("seed", seed, 0)  # before the first is trained
    samples = study.split.test.take(study.split.test.draw(study.size.seed_samples))
    answers = {}
    for seed in seeds:
        p = ask(study, samples, study.reader.adapted(study.adapter_of(PAPER, seed).folder))
        answers[seed] = {label: np.round(values, 5).tolist() for label, values in p.items()}
    made = dict(settings=settings_of(study), hardware=hardware(), position=samples.position.tolist(), answers=answers)
    path_of(study).write_text(json.dumps(made) + "\n", encoding="utf-8")
    return path_of(study)


def published(study: Study) -> tuple[Samples, dict[str, dict[str, np.ndarray]]] | None:
    """The samples, and each seed's P(like) by each of `ROWS`; None where none were published with these settings."""
    path = path_of(study)
    made = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if made.get("settings") != settings_of(study):
        return None
    answers = {seed: {label: np.array(p) for label, p in by.items()} for seed, by in made["answers"].items()}
    return Samples(study.split.data, np.array(made["position"])), answers


def spread(samples: Samples, by_seed: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """AUC of each row by seed, with mean and standard deviation. A line a row."""
    aucs = {label: {f"seed {seed}": auc(samples.liked, p[label]) for seed, p in by_seed.items()} for label in ROWS}
    table = pd.DataFrame(aucs).T
    mean, deviation = table.mean(axis=1), table.std(axis=1)
    return table.assign(mean=mean, deviation=deviation).rename_axis("method").reset_index()


def order(study: Study, samples: Samples, by_seed: dict[str, dict[str, np.ndarray]]) -> str:
    """What the sign of the difference of the two `ROWS` hangs on: the adapter's seed, or the samples, in words.

    Args:
        samples, by_seed: as `published` gives them, with the adapter at hand before the others.
    """
    learned, rule = (np.stack([p[label] for p in by_seed.values()]) for label in (LEARNED, RALLREC))
    over = compare(samples, learned, rule, same_training=True)["auc"]
    each = [auc(samples.liked, a) - auc(samples.liked, b) for a, b in zip(learned, rule, strict=True)]
    asked, *p = study.both(ROWS[LEARNED], ROWS[RALLREC])
    here = compare(asked, *p)["auc"]
    seeds, alone = (interval(e.value, e.low, e.high, "+") for e in (over, here))
    if len(set(np.sign(each))) > 1:
        found = "the sign changes with the adapter's seed"
    elif np.sign(here.value) == np.sign(each[0]):
        found = "the same sign with each seed, and on both sets of samples"
    else:
        found = "the sign changes with the samples, not with these seeds"
    unclear = not any(verdict(e.low, e.high) for e in (over, here))
    at_hand, *others = (f"{value:+.3f} with seed {seed}" for seed, value in zip(by_seed, each, strict=True))
    return (
        f"{LEARNED} minus {RALLREC}, AUC on the same {len(samples):,} samples: "
        f"{', '.join([f'{at_hand} (the adapter at hand)', *others])}; their mean {seeds}. "
        f"On {len(asked):,} samples the adapter at hand gives {alone}: {found}."
        + " Both intervals hold 0, so no order is established."
        * unclear
    )
