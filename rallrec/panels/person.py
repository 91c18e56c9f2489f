"""One user and one item: what each selector shows of the history, the prompt, P(like); and what if.

What if she had liked it, or had not seen it: `what_if` gives the data with that otherwise, and all else as it is. The
trainings are those of the data as they are.
"""

import contextlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape

import ipywidgets as w
import numpy as np

from ..data.dataset import Dataset
from ..data.split import Samples, Split
from ..evaluation.calibration import platt
from ..infra.errors import InputError
from ..infra.progress import duration, showing
from ..pipeline import Choice, Study
from ..readers.base import READERS
from ..readers.prompts import LABELS, Prompts, titles
from ..representations.mixture import REPRESENTATIONS
from ..retrieval.retrieve import Shown, similarities
from ..retrieval.selectors import SELECTORS
from . import own
from .desk import Desk
from .widgets import button, refill

MATCHES = 8  # of a search
MOST_K = 20
LIKE, DISLIKE, PALE = "#0173b2", "#c25600", "var(--jp-ui-font-color2, #666)"
ANSWER = 0.5  # seconds of a small LLM on two cores


def names_of_users(data: Dataset) -> list[str]:
    """What there is to find each user by: the id, and what else is known."""
    known = [data.users[name].astype(str) for name in data.user_attributes]
    told = [", ".join(part for part in parts if part) for parts in zip(*known, strict=True)] if known else []
    n = np.diff(data.start)
    return [
        f"{user}{f' ({told[code]})' if told and told[code] else ''}, {n[code]:,} ratings"
        for code, user in enumerate(data.users["user_id"])
    ]


def matches(names: Sequence[str], said: str, count: np.ndarray, most: int = MATCHES) -> list[int]:
    """Codes of the names that hold all the words that were typed; what begins so first, then what is rated most."""
    words = said.lower().split()
    found = [code for code, name in enumerate(names) if all(word in name.lower() for word in words)]
    start = said.lower().strip()
    return sorted(found, key=lambda code: (not names[code].lower().startswith(start), -count[code], code))[:most]


def what_if(
    split: Split, user: int, item: int, turned: Iterable[int] = (), gone: Iterable[int] = ()
) -> tuple[Split, Samples]:
    """The split of data in which one user's ratings are otherwise, and the sample whose target is ``item``.

    Args:
        user, item: codes. An item that the user has not rated becomes her next one; its rating is not known, and
            nothing reads it.
        turned: items of the history whose rating becomes the lowest where it is a like, the highest where it is none.
        gone: items of the history that she has not rated then.

    Raises:
        InputError: no history before the item.
    """
    data = split.data
    first, end = int(data.start[user]), int(data.start[user + 1])
    place = {int(code): first + n for n, code in enumerate(data.item[first:end])}
    rated = item in place
    target = place[item] if rated else end
    rating, kept = data.rating.copy(), np.ones(data.n_ratings, bool)
    for code in turned:
        rating[place[code]] = data.scale[0] if data.liked[place[code]] else data.scale[1]
    kept[[place[code] for code in gone]] = False
    kept[target:end] |= True  # only what is before the target is its history
    new = np.cumsum(kept) - 1  # by old position
    columns = {"user": data.user, "item": data.item, "rating": rating, "time": data.time}
    columns = {name: column[kept] for name, column in columns.items()}
    at = int(kept[:target].sum())
    if at == int(kept[:first].sum()):
        raise InputError(
            f"{data.words.user} {data.users['user_id'][user]} has no history before {titles(data)[item]!r}; take a "
            f"later one, such as {_some(data, user)}"
        )
    if not rated:
        time = data.time.max() if data.timed else data.time[end - 1] + 1
        values = {"user": user, "item": item, "rating": data.scale[0], "time": time}
        columns = {name: np.insert(column, at, values[name]) for name, column in columns.items()}
        new = np.where(np.arange(data.n_ratings) >= end, new + 1, new)
    changed = replace(data, **columns)

    def moved(positions: np.ndarray) -> np.ndarray:
        return new[positions[kept[positions]]]

    parts = {name: Samples(changed, moved(getattr(split, name).position)) for name in ("train", "valid", "test")}
    seen = {name: moved(getattr(split, name)) for name in ("train_ratings", "graph_ratings")}
    made = replace(split, data=changed, **parts, **seen, chosen_on=parts["valid"])
    return made, Samples(changed, np.array([at]))


def _some(data: Dataset, user: int) -> str:
    """Three items of a user's that have a history, by title."""
    later = data.item[data.start[user] : data.start[user + 1]][-3:]
    return " or ".join(repr(titles(data)[code]) for code in later)


