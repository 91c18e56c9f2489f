"""The explorer's numbers: the AUC of each choice on a grid, and what gives the interval of any pair's difference.

A page without a server can hold no bootstrap of each of some million pairs. It holds a point for each choice instead:
the users' influences on its AUC (see `evaluation.influence`), turned to their principal axes and rounded. The distance
of two points is the standard deviation of the choices' paired difference, the length of one that of its AUC.

These are sums over many ratings, and tell nothing of a single one: they may be published where the ratings may not.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import combinations, groupby, product
from math import floor, gcd
from time import perf_counter

import numpy as np

from ..data.split import Samples
from ..evaluation.calibration import platt
from ..evaluation.influence import WIDTH, influences
from ..evaluation.metrics import RESAMPLES, difference
from ..evaluation.resampling import aucs, resampled_users
from ..infra.errors import InputError
from ..infra.progress import Progress
from ..infra.registry import Registry
from ..pipeline import METHOD, PARTS, Choice, Study
from ..readers.combination import combine
from ..readers.vote import vote
from ..representations.mixture import REPRESENTATIONS
from ..retrieval.selectors import ROUNDED, SELECTORS

K = (1, 2, 3, 5, 10, 15, 20, 30, 50)
ALPHAS = (None, 0.0, 1 / 3, 1 / 2, 2 / 3, 4 / 5, 1.0)  # None: by validation, as the paper has it
SHARES = (0.0, 1 / 6, None, 1 / 2, 2 / 3, 5 / 6, 1.0)  # None: the released code's third
OPTIONS = {"rerank": ("alpha", ALPHAS), "released": ("recent", SHARES)}  # of selectors, and their values
READ_BY = ("vote", "item mean + vote")
QUARTERS = 4  # in which the weights of a mixture are given
FINE = 25  # steps of the rounding in a typical standard deviation of a difference
CHECKED = 20  # choices whose differences' intervals are compared with the bootstrap's
DIGITS = 5  # of an AUC


# --- the grid -----------------------------------------------------------------------------------


def built_in(registry: Registry) -> list[str]:
    """Names in their order, without what a user's file added."""
    return [name for name in registry if name in registry.built_in]


