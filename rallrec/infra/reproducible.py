"""Training that gives the same bytes again, the same draws on every device, and on which machine it ran."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


@contextmanager
def reproducible(seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed torch within the block, and let it take its deterministic algorithms.

    Without these, the gradient of an embedding look-up is summed by several threads in whatever order
    they come, and the last bits of a trained embedding differ from run to run. A GPU has not all of them:
    there the last bits of a product with a sparse matrix may still differ.

    Args:
        threads: that many within the block; sums differ with their number. None changes nothing.
    """
    before_threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    before_fill = torch.utils.deterministic.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs for deterministic products
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)  # it warns of those that are missing
        torch.utils.deterministic.fill_uninitialized_memory = False  # it takes time, and nobody reads that memory
        torch.set_num_threads(threads or before_threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.utils.deterministic.fill_uninitialized_memory = before_fill
            torch.set_num_threads(before_threads)


class Dropout(torch.nn.Dropout):
    """Dropout that draws on the CPU, so that a seed means the same on every device; there, torch's own to the bit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p:
            return x
        kept = torch.empty_like(x, device="cpu").bernoulli_(1 - self.p).div_(1 - self.p or 1)
        return x * kept.to(x.device)


def drawn_on_cpu(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, each of its dropouts a `Dropout`."""
    for module in list(model.modules()):
        for name, part in module.named_children():
            if type(part) is torch.nn.Dropout:
                setattr(module, name, Dropout(part.p))
    return model


def hardware() -> str:
    """Processor, cores and GPU in words."""
    name = cpuinfo("model name") or platform.processor() or platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {os.cpu_count()} cores{gpu}"


def cpuinfo(name: str) -> str:
    """What Linux tells of the processor under a name (``model name``, ``vendor_id``); nothing where it does not."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
