"""The paper's steps from data to P(like), top to bottom: a `Study` holds them, a `Choice` names an alternative.

Every step answers from the cache, and is made when it is first asked for.
"""

import shlex
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from .data.loading import load
from .data.split import Samples, Split, split
from .evaluation.calibration import platt
from .evaluation.metrics import RESAMPLES, adjust, auc, columns, difference, results_table
from .evaluation.resampling import MANY, kept_aucs, resampled_users
from .infra.cache import Cache, NotKept, default_cache, make_room, noting, only_kept
from .infra.code import codes_of
from .infra.errors import InputError, at_least, one_of, within
from .infra.parallel import side_by_side
from .llm.base import LanguageModel
from .llm.known import known_adapter
from .llm.opening import language_model
from .profiles import PAPER, TUNINGS, Profile, profile
from .readers import named  # noqa: F401 - registers the readers
from .readers.adapter import Adapter, adapter, known, which
from .readers.base import READERS
from .readers.conventional import WORTH_A_PROCESS, baselines, tuned
from .readers.prompts import Details
from .readers.vote import vote
from .representations.alignment import STOPS, TWO_SIDED, align
from .representations.lightgcn import EDGES, MOST_LAYERS, LightGCNSettings, train_lightgcn
from .representations.mixture import REPRESENTATIONS, Recipe, principal_components, text, weights_of_parts
from .representations.text import describe, plain
from .retrieval.learned import COMPARED, LearnedReranker, learn_reranker
from .retrieval.retrieve import Representation, Shown, retrieve, shifted
from .retrieval.selectors import ALPHA, ALPHAS, BOTH, ORDERS, SELECTORS, two_channels

PARTS = ("test", "valid")
OPTIONS = ("alpha", "beta", "both", "order", "recent")  # of selectors
KEPT = 2**30  # bytes of retrievals of a whole part that are kept in memory
MOST = 50  # items that each of them holds: what a smaller K shows is the beginning of it
DRAWN = 100, 10_000  # of so many samples, as they are drawn for an LLM, what is shown is kept in the cache


@dataclass(frozen=True)
class Choice:
    """The method with some of its parts chosen otherwise; the defaults are the method's.

    Attributes:
        representation: a name of `REPRESENTATIONS`: ``mixture``, ``text``, ``colla`` … (see `mixture`).
        selector: a name of `SELECTORS`: ``recent high sequential rerank released learned``.
        reader: a name of `READERS`: ``vote``, ``llm``, ``zero-shot``, ``lightgbm`` …
        k: history items shown; None takes the profile's.
        alpha, beta, both, order: of ``rerank`` (see `selectors.two_channels`); None is what the paper says, alpha
            chosen on validation samples.
        recent: share of recent items under ``released``; None is its third.
        weights: of the parts of a mixture (text, collaborative, aligned in ``mixture``); None weighs them alike.
        layers, edges: of LightGCN. temperature, stop: of the alignment. None takes the profile's.

    Raises:
        InputError: a number that is none, or out of its range. Names are looked up when the choice is used.
    """

    representation: str = "mixture"
    selector: str = "rerank"
    reader: str = "vote"
    k: int | None = None
    alpha: float | None = None
    beta: float | None = None
    both: str | None = None
    order: str | None = None
    recent: float | None = None
    weights: tuple[float, ...] | None = None
    layers: int | None = None
    edges: str | None = None
    temperature: float | None = None
    stop: str | None = None

    def __post_init__(self):
        if self.k is not None:
            at_least("k", self.k, 1)
        for name in ("alpha", "recent"):
            if getattr(self, name) is not None:
                within(name, getattr(self, name), 0, 1)
        if self.beta is not None:
            within("beta", self.beta, 0, above=True)
        for name, valid in (("both", BOTH), ("order", ORDERS)):
            if getattr(self, name) is not None:
                one_of(name, getattr(self, name), valid)
        if self.weights is not None:
            object.__setattr__(self, "weights", weights_of_parts(self.weights))
        if self.layers is not None:
            at_least("layers", self.layers, 0)
            within("layers", self.layers, 0, MOST_LAYERS)
        if self.edges is not None:
            one_of("edges", self.edges, EDGES)
        if self.temperature is not None:
            within("temperature", self.temperature, 0, above=True)
        if self.stop is not None:
            one_of("stop", self.stop, STOPS)

    def command(self, dataset: str, extra: str = "") -> str:
        """The command line that makes this row; ``extra`` is the file that registers what is one's own in it."""
        said = [f"rallrec ablate --dataset {dataset}"] + ([f"--extra {shlex.quote(extra)}"] if extra else [])
        for f in fields(self):
            value = getattr(self, f.name)
            if value != f.default:
                values = value if isinstance(value, tuple) else (value,)
                said.append(f"--{f.name} " + " ".join(map(_written, values)))
        return " ".join(said)

    @property
    def options(self) -> dict:
        """The settings of the selector that it names."""
        given = {name: getattr(self, name) for name in OPTIONS}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def identity(self) -> tuple:
        """A key for what the choice stands for: a name that is registered anew stands for something else."""
        return self, READERS[self.reader], SELECTORS[self.selector], REPRESENTATIONS[self.representation]

    def read_by(self, reader: str) -> "Choice":
        """The same, read by another reader."""
        return replace(self, reader=reader)


