"""Knobs to turn by hand: the fast reader on every test sample at once, and one sample in all its parts."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from ..data.split import Samples, Split
from ..evaluation.metrics import results_table
from ..infra.errors import InputError, at_least, one_of
from ..llm.base import LanguageModel
from ..readers import prompts
from ..readers.llm import recommend
from ..readers.vote import vote
from ..representations.mixture import principal_components, weighed
from ..retrieval.retrieve import Representation, Shown, retrieve
from ..retrieval.selectors import SELECTORS, in_time_order, last, rerank, select

MOST = 50  # items that are retrieved once for all smaller K
RESAMPLES = 200  # enough for an interval to look at


@dataclass(eq=False)
class Knobs:
    """The vote's AUC on all test samples for any choice of representation, selector, K, recency and weights.

    What is retrieved for a representation is kept, so that turning any knob but the weights retrieves nothing anew.

    Attributes:
        parts: (text, colla, ssl), mixed anew when ``weights`` are turned.
    """

    split: Split
    representations: dict[str, Representation]
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]
    _retrieved: dict[str, Shown] = field(default_factory=dict)
    _paper: dict[int, np.ndarray] = field(default_factory=dict)  # the vote of the paper's own choice, for each K

    def shown(
        self,
        representation: str = "mix3",
        selector: str = "rerank",
        k: int = 10,
        recent: float = 1 / 3,
        weights: tuple[float, float, float] = (1, 1, 1),
    ) -> Shown:
        """What is shown of each test sample."""
        one_of("representation", representation, self.representations)
        one_of("selector", selector, SELECTORS)
        at_least("k", k, 1)
        test = self.split.test
        if selector == "recent":
            return last(test, k)
        items = self.representations[representation]
        if tuple(weights) != (1, 1, 1):
            if representation != "mix3":
                raise InputError(f"weights are {tuple(weights)}, but only the parts of 'mix3' have weights")
            items = Representation("yours", (weighed(self._reduced, weights),))
        elif items.fusion != "halves" and k <= MOST:  # the order of the first items does not depend on K
            if representation not in self._retrieved:
                self._retrieved[representation] = retrieve(test, items, MOST)
            kept = Shown(test, self._retrieved[representation].position[:, :k])
            if selector == "sequential":
                return in_time_order(kept)
            return rerank(kept, recent) if selector == "rerank" else kept
        return select(test, selector, items, k, recent)

    @cached_property
    def _reduced(self) -> tuple[np.ndarray, ...]:
        """The parts that `mix` lays side by side: the text is reduced once, not at every turn."""
        text, *others = self.parts
        return principal_components(text), *others

    def turn(self, **choice) -> pd.DataFrame:
        """AUC of the choice and of the paper's own, with intervals, and their paired difference.

        Args:
            choice: arguments of `shown`. ``k`` is the paper's choice's, too.
        """
        k = choice.get("k", 10)
        yours = vote(self.shown(**choice))
        if k not in self._paper:
            self._paper[k] = vote(self.shown(k=k))
        return results_table(self.split.test, {"yours": yours, "RALLRec": self._paper[k]}, "RALLRec", RESAMPLES)


def sample_of(split: Split, user_id, item_id) -> Samples:
    """The sample whose target is this user's rating of this item, by raw ids.

    Raises:
        InputError: an unknown user, or an item that the user has not rated; names some that were.
    """
    data = split.data
    users = np.flatnonzero(data.users["user_id"].to_numpy() == user_id)
    if not len(users):
        raise InputError(f"{data.name} has no user {user_id!r}; one of its users is {data.users['user_id'].iloc[0]!r}")
    own = np.arange(data.start[users[0]], data.start[users[0] + 1])
    found = own[data.items["item_id"].to_numpy()[data.item[own]] == item_id]
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


def one_sample(
    sample: Samples,
    items: Representation,
    llm: LanguageModel,
    selector: str = "rerank",
    k: int = 10,
    details: prompts.Details = prompts.TITLES,
) -> OneSample:
    """The history items that each selector shows, side by side; the prompt of one of them, and P(like).

    Args:
        sample: one sample; see `sample_of`.
    """
    data, names = sample.data, np.array(prompts.titles(sample.data))
    sides = {}
    for name in SELECTORS:
        shown = select(sample, name, items, k)
        real = shown.real[0]
        column = [f"{n} · {r:g}" for n, r in zip(names[shown.item[0][real]], shown.rating[0][real], strict=True)]
        sides[name] = column + [""] * (k - len(column))
    shown = select(sample, selector, items, k)
    prompt = prompts.build(shown, "labelled", llm, details).texts[0]
    p = float(recommend(shown, llm, details=details)[0])
    return OneSample(pd.DataFrame(sides), prompt, p, bool(data.liked[sample.position[0]]))
