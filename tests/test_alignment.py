from dataclasses import fields

import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.infra.reproducible import Dropout, drawn_on_cpu
from rallrec.representations import alignment
from rallrec.representations.alignment import Alignment, info_nce, train_alignment

from .elsewhere import Elsewhere

QUICK = dict(epochs=10, dimensions=16, batch=128)


def test_info_nce_is_its_formula():
    rng = np.random.default_rng(0)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 5, 3)))
    s = a @ b.T / 0.3
    by_hand = -np.mean(
        [(2 * s[i, i] - np.log(np.exp(s[i]).sum()) - np.log(np.exp(s[:, i]).sum())) / 2 for i in range(5)]
    )
    assert info_nce(torch.as_tensor(a), torch.as_tensor(b), 0.3).item() == pytest.approx(by_hand)


@pytest.fixture
def views():
    """Two views of the same eight hidden dimensions, [400, 24] and [400, 16]."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 8))
    return tuple((hidden @ rng.normal(size=(8, d))).astype(np.float32) for d in (24, 16))


def test_finds_what_two_views_share(views, cache):
    made = train_alignment(*views, cache=cache, **QUICK | dict(epochs=60))
    assert made.match.max() > 0.5  # of 40 held-out items; chance is 1/40
    assert made.loss.min() < made.loss[0] / 2
    assert np.linalg.norm(made.ssl, axis=1) == pytest.approx(np.ones(400), abs=1e-5)


def test_cold_items_follow_their_text_alone(views, cache):
    text, colla = views
    warm = np.arange(400) >= 20
    noise = colla.copy()
    noise[~warm] = 1000
    a, b = (train_alignment(text, c, warm, cache, **QUICK) for c in (colla, noise))
    assert (a.ssl[~warm] == b.ssl[~warm]).all()


def same(a: Alignment, b: Alignment) -> bool:
    return all((getattr(a, f.name) == getattr(b, f.name)).all() for f in fields(Alignment))


def test_another_device_gives_the_same(views, tmp_path):
    """Every tensor is on the device that is asked for, and what is drawn does not depend on it."""
    here = train_alignment(*views, cache=Cache(tmp_path / "here"), **QUICK)
    with Elsewhere() as device:
        there = train_alignment(*views, cache=Cache(tmp_path / "there"), device="meta", **QUICK)
    assert same(here, there)
    assert device.calls["addmm"] > 4 * QUICK["epochs"]


def test_each_input_is_in_the_key(views, cache, monkeypatch):
    trainings, real = [], alignment._train
    monkeypatch.setattr(alignment, "_train", lambda *inputs: trainings.append(inputs) or real(*inputs))
    text, colla = views
    warm = np.arange(400) >= 20
    asked = [(text, colla, None), (text + 1, colla, None), (text, colla + 1, None), (text, colla, warm)]
    first, second = ([train_alignment(*a, cache, **QUICK) for a in asked] for _ in range(2))
    train_alignment(text, colla, None, cache, "cuda", **QUICK)  # the same answer
    train_alignment(text, colla, None, cache, **QUICK, temperature=0.2)
    assert len(trainings) == len(asked) + 1
    assert all(map(same, first, second))


@pytest.mark.parametrize("p", [0, 0.2, 0.999, 1])
@pytest.mark.parametrize("shape", ["rows", "columns", "cut"])
def test_dropout_drawn_on_the_cpu_is_torchs_own_there(p, shape):
    x = torch.randn(30, 8)
    x = dict(rows=x, columns=x.T, cut=x[:, ::3])[shape].requires_grad_()
    outcomes = []
    for kind in (torch.nn.Dropout, Dropout):
        torch.manual_seed(1)
        layer = kind(p)
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x)
        outcomes += [(layer(x), gradient, layer.eval()(x), torch.get_rng_state())]
    assert all(map(torch.equal, *(o[: 3 if p == 1 else 4] for o in outcomes)))  # torch need not draw where all drops


def test_every_dropout_of_a_model_is_drawn_on_the_cpu():
    inner = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.3))
    model = drawn_on_cpu(
        torch.nn.Sequential(inner, torch.nn.Dropout(0.1), torch.nn.ModuleList([torch.nn.Dropout(0.2)]))
    )
    kinds = [(type(m), m.p) for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert kinds == [(Dropout, 0.3), (Dropout, 0.1), (Dropout, 0.2)]


def test_rows_must_agree(views, cache):
    with pytest.raises(rr.InputError, match="have 400, 399 and 400 rows"):
        train_alignment(views[0], views[1][:-1], cache=cache)
