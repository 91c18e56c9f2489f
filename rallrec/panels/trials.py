"""Trials: a choice judged against a pinned baseline, and the log of all that were tried.

Nothing here draws. A trial's numbers are those of `Study`, which keys them by content: a matrix that is registered
anew under an old name is another representation.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ..data.split import Samples, Split
from ..evaluation.metrics import Estimate, interval, results_table
from ..infra.cache import digest
from ..pipeline import METHOD, Choice, Study
from ..profiles import profile
from ..readers.base import READERS
from ..representations.mixture import REPRESENTATIONS
from ..retrieval.selectors import SELECTORS

PAPER_K = profile("full").k  # what the paper shows; a run of the quick profile shows fewer, for the sake of a small LLM
PAPER = replace(METHOD, k=PAPER_K)  # the baseline until another is pinned
MOST = 20_000  # samples that are judged at every turn, of data that have more
RESAMPLES = 1000
PARTS = {"valid": "validation", "test": "test"}
SHORT = {"representation": "", "selector": "", "k": "K ", "reader": ""}  # always told, in this order
TOLD = {"alpha": "α ", "beta": "β ", "both": "", "order": "", "recent": "recent ", "weights": "weights "}


def described(choice: Choice, baseline: str = "") -> str:
    """A choice in a line: ``mixture · rerank · K 30 · vote``, and what else is chosen."""
    reads = SELECTORS[choice.selector].reads_items
    said = [f"{SHORT[name]}{getattr(choice, name)}" for name in SHORT if reads or name != "representation"]
    for name, what in TOLD.items():
        if (value := getattr(choice, name)) is not None:
            values = value if isinstance(value, tuple) else (value,)
            said.append(what + " : ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values))
    return " · ".join(said)


def own_parts(choice: Choice) -> list[str]:
    """The parts of a choice that a command line does not know by itself: ``representation 'mine'``."""
    registries = {"representation": REPRESENTATIONS, "selector": SELECTORS, "reader": READERS}
    named = {kind: getattr(choice, kind) for kind in registries}
    return [f"{kind} {name!r}" for kind, name in named.items() if name not in registries[kind].built_in]


@dataclass(frozen=True)
class Trial:
    """A choice, and what came of it.

    Attributes:
        part: ``valid`` or ``test``. auc: of the choice. difference: AUC minus the baseline's on the same samples.
        baseline_auc: the baseline's there. n: samples. users: whose they are; intervals resample them.
        content: digest of the representation, if it is one's own (8 hex digits).
    """

    dataset: str
    part: str
    choice: Choice
    baseline: Choice
    auc: Estimate
    difference: Estimate
    baseline_auc: float
    n: int
    users: int
    content: str = ""

    @property
    def verdict(self) -> str:
        """``higher``, ``lower``, ``inconclusive``, ``the same predictions`` or ``not measured``."""
        if self.difference.identical:
            return "the same predictions"
        if np.isnan(self.difference.value):
            return "not measured"
        return {1: "higher", -1: "lower", 0: "inconclusive"}[self.difference.verdict]

    @property
    def sentence(self) -> str:
        """What was found, in a sentence."""
        part = PARTS[self.part]
        on = f"on {self.n:,} {part} samples of {self.users:,} users"
        auc = interval(self.auc.value, self.auc.low, self.auc.high)
        to, d = f"the baseline's {self.baseline_auc:.3f}", self.difference
        if self.verdict == "not measured":
            return (
                f"These {self.n:,} {part} samples tell no difference: they are all liked, or none is, or of one user."
            )
        if self.verdict == "the same predictions":
            return f"This predicts the same as the baseline: AUC {auc} {on}."
        by = f"{abs(d.value):.3f}"
        span = f"95 % interval {d.low:+.3f} to {d.high:+.3f}"
        if self.verdict == "inconclusive":
            way = "above" if d.value > 0 else "below"
            return f"Inconclusive: AUC {auc} {on}, {by} {way} {to}, and the {span} holds zero."
        gain = "Better" if self.verdict == "higher" else "Worse"
        return (
            f"{gain} than the baseline: AUC {auc} {on}, {by} {'above' if gain == 'Better' else 'below'} {to} ({span})."
        )


def judge(study: Study, choice: Choice, baseline: Choice, part: str) -> Trial:
    """Judge a choice on the samples that its reader and the baseline's have in common."""
    samples, p, other = study.both(choice, baseline, part)
    table = results_table(samples, {"choice": p, "baseline": other}, "baseline", RESAMPLES).set_index("method")
    row, users = table.loc["choice"], int(table.users["choice"])

    def told(name: str, p_value: float | None = None) -> Estimate:
        return Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], p_value, users)

    content = ""
    if choice.representation not in REPRESENTATIONS.built_in and SELECTORS[choice.selector].reads_items:
        content = digest(np.concatenate([np.ravel(part) for part in study.items(choice).parts]))[:8]
    auc, difference = told("auc"), told("difference", row["difference_p"])
    data = study.split.data
    return Trial(
        data.name, part, choice, baseline, auc, difference, float(table.auc["baseline"]), len(samples), users, content
    )


