"""Knobs to turn by hand: the fast reader on every test sample at once, and one sample in all its parts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.ids import codes_of
from ..data.split import Samples, Split
from ..evaluation.metrics import results_table
from ..infra.errors import InputError
from ..pipeline import METHOD, MOST, Choice, Study
from ..readers import prompts
from ..readers.llm import recommend
from ..readers.vote import vote
from ..representations.mixture import REPRESENTATIONS
from ..retrieval.selectors import SELECTORS

RESAMPLES = 200  # enough for an interval to look at


@dataclass(frozen=True, eq=False)
class Knobs:
    """The vote's AUC on all test samples for any choice; the study keeps what is retrieved for each representation."""

    study: Study

    def turn(self, **choice) -> pd.DataFrame:
        """AUC of the choice and of the method's own, with intervals, and their paired difference.

        Args:
            choice: fields of `Choice`. ``k`` is the method's, too.
        """
        yours = Choice(**choice)
        test = self.study.split.test
        p = {"yours": vote(self.study.shown(yours, test))}
        method = Choice(k=yours.k)
        p["RALLRec"] = self.study.remember(("knobs", method), lambda: vote(self.study.shown(method, test)))
        return results_table(test, p, "RALLRec", RESAMPLES)

    def sliders(self, k: int, show: Callable[[pd.DataFrame], object]):
        """Sliders of ipywidgets that turn the knobs; ``show`` is given the table at every turn.

        What a choice does not take is left out of it: the share of recent items under other selectors than
        ``rerank``, weights of what is no mixture of three parts.

        Returns:
            The widget, which a notebook's cell shows.
        """
        from ipywidgets import Dropdown, FloatSlider, IntSlider, interactive

        def turn(representation: str, selector: str, k: int, recent: float, text: float, colla: float, ssl: float):
            choice = dict(representation=representation, selector=selector, k=k)
            if "recent" in SELECTORS[selector].options:
                choice["recent"] = recent
            if representation == METHOD.representation and SELECTORS[selector].reads_items:
                choice["weights"] = text, colla, ssl
            return show(self.turn(**choice))

        weight = {name: FloatSlider(1, min=0, max=3, step=0.25) for name in ("text", "colla", "ssl")}
        return interactive(
            turn,
            representation=Dropdown(options=list(REPRESENTATIONS), value=METHOD.representation),
            selector=Dropdown(options=list(SELECTORS), value=METHOD.selector),
            k=IntSlider(k, min=1, max=MOST),
            recent=FloatSlider(1 / 3, min=0, max=1, step=1 / 12),
            **weight,
        )


def sample_of(split: Split, user_id, item_id) -> Samples:
    """The sample whose target is this user's rating of this item, by raw ids.

    Raises:
        InputError: an unknown user, or an item that the user has not rated; names some that were.
    """
    data = split.data
    (user,), (item,) = codes_of(data.users["user_id"], [user_id]), codes_of(data.items["item_id"], [item_id])
    if user < 0:
        raise InputError(f"{data.name} has no user {user_id!r}; one of its users is {data.users['user_id'].iloc[0]!r}")
    own = np.arange(data.start[user], data.start[user + 1])
    found = own[data.item[own] == item]
    if not len(found) or found[0] == own[0]:
        some = data.items["item_id"].to_numpy()[data.item[own[-3:]]].tolist()
        raise InputError(f"user {user_id!r} has no history before {item_id!r}; try one of {some}")
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
    llm, details = study.adapted
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
