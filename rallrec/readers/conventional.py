"""Conventional recommenders to compare with: the paper's DeepFM, xDeepFM, DCN and AutoInt, and DCNv2 and DIN.

The networks are torch-rechub's (see `networks`), computed in fewer passes (see `layers`); they read a sample as
`fields`. What is here is a training loop over whole arrays, since the library's own goes through a Python loader row by
row and writes its weights to the working directory. Several trainings run side by side.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..data.split import Split
from ..evaluation.metrics import auc
from ..infra.cache import Cache, default_cache, digest, key_of
from ..infra.code import code_of
from ..infra.early_stopping import EarlyStopping
from ..infra.errors import at_least, one_of, within
from ..infra.parallel import side_by_side
from ..infra.progress import Progress
from ..infra.reproducible import drawn_on_cpu, reproducible
from .fields import fields

MODELS = ("DeepFM", "xDeepFM", "DCN", "DCNv2", "AutoInt", "DIN")
STOP_SAMPLES = 20_000  # validation samples that the epoch is chosen on
TUNING_SAMPLES = 100_000  # training samples that settings are compared on
WORTH_A_PROCESS = 20_000  # training samples; of fewer a training is over before another process has started


@dataclass(frozen=True)
class BaselineSettings:
    """Settings of `baseline`.

    Attributes:
        dimensions: of each field's embedding.
        decay: weight decay of the embeddings and layers (AdamW).
        history: last ratings that a model sees, as a bag of liked and one of disliked items; DIN attends to them.
        most: training samples; of more, so many are drawn, as for LightGBM.
        batch: samples of a step; more where an epoch would have over ``most_steps`` steps.
        checks: times an epoch that AUC is looked at, on at most `STOP_SAMPLES` of validation; the best weights
            are kept, ``patience`` checks without a rise stop.
    """

    dimensions: int = 16
    layers: tuple[int, ...] = (128, 64)
    dropout: float = 0.2
    learning_rate: float = 1e-3
    decay: float = 1e-3
    history: int = 20
    most: int = 200_000
    batch: int = 2048
    most_steps: int = 100
    epochs: int = 20
    checks: int = 2
    patience: int = 4
    seed: int = 0


def baseline(
    model: str, split: Split, cache: Cache | None = None, device: str = "cpu", **settings
) -> tuple[float, np.ndarray, np.ndarray]:
    """Train one model on the training samples, stop on validation, predict.

    Args:
        model: one of `MODELS`. device: where to train; the answer is the same but for rounding.
        settings: fields of `BaselineSettings`. Where validation has one class and so no AUC, the last weights are kept.

    Returns:
        Validation AUC, P(like) of the validation samples, and of the test samples.
    """
    (made,) = baselines([(model, settings)], split, cache, device)
    return made


def baselines(
    wanted: Sequence[tuple[str, dict]], split: Split, cache: Cache | None = None, device: str = "cpu"
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """What `baseline` gives for each of ``wanted``, a model and its settings.

    On a CPU the trainings that are not in the cache run side by side, one a core; to the bit they are the same.
    """
    cache, (checked, keyed) = cache or default_cache(), _keyed(wanted, split)
    missing = list({key_of(**keyed[n]): n for n in range(len(keyed)) if not cache.holds(keyed[n])}.values())
    if len(missing) > 1 and device == "cpu" and len(split.train) >= WORTH_A_PROCESS:
        jobs = [(checked[n][0], split, checked[n][1], device) for n in missing]
        for n, made in side_by_side(_train, jobs, "networks"):
            cache.arrays(keyed[missing[n]], lambda made=made: made)
    kept = [
        cache.arrays(key, lambda model=model, s=s: _train(model, split, s, device))
        for key, (model, s) in zip(keyed, checked, strict=True)
    ]
    return [(float(made["valid_auc"]), made["valid"], made["test"]) for made in kept]


def _keyed(wanted: Sequence[tuple[str, dict]], split: Split) -> tuple[list[tuple[str, BaselineSettings]], list[dict]]:
    """Each model with its settings, and all that its training depends on, for the cache."""
    checked = [(model, _checked(model, settings)) for model, settings in wanted]
    parts = [digest(p.position) for p in (split.train, split.valid, split.test)]
    names = ("conventional.py", "fields.py", "layers.py", "networks.py")
    inputs = dict(step="baseline", code=[code_of(str(Path(__file__).with_name(name))) for name in names])
    # not the device: all draws are made on the CPU, so that devices differ in rounding only, as processors do
    inputs |= dict(data=split.data.hash, parts=parts, seen=digest(split.train_ratings))
    return checked, [inputs | dict(model=model) | asdict(s) for model, s in checked]


def _checked(model: str, settings: dict) -> BaselineSettings:
    one_of("model", model, MODELS)
    s = BaselineSettings(**settings)
    for name in ("dimensions", "history", "most", "batch", "most_steps", "epochs", "checks", "patience"):
        at_least(name, getattr(s, name), 1)
    at_least("seed", s.seed, 0)
    within("learning_rate", s.learning_rate, 0, above=True)
    within("decay", s.decay, 0)
    within("dropout", s.dropout, 0, 1)
    return s


def tuned(
    models: Sequence[str],
    split: Split,
    grid: list[dict],
    seed: int = 0,
    device: str = "cpu",
    cache: Cache | None = None,
) -> tuple[dict[str, dict], pd.DataFrame]:
    """Of each model the settings of ``grid`` with the best validation AUC, and the AUC of all tried.

    Compared on at most `TUNING_SAMPLES` of the training samples. Where validation has one class and so no AUC, the
    first of ``grid``. What a search found is kept apart from its trainings, and published: they are most of what
    conventional recommenders cost.

    Returns:
        Settings by model; a line a model and settings, ``model``, the settings and ``valid_auc``.
    """
    # where they are all, the best of these trainings is the one that will be used
    most = TUNING_SAMPLES if len(split.train) > TUNING_SAMPLES else BaselineSettings.most
    cache, tries, searches = cache or default_cache(), {}, {}
    for model in models:
        tries[model] = [(model, choice | dict(most=most, seed=seed)) for choice in grid]
        searches[model] = dict(step="search", tries=[key_of(**key) for key in _keyed(tries[model], split)[1]])

    def tried(models: Sequence[str]) -> list[float]:
        return [made[0] for made in baselines([one for m in models for one in tries[m]], split, cache, device)]

    missing = [model for model in models if not cache.holds(searches[model])]

    def search(model: str) -> dict[str, np.ndarray]:
        tried(missing)  # side by side, when the first is asked for
        return dict(valid_auc=np.array(tried([model])))

    found = {model: cache.arrays(searches[model], lambda model=model: search(model)) for model in models}
    table = pd.DataFrame([dict(model=m, **choice) for m in models for choice in grid])
    table["valid_auc"] = np.concatenate([found[m]["valid_auc"] for m in models])
    best = {model: of.valid_auc.fillna(-1).to_numpy().argmax() for model, of in table.groupby("model")}
    return {model: grid[int(best[model])] for model in models}, table


# --- training ------------------------------------------------------------------------------------


def _train(name: str, split: Split, s: BaselineSettings, device: str) -> dict[str, np.ndarray]:
    from .layers import faster  # a second's import
    from .networks import network

    inputs, sizes = {}, {}
    train = split.train.take(split.train.draw(s.most, s.seed))
    for part, samples in (("train", train), ("valid", split.valid), ("test", split.test)):
        values, sizes = fields(split, samples, s.history)
        inputs[part] = {n: torch.as_tensor(v).to(device) for n, v in values.items()}
        inputs[part]["item again"] = inputs[part]["item"]
    liked = torch.as_tensor(train.liked, dtype=torch.float32).to(device)
    judged = split.valid.draw(STOP_SAMPLES, s.seed)
    stop = {n: v[judged] for n, v in inputs["valid"].items()}
    batch = max(s.batch, -(-len(liked) // s.most_steps))
    rng = np.random.default_rng(s.seed)
    with reproducible(s.seed, threads=1):  # strong decay carries a last bit far, and batches are small
        model = faster(drawn_on_cpu(network(name, sizes, s.dimensions, s.layers, s.dropout))).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=s.learning_rate, weight_decay=s.decay)
        loss_of = torch.nn.BCELoss()
        stopping = EarlyStopping(s.patience)
        with Progress(name, s.epochs * s.checks, "check") as progress:
            for check in range(s.epochs * s.checks):
                if check % s.checks == 0:
                    order = np.array_split(rng.permutation(len(liked)), s.checks)
                model.train()
                for rows in torch.as_tensor(order[check % s.checks]).split(batch):
                    if len(rows) < 2:  # batch normalisation needs two; the next epoch draws another last one
                        continue
                    optimizer.zero_grad()
                    loss = loss_of(model({n: v[rows] for n, v in inputs["train"].items()}), liked[rows])
                    loss.backward()
                    optimizer.step()
                value = auc(split.valid.liked[judged], _predict(model, stop, batch))
                progress.add()
                stopping.check(value, lambda: {n: v.clone() for n, v in model.state_dict().items()})
                if stopping.over:
                    break
        model.load_state_dict(stopping.best)
        valid, test = (_predict(model, inputs[part], batch) for part in ("valid", "test"))
    return dict(valid_auc=np.array(auc(split.valid.liked, valid)), valid=valid, test=test)


@torch.no_grad()
def _predict(model: torch.nn.Module, inputs: dict[str, torch.Tensor], batch: int) -> np.ndarray:
    model.eval()
    n = len(inputs["user"])
    rows = torch.arange(n).split(batch)
    if len(rows[-1]) == 1:  # DCNv2 takes no batch of one sample
        rows = *rows[:-1], rows[-1].repeat(2)
    answers = [model({k: v[r] for k, v in inputs.items()}).cpu().numpy() for r in rows]
    return np.concatenate(answers)[:n].astype(np.float64)
