"""What the released code's protocol measures: each of its ways switched on alone, and all together."""

from dataclasses import replace

import numpy as np
import pandas as pd

from ..data.split import PROTOCOLS, SCORED, Protocol, Samples, Split, split
from ..evaluation.claims import change
from ..evaluation.metrics import IDENTICAL, Estimate, adjust, columns, compare, evaluate, interval, verdict
from ..pipeline import ALIGNED, GRAPH, Choice, Study, train
from ..representations.lightgcn import LightGCNSettings

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


def capped(study: Study) -> Study:
    """The study with its graph trained for at most the profile's ``released_epochs``; itself, if it is anyway.

    Graphs that are trained anew have this cap, or a run would take hours. What they are compared with has it, too, or
    the difference would be that of the epochs.
    """
    most, size = study.size.released_epochs, study.size
    if LightGCNSettings(**size.lightgcn).epochs <= most:
        return study
    size = replace(size, lightgcn=size.lightgcn | {"epochs": most})
    return study.remember(("capped", most), lambda: study.changed(size, GRAPH + ALIGNED))


def under(study: Study, protocol: Protocol) -> Study:
    """The `capped` study as it comes out when a run follows ``protocol``.

    Text, reranker and adapter stay those of the study.
    """
    strict = capped(study)
    differs = () if _same_graph(protocol) else GRAPH + ALIGNED
    return strict.changed(strict.size, differs, split=split(study.split.data, protocol), shifted=protocol.id_shift)


def _same_graph(protocol: Protocol) -> bool:
    return replace(protocol, id_shift=False, first_rows=False) == PROTOCOLS["strict"]


def changes(study: Study, switched: dict[str, tuple[Protocol, Study]], choice: Choice) -> pd.DataFrame:
    """AUC of the vote under each protocol, and its change against ``strict`` on the same samples.

    Args:
        study: the study whose protocol is ``strict``. Its graph is `capped`, as those under other protocols are.
        switched: for each label its protocol and the study `under` it.
        choice: what is shown to the vote.

    Returns:
        Columns ``protocol``, ``auc`` (``_low``, ``_high``), ``difference`` (``_low``, ``_high``, ``_p``), ``n``,
        ``users`` and ``adjusted_p``; strict first. All test samples are judged, or those that the protocol scores. One
        that only scores other samples has no difference: its predictions are strict's.
    """
    strict = capped(study)
    train([(each, choice) for each in (strict, *(under_it for _, under_it in switched.values()))])
    test = strict.split.test
    base = strict.voted(choice, test)
    table = [_row("strict", evaluate(test, base)["auc"], NONE, test)]
    for label, (protocol, under_it) in switched.items():
        samples = under_it.split.test
        before = base[np.isin(test.position, samples.position)]
        if replace(protocol, first_rows=False) == PROTOCOLS["strict"]:
            table.append(_row(label, evaluate(samples, before)["auc"], NONE, samples))
        else:
            p = under_it.voted(choice, samples)
            table.append(_row(label, evaluate(samples, p)["auc"], compare(samples, p, before)["auc"], samples))
    return adjust(pd.DataFrame(table))


NONE = Estimate(np.nan, np.nan, np.nan, np.nan)


def _row(protocol: str, auc: Estimate, difference: Estimate, samples: Samples) -> dict:
    of = dict(n=len(samples), users=auc.users)
    return dict(protocol=protocol) | columns("auc", auc) | columns("difference", difference) | of


def finding(row) -> str:
    """What one row of `changes` says, in words."""
    if np.isnan(row.difference):
        auc = interval(row.auc, row.auc_low, row.auc_high)
        return f"other samples, so nothing is paired, AUC {auc} on these {row.n:,} of {row.users:,} users"
    if row.difference_low == row.difference_high == 0:
        if row.protocol == SWITCHES["chosen_on_test"]:
            return f"{IDENTICAL}, since the same epoch is best on validation and on test: the switch can't act here"
        return f"{IDENTICAL}, so it changes nothing here"
    said = {1: "it flatters the result", 0: "inconclusive", -1: "it lowers the result"}
    return f"{said[verdict(row.difference_low, row.difference_high, row.adjusted_p)]}, {change(row)}"