def points(study: Study, choice: Choice, part: str) -> dict[int, float]:
    """AUC of the choice by K, as far as `fill` has come."""
    return study.remember(("points", part, *replace(choice, k=None).identity), dict)


def fill(study: Study, choice: Choice, part: str) -> Iterator[None]:
    """Fill in `points` at each K of the profile's curve, one at a time, since each takes its time."""
    found = points(study, choice, part)
    for k in study.size.curve_k:
        if k not in found:
            found[k] = study.auc(replace(choice, k=k), part)
            yield


def of_some_users(samples: Samples, most: int = MOST, seed: int = 0) -> Samples:
    """All samples of as many users, drawn at random, as have about ``most`` together; all where there are hardly more.

    Whole users: intervals resample these.
    """
    if len(samples) <= 1.25 * most:
        return samples
    users = np.random.default_rng(seed).permutation(np.unique(samples.user))
    n = np.bincount(samples.user)[users]
    drawn = users[: int(np.searchsorted(np.cumsum(n), most)) + 1]
    return samples.take(np.isin(samples.user, drawn))


def smaller(study: Study, most: int = MOST) -> Study:
    """The study with `of_some_users` of its validation and test samples; what is trained stays as it is."""
    split: Split = study.split
    valid, test = (of_some_users(part, most, study.seed) for part in (split.valid, split.test))
    if valid is split.valid and test is split.test:
        return study
    return study.changed(study.size, (), split=replace(split, valid=valid, test=test))


def asking(study: Study, n: int) -> Study:
    """The study with at most ``n`` samples a part for readers that ask an LLM; of more, they are among these."""
    n = min(n, study.size.valid_samples)
    return study.remember(("asking", n), lambda: study.changed(replace(study.size, valid_samples=n), (), n_asked=n))


@dataclass
class Log:
    """All trials, in order; the same one again is not logged twice."""

    trials: list[Trial] = field(default_factory=list)

    def add(self, trial: Trial) -> bool:
        """Log a trial; whether it is new."""
        new = trial not in self.trials
        if new:
            self.trials.append(trial)
        return new

    def table(self) -> pd.DataFrame:
        """A row a trial: what was chosen, and what came of it."""
        rows = []
        for n, t in enumerate(self.trials, 1):
            row = {"trial": n, "dataset": t.dataset, "part": t.part}
            row |= {name: getattr(t.choice, name) for name in (*SHORT, *TOLD)}
            row |= {"auc": t.auc.value, "auc_low": t.auc.low, "auc_high": t.auc.high}
            row |= {"baseline": described(t.baseline), "baseline_auc": t.baseline_auc}
            d = t.difference
            row |= {"difference": d.value, "difference_low": d.low, "difference_high": d.high, "verdict": t.verdict}
            rows.append(row | {"n": t.n, "users": t.users, "content": t.content})
        return pd.DataFrame(rows)

    def commands(self, settings: str = "") -> str:
        """A shell script with a command a trial; they judge test samples, so they report what was chosen.

        Args:
            settings: options of every command, such as ``--seed 1``.
        """
        lines = [
            "#!/bin/sh",
            "# Run it in the repository. A trial looks at validation samples; these commands report on test samples.",
            "# The AUC is that of the knobs with `report on test samples`, where the knobs judge all of them.",
            "# The difference is to the paper's method at the profile's K, whatever baseline was pinned.",
            'rallrec() { .venv/bin/python -m rallrec "$@"; }',
        ]
        done: dict[str, None] = {}
        for t in self.trials:
            command = t.choice.command(t.dataset) + (f" {settings}" if settings else "")
            if own := own_parts(t.choice):
                lack = " and ".join(own)
                command = f"# {lack}: of a notebook. Register it in a file, and add --extra FILE: {command}"
            done[command] = None
        return "\n".join([*lines, *done]) + "\n"


def settings_of(llm: str, reader: str, profile_name: str, seed: int) -> str:
    """Options of `rallrec ablate` for what is not its default."""
    given = {"llm": (llm, "smollm2-135m"), "reader-llm": (reader, ""), "profile": (profile_name, "quick")}
    said = [f"--{name} {shlex.quote(value)}" for name, (value, default) in given.items() if value != default]
    return " ".join(said + ([f"--seed {seed}"] if seed else []))


def is_instant(name: str) -> bool:
    """Whether a reader answers while one waits: no LLM, no trees to fit."""
    reader = READERS[name]
    return reader.samples == "all" and not (name in READERS.built_in and name.startswith("lightgbm"))


def offered_readers(study: Study) -> list[str]:
    """Readers of what is shown: the fast ones, LightGBM, the LLM with the paper's tuning and without; your own."""
    ours = ("vote", "item mean + vote", "lightgbm", "llm", "zero-shot")
    names = [n for n in READERS if READERS[n].reads_shown and (n in ours or n not in READERS.built_in)]
    at_hand = study.affordable({name: Choice(reader=name) for name in names})
    return sorted(at_hand, key=lambda name: ours.index(name) if name in ours else len(ours))
