"""The explorer's numbers: the AUC of each choice on a grid, and what gives the interval of any pair's difference.

A page without a server can hold no bootstrap of each of some million pairs. It holds a point for each choice instead:
the users' influences on its AUC (see `evaluation.influence`), turned to their principal axes and rounded. The distance
of two points is the standard deviation of the choices' paired difference, the length of one that of its AUC.

These are sums over many ratings, and tell nothing of a single one: they may be published where the ratings may not.
"""

import ast
import gzip
import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from itertools import combinations
from math import gcd
from pathlib import Path
from time import perf_counter

import numpy as np

from ..data.split import Samples
from ..evaluation.calibration import platt
from ..evaluation.influence import WIDTH, influences
from ..evaluation.metrics import RESAMPLES, difference
from ..evaluation.resampling import aucs, resampled_users
from ..infra.code import bare, digest_of
from ..infra.errors import InputError
from ..infra.files import data_dir, published_dir
from ..infra.progress import Progress
from ..pipeline import METHOD, PARTS, Choice, Study
from ..readers.combination import combine
from ..readers.vote import vote
from ..representations.mixture import REPRESENTATIONS
from ..retrieval.selectors import SELECTORS

K = (1, 2, 3, 5, 10, 15, 20, 30, 50)
ALPHAS = (None, 0.0, 1 / 5, 1 / 3, 1 / 2, 2 / 3, 4 / 5, 9 / 10, 1.0)  # None: by validation, as the paper has it
SHARES = (None, 0.0, 1 / 6, 1 / 2, 2 / 3, 5 / 6, 1.0)  # None: the released code's third
OPTIONS = {"rerank": ("alpha", ALPHAS), "released": ("recent", SHARES)}  # of selectors, and their values
READ_BY = ("vote", "item mean + vote")
QUARTERS = 4  # in which the weights of a mixture are given
FINE = 15  # steps of the rounding in a typical standard deviation of a difference
CHECKED = 20  # choices whose differences' intervals are compared with the bootstrap's
DIGITS = 5  # of an AUC
TITLES = {
    "ml-100k": "MovieLens-100K",
    "ml-1m": "MovieLens-1M",
    "bookcrossing": "BookCrossing",
    "amazon-movies": "Amazon movies",
    "tiny": "tiny (generated)",
}
# what an AUC depends on beside the data and what was trained on them
MODULES = (
    "evaluation/calibration.py",
    "evaluation/influence.py",
    "readers/combination.py",
    "readers/vote.py",
    "representations/mixture.py",
    "retrieval/learned.py",
    "retrieval/retrieve.py",
    "retrieval/selectors.py",
    "site/explorer.py",
)


# --- the grid -----------------------------------------------------------------------------------


