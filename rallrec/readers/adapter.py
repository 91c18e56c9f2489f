"""A LoRA adapter for the reader, trained on every label of the labelled history.

The paper supervises the answer about the target only. In the labelled prompt each line of the
history asks the same question of an earlier item, so all of them are supervised: some twenty labels
for the price of one prompt. Every label is predicted from what stands before it, as in use.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..data.dataset import Dataset
from ..data.split import Samples, Split
from ..infra.cache import key_of
from ..infra.errors import InputError
from ..infra.files import data_dir, fresh, published_dir, workplace
from ..infra.noted import noted
from ..llm.base import LanguageModel
from ..llm.local import LocalModel
from ..retrieval.retrieve import Shown
from .prompts import LABELS, TITLES, Details, labelled_history
from .training import AdapterSettings, Checkpoint, Curve, Processes, Training

SKETCH = 2048  # titles
LISTED = "adapters.json"  # of a data set's adapters whose answers alone are published
VERSION = 2  # of this file's arithmetic and of training's; part of the adapter's key


@dataclass(frozen=True)
class Adapter:
    """A trained adapter.

    Attributes:
        folder: None of one that is not here, whose answers are published: it is known by its ``digest``.
        curve: of its training. trained_on: the data set. tells: what its prompts tell.
    """

    folder: Path | None
    curve: Curve
    trained_on: str
    tells: tuple[str, ...] = ()
    digest: str = ""


def adapter(
    split: Split,
    show: Callable[[str, Samples, int], Shown],
    made_of: dict,
    llm: LanguageModel,
    borrow: str | None = None,
    tuning: str = "paper",
    **settings,
) -> Adapter:
    """The reader's adapter: published, trained before, or trained now.

    Trains on sequences of the training period, an equal share of them in each of the ``orders``, and keeps the
    step with the lowest loss on validation sequences. Interrupted, it goes on from the last check. Of two runs that
    want the same adapter, the second waits and takes the first one's.

    A published adapter of this data set, or one that was trained before, is taken only if all that it was made of
    is the same: data, split, ``made_of``, model (see `LanguageModel.takes`) and settings.

    Args:
        show: ``show(order, samples, k)`` gives what the selector named ``order`` shows of the samples.
        made_of: what is shown depends on this; JSON values that are the same on every machine (names and settings,
            not the last bits of arrays), and with every LLM that the adapter fits: a server's name is another one's.
        llm: the model to adapt, without an adapter; only a `LocalModel` can be trained.
        borrow: another data set, whose published adapter is taken rather than training one, if it was
            made for this very model and none of this data set's own is there. Not if it may have been trained on what
            is tested here: it was made of these data, divided otherwise, or more than half of the items of one of the
            two data sets are the other's, too (see `overlap`).
        tuning: its name (see `profiles.TUNINGS`), by which a published one is found.
        settings: those of `AdapterSettings`.

    Raises:
        InputError: an adapter that has to be trained for a model on a server, or can't be (too few samples for a
            batch, no space, a loss that is no number).
    """
    wanted = _Wanted(split, made_of, llm, borrow, tuning, AdapterSettings(**settings))
    s, name, folder = wanted.settings, split.data.name, wanted.folder
    processes = Processes(on_cpu=not isinstance(llm, LocalModel) or llm.device.type == "cpu")
    if there := processes.of_the_first(wanted.found):
        return _adapter(*there)
    if not isinstance(llm, LocalModel):
        raise InputError(
            f"{name} has no adapter for {llm.name}, and only an LLM on this machine can be trained; train one with a "
            f"local LLM (`rallrec adapter`), then serve it by its name"
        )
    try:
        with workplace(folder) if processes.first else nullcontext() as tmp:  # one lock for all processes of a launch
            if there := processes.of_the_first(wanted.found):  # who held the lock before has made it
                return _adapter(*there)
            training = Training(llm, s, processes)
            curve = training.run(*_sequences_of(split, show, s, llm), Checkpoint(llm.cache, wanted.checkpoint))
            if processes.first:
                record = {"inputs": wanted.inputs, "curve": asdict(curve), "titles": titles_of(split.data)}
                _save(training.peft_model, tmp / folder.name, record)
                shutil.rmtree(folder, ignore_errors=True)  # without a record of these inputs, so of no use
                os.replace(tmp / folder.name, folder)
                llm.cache.forget(wanted.checkpoint)
    except OSError as e:
        raise InputError(f"{folder} can't be written ({e.strerror or e}); free some space and run again") from e
    processes.wait()
    return _adapter(folder, name)


def which(
    split: Split,
    show: Callable[[str, Samples, int], Shown],
    made_of: dict,
    llm: LanguageModel,
    borrow: str | None = None,
    tuning: str = "paper",
    **settings,
) -> Path | None:
    """The folder of the adapter that `adapter` gives for the same arguments; None where it would train one."""
    found = _Wanted(split, made_of, llm, borrow, tuning, AdapterSettings(**settings)).found()
    return found[0] if found else None


def known(
    split: Split, show: Callable, made_of: dict, llm: LanguageModel, tuning: str = "paper", **settings
) -> Adapter | None:
    """The adapter of the same arguments whose answers are published and whose weights are not; None of others.

    ``published/<dataset>/adapters.json`` lists these by the name of the folder that a trained one has (see `_Wanted`).
    """
    wanted = _Wanted(split, made_of, llm, None, tuning, AdapterSettings(**settings))
    listed = {} if fresh() else read_listed(split.data.name)
    if not (found := listed.get(wanted.folder.name)):
        return None
    return Adapter(None, Curve(**found["curve"]), split.data.name, wanted.settings.tells, found["digest"])


def listed_path(dataset: str) -> Path:
    return published_dir() / dataset / LISTED


def read_listed(dataset: str) -> dict[str, dict]:
    """What ``adapters.json`` of a data set lists: the ``digest``, the ``inputs`` and the ``curve`` of each."""
    path = listed_path(dataset)
    try:
        return json.loads(noted(path).read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as e:
        raise InputError(f"{path} is damaged ({e}); `git checkout {path}` brings it back") from e


class _Wanted:
    """The adapter that is asked for.

    Attributes:
        inputs: all that it is made of.
        key: of these. folder: where it lies once it is trained. checkpoint: the key of its training's, in the LLM's
            cache.
    """

    def __init__(self, split: Split, made_of: dict, llm: LanguageModel, borrow: str | None, tuning: str, settings):
        self.data, self.llm, self.borrow, self.settings = split.data, llm, borrow, settings
        self.published = "adapter" if tuning == "paper" else f"adapter-{tuning.replace(' ', '-')}"
        inputs = dict(step="adapter", version=VERSION, data=split.data.hash, split=digest_of(split), made_of=made_of)
        # as it is read again
        self.inputs = json.loads(json.dumps(inputs | dict(model=llm.weights) | asdict(settings)))
        self.key = key_of(**self.inputs)
        self.folder = data_dir() / ("adapters-fresh" if fresh() else "adapters") / self.key[:16]
        self.checkpoint = key_of(checkpoint=self.key)

    def found(self) -> tuple[Path, str] | None:
        """An adapter that needn't be trained, and the data set that it was trained on."""
        name = self.data.name
        for own in (self.folder,) if fresh() else (published_dir() / name / self.published, self.folder):
            if (record := _read(own)) and _is_of(record["inputs"], self.inputs, self.llm):
                return own, name
        if self.borrow not in (None, name) and self.folder.name not in read_listed(name):  # its own is known
            lent = published_dir() / self.borrow / self.published
            if (record := _read(lent)) and self._may_take(record):
                return lent, self.borrow
        return None

    def _may_take(self, record: dict) -> bool:
        """Whether another data set's adapter may be taken: not if it may have seen what is tested here."""
        theirs = record["inputs"]
        if not self.llm.takes(theirs["model"]):
            return False
        if theirs["data"] == self.inputs["data"]:
            return theirs.get("split") == self.inputs["split"]
        return "titles" in record and overlap(record["titles"], titles_of(self.data)) <= 0.5


