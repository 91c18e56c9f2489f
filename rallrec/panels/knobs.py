"""The knobs: lists and sliders on the left, the answer on the right, the log of trials below."""

import asyncio
import contextlib
import io
import time
from collections.abc import Iterator
from html import escape

import ipywidgets as w

from ..evaluation.metrics import interval
from ..infra.errors import InputError
from ..infra.progress import duration, line, showing
from ..pipeline import MOST, Choice, Study
from ..readers.base import READERS
from ..readers.named import LLM
from ..representations.mixture import REPRESENTATIONS
from ..retrieval.selectors import SELECTORS
from ..study.knobs import OPTIONS
from . import drawing, own
from .desk import FEW, Desk
from .trials import PAPER, PARTS, Trial, described, fill, is_instant, offered_readers, points
from .widgets import button, refill

PARTS_OF = {  # what the weights of a mixture are of
    "mixture": ("text", "colla", "ssl"),
    "concatenation": ("text", "colla"),
    "mix3": ("description", "colla", "ssl"),
}
LATELY = 5  # trials beside the one of the moment
ANSWER = 0.5  # seconds of a small LLM on two cores, until it was timed here
BLOCK = 8  # prompts that are asked at a time
LOGGED = 12  # trials that the table below shows; `Lab.save` writes all
STYLE = {"description_width": "98px"}
WIDE = w.Layout(width="300px")


