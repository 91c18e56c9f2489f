"""rallrec: a reproducible study of RALLRec, retrieval-augmented LLM recommendation.

The rooms, from what knows nothing of the others to what uses them all: `infra`, `data`, `llm`, `retrieval`,
`evaluation`, `readers`, `representations`, `pipeline` (the paper's steps, top to bottom), `study`, `runs`, `panels`
(the lab). Public names are loaded when they are first used, so that ``import rallrec`` is quick.
"""

from importlib import import_module

from .version import VERSION

_FROM = {
    "data.loading": ("load",),
    "data.split": ("split",),
    "evaluation.catalogue": ("Catalogue",),
    "evaluation.metrics": ("compare", "evaluate", "results_table"),
    "infra.errors": ("InputError",),
    "llm.opening": ("language_model",),
    "extensions": ("backend", "load_extra", "reader", "representation", "row", "scores", "selector"),
    "panels.lab": ("lab",),
    "pipeline": ("Choice", "Study", "warm_items"),
    "readers.llm": ("recommend",),
    "readers.reasoning": ("merge", "reason"),
    "readers.vote": ("vote",),
    "representations.alignment": ("align",),
    "representations.lightgcn": ("lightgcn",),
    "representations.mixture": ("mix", "represent", "text"),
    "representations.text": ("describe", "plain"),
    "retrieval.retrieve": ("Representation", "Shown", "retrieve"),
    "retrieval.selectors": ("rerank", "select"),
    "runs.predictions": ("predictions",),
    "runs.run": ("start",),
}
_HOME = {name: module for module, names in _FROM.items() for name in names}
__version__ = VERSION
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'rallrec' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value  # the next look finds it at once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