def titles_of(data: Dataset) -> str:
    """A sketch of a data set's titles, to recognise its items whatever was done to the ratings: see `overlap`.

    Case, signs, the order of the words (``Matrix, The``) and a year in brackets don't count.

    Returns:
        The `SKETCH` smallest hashes of distinct titles, eight hex digits each, ascending.
    """
    words = {" ".join(sorted(re.findall(r"\w+", re.sub(r"\(\d{4}\)", "", t).lower()))) for t in data.items["title"]}
    hashes = sorted(hashlib.sha256(w.encode()).hexdigest()[:8] for w in words)
    return "".join(hashes[:SKETCH])


def overlap(a: str, b: str) -> float:
    """Share of the titles of one data set that the other has, too; the larger one of the two shares. Unknown, it is 1.

    Args:
        a, b: as `titles_of` gives them. Hashes beyond the last one of a full sketch tell nothing, and don't count.
    """
    parts = [[sketch[i : i + 8] for i in range(0, len(sketch), 8)] for sketch in (a, b)]
    last = min((part[-1] for part in parts if len(part) == SKETCH), default="g")
    first, second = ({h for h in part if h <= last} for part in parts)
    fewer = min(len(first), len(second))
    return len(first & second) / fewer if fewer else 1.0


def digest_of(split: Split) -> str:
    """Short digest of what an adapter is trained and validated on, and of the ratings that prompts' statistics use."""
    parts = dict(train=split.train.position, valid=split.valid.position, train_ratings=split.train_ratings)
    return key_of(**{name: np.asarray(part, np.int64) for name, part in parts.items()})[:16]


