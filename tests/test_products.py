"""Products by oneDNN: the same answers, and the same gradients."""

import copy

import pytest
import torch

from rallrec.infra import products, reproducible
from rallrec.infra.products import LEAST_ROWS, onednn_is_faster, product, with_onednn
from rallrec.llm import local

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch is built without oneDNN"
)


@pytest.fixture
def called(monkeypatch):
    """How often oneDNN was asked, on whatever processor."""
    calls, real = [], torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *a: calls.append(a[0].shape) or real(*a))
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    return calls


@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_gives_the_same(bias, called):
    torch.manual_seed(0)
    plain = torch.nn.Linear(24, 10, bias)
    fast, x = with_onednn(copy.deepcopy(plain)), torch.randn(3, 7, 24)
    with torch.inference_mode():
        for some in (x, x[0], x.transpose(0, 1), x[:, ::2]):
            assert fast(some).shape == plain(some).shape
            assert fast(some).numpy() == pytest.approx(plain(some).numpy(), abs=1e-6)
        n = len(called)
        fast(x[0, : LEAST_ROWS - 1])  # of few rows it is slower
        assert fast.bfloat16()(x.bfloat16()).dtype == torch.bfloat16
    assert n
    assert len(called) == n


@pytest.mark.parametrize("frozen", [(), ("weight",), ("x",), ("weight", "bias")])
@pytest.mark.parametrize("bias", [False, True])
def test_its_gradient_is_torchs(bias, frozen, called):
    """Also of a layer whose weights are frozen, as those below an adapter, and of more than two dimensions."""
    torch.manual_seed(0)
    plain = torch.nn.Linear(24, 16, bias)
    found = []
    for layer in (plain, with_onednn(copy.deepcopy(plain))):
        x = torch.arange(2 * 20 * 24.0).sin().reshape(2, 20, 24)
        parts = {"x": x} | dict(layer.named_parameters())
        for name, part in parts.items():
            part.requires_grad_(name not in frozen)
        layer(x).square().sum().backward()
        assert {name for name, part in parts.items() if part.grad is None} == {n for n in frozen if n in parts}
        found.append({name: part.grad.numpy() for name, part in parts.items() if part.grad is not None})
    assert called
    for name, gradient in found[0].items():
        assert found[1][name] == pytest.approx(gradient, rel=1e-4, abs=1e-5)


def test_a_product_is_torchs(called):
    torch.manual_seed(0)
    a, b = torch.randn(12, 5), torch.randn(5, 7)
    assert product(a, b).numpy() == pytest.approx((a @ b).numpy(), abs=1e-6)
    assert len(called) == 1
    assert torch.equal(product(a.double(), b.double()), a.double() @ b.double())
    assert len(called) == 1


def test_an_llm_answers_the_same(tmp_path, monkeypatch, called):
    texts = ["The film is called Alien.", "History: Yes No? " * 5, "x y z"]

    def answers(faster: bool) -> list:
        monkeypatch.setattr(products, "onednn_is_faster", lambda: faster)
        llm = local.open_model("tiny-random", None, "cpu", "float32", None)
        chosen = dict(x for batch in llm._choose(texts, [" Yes", " No"]) for x in batch)
        embedded = dict(x for batch in llm._embed(texts) for x in batch)
        written = dict(
            x for batch in llm._generate(texts, max_new_tokens=8, temperature=0, top_p=1, seed=0) for x in batch
        )
        return [x[i] for x in (chosen, embedded) for i in range(3)], written

    (numbers, text), (others, same) = answers(True), answers(False)
    assert called
    assert text == same
    for one, other in zip(numbers, others, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(
    ("vendor", "capability", "faster"),
    [("AuthenticAMD", "AVX512", True), ("AuthenticAMD", "AVX2", False), ("GenuineIntel", "AVX512", False)],
)
def test_where_it_is_faster(vendor, capability, faster, monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"vendor_id\t: {vendor}\n")
    monkeypatch.setattr(reproducible, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert onednn_is_faster.__wrapped__() == faster
