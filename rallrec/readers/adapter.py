"""A LoRA adapter for the reader, trained on every label of the labelled history.

The paper supervises the answer about the target only. In the labelled prompt each line of the
history asks the same question of an earlier item, so all of them are supervised: some twenty labels
for the price of one prompt. Every label is predicted from what stands before it, as in use.

Runs unchanged under ``accelerate launch``: each process takes its share of every batch, and the
gradients are summed, so that the batch stays what the settings say.
"""

import json
import math
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..data.split import Split
from ..infra.cache import digest, key_of, pack, unpack
from ..infra.errors import InputError
from ..infra.files import data_dir, fresh, published_dir
from ..infra.progress import Progress
from ..infra.reproducible import reproducible
from ..llm.local import LocalModel, open_model
from ..retrieval.learned import LearnedReranker
from ..retrieval.retrieve import Representation, Shown
from ..retrieval.selectors import select
from .prompts import LABELS, TITLES, Details, labelled_history

VERSION = 2  # of this file's arithmetic; part of the adapter's key
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class AdapterSettings:
    """Settings of `adapter`.

    The paper's LoRA has r 8 on ``q_proj`` and ``v_proj``; a small LLM gains from all linear layers.

    Attributes:
        sequences: training samples, an equal share of them in each of the ``orders`` (selectors).
        batch: sequences of a step, over all processes.
        tells: what the prompts tell beside titles; see `prompts.Details`.
        checks: times that the validation loss is looked at; the best step is kept.
        patience: checks without a better loss after which training stops.
    """

    r: int = 8
    alpha: int = 16
    dropout: float = 0.05
    modules: tuple[str, ...] = LINEAR
    learning_rate: float = 3e-4
    sequences: int = 512
    valid_sequences: int = 48
    batch: int = 8
    k: int = 20
    orders: tuple[str, ...] = ("recent", "rerank")
    tells: tuple[str, ...] = ()
    checks: int = 6
    patience: int = 3
    seed: int = 0


@dataclass(frozen=True)
class Curve:
    """Training curve: mean loss of the labels since the last check, and of validation labels, nats."""

    step: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Adapter:
    """A trained adapter: its folder, its training curve, the data set that it was trained on, what its prompts tell."""

    folder: Path
    curve: Curve
    trained_on: str
    tells: tuple[str, ...] = ()


def adapter(
    split: Split,
    items: np.ndarray | Representation | LearnedReranker,
    llm: LocalModel,
    borrow: str | None = None,
    **settings,
) -> Adapter:
    """The reader's adapter: published, trained before, or trained now.

    Trains on sequences of the training period, half of them in each of the ``orders``, and keeps the
    step with the lowest loss on validation sequences. Interrupted, it goes on from the last check.

    Args:
        items: the representation of the selectors that need one, or a learned reranker, whose ``mix3`` the others take.
        llm: the model to adapt; any `LocalModel` without an adapter.
        borrow: another data set, whose published adapter is taken rather than training one, if it was
            made for this very model and none of this data set's own is there.
    """
    name = split.data.name
    s = AdapterSettings(**settings)
    compared = items.representations["mix3"] if isinstance(items, LearnedReranker) else items
    parts = [digest(p) for p in (compared.parts if isinstance(compared, Representation) else (compared,))]
    # the representation's last bits differ between machines; what is shown, and so the training text, hardly does
    inputs = dict(step="adapter", version=VERSION, data=split.data.hash, model=llm.weights, **asdict(s))
    key = key_of(items=parts, **inputs)
    folder = data_dir() / ("adapters-fresh" if fresh() else "adapters") / key[:16]
    for own in (folder,) if fresh() else (published_dir() / name / "adapter", folder):
        if (record := _read(own)) and llm.takes(record["inputs"]["model"]):
            here = json.loads(json.dumps(inputs | {"model": record["inputs"]["model"]}))
            if record["inputs"] == here:
                return _adapter(own, name)
    if borrow is not None and borrow != name:
        lent = published_dir() / borrow / "adapter"
        if (record := _read(lent)) and llm.takes(record["inputs"]["model"]):
            return _adapter(lent, borrow)
    if not isinstance(llm, LocalModel):
        raise InputError(
            f"{name} has no adapter for {llm.name}, and a server trains none; train one with a local LLM "
            f"(`rallrec adapter`), then serve it by its name"
        )
    _train(split, items, llm, s, key, folder, inputs)
    return _adapter(folder, name)


