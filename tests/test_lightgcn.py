from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.data.split import Samples
from rallrec.infra.cache import Cache
from rallrec.representations import lightgcn
from rallrec.representations.lightgcn import (
    LightGCN,
    LightGCNSettings,
    _among,
    _negatives,
    bpr,
    normalised_adjacency,
    propagate,
    recall_at,
    train_lightgcn,
)

from .elsewhere import Elsewhere

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


def test_loss_by_hand():
    """A batch of two edges of the same user; the user's row decays twice, and a row in no place of the batch not."""
    adjacency = normalised_adjacency(np.array([0, 0, 1]), np.array([0, 1, 2]), 2, 4)
    first = torch.as_tensor(np.random.default_rng(0).normal(size=(6, 3)))
    users, items, others = nodes = [torch.as_tensor(x) for x in ([0, 0], [2, 3], [4, 2])]
    loss, l2 = bpr(adjacency.double(), first, nodes, LightGCNSettings(layers=2))
    out = propagate(adjacency.double(), first, 2).numpy()
    margin = [out[u] @ out[i] - out[u] @ out[j] for u, i, j in zip(users, items, others, strict=True)]
    assert loss.item() == pytest.approx(np.mean([np.log1p(np.exp(-m)) for m in margin]))
    squares = (first**2).sum(1).numpy()
    assert l2.item() == pytest.approx((2 * squares[0] + 2 * squares[2] + squares[3] + squares[4]) / 2 / 2)


def test_recall_by_hand(tiny_split):
    """A user whose later likes all score highest has recall 1; lowest, 0."""
    data, valid = tiny_split.data, tiny_split.valid
    seen = tiny_split.train_ratings
    users = np.eye(data.n_users, dtype=np.float32)
    items = np.zeros((data.n_items, data.n_users), np.float32)
    items[valid.item[valid.liked], valid.user[valid.liked]] = 1
    assert recall_at(users, items, valid, seen) == 1
    assert recall_at(users, -items, valid, seen, k=5) == 0


def test_negatives_are_not_rated(monkeypatch):
    """Whether a table says what was rated, or, where one would be too large, a search."""
    user, drawn = np.repeat(np.arange(4), 500), []
    rated = np.array([0 * 6 + 2, 0 * 6 + 1, 1 * 6 + 0, *range(3 * 6, 3 * 6 + 6)])  # user 3 rated everything
    for most in (24, 23):
        monkeypatch.setattr(lightgcn, "TABLE", most)
        negative = _negatives(np.random.default_rng(0), user, _among(rated, 24), 6)
        assert not np.isin(user[user < 3] * 6 + negative[user < 3], rated).any()
        assert set(negative[user == 0]) == {0, 3, 4, 5}
        drawn.append(negative)
    assert (drawn[0] == drawn[1]).all()


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


def changed(split, positions):
    """The same split of data in which the ratings at ``positions`` are of other items, likes and dislikes swapped."""
    data = split.data
    item, rating = data.item.copy(), data.rating.copy()
    item[positions] = (item[positions] + 1) % data.n_items
    rating[positions] = 6 - rating[positions] + (rating[positions] == 3)
    other = replace(data, item=item, rating=rating)
    assert (other.liked != data.liked)[positions].all()
    parts = {part: Samples(other, getattr(split, part).position) for part in ("train", "valid", "test", "chosen_on")}
    return replace(split, data=other, **parts)


def held_out(split):
    """Positions of all ratings after the training period, whether they are samples or too early in a user's life."""
    return np.setdiff1d(np.arange(split.data.n_ratings), split.train_ratings)


ONE_CHECK = SMALL | dict(check_every=SMALL["epochs"])  # there is but one epoch to choose


def test_does_not_see_validation_or_test(tiny_split, tmp_path):
    """Other items and ratings in all that is held out change no embedding, if the epoch is not chosen by them."""
    other = changed(tiny_split, held_out(tiny_split))
    a, b = (train_lightgcn(s, Cache(tmp_path / n), **ONE_CHECK) for s, n in ((tiny_split, "a"), (other, "b")))
    assert (a.items == b.items).all()
    assert (a.agreement != b.agreement).all()


