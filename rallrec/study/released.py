"""What the released code's protocol measures: each of its ways switched on alone, and all together."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ..data.split import PROTOCOLS, SCORED, Protocol, Split, split
from ..evaluation.claims import change
from ..evaluation.metrics import auc, columns, compare, verdict
from ..pipeline import ALIGNED, GRAPH, Choice, Study
from ..readers.base import READERS

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


def under(study: Study, protocol: Protocol) -> Study:
    """The study as it comes out when a run follows ``protocol``; text, reranker and adapter stay those of the study."""
    size, differs = study.size, ()
    if replace(protocol, id_shift=False, first_rows=False) != PROTOCOLS["strict"]:  # a graph of its own
        size, differs = replace(size, lightgcn=size.lightgcn | {"epochs": size.released_epochs}), GRAPH + ALIGNED
    return study.changed(size, differs, split=split(study.split.data, protocol), shifted=protocol.id_shift)


def changes(
    study: Study, switched: dict[str, tuple[Protocol, Study]], choice: Choice, n: int | None = None
) -> pd.DataFrame:
    """Change of AUC by each protocol against the study's own, ``strict``, with user-clustered intervals.

    Args:
        switched: for each label its protocol and the study under it.
        choice: what is shown, and its reader, which scores without calibration.
        n: judge only so many test samples, drawn at random, the same for all; where a protocol scores the
            first rows only, so many of those.

    Returns:
        Columns ``protocol``, ``auc``, ``difference``, ``difference_low``, ``difference_high``, ``n``; strict first.
    """
    test, seed, reader = study.split.test, study.seed, READERS[choice.reader]
    first = test.take(np.arange(min(len(test), SCORED)))
    everywhere, early = (part.draw(len(part) if n is None else n, seed) for part in (test, first))
    some = any(protocol.first_rows for protocol, _ in switched.values())
    rows = np.union1d(everywhere, early) if some else everywhere
    samples = test if len(rows) == len(test) else test.take(rows)
    everywhere, early = np.isin(rows, everywhere), np.isin(rows, early)
    base = reader.score(study, study.shown(choice, samples))
    table = [dict(protocol="strict", auc=auc(samples.liked[everywhere], base[everywhere]), n=int(everywhere.sum()))]
    for label, (protocol, under_it) in switched.items():
        judged = early if protocol.first_rows else everywhere
        p = base.copy()
        if replace(protocol, first_rows=False) != PROTOCOLS["strict"]:
            p[judged] = reader.score(under_it, under_it.shown(choice, samples.take(judged)))
        difference = columns("difference", compare(samples, p, base, judged, everywhere)["auc"])
        table.append(dict(protocol=label, auc=auc(samples.liked[judged], p[judged]), **difference, n=int(judged.sum())))
    return pd.DataFrame(table)


def finding(row) -> str:
    """What one row of `changes` says, in words."""
    said = {1: "flatters the result", 0: "changes nothing that can be told", -1: "harms it"}
    return f"{said[verdict(row.difference_low, row.difference_high)]}: {change(row)}"
