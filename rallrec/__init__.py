"""rallrec: a reproducible study of RALLRec, retrieval-augmented LLM recommendation."""

from .data.loading import load
from .data.split import split
from .evaluation.catalogue import Catalogue
from .evaluation.metrics import compare, evaluate, results_table
from .infra.errors import InputError
from .llm.opening import language_model
from .readers.llm import recommend
from .readers.vote import vote
from .representations.alignment import align
from .representations.lightgcn import lightgcn
from .representations.mixture import mix, represent
from .representations.text import describe, plain
from .retrieval.retrieve import retrieve
from .retrieval.selectors import rerank, select
from .runs.run import start
from .version import VERSION

__version__ = VERSION
__all__ = [
    "Catalogue",
    "InputError",
    "align",
    "compare",
    "describe",
    "evaluate",
    "language_model",
    "lightgcn",
    "load",
    "mix",
    "plain",
    "recommend",
    "represent",
    "rerank",
    "results_table",
    "retrieve",
    "select",
    "split",
    "start",
    "vote",
]
