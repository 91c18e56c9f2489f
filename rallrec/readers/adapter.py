"""A LoRA adapter for the reader, trained on every label of the labelled history.

The paper supervises the answer about the target only. In the labelled prompt each line of the
history asks the same question of an earlier item, so all of them are supervised: some twenty labels
for the price of one prompt. Every label is predicted from what stands before it, as in use.
"""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..data.split import Samples, Split
from ..infra.cache import key_of
from ..infra.errors import InputError
from ..infra.files import data_dir, fresh, published_dir, workplace
from ..llm.base import LanguageModel
from ..llm.local import LocalModel
from ..retrieval.retrieve import Shown
from .prompts import LABELS, TITLES, Details, labelled_history
from .training import AdapterSettings, Checkpoint, Curve, Processes, Training

VERSION = 2  # of this file's arithmetic and of training's; part of the adapter's key


@dataclass(frozen=True)
class Adapter:
    """A trained adapter: its folder, its training curve, the data set that it was trained on, what its prompts tell."""

    folder: Path
    curve: Curve
    trained_on: str
    tells: tuple[str, ...] = ()


def adapter(
    split: Split,
    show: Callable[[str, Samples, int], Shown],
    made_of: dict,
    llm: LanguageModel,
    borrow: str | None = None,
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
            made for this very model and none of this data set's own is there. Not if it was made of these very data,
            divided otherwise: it may have been trained on what is tested here.
        settings: those of `AdapterSettings`.

    Raises:
        InputError: an adapter that has to be trained for a model on a server, or can't be (too few samples for a
            batch, no space, a loss that is no number).
    """
    s, name = AdapterSettings(**settings), split.data.name
    inputs = dict(step="adapter", version=VERSION, data=split.data.hash, split=digest_of(split), made_of=made_of)
    inputs = json.loads(json.dumps(inputs | dict(model=llm.weights) | asdict(s)))  # as it is read again
    key = key_of(**inputs)
    folder = data_dir() / ("adapters-fresh" if fresh() else "adapters") / key[:16]

    def found() -> tuple[Path, str] | None:
        """An adapter that needn't be trained, and the data set that it was trained on."""
        for own in (folder,) if fresh() else (published_dir() / name / "adapter", folder):
            if (record := _read(own)) and _is_of(record["inputs"], inputs, llm):
                return own, name
        if borrow not in (None, name):
            lent = published_dir() / borrow / "adapter"
            if (record := _read(lent)) and _may_lend(record["inputs"], inputs, llm):
                return lent, borrow
        return None

    processes = Processes(on_cpu=not isinstance(llm, LocalModel) or llm.model.device.type == "cpu")
    if there := processes.of_the_first(found):
        return _adapter(*there)
    if not isinstance(llm, LocalModel):
        raise InputError(
            f"{name} has no adapter for {llm.name}, and only an LLM on this machine can be trained; train one with a "
            f"local LLM (`rallrec adapter`), then serve it by its name"
        )
    try:
        with workplace(folder) if processes.first else nullcontext() as tmp:  # one lock for all processes of a launch
            if there := processes.of_the_first(found):  # who held the lock before has made it
                return _adapter(*there)
            training = Training(llm, s, processes)
            curve = training.run(*_sequences_of(split, show, s, llm), Checkpoint(llm.cache, key_of(checkpoint=key)))
            if processes.first:
                _save(training.peft_model, tmp / folder.name, {"inputs": inputs, "curve": asdict(curve)})
                shutil.rmtree(folder, ignore_errors=True)  # without a record of these inputs, so of no use
                os.replace(tmp / folder.name, folder)
                llm.cache.forget(key_of(checkpoint=key))
    except OSError as e:
        raise InputError(f"{folder} can't be written ({e.strerror or e}); free some space and run again") from e
    processes.wait()
    return _adapter(folder, name)


def digest_of(split: Split) -> str:
    """Short digest of what an adapter is trained and validated on, and of the ratings that prompts' statistics use."""
    parts = dict(train=split.train.position, valid=split.valid.position, train_ratings=split.train_ratings)
    return key_of(**{name: np.asarray(part, np.int64) for name, part in parts.items()})[:16]


def _is_of(record: dict, inputs: dict, llm: LanguageModel) -> bool:
    """Whether an adapter's recorded inputs are ``inputs``, on a model that it fits."""
    return record == inputs | {"model": record["model"]} and llm.takes(record["model"])


def _may_lend(record: dict, inputs: dict, llm: LanguageModel) -> bool:
    """Whether another data set's adapter may be taken: not if these are the same data, divided otherwise."""
    leaks = record["data"] == inputs["data"] and record.get("split") != inputs["split"]
    return not leaks and llm.takes(record["model"])


def _adapter(folder: Path, trained_on: str) -> Adapter:
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
        InputError: the tokenizer spells a label in more than one token.
    """
    texts, ends, truths = [], [], []
    for (text, labels), liked in zip(labelled_history(shown, details), shown.samples.liked, strict=True):
        text += f" {LABELS[0] if liked else LABELS[1]}"
        texts.append(text)
        ends.append([end for end, _ in labels] + [len(text)])
        truths.append([like for _, like in labels] + [bool(liked)])
    if any(len(o) > 1 for o in llm.option_tokens("A:", [f" {label}" for label in LABELS])):
        raise InputError(f"{llm.name} spells {' or '.join(LABELS)} in several tokens; it can't be fine-tuned here")
    encoded = llm.tokenizer(texts, return_offsets_mapping=True)
    out = []
    for ids, offsets, label_ends, truth in zip(
        encoded["input_ids"], encoded["offset_mapping"], ends, truths, strict=True
    ):
        place = {end: i for i, (start, end) in enumerate(offsets) if end > start}
        out.append((ids, [place[end] for end in label_ends], truth))
    return out


def _sequences_of(split: Split, show: Callable, s: AdapterSettings, llm: LocalModel) -> tuple[list, list]:
    """Sequences of training and of validation samples, in random order, an equal share in each of the orders."""
    details, out = Details.of(s.tells, split), []
    for samples, n in ((split.train, s.sequences), (split.valid, s.valid_sequences)):
        drawn = np.random.default_rng(s.seed).permutation(samples.draw(n, s.seed))
        parts = zip(s.orders, np.array_split(drawn, len(s.orders)), strict=True)
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
