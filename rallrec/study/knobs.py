"""Knobs to turn by hand: the fast reader on every test sample at once, and one sample in all its parts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.ids import codes_of
from ..data.split import Samples, Split
from ..evaluation.metrics import results_table
from ..infra.errors import InputError
from ..pipeline import METHOD, Choice, Study
from ..readers import prompts
from ..readers.llm import recommend
from ..readers.vote import vote
from ..retrieval.selectors import SELECTORS

RESAMPLES = 200  # enough for an interval to look at
SHARES = [n / 12 for n in range(13)]
OPTIONS = {  # of selectors, by the fields of `Choice`: what a list offers, and what is chosen at first
    "recent": ({f"{share:.2f}": share for share in SHARES}, 1 / 3),
    "alpha": ({"by validation": None, "0": 0.0, "1/2": 1 / 2, "2/3": 2 / 3, "4/5": 4 / 5, "1": 1.0}, None),
    "beta": ({f"{beta:g}": beta for beta in (0.5, 1.0, 2.0)}, 1.0),
    "both": ({way: way for way in ("sum", "max")}, "sum"),
    "order": ({way: way for way in ("time", "best first", "best last")}, "time"),
}


@dataclass(frozen=True, eq=False)
class Knobs:
    """The vote's AUC on all samples of a part for any choice; the study keeps what each representation retrieves."""

    study: Study

    def turn(self, part: str = "valid", **choice) -> pd.DataFrame:
        """AUC of the choice and of the method at the profile's K, with intervals, and their paired difference.

        Args:
            part: ``valid``, which choices are made on; ``test`` only to report what was chosen.
            choice: fields of `Choice`.

        Returns:
            A `metrics.results_table` of the rows ``yours`` and ``RALLRec``, with the column ``part``.
        """
        yours, samples = Choice(**choice), self.study.samples(part)
        p = {"yours": vote(self.study.shown(yours, samples))}
        p["RALLRec"] = self.study.remember(("knobs", part), lambda: self.study.voted(METHOD, samples))
        table = results_table(samples, p, "RALLRec", RESAMPLES)
        table.insert(1, "part", part)
        return table


def sample_of(split: Split, user_id, item_id) -> Samples:
    """The sample whose target is this user's rating of this item, by raw ids.

    Raises:
        InputError: an unknown user, or an item that the user has not rated; names some that were.
    """
    data = split.data
    (user,), (item,) = codes_of(data.users["user_id"], [user_id]), codes_of(data.items["item_id"], [item_id])
    if user < 0:
        raise InputError(
            f"{data.name} has no user {user_id!r}; one of its users is {data.users['user_id'].tolist()[0]!r}"
        )
    own = np.arange(data.start[user], data.start[user + 1])
    found = own[data.item[own] == item]
    if not len(found) or found[0] == own[0]:
        ids, names = data.items["item_id"].tolist(), prompts.titles(data)
        asked = f"{item_id!r} ({names[item]})" if item >= 0 else repr(item_id)
        some = ", ".join(f"{ids[code]!r} ({names[code]})" for code in data.item[own[-3:]])
        raise InputError(f"user {user_id!r} has no history before {asked}; try one of: {some}")
    return Samples(data, found)


@dataclass(frozen=True)
class OneSample:
    """One sample under each selector, and what the LLM makes of it."""

    sides: pd.DataFrame
    prompt: str
    p_like: float
    liked: bool


def one_sample(study: Study, sample: Samples, choice: Choice) -> OneSample:
    """The history items that each selector shows, side by side; the prompt of the choice's own, and P(like).

    Args:
        sample: one sample; see `sample_of`.
    """
    data, names = sample.data, np.array(prompts.titles(sample.data))
    llm, details = study.adapted(), study.details
    sides, longest = {}, 0
    for name in SELECTORS:
        shown = study.shown(Choice(choice.representation, name, choice.reader, choice.k), sample)
        real = shown.real[0]
        sides[name] = [f"{n} · {r:g}" for n, r in zip(names[shown.item[0][real]], shown.rating[0][real], strict=True)]
        longest = max(longest, shown.k)
    sides = {name: column + [""] * (longest - len(column)) for name, column in sides.items()}
    shown = study.shown(choice, sample)
    prompt = prompts.build(shown, "labelled", llm, details).texts[0]
    p = float(recommend(shown, llm, details=details)[0])
    return OneSample(pd.DataFrame(sides), prompt, p, bool(data.liked[sample.position[0]]))
