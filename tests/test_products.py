"""Products by oneDNN: the same answers, and the same gradients."""

import copy

import pytest
import torch

from rallrec.infra import reproducible
from rallrec.llm import local
from rallrec.llm.products import LEAST_ROWS, onednn_is_faster, with_onednn

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch is built without oneDNN"
)


@pytest.fixture
def called(monkeypatch):
    """How often oneDNN was asked."""
    calls, real = [], torch.ops.mkldnn._linear_pointwise
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", lambda *a: calls.append(a[0].shape) or real(*a))
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
        fast(x[0, : LEAST_ROWS - 1])
    assert n
    assert len(called) == n  # of few rows it is slower


def test_where_a_gradient_is_asked_for_it_is_torchs_own(called):
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Linear(24, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    fast, x = with_onednn(copy.deepcopy(plain)), torch.randn(40, 24)
    for model in (plain, fast):
        model(x).sum().backward()
    assert not called
    for one, other in zip(plain.parameters(), fast.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


def test_an_llm_answers_the_same(tmp_path, monkeypatch, called):
    texts = ["The film is called Alien.", "History: Yes No? " * 5, "x y z"]

    def answers(faster: bool) -> list:
        monkeypatch.setattr(local, "onednn_is_faster", lambda: faster)
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
