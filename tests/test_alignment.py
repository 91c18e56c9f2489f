from dataclasses import fields

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import rallrec as rr
from rallrec.infra import products
from rallrec.infra.cache import Cache
from rallrec.infra.reproducible import Dropout, drawn_on_cpu
from rallrec.representations import alignment
from rallrec.representations.alignment import TWO_SIDED, Alignment, alignment_loss, train_alignment
from rallrec.representations.exact_map import exact_loss

from .elsewhere import Elsewhere

QUICK = dict(epochs=10, batch=128)
SIDES = pytest.mark.parametrize("sides", [dict(sides="text"), dict(sides="both", dimensions=16)], ids=["text", "both"])


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("rows", [None, [2], [0, 3]])
def test_the_loss_is_the_papers(temperature, rows):
    """Section 2.2.3: f(a, b) = exp(cos(a, b)), each direction's own share of the sum over all items."""
    a, b = (unit(x) for x in np.random.default_rng(0).normal(size=(2, 5, 3)))

    def f(i: int, v: int) -> float:
        return np.exp(sum(x * y for x, y in zip(a[i], b[v], strict=True)) / temperature)

    total, items = 0, range(5)
    for i in rows or items:
        total -= np.log(f(i, i) / sum(f(i, v) for v in items))
        total -= np.log(f(i, i) / sum(f(v, i) for v in items))
    options = {} if temperature == 1 else dict(temperature=temperature)  # the paper has none
    loss = alignment_loss(torch.as_tensor(a), torch.as_tensor(b), rows=rows, **options)
    assert loss.item() == pytest.approx(total / len(rows or items))


@pytest.mark.parametrize("block", [1, 4 * 30, 10_000])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.03, 0.01])
def test_its_gradient_is_that_of_two_cross_entropies(temperature, block, monkeypatch):
    """In blocks of one row, of four (and two that are left), of all; where exponentials would overflow, too."""
    monkeypatch.setattr(alignment, "BLOCK", block)
    rng = np.random.default_rng(0)
    a, b = (torch.tensor(unit(rng.normal(size=(30, 6)))).requires_grad_() for _ in range(2))
    logits, own = a @ b.T / temperature, torch.arange(30)
    plain = F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)
    loss = alignment_loss(a, b, temperature)
    assert loss.item() == pytest.approx(plain.item())
    for ours, theirs in zip(torch.autograd.grad(loss, (a, b)), torch.autograd.grad(plain, (a, b)), strict=True):
        assert ours.numpy() == pytest.approx(theirs.numpy(), abs=1e-12)


