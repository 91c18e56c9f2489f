"""Training that gives the same bytes again, and on which machine it ran."""

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
    they come, and the last bits of a trained embedding differ from run to run.

    Args:
        threads: that many within the block; sums differ with their number. None changes nothing.
    """
    before_threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)  # a GPU has not all of them
        torch.set_num_threads(threads or before_threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            torch.set_num_threads(before_threads)


def hardware() -> str:
    """Processor, cores and GPU in words."""
    import torch

    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {os.cpu_count()} cores{gpu}"