def test_the_epoch_is_chosen_without_a_look_at_the_test_period(tiny, tiny_split, tmp_path):
    late = np.flatnonzero(tiny.rank >= tiny.rank[tiny_split.test.position].min())
    other = changed(tiny_split, late)
    settings = SMALL | dict(check_every=3)
    a, b = (train_lightgcn(s, Cache(tmp_path / n), **settings) for s, n in ((tiny_split, "a"), (other, "b")))
    assert all((getattr(a, f.name) == getattr(b, f.name)).all() for f in fields(LightGCN))


@pytest.mark.parametrize("protocol", ["strict", "released"])
def test_a_look_at_what_is_held_out_would_be_seen(tiny, protocol, tmp_path):
    """The two tests above can fail: where the graph sees more, other ratings there make other embeddings."""
    split = rr.split(tiny, protocol)
    seen = split.train_ratings[::7] if protocol == "strict" else np.intersect1d(held_out(split), split.graph_ratings)
    other = changed(split, seen)
    a, b = (train_lightgcn(s, Cache(tmp_path / n), **ONE_CHECK) for s, n in ((split, "a"), (other, "b")))
    assert not np.allclose(a.items, b.items)


@pytest.fixture
def trainings(monkeypatch):
    """The splits that were trained on, not answered from the cache."""
    trained, real = [], lightgcn._train
    monkeypatch.setattr(lightgcn, "_train", lambda split, *rest: trained.append(split) or real(split, *rest))
    return trained


def test_other_proportions_have_answers_of_their_own(tiny, cache, tmp_path, trainings):
    """The graph is the same, but the epoch is chosen on samples that are test samples under the other proportions."""
    splits = [rr.split(tiny, parts=parts) for parts in ((8, 1, 1), (16, 3, 1))]
    a, b = splits
    assert (a.graph_ratings == b.graph_ratings).all()
    assert np.isin(b.chosen_on.position, a.test.position).any()
    answers = [train_lightgcn(s, cache, **SMALL) for s in (*splits, *splits)]
    assert trainings == splits
    for n, s in enumerate(splits):
        alone = train_lightgcn(s, Cache(tmp_path / f"alone{n}"), **SMALL)
        for answer in (answers[n], answers[n + 2]):
            assert all((getattr(answer, f.name) == getattr(alone, f.name)).all() for f in fields(LightGCN))


@pytest.mark.parametrize("part", ["valid", "chosen_on"])
def test_what_the_curves_are_measured_on_is_in_the_key(part, tiny_split, cache, trainings):
    fewer = getattr(tiny_split, part).take(np.arange(20))
    for s in (tiny_split, replace(tiny_split, **{part: fewer}), tiny_split):
        train_lightgcn(s, cache, **SMALL)
    assert len(trainings) == 2


def test_another_device_gives_the_same(tiny_split, tmp_path):
    """Every tensor is on the device that is asked for, and what is drawn does not depend on it.

    A CPU's products with a sparse matrix are another library's, which rounds otherwise.
    """
    here = train_lightgcn(tiny_split, Cache(tmp_path / "here"), **SMALL)
    with Elsewhere() as device:
        there = train_lightgcn(tiny_split, Cache(tmp_path / "there"), "meta", **SMALL)
    for f in fields(LightGCN):
        assert getattr(there, f.name) == pytest.approx(getattr(here, f.name), abs=1e-3)
    products = 2 * SMALL["layers"] * SMALL["epochs"]  # there and back, a step an epoch
    assert device.calls["mm"] >= products


def test_an_answer_holds_for_all_devices(tiny_split, cache, trainings):
    train_lightgcn(tiny_split, cache, **SMALL)
    train_lightgcn(tiny_split, cache, "cuda", **SMALL)
    assert len(trainings) == 1


def test_validation_likes_alone_choose_nothing_and_break_nothing(tiny_split, cache):
    likes = tiny_split.valid.take(tiny_split.valid.liked)
    graph = train_lightgcn(replace(tiny_split, valid=likes, chosen_on=likes), cache, **SMALL)
    assert np.isnan(graph.agreement).all()
    assert np.isfinite(graph.items).all()


def test_unknown_edges(tiny_split, cache):
    with pytest.raises(rr.InputError, match="'some'; it must be one of: likes, all"):
        train_lightgcn(tiny_split, cache, edges="some")