def _written(value) -> str:
    """A setting, as a command line gives it back exactly: ``1/3`` rather than 0.3333."""
    if isinstance(value, float):
        fraction = Fraction(value).limit_denominator(100)
        short = str(int(value)) if value.is_integer() else repr(value)
        return str(fraction) if len(short) > 6 and float(fraction) == value else short
    return shlex.quote(str(value))


@dataclass(eq=False)
class Study:
    """All that choices are made of, from the ratings to the readers.

    ``study["title"]``, ``study["description"]`` [n_items, d_llm], ``study["text"]`` [n_items, 2 d_llm],
    ``study["colla"]`` and ``study["ssl"]`` [n_items, d] are its parts; by its name, a representation that is one matrix
    is had in the same way.

    Attributes:
        llm: the LLM that describes and embeds. reader: the LLM that is asked for P(like); by default the same one.
            Both without an adapter.
        n_asked: test samples that readers with an LLM judge; None takes the profile's for ablations.
        parts: embeddings at hand, by name; those that are missing are made when they are asked for.
        base: the study of which this is a variant, see `variant`. differs: parts that it does not share with it.
        shifted: whether items are compared by the embedding of the next raw id (see `retrieve.shifted`).
        cache: where graphs, alignments and votes are kept; by default the checkout's.
    """

    split: Split
    llm: LanguageModel
    size: Profile
    seed: int = 0
    reader: LanguageModel | None = None
    n_asked: int | None = None
    parts: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    base: "Study | None" = field(default=None, repr=False)
    differs: tuple[str, ...] = ()
    shifted: bool = False
    cache: Cache | None = field(default=None, repr=False)
    _kept: dict[Hashable, object] = field(default_factory=dict, repr=False)
    _retrieved: dict[Hashable, np.ndarray] = field(default_factory=dict, repr=False)
    _used: set[str] = field(default_factory=set, repr=False)  # parts asked for, see `items`
    _trained: dict[str, str] = field(default_factory=dict, repr=False)  # see `trained`

    def __post_init__(self):
        at_least("seed", self.seed, 0)
        if self.reader is None:
            self.reader = self.llm
        if self.n_asked is not None:
            at_least("n_asked", self.n_asked, 1)

    @classmethod
    def of(
        cls, dataset: str, llm: str, profile_name: str = "quick", seed: int = 0, reader: str = "", **options
    ) -> "Study":
        """A study from names, as the command line gives them; ``options`` are other attributes.

        Args:
            reader: the LLM that is asked for P(like); nothing for ``llm``.

        Raises:
            InputError: an unknown name, a seed below 0, or another attribute out of its range.
        """
        size = profile(profile_name)
        at_least("seed", seed, 0)  # before the LLM is fetched
        data, opened = split(load(dataset)), language_model(llm)
        return cls(data, opened, size, seed, language_model(reader) if reader not in ("", llm) else opened, **options)

    def remember(self, key: Hashable, make: Callable):
        """What ``make()`` gave when it was first asked for under this key."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    # --- the parts and what is mixed of them (paper, sections 2.2.1 to 2.2.4)

    def __getitem__(self, name: str) -> np.ndarray:
        """A part, or a representation that is one matrix, float32 [n_items, d]."""
        if name not in STEPS and name not in self.parts:
            made = self.representation(name)
            if len(made.parts) > 1:
                raise InputError(f"representation {name!r} is not one matrix but {len(made.parts)}, {made.fusion}")
            return made.parts[0]
        self._used.add(name)
        if name not in self.parts:
            shared = self.base is not None and name not in self.differs
            with noting(self._trained):
                self.parts[name] = self.base[name] if shared else STEPS[name](self)
        return self.parts[name]

    @property
    def trained(self) -> dict[str, str]:
        """What was trained until now of all that is shown: the key in the cache, and the step (``lightgcn`` …).

        The keys hold all that a training was made of, so two processors that have the same keys ask an LLM the same.
        """
        return (self.base.trained if self.base else {}) | self._trained

    def representation(self, name: str, weights: Sequence[float] | None = None) -> Representation:
        """A representation by its name.

        Raises:
            InputError: an unknown name, weights where it has none, not a finite matrix with a row an item.
        """
        recipe, weights = REPRESENTATIONS[name], None if weights is None else tuple(weights)
        owner = self._owner
        items, used = owner.remember((recipe, weights), lambda: owner._made(recipe, weights))
        self._used |= used
        return items

    @property
    def _owner(self) -> "Study":
        """The study whose representations and retrievals these are: its base, where all that they are made of is."""
        same = self.base is not None and not self.differs and self.split is self.base.split and not self.shifted
        return self.base._owner if same else self

    def _made(self, recipe: Recipe, weights: tuple[float, ...] | None) -> tuple[Representation, set[str]]:
        """The representation, and the parts that it is made of."""
        before, self._used = self._used, set()
        try:
            items, data = recipe.of(self, weights), self.split.data
            used = self._used
        finally:
            self._used = before
        if (n := len(items.parts[0])) != data.n_items:
            raise InputError(f"representation {recipe.name!r} has {n} rows; {data.name} has {data.n_items} items")
        return (shifted(items, data) if self.shifted else items), used

    @property
    def _store(self) -> Cache:
        return self.cache or default_cache()

    @property
    def device(self) -> str:
        """Where embeddings and recommenders are trained: the LLM's GPU, if it is on one here."""
        device = str(getattr(self.llm, "device", "cpu"))
        return device if device.startswith("cuda") else "cpu"  # others lack sparse products

    @property
    def method(self) -> Representation:
        """The method's own representation."""
        return self.representation(METHOD.representation)

    @cached_property
    def warm(self) -> np.ndarray:
        return warm_items(self.split)

    def variant(self, choice: Choice) -> "Study":
        """This study with the trainings that a choice asks for, or itself."""
        graph = {n: v for n, v in (("layers", choice.layers), ("edges", choice.edges)) if v is not None}
        alignment = {n: v for n in ("temperature", "stop") if (v := getattr(choice, n)) is not None}
        if not graph and not alignment:
            return self
        size = replace(self.size, alignment=self.size.alignment | alignment)
        if graph:  # these graphs are trained for fewer epochs, so compare them with each other
            size = replace(size, lightgcn=self.size.lightgcn | {"epochs": self.size.released_epochs} | graph)
        key = "variant", tuple(graph.items()), tuple(alignment.items())
        return self.remember(key, lambda: self.changed(size, ALIGNED if not graph else GRAPH + ALIGNED))

    def changed(self, size: Profile, differs: tuple[str, ...], **others) -> "Study":
        """A variant of other sizes, which makes the parts ``differs`` anew and shares all else, the adapter, too."""
        given = dict(size=size, base=self, differs=differs, parts={}, _kept={}, _retrieved={}, _used=set(), _trained={})
        return replace(self, **given | others)

    def items(self, choice: Choice) -> Representation:
        """The representation that a choice asks for.

        Raises:
            InputError: a setting of a training that the representation does not depend on.
        """
        study = self.variant(choice)
        study._used.clear()
        made = study.representation(choice.representation, choice.weights)
        for setting, parts in (
            ("layers", GRAPH + ALIGNED),
            ("edges", GRAPH + ALIGNED),
            ("temperature", ALIGNED),
            ("stop", ALIGNED),
        ):
            if getattr(choice, setting) is not None and not study._used & set(parts):
                raise InputError(f"representation {choice.representation!r} does not depend on {setting}")
        return made

    def train(self, choices: Iterable[Choice]) -> dict[Choice, float]:
        """Train side by side what the representations of choices lack; see `train`.

        Returns:
            The seconds that each choice's trainings took, beside the others.
        """
        choices = list(choices)
        return dict(zip(choices, train([(self, choice) for choice in choices]), strict=True))

    # --- what is shown (paper, sections 2.2.4 and 2.4)

    def samples(self, part: str) -> Samples:
        """All samples of ``test`` or ``valid``."""
        one_of("part", part, PARTS)
        return getattr(self.split, part)

    def asked(self, part: str = "test") -> Samples:
        """The samples that readers with an LLM judge, drawn at random, the same for all of them."""
        on_test = self.size.ablation_samples if self.n_asked is None else self.n_asked
        n = {"test": on_test, "valid": self.size.valid_samples}
        everyone = self.samples(part)
        return self.remember(("asked", part), lambda: everyone.take(everyone.draw(n[part], self.seed)))

    @cached_property
    def ranker(self) -> LearnedReranker:
        """The learned reranker, fitted when it is first asked for."""
        if self.base is not None:
            return self.base.ranker
        with noting(self._trained):
            return self.fit_ranker()

    def fit_ranker(self, cache: Cache | None = None) -> LearnedReranker:
        """The learned reranker out of a cache, or fitted; an empty cache has it fitted anew."""
        compared = {name: self.representation(name) for name in COMPARED}
        return learn_reranker(self.split, self.method, compared, self.size.llm_k, seed=self.seed, cache=cache)

    def retrieve(self, samples: Samples, items: Representation, k: int) -> Shown:
        """`retrieve.retrieve`; what it found for all test or validation samples is kept for any K."""
        if not self._whole(samples) or k > MOST:
            return retrieve(samples, items, k)
        most = k if items.fusion == "halves" else MOST  # of halves the first items depend on K
        key, kept = (items, samples, most), self._owner._retrieved
        if key not in kept:
            found = retrieve(samples, items, most).position.astype(np.int32)
            make_room(kept, found, KEPT)
            kept[key] = found
        return Shown(samples, kept[key][:, :k].astype(np.int64))

    def shown(self, choice: Choice, samples: Samples, k: int | None = None) -> Shown:
        """What is shown of each sample, [n_samples, K]; of drawn samples from the cache if it is kept there.

        Args:
            k: where the choice names none; by default the reader's.

        Raises:
            InputError: a setting that the selector, or the representation, does not have.
        """
        selector = SELECTORS[choice.selector]
        k = at_least("k", choice.k if choice.k is not None else k or READERS[choice.reader].k(self, choice), 1)

        def found() -> Shown:
            return selector.show(self, samples, self._compared(choice), k, **choice.options)

        kept = min(DRAWN) <= len(samples) <= max(DRAWN) and not self._whole(samples)
        if not kept or (by := self.shown_by(choice, k)) is None:
            return found()
        of = dict(step="shown", samples=samples.position, by=by)
        position = self._store.small(of, lambda: dict(position=found().position.astype(np.int32)))["position"]
        return Shown(samples, position.astype(np.int64))

    def _compared(self, choice: Choice) -> Representation | None:
        """What a choice's selector compares items by; None where it reads no one representation."""
        if SELECTORS[choice.selector].reads_items:
            return self.items(choice)
        for name in ("weights", "layers", "edges", "temperature", "stop"):
            if getattr(choice, name) is not None:
                raise InputError(f"selector {choice.selector!r} reads no one representation, so {name} changes nothing")
        return None

    def voted(self, choice: Choice, samples: Samples, k: int | None = None) -> np.ndarray:
        """`vote` on what is `shown`, float64 [n_samples]."""
        return self.of_shown(vote, choice, samples, k or self.size.k)

    def of_shown(
        self, make: Callable[[Shown], np.ndarray], choice: Choice, samples: Samples, k: int | None = None, **others
    ) -> np.ndarray:
        """``make`` of what is `shown`; of all test or validation samples an answer from the cache if there is one.

        Args:
            make: its module's code, and that of `vote`, are part of the key. others: what else it depends on.
        """
        by = self.shown_by(choice, k) if self._whole(samples) else None
        if by is None:
            return make(self.shown(choice, samples, k))
        of = dict(step=make.__name__, code=codes_of(make, vote), samples=samples.position, by=by, **others)
        return self._store.small(of, lambda: dict(made=make(self.shown(choice, samples, k))))["made"]

    def shown_by(self, choice: Choice, k: int | None = None) -> dict | None:
        """All that `shown` depends on beside the samples, for a key; None where a user's own selector chooses."""
        of = dict(selector=choice.selector, k=choice.k or k or READERS[choice.reader].k(self, choice), **choice.options)
        items, chosen_by = self._compared(choice), SELECTORS[choice.selector].choose.__module__
        if chosen_by == LearnedReranker.__module__:
            return of | dict(ranker=self.ranker.key)
        return of | self._similarity_of(items) if chosen_by == two_channels.__module__ else None

    def _whole(self, samples: Samples) -> bool:
        return any(samples is part for part in (self.split.test, self.split.valid))

    def _similarity_of(self, items: Representation | None) -> dict:
        """What follows from similarities of items, and from validation samples, depends on this, for a key."""
        of = dict(code=codes_of(retrieve, two_channels, vote), data=self.split.data.hash)
        return of | dict(items=items and items.digests, valid=self.split.valid.position)

    def best_alpha(self, items: Representation, k: int, beta: float = 1.0, both: str = "sum") -> float:
        """The alpha of `ALPHAS` whose vote has the highest AUC on validation samples (paper, section 2.4).

        To four digits: `ALPHA` where it is as good as the best, or where there is no AUC.
        """

        def best() -> float:
            valid = self.split.valid
            similar = self.retrieve(valid, items, k)
            aucs = [auc(valid.liked, vote(two_channels(similar, alpha, beta, both))) for alpha in ALPHAS]
            found = dict(zip(ALPHAS, np.round(aucs, 4), strict=True))
            best = max(found.values())
            return ALPHA if np.isnan(best) or found[ALPHA] == best else next(a for a in ALPHAS if found[a] == best)

        def kept() -> float:
            of = dict(step="alpha", k=k, beta=beta, both=both, of=self._similarity_of(items))
            return float(self._store.small(of, lambda: dict(alpha=np.float64(best())))["alpha"])

        return self._owner.remember(("alpha", items, k, beta, both), kept)

    # --- who reads it (paper, section 2.3)

    def adapter_of(self, tuning: str = PAPER, seed: int | None = None) -> Adapter:
        """The reader's adapter of a tuning (see `TUNINGS`): published, borrowed, or trained now.

        Args:
            seed: None for the study's; with a seed, no other data set's adapter is borrowed.
        """
        if self.base is not None:
            return self.base.adapter_of(tuning, seed)
        borrow = self._lender(tuning) if seed is None else None
        seed = self.seed if seed is None else at_least("seed", seed, 0)
        return adapter(*self._adapter_wanted, borrow, **self._tuned(tuning), seed=seed, tuning=tuning)

    def adapter_at_hand(self, tuning: str = PAPER) -> Path | None:
        """The folder of the adapter, if it needn't be trained."""
        return which(*self._adapter_wanted, self._lender(tuning), **self._tuned(tuning), seed=self.seed, tuning=tuning)

    def _lender(self, tuning: str) -> str | None:
        """The data set whose adapter may be borrowed.

        Of another tuning than the paper's only where the paper's is borrowed, too: a comparison of the two would else
        be one of the data that they were trained on.
        """
        if tuning == PAPER or self.size.borrow is None:
            return self.size.borrow
        of_paper = self._tuned(PAPER) | dict(seed=self.seed, tuning=PAPER)
        own = which(*self._adapter_wanted, **of_paper) or known(*self._adapter_wanted, **of_paper)
        return None if own else self.size.borrow

    def _tuned(self, tuning: str) -> dict:
        one_of("tuning", tuning, TUNINGS)
        return self.size.adapter | dict(orders=TUNINGS[tuning])

    @property
    def _adapter_wanted(self) -> tuple:
        size = self.size
        made_of = dict(representation=METHOD.representation, lightgcn=size.lightgcn, alignment=size.alignment)
        made_of |= dict(learned_k=size.llm_k, seed=self.seed)
        if self.reader is not self.llm:
            made_of["described_by"] = self.llm.weights

        def show(order: str, samples: Samples, k: int) -> Shown:
            return self.shown(Choice(selector=order), samples, k)

        return self.split, show, made_of, self.reader

    def known_adapter(self, tuning: str = PAPER) -> Adapter | None:
        """What is known of an adapter whose answers are published and whose weights are not."""
        return known(*self._adapter_wanted, **self._tuned(tuning), seed=self.seed, tuning=tuning)

    def adapted(self, tuning: str = PAPER) -> LanguageModel:
        """The reader with its adapter of a tuning; of one that is not here its published answers, as far as they go."""
        if self.base is not None:
            return self.base.adapted(tuning)

        def here() -> LanguageModel:
            return self.reader.adapted(self.adapter_of(tuning).folder)

        def opened() -> LanguageModel:
            if self.adapter_at_hand(tuning) or not (found := self.known_adapter(tuning)):
                return here()
            return known_adapter(self.reader, found.digest, here)

        return self.remember(("adapted", tuning), opened)

    def affordable(self, rows: dict[str, Choice]) -> dict[str, Choice]:
        """The rows without those whose adapter is neither here nor known, and which the profile does not train."""

        def has(choice: Choice) -> bool:
            tuning = getattr(READERS[choice.reader], "tuning", None)
            if tuning in (None, *self.size.tunings):
                return True
            return bool(self.adapter_at_hand(tuning) or self.known_adapter(tuning))

        return {label: choice for label, choice in rows.items() if has(choice)}

    @property
    def details(self) -> Details:
        """What the reader's prompts tell."""
        return Details.of(self.size.adapter.get("tells", ()), self.split)

    def conventional(self, model: str, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """P(like) of all validation and of all test samples by a conventional recommender, its settings tuned."""
        return self.conventionals([model], [self.seed if seed is None else seed])[model][0]

    def conventionals(self, models: Sequence[str], seeds: Sequence[int]) -> dict[str, list[tuple]]:
        """What `conventional` gives by each of ``models``, for each of ``seeds``; trained side by side."""
        settings, _ = self.tuned(models)
        wanted = [(model, settings[model] | dict(seed=seed)) for model in models for seed in seeds]
        made = iter(baselines(wanted, self.split, device=self.device))
        return {model: [next(made)[1:] for _ in seeds] for model in models}

    def tuned(self, models: Sequence[str]) -> tuple[dict[str, dict], pd.DataFrame]:
        """Settings of conventional recommenders that are best on validation samples, and the AUC of all tried.

        As `conventional.tuned` gives them; trained side by side.
        """
        grid = [dict(decay=d, learning_rate=lr) for d in self.size.decays for lr in self.size.learning_rates]

        def search() -> tuple[dict[str, dict], pd.DataFrame]:
            with noting(self._trained):
                return tuned(models, self.split, grid, self.seed, self.device)

        return self.remember(("tuned", *models), search)

    def with_best_k(self, choice: Choice) -> Choice:
        """The choice with the K whose vote has the highest AUC on validation samples.

        The profile's K, where these are all liked or none is, and so have no AUC.
        """

        def best() -> int:
            aucs = [self.auc(replace(choice, reader="vote", k=k), "valid") for k in self.size.curve_k]
            return self.size.k if np.isnan(aucs).all() else self.size.curve_k[int(np.nanargmax(aucs))]

        return replace(choice, k=self.remember(("best k", *choice.identity), best))

    def predict(self, choice: Choice, part: str = "test", of: Samples | None = None) -> np.ndarray:
        """P(like) by the choice's reader.

        Args:
            of: samples among those that the reader judges; by default all of these.

        Returns:
            float64 [n_judged] or [len(of)].
        """
        one_of("part", part, PARTS)
        reader = READERS[choice.reader]
        p = self.remember(("predict", part, *choice.identity), lambda: reader.predict(self, choice, part))
        judged = reader.judged(self, part)
        return p if of is None or of is judged else p[rows_of(of, judged, choice.reader)]

    def calibrated(self, scores: np.ndarray, valid: np.ndarray, liked: np.ndarray) -> np.ndarray:
        """Probabilities of scores by `platt`; of `MANY` samples from the cache if they are kept there, [n_scores].

        Args:
            valid, liked: scores and labels of validation samples, [n_valid].
        """

        def made() -> dict[str, np.ndarray]:
            return dict(p=platt(valid, liked)(scores))

        if len(valid) < MANY:
            return made()["p"]
        of = dict(step="platt", code=codes_of(platt), by=version("scikit-learn"))
        return self._store.small(of | dict(valid=valid, liked=liked, scores=scores), made)["p"]

    def judged(self, choice: Choice, part: str = "test") -> Samples:
        """The samples that `predict` is for."""
        return READERS[choice.reader].judged(self, part)

    def both(self, one: Choice, other: Choice, part: str = "test") -> tuple[Samples, np.ndarray, np.ndarray]:
        """The samples of a part that the readers of two choices judge, and P(like) by each."""
        mine, theirs = self.judged(one, part), self.judged(other, part)
        common = mine if mine is theirs else mine.take(np.isin(mine.position, theirs.position))
        return common, self.predict(one, part, common), self.predict(other, part, common)

    # --- tables

    def table(
        self, rows: dict[str, Choice], baseline: str, of: Samples | None = None, predict: Callable | None = None
    ) -> pd.DataFrame:
        """`metrics.results_table` of choices by their labels, against one of them.

        Args:
            of: the test samples; by default all that the baseline's reader judges. A row whose reader judges only
                some of them stands there with these alone, and its difference is the baseline's on the same ones.
            predict: ``predict(choice, of=samples)``; by default `predict`. `study.seeds.predict` gives several
                trainings of a trained reader.
        """
        predict = predict or self.predict
        of = self.judged(rows[baseline]) if of is None else of
        has = {label: np.isin(of.position, self.judged(choice).position) for label, choice in rows.items()}
        whole = {label: predict(choice, of=of) for label, choice in rows.items() if has[label].all()}
        made = {row["method"]: row for row in results_table(of, whole, baseline).to_dict("records")}
        for label in rows.keys() - whole.keys():
            some = of.take(has[label])
            p = {name: predict(rows[name], of=some) for name in (label, baseline)}
            made[label] = results_table(some, p, baseline).to_dict("records")[0]
        return adjust(pd.DataFrame([made[label] for label in rows]))  # one family

    def row(self, choice: Choice, beside: Choice) -> pd.DataFrame:
        """One row of the tables, and the method by the same reader.

        Where the row trains a graph of its own, the method's is trained as long, at most (see `variant`).
        """
        beside = self.as_long(choice, beside)
        return self.table({"this row": choice, FULL: beside}, FULL, self.both(choice, beside)[0])

    def as_long(self, choice: Choice, beside: Choice) -> Choice:
        """``beside`` with a graph that is trained as long as that of the choice, at most (see `variant`)."""
        if choice.layers is None and choice.edges is None:
            return beside
        return replace(beside, layers=self.size.lightgcn["layers"], edges="likes")

    def auc(self, choice: Choice, part: str = "test") -> float:
        """AUC of a reader's scores."""
        reader = READERS[choice.reader]
        return auc(reader.judged(self, part).liked, reader.scores(self, choice, part))

    def grid(self, representations: Sequence[str], selectors: Sequence[str], part: str = "valid") -> pd.DataFrame:
        """AUC of the vote, a row a representation, a column a selector."""
        alone = {s: self.auc(Choice(selector=s), part) for s in selectors if not SELECTORS[s].reads_items}
        cells = {
            r: {s: alone[s] if s in alone else self.auc(Choice(r, s), part) for s in selectors} for r in representations
        }
        return pd.DataFrame(cells).T

    def over(
        self,
        field: str,
        values: Sequence,
        choices: dict[str, Choice],
        beside: Choice | None = None,
        part: str = "valid",
    ) -> pd.DataFrame:
        """AUC over values of one field, for each of ``choices``, and its paired difference to one choice.

        Args:
            beside: what all are compared with; by default the method.

        Returns:
            Columns ``choice``, ``field``, ``auc``, ``difference`` with ``_low`` and ``_high`` (95 %, users resampled),
            ``n``.
        """
        rows = []
        for label, choice in choices.items():
            for value in values:
                one = replace(choice, **{field: value})
                samples = self.judged(one, part)
                user, drawn = resampled_users(samples.user, RESAMPLES, 0)
                mine = kept_aucs(samples.liked, READERS[one.reader].scores(self, one, part), user, drawn)
                gained = difference(mine - self._resampled(beside or METHOD, samples, part), drawn.shape[1])
                found = {"auc": mine[0]} | columns("difference", replace(gained, p=None))
                rows.append({"choice": label, field: value} | found | {"n": len(samples)})
        return pd.DataFrame(rows)

    def _resampled(self, choice: Choice, samples: Samples, part: str) -> np.ndarray:
        """The AUC of a choice's scores on samples that its reader judges, and its replicates, [1 + resamples]."""

        def made() -> np.ndarray:
            scores = READERS[choice.reader].scores(self, choice, part)
            rows = rows_of(samples, self.judged(choice, part), choice.reader)
            return kept_aucs(samples.liked, scores[rows], *resampled_users(samples.user, RESAMPLES, 0))

        return self.remember(("resampled", part, len(samples), *choice.identity), made)


for _registry in (REPRESENTATIONS, SELECTORS, READERS):
    _registry.seal()  # what a user's file adds from now on is the user's

METHOD = Choice()

FULL = "RALLRec, all parts"
GRAPH, ALIGNED = ("colla",), ("ssl", "ssl of the title", "ssl of the description", "ssl, two-sided")


def _ssl(study: Study, text: np.ndarray, **others) -> np.ndarray:
    settings = others | study.size.alignment | dict(seed=study.seed, device=study.device, cache=study.cache)
    return align(text, study["colla"], study.warm, **settings)


def _reduced(study: Study, text: np.ndarray) -> np.ndarray:
    """Kept like a training: another processor rounds the decomposition otherwise."""
    return study._store.arrays(dict(step="reduction", text=text), lambda: dict(x=principal_components(text)))["x"]


def _colla(study: Study) -> np.ndarray:
    settings = study.size.lightgcn | dict(seed=study.seed, device=study.device, cache=study.cache)
    return train_lightgcn(study.split, **settings).items


def train(wanted: Sequence[tuple[Study, Choice]]) -> list[float]:
    """Train what the representations of studies' choices are made of and the cache lacks: on a CPU side by side.

    Two cores that share a training gain a fifth; two that have one each, half. What is not built in, what a GPU trains
    and what is small is left to whoever asks for it.

    Returns:
        The seconds of each; 0 where nothing was missing, where an earlier one trains the same, and of one alone, which
        is left as well.
    """
    missing, seconds = {}, [0.0] * len(wanted)
    for n, (study, choice) in enumerate(wanted):
        if study.device == "cpu" and len(study.split.train) >= WORTH_A_PROCESS and not _at_hand(study, choice):
            alone, plain = _by_itself(study, choice)
            graph = LightGCNSettings(**alone.size.lightgcn), alone.split.protocol
            missing.setdefault((plain, *graph, str(alone.size.alignment)), (n, alone, plain))
    if len(missing) > 1:
        jobs = list(missing.values())
        for at, took in side_by_side(_timed, [of for _, *of in jobs], "graphs and alignments"):
            seconds[jobs[at][0]] = took
            Cache.paid += 1
    return seconds


def _at_hand(study: Study, choice: Choice) -> bool:
    """Whether the choice's representation needs no training, or one that another process can't make."""
    if choice.representation not in REPRESENTATIONS.built_in or not SELECTORS[choice.selector].reads_items:
        return True
    try:
        with only_kept():
            study.items(choice)
    except NotKept:
        return False
    return True


def _by_itself(study: Study, choice: Choice) -> tuple[Study, Choice]:
    """What another process needs to train what a choice's representation is made of: no LLM, no base."""
    study = study.variant(choice)
    parts = _parts_at_hand(study) | {name: study[name] for name in ("title", "description")}
    opened = study._store  # a connection can't be handed on
    anew = dict(llm=None, reader=None, base=None, differs=(), cache=Cache(opened.path, opened.published), parts=parts)
    anew |= dict(_kept={}, _retrieved={}, _used=set(), _trained={})
    return replace(study, **anew), Choice(choice.representation, weights=choice.weights)


def _parts_at_hand(study: Study) -> dict[str, np.ndarray]:
    shared = {} if study.base is None else _parts_at_hand(study.base)
    return {name: part for name, part in shared.items() if name not in study.differs} | study.parts


def _timed(study: Study, choice: Choice) -> float:
    began = time.monotonic()
    study.items(choice)
    return time.monotonic() - began


# a study's parts and the step that makes each
STEPS: dict[str, Callable[[Study], np.ndarray]] = {
    "title": lambda study: study.llm.embed(plain(study.split.data)),
    "description": lambda study: study.llm.embed(describe(study.split.data, study.llm)),
    "text": lambda study: text(study["title"], study["description"]),
    "reduced text": lambda study: _reduced(study, study["text"]),
    "reduced description": lambda study: _reduced(study, study["description"]),
    "colla": _colla,
    "ssl": lambda study: _ssl(study, study["text"]),
    "ssl of the title": lambda study: _ssl(study, study["title"]),
    "ssl of the description": lambda study: _ssl(study, study["description"]),
    "ssl, two-sided": lambda study: _ssl(study, study["text"], **TWO_SIDED),
}


def warm_items(split: Split) -> np.ndarray:
    """bool [n_items]: the item has a rating that the graph may see."""
    return np.bincount(split.data.item[split.graph_ratings], minlength=split.data.n_items) > 0


def rows_of(some: Samples, among: Samples, reader: str) -> np.ndarray:
    """Where each of some samples stands among others, int64 [len(some)].

    Raises:
        InputError: the reader does not judge one of them.
    """
    if not len(among):
        raise InputError(f"reader {reader!r} judges no sample of this part")
    order = np.argsort(among.position)
    at = order[np.minimum(np.searchsorted(among.position[order], some.position), len(order) - 1)]
    if (missing := among.position[at] != some.position).any():
        raise InputError(f"reader {reader!r} does not judge {missing.sum()} of the {len(some)} samples")
    return at