class Knobs(w.VBox):
    """The panel; `Lab.knobs` makes it.

    Attributes:
        knob: the widgets of the left side by their names: ``dataset``, the fields of `Choice`, ``weight 1`` to
            ``weight 3``, ``samples`` (of the LLM), ``test``. trial: what is shown.
    """

    def __init__(self, lab: Desk):
        self.lab, self.trial = lab, None
        self._turns = 0  # counts turns: what an older one has still to do is dropped
        self._setting = False  # whether several knobs are being set at once
        self._seconds = ANSWER
        self.knob = self._made()
        self.reset, self.pin, self.unpin = (
            button(*each)
            for each in (
                ("Reset", "All knobs to the paper's method", self._reset),
                ("Pin as baseline", "Compare with this from now on", self._pin),
                ("Paper's baseline", "Compare with the paper's method at K = 30 again", self._unpin),
            )
        )
        self.ask, self.stop = button("", "", self._ask), button("Stop", "What was answered is kept", self._stop)
        self.save = button("Save the log", "trials.csv, and trials.sh with a command a trial", self._save)
        self.sentence, self.status, self.figures, self.table = (w.HTML() for _ in range(4))
        self.ask.layout.display = self.stop.layout.display = "none"
        self.ask.layout.width = "auto"
        self.stop.button_style = self.ask.button_style = "warning"
        left = w.VBox(
            [*self.knob.values(), w.HBox([self.reset, self.pin, self.unpin], layout=w.Layout(flex_flow="row wrap"))],
            layout=w.Layout(flex="0 0 316px", overflow="hidden"),
        )
        right = w.VBox(
            [self.sentence, w.HBox([self.ask, self.stop]), self.status, self.figures],
            layout=w.Layout(flex="1 1 400px", min_width="300px", padding="0 0 0 12px"),
        )
        log = w.VBox([w.HBox([w.HTML("<b>Trials</b>"), self.save]), self.table])
        self.offer()
        self._set(PAPER)
        for knob in self.knob.values():
            knob.observe(self._turned, "value")
        super().__init__([w.HBox([left, right], layout=w.Layout(flex_flow="row wrap")), log])
        self.add_class("rallrec-knobs")
        lab.panels.add(self)
        self._turned()

    def _made(self) -> dict[str, w.Widget]:
        def listed(label: str, tip: str = "") -> w.Dropdown:
            return w.Dropdown(description=label, tooltip=tip, style=STYLE, layout=WIDE)

        def slider(label: str, tip: str, **of) -> w.Widget:
            kind = w.IntSlider if isinstance(of["max"], int) else w.FloatSlider
            return kind(description=label, tooltip=tip, style=STYLE, layout=WIDE, continuous_update=False, **of)

        said = {
            "alpha": ("alpha", "weight of similarity against recency"),
            "beta": ("beta", "how steeply a rank's score falls"),
            "both": ("both channels", "what an item scores that is similar and recent"),
            "order": ("order", "of the items in the prompt; the vote does not see it"),
            "recent": ("recent share", "of the items shown by the released code's selector"),
        }
        made = {
            "dataset": listed("data set"),
            "representation": listed("representation", "what similarity between items means"),
            "selector": listed("selector", "which history items are shown"),
            "k": slider("K", "history items shown", value=PAPER.k, min=1, max=MOST),
        }
        for name, (label, tip) in said.items():
            made[name] = listed(label, tip)
            made[name].options = list(OPTIONS[name][0])
        for n in (1, 2, 3):
            made[f"weight {n}"] = slider("", "weight of this part", value=1.0, min=0.0, max=3.0, step=0.25)
        made["reader"] = listed("reader", "what makes P(like) of the items shown")
        made["samples"] = listed("LLM samples", "that the LLM is asked of")
        made["test"] = w.Checkbox(description="report on test samples", indent=False, layout=WIDE)
        return made

    # --- the knobs' state

    def offer(self) -> None:
        """Fill the lists; what joined since the last time stands at their ends."""
        study = self.lab.study
        most = study.size.valid_samples
        offered = {
            "dataset": self.lab.datasets,
            "representation": [name for name in REPRESENTATIONS if own.fits(name, self.lab.dataset)],
            "selector": list(SELECTORS),
            "reader": offered_readers(study),
            "samples": sorted({n for n in (20, FEW, 100, 200, 500) if n < most} | {most}),
        }
        with self._together():
            for name, names in offered.items():
                refill(self.knob[name], names)
            self.knob["dataset"].value = self.lab.dataset

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    def _set(self, choice: Choice) -> None:
        """Turn all knobs to a choice."""
        with self._together():
            for name in ("representation", "selector", "reader", "k"):
                self.knob[name].value = getattr(choice, name)
            for name, (offered, first) in OPTIONS.items():
                value = getattr(choice, name)
                value = first if value is None else value
                self.knob[name].value = next(label for label, of in offered.items() if of == value)
            for n in (1, 2, 3):
                self.knob[f"weight {n}"].value = choice.weights[n - 1] if choice.weights else 1.0

    @property
    def part(self) -> str:
        return "test" if self.knob["test"].value else "valid"

    @property
    def choice(self) -> Choice:
        """What the knobs stand at, without what does not apply.

        Raises:
            InputError: weights that are all 0.
        """
        knob = {name: each.value for name, each in self.knob.items()}
        selector = SELECTORS[knob["selector"]]
        chosen = {name: knob[name] for name in ("selector", "reader", "k")}
        for name in selector.options:
            if name in OPTIONS and (value := OPTIONS[name][0][knob[name]]) != OPTIONS[name][1]:
                chosen[name] = value
        if selector.reads_items:
            chosen["representation"] = knob["representation"]
            weights = tuple(knob[f"weight {n}"] for n, _ in enumerate(self._parts, 1))
            if len(set(weights)) > 1 or 0 in weights:  # equal ones are none
                chosen["weights"] = weights
        return Choice(**chosen)

    @property
    def _parts(self) -> tuple[str, ...]:
        """The parts that have weights."""
        name = self.knob["representation"].value
        recipe = REPRESENTATIONS[name]
        return getattr(recipe, "parts", PARTS_OF.get(name, ())) if recipe.weighs else ()

    def _grey(self) -> None:
        """Switch off what changes nothing."""
        selector, reader = SELECTORS[self.knob["selector"].value], READERS[self.knob["reader"].value]
        off = {name: name not in selector.options for name in OPTIONS}
        off["representation"] = not selector.reads_items
        off["samples"] = reader.samples != "asked"
        off["dataset"] = len(self.lab.datasets) < 2
        parts = self._parts if selector.reads_items else ()
        for n in (1, 2, 3):
            off[f"weight {n}"] = n > len(parts)
            self.knob[f"weight {n}"].description = f"weight, {parts[n - 1]}" if n <= len(parts) else "weight"
        for name, is_off in off.items():
            self.knob[name].disabled = is_off
            self.knob[name].layout.opacity = "0.35" if is_off else "1"

    # --- a turn

    def _turned(self, change=None) -> None:
        if self._setting:
            return
        self._turns += 1
        with self._told():
            if self.knob["dataset"].value != self.lab.dataset:
                self._enter(self.knob["dataset"].value)
            self.offer()
            self._grey()
            choice = self.choice
            if self._waits(choice):
                return
            self._show(choice)

    def _enter(self, dataset: str) -> None:
        with self._together():
            self._say(f"opening {dataset} …")
            try:
                self.lab.use(dataset)
            except BaseException:
                self.knob["dataset"].value = self.lab.dataset
                raise
        self.offer()
        self._set(PAPER)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Within the block, progress and mistakes are said in the panel, in a line."""
        try:
            with showing(self._say), contextlib.redirect_stdout(io.StringIO()):
                yield
        except InputError as e:
            self._say(f"<b style='color:#b3261e'>{escape(str(e))}</b>")
        except KeyboardInterrupt:
            self._say("interrupted; what was done is kept, and the knobs can be turned on")
        except Exception as e:
            self._say(f"<b style='color:#b3261e'>{type(e).__name__}: {escape(str(e))}</b>")
            raise

    def _say(self, told: str) -> None:
        self.status.value = f"<span style='color:var(--jp-ui-font-color2);font-size:12px'>{told or '&nbsp;'}</span>"

    def _show(self, choice: Choice) -> None:
        """Judge a choice and draw; its curve follows, a point at a time."""
        began = time.perf_counter()
        if self.trial is not None:
            self._say("…")
        self.trial = trial = self.lab.judge(choice, self.part, self.knob["samples"].value)
        lines = [self._line(choice, (trial.auc.value, trial.auc.low, trial.auc.high))]
        same = described(choice) == described(self.lab.baseline)
        if not same:
            lines.append(self._line(self.lab.baseline, (trial.baseline_auc,) * 3))
        self._draw(lines)
        self._log()
        self._say(f"judged and drawn in {time.perf_counter() - began:.2f} s")
        self.ask.layout.display = self.stop.layout.display = "none"
        self._later(self._curves(lines, self._turns))

    def _line(self, choice: Choice, at: tuple[float, float, float]) -> drawing.Line:
        whose = "yours" if choice == self.trial.choice else "baseline"
        return drawing.Line(f"{whose}, K = {choice.k}", points(self.lab.few, choice, self.part), choice.k, at)

    def _curves(self, lines: list[drawing.Line], turn: int) -> Iterator[None]:
        """Fill in the points of the curves that are not known yet; dropped once a knob is turned again."""
        for choice in (self.trial.choice, self.lab.baseline):
            for _ in fill(self.lab.few, choice, self.part) if is_instant(choice.reader) else ():
                if turn != self._turns:
                    return
                yield
            if turn == self._turns:
                self._draw(lines)

    def _draw(self, lines: list[drawing.Line]) -> None:
        trial = self.trial
        rows, told = [], set()
        for each in [trial, *reversed(self.lab.log.trials)]:
            comparable = (each.dataset, each.part, each.baseline) == (trial.dataset, trial.part, trial.baseline)
            if not comparable or each.difference.identical or (each.choice, each.n) in told:
                continue
            told.add((each.choice, each.n))
            d = each.difference
            rows.append(drawing.Row(described(each.choice), d.value, d.low, d.high, each is trial))
        color = {"higher": "#117a45", "lower": "#b3261e"}.get(trial.verdict, "var(--jp-ui-font-color1)")
        part = (
            " <b style='color:#b3261e'>Test samples: report on them, choose nothing.</b>" if self.part == "test" else ""
        )
        self.sentence.value = (
            f"<div class='rallrec-sentence' style='font-size:15px;line-height:1.4;color:{color}'>"
            f"{escape(trial.sentence)}{part}</div><div style='color:var(--jp-ui-font-color2);line-height:1.4'>"
            f"Shown: {escape(described(trial.choice))}.<br>Baseline: {escape(self._named(trial.baseline))}.</div>"
        )
        slow = not is_instant(trial.choice.reader)
        over = [line_ for line_ in lines if line_.points or line_.at]
        ks = [k for k in self.lab.few.size.curve_k if k <= MOST]
        figures = [
            drawing.differences(rows[: LATELY + 1], described(trial.baseline)),
            drawing.over_k(over, ks, "yours: this K alone" if slow else ""),
        ]
        each = "".join(f"<div style='flex:1 1 400px;max-width:620px'>{figure}</div>" for figure in figures)
        self.figures.value = f"<div style='display:flex;flex-wrap:wrap;gap:8px 20px'>{each}</div>"

    def _named(self, baseline: Choice) -> str:
        paper = "the paper's method at the paper's K, " if baseline == PAPER else "pinned, "
        return paper + described(baseline)

    def _later(self, steps: Iterator) -> None:
        """Take the steps one at a time, so that knobs answer between them; at once where no kernel runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            with self._told():
                for _ in steps:
                    pass
            return

        async def taken() -> None:
            with self._told():
                for _ in steps:
                    await asyncio.sleep(0.001)

        self._task = loop.create_task(taken())  # kept: the loop itself holds no reference

    # --- what takes its time

    def _waits(self, choice: Choice) -> bool:
        """Whether the choice waits for the button, which then says how long it takes."""
        told = self._price(choice)
        self.ask.layout.display = "none" if told is None else ""
        if told is not None:
            self.ask.description = told
            self._say("press the button for this reader; the figures are still those of the choice before")
        return told is not None

    def _price(self, choice: Choice) -> str | None:
        """What the button says; None of what is answered at once, as it is by a fast reader or from the cache."""
        if is_instant(choice.reader):
            return None
        study = self._study(choice)
        if isinstance(READERS[choice.reader], LLM):
            left = sum(len(texts) for _, texts, _ in self._asked(study, choice))
            if not left:
                return None
            n = len(study.judged(choice, self.part))
            known = f"{n - left} answered, " if left < n else ""
            took = duration(left * self._seconds)
            return f"Ask {study.reader.name} on {n} samples: {known}{left} to ask, about {took}"
        if ("predict", self.part, *choice.identity) in study._kept:
            return None
        n = len(study.judged(choice, self.part))
        what = "Fit" if READERS[choice.reader].samples == "all" else "Run"
        return f"{what} {choice.reader} on {n:,} samples: about {duration(4 + n / 1500)}"

    def _study(self, choice: Choice) -> Study:
        return self.lab.study_for(choice, self.knob["samples"].value)

    def _asked(self, study: Study, choice: Choice) -> list[tuple]:
        """Of what asks the LLM among choice and baseline: the LLM, the prompts without an answer, the two options."""
        out = []
        for each in dict.fromkeys((choice, self.lab.baseline)):
            reader = READERS[each.reader]
            if isinstance(reader, LLM):
                prompts = reader.prompts(study, study.shown(each, study.judged(each, self.part)))
                llm = reader.llm(study)
                left = [text for text in dict.fromkeys(prompts.texts) if llm.unanswered([text], prompts.options)]
                out.append((llm, left, prompts.options))
        return out

    def _ask(self, _=None) -> None:
        with self._told():
            choice = self.choice
            self._turns += 1
            self.ask.layout.display = "none"
            if not isinstance(READERS[choice.reader], LLM):
                self._say(f"{self.ask.description} …")
                self._show(choice)
                return
            self.stop.layout.display = ""
            self._later(self._answers(choice, self._turns))

    def _answers(self, choice: Choice, turn: int) -> Iterator[None]:
        """Ask a block of prompts at a time; then judge. Stopped between two blocks, it keeps what is answered."""
        work = self._asked(self._study(choice), choice)
        total, done, began = sum(len(texts) for _, texts, _ in work), 0, time.monotonic()
        for llm, texts, options in work:
            for first in range(0, len(texts), BLOCK):
                self._say(line(llm.name, done, total, "answer", time.monotonic() - began))
                yield
                if turn != self._turns:
                    self.stop.layout.display = "none"
                    self._say(f"stopped: {done} of {total} answers are kept")
                    self._waits(self.choice)
                    return
                block = texts[first : first + BLOCK]
                with showing(lambda told: None):
                    llm.choose(block, options)
                done += len(block)
                self._seconds = (time.monotonic() - began) / done
        self._show(choice)

    def _stop(self, _=None) -> None:
        self._turns += 1

    # --- buttons

    def _reset(self, _=None) -> None:
        self._set(PAPER)
        self._turned()

    def _pin(self, _=None) -> None:
        if self.trial is not None:
            self.lab.pin(self.trial.choice)
            self._turned()

    def _unpin(self, _=None) -> None:
        self.lab.pin()
        self._turned()

    def _save(self, _=None) -> None:
        with self._told():
            paths = self.lab.save()
            self._say(f"saved {' and '.join(path.name for path in paths)} beside the notebook")

    def _log(self) -> None:
        self.table.value = log_table(self.lab.log.trials)


