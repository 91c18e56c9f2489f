"""Opening a language model by its name."""

import os
from pathlib import Path

import torch

from ..infra.cache import Cache
from ..infra.errors import one_of
from .base import FORMATS, LanguageModel
from .local import open_model


def language_model(
    name: str = "smollm2-135m",
    adapter: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    cache: Cache | None = None,
) -> LanguageModel:
    """Open a language model and say which device and number format it got, and why.

    Args:
        name: ``smollm2-135m`` (the default, from PyPI), ``tiny-random`` (for tests), the path of a
            transformers model folder, a hub id such as ``meta-llama/Llama-3.1-8B-Instruct``, or a server's
            ``http://host:8000/v1#model`` (see `server.ServerSettings`), which chooses device and format itself.
        adapter: folder of a LoRA adapter (peft), merged into the weights; on a server the one of its name.
        device: ``cuda``, ``mps`` or ``cpu``; the best there is by default.
        dtype: ``float32``, ``bfloat16`` or ``float16``; by default ``RALLREC_DTYPE``, or else bfloat16 on CUDA and
            float32 elsewhere.

    Raises:
        InputError: unknown name, or a model that can't be fetched: what to place, and where.
    """
    if name.startswith(("http://", "https://")):
        from .server import open_server

        llm = open_server(name, adapter, cache)
        print(llm)
        return llm
    device, dtype, why = _device_and_dtype(device, dtype)
    llm = open_model(name, adapter, device, dtype, cache)
    print(f"{llm} ({why}{', adapter merged' if adapter is not None else ''})")
    return llm


def _device_and_dtype(device: str | None, dtype: str | None) -> tuple[str, str, str]:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if dtype is None and (dtype := os.environ.get("RALLREC_DTYPE")):
        why = "as RALLREC_DTYPE says"
    elif dtype is None:
        dtype = "bfloat16" if device == "cuda" else "float32"
        why = "bfloat16: fast on a GPU" if device == "cuda" else "no CUDA GPU found; float32 is a CPU's fast format"
    else:
        why = "as asked"
    one_of("dtype", dtype, FORMATS)
    return device, dtype, why