def _adapter(folder: Path, trained_on: str) -> Adapter:
    record = _read(folder)
    return Adapter(folder, Curve(**record["curve"]), trained_on, tuple(record["inputs"].get("tells", ())))


def _read(folder: Path) -> dict | None:
    """The record of a finished adapter, or None."""
    path = folder / "rallrec.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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


def _label_losses(model, padded: torch.Tensor, places: list[list[int]]) -> torch.Tensor:
    """Cross entropy of every label's token given what stands before it, [n_labels]."""
    row = torch.tensor([r for r, p in enumerate(places) for _ in p])
    column = torch.tensor([i for p in places for i in p])
    hidden = model.base_model(padded, use_cache=False)[0][row, column - 1]  # [n_labels, d]
    return F.cross_entropy(model.get_output_embeddings()(hidden).float(), padded[row, column], reduction="none")


def _train(split, items, llm: LocalModel, s: AdapterSettings, key: str, folder: Path, inputs: dict) -> None:
    from accelerate import PartialState
    from accelerate.utils import reduce
    from peft import LoraConfig, get_peft_model

    processes = PartialState(cpu=llm.model.device.type == "cpu")  # one, but under `accelerate launch`
    rank, world = processes.process_index, processes.num_processes
    if s.batch < world:
        raise InputError(f"a batch of {s.batch} sequences can't be shared by {world} processes; launch fewer")
    details = Details.of(s.tells, split)
    train = _drawn(split.train, s.sequences, items, s, llm, details)
    valid = _drawn(split.valid, s.valid_sequences, items, s, llm, details)
    device = llm.model.device if world == 1 else processes.device
    base = open_model(llm.name, None, str(device), llm.format, llm.cache)
    model = base.model  # LoRA changes it: a copy

    def summed(x: torch.Tensor) -> torch.Tensor:
        """Over all processes."""
        return reduce(x, "sum") if world > 1 else x

    def mean_loss(batch, learn: bool = False) -> float:
        """Mean loss over a batch's labels; if ``learn``, this process's part of the gradient is added up, too.

        A few sequences at a time, as the model reads them: their activations are what takes memory.
        """
        mine, n = batch[rank::world], sum(len(labels) for _, labels, _ in batch)
        loss = torch.zeros((), device=model.device)
        for rows in base._batches([ids for ids, _, _ in mine], base.batch_tokens):
            few = [mine[i] for i in rows]
            part = _label_losses(model, base._padded([f[0] for f in few]), [f[1] for f in few]).sum() / n
            if learn:
                part.backward()
            loss += part.detach()
        return summed(loss).item()

    @torch.inference_mode()
    def validation_loss() -> float:
        model.eval()
        batches = _batches(valid, s.batch)
        labels = [sum(len(sequence[1]) for sequence in b) for b in batches]
        return float(np.average([mean_loss(b) for b in batches], weights=labels))

    with reproducible(s.seed):
        config = LoraConfig(r=s.r, lora_alpha=s.alpha, lora_dropout=s.dropout, target_modules=list(s.modules))
        peft_model = get_peft_model(model, config)
        weights = [p for p in model.parameters() if p.requires_grad]
        steps = [b for b in _batches(train, s.batch) if len(b) == s.batch]
        if not steps:
            raise InputError(f"{len(train)} training sequences are too few for a batch of {s.batch}")
        every = max(1, len(steps) // s.checks)
        optimizer = torch.optim.AdamW(weights, lr=s.learning_rate, weight_decay=0.0)
        curve, best, best_loss, stale, done = Curve(), None, np.inf, 0, 0
        resume = key_of(checkpoint=key)
        (blob,) = llm.cache.get([resume])
        if blob is not None:
            state = unpack(blob)
            done, best_loss, stale = int(state["done"]), float(state["best_loss"]), int(state["stale"])
            curve = Curve(**json.loads(str(state["curve"])))
            best = [torch.as_tensor(state[f"best{i}"]) for i in range(len(weights))]
            for i, w in enumerate(weights):
                w.data.copy_(torch.as_tensor(state[f"w{i}"]))
                moments = {
                    "exp_avg": torch.as_tensor(state[f"m{i}"]).to(w.device),
                    "exp_avg_sq": torch.as_tensor(state[f"v{i}"]).to(w.device),
                }
                optimizer.state[w] = {"step": torch.tensor(float(done)), **moments}
        losses = []
        with Progress("adapter", len(steps), "step") as progress:
            progress.add(done)
            for step in range(done, len(steps)):
                if stale >= s.patience:
                    break
                torch.manual_seed(s.seed * 1_000_003 + step)  # dropout is the same after a resumption
                model.train()
                for group in optimizer.param_groups:
                    group["lr"] = s.learning_rate * _schedule(step, len(steps))
                optimizer.zero_grad()
                losses.append(mean_loss(steps[step], learn=True))
                if world > 1:
                    for w in weights:
                        w.grad = summed(w.grad if w.grad is not None else torch.zeros_like(w))
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                progress.add()
                if (step + 1) % every and step + 1 < len(steps):
                    continue
                curve.step.append(step + 1)
                curve.train.append(round(float(np.mean(losses)), 4))
                curve.valid.append(round(validation_loss(), 4))
                losses.clear()
                if curve.valid[-1] < best_loss:
                    best, best_loss, stale = [w.detach().clone() for w in weights], curve.valid[-1], 0
                else:
                    stale += 1
                if processes.is_main_process:
                    state = {"done": np.array(step + 1), "best_loss": np.array(best_loss), "stale": np.array(stale)}
                    state["curve"] = np.array(json.dumps(asdict(curve)))
                    for i, w in enumerate(weights):
                        state |= {f"w{i}": w.detach().cpu().numpy(), f"best{i}": best[i].cpu().numpy()}
                        moments = {"m": optimizer.state[w]["exp_avg"], "v": optimizer.state[w]["exp_avg_sq"]}
                        state |= {f"{name}{i}": moment.cpu().numpy() for name, moment in moments.items()}
                    llm.cache.put({resume: pack(state)})
        for w, b in zip(weights, best, strict=True):
            w.data.copy_(b)
    if processes.is_main_process:
        _save(peft_model, folder, {"inputs": inputs, "curve": asdict(curve)})
        llm.cache.forget(resume)
    processes.wait_for_everyone()


def _batches(sequences: list, size: int) -> list[list]:
    return [sequences[i : i + size] for i in range(0, len(sequences), size)]


def _schedule(step: int, n_steps: int) -> float:
    """Share of the learning rate at a step: a linear warm-up over a tenth of the steps, times a cosine to zero."""
    return min(1.0, (step + 1) / max(1, n_steps // 10)) * (0.5 + 0.5 * math.cos(math.pi * step / n_steps))


def _drawn(samples, n: int, items, s: AdapterSettings, llm: LocalModel, details: Details):
    """Sequences of ``n`` samples, in random order, an equal share of them in each of the orders."""
    rows = np.random.default_rng(s.seed).permutation(samples.draw(n, s.seed))
    parts = []
    for order, part in zip(s.orders, np.array_split(rows, len(s.orders)), strict=True):
        by = items.representations["mix3"] if isinstance(items, LearnedReranker) and order != "learned" else items
        parts.append(sequences(select(samples.take(part), order, by, s.k), llm, details))
    mixed = [sequence for part in parts for sequence in part]
    return [mixed[i] for i in np.random.default_rng(s.seed + 1).permutation(len(mixed))]


def _save(peft_model, folder: Path, record: dict) -> None:
    """Write the adapter in half precision beside its final place, then rename it there whole."""
    part = folder.with_name(f"{folder.name}.part{os.getpid()}")
    try:
        peft_model.half().save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)
        config = json.loads((part / "adapter_config.json").read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = record["inputs"]["model"]
        config["target_modules"] = sorted(config["target_modules"])
        (part / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        (part / "rallrec.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        os.replace(part, folder)
    except OSError as e:
        raise InputError(f"{folder} can't be written ({e.strerror}); free some space and run again") from e
    finally:
        shutil.rmtree(part, ignore_errors=True)
