"""Joint representation: self-supervised alignment of text with collaborative embeddings (paper, section 2.2.3).

The authors released no code for this step. By default it is the paper's: a two-layer MLP maps the text alone into the
collaborative space. ``sides="both"`` is ours: both sides are projected into a space of their own.
"""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

from ..infra.cache import Cache, default_cache
from ..infra.code import code_of
from ..infra.early_stopping import EarlyStopping
from ..infra.errors import InputError, at_least, one_of, within
from ..infra.products import product, with_onednn
from ..infra.progress import Progress
from ..infra.reproducible import Dropout, reproducible
from ..retrieval.retrieve import matrix

SIDES = ("text", "both")
STOPS = ("epochs", "held out")
BLOCK, ON_GPU = 2**18, 2**26  # cosines that are computed at a time
MOST_LOGIT = 40  # cosine over temperature, whose exponential and its reciprocal float32 sums over any number of items
TWO_SIDED = dict(sides="both", stop="held out", temperature=0.1, batch=512, dropout=0.2)  # ours


@dataclass(frozen=True)
class Alignment:
    """Aligned embeddings.

    Attributes:
        ssl: float32 [n_items, d], unit rows, kept (and so rounded) in half precision: ``MLP(e_text)``. With
            ``sides="both"`` the mean of both projections, or the text's alone where an item has no collaborative
            embedding worth the name.
        epoch, loss, match: the curve of a training without a tenth of the items, on these, [n_checks]: the loss in
            nats, and the share of them whose own text is the nearest of all held-out texts to their collaborative
            embedding. It ends some checks after the lowest loss.
    """

    ssl: np.ndarray
    epoch: np.ndarray
    loss: np.ndarray
    match: np.ndarray

    @property
    def best(self) -> int:
        """The check of the lowest held-out loss."""
        return _lowest(self.loss)


@dataclass(frozen=True)
class AlignmentSettings:
    """Settings of `train_alignment`; the paper states ``sides``, two layers, and no temperature.

    Attributes:
        sides: what an MLP maps: the ``text`` alone into the collaborative space (paper), or ``both`` (ours).
        hidden: width of the MLP's hidden layer.
        temperature: 1 is the paper's ``exp(cos)``.
        batch: items in a sum, at most: all items of the graph (paper), unless there are more.
        epochs: of the training on all items, unless ``stop`` says otherwise.
        stop: the paper names no stopping rule. ``epochs``: after so many epochs, when the loss on the items trained on
            has settled; ``held out``: at the lowest loss on held-out items. On validation samples the first retrieves
            better on all data sets: what is retrieved are items that were trained on.
        dimensions: of the common space of ``both``; the text alone goes into the collaborative one.
    """

    sides: str = "text"
    stop: str = "epochs"
    hidden: int = 256
    temperature: float = 1.0
    dimensions: int = 64
    epochs: int = 200
    patience: int = 8
    check_every: int = 2
    batch: int = 8192
    learning_rate: float = 1e-3
    decay: float = 1e-2
    dropout: float = 0.0
    held_out: float = 0.1
    seed: int = 0

    def check(self) -> None:
        """Raise `InputError` if one of them is out of its range."""
        one_of("sides", self.sides, SIDES)
        one_of("stop", self.stop, STOPS)
        for name in ("dimensions", "hidden", "patience", "check_every"):
            at_least(name, getattr(self, name), 1)
        at_least("batch", self.batch, 2)
        for name in ("epochs", "seed"):
            at_least(name, getattr(self, name), 0)
        for name in ("temperature", "learning_rate"):
            within(name, getattr(self, name), 0, above=True)
        within("decay", self.decay, 0)
        for name in ("dropout", "held_out"):
            within(name, getattr(self, name), 0, 1)


def align(
    text: np.ndarray,
    colla: np.ndarray,
    warm: np.ndarray | None = None,
    cache: Cache | None = None,
    device: str = "cpu",
    **settings,
) -> np.ndarray:
    r"""Learn the MLP that maps an item's text to where its collaborative embedding lies (paper, section 2.2.3).

    With :math:`f(a, b) = \exp(\cos(\mathrm{MLP}(a), b))` and v over the items it minimises

    .. math:: -E_i \left[ \ln \frac{f(text_i, colla_i)}{\sum_v f(text_i, colla_v)}
              + \ln \frac{f(text_i, colla_i)}{\sum_v f(text_v, colla_i)} \right]

    Args:
        text: [n_items, d_llm]. colla: [n_items, d].
        warm: bool [n_items], the items with a training rating, among them those with dislikes only, which have
            no edge in the graph; only these are trained on and stand in the sums.
        device: where to train; the answer is the same but for rounding.
        settings: fields of `AlignmentSettings`.

    Returns:
        float32 [n_items, d], unit rows: what ``Alignment.ssl`` is; from the cache if it is there.

    Raises:
        InputError: settings out of their range, no matrices with a row an item, or fewer than four warm items.
    """
    return _Training.of(text, colla, warm, cache, device, settings).ssl()


