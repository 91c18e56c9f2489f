"""Products in float32, by whichever of torch's two libraries is fast on this processor.

torch multiplies in float32 with Intel's MKL, which leaves the wide registers of AMD's processors (AVX-512) unused. The
oneDNN that torch is built with, too, uses them: 230 GFLOP/s of a core where MKL has 105, and results that are the same
but for rounding (P(like) of an LLM by at most 5e-6). In bfloat16, and on other processors, torch's own choice is the
fast one.
"""

from functools import cache
from types import MethodType

import torch
import torch.nn.functional as F

from .reproducible import cpuinfo

LEAST_ROWS = 8  # of fewer rows oneDNN takes longer to arrange the weights than it gains


@cache
def onednn_is_faster() -> bool:
    """Whether this is an AMD processor whose AVX-512 torch may use, and this torch has oneDNN's product."""
    wide = cpuinfo("vendor_id") == "AuthenticAMD" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a b``, [n, k] by [k, m]. It passes no gradient on: for the insides of a `torch.autograd.Function`."""
    return _onednn(a, b.T) if _fast(a) else a @ b


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``torch.nn.functional.linear``: x [..., in], weight [out, in]."""
    if not _fast(x):
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias) if torch.is_grad_enabled() else _onednn(x, weight, bias)


def with_onednn(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, in place, whose linear layers multiply with oneDNN where that is faster."""
    if onednn_is_faster():
        for module in model.modules():
            if type(module) is torch.nn.Linear:
                module.forward = MethodType(_forward, module)
    return model


def _fast(x: torch.Tensor) -> bool:
    plain = x.dtype == torch.float32 and x.device.type == "cpu"
    return plain and x.numel() >= LEAST_ROWS * x.shape[-1] and onednn_is_faster()


def _forward(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    return linear(x, layer.weight, layer.bias)


def _onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    """A linear layer by oneDNN, whose own product has no gradient."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx, g: torch.Tensor):
        x, weight = ctx.saved_tensors
        of_x = _onednn(g, weight.T) if ctx.needs_input_grad[0] else None
        g = g.flatten(0, -2)  # [rows, out]
        of_weight = _onednn(g.T, x.flatten(0, -2).T) if ctx.needs_input_grad[1] else None
        return of_x, of_weight, g.sum(0) if ctx.needs_input_grad[2] else None
