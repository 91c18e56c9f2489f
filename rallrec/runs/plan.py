"""What a run will do and how long it takes here: counted in the cache, timed for a few seconds."""

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import torch

from ..data.loading import DATASETS, is_local, missing_files
from ..data.split import Split, split
from ..extensions import load_extra, rows
from ..infra.errors import InputError
from ..infra.files import ROOT, fresh
from ..infra.progress import duration
from ..llm.base import LanguageModel, size_by_name, size_told
from ..llm.local import LocalModel
from ..llm.opening import language_model
from ..llm.server import ServerModel
from ..llm.weights import PACKAGED, fingerprint, is_hub_id
from ..pipeline import Choice, Study
from ..profiles import profile
from ..readers.base import READERS
from ..readers.named import LLM, Together
from ..readers.prompts import build
from ..representations.text import MAX_NEW_TOKENS, describe, description_prompt, plain
from ..retrieval.selectors import select
from ..study import ablations, claims, experiments
from .place import Parameters, reference
from .run import NOTEBOOKS, read_metrics
from .runner import asked_path
from .stale import Now

MEMORY_GIB = 5
DISK_GIB = 3  # environment 1.9, model 0.65, the rest small
REASONED = 3  # prompts that ask for reasons: see `reasons.ask`
PASSES = 4  # passes over a prompt that training on it costs: forward, backward (two), and its share of the checks
TRIED = 16  # texts that are timed


@dataclass(frozen=True)
class Cost:
    """What a text costs an LLM.

    Attributes:
        seconds: None where that can't be told, as of a server that does not offer what it is asked for.
        read, written: tokens; ``read`` is None where that can't be told.
    """

    seconds: float | None
    read: float | None
    written: int = 0


@dataclass(frozen=True)
class Work:
    """A part of a run.

    Attributes:
        what: in words, with how many. seconds: that it takes here; None if that is not known.
        llm: name of the LLM that does it. n: texts. cost: of one of them; None if that is not known.
    """

    what: str
    seconds: float | None
    llm: str = ""
    n: int = 0
    cost: Cost | None = None


class Timed:
    """What an LLM takes for a text of each kind, measured when first asked for.

    A server is asked as many texts as it may have in flight: what it takes for one alone says little.
    """

    def __init__(self, llm: LanguageModel, divided: Split, k: int):
        self.llm, self.split, self.k, self.n = llm, divided, k, TRIED
        if isinstance(llm, ServerModel):
            self.llm, self.n = llm.impatient(), max(TRIED, llm.settings.in_flight)

    @cached_property
    def description(self) -> Cost:
        rows = self.split.data.items.iloc[: self.n].iterrows()
        prompts = [description_prompt(row, self.split.data, self.llm) for _, row in rows]
        settings = dict(max_new_tokens=TRIED, temperature=0.0, top_p=1.0, seed=0)
        cost = self._cost(lambda: self.llm._generate(prompts, **settings), prompts)
        seconds = cost.seconds and cost.seconds * MAX_NEW_TOKENS / TRIED
        return Cost(seconds, cost.read, MAX_NEW_TOKENS)

    @cached_property
    def embedding(self) -> Cost:
        texts = [" ".join([text] * 5) for text in plain(self.split.data)[: self.n]]  # about as long as a description
        return self._cost(lambda: self.llm._embed(texts), texts)

    @cached_property
    def answer(self) -> Cost:
        some = self.split.valid.take(np.arange(min(self.n, len(self.split.valid))))
        asked = build(select(some, "recent", k=self.k), "labelled", self.llm)
        return self._cost(lambda: self.llm._choose(asked.texts, list(asked.options)), asked.texts)

    def _cost(self, ask: Callable, texts: list[str]) -> Cost:
        began, seconds = time.monotonic(), None
        try:
            for _ in ask():
                pass
            seconds = (time.monotonic() - began) / len(texts)
        except InputError:
            if not isinstance(self.llm, ServerModel):
                raise
        return Cost(seconds, self.llm.count(texts))


_opened = cache(language_model)  # the same for all data sets

