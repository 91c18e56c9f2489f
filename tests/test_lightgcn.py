import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.data.split import Samples
from rallrec.infra.cache import Cache
from rallrec.representations.lightgcn import _negatives, normalised_adjacency, propagate, recall_at, train_lightgcn

SMALL = dict(dimensions=8, layers=2, epochs=30)


def test_propagation_equals_torch_geometric():
    from torch_geometric.nn import LightGCN
    from torch_geometric.utils import to_undirected

    rng = np.random.default_rng(0)
    pairs = np.unique(np.stack([rng.integers(0, 6, 20), rng.integers(0, 9, 20)]), axis=1)
    user, item = pairs
    reference = LightGCN(6 + 9, embedding_dim=4, num_layers=3)
    edges = to_undirected(torch.as_tensor(np.stack([user, item + 6])))
    expected = reference.get_embedding(edges)
    mine = propagate(normalised_adjacency(user, item, 6, 9), reference.embedding.weight, 3)
    assert torch.allclose(mine, expected, atol=1e-6)


def test_recall_by_hand(tiny_split):
    """A user whose later likes all score highest has recall 1; lowest, 0."""
    data, valid = tiny_split.data, tiny_split.valid
    seen = tiny_split.train_ratings
    users = np.eye(data.n_users, dtype=np.float32)
    items = np.zeros((data.n_items, data.n_users), np.float32)
    items[valid.item[valid.liked], valid.user[valid.liked]] = 1
    assert recall_at(users, items, valid, seen) == 1
    assert recall_at(users, -items, valid, seen, k=5) == 0


def test_negatives_are_not_rated():
    user = np.repeat(np.arange(4), 500)
    rated = np.array([0 * 6 + 1, 0 * 6 + 2, 1 * 6 + 0, *range(3 * 6, 3 * 6 + 6)])  # user 3 rated everything
    negative = _negatives(np.random.default_rng(0), user, np.sort(rated), 6)
    assert not np.isin(user[user < 3] * 6 + negative[user < 3], rated).any()
    assert set(negative[user == 0]) == {0, 3, 4, 5}


def test_same_seed_same_bytes(tiny_split, tmp_path):
    a = train_lightgcn(tiny_split, Cache(tmp_path / "a"), **SMALL)
    b = train_lightgcn(tiny_split, Cache(tmp_path / "b"), **SMALL)
    c = train_lightgcn(tiny_split, Cache(tmp_path / "c"), **SMALL, seed=1)
    assert a.items.tobytes() == b.items.tobytes()
    assert a.items.tobytes() != c.items.tobytes()


def test_learns_the_planted_tastes(tiny_split, cache):
    graph = train_lightgcn(tiny_split, cache, **SMALL)
    genre = tiny_split.data.items.genres.to_numpy()
    unit = graph.items / np.linalg.norm(graph.items, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = genre[:, None] == genre[None, :]
    other = ~np.eye(len(genre), dtype=bool)
    assert cosine[same & other].mean() > cosine[~same].mean() + 0.1
    assert graph.loss[-1] < graph.loss[0]
    assert graph.items.shape == (tiny_split.data.n_items, 8)


def test_does_not_see_validation_or_test(tiny, tiny_split, tmp_path):
    """Turning every held-out label around changes no embedding, as long as the epoch is not chosen by it."""
    from dataclasses import replace

    rating = tiny.rating.copy()
    rating[tiny_split.test.position] = 6 - rating[tiny_split.test.position]
    other = replace(tiny, rating=rating)
    moved = replace(
        tiny_split,
        data=other,
        **{part: Samples(other, getattr(tiny_split, part).position) for part in ("train", "valid", "test")},
    )
    a = train_lightgcn(tiny_split, Cache(tmp_path / "a"), **SMALL)
    b = train_lightgcn(moved, Cache(tmp_path / "b"), **SMALL)
    assert (a.items == b.items).all()


def test_unknown_edges(tiny_split, cache):
    with pytest.raises(rr.InputError, match="'some'; it must be one of: likes, all"):
        train_lightgcn(tiny_split, cache, edges="some")
