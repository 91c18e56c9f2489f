"""Where this study differs from the paper and from its released code."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.split import CHOSEN_ON, SCORED
from ..llm.base import LanguageModel
from ..pipeline import Study
from ..profiles import PROFILES
from ..readers.training import LINEAR, AdapterSettings
from .formats import of_study

SAME, UNSAID = "as the paper", "not said"
READER_8B = "Llama-3.1-8B-Instruct"

# users, items, samples after filtering (paper, section 3)
DATA = {
    "bookcrossing": (8_723, 3_547, 227_735),
    "ml-1m": (6_040, 3_952, 970_009),
    "amazon-movies": (14_386, 5_000, 141_829),
}


@dataclass(frozen=True)
class Deviation:
    """A row of `deviations`; ``here`` is a text, or a function of the study that says it from its settings."""

    what: str
    paper: str | Callable[[Study], str]
    released: str
    here: str | Callable[[Study], str]


def size_of(name: str) -> float:
    """Parameters of a model, as its name says: of ``smollm2-135m`` 135 million; NaN where it says nothing.

    Example:
        >>> from rallrec.study.deviations import size_of
        >>> size_of("smollm2-135m"), size_of("meta-llama/Llama-3.1-8B-Instruct")
        (135000000.0, 8000000000.0)
    """
    found = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([mb])(?![a-z])", name, flags=re.I)
    return float(found[-1][0]) * {"m": 1e6, "b": 1e9}[found[-1][1].lower()] if found else float("nan")


def _named(llm: LanguageModel) -> str:
    size = size_of(llm.name)
    return llm.name if size != size else f"{llm.name} ({_parameters(size)} parameters)"


def _parameters(n: float) -> str:
    return f"{n / 1e9:g} billion" if n >= 1e9 else f"{n / 1e6:g} million"


def _adapter(study: Study) -> AdapterSettings:
    return AdapterSettings(**study.size.adapter)


def _lora(study: Study) -> str:
    used = _adapter(study)
    layers = "all linear layers" if used.modules == LINEAR else ", ".join(used.modules)
    return f"r {used.r}, alpha {used.alpha}, dropout {used.dropout:g}, on {layers}; batch {used.batch}"


def _shown(study: Study) -> str:
    size, full = study.size, PROFILES["full"]
    return f"{size.llm_k} for the LLM, {size.k} for the vote (profile full: {full.llm_k} and {full.k})"


def _statistics(study: Study) -> str:
    told = "statistics" in _adapter(study).tells
    return "share of the item's earlier raters who liked it" if told else "no"


def _judged(study: Study) -> str:
    n, few = len(study.split.test), min(study.size.llm_samples, len(study.split.test))
    drawn = "all" if few == n else f"{few:,} drawn at random"
    return f"the LLM: {drawn}; readers without an LLM: all {n:,}"


def _data(study: Study) -> str:
    data, split = study.split.data, study.split
    samples = sum(map(len, (split.train, split.valid, split.test)))
    return f"{_counts((data.n_users, data.n_items, samples))} ({data.n_ratings:,} ratings)"


def _ratings(study: Study) -> str:
    data, of_item = study.split.data, np.bincount(study.split.data.item)
    return f"at least {np.diff(data.start).min()}, and {of_item[of_item > 0].min()}"


def _counts(counts: tuple[int, int, int]) -> str:
    return "{:,} users, {:,} items, {:,} samples".format(*counts)


def _division(study: Study) -> str:
    parts = (study.split.train, study.split.valid, study.split.test)
    return f"{' / '.join(f'{len(p):,}' for p in parts)}, by {'time' if study.split.data.timed else 'user'}"


ROWS = (
    Deviation("LLM that describes and embeds", READER_8B, SAME, lambda study: _named(study.llm)),
    Deviation("LLM that reads", READER_8B, SAME, lambda study: _named(study.reader)),
    Deviation(
        "number format",
        "8-bit quantisation",
        SAME,
        lambda study: f"{of_study(study)}; the weights of the small models are distributed in 4 bits",
    ),
    Deviation("descriptions", "–", "sampled, temperature 0.8, top-p 0.9", "greedy decoding"),
    Deviation("text embedding", "title and description side by side", "description alone", SAME),
    Deviation(
        "alignment",
        "two-layer MLP on the text, exp(cos), no temperature",
        "code not released",
        SAME,
    ),
    Deviation(
        "mixture",
        "each part's rows at unit length",
        "128 principal components of the text; each part divided by its largest row norm",
        SAME,
    ),
    Deviation("similarity", "inner product", "cosine; on ML-1M, neighbours are looked up one id off", SAME),
    Deviation(
        "reranker",
        "K most similar and K most recent, alpha / rank and (1 − alpha) / rank; the K highest",
        "newest two thirds of the K retrieved, then the most recent others",
        f"{SAME}; alpha chosen on validation samples",
    ),
    Deviation("item in both channels", UNSAID, "–", "its two scores are added"),
    Deviation("K", "30", "30", _shown),
    Deviation(
        "prompt",
        "instruction with profile, history and question",
        SAME,
        "history as labelled examples, a line each; the target's answer is open",
    ),
    Deviation("statistics in the lines", "no", "no", _statistics),
    Deviation(
        "tuning prompts",
        "a small set, each by similarity and once more in order of time",
        "8,192 (BookCrossing 256), each by similarity, in order of time, and of the last K",
        lambda study: (
            f"{_adapter(study).sequences:,} in all, of at most {_adapter(study).k} items; "
            "half by similarity, half in order of time"
        ),
    ),
    Deviation("supervised", "the answer about the target", SAME, "every label of the history, and the target's"),
    Deviation("LoRA", "–", "r 8, alpha 16, dropout 0.05, on q_proj, v_proj; batch 256", _lora),
    Deviation("test samples", "–", f"the first {SCORED:,}", _judged),
    Deviation("choices are made on", "–", f"the first {CHOSEN_ON:,} test samples", "validation samples"),
    Deviation(
        "edges of the graph",
        "interactions",
        "likes and dislikes, at least 93.8 % of ML-1M's test pairs among them",
        "likes of the training period",
    ),
    Deviation(
        "data",
        lambda study: _counts(DATA[study.split.data.name]) if study.split.data.name in DATA else "not among its data",
        SAME,
        _data,
    ),
    Deviation(
        "ratings of a user, of an item",
        "at least 5",
        "BookCrossing: items with 10, then users with 5; Amazon: users with 11 to 200, items with 10 to 200",
        _ratings,
    ),
    Deviation("training / validation / test", "–", "8:1:1 by time; BookCrossing 9:1 by user, no validation", _division),
    Deviation(
        "uncertainty",
        "p-values without the test or the number of runs",
        "–",
        "95 % user-bootstrap intervals, paired; verdicts at a false discovery rate of 5 %",
    ),
)


def deviations(study: Study) -> pd.DataFrame:
    """How a study differs from the paper and from its released code.

    Returns:
        Columns ``what``, ``paper``, ``released code``, ``here``. A dash: nothing is said, or nothing differs.
    """

    def said(cell: str | Callable[[Study], str]) -> str:
        return cell(study) if callable(cell) else cell

    return pd.DataFrame(
        [
            {"what": row.what, "paper": said(row.paper), "released code": said(row.released), "here": said(row.here)}
            for row in ROWS
        ]
    )