# Rows that the reader is asked for, by notebook: those on `Profile.llm_samples`, and those on `ablation_samples`, which
# are among them.
WITH_LLM = {
    NOTEBOOKS[4]: (
        [
            *ablations.ASKED.values(),
            *experiments.TABLE_1.values(),
            *experiments.BESIDE_TABLE_1.values(),
            *experiments.TABLE_3.values(),
            *experiments.BESIDE_TABLE_3.values(),
            *experiments.TABLE_4.values(),
        ],
        [*experiments.FIGURE_4.values(), *(side for c in claims.CLAIMS if c.number == 10 for side in c.llm)],
    ),
    NOTEBOOKS[5]: (
        [*experiments.TABLE_4.values()],
        [*experiments.FIGURE_3.values(), *(choice.read_by("llm") for choice in ablations.IN_ORDER.values())],
    ),
}


def _of_llms(choices: Iterable[Choice]) -> dict[Choice, bool]:
    """The choices that an LLM reads, by its own name, once each; of each, whether it is combined with another reader.

    Those that are combined are read on validation samples, too.
    """
    found: dict[Choice, bool] = {}
    for choice in choices:
        reader = READERS[choice.reader]
        names = reader.names if isinstance(reader, Together) else [choice.reader]
        for alone in (choice.read_by(name) for name in names if isinstance(READERS[name], LLM)):
            found[alone] = found.get(alone, False) or isinstance(reader, Together)
    return found


def _open(name: str) -> LanguageModel | None:
    """An LLM, if it can be opened without a download."""
    return _opened(name) if not is_hub_id(name) or fingerprint(name) is not None else None


