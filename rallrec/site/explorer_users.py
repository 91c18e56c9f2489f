"""Example users of the explorer: what each selector shows of one sample, and P(like).

Rows of ratings belong to the data's owners. GroupLens allows no redistribution of MovieLens without permission, and
says nothing of single users; BookCrossing and Amazon's reviews come without terms that would allow it. So the page that
is published shows users of the generated data only, and a page that is made where the data are may show theirs.
"""

import numpy as np

from ..pipeline import PAPER, Choice, Study
from ..readers import prompts
from ..readers.llm import recommend
from ..retrieval.retrieve import Shown
from ..retrieval.selectors import SELECTORS
from .explorer import built_in

USERS = 100  # at most, a sample each


def examples(study: Study, n_users: int = USERS) -> dict:
    """One test sample each of some users, under every selector with the mixture; no LLM is asked.

    Returns:
        ``titles`` of the items that are named; ``k``; ``users``, each with its ``user`` (raw id), ``target`` (an index
        of titles), ``liked``, and ``shown``: by selector the items as [title, rating, liked] in the prompt's order, and
        ``p``, P(like) by the vote, calibrated on validation samples. ``llm`` is P(like) by the LLM where its answers
        are at hand, else None.
    """
    data, asked = study.split.data, study.asked("test")
    _, first = np.unique(asked.user, return_index=True)
    samples = asked.take(np.sort(first)[:n_users])
    names, used = prompts.titles(data), {}
    users = [
        dict(user=str(data.users["user_id"].iloc[user]), target=_index(used, item), liked=bool(liked), shown={})
        for user, item, liked in zip(samples.user, samples.item, samples.liked, strict=True)
    ]
    for name in built_in(SELECTORS):
        choice = Choice(selector=name, k=study.size.llm_k)
        shown, p = study.shown(choice, samples), study.predict(choice, of=samples)
        llm = _answered(study, shown)
        for row, user in enumerate(users):
            real = shown.real[row]
            rated = zip(shown.item[row][real], shown.rating[row][real], shown.liked[row][real], strict=True)
            items = [[_index(used, item), float(rating), bool(liked)] for item, rating, liked in rated]
            said = None if llm is None else round(float(llm[row]), 3)
            user["shown"][name] = dict(items=items, p=round(float(p[row]), 3), llm=said)
    return dict(titles=[names[item] for item in used], k=study.size.llm_k, users=users)


def _index(used: dict[int, int], item: int) -> int:
    """The place of an item among those that are named."""
    return used.setdefault(int(item), len(used))


def _answered(study: Study, shown: Shown) -> np.ndarray | None:
    """P(like) by the LLM with its adapter, where all its answers are kept."""
    if not (study.adapter_at_hand(PAPER) or study.known_adapter(PAPER)):
        return None
    llm, details = study.adapted(PAPER), study.details
    asked = prompts.build(shown, "labelled", llm, details)
    kept = llm._known("choose", asked.texts, {"options": list(asked.options)})
    return recommend(shown, llm, details=details) if all(text in kept for text in asked.texts) else None
