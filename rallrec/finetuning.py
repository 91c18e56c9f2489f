"""A LoRA adapter for the reader, trained on every label of the labelled history.

The paper supervises the answer about the target only. In the labelled prompt each line of the
history asks the same question of an earlier item, so all of them are supervised: some twenty labels
for the price of one prompt. Every label is predicted from what stands before it, as in use.
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

from .cache import digest, key_of, pack, unpack
from .errors import InputError
from .llm import LocalModel, language_model, open_model
from .paths import data_dir, fresh, published_dir
from .progress import Progress
from .prompts import LABELS, labelled_history
from .reproducible import reproducible
from .reranking import select
from .retrieval import Representation, Shown
from .splits import Split

VERSION = 1  # of this file's arithmetic; part of the adapter's key
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class AdapterSettings:
    """Settings of `adapter`.

    The paper's LoRA has r 8 on ``q_proj`` and ``v_proj``; a small LLM gains from all linear layers.
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
    checks: int = 6
    seed: int = 0


@dataclass(frozen=True)
class Curve:
    """Training curve: mean loss of the labels since the last check, and of validation labels, nats."""

    step: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Adapter:
    """A trained adapter: its folder, its training curve, and the data set that it was trained on."""

    folder: Path
    curve: Curve
    trained_on: str


def adapter(
    split: Split, items: np.ndarray | Representation, llm: LocalModel, borrow: str | None = None, **settings
) -> Adapter:
    """The reader's adapter: published, trained before, or trained now.

    Trains on sequences of the training period, half of them in each of the ``orders``, and keeps the
    step with the lowest loss on validation sequences. Interrupted, it goes on from the last check.

    Args:
        items: the representation of the selectors that need one.
        llm: the model to adapt; any `LocalModel` without an adapter.
        borrow: another data set, whose published adapter is taken rather than training one, if it was
            made for this very model and none of this data set's own is there.
    """
    name = split.data.name
    s = AdapterSettings(**settings)
    parts = [digest(p) for p in (items.parts if isinstance(items, Representation) else (items,))]
    # the representation's last bits differ between machines; what is shown, and so the training text, hardly does
    inputs = dict(step="adapter", version=VERSION, data=split.data.hash, model=llm.fingerprint, **asdict(s))
    key = key_of(items=parts, **inputs)
    folder = data_dir() / ("adapters-fresh" if fresh() else "adapters") / key[:16]
    for own in (folder,) if fresh() else (published_dir() / name / "adapter", folder):
        if (record := _read(own)) and record["inputs"] == json.loads(json.dumps(inputs)):
            return Adapter(own, Curve(**record["curve"]), name)
    if borrow is not None and borrow != name:
        lent = published_dir() / borrow / "adapter"
        if (record := _read(lent)) and record["inputs"]["model"] == llm.fingerprint:
            return Adapter(lent, Curve(**record["curve"]), borrow)
    _train(split, items, llm, s, key, folder, inputs)
    return Adapter(folder, Curve(**_read(folder)["curve"]), name)


def open_adapted(llm: LocalModel, folder: Path) -> LocalModel:
    """The same model with the adapter merged in, beside the plain one."""
    return language_model(llm.name, folder, *_place(llm), llm.cache)


def _place(llm: LocalModel) -> tuple[str, str]:
    """Device and number format of a model, as `language_model` takes them."""
    return str(llm.model.device), str(llm.model.dtype).removeprefix("torch.")


