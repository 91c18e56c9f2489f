"""The layers of conventional recommenders beside the library's own."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from rallrec.infra.reproducible import Dropout, drawn_on_cpu
from rallrec.readers.conventional import MODELS
from rallrec.readers.fields import fields
from rallrec.readers.layers import faster
from rallrec.readers.networks import network


@pytest.fixture(scope="module")
def sample(tiny_split):
    """Fields of samples whose histories are empty, full and between."""
    test = tiny_split.test
    order = np.argsort(test.n_earlier, kind="stable")
    values, sizes = fields(tiny_split, test.take(np.concatenate([order[:40], order[-40:]])), 12)
    for bag in ("liked items", "disliked items"):
        values[bag][0] = 0
        values[bag][1] = 1 + np.arange(12) % (sizes[bag] - 1)
    x = {name: torch.as_tensor(value) for name, value in values.items()}
    return x | {"item again": x["item"]}, sizes


def both(model: str, sizes: dict, dropout: float = 0.0) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A network of the library with weights that nothing vanishes in, and the same one with our layers."""
    torch.manual_seed(0)
    plain = drawn_on_cpu(network(model, sizes, 8, (16, 8), dropout))
    with torch.no_grad():
        for weight in plain.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return plain, faster(deepcopy(plain))


@pytest.mark.parametrize("model", MODELS)
def test_a_network_is_the_librarys_but_for_rounding(model, sample):
    """Its answers, gradients and running statistics, while it is trained and after."""
    x, sizes = sample
    plain, ours = both(model, sizes)
    liked = (torch.arange(len(x["user"])) % 3 == 0).float()
    answers, gradients = [], []
    for net in (plain, ours):
        p = net(x)
        torch.nn.functional.binary_cross_entropy(p, liked).backward()
        answers.append(p.detach().numpy())
        gradients.append({name: weight.grad for name, weight in net.named_parameters() if weight.grad is not None})
    assert answers[1] == pytest.approx(answers[0], abs=2e-5)
    assert np.ptp(answers[0]) > 0.1
    assert gradients[0].keys() == gradients[1].keys()
    largest = max(g.abs().max().item() for g in gradients[0].values())
    for name, theirs in gradients[0].items():
        mine = gradients[1][name]
        assert mine.numpy() == pytest.approx(theirs.numpy(), abs=2e-5 * largest, rel=1e-3), name
    for (name, theirs), mine in zip(plain.named_buffers(), ours.buffers(), strict=True):
        assert mine.numpy() == pytest.approx(theirs.numpy(), abs=1e-4), name
    ours.load_state_dict(plain.state_dict())
    with torch.no_grad():
        plain.eval(), ours.eval()
        assert ours(x).numpy() == pytest.approx(plain(x).numpy(), abs=2e-5)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("model", MODELS)
def test_a_few_samples(model, sample, n):
    """Of which none, or all, have a history."""
    x, sizes = sample
    plain, ours = both(model, sizes)
    few = {name: value[:n] for name, value in x.items()}
    alone = few | {name: torch.zeros_like(few[name]) for name in ("liked items", "disliked items")}
    with torch.no_grad():
        for of in (few, alone):
            assert ours.eval()(of).numpy() == pytest.approx(plain.eval()(of).numpy(), abs=2e-5)
        assert all(torch.isfinite(ours.train()(of)).all() for of in (few, alone))


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = torch.ones(1000, 301)
    for p in (0.0, 0.2, 0.999, 1.0):
        layer = faster(torch.nn.Sequential(Dropout(p)))
        torch.manual_seed(3)
        first = layer(x)
        torch.manual_seed(3)
        assert torch.equal(layer(x), first)
        assert (first == 0).float().mean().item() == pytest.approx(p, abs=0.002)
        if p < 0.9:
            assert first.mean().item() == pytest.approx(1, abs=0.005)
            assert len(first.unique()) == (2 if p else 1)
        assert torch.equal(layer.eval()(x), x)
    assert not layer.train()(x).any()
    torch.manual_seed(4)
    dropped = (faster(torch.nn.Sequential(Dropout(0.5)))(x) == 0).float()
    assert dropped.mean(0).std().item() == pytest.approx(0.5 / 1000**0.5, rel=0.3)  # no column, no row is apart
    assert dropped.mean(1).std().item() == pytest.approx(0.5 / 301**0.5, rel=0.3)
    neighbours = torch.corrcoef(torch.stack([dropped.flatten()[:-1], dropped.flatten()[1:]]))[0, 1]
    assert abs(neighbours) < 0.01