class DataSetPlan:
    """The work of one data set in one place.

    Attributes:
        stale: why each of the ``notebooks`` that will run has to.
    """

    def __init__(self, of: Parameters, notebooks: Sequence[str] = NOTEBOOKS):
        self.of, self.size = of, profile(of.profile)
        self.now = Now(of) if is_local(of.dataset) else None  # a plan downloads nothing
        self.place = self.now.place if self.now else of.name + of.suffix
        why = self.now.why if self.now else lambda notebook: "raw files are to be fetched"
        self.stale = {name: said for name in notebooks if (said := why(name))}
        self.is_published = bool(reference(self.place)) and not fresh()
        if self.stale:
            _ = self.llm, self.reader  # refused now, if one can't be opened

    @cached_property
    def split(self) -> Split:
        return split(self.now.data)

    @cached_property
    def llm(self) -> LanguageModel | None:
        """The LLM that describes and embeds; None if it has to be downloaded to be opened. Likewise `reader`."""
        return _open(self.of.llm)

    @cached_property
    def reader(self) -> LanguageModel | None:
        return _open(self.of.reader) if self.of.reader else self.llm

    @property
    def llms(self) -> dict[str, LanguageModel | None]:
        """The LLM and the reader by their names, as `llm` and `reader` have them."""
        return {self.of.llm: self.llm} | ({self.of.reader: self.reader} if self.of.reader else {})

    @property
    def to_fetch(self) -> list[str]:
        """Names of the LLMs that are not on this machine."""
        return [name for name, llm in self.llms.items() if llm is None or not llm.at_hand]

    @cached_property
    def timed(self) -> Timed | None:
        """Of the LLM; None where that would take a download, or of a backend of the user's own."""
        return self._timed(self.llm)

    @cached_property
    def timed_reader(self) -> Timed | None:
        return self._timed(self.reader) if self.of.reader else self.timed

    def _timed(self, llm: LanguageModel | None) -> Timed | None:
        here = isinstance(llm, LocalModel | ServerModel) and llm.at_hand
        return Timed(llm, self.split, self.size.llm_k) if here else None

    def work(self, notebook: str) -> list[Work]:
        """What a notebook has to do, without what the cache holds."""
        todo = [Work("", self._beside_the_llm(notebook))]
        if self.is_published and (self.now is None or self.llm is None or self.reader is None):
            return todo  # its answers come with the repository
        if self.now is None:
            return [*todo, Work("all answers of the LLM", None)]
        asks = {
            NOTEBOOKS[0]: [self._descriptions],
            NOTEBOOKS[1]: [self._embeddings],
            NOTEBOOKS[4]: [self._adapters, self._answers, self._reasons],
            NOTEBOOKS[5]: [self._answers],
        }
        return todo + [work for ask in asks.get(notebook, ()) if (work := ask(notebook))]

    def _beside_the_llm(self, notebook: str) -> float | None:
        """Seconds of trainings, recommenders, tables, figures: of the last run here or else, by ratings, of ours."""
        if self.now and (seconds := self.now.took(notebook)):
            return seconds
        if self.of.profile != Parameters.profile or not (self.now or reference(self.of.name)):
            return None
        known = []
        for name in filter(reference, DATASETS):
            if made := read_metrics(name, ROOT).get("notebooks", {}).get(notebook):
                known.append((_ratings(name), made["made"]["seconds"]))
        if not known:
            return None
        ratings, seconds = np.array(sorted(known), float).T
        n = self.now.data.n_ratings if self.now else _ratings(self.of.name)
        return float(np.interp(np.log(n), np.log(ratings), seconds) * max(1.0, n / ratings[-1]))

    def _of_the_llm(self, what: str, n: int, kind: str) -> Work | None:
        return _work_of(self.of.llm, self.timed, what, n, kind)

    def _of_the_reader(self, what: str, n: int, kind: str, times: float = 1) -> Work | None:
        return _work_of(self.of.reader or self.of.llm, self.timed_reader, what, n, kind, times)

    def _missing(self, verb: str, texts: list[str], **settings) -> int:
        distinct = list(dict.fromkeys(texts))
        return len(distinct) - len(self.llm._known(verb, distinct, settings)) if self.llm else len(distinct)

    def _descriptions(self, _=None) -> Work | None:
        data = self.now.data
        if self.llm is None:
            return self._of_the_llm("descriptions", data.n_items, "description")
        prompts = [description_prompt(row, data, self.llm) for _, row in data.items.iterrows()]
        settings = dict(max_new_tokens=MAX_NEW_TOKENS, temperature=0.0, top_p=1.0, seed=0)
        return self._of_the_llm("descriptions", self._missing("generate", prompts, **settings), "description")

    def _embeddings(self, _) -> Work | None:
        data, described = self.now.data, self._descriptions() is None
        texts = plain(data) + (describe(data, self.llm) if described else [])
        return self._of_the_llm(
            "embeddings", self._missing("embed", texts) + (0 if described else data.n_items), "embedding"
        )

    @cached_property
    def study(self) -> Study | None:
        """None where an LLM has to be downloaded to be opened."""
        if self.llm is None or self.reader is None:
            return None
        return Study(self.split, self.llm, self.size, self.of.seed, self.reader)

    def _adapters(self, _) -> Work | None:
        """The training of adapters, as so many passes over prompts."""
        s, study = self.size.adapter, self.study
        if isinstance(self.reader, ServerModel):
            return None  # it trains none: see `lacking`
        n = sum(not (study and (study.adapter_at_hand(t) or study.known_adapter(t))) for t in self.size.tunings)
        cost = PASSES * s["k"] / self.size.llm_k
        return self._of_the_reader("prompts to train an adapter on", n * s["sequences"], "answer", cost)

    @property
    def lacking(self) -> str:
        """Why the server of the reader can't be asked with its adapters, if it can't; a run would stop there."""
        if not isinstance(self.reader, ServerModel) or not {*NOTEBOOKS[4:]} & self.stale.keys() or not self.study:
            return ""
        try:
            for tuning in self.size.tunings:
                self.reader.adapted(self.study.adapter_of(tuning).folder)
        except InputError as e:
            return str(e)
        return ""

    def _answers(self, notebook: str) -> Work | None:
        """Prompts of which the reader says Yes or No: those of the last run that the cache lacks, else all."""
        log = asked_path(self.place, notebook)
        if log.exists() and self.reader and not self._asks_anew(notebook):
            asked = [line.split() for line in log.read_text("ascii").splitlines()]
            keys = [key for key, _, verb in asked if verb != "trained"]
            n = sum(answer is None for answer in self.reader.cache.get(keys))
        elif self.is_published:
            n = 0
        else:
            n = self._rows(notebook)
        most = "" if log.exists() else "at most "  # of a run that was interrupted some are in the cache
        work = self._of_the_reader("answers Yes or No", n, "answer")
        return work and replace(work, what=most + work.what)

    def _rows(self, notebook: str) -> int:
        """Prompts of a notebook's rows, without those that notebook 05 has asked before."""
        size, n_test, n_valid = self.size, len(self.split.test), len(self.split.valid)
        whole, few = self._choices(notebook)
        whole_before, few_before = ({}, {}) if notebook == NOTEBOOKS[4] else self._choices(NOTEBOOKS[4])
        n = len(set(whole) - set(whole_before)) * min(size.llm_samples, n_test)
        n += len(set(few) - {*whole, *whole_before, *few_before}) * min(size.ablation_samples, n_test)
        if notebook == NOTEBOOKS[4]:
            n += sum(whole.values()) * min(size.valid_samples, n_valid)
            n += len(ablations.prompt_study(size.llm_k)) * min(size.study_samples, n_valid)
        return n

    def _choices(self, notebook: str) -> list[dict[Choice, bool]]:
        """Both parts of `WITH_LLM`, as `_of_llms` gives them: with the user's rows, without what is not trained."""
        whole, few = WITH_LLM[notebook]
        parts = [_of_llms(part) for part in ([*whole, *rows("asked").values()], few)]
        return [{c: v for c, v in p.items() if not self.study or self.study.affordable({"": c})} for p in parts]

    def _asks_anew(self, notebook: str) -> bool:
        """Whether something changed that prompts depend on."""
        what = ("data", "LLM", "the reader", "profile", "seed", "adapter")
        return any(part in self.stale.get(notebook, "") for part in what)

    def _reasons(self, notebook: str) -> Work | None:
        log = asked_path(self.place, notebook)
        if self.is_published or (log.exists() and not self._asks_anew(notebook)):
            return None
        n = REASONED * min(self.size.reason_samples, len(self.split.test)) * self.size.reason_answers
        return self._of_the_llm("answers with reasons", n, "description")