def weights() -> tuple[tuple[int, ...] | None, ...]:
    """Weights of text, collaborative and aligned part: alike, then those in quarters, each in lowest terms."""
    quarters = [(a, b, QUARTERS - a - b) for a in range(QUARTERS + 1) for b in range(QUARTERS + 1 - a)]
    return None, *(tuple(w // gcd(*each) for w in each) for each in quarters)


def curves(representations: Sequence[str]) -> dict[str, Choice]:
    """The choices of the grid by their keys (see `key`), each without its K.

    The vote reads what every representation and selector shows, with every option of a selector. Weights other than the
    paper's, and the item's mean beside the vote, have the selectors' defaults only: each is retrieved, or fitted, anew.
    """
    selectors = built_in(SELECTORS)
    found = [Choice(selector=name) for name in selectors if not SELECTORS[name].reads_items]
    for name in representations:
        for selector in (selector for selector in selectors if SELECTORS[selector].reads_items):
            option, values = OPTIONS.get(selector, ("k", (None,)))
            found += [Choice(name, selector, **{option: value}) for value in values]
            if name == METHOD.representation:
                found += [Choice(name, selector, weights=each) for each in weights()[1:]]
    with_mean = [
        replace(choice, reader=READ_BY[1]) for choice in found if choice.weights is None and not choice.options
    ]
    return {key(choice): choice for choice in (*found, *with_mean)}


def key(choice: Choice) -> str:
    """What the page looks a curve up by: reader, representation, its weights, selector, its option; empty: default."""
    reads = SELECTORS[choice.selector].reads_items
    option, _ = OPTIONS.get(choice.selector, ("k", ()))
    said = choice.representation if reads else "", choice.weights, choice.selector
    return "|".join(map(named, (choice.reader, *said, getattr(choice, option) if option != "k" else None)))


def named(value) -> str:
    """A value of a field as the page names it: ``2/3``, ``1 1 2``; nothing for None."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(Fraction(value).limit_denominator(100) if isinstance(value, float) else value)


def axes(dataset: str, representations: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """What each knob offers, by the field of `Choice` and in their order: its name, its label, its flag of the command.

    The command of a choice is the data set's, then its flags in this order.
    """
    start = METHOD.command(dataset)
    values = {"representation": representations, "selector": built_in(SELECTORS)}
    values |= {"reader": READ_BY, "k": K, "weights": weights()} | dict(OPTIONS.values())
    labels = {"alpha": "by validation", "recent": "1/3", "weights": "1 1 1"}

    def offered(name: str, value) -> dict[str, str]:
        flag = Choice(**{name: value}).command(dataset).removeprefix(start)
        return dict(name=named(value), label=named(value) or labels[name], flag=flag)

    order = [f.name for f in fields(Choice) if f.name in values]
    return {name: [offered(name, value) for value in values[name]] for name in order}


# --- what is measured ---------------------------------------------------------------------------


@dataclass(eq=False)
class Tally:
    """The distinct predictions of one part: AUC and influences of each, and who came with it first.

    Attributes:
        of: index of a prediction, by the digest of its scores. first: a choice that makes it.
    """

    samples: Samples
    auc: list[float] = field(default_factory=list)
    h: list[np.ndarray] = field(default_factory=list)
    first: list[Choice] = field(default_factory=list)
    of: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self):
        if len(np.unique(self.samples.liked)) < 2:
            raise InputError(f"{self.samples.data.name}: all samples are liked, or none, so there is no AUC to explore")
        _, self.user = np.unique(self.samples.user, return_inverse=True)

    def add(self, choice: Choice, scores: np.ndarray) -> int:
        """The index of a prediction, which may be one that is known."""
        known = hashlib.sha256(scores.tobytes()).digest()
        if known not in self.of:
            self.of[known] = len(self.auc)
            value, h = influences(self.samples.liked, scores, self.user)
            self.auc.append(value), self.h.append(h), self.first.append(choice)
        return self.of[known]


@dataclass(eq=False)
class Votes:
    """The vote of the grid's choices, made once for all that show the same items, be it in another order."""

    study: Study
    made: dict[Choice, dict[str, np.ndarray]] = field(default_factory=dict)

    def of(self, choice: Choice) -> dict[str, np.ndarray]:
        """The mean rating of what is shown, for all samples of each part."""
        alike = shows_the_same(self.study, choice)
        if alike not in self.made:
            self.made[alike] = {part: vote(self.study.shown(alike, self.study.samples(part))) for part in PARTS}
        return self.made[alike]

    def read(self, choice: Choice) -> dict[str, np.ndarray]:
        """Scores by the choice's reader: those of `Study.predict`, in whose memory they would all be kept."""
        votes = self.of(replace(choice, reader="vote"))
        if choice.reader == "vote":
            return votes
        mean = METHOD.read_by("item's mean rating")
        means = {part: self.study.predict(mean, part) for part in PARTS}
        liked = self.study.split.valid.liked
        calibrated = platt(votes["valid"], liked)
        both = [means, {part: calibrated(votes[part]) for part in PARTS}]
        every = [np.concatenate([each[part] for part in PARTS]) for each in both]
        p, _ = combine([each["valid"] for each in both], liked, every)
        return dict(zip(PARTS, np.split(p, [len(votes[PARTS[0]])]), strict=True))


def shows_the_same(study: Study, choice: Choice) -> Choice:
    """The plainest choice that shows the same items, whatever their order, as which the vote does not see."""
    k, alpha = choice.k, choice.alpha
    if choice.selector == "sequential":
        return replace(choice, selector="high")
    if choice.selector == "rerank":
        alpha = study.best_alpha(study.items(choice), k) if alpha is None else alpha
        if alpha in (0, 1):  # one of the two channels alone
            return Choice(selector="recent", k=k) if alpha == 0 else replace(choice, selector="high", alpha=None)
        return replace(choice, alpha=alpha)
    if choice.selector == "released":
        kept = floor((1 - (1 / 3 if choice.recent is None else choice.recent)) * k + ROUNDED)
        if kept in (0, k):
            return Choice(selector="recent", k=k) if kept == 0 else replace(choice, selector="high", recent=None)
        return replace(choice, recent=1 - kept / k)
    return choice


def measure(study: Study, command: str, representations: Sequence[str]) -> dict:
    """All that the page shows of a study.

    Args:
        command: of the method's row; flags follow it (see `axes`).
        representations: those to measure.

    Returns:
        What JSON holds. ``parts`` has of ``valid`` and ``test``: ``auc`` in 1e-5, of each distinct prediction;
        ``points``, a text of each axis (see `packed`), and the ``step`` of their numbers; ``curves``, by their keys
        the index of the prediction at each K; ``checked``, how far intervals are from those of the bootstrap.

    Raises:
        InputError: all samples of a part are liked, or none.
    """

    def of_items(name: str) -> tuple[str, ...]:
        return tuple(name.split("|")[1:3])  # representation and weights

    began, grid = perf_counter(), curves(representations)
    tallies = {part: Tally(study.samples(part)) for part in PARTS}
    found = {part: {name: [] for name in grid} for part in PARTS}
    with Progress(f"explorer of {study.split.data.name}", len(grid) * len(K), "choices") as progress:
        for _, alike in groupby(sorted(grid, key=of_items), of_items):
            votes = Votes(study)  # a representation's at a time
            for k, name in product(K, list(alike)):  # K first: of halves, what is retrieved depends on it
                at_k = replace(grid[name], k=k)
                for part, scores in votes.read(at_k).items():
                    found[part][name].append(tallies[part].add(at_k, scores))
                progress.add()
    data = study.split.data
    return dict(
        dataset=data.name,
        command=command,
        k=study.size.k,
        axes=axes(data.name, representations),
        options={selector: option for selector, (option, _) in OPTIONS.items()},
        missing=[name for name in built_in(REPRESENTATIONS) if name not in representations],
        reads_items=[name for name in SELECTORS if SELECTORS[name].reads_items],
        timed=bool(data.timed),
        alpha=_chosen(study, grid),
        parts={part: _written(study, tally, found[part]) for part, tally in tallies.items()},
        seconds=round(perf_counter() - began),
    )


def _chosen(study: Study, grid: dict[str, Choice]) -> dict[str, list[str]]:
    """The alpha that validation chooses at each K, by representation and weights."""
    of = {c.representation + "|" + named(c.weights): c for c in grid.values() if c.selector == "rerank"}
    return {name: [named(study.best_alpha(study.items(c), k)) for k in K] for name, c in of.items()}


def _written(study: Study, tally: Tally, found: dict[str, list[int]]) -> dict:
    step, points = rounded(np.array(tally.h))
    return dict(
        n=len(tally.samples),
        users=len(tally.h[0]),
        likes=round(float(tally.samples.liked.mean()), 4),
        step=step,
        auc=np.rint(np.array(tally.auc) * 10**DIGITS).astype(int).tolist(),
        points=packed(points),
        curves=found,
        checked=_checked(study, tally, step * points),
    )


def rounded(h: np.ndarray) -> tuple[float, np.ndarray]:
    """Points whose distances are those of the rows of ``h``, in whole steps.

    Rows are turned to their principal axes, so that most of what is rounded is 0, and cut to those that are left.

    Returns:
        The step, a `FINE`-th of the median distance of two rows, and int64 [n, n_axes]; distances are in steps.
    """
    _, axis = np.linalg.eigh(h.T @ h)
    turned = h @ axis[:, ::-1]
    one, other = np.random.default_rng(0).integers(0, len(h), (2, 5000))
    apart = np.linalg.norm(h[one] - h[other], axis=1)
    step = float(f"{np.median(apart[apart > 0]) / FINE:.3g}") if (apart > 0).any() else 1.0
    points = np.rint(turned / step).astype(int)
    return step, points[:, (points != 0).any(0)]


def packed(points: np.ndarray) -> list[str]:
    """A text of each column: of a number n the character 32 + 2 n, below zero 31 - 2 n. It compresses well."""
    return ["".join(map(chr, 32 + np.where(column >= 0, 2 * column, -2 * column - 1))) for column in points.T]


def unpacked(texts: list[str]) -> np.ndarray:
    """Inverse of `packed`, int64 [n, n_axes]."""
    code = np.array([[ord(c) - 32 for c in text] for text in texts]).T
    return np.where(code % 2, -(code + 1) // 2, code // 2)


def _checked(study: Study, tally: Tally, points: np.ndarray) -> dict:
    """How far the ends of intervals are from those of 1,000 bootstrap replicates: the median, and the worst.

    ``seeds`` is how far these are from themselves with another seed.
    """
    some = np.random.default_rng(0).permutation(len(tally.auc))[:CHECKED]
    part = next(part for part in PARTS if study.samples(part) is tally.samples)
    scores = [Votes(study).read(tally.first[i])[part] for i in some]
    replicates = []
    for seed in (0, 1):
        user, drawn = resampled_users(tally.samples.user, RESAMPLES, seed)
        replicates.append([aucs(tally.samples.liked, p, user, drawn) for p in scores])
    ours, seeds, sds = [], [], []
    for i, j in combinations(range(len(some)), 2):
        first, second = (difference(each[i] - each[j], drawn.shape[1]) for each in replicates)
        sd = float(np.linalg.norm(points[some[i]] - points[some[j]]))
        value = tally.auc[some[i]] - tally.auc[some[j]]
        ours += [abs(value - WIDTH * sd - first.low), abs(value + WIDTH * sd - first.high)]
        seeds += [abs(first.low - second.low), abs(first.high - second.high)]
        sds.append(sd)
    worst = {
        name: [float(f"{f(of):.2g}") for f in (np.median, np.max)] for name, of in (("ends", ours), ("seeds", seeds))
    }
    return worst | dict(pairs=len(sds), sd=float(f"{np.median(sds):.2g}"))