@dataclass(frozen=True)
class Column:
    """What a selector shows of one sample.

    Attributes:
        shown: [1, K]. similarity: of each item to the target, [K]; None where the representation is several matrices.
        p: P(like) by the vote, calibrated on validation samples.
    """

    selector: str
    shown: Shown
    similarity: np.ndarray | None
    p: float


class Sample:
    """One user and one item, with what is otherwise.

    Attributes:
        study: of the data with that otherwise. sample: one. liked: whether she liked the target; None of what she has
            not rated.
    """

    def __init__(self, study: Study, user: int, item: int, turned: Iterable[int] = (), gone: Iterable[int] = ()):
        split, self.sample = what_if(study.split, user, item, turned, gone)
        self.base, self.user, self.item = study, user, item
        self.study = study.changed(study.size, (), split=split)
        data = study.split.data
        at = np.flatnonzero(data.item[data.start[user] : data.start[user + 1]] == item)
        self.liked = bool(data.liked[data.start[user] + at[0]]) if len(at) else None

    def choice(self, representation: str, selector: str, k: int) -> Choice:
        """A choice whose alpha is the one of the data as they are."""
        choice = Choice(representation, selector, k=k)
        if "alpha" not in SELECTORS[selector].options:
            return choice
        return replace(choice, alpha=self.base.best_alpha(self.base.items(choice), k))

    def shown(self, representation: str, selector: str, k: int) -> Shown:
        """The history items that a selector shows."""
        if selector == "learned":  # reads statistics of the data as they are changed
            self.study.ranker = replace(self.base.ranker, split=self.study.split, _ranked={})
        return self.study.shown(self.choice(representation, selector, k), self.sample)

    def column(self, representation: str, selector: str, k: int) -> Column:
        """What a selector shows, how similar it is, and P(like) by the vote."""
        shown = self.shown(representation, selector, k)
        items = self.base.representation(representation)
        similar = similarities(shown, items.parts[0])[0] if items.fusion == "cosine" else None
        vote = READERS["vote"].score(self.study, shown)
        return Column(selector, shown, similar, float(self._calibrated(representation, selector, k)(vote)[0]))

    def _calibrated(self, representation: str, selector: str, k: int) -> Callable:
        choice, base = Choice(representation, selector, k=k), self.base
        valid = base.split.valid
        return base.remember(
            ("calibration", *choice.identity), lambda: platt(READERS["vote"].scores(base, choice, "valid"), valid.liked)
        )

    def prompt(self, reader: str, shown: Shown) -> Prompts:
        """What an LLM is asked, by the reader's prompt."""
        return READERS[reader].prompts(self.study, shown)

    def answer(self, reader: str, shown: Shown) -> float:
        """P(like) by an LLM."""
        return float(READERS[reader].score(self.study, shown)[0])