@pytest.fixture(scope="module")
def views():
    """Two views of the same eight hidden dimensions, [400, 24] and [400, 16]."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 8))
    return tuple((hidden @ rng.normal(size=(8, d))).astype(np.float32) for d in (24, 16))


@pytest.mark.parametrize("settings", [dict(batch=128), TWO_SIDED | dict(batch=128)], ids=["text", "both"])
def test_finds_what_two_views_share(views, cache, settings):
    made = train_alignment(*views, cache=cache, epochs=40, **settings)
    assert made.match.max() > 0.5  # of 40 held-out items; chance is 1/40
    assert made.loss.min() < made.loss[0] - 1
    assert np.linalg.norm(made.ssl, axis=1) == pytest.approx(np.ones(400), abs=1e-3)


def test_the_text_is_mapped_to_where_its_item_lies(views, cache):
    """Into the collaborative space itself, which both sides projected do not share."""
    text, colla = views
    made = train_alignment(text, colla, cache=cache, epochs=40, batch=128)
    assert made.ssl.shape == colla.shape
    assert (made.ssl * unit(colla)).sum(1).mean() > 0.9
    both = train_alignment(text, colla, cache=cache, epochs=1, sides="both", dimensions=12)
    assert both.ssl.shape == (400, 12)


def test_aligned_embeddings_are_a_function_of_the_text_alone(views, cache):
    """Two items of the same text lie at the same place, wherever their collaborative embeddings lie."""
    text, colla = views[0].copy(), views[1]
    text[7], text[399] = text[3], text[3]
    warm = np.arange(400) < 390
    assert not np.allclose(colla[3], colla[7])
    made = train_alignment(text, colla, warm, cache, **QUICK)
    assert (made.ssl[7] == made.ssl[3]).all()
    assert (made.ssl[399] == made.ssl[3]).all()  # nobody has rated it
    assert len(np.unique(made.ssl, axis=0)) == 398
    both = train_alignment(text, colla, warm, cache, sides="both", **QUICK)
    assert (both.ssl[7] != both.ssl[3]).any()  # ours mixes the collaborative side in


@SIDES
def test_cold_items_follow_their_text_alone(views, cache, sides):
    text, colla = views
    warm = np.arange(400) >= 20
    noise = colla.copy()
    noise[~warm] = 1000
    a, b = (train_alignment(text, c, warm, cache, **QUICK, **sides) for c in (colla, noise))
    assert same(a, b)


def test_all_items_of_the_graph_stand_in_the_sums(views, cache, monkeypatch):
    """Of a training without the held-out items all others; then all; and where a loss is told, all, too."""
    asked, real = [], alignment.alignment_loss

    def noted(a, b, temperature=1.0, rows=None):
        asked.append((len(a), len(b), temperature, None if rows is None else list(rows)))
        return real(a, b, temperature, rows)

    monkeypatch.setattr(alignment, "alignment_loss", noted)
    warm = np.arange(400) >= 20
    train_alignment(*views, warm, cache, epochs=3, check_every=3)
    told, step = (380, 380, 1.0, list(range(38))), (342, 342, 1.0, None)
    assert asked == [told, step, step, step, told] + [(380, 380, 1.0, None)] * 3
    asked.clear()
    train_alignment(*views, warm, cache, epochs=1, batch=100)  # more items than a batch holds
    assert [n for n, *_ in asked] == [100, 86, 86, 85, 85] + [95] * 4


@pytest.mark.parametrize("batch", [8192, 100])
def test_the_loss_of_an_exact_map_is_of_the_very_held_out_items(views, cache, monkeypatch, batch):
    found, real = [], alignment._loss_of

    def noted(f, g, s, n):
        found.append(real(g, g, s, n))
        return real(f, g, s, n)

    monkeypatch.setattr(alignment, "_loss_of", noted)
    warm, of = np.arange(400) >= 20, dict(seed=3, batch=batch)
    train_alignment(*views, warm, cache, epochs=1, **of)
    assert exact_loss(views[1], warm, alignment.AlignmentSettings(**of)) == pytest.approx(found[0])


@pytest.mark.parametrize("stop", alignment.STOPS)
def test_when_the_training_on_all_items_ends(views, cache, monkeypatch, stop):
    trained, real = [], alignment._train

    def noted(text, colla, rows, s, device, epochs, check=None):
        trained.append((len(rows), epochs))
        return real(text, colla, rows, s, device, epochs, check)

    monkeypatch.setattr(alignment, "_train", noted)
    losses = iter([3.0, 2.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr(alignment, "_loss_of", lambda *a: next(losses))
    made = train_alignment(*views, cache=cache, stop=stop, epochs=10, check_every=2, patience=3, batch=400)
    assert trained == [(360, 10), (400, 10 if stop == "epochs" else 4)]
    assert made.epoch[made.best] == 4


def same(a: Alignment, b: Alignment) -> bool:
    return all((getattr(a, f.name) == getattr(b, f.name)).all() for f in fields(Alignment))


@SIDES
def test_another_device_gives_the_same(views, tmp_path, sides, monkeypatch):
    """Every tensor is on the device that is asked for, and what is drawn does not depend on it."""
    monkeypatch.setattr(products, "onednn_is_faster", lambda: False)  # it rounds otherwise, and is a CPU's
    settings = QUICK | sides | dict(dropout=0.2)
    here = train_alignment(*views, cache=Cache(tmp_path / "here"), **settings)
    with Elsewhere() as device:
        there = train_alignment(*views, cache=Cache(tmp_path / "there"), device="meta", **settings)
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
    others = [dict(temperature=0.2), dict(sides="both"), dict(stop="held out")]
    for other in others:
        train_alignment(text, colla, None, cache, **QUICK, **other)
    # without the held-out items, then with all; when the latter ends does not change the former
    assert len(trainings) == 2 * (len(asked) + len(others)) - 1
    assert all(map(same, first, second))


@pytest.mark.parametrize("stop", alignment.STOPS)
def test_embeddings_alone_cost_no_curve(views, cache, tmp_path, monkeypatch, stop):
    """Unless they need it; asked for later, it alone is trained."""
    trained, real = [], alignment._train
    monkeypatch.setattr(alignment, "_train", lambda *a: trained.append(len(a[2])) or real(*a))
    ssl = rr.align(*views, cache=cache, **QUICK, stop=stop)
    assert trained == ([400] if stop == "epochs" else [360, 400])
    made = train_alignment(*views, cache=cache, **QUICK, stop=stop)
    assert sorted(trained) == [360, 400]
    assert (made.ssl == ssl).all()
    assert same(made, train_alignment(*views, cache=Cache(tmp_path / "other"), **QUICK, stop=stop))


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