def weights() -> tuple[tuple[int, ...] | None, ...]:
    """Weights of text, collaborative and aligned part: alike, then those in quarters, each in lowest terms."""
    quarters = [(a, b, QUARTERS - a - b) for a in range(QUARTERS + 1) for b in range(QUARTERS + 1 - a)]
    return None, *(tuple(w // gcd(*each) for w in each) for each in quarters)


def curves() -> dict[str, Choice]:
    """The choices of the grid by their keys (see `key`), each without its K.

    The vote reads what every representation and selector shows; of the mixture, with all weights. The item's mean
    beside the vote is fitted anew for each choice, so it has the selectors' defaults only.
    """
    selectors = [name for name in SELECTORS if name in SELECTORS.built_in]
    found = [Choice(selector=name) for name in selectors if not SELECTORS[name].reads_items]
    for name in (name for name in REPRESENTATIONS if name in REPRESENTATIONS.built_in):
        for each in weights() if name == METHOD.representation else (None,):
            for selector in (selector for selector in selectors if SELECTORS[selector].reads_items):
                option, values = OPTIONS.get(selector, ("k", (None,)))
                found += [Choice(name, selector, weights=each, **{option: value}) for value in values]
    plain = [choice for choice in found if not choice.options and choice.weights is None]
    return {key(choice): choice for choice in (*found, *(choice.read_by(READ_BY[1]) for choice in plain))}


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


def axes(dataset: str) -> dict[str, list[dict[str, str]]]:
    """What each knob offers, by the field of `Choice` and in their order: its name, its label, its flag of the command.

    The command of a choice is the data set's, then its flags in this order.
    """
    start = METHOD.command(dataset)
    built_in = {"representation": REPRESENTATIONS, "selector": SELECTORS}
    values = {name: [value for value in of if value in of.built_in] for name, of in built_in.items()}
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


def read(study: Study, choice: Choice) -> dict[str, np.ndarray]:
    """Scores of all samples of each part by a choice of the grid: `Study.predict`, and nothing is kept in memory."""
    votes = {part: vote(study.shown(choice, study.samples(part))) for part in PARTS}
    if choice.reader == "vote":
        return votes
    mean = METHOD.read_by("item's mean rating")
    means = {part: study.predict(mean, part) for part in PARTS}
    liked = study.split.valid.liked
    calibrated = platt(votes["valid"], liked)
    both = [means, {part: calibrated(votes[part]) for part in PARTS}]
    p, _ = combine([each["valid"] for each in both], liked, [np.concatenate([each[p] for p in PARTS]) for each in both])
    return dict(zip(PARTS, np.split(p, [len(votes[PARTS[0]])]), strict=True))


def measure(study: Study, command: str) -> dict:
    """All that the page shows of a study.

    Args:
        command: of the method's row; flags follow it (see `axes`).

    Returns:
        What JSON holds. ``parts`` has of ``valid`` and ``test``: ``auc`` in 1e-5, of each distinct prediction;
        ``points``, a text of each axis (see `packed`), and the ``step`` of their numbers; ``curves``, by their keys
        the index of the prediction at each K; ``checked``, how far intervals are from those of the bootstrap.

    Raises:
        InputError: all samples of a part are liked, or none.
    """
    began, grid = perf_counter(), curves()
    tallies = {part: Tally(study.samples(part)) for part in PARTS}
    found = {part: {name: [] for name in grid} for part in PARTS}
    with Progress(f"explorer of {study.split.data.name}", len(grid) * len(K), "choices") as progress:
        for name, choice in grid.items():
            for k in K:
                at_k = replace(choice, k=k)
                for part, scores in read(study, at_k).items():
                    found[part][name].append(tallies[part].add(at_k, scores))
                progress.add()
    data = study.split.data
    return dict(
        dataset=data.name,
        title=TITLES.get(data.name, data.name),
        command=command,
        k=study.size.k,
        axes=axes(data.name),
        options={selector: option for selector, (option, _) in OPTIONS.items()},
        reads_items=[name for name in SELECTORS if SELECTORS[name].reads_items],
        timed=bool(data.timed),
        alpha=_chosen(study),
        parts={part: _written(study, tally, found[part]) for part, tally in tallies.items()},
        seconds=round(perf_counter() - began),
        made_of=made_of(study),
    )


def _chosen(study: Study) -> dict[str, list[str]]:
    """The alpha that validation chooses at each K, by representation and weights."""
    of = {c.representation + "|" + named(c.weights): c for c in curves().values() if c.selector == "rerank"}
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
    scores = [read(study, tally.first[i])[part] for i in some]
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


def made_of(study: Study) -> dict:
    """All that the numbers depend on; trains what is not at hand."""
    for name in REPRESENTATIONS.built_in:
        study.representation(name)
    _ = study.ranker
    return dict(
        data=study.split.data.hash,
        llm=study.llm.weights,
        k=study.size.k,
        seed=study.seed,
        trained=dict(sorted(study.trained.items())),
        code=code(),
    )


def code() -> dict[str, str]:
    """Digests of the modules that compute what is shown, whatever their comments and layout."""
    package = Path(__file__).parents[1]
    return {name: digest_of(bare(ast.parse((package / name).read_bytes()))) for name in MODULES}


# --- files --------------------------------------------------------------------------------------


def local_path(name: str) -> Path:
    """Where a user's own numbers of a data set lie; git ignores them."""
    return data_dir() / "explorer" / f"{name}.json.gz"


def published_path(name: str) -> Path:
    """Where the repository's lie: the page can be made where the data are not."""
    return published_dir() / name / "explorer.json.gz"


def save(path: Path, record: dict) -> Path:
    """Write a record, gzipped; the same record gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(_json(record).encode(), 9, mtime=0))
    return path


def load(path: Path) -> dict:
    """A record that `save` wrote."""
    return json.loads(gzip.decompress(path.read_bytes()))


def _json(record) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