class Person(w.VBox):
    """The panel; `Lab.person` makes it.

    Attributes:
        find_user, find_item: what is typed. user, item: lists of what was found. history: the items shown, to be
            turned around or taken away.
    """

    def __init__(self, lab: Desk):
        self.lab, self._setting = lab, False
        self._data, self._study = lab.study.split.data, lab.few
        data = self._data
        self._users, self._titles = names_of_users(data), titles(data)
        self._rated = {"user": np.diff(data.start), "item": np.bincount(data.item, minlength=data.n_items)}
        self.turned, self.gone, self._was, self._answers = set(), set(), {}, {}
        wide, style = w.Layout(width="310px"), {"description_width": "72px"}
        words = data.words

        def text(label: str, hint: str) -> w.Text:
            return w.Text(description=label, placeholder=hint, layout=wide, style=style)

        self.find_user = text(words.user, "id, age, occupation …")
        self.find_item = text(words.item, "some words of a title")
        self.user, self.item = (w.Select(rows=5, layout=wide, style=style, description=" ") for _ in range(2))
        self.representation = w.Dropdown(description="represent.", layout=wide, style=style)
        self.k = w.IntSlider(
            description="K", value=10, min=1, max=MOST_K, layout=wide, style=style, continuous_update=False
        )
        self.history = w.SelectMultiple(rows=8, layout=w.Layout(width="auto", min_width="310px"))
        self.turn = button("Turn around", "A like becomes a dislike, and the other way", self._turn)
        self.take = button("Take away", "As if it had not been rated", self._take)
        self.back = button("As it was", "Undo all of this", self._back)
        self.prompt_of = w.Dropdown(description="prompt of", style=style)
        self.reader = w.Dropdown(description="LLM", style=style)
        self.ask = button("", "", self._ask)
        self.ask.button_style, self.ask.layout.width = "warning", "auto"
        self.status, self.head, self.table, self.prompt = (w.HTML() for _ in range(4))
        self.offer()
        self.representation.value, self.prompt_of.value = "mixture", "rerank"
        self._found("user", "")
        self._start()
        for box, kind in ((self.find_user, "user"), (self.find_item, "item")):
            box.observe(lambda change, kind=kind: self._found(kind, change.new), "value")
        for knob in (self.user, self.item):
            knob.observe(self._chosen, "value")
        for knob in (self.representation, self.k, self.prompt_of, self.reader):
            knob.observe(self._draw, "value")
        row = w.Layout(flex_flow="row wrap", align_items="flex-start")
        finding = w.HBox([w.VBox([self.find_user, self.user]), w.VBox([self.find_item, self.item])], layout=row)
        settings = w.HBox([self.representation, self.k], layout=row)
        changing = w.VBox(
            [w.HTML("<b>What if</b> (choose items of the history)"), self.history]
            + [w.HBox([self.turn, self.take, self.back], layout=row)],
            layout=w.Layout(flex="0 1 auto", max_width="360px"),
        )
        asking = w.VBox(
            [w.HBox([self.prompt_of, self.reader, self.ask], layout=row), self.prompt],
            layout=w.Layout(flex="1 1 380px", padding="0 0 0 12px"),
        )
        below = w.HBox([changing, asking], layout=row)
        super().__init__([finding, settings, self.head, self.status, self.table, below])
        self.add_class("rallrec-person")
        lab.panels.add(self)
        self._draw()

    def offer(self) -> None:
        """Fill the lists; what joined since the last time stands at their ends."""
        offered = {
            self.representation: [name for name in REPRESENTATIONS if own.fits(name, self._data.name)],
            self.prompt_of: list(SELECTORS),
            self.reader: self._readers(),
        }
        before, self._setting = self._setting, True
        for knob, names in offered.items():
            refill(knob, names)
        self._setting = before

    def _readers(self) -> list[str]:
        names = [name for name in ("llm", "zero-shot") if self.lab.study.affordable({"": Choice(reader=name)})]
        return names + [f"prompt: {name}" for name in own.PROMPTS]

    # --- finding

    def _found(self, kind: str, said: str) -> None:
        names, knob = (self._users, self.user) if kind == "user" else (self._titles, self.item)
        codes = matches(names, said, self._rated[kind])
        if not codes:
            self._say(f"no {kind} has {said!r} in its name")
            return
        self._setting = True
        knob.options = [(names[code], code) for code in codes]
        knob.value = codes[0]
        self._setting = False
        self._chosen()

    def _start(self) -> None:
        """The first test sample's user and item."""
        first = self._study.split.test.take(np.arange(1))
        self._setting = True
        for knob, names, code in (
            (self.user, self._users, int(first.user[0])),
            (self.item, self._titles, int(first.item[0])),
        ):
            knob.options = [(names[code], code)]
            knob.value = code
        self._setting = False

    def _chosen(self, _=None) -> None:
        if self._setting or self.user.value is None or self.item.value is None:
            return
        self.turned, self.gone, self._was, self._answers = set(), set(), {}, {}
        self._draw()

    # --- what if

    def _turn(self, _=None) -> None:
        self.turned ^= set(self.history.value)
        self._draw()

    def _take(self, _=None) -> None:
        self.gone |= set(self.history.value)
        self._draw()

    def _back(self, _=None) -> None:
        self.turned, self.gone = set(), set()
        self._draw()

    # --- drawing

    @contextlib.contextmanager
    def _told(self):
        try:
            with showing(self._say), contextlib.redirect_stdout(io.StringIO()):
                yield
        except InputError as e:
            self._say(f"<b style='color:#b3261e'>{escape(str(e))}</b>")

    def _say(self, told: str) -> None:
        self.status.value = f"<span style='color:{PALE}'>{told}</span>"

    def _draw(self, _=None) -> None:
        if self._setting:
            return
        with self._told():
            self._say("")
            try:
                self.sample = Sample(self._study, self.user.value, self.item.value, self.turned, self.gone)
            except InputError:  # nothing stands there that is of another sample
                self.head.value = self.table.value = self.prompt.value = ""
                self.history.options, self.ask.layout.display = [], "none"
                raise
            name, k = self.representation.value, self.k.value
            columns = []
            for selector in SELECTORS:
                columns.append(self.sample.column(name, selector, k))
            if not self.turned and not self.gone:
                self._was = {column.selector: column.p for column in columns}
            self._write(columns)
            self._list_history(columns)
            self._write_prompt()

    def _write(self, columns: list[Column]) -> None:
        title, words = escape(self._titles[self.item.value]), self._data.words
        truth = {None: "not rated", True: "liked", False: "not liked"}[self.sample.liked]
        user = escape(str(self._data.users["user_id"][self.user.value]))
        self.head.value = (
            f"<div style='font-size:15px'>Will {words.user} <b>{user}</b> like <b>{title}</b>? "
            f"<span style='color:{PALE}'>({truth}; {int(self.sample.sample.n_earlier[0]):,} ratings before it)</span>"
            f"</div><div style='color:{PALE}'><span style='color:{LIKE}'>●</span> liked &nbsp; "
            f"<span style='color:{DISLIKE}'>○</span> not liked; then the rating, and the similarity to the "
            f"{words.item}. P(like) is the vote's, and the LLM's where it was asked.</div>"
        )
        cells = "".join(self._cell(column) for column in columns)
        self.table.value = (
            f"<div style='display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start;margin:6px 0'>{cells}</div>"
        )

    def _cell(self, column: Column) -> str:
        was = self._was.get(column.selector)
        before = f" <span style='color:{PALE};font-weight:400'>was {was:.2f}</span>" if _moved(was, column.p) else ""
        found = {reader: self._answers.get(self._key(column.selector, reader)) for reader in self.reader.options}
        answers = [f"<div>{escape(reader)} <b>{p:.2f}</b></div>" for reader, p in found.items() if p is not None]
        lines = []
        data, shown = self.sample.study.split.data, column.shown
        for n, position in enumerate(shown.position[0]):
            if position < 0:
                continue
            like, item = data.liked[position], int(data.item[position])
            color, mark = (LIKE, "●") if like else (DISLIKE, "○")
            similar = f", {column.similarity[n]:.2f}" if column.similarity is not None else ""
            turned = "↻ " if item in self.turned else ""
            lines.append(
                f"<div style='color:{color}'>{mark} {turned}{escape(self._titles[item])} "
                f"<span style='color:{PALE}'>{data.rating[position]:g}{similar}</span></div>"
            )
        return (
            "<div style='flex:1 1 200px;max-width:280px;font-size:12px;line-height:1.35'>"
            "<div style='border-bottom:2px solid var(--jp-border-color1,#bbb);margin-bottom:3px;font-size:13px'>"
            f"<b>{escape(column.selector)}</b> &nbsp; P(like) <b>{column.p:.2f}</b>{before}{''.join(answers)}</div>"
            f"{''.join(lines)}</div>"
        )

    def _key(self, selector: str, reader: str) -> tuple:
        """What an LLM's answer is of."""
        changes = frozenset(self.turned), frozenset(self.gone)
        return selector, reader, self.representation.value, self.k.value, changes

    def _list_history(self, columns: list[Column]) -> None:
        """The history items that are shown, and those that are gone, to choose among."""
        data, names = self.sample.study.split.data, {}
        for column in columns:
            for position in column.shown.position[0]:
                if position >= 0:
                    item = int(data.item[position])
                    names[item] = f"{'● ' if data.liked[position] else '○ '}{self._titles[item]}"
        names |= {item: f"✕ {self._titles[item]}" for item in self.gone}
        chosen = [item for item in self.history.value if item in names]
        self.history.options = sorted(((name, item) for item, name in names.items()), key=lambda each: each[0][2:])
        self.history.value = chosen

    def _write_prompt(self) -> None:
        reader, selector = self.reader.value, self.prompt_of.value
        if reader is None:
            self.prompt.value, self.ask.layout.display = "", "none"
            return
        shown = self._shown(selector)
        asked, llm = self.sample.prompt(reader, shown), READERS[reader].llm(self.sample.study)
        if not llm.unanswered(asked.texts, asked.options):
            self._answers[self._key(selector, reader)] = self.sample.answer(reader, shown)
        left = sum(self._key(name, reader) not in self._answers for name in SELECTORS)
        self.ask.description = f"Ask {self._study.reader.name}: {left} prompts, about {duration(ANSWER * left)}"
        self.ask.layout.display = "" if left else "none"
        p = self._answers.get(self._key(selector, reader))
        told = "" if p is None else f" <b>{LABELS[0]}: {p:.3f}</b>"
        style = "white-space:pre-wrap;font-size:12px;line-height:1.35;max-height:360px;overflow:auto;margin:4px 0"
        self.prompt.value = f"<pre style='{style}'>{escape(asked.texts[0])}{told}</pre>"

    def _shown(self, selector: str) -> Shown:
        return self.sample.shown(self.representation.value, selector, self.k.value)

    def _ask(self, _=None) -> None:
        """Ask the LLM what each selector's prompt has it say."""
        with self._told():
            self._say("asking the LLM …")
            reader = self.reader.value
            for selector in SELECTORS:
                if (key := self._key(selector, reader)) not in self._answers:
                    self._answers[key] = self.sample.answer(reader, self._shown(selector))
            self._draw()


def _moved(was: float | None, now: float) -> bool:
    return was is not None and f"{was:.2f}" != f"{now:.2f}"