def _work_of(llm: str, timed: Timed | None, what: str, n: int, kind: str, times: float = 1) -> Work | None:
    """``n`` texts of a kind that `Timed` knows; None if there are none."""
    if not n:
        return None
    cost = getattr(timed, kind) if timed else None
    seconds = cost.seconds * n * times if cost and cost.seconds is not None else None
    return Work(f"{n:,} {what}", seconds, llm, n, cost)


def _ratings(name: str) -> int:
    """How many ratings a data set of ours has."""
    return reference(name)["values"]["01_descriptions/ratings"][0]


def plan(of: list[Parameters], named: bool = True) -> str:
    """What a run will do, and what it will take.

    Args:
        named: whether the user named the data sets; if not, it is said which of the paper's are left out and why.

    Raises:
        InputError: what the run would refuse: an unknown data set, LLM or profile, a file that can't be read.
    """
    for path in {parameters.extra for parameters in of} - {""}:
        load_extra(path)
    parts: dict[Parameters, list[str]] = {}
    for parameters in of:
        for notebook in NOTEBOOKS:
            parts.setdefault(parameters.of(notebook), []).append(notebook)
    plans = [DataSetPlan(*part) for part in parts.items()]
    left_out = [] if named else [f"  {name}: {mend}" for name, mend in missing_files().items()]
    todo = [(plan, notebook, plan.work(notebook)) for plan in plans for notebook in plan.stale]
    said = [_work(plans, todo), *_llms(todo)]
    fetching = [plan for plan in plans if plan.stale and plan.now and plan.to_fetch]
    for name in dict.fromkeys(name for plan in fetching for name in plan.to_fetch):
        said.append(f"The LLM {name} is not here yet: it is fetched first.")
    if any(plan.is_published for plan in fetching):
        said.append("Where that can't be done, the published answers are used, and none of them is asked anew.")
    said += [f"Notebooks 05 and 06 will stop: {why}" for why in dict.fromkeys(p.lacking for p in plans) if why]
    if of[0].profile == "full":
        said.append(_gpu())
    if left_out:
        said += ["Left out, since their raw files are not here:", *left_out]
    return "\n".join(said)