def _is_of(record: dict, inputs: dict, llm: LanguageModel) -> bool:
    """Whether an adapter's recorded inputs are ``inputs``, on a model that it fits."""
    return record == inputs | {"model": record["model"]} and llm.takes(record["model"])


def _adapter(folder: Path, trained_on: str) -> Adapter:
    noted(folder / "adapter_model.safetensors")
    record = _read(folder)
    return Adapter(folder, Curve(**record["curve"]), trained_on, tuple(record["inputs"].get("tells", ())))


def _read(folder: Path) -> dict | None:
    """The record of a finished adapter, or None."""
    path = folder / "rallrec.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as e:
        raise InputError(
            f"{path} is damaged ({e}); bring it back with git, or delete its folder; then run again"
        ) from e


def sequences(
    shown: Shown, llm: LocalModel, details: Details = TITLES
) -> list[tuple[list[int], list[int], list[bool]]]:
    """Token ids of each labelled prompt with its target's label, where the labels stand, and what they are.

    Raises:
        InputError: a tokenizer that spells a label in more than one token, or does not tell where; a text that is
            longer than the model's context.
    """
    texts, ends, truths = [], [], []
    for (text, labels), liked in zip(labelled_history(shown, details), shown.samples.liked, strict=True):
        text += f" {LABELS[0] if liked else LABELS[1]}"
        texts.append(text)
        ends.append([end for end, _ in labels] + [len(text)])
        truths.append([like for _, like in labels] + [bool(liked)])
    if any(len(o) > 1 for o in llm.option_tokens("A:", [f" {label}" for label in LABELS])):
        raise InputError(f"{llm.name} spells {' or '.join(LABELS)} in several tokens; it can't be fine-tuned here")
    llm.tokens(texts)  # none is too long
    try:
        encoded = llm.tokenizer(texts, return_offsets_mapping=True)
    except NotImplementedError as e:
        raise InputError(f"{llm.name}: its tokenizer does not tell where tokens end; it needs a tokenizer.json") from e
    out = []
    for ids, offsets, label_ends, truth in zip(
        encoded["input_ids"], encoded["offset_mapping"], ends, truths, strict=True
    ):
        place = {end: i for i, (start, end) in enumerate(offsets) if end > start}
        if not place.keys() >= set(label_ends):
            raise InputError(f"{llm.name}: its tokens run on beyond a label; it can't be fine-tuned here")
        out.append((ids, [place[end] for end in label_ends], truth))
    return out


def _sequences_of(split: Split, show: Callable, s: AdapterSettings, llm: LocalModel) -> tuple[list, list]:
    """Sequences of training and of validation samples, in random order, an equal share in each of the orders."""
    details, out = Details.of(s.tells, split), []
    for samples, n in ((split.train, s.sequences), (split.valid, s.valid_sequences)):
        drawn = np.random.default_rng(s.seed).permutation(samples.draw(n, s.seed))
        parts = zip(s.orders, np.array_split(drawn, len(s.orders)), strict=True)
        parts = [(order, rows) for order, rows in parts if len(rows)]  # of few samples, not one for each order
        found = [
            sequence for o, rows in parts for sequence in sequences(show(o, samples.take(rows), s.k), llm, details)
        ]
        out.append([found[i] for i in np.random.default_rng(s.seed + 1).permutation(len(found))])
    return tuple(out)


def _save(peft_model, folder: Path, record: dict) -> None:
    """Write the adapter in half precision."""
    peft_model.half().save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = record["inputs"]["model"]
    config["target_modules"] = sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "rallrec.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
