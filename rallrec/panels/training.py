"""Train the graph and the alignment otherwise, with the curve as it grows, and stop with the best when one likes."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np

from ..infra.cache import Cache, default_cache, digest
from ..infra.early_stopping import Watch, watched
from ..infra.errors import InputError, one_of
from ..infra.progress import Below, showing
from ..representations.alignment import train_alignment
from ..representations.lightgcn import train_lightgcn
from ..representations.mixture import REPRESENTATIONS, mix
from . import drawing
from .desk import Desk
from .own import OfData

GRAPH = ("dimensions", "layers", "edges", "epochs", "decay", "learning_rate")
ALIGNMENT = ("temperature", "stop", "hidden")
PARTS = ("text", "colla", "ssl")


@dataclass(frozen=True, eq=False)
class Mixture(OfData):
    """A mixture whose parts have weights, by their names in ``parts``."""

    parts: tuple[str, ...] = ()


class KeptIfWhole(Cache):
    """A cache like another, in which a training that was stopped is not kept: it is not what its settings say."""

    def __init__(self, cache: Cache, watch: Watch):
        super().__init__(cache.path, cache.published)
        self.watch = watch

    def put(self, answers) -> None:
        if not self.watch.stopped:
            super().put(answers)


@dataclass(frozen=True)
class Trained:
    """What was trained.

    Attributes:
        names: the representations that joined the knobs: collaborative, aligned, mixture.
        auc: the vote's on validation samples, by which the best epoch was chosen; NaN of what was found in the cache.
        stopped: whether by hand, before its end.
    """

    names: tuple[str, str, str]
    scores: tuple[float, ...]
    stopped: bool

    def __repr__(self) -> str:
        best = f"best validation AUC {max(self.scores):.4f} after {len(self.scores)} checks"
        told = f", {best}" if self.scores else ", found in the cache"
        stopped = ", stopped by hand: the best until then" if self.stopped else ""
        return f"{', '.join(map(repr, self.names))} joined the knobs{told}{stopped}"


def train(lab: Desk, name: str = "", **settings) -> Trained:
    """Train a graph and an alignment with other settings; they join the knobs as representations.

    Interrupt it (■), and the graph ends at its next check with the best it had; the alignment is short and goes to
    its end. What was trained to its end is cached; what was stopped is not, since its settings do not say what it is.

    Args:
        name: told behind ``colla``, ``ssl`` and ``mixture``; by default the settings.
        settings: of the graph: ``dimensions``, ``layers``, ``edges``, ``epochs``, ``decay``, ``learning_rate``; of the
            alignment: ``temperature``, ``stop``, ``hidden``.

    Raises:
        InputError: an unknown setting, or one out of its range.
    """
    for setting in settings:
        one_of("setting", setting, (*GRAPH, *ALIGNMENT))
    if not settings:
        raise InputError(f"nothing to train otherwise; give one of: {', '.join((*GRAPH, *ALIGNMENT))}")
    study = lab.study
    name = name or ", ".join(f"{setting} {value}" for setting, value in settings.items())
    names = tuple(f"{part} ({name})" for part in ("colla", "ssl", "mixture"))
    graph = study.size.lightgcn | {n: v for n, v in settings.items() if n in GRAPH}
    alignment = study.size.alignment | {n: v for n, v in settings.items() if n in ALIGNMENT}
    below = Below()
    watch = Watch()
    text = study["text"]
    progress = [""]

    def draw(_=None) -> None:
        curve = drawing.checks(watch.scores, f"{escape(name)}: validation AUC of the vote, by check")
        shown = curve if watch.scores else ""
        below(f"<div style='max-width:640px'>{shown}<div>{progress[0]}</div></div>")

    def say(told: str) -> None:
        progress[0] = f"{told}; interrupt (■) keeps the best until then" if told else ""
        draw()

    watch.on_check = draw
    cache = KeptIfWhole(default_cache(), watch)
    device = dict(seed=study.seed, device=study.device, cache=cache)
    with showing(say), interrupt_stops(watch):
        with watched(watch):
            colla = train_lightgcn(study.split, **graph, **device).items
        stopped = watch.stopped
        ssl = train_alignment(text, colla, study.warm, **alignment, **device).ssl
    progress[0] = "stopped by hand" if stopped else ""
    draw()
    _join(names, text, colla, ssl, study.split.data.name)
    return Trained(names, tuple(watch.scores), stopped)


def _join(names: tuple[str, str, str], text: np.ndarray, colla: np.ndarray, ssl: np.ndarray, dataset: str) -> None:
    """Register what was trained; the same content under the same names stays what it is."""
    content = digest(colla) + digest(ssl)
    made = {
        names[0]: OfData(names[0], lambda study: colla, dataset, content),
        names[1]: OfData(names[1], lambda study: ssl, dataset, content),
        names[2]: Mixture(
            names[2], lambda study, weights=None: mix(text, colla, ssl, weights=weights), dataset, content, PARTS
        ),
    }
    for name, recipe in made.items():
        if name not in REPRESENTATIONS or getattr(REPRESENTATIONS[name], "content", "") != content:
            REPRESENTATIONS.add(name, recipe)


@contextlib.contextmanager
def interrupt_stops(watch: Watch) -> Iterator[None]:
    """Within the block an interrupt stops what is watched; a second one interrupts as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def once(*_) -> None:
        watch.stopped = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