def train_alignment(
    text: np.ndarray,
    colla: np.ndarray,
    warm: np.ndarray | None = None,
    cache: Cache | None = None,
    device: str = "cpu",
    **settings,
) -> Alignment:
    """`align`, and how well it does on items that it has not seen.

    It is trained twice: without a tenth of the items, which shows whether texts that it has not seen lead to where
    their items lie; then on all items, which gives the embeddings. Arguments and errors are those of `align`.
    """
    training = _Training.of(text, colla, warm, cache, device, settings)
    return Alignment(**training.curve(), ssl=training.ssl())


def alignment_loss(a: torch.Tensor, b: torch.Tensor, temperature: float = 1.0, rows=None) -> torch.Tensor:
    """The symmetric loss of two views with unit rows, [n, d] each; row i of one belongs to row i of the other.

    Args:
        rows: of the items whose loss it is; all others stand in the sums only. All by default.
    """
    if rows is None and 1 / temperature < MOST_LOGIT:
        return _BothDirections.apply(a, b, temperature)
    own = torch.arange(len(a), device=a.device) if rows is None else torch.as_tensor(rows, device=a.device)
    return sum(F.cross_entropy(one[own] @ other.T / temperature, own) for one, other in ((a, b), (b, a)))


class _BothDirections(torch.autograd.Function):
    """`alignment_loss` over all items, a block of rows at a time: no matrix of n x n cosines is held.

    No maximum is subtracted before an exponential: cosines over a temperature have a bound.
    """

    @staticmethod
    def forward(ctx, a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
        rows, columns = a.new_empty(len(a)), a.new_zeros(len(b))
        for block in _blocks(a, b):
            f = _exponentials(a[block], b, temperature)
            rows[block] = f.sum(1)
            columns += f.sum(0)
        ctx.temperature = temperature
        ctx.save_for_backward(a, b, rows, columns)
        return (rows.log() + columns.log() - 2 / temperature * (a * b).sum(1)).mean()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        a, b, rows, columns = ctx.saved_tensors
        both = torch.cat([b, b / columns[:, None]], 1)
        of_a = torch.empty_like(a) if ctx.needs_input_grad[0] else None
        of_b = torch.zeros_like(b) if ctx.needs_input_grad[1] else None
        for block in _blocks(a, b):
            f = _exponentials(a[block], b, ctx.temperature)
            if of_a is not None:  # the softmaxes of rows and of columns
                by_rows, by_columns = product(f, both).chunk(2, 1)
                of_a[block] = by_rows / rows[block, None] + by_columns
            if of_b is not None:
                of_b += f.T @ (a[block] / rows[block, None]) + f.T @ a[block] / columns[:, None]
        scale = gradient / len(a) / ctx.temperature
        return *(None if x is None else (x - 2 * other) * scale for x, other in ((of_a, b), (of_b, a))), None


def _blocks(a: torch.Tensor, b: torch.Tensor) -> list[slice]:
    """Rows of ``a`` whose cosines to all of ``b`` a processor keeps at hand."""
    few = max(1, (BLOCK if a.device.type == "cpu" else ON_GPU) // len(b))
    return [slice(start, start + few) for start in range(0, len(a), few)]


def _exponentials(a: torch.Tensor, b: torch.Tensor, temperature: float) -> torch.Tensor:
    """f(text_i, colla_v), [len(a), len(b)]."""
    return product(a / temperature, b.T).exp_()


def _lowest(loss: np.ndarray) -> int:
    """Where a curve is lowest, whatever of it diverged."""
    return int(np.where(np.isnan(loss), np.inf, loss).argmin())


@dataclass(frozen=True, eq=False)
class _Training:
    """The two trainings of one alignment, each out of the cache if it is there."""

    text: np.ndarray
    colla: np.ndarray
    warm: np.ndarray
    s: AlignmentSettings
    cache: Cache
    device: str

    @classmethod
    def of(cls, text, colla, warm, cache: Cache | None, device: str, settings: dict) -> "_Training":
        s = AlignmentSettings(**settings)
        s.check()
        matrix("text", text), matrix("colla", colla)
        warm = np.ones(len(text), bool) if warm is None else np.asarray(warm, bool)
        if not len(text) == len(colla) == len(warm):
            raise InputError(
                f"text, colla and warm have {len(text)}, {len(colla)} and {len(warm)} rows; give one an item"
            )
        return cls(text, colla, warm, s, cache or default_cache(), device)

    @property
    def _inputs(self) -> dict:
        # not the device: all draws are made on the CPU, so that devices differ in rounding only, as processors do
        return dict(code=code_of(__file__), text=self.text, colla=self.colla, warm=self.warm) | asdict(self.s)

    def curve(self) -> dict[str, np.ndarray]:
        """Of the training with a tenth of the items held out: epoch, loss and match of `Alignment`."""
        of = {name: value for name, value in self._inputs.items() if name != "stop"}  # which is of the other training
        return self.cache.arrays(of | dict(step="held-out"), self._curve)

    def ssl(self) -> np.ndarray:
        """Of the training on all items."""
        made = self.cache.arrays(self._inputs | dict(step="alignment"), self._embeddings)
        return made["ssl"].astype(np.float32)

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """The warm items that are held out, and the others."""
        rows = np.random.default_rng(self.s.seed).permutation(np.flatnonzero(self.warm))
        held_out, train = np.split(rows, [max(2, int(len(rows) * self.s.held_out))])
        if len(train) < 2:
            raise InputError(f"{len(rows)} items with a training rating are too few to align")
        return held_out, train

    def _curve(self) -> dict[str, np.ndarray]:
        s, (held_out, train) = self.s, self._rows
        rows, curve, stopping = np.concatenate(self._rows), [], EarlyStopping(s.patience)

        def check(epoch: int, f: torch.Tensor, g: torch.Tensor) -> bool:
            loss = _loss_of(f[rows], g[rows], s, len(held_out))
            nearest = (g[held_out] @ f[held_out].T).argmax(1).cpu().numpy()
            curve.append((epoch, loss, (nearest == np.arange(len(held_out))).mean()))
            stopping.check(-loss, epoch)
            return stopping.over

        _train(self.text, self.colla, train, s, self.device, s.epochs, check)
        epoch, loss, match = np.array(curve).T
        return dict(epoch=epoch.astype(np.int64), loss=loss, match=match)

    def _embeddings(self) -> dict[str, np.ndarray]:
        s, rows = self.s, np.sort(np.concatenate(self._rows))
        epochs = s.epochs
        if s.stop == "held out":
            curve = self.curve()
            epochs = int(curve["epoch"][_lowest(curve["loss"])])
        f, g = (x.cpu().numpy() for x in _train(self.text, self.colla, rows, s, self.device, epochs))
        if s.sides == "both":
            f = np.where(self.warm[:, None], f + g, f)
        return dict(ssl=(f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)).astype(np.float16))


def _loss_of(f: torch.Tensor, g: torch.Tensor, s: AlignmentSettings, n: int) -> float:
    """Loss of the first ``n`` items, with all in the sums as far as a batch holds them."""
    few = slice(max(n, s.batch))
    return alignment_loss(f[few], g[few], s.temperature, np.arange(n)).item()


class _MLP(torch.nn.Sequential):
    """Two layers; unit rows."""

    def __init__(self, d: int, out: int, s: AlignmentSettings):
        super().__init__(
            torch.nn.Linear(d, s.hidden), torch.nn.GELU(), Dropout(s.dropout), torch.nn.Linear(s.hidden, out)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(super().forward(x), dim=1)


class _Same(torch.nn.Module):
    """The collaborative embeddings as they are; unit rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(x, dim=1)


def _standardised(x: np.ndarray, rows: np.ndarray) -> torch.Tensor:
    mean, spread = x[rows].mean(0), x[rows].std(0)
    return torch.as_tensor((x - mean) / np.maximum(spread, 1e-6), dtype=torch.float32)


def _train(
    text: np.ndarray, colla: np.ndarray, rows: np.ndarray, s: AlignmentSettings, device: str, epochs: int, check=None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Train on the items at ``rows``; both sides of all items after the last epoch, [n_items, d] each.

    Args:
        check: ``check(epoch, f, g)``, asked every few epochs, says whether that is enough.
    """
    rng, text_only = np.random.default_rng(s.seed), s.sides == "text"
    t = _standardised(text, rows).to(device)
    c = (
        torch.as_tensor(colla, dtype=torch.float32, device=device)
        if text_only
        else _standardised(colla, rows).to(device)
    )
    with reproducible(s.seed):
        f = with_onednn(_MLP(t.shape[1], c.shape[1] if text_only else s.dimensions, s).to(device))
        g = _Same() if text_only else with_onednn(_MLP(c.shape[1], s.dimensions, s).to(device))
        optimizer = torch.optim.AdamW([*f.parameters(), *g.parameters()], lr=s.learning_rate, weight_decay=s.decay)

        def both() -> tuple[torch.Tensor, torch.Tensor]:
            f.eval(), g.eval()
            with torch.no_grad():
                return f(t), g(c)

        with Progress("alignment", epochs, "epoch") as progress:
            for epoch in range(epochs + 1):
                if check is not None and epoch % s.check_every == 0 and check(epoch, *both()):
                    break
                if epoch == epochs:
                    break
                f.train(), g.train()
                for batch in np.array_split(rng.permutation(rows), -(-len(rows) // s.batch)):
                    optimizer.zero_grad()
                    alignment_loss(f(t[batch]), g(c[batch]), s.temperature).backward()
                    optimizer.step()
                progress.add()
        return both()
