"""rallrec: a reproducible study of RALLRec, retrieval-augmented LLM recommendation."""

from .alignment import align
from .catalogue import Catalogue
from .descriptions import describe, plain
from .errors import InputError
from .evaluation import compare, evaluate, results_table
from .lightgcn import lightgcn
from .llm import language_model
from .loading import load
from .recommending import recommend, vote
from .reranking import rerank, select
from .retrieval import mix, represent, retrieve
from .runs import start
from .splits import split
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
