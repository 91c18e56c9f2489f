"""Joint representation: self-supervised alignment of text and collaborative embeddings (paper, section 2.2.3).

The authors released no code for this step; what stands here follows the paper's description: both
are projected into one space, and a symmetric InfoNCE loss pulls the two views of an item together.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..infra.cache import Cache, default_cache
from ..infra.code import code_of
from ..infra.early_stopping import EarlyStopping
from ..infra.errors import InputError, at_least, within
from ..infra.progress import Progress
from ..infra.reproducible import Dropout, reproducible
from ..retrieval.retrieve import matrix


@dataclass(frozen=True)
class Alignment:
    """Aligned embeddings.

    Attributes:
        ssl: float32 [n_items, d], unit rows: the mean of both projections, or the text's alone
            where an item has no collaborative embedding worth the name.
        epoch, loss, match: the training curve on held-out items, [n_checks]: InfoNCE loss and the share
            of items whose own text is the nearest of all held-out texts to its collaborative projection.
    """

    ssl: np.ndarray
    epoch: np.ndarray
    loss: np.ndarray
    match: np.ndarray


@dataclass(frozen=True)
class AlignmentSettings:
    """Settings of `train_alignment`."""

    dimensions: int = 128
    hidden: int = 256
    temperature: float = 0.1
    epochs: int = 200
    patience: int = 8
    check_every: int = 2
    batch: int = 512
    learning_rate: float = 1e-3
    decay: float = 1e-2
    dropout: float = 0.2
    held_out: float = 0.1
    seed: int = 0

    def check(self) -> None:
        """Raise `InputError` if one of them is out of its range."""
        for name in ("dimensions", "hidden", "patience", "check_every", "batch"):
            at_least(name, getattr(self, name), 1)
        for name in ("epochs", "seed"):
            at_least(name, getattr(self, name), 0)
        for name in ("temperature", "learning_rate"):
            within(name, getattr(self, name), 0, above=True)
        within("decay", self.decay, 0)
        for name in ("dropout", "held_out"):
            within(name, getattr(self, name), 0, 1)


def align(text: np.ndarray, colla: np.ndarray, warm: np.ndarray | None = None, **settings) -> np.ndarray:
    """Aligned embeddings of the items, float32 [n_items, d]; see `train_alignment`."""
    return train_alignment(text, colla, warm, **settings).ssl


def train_alignment(
    text: np.ndarray,
    colla: np.ndarray,
    warm: np.ndarray | None = None,
    cache: Cache | None = None,
    device: str = "cpu",
    **settings,
) -> Alignment:
    """Learn projections f, g that minimise the symmetric InfoNCE loss

    ``-1/2 mean_i [ln softmax_j(f(t_i).g(c_j)/T)_i + ln softmax_j(g(c_i).f(t_j)/T)_i]``.

    Args:
        text: [n_items, d_llm]. colla: [n_items, d].
        warm: bool [n_items], items with a training rating; only these are trained on. The others get
            their text projection: the place where the aligned space thinks such items belong.
        device: where to train; the answer is the same but for rounding.
        settings: fields of `AlignmentSettings`. A tenth of the warm items is held out to stop on.

    Raises:
        InputError: settings out of their range, no matrices with a row an item, or fewer than four warm items.
    """
    s = AlignmentSettings(**settings)
    s.check()
    matrix("text", text), matrix("colla", colla)
    warm = np.ones(len(text), bool) if warm is None else np.asarray(warm, bool)
    if not len(text) == len(colla) == len(warm):
        raise InputError(f"text, colla and warm have {len(text)}, {len(colla)} and {len(warm)} rows; give one an item")
    inputs = dict(step="alignment", code=code_of(__file__), text=text, colla=colla, warm=warm, **asdict(s))
    # not the device: all draws are made on the CPU, so that devices differ in rounding only, as processors do
    return Alignment(**(cache or default_cache()).arrays(inputs, lambda: _train(text, colla, warm, s, device)))


def info_nce(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    """Symmetric InfoNCE of two views with unit rows, [n, d] each; row i of one belongs to row i of the other."""
    logits = a @ b.T / temperature  # [n, n]
    own = torch.arange(len(a), device=a.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


class _Projection(torch.nn.Sequential):
    """Standardise, one hidden layer, unit rows."""

    def __init__(self, d: int, s: AlignmentSettings):
        super().__init__(
            torch.nn.Linear(d, s.hidden),
            torch.nn.GELU(),
            Dropout(s.dropout),
            torch.nn.Linear(s.hidden, s.dimensions),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(super().forward(x), dim=1)


def _standardised(x: np.ndarray, rows: np.ndarray) -> torch.Tensor:
    mean, spread = x[rows].mean(0), x[rows].std(0)
    return torch.as_tensor((x - mean) / np.maximum(spread, 1e-6), dtype=torch.float32)


def _train(
    text: np.ndarray, colla: np.ndarray, warm: np.ndarray, s: AlignmentSettings, device: str
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(s.seed)
    rows = rng.permutation(np.flatnonzero(warm))
    held_out, train = np.split(rows, [max(2, int(len(rows) * s.held_out))])
    if len(train) < 2:
        raise InputError(f"{len(rows)} items with a training rating are too few to align")
    t, c = (_standardised(x, train).to(device) for x in (text, colla))
    with reproducible(s.seed):
        f, g = (_Projection(x.shape[1], s).to(device) for x in (t, c))
        optimizer = torch.optim.AdamW([*f.parameters(), *g.parameters()], lr=s.learning_rate, weight_decay=s.decay)
        curve, stopping = [], EarlyStopping(s.patience)
        with Progress("alignment", s.epochs, "epoch") as progress:
            for epoch in range(s.epochs + 1):
                if epoch % s.check_every == 0:
                    f.eval(), g.eval()
                    with torch.no_grad():
                        ft, gc = f(t), g(c)
                        loss = info_nce(ft[held_out], gc[held_out], s.temperature).item()
                        nearest = (gc[held_out] @ ft[held_out].T).argmax(1).cpu().numpy()
                    curve.append((epoch, loss, (nearest == np.arange(len(held_out))).mean()))
                    stopping.check(-loss, (ft, gc))
                    if stopping.over:
                        break
                    f.train(), g.train()
                order = rng.permutation(train)
                for batch in np.array_split(order, -(-len(order) // s.batch)):
                    optimizer.zero_grad()
                    info_nce(f(t[batch]), g(c[batch]), s.temperature).backward()
                    optimizer.step()
                progress.add()
    ft, gc = (x.cpu().numpy() for x in stopping.best)
    both = np.where(warm[:, None], ft + gc, ft)
    ssl = both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-12)
    epoch, loss, match = np.array(curve).T
    return dict(ssl=ssl.astype(np.float32), epoch=epoch.astype(np.int64), loss=loss, match=match)
