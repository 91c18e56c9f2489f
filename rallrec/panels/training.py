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
from ..representations.alignment import AlignmentSettings, align
from ..representations.lightgcn import LightGCNSettings, train_lightgcn
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
        names: the representations that joined the knobs: collaborative, aligned, mixture; the first alone where the
            alignment was interrupted.
        scores: of the graph's checks by their epoch, the vote's AUC on validation samples, by which the best epoch was
            chosen. stop_k: the items shown there.
        cached: whether the graph was trained before. stopped: whether by hand, before its end.
    """

    names: tuple[str, ...]
    scores: dict[int, float]
    stop_k: int
    cached: bool
    stopped: bool

    @property
    def sentence(self) -> str:
        """What joined the knobs, and how good the graph is."""
        how = "trained before, out of the cache" if self.cached else "stopped by hand" if self.stopped else ""
        told = [f"{', '.join(map(repr, self.names))} joined the knobs."]
        if np.isfinite(list(self.scores.values())).any():
            epoch = max(self.scores, key=lambda epoch: np.nan_to_num(self.scores[epoch]))
            told.append(
                f"The graph's best epoch was {epoch} of {max(self.scores)}{f' ({how})' if how else ''}: "
                f"validation AUC {self.scores[epoch]:.4f} by the vote of the {self.stop_k} most similar."
            )
        if len(self.names) == 1:
            told.append("The alignment was interrupted: call it again for the rest.")
        return " ".join(told)

    def __repr__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        return f"<div>{escape(self.sentence)}</div>"


def train(lab: Desk, name: str = "", **settings) -> Trained:
    """Train a graph and an alignment with other settings; they join the knobs as representations.

    Interrupt it (■), and the graph ends at its next check with the best it had, and is aligned. Interrupt it during
    the alignment, and the graph joins the knobs without one. What was trained to its end is cached; what was stopped
    is not, since its settings do not say what it is.

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
    of_graph = LightGCNSettings(**graph)
    of_graph.check()  # both, before minutes are spent on the graph
    AlignmentSettings(**alignment).check()
    below, watch = Below(), Watch()
    text = study["text"]
    progress, scores = [""], {}

    def draw(_=None) -> None:
        what = f"Validation AUC of the vote of the {of_graph.stop_k} most similar, by epoch"
        curve = drawing.checks(scores, what) if scores else ""
        below(f"<div style='max-width:640px'>{curve}<div>{progress[0]}</div></div>")

    def checked(watch: Watch) -> None:
        scores[min(len(watch.scores) * of_graph.check_every, of_graph.epochs)] = watch.scores[-1]
        draw()

    def say(told: str, then: str) -> None:
        progress[0] = f"{told}; {then}" if told else ""
        draw()

    def say_of_graph(told: str) -> None:
        stopping = "stopping at the next check" if watch.stopped else "interrupt (■) keeps the best until then"
        say(told, stopping)

    watch.on_check = checked
    device = dict(seed=study.seed, device=study.device, cache=KeptIfWhole(default_cache(), watch))
    with showing(say_of_graph), watched(watch), interrupt_stops(watch):
        made = train_lightgcn(study.split, **graph, **device)
    cached, scores = not watch.scores, dict(zip(made.epoch.tolist(), made.agreement.tolist(), strict=True))
    try:
        say("Aligning text and graph", "interrupt (■) leaves that out")
        with showing(lambda told: say(told, "interrupt (■) leaves it out")):
            ssl = align(text, made.items, study.warm, **alignment, **device)
    except KeyboardInterrupt:
        names, ssl = names[:1], None
    say("", "")
    _join(names, text, made.items, ssl, study.split.data.name)
    return Trained(names, scores, of_graph.stop_k, cached, watch.stopped)


def _join(names: tuple[str, ...], text: np.ndarray, colla: np.ndarray, ssl: np.ndarray | None, dataset: str) -> None:
    """Register what was trained; the same content under the same names stays what it is."""
    content = digest(colla) + ("" if ssl is None else digest(ssl))
    made = [OfData(names[0], lambda study: colla, dataset, content)]
    if ssl is not None:
        made.append(OfData(names[1], lambda study: ssl, dataset, content))
        made.append(
            Mixture(
                names[2], lambda study, weights=None: mix(text, colla, ssl, weights=weights), dataset, content, PARTS
            )
        )
    for name, recipe in zip(names, made, strict=True):
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
