"""Conventional recommenders to compare with: the paper's DeepFM, xDeepFM, DCN and AutoInt, and DCNv2 and DIN.

The networks are torch-rechub's (see `networks`); what is here is the data's edge (fields of a sample as
numbers) and a training loop over whole arrays, since the library's own goes through a Python loader
row by row and writes its weights to the working directory.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..data.past import item_statistics, user_mean
from ..data.split import Samples, Split
from ..evaluation.metrics import auc
from ..infra.cache import Cache, default_cache, digest
from ..infra.code import code_of
from ..infra.early_stopping import EarlyStopping
from ..infra.errors import at_least, one_of, within
from ..infra.progress import Progress
from ..infra.reproducible import drawn_on_cpu, reproducible
from ..retrieval.selectors import last
from .trees import TREES, share_of_likes

MODELS = ("DeepFM", "xDeepFM", "DCN", "DCNv2", "AutoInt", "DIN")
BUCKETS = 20
STOP_SAMPLES = 20_000  # validation samples that the epoch is chosen on
TUNING_SAMPLES = 100_000  # training samples that settings are compared on


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
    one_of("model", model, MODELS)
    s = BaselineSettings(**settings)
    for name in ("dimensions", "history", "most", "batch", "most_steps", "epochs", "checks", "patience"):
        at_least(name, getattr(s, name), 1)
    at_least("seed", s.seed, 0)
    within("learning_rate", s.learning_rate, 0, above=True)
    within("decay", s.decay, 0)
    within("dropout", s.dropout, 0, 1)
    parts = [digest(p.position) for p in (split.train, split.valid, split.test)]
    code = [code_of(str(Path(__file__).with_name(name))) for name in ("conventional.py", "networks.py")]
    inputs = dict(step="baseline", code=code, model=model, data=split.data.hash, parts=parts)
    inputs["seen"] = digest(split.train_ratings)
    # not the device: all draws are made on the CPU, so that devices differ in rounding only, as processors do
    made = (cache or default_cache()).arrays(inputs | asdict(s), lambda: _train(model, split, s, device))
    return float(made["valid_auc"]), made["valid"], made["test"]


def tuned(model: str, split: Split, grid: list[dict], seed: int = 0, device: str = "cpu") -> tuple[dict, pd.DataFrame]:
    """The settings of ``grid`` with the best validation AUC, and the AUC of each.

    Compared on at most `TUNING_SAMPLES` of the training samples. Where validation has one class and so no AUC, the
    first of ``grid``.
    """
    # where they are all, the best of these trainings is the one that will be used
    most = TUNING_SAMPLES if len(split.train) > TUNING_SAMPLES else BaselineSettings.most
    aucs = [baseline(model, split, device=device, **choice, most=most, seed=seed)[0] for choice in grid]
    table = pd.DataFrame(grid).assign(valid_auc=aucs)
    return grid[0 if table["valid_auc"].isna().all() else int(table["valid_auc"].argmax())], table


def lightgbm_baseline(split: Split, samples: Samples, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """P(like) by gradient-boosted trees on ids, attributes and the past of user and item, without retrieval.

    Fitted on the training samples, stopped when the AUC of the validation samples has not risen for 30 trees; where
    these have one class, after the first tree.

    Returns:
        float64 [n_samples], and the same of the validation samples. `share_of_likes` of the training samples for
        all, where they are all liked or none is.
    """
    import lightgbm

    if len(set(split.train.liked)) < 2:
        return tuple(np.full(len(part), share_of_likes(split.train.liked)) for part in (samples, split.valid))
    parts = [fields(split, part, 1)[0] for part in (split.train, split.valid, samples)]
    kinds = [n for n in parts[0] if n not in _past(split) and "liked items" not in n]
    tables = [
        np.column_stack([values[n] for n in kinds] + [of(part) for of in _past(split).values()]).astype(np.float64)
        for values, part in zip(parts, (split.train, split.valid, samples), strict=True)
    ]
    train, valid, asked = tables
    model = lightgbm.LGBMClassifier(n_estimators=500, random_state=seed, **TREES).fit(
        train,
        split.train.liked,
        eval_X=valid,
        eval_y=split.valid.liked,
        eval_metric="auc",
        callbacks=[lightgbm.early_stopping(30, verbose=False)],
        categorical_feature=list(range(len(kinds))),
    )
    return model.predict_proba(asked)[:, 1], model.predict_proba(valid)[:, 1]


# --- fields --------------------------------------------------------------------------------------


def fields(split: Split, samples: Samples, history: int) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """A sample as whole numbers: user and item, their attributes, buckets of their past, and the last items.

    Returns:
        Fields, int64 [n_samples] each, and ``liked items`` and ``disliked items``, int64 [n_samples, history]
        (item code + 1; 0 is padding); and how many values each field has.
    """
    data = split.data
    values, sizes = {}, {}

    def add(name: str, column: np.ndarray, size: int) -> None:
        values[name], sizes[name] = column.astype(np.int64), int(size)

    add("user", samples.user, data.n_users)
    add("item", samples.item + 1, data.n_items + 1)  # 0 is padding, as in the bags
    for table, names, code in (
        (data.users, data.user_attributes, samples.user),
        (data.items, data.item_attributes, samples.item),
    ):
        for name in names:
            kinds, distinct = pd.factorize(table[name].astype(str))
            add(name, kinds[code], len(distinct))
    for name, of in _past(split).items():
        edges = np.unique(np.quantile(of(split.train), np.linspace(0, 1, BUCKETS + 1)[1:-1]))
        add(name, np.searchsorted(edges, of(samples)), len(edges) + 1)
    shown = last(samples, history)
    for name, kept in (("liked items", shown.real & shown.liked), ("disliked items", shown.real & ~shown.liked)):
        add(name, np.where(kept, shown.item + 1, 0), data.n_items + 1)
    return values, sizes


def _past(split: Split) -> dict:
    overall = split.data.rating[split.train_ratings].mean(dtype=float)
    return {
        "item's mean rating": lambda s: item_statistics(split, s)[0],
        "item's ratings": lambda s: item_statistics(split, s)[1],
        "user's mean rating": lambda s: user_mean(s, overall),
        "user's ratings": lambda s: s.n_earlier,
    }


# --- training ------------------------------------------------------------------------------------


def _train(name: str, split: Split, s: BaselineSettings, device: str) -> dict[str, np.ndarray]:
    from .networks import network  # a second's import

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
        model = drawn_on_cpu(network(name, sizes, s.dimensions, s.layers, s.dropout)).to(device)
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
    rows = torch.arange(n).split(8 * batch)
    if len(rows[-1]) == 1:  # DCNv2 takes no batch of one sample
        rows = *rows[:-1], rows[-1].repeat(2)
    answers = [model({k: v[r] for k, v in inputs.items()}).cpu().numpy() for r in rows]
    return np.concatenate(answers)[:n].astype(np.float64)
