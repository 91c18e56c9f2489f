"""Collaborative embeddings: LightGCN (He et al., SIGIR 2020) trained with BPR on the training period."""

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F

from ..data.split import Samples, Split
from ..evaluation.metrics import auc, recalls
from ..infra.cache import Cache, default_cache, digest
from ..infra.code import code_of
from ..infra.early_stopping import EarlyStopping
from ..infra.errors import InputError, at_least, one_of, within
from ..infra.progress import Progress
from ..infra.reproducible import reproducible
from ..readers.vote import vote
from ..retrieval.retrieve import retrieve

STOP_SAMPLES = 10_000  # validation samples that the epoch is chosen on
EDGES = ("likes", "all")
BLOCK = 2**19  # numbers of a block that a processor keeps at hand
TABLE = 2**27  # pairs of user and item, at most, of which a table says which were rated
MOST_LAYERS = 100  # each costs a propagation a step, and after a few all embeddings of a graph are the same


@dataclass(frozen=True)
class LightGCN:
    """A trained graph.

    Attributes:
        items: float32 [n_items, d], kept (and so rounded) in half precision, like the LLM's embeddings.
        epoch, loss, recall, agreement: the training curve, [n_checks]: mean BPR loss since the last
            check; recall@20 of the validation likes of users that the graph knows; AUC of the vote
            of the most similar history items on validation samples, by which the epoch is chosen. Recall is NaN
            where the graph knows no validation user with a like, the AUC where validation has one class.
    """

    items: np.ndarray
    epoch: np.ndarray
    loss: np.ndarray
    recall: np.ndarray
    agreement: np.ndarray

    @property
    def best(self) -> int:
        """The check whose embeddings these are: the first of the highest AUC; the last, where there is no AUC."""
        return len(self.epoch) - 1 if np.isnan(self.agreement).all() else int(np.nanargmax(self.agreement))


@dataclass(frozen=True)
class LightGCNSettings:
    """Settings of `train_lightgcn`.

    Attributes:
        edges: which training ratings are edges, ``likes`` or ``all``.
        batch: edges of a step; more where an epoch would have over ``most_steps`` steps, since each
            step costs a propagation through the whole graph, whatever its batch.
    """

    dimensions: int = 128
    layers: int = 3
    edges: str = "likes"
    epochs: int = 400
    patience: int = 8
    check_every: int = 10
    batch: int = 8192
    most_steps: int = 6
    learning_rate: float = 5e-3
    decay: float = 1e-2
    stop_k: int = 10
    seed: int = 0

    def check(self) -> None:
        """Raise `InputError` if one of them is out of its range."""
        for name in ("dimensions", "epochs", "patience", "check_every", "batch", "most_steps", "stop_k"):
            at_least(name, getattr(self, name), 1)
        for name in ("layers", "seed"):
            at_least(name, getattr(self, name), 0)
        within("layers", self.layers, 0, MOST_LAYERS)
        within("learning_rate", self.learning_rate, 0, above=True)
        within("decay", self.decay, 0)
        one_of("edges", self.edges, EDGES)


def lightgcn(split: Split, **settings) -> np.ndarray:
    """Collaborative embeddings of the items, float32 [n_items, d] (paper, section 2.2.2); see `train_lightgcn`."""
    return train_lightgcn(split, **settings).items


def train_lightgcn(split: Split, cache: Cache | None = None, device: str = "cpu", **settings) -> LightGCN:
    """Train LightGCN on the ratings that the split lets the graph see.

    Loss (BPR): ``-ln sigmoid(u.i - u.j)`` for an edge (u, i) and an item j that u has not rated,
    plus L2 decay on the first layer. Stops when the vote's AUC has not risen for ``patience`` checks, and
    returns the best epoch's embeddings; where validation has one class and so no AUC, the last epoch's. An answer
    from the cache if there is one.

    Args:
        device: where to train; the answer is the same but for rounding.
        settings: fields of `LightGCNSettings`.

    Raises:
        InputError: settings out of their range, or a graph without an edge.
    """
    s = LightGCNSettings(**settings)
    if split.protocol.all_ratings_are_edges:
        s = replace(s, edges="all")
    s.check()
    inputs = dict(
        step="lightgcn", code=code_of(__file__), data=split.data.hash, seen=digest(split.graph_ratings), **asdict(s)
    )
    inputs |= dict(chosen_on=digest(split.chosen_on.position), recalled=digest(split.valid.position))
    # not the device: all draws are made on the CPU, so that devices differ in rounding only, as processors do
    made = (cache or default_cache()).arrays(inputs, lambda: _train(split, s, device))
    return LightGCN(**made | dict(items=made["items"].astype(np.float32)))