def _read(folder: Path) -> dict | None:
    """The record of a finished adapter, or None."""
    path = folder / "rallrec.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def sequences(shown: Shown, llm: LocalModel) -> list[tuple[list[int], list[int], list[bool]]]:
    """Token ids of each labelled prompt with its target's label, where the labels stand, and what they are.

    Raises:
        InputError: the tokenizer spells a label in more than one token.
    """
    texts, ends, truths = [], [], []
    for (text, labels), liked in zip(labelled_history(shown), shown.samples.liked, strict=True):
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
    from peft import LoraConfig, get_peft_model

    train = _drawn(split.train, s.sequences, items, s, llm)
    valid = _drawn(split.valid, s.valid_sequences, items, s, llm)
    base = open_model(llm.name, None, *_place(llm), llm.cache).model  # LoRA changes it: a copy
    with reproducible(s.seed):
        config = LoraConfig(r=s.r, lora_alpha=s.alpha, lora_dropout=s.dropout, target_modules=list(s.modules))
        peft_model = get_peft_model(base, config)
        weights = [p for p in base.parameters() if p.requires_grad]
        n_steps = len(train) // s.batch
        if not n_steps:
            raise InputError(f"{len(train)} training sequences are too few for a batch of {s.batch}")
        every = max(1, n_steps // s.checks)
        optimizer = torch.optim.AdamW(weights, lr=s.learning_rate, weight_decay=0.0)
        curve, best, best_loss, done = Curve(), None, np.inf, 0
        resume = key_of(checkpoint=key)
        (blob,) = llm.cache.get([resume])
        if blob is not None:
            state = unpack(blob)
            done, best_loss = int(state["done"]), float(state["best_loss"])
            curve = Curve(**json.loads(str(state["curve"])))
            best = [torch.as_tensor(state[f"best{i}"]) for i in range(len(weights))]
            for i, w in enumerate(weights):
                w.data.copy_(torch.as_tensor(state[f"w{i}"]))
                moments = {"exp_avg": torch.as_tensor(state[f"m{i}"]), "exp_avg_sq": torch.as_tensor(state[f"v{i}"])}
                optimizer.state[w] = {"step": torch.tensor(float(done)), **moments}
        losses = []
        with Progress("adapter", n_steps, "step") as progress:
            progress.add(done)
            for step in range(done, n_steps):
                torch.manual_seed(s.seed * 1_000_003 + step)  # dropout is the same after a resumption
                base.train()
                for group in optimizer.param_groups:
                    group["lr"] = s.learning_rate * _schedule(step, n_steps)
                batch = train[step * s.batch : (step + 1) * s.batch]
                loss = _label_losses(base, llm._padded([b[0] for b in batch]), [b[1] for b in batch]).mean()
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                losses.append(loss.item())
                progress.add()
                if (step + 1) % every and step + 1 < n_steps:
                    continue
                curve.step.append(step + 1)
                curve.train.append(round(float(np.mean(losses)), 4))
                curve.valid.append(round(_validation_loss(base, llm, valid, s.batch), 4))
                losses.clear()
                if curve.valid[-1] < best_loss:
                    best, best_loss = [w.detach().clone() for w in weights], curve.valid[-1]
                state = {"done": np.array(step + 1), "best_loss": np.array(best_loss)}
                state["curve"] = np.array(json.dumps(asdict(curve)))
                for i, w in enumerate(weights):
                    moments = optimizer.state[w]
                    state |= {f"w{i}": w.detach().cpu().numpy(), f"best{i}": best[i].cpu().numpy()}
                    state |= {f"m{i}": moments["exp_avg"].cpu().numpy(), f"v{i}": moments["exp_avg_sq"].cpu().numpy()}
                llm.cache.put({resume: pack(state)})
        for w, b in zip(weights, best, strict=True):
            w.data.copy_(b)
    _save(peft_model, folder, {"inputs": inputs, "curve": asdict(curve)})
    llm.cache.forget(resume)


def _schedule(step: int, n_steps: int) -> float:
    """Share of the learning rate at a step: a linear warm-up over a tenth of the steps, times a cosine to zero."""
    return min(1.0, (step + 1) / max(1, n_steps // 10)) * (0.5 + 0.5 * math.cos(math.pi * step / n_steps))


def _drawn(samples, n: int, items, s: AdapterSettings, llm: LocalModel):
    """Sequences of ``n`` samples, in random order, an equal share of them in each of the orders."""
    rows = np.random.default_rng(s.seed).permutation(samples.draw(n, s.seed))
    parts = []
    for order, part in zip(s.orders, np.array_split(rows, len(s.orders)), strict=True):
        parts.append(sequences(select(samples.take(part), order, items, s.k), llm))
    mixed = [sequence for part in parts for sequence in part]
    return [mixed[i] for i in np.random.default_rng(s.seed + 1).permutation(len(mixed))]


@torch.inference_mode()
def _validation_loss(model, llm: LocalModel, valid, batch: int) -> float:
    model.eval()
    losses = []
    for i in range(0, len(valid), batch):
        part = valid[i : i + batch]
        losses.append(_label_losses(model, llm._padded([b[0] for b in part]), [b[1] for b in part]))
    return float(torch.cat(losses).mean())


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
