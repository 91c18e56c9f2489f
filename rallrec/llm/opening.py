"""Opening a language model by its name, and registering other ways to."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..infra.cache import Cache
from ..infra.errors import InputError
from ..infra.registry import Registry
from .base import LanguageModel
from .weights import located

if TYPE_CHECKING:
    from .server import ServerSettings

BACKENDS: Registry[Callable[..., LanguageModel]] = Registry("backend")  # by the prefix of their models' names


def backend(prefix: str):
    """Register a function that opens the models whose names begin with ``prefix``.

    The function takes ``(name, adapter, cache)``: the name without the prefix, the folder of a LoRA adapter or None,
    and the `Cache` or None for the checkout's own. It gives a `LanguageModel`, which `language_model` prints.
    A subclass offers:

    - ``name``, what the user called it; ``weights``, which names weights, adapter and whatever else an answer depends
      on, since answers are kept under it; ``format``, the number format, a word of its own where it is unknown.
    - a generator for each of the verbs that are used of it, which yields batches of answers as they are ready, a batch
      as a list of pairs (position in ``prompts``, answer):

      - ``_generate(prompts, max_new_tokens, temperature, top_p, seed)``: texts,
      - ``_sample(prompts, n, max_new_tokens, temperature, top_p, seed)``: lists of n texts,
      - ``_embed(texts)``: float rows [d],
      - ``_choose(prompts, options)``: probabilities of the options, [n_options], which sum to 1.

    - ``chat(message)``, a text that puts the message as a user's turn, for prompts of that kind;
      ``_adapted(folder)``, the same model with an adapter (users call `adapted`), and ``takes(weights)``, whether an
      adapter that was trained on these weights fits, where it has adapters.

    Cache, progress, and one answer a distinct input are the base class's.

    Args:
        prefix: letters and a colon, such as ``mine:``.

    Raises:
        InputError: a prefix that does not end with a colon.

    Example:
        >>> import numpy as np
        >>> import rallrec as rr
        >>> from rallrec.llm.base import LanguageModel
        >>> class Undecided(LanguageModel):
        ...     format = "exact"
        ...     def __init__(self, name, cache=None):
        ...         super().__init__(cache)
        ...         self.name = self.weights = f"undecided:{name}"
        ...     def _choose(self, prompts, options):
        ...         yield [(i, np.full(len(options), 1 / len(options))) for i in range(len(prompts))]
        >>> @rr.backend("undecided:")
        ... def open_undecided(name, adapter, cache):
        ...     return Undecided(name, cache)
        >>> rr.language_model("undecided:1").choose(["Is it good?"])
        undecided:1
        array([[0.5, 0.5]])
    """
    if not isinstance(prefix, str) or not prefix.endswith(":") or len(prefix) < 2:
        raise InputError(f"prefix of a backend is {prefix!r}; it must end with a colon, as mine: does")
    return BACKENDS.register(prefix)


def resolved(name: str | Path) -> str:
    """A name that means the same in every working directory: a model folder's path made absolute, others as they are.

    Raises:
        InputError: a path that leads to no folder.
    """
    name = os.fspath(name)
    return name if _prefix_of(name) else located(name)


def _prefix_of(name: str) -> str | None:
    """The longest of the backends' prefixes with which a name begins."""
    return max((p for p in BACKENDS if name.startswith(p)), key=len, default=None)


def language_model(
    name: str | Path = "smollm2-135m",
    adapter: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    cache: Cache | None = None,
    server: "ServerSettings | None" = None,
) -> LanguageModel:
    """Open a language model and say which device and number format it got, and why.

    Args:
        name: ``smollm2-135m`` (the default, from PyPI), ``tiny-random`` (for tests), the path of a
            transformers model folder (see `resolved`), a hub id such as ``meta-llama/Llama-3.1-8B-Instruct``, a
            server's ``http://host:8000/v1#model`` (see `server.ServerSettings`), or a name with the prefix of a
            `backend`; a server and a backend choose device and format themselves.
        adapter: folder of a LoRA adapter (peft), merged into the weights; on a server the one of its name.
        device: ``cuda``, ``mps`` or ``cpu``; the best there is by default.
        dtype: ``float32``, ``bfloat16`` or ``float16``; by default ``RALLREC_DTYPE``, or else bfloat16 on CUDA and
            float32 elsewhere.
        server: how a server is asked; by default as the environment says (`ServerSettings.from_environment`), of which
            nothing is read if this is given.

    Raises:
        InputError: unknown name, or a model that can't be fetched: what to place, and where; files that are no whole
            causal LM, an adapter of another model; settings of a server for a model that is on none.
    """
    name = resolved(name)
    prefix = _prefix_of(name)
    if server is not None and prefix not in BACKENDS.built_in:
        raise InputError(f"LLM {name!r} is on no server, so settings of a server change nothing; leave them out")
    if prefix is None:
        from .local import open_local

        return open_local(name, adapter, device, dtype, cache)
    settings = {} if server is None else {"settings": server}
    llm = BACKENDS[prefix](name.removeprefix(prefix), adapter, cache, **settings)
    if not isinstance(llm, LanguageModel):
        raise InputError(f"backend {prefix!r} gives a {type(llm).__name__}; it must give a LanguageModel")
    print(llm)
    return llm


def _of_scheme(scheme: str) -> Callable[..., LanguageModel]:
    def open_there(name, adapter, cache, settings=None):
        from .server import open_server

        return open_server(scheme + name, adapter, cache, settings)

    return open_there


for _scheme in ("http://", "https://"):
    BACKENDS.add(_scheme, _of_scheme(_scheme))
BACKENDS.seal()