def propagate(adjacency: torch.Tensor, first: torch.Tensor, layers: int) -> torch.Tensor:
    """Mean of the layers ``A^k E`` for k = 0 … layers (LightGCN, eq. 8 with equal weights).

    Args:
        adjacency: sparse [n, n], symmetric, see `normalised_adjacency`. first: E, [n, d].
    """
    total = layer = first
    for _ in range(layers):
        layer = _Symmetric.apply(adjacency, layer)
        total = total + layer
    return total / (layers + 1)


def bpr(
    adjacency: torch.Tensor, first: torch.Tensor, nodes: list[torch.Tensor], s: LightGCNSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch's BPR loss, and the L2 of the first layer's rows, each as often as it stands in the batch.

    Args:
        nodes: three times [batch], rows of ``first``: users, items of their edges, items that they have not rated.
    """
    out = propagate(adjacency, first, s.layers)
    times = torch.bincount(torch.cat(nodes), minlength=len(first))  # that a node stands in the batch
    l2 = (times * first.square().sum(1)).sum() / 2 / len(nodes[0])
    return F.softplus(_Margins.apply(out, *nodes)).mean(), l2


class _Symmetric(torch.autograd.Function):
    """``A x`` for a symmetric A: its gradient is ``A g``, where torch would transpose and sort A at every step."""

    @staticmethod
    def forward(ctx, adjacency: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.adjacency = adjacency
        return _product(adjacency, x)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        return None, _product(ctx.adjacency, gradient)


class _Margins(torch.autograd.Function):
    """``u.j - u.i`` of each edge, [batch]: its gradient is a product with a sparse matrix of four entries an edge.

    Nothing of the size [batch, d] is made, which would be written to memory and read again for every term.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor, u: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, u, i, j)
        few = max(1, BLOCK // x.shape[1]) if x.device.type == "cpu" else len(u)
        blocks = zip(u.split(few), i.split(few), j.split(few), strict=True)
        return torch.cat([(F.embedding(u, x) * (F.embedding(j, x) - F.embedding(i, x))).sum(1) for u, i, j in blocks])

    @staticmethod
    def backward(ctx, g: torch.Tensor):
        x, u, i, j = ctx.saved_tensors
        row, column, weight = torch.cat([u, u, i, j]), torch.cat([j, i, u, u]), torch.cat([g, -g, -g, g])
        order = torch.argsort(row.int(), stable=True)
        start = torch.searchsorted(row[order], torch.arange(len(x) + 1, device=x.device))
        return _product(_csr(start, column[order], weight[order], len(x)), x), None, None, None


def _csr(start: torch.Tensor, column: torch.Tensor, weight: torch.Tensor, n: int) -> torch.Tensor:
    """A sparse matrix [n, n]; its numbers of columns in 32 bits, which are read faster."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # "CSR support is in beta"
        return torch.sparse_csr_tensor(start.int(), column.int(), weight, (n, n))


def _product(a: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """``A x`` of a sparse A in CSR: on a CPU as weighted sums of rows, for which torch has the faster code."""
    if x.device.type == "cpu":
        return F.embedding_bag(a.col_indices(), x, a.crow_indices()[:-1], mode="sum", per_sample_weights=a.values())
    return a @ x


def normalised_adjacency(user: np.ndarray, item: np.ndarray, n_users: int, n_items: int) -> torch.Tensor:
    """``D^-1/2 A D^-1/2`` of the bipartite graph, sparse CSR [n_users + n_items] squared."""
    row = np.concatenate([user, item + n_users])
    column = np.concatenate([item + n_users, user])
    n = n_users + n_items
    degree = np.bincount(row, minlength=n)
    weight = 1 / np.sqrt(degree[row] * degree[column])
    order = np.lexsort((column, row))
    start = np.concatenate([[0], np.cumsum(degree)])
    weights = torch.as_tensor(weight[order], dtype=torch.float32)
    return _csr(torch.as_tensor(start), torch.as_tensor(column[order]), weights, n)


def recall_at(users: np.ndarray, items: np.ndarray, held_out: Samples, seen: np.ndarray, k: int = 20) -> float:
    """Mean recall@k of the held-out likes among all items the user has not rated in ``seen``.

    Args:
        users, items: embeddings; scored by inner product.
        seen: positions of ratings whose items are left out; users without any are passed over.
    """
    data = held_out.data
    likes = held_out.liked & np.isin(held_out.user, data.user[seen])
    who = np.unique(held_out.user[likes])
    if not len(who):
        return float("nan")
    total = 0.0
    for block in np.array_split(who, len(who) * data.n_items // 20_000_000 + 1):
        score = users[block] @ items.T
        rated = seen[np.isin(data.user[seen], block)]
        score[np.searchsorted(block, data.user[rated]), data.item[rated]] = -np.inf
        most = min(k, data.n_items)
        top = np.argpartition(-score, most - 1, axis=1)[:, :most]
        relevant = np.zeros(score.shape, bool)
        mine = likes & np.isin(held_out.user, block)
        relevant[np.searchsorted(block, held_out.user[mine]), held_out.item[mine]] = True
        total += recalls(top, relevant).sum()
    return total / len(who)


def _train(split: Split, s: LightGCNSettings, device: str) -> dict[str, np.ndarray]:
    data = split.data
    seen = split.graph_ratings
    edges = seen[data.liked[seen]] if s.edges == "likes" else seen
    if not len(edges):
        raise InputError(
            f"{data.name}: no rating of the training period is above {data.like_above:g}, so the graph of likes has no "
            f"edge; set a lower like_above, or take edges 'all'"
        )
    user, item = data.user[edges].astype(np.int64), data.item[edges].astype(np.int64)
    adjacency = normalised_adjacency(user, item, data.n_users, data.n_items).to(device)
    rated = _among(data.user[seen].astype(np.int64) * data.n_items + data.item[seen], data.n_users * data.n_items)
    rng = np.random.default_rng(s.seed)
    drawn = rng.normal(0, 0.1, (data.n_users + data.n_items, s.dimensions)).astype(np.float32)
    first = torch.nn.Parameter(torch.as_tensor(drawn).to(device))
    optimizer = torch.optim.Adam([first], lr=s.learning_rate)
    judged = split.chosen_on.take(split.chosen_on.draw(STOP_SAMPLES, s.seed))
    curve, losses, stopping = [], [], EarlyStopping(s.patience)
    with reproducible(s.seed), Progress("LightGCN", s.epochs, "epoch") as progress:
        for epoch in range(1, s.epochs + 1):
            order = rng.permutation(len(edges))
            for rows in np.array_split(order, min(s.most_steps, -(-len(order) // s.batch))):
                rows = np.sort(rows)  # edges of a user, and what memory holds of them, stand together
                negative = _negatives(rng, user[rows], rated, data.n_items)
                nodes = (user[rows], item[rows] + data.n_users, negative + data.n_users)
                loss, l2 = bpr(adjacency, first, [torch.as_tensor(x).to(device) for x in nodes], s)
                optimizer.zero_grad()
                (loss + s.decay * l2).backward()
                optimizer.step()
                losses.append(loss.item())
            progress.add()
            if epoch % s.check_every and epoch < s.epochs:
                continue
            with torch.no_grad():
                out = propagate(adjacency, first, s.layers).cpu().numpy()
            users, items = out[: data.n_users], out[data.n_users :]
            agreement = auc(judged.liked, vote(retrieve(judged, items, s.stop_k)))
            curve.append((epoch, np.mean(losses), recall_at(users, items, split.valid, seen), agreement))
            losses.clear()
            stopping.check(agreement, items)
            if stopping.over:
                break
    epoch, loss, recall, agreement = np.array(curve).T
    return dict(
        items=stopping.best.astype(np.float16), epoch=epoch.astype(int), loss=loss, recall=recall, agreement=agreement
    )


def _among(pairs: np.ndarray, n: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that says of each of some pairs whether it is one of ``pairs``; all are numbers below ``n``."""
    if n <= TABLE:
        table = np.zeros(n, bool)
        table[pairs] = True
        return table.__getitem__
    pairs = np.sort(pairs)

    def among(some: np.ndarray) -> np.ndarray:
        order = np.argsort(some)  # neighbours are searched one after the other, in what the processor has at hand
        place = np.empty_like(order)
        place[order] = np.searchsorted(pairs, some[order])
        return pairs[np.minimum(place, len(pairs) - 1)] == some

    return among


def _negatives(rng: np.random.Generator, user: np.ndarray, rated: Callable, n_items: int) -> np.ndarray:
    """For each user an item drawn from those the user has not rated; a user of everything gets any item.

    Args:
        rated: says of ``user * n_items + item`` whether the user has rated the item, see `_among`.
    """
    negative = rng.integers(0, n_items, len(user))
    drawn = np.arange(len(user))
    for _ in range(20):
        drawn = drawn[rated(user[drawn] * n_items + negative[drawn])]
        if not len(drawn):
            break
        negative[drawn] = rng.integers(0, n_items, len(drawn))
    return negative
