"""Products of a model's linear layers in float32, by whichever of torch's two libraries is fast on this processor.

torch multiplies in float32 with Intel's MKL, which leaves the wide registers of AMD's processors (AVX-512) unused. The
oneDNN that torch is built with, too, uses them: 230 GFLOP/s of a core where MKL has 105, and answers that are the same
but for rounding (P(like) by at most 5e-6). In bfloat16, and on other processors, torch's own choice is the fast one.
"""

from functools import cache
from types import MethodType

import torch
import torch.nn.functional as F

from ..infra.reproducible import cpuinfo

LEAST_ROWS = 8  # of fewer rows oneDNN takes longer to arrange the weights than it gains


@cache
def onednn_is_faster() -> bool:
    """Whether this is an AMD processor whose AVX-512 torch may use, and this torch has oneDNN's product."""
    wide = cpuinfo("vendor_id") == "AuthenticAMD" and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def with_onednn(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, whose linear layers multiply with oneDNN where no gradient is asked for; float32 on a CPU."""
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.forward = MethodType(_forward, module)
    return model


def _forward(linear: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
    few = x.numel() < LEAST_ROWS * linear.in_features
    if few or torch.is_grad_enabled():  # it has no gradient
        return F.linear(x, linear.weight, linear.bias)
    return torch.ops.mkldnn._linear_pointwise(x, linear.weight, linear.bias, "none", [], "")