def log_table(trials: list[Trial], most: int = LOGGED) -> str:
    """The last trials, the newest first, as HTML."""
    head = ("#", "data set", "samples", "choice", "AUC", "minus the baseline's", "")
    rows = []
    for n, t in list(enumerate(trials, 1))[: -most - 1 : -1]:
        d, auc = t.difference, t.auc
        rows.append(
            (
                str(n),
                t.dataset,
                f"{PARTS[t.part]}, {t.n:,}",
                described(t.choice) + (f" ({t.content})" if t.content else ""),
                interval(auc.value, auc.low, auc.high),
                interval(d.value, d.low, d.high, "+"),
                "" if t.verdict == "the same predictions" else t.verdict,
            )
        )
    cell = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"
    numbers = f"{cell};white-space:nowrap"
    cells = [[f"<td style='{cell if n == 3 else numbers}'>{escape(c)}</td>" for n, c in enumerate(row)] for row in rows]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    heads = "".join(f"<th style='{cell};font-weight:600'>{c}</th>" for c in head)
    more = f"<div>{len(trials) - most} older ones are in the saved log.</div>" if len(trials) > most else ""
    return (
        f"<table style='border-collapse:collapse;font-size:12px;line-height:1.35'><tr>{heads}</tr>{body}</table>{more}"
    )
