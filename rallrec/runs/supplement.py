"""What notebooks show beside the paper: data statistics, settings of each step; and differences in words."""

import numpy as np
import pandas as pd

from ..data.split import Split
from ..evaluation.metrics import Estimate, interval
from ..infra.errors import one_of
from ..profiles import Profile
from ..representations.alignment import AlignmentSettings
from ..representations.lightgcn import LightGCNSettings
from ..representations.text import MAX_NEW_TOKENS
from ..study.deviations import DATA

STEPS = ("description", "text", "graph", "alignment", "mixture")
NOT_STATED = "–"


def in_words(difference: Estimate) -> str:
    """A difference with its interval and what follows: *higher*, *lower*, *inconclusive*.

    Example:
        >>> from rallrec.evaluation.metrics import Estimate
        >>> from rallrec.runs.supplement import in_words
        >>> in_words(Estimate(0.02, -0.01, 0.05))
        '+0.020 [-0.010, +0.050], inconclusive'
    """
    written = interval(difference.value, difference.low, difference.high, "+")
    if np.isnan(difference.value) or difference.identical:
        return written
    return f"{written}, {('lower', 'inconclusive', 'higher')[difference.verdict + 1]}"


def whole_intervals(step: list[int], values: list[float]) -> np.ndarray:
    """Means over the steps since the check before, without those over fewer steps than the first: NaN.

    A training's last check comes at its end, some steps after the one before it; a mean of two steps beside means of
    nine would look like a change.
    """
    steps = np.diff([0, *step])
    return np.where(steps >= steps[:1], values, np.nan)


def statistics(split: Split) -> pd.DataFrame:
    """What the data are: sizes, labels, time.

    Returns:
        Columns ``quantity``, ``here`` and, for a data set of the paper's, ``paper`` (a dash where it states none).
    """
    data = split.data
    same_user = np.diff(data.user) == 0
    ties = (np.diff(data.time) == 0)[same_user].mean() if data.timed and same_user.any() else np.nan
    per_user, per_item = np.diff(data.start), np.bincount(data.item, minlength=data.n_items)
    here = {
        "users": data.n_users,
        "items": data.n_items,
        "ratings": data.n_ratings,
        "samples": len(split.train) + len(split.valid) + len(split.test),
        "density (ratings / (users × items))": data.n_ratings / (data.n_users * data.n_items),
        "ratings of a user, median": f"{np.median(per_user):g}",
        "ratings of an item, median": f"{np.median(per_item):g}",
        "rating scale": f"{data.scale[0]:g} to {data.scale[1]:g}",
        "a like is a rating": f"> {data.like_above:g}",
        "share of likes": float(data.liked.mean()),
        **({} if data.unrated is None else {"share of implicit ratings": float((data.rating == data.unrated).mean())}),
        "timestamps": "yes" if data.timed else "no",
        "ties (a user's successive ratings with equal time)": ties,
    }
    table = pd.DataFrame({"quantity": here.keys(), "here": pd.Series(list(here.values()), dtype=object)})
    if data.name in DATA:
        # what it calls samples are, without timestamps, ratings: of each user's, the last is a sample
        paper = dict(zip(("users", "items", "samples" if data.timed else "ratings"), DATA[data.name], strict=True))
        table["paper"] = pd.Series([paper.get(quantity, NOT_STATED) for quantity in here], dtype=object)
    return table


def settings(step: str, size: Profile, llm: str = "") -> pd.DataFrame:
    """Settings of one of `STEPS`: the paper's, the released code's, and those here.

    Args:
        size: the profile. llm: name of the LLM that describes and embeds.

    Returns:
        Columns ``setting``, ``paper``, ``released code``, ``here``; a dash where one is not stated or not there.

    Raises:
        InputError: an unknown step.
    """
    one_of("step", step, STEPS)
    graph, align = LightGCNSettings(**size.lightgcn), AlignmentSettings(**size.alignment)
    llama = "Llama-3.1-8B-Instruct"
    rows = {
        "description": [
            ("LLM", llama, llama, llm),
            ("length", NOT_STATED, "below 80 words", f"asked for below 80 words, at most {MAX_NEW_TOKENS} tokens"),
            ("sampling", NOT_STATED, "temperature 0.8, top-p 0.9", "greedy (temperature 0)"),
        ],
        "text": [
            ("LLM", llama, llama, llm),
            ("text", "title and description", "description alone", "title and description"),
            ("pooling", "hidden representation", "mean of last hidden states", "mean of last hidden states"),
        ],
        "graph": [
            ("edges", "interactions", "all ratings, of the test too", f"{graph.edges} of the training period"),
            ("dimensions", NOT_STATED, "128 (in a public fork of it)", f"{graph.dimensions}"),
            ("layers", NOT_STATED, "3 (in the fork)", f"{graph.layers}"),
            ("loss", NOT_STATED, "BPR (in the fork)", "BPR"),
            ("learning rate", NOT_STATED, "1e-3 (in the fork)", f"{graph.learning_rate:g}"),
            ("L2 decay", NOT_STATED, NOT_STATED, f"{graph.decay:g}"),
            ("epochs", NOT_STATED, NOT_STATED, f"at most {graph.epochs}, chosen by validation AUC of the vote"),
        ],
        "alignment": [
            ("mapped", "text only", NOT_STATED, "text only"),
            ("MLP", "two layers", NOT_STATED, f"two layers, {align.hidden} hidden units, GELU"),
            ("similarity", "exp(cos), no temperature", NOT_STATED, "exp(cos), no temperature"),
            ("items in the sums", "all", NOT_STATED, f"all with a training rating, at most {align.batch:,}"),
            ("learning rate", NOT_STATED, NOT_STATED, f"{align.learning_rate:g}"),
            ("weight decay", NOT_STATED, NOT_STATED, f"{align.decay:g}"),
            ("epochs", NOT_STATED, NOT_STATED, f"{align.epochs}" if align.stop == "epochs" else "by held-out loss"),
        ],
        "mixture": [
            ("text part", "title and description", "description, 128 principal components", "title and description"),
            ("scale of a part", "unit rows", "divided by its largest row norm", "unit rows"),
            ("similarity", "inner product", "cosine", "inner product (of unit parts, the order of the cosine)"),
        ],
    }
    return pd.DataFrame(rows[step], columns=["setting", "paper", "released code", "here"])