def _work(plans: list[DataSetPlan], todo: list[tuple[DataSetPlan, str, list[Work]]]) -> str:
    if not todo:
        return "Nothing to run: nothing that the results depend on has changed."
    of = plans[-1].of
    width = max(len(f"{plan.place}/{notebook}") for plan, notebook, _ in todo)
    readers = dict.fromkeys(plan.of.shown().get(plan.of.reader, plan.of.reader) for plan in plans if plan.of.reader)
    read_by = f" and the reader{'s' * (len(readers) > 1)} {', '.join(readers)}" if readers else ""
    lines = [f"To run, with the LLM {of.shown().get(of.llm, of.llm)}{read_by} and the profile {of.profile}:"]
    for plan, notebook, parts in todo:
        seconds = [part.seconds for part in parts]
        asked = ", ".join(part.what for part in parts if part.what)
        why = plan.stale[notebook] + (f"; LLM: {asked}" if asked else "")
        lines.append(f"  {plan.place + '/' + notebook:<{width}}  {_told(seconds):>10}  {why}")
    everything = [part.seconds for *_, parts in todo for part in parts]
    free = shutil.disk_usage(ROOT).free / 2**30
    room = f"{DISK_GIB} GiB of disk ({free:.0f} GiB free)"
    if {of.llm, *(plan.of.reader or of.llm for plan in plans)} <= PACKAGED.keys():
        room = f"at most {MEMORY_GIB} GiB of memory, {room}"
    else:
        room += " and memory beside what the LLM takes"
    time_said = f"about {_told(everything)} on this machine" if any(everything) else "how long is not known"
    lines.append(f"Together {time_said} (downloads not counted), {room}.")
    if None in everything:
        lines.append("A ? is what nobody has timed: trainings of another profile than quick, an LLM that is not here.")
    return "\n".join(lines)


def _llms(todo: list[tuple[DataSetPlan, str, list[Work]]]) -> list[str]:
    """What is asked of each LLM, and what that takes, a line each: texts, tokens, seconds, memory."""
    asked: dict[str, list[Work]] = {}
    opened, shown = {}, {}
    for plan, _, parts in todo:
        opened, shown = opened | plan.llms, shown | plan.of.shown()
        for part in parts:
            if part.n:
                asked.setdefault(part.llm, []).append(part)
    lines = [f"  {shown.get(name, name)}: {_asked(parts, name, opened[name])}" for name, parts in asked.items()]
    return ["Of the LLMs:", *lines] if lines else []


def _asked(parts: list[Work], name: str, llm: LanguageModel | None) -> str:
    """Texts, tokens, seconds and memory of an LLM; what is not known is said, or a question mark."""
    said = [f"{sum(part.n for part in parts):,} texts"]
    costs = [(part.n, part.cost) for part in parts if part.cost and part.cost.read is not None]
    if costs:
        more = " + ?" if len(costs) < len(parts) else ""
        said.append(f"about {_count(sum(n * cost.read for n, cost in costs))}{more} tokens read")
    else:
        said.append("how many tokens is not known")
    if written := sum(n * cost.written for n, cost in costs):
        said.append(f"at most {_count(written)} written")
    seconds = [part.seconds for part in parts]
    said.append(f"about {_told(seconds)}" if any(seconds) else "how long is not known")
    if llm is not None and llm.at_hand:
        length, new = (max((getattr(cost, of) for _, cost in costs), default=0) for of in ("read", "written"))
        memory = llm.memory(max(1, round(length)), new)
    elif found := size_by_name(name):
        memory = f"{size_told(found[0])} of weights ({found[1]}), and a cache"
    else:
        memory = "what memory it takes is not known"
    return f"{', '.join(said)}; {memory}"


def _count(n: float) -> str:
    """A number to the precision that an estimate has."""
    return f"{n / 1e6:,.1f} million" if n >= 1e6 else f"{round(n, -2):,.0f}" if n >= 1000 else f"{n:.0f}"


def _told(seconds: list[float | None]) -> str:
    """The sum of what is known, and a question mark if something is not."""
    known = sum(filter(None, seconds))
    return " + ".join([duration(known)] * (known > 0) + ["?"] * (None in seconds))


def _gpu() -> str:
    here = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    said = f"here is {here}" if here else "none is here, and on a CPU it takes days"
    return f"The profile full has the paper's sizes: take a GPU, of 24 GiB or more for 8 billion parameters; {said}."
