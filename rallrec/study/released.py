"""What the released code's protocol measures: each of its ways switched on alone, and all together."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from ..data.split import PROTOCOLS, SCORED, Protocol, Samples, Split, split
from ..evaluation.metrics import auc, columns, compare
from ..pipeline import collaborative
from ..profiles import Profile
from ..representations.mixture import mix
from ..retrieval.retrieve import Representation, shifted

SWITCHES = {
    "graph_sees_test": "the graph sees the test ratings",
    "all_ratings_are_edges": "dislikes are edges, too",
    "chosen_on_test": "the epoch is chosen on test samples",
    "id_shift": "ids are shifted by one",
    "first_rows": f"scores on the first {SCORED:,} test samples",
}
ALL = "all of these, as released"


def applicable(strict: Split) -> dict[str, Protocol]:
    """The protocols to measure, by their labels: a switch each, then all that this data set has.

    Ids can be shifted where they are whole numbers; the first rows are fewer than all only in a long test set.
    """
    names = list(SWITCHES)
    if not pd.api.types.is_integer_dtype(strict.data.items["item_id"]):
        names.remove("id_shift")
    if len(strict.test) <= SCORED:
        names.remove("first_rows")
    together = Protocol(**dict.fromkeys(names, True))
    return {SWITCHES[name]: Protocol(**{name: True}) for name in names} | {ALL: together}


def under(
    protocol: Protocol, strict: Split, text: np.ndarray, size: Profile, seed: int = 0
) -> dict[str, Representation]:
    """``colla`` and ``mix3`` as they come out when a run follows ``protocol``.

    Args:
        text: [n_items, d_llm], which no protocol changes.
    """
    if replace(protocol, id_shift=False, first_rows=False) != PROTOCOLS["strict"]:  # a graph of its own
        size = replace(size, lightgcn=size.lightgcn | {"epochs": size.released_epochs})
    colla, ssl = collaborative(split(strict.data, protocol), text, size, seed)
    items = {"colla": Representation("colla", (colla,)), "mix3": Representation("mix3", (mix(text, colla, ssl),))}
    return {name: shifted(r, strict.data) for name, r in items.items()} if protocol.id_shift else items


def changes(
    test: Samples,
    strict: dict[str, Representation],
    switched: dict[str, tuple[Protocol, dict[str, Representation]]],
    predict: Callable[[dict[str, Representation], Samples], np.ndarray],
    n: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Change of AUC by each protocol against ``strict``, with user-clustered intervals.

    Args:
        test: all test samples.
        switched: for each label its protocol and representations.
        predict: P(like) or any score from 0 to 1 of some samples from representations.
        n: judge only so many test samples, drawn at random, the same for all; where a protocol scores the
            first rows only, so many of those.

    Returns:
        Columns ``protocol``, ``auc``, ``difference``, ``difference_low``, ``difference_high``, ``n``; strict first.
    """
    first = test.take(np.arange(min(len(test), SCORED)))
    everywhere, early = (part.draw(len(part) if n is None else n, seed) for part in (test, first))
    some = any(protocol.first_rows for protocol, _ in switched.values())
    rows = np.union1d(everywhere, early) if some else everywhere
    samples = test.take(rows)
    everywhere, early = np.isin(rows, everywhere), np.isin(rows, early)
    base = predict(strict, samples)
    table = [dict(protocol="strict", auc=auc(samples.liked[everywhere], base[everywhere]), n=int(everywhere.sum()))]
    for label, (protocol, items) in switched.items():
        judged = early if protocol.first_rows else everywhere
        p = base.copy()
        if replace(protocol, first_rows=False) != PROTOCOLS["strict"]:
            p[judged] = predict(items, samples.take(judged))
        change = columns("difference", compare(samples, p, base, judged, everywhere)["auc"])
        table.append(dict(protocol=label, auc=auc(samples.liked[judged], p[judged]), **change, n=int(judged.sum())))
    return pd.DataFrame(table)


def finding(row) -> str:
    """What one row of `changes` says, in words."""
    interval = f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]"
    if row.difference_low > 0:
        return f"flatters the result: {interval}"
    return f"harms it: {interval}" if row.difference_high < 0 else f"changes nothing that can be told: {interval}"
