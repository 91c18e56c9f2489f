"""The training of an adapter: a loop over batches of labels, its checkpoints, and the processes that share it.

Runs unchanged under ``accelerate launch``: each process takes its share of every batch, and the
gradients are summed, so that the batch stays what the settings say.
"""

import atexit
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta

import numpy as np
import torch
import torch.nn.functional as F

from ..infra.cache import Cache, pack, unpack
from ..infra.early_stopping import EarlyStopping
from ..infra.errors import InputError
from ..infra.progress import Progress
from ..infra.reproducible import reproducible
from ..llm.local import LocalModel, logits_at, open_model

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # all, as most name them
WAITS = timedelta(days=1)  # of a launch's other processes, while the first waits for another launch to train


@dataclass(frozen=True)
class AdapterSettings:
    """Settings of `adapter`.

    The released code's LoRA has r 8 on ``q_proj`` and ``v_proj``; a small LLM gains from all linear layers.

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
    orders: tuple[str, ...] = ("high", "sequential")
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


def _label_losses(model, padded: torch.Tensor, places: list[list[int]]) -> torch.Tensor:
    """Cross entropy of every label's token given what stands before it, [n_labels]."""
    row = torch.tensor([r for r, p in enumerate(places) for _ in p])
    column = torch.tensor([i for p in places for i in p])
    logits = logits_at(model, padded, row, column - 1)  # [n_labels, vocabulary]
    return F.cross_entropy(logits.float(), padded[row, column], reduction="none")


def _layers(name: str, model, s: AdapterSettings) -> dict:
    """Which layers get LoRA weights, as peft's settings: of a model that sees images, too, those that read texts.

    Raises:
        InputError: named layers that the model does not have.
    """
    place = {part: place for place, part in model.named_modules()}[model.get_decoder()]
    within = [full for full, _ in model.named_modules() if full.startswith(f"{place}.")]
    lacking = [module for module in s.modules if not any(full.endswith(f".{module}") for full in within)]
    if lacking and s.modules != LINEAR:
        raise InputError(f"{name} has no layers {', '.join(lacking)}; name others (modules)")
    targets = "all-linear" if lacking else list(s.modules)  # it has them under other names, or joined (Phi, GPT-2)
    texts_alone = {} if place == model.base_model_prefix else {"exclude_modules": rf"(?!{re.escape(place)}\.).*"}
    return {"target_modules": targets} | texts_alone


class Processes:
    """The processes of one ``accelerate launch``, of which this is one; without a launch it is the only one.

    Attributes:
        rank, world: this process's number, and how many there are. first: whether its number is 0.
    """

    def __init__(self, on_cpu: bool):
        self._state, self.rank, self.world = None, 0, 1
        sizes = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
        if "LOCAL_RANK" in os.environ or any(os.environ.get(size, "1") != "1" for size in sizes):
            from accelerate import PartialState

            self._state = PartialState(cpu=on_cpu, timeout=WAITS)
            atexit.register(self._state.destroy_process_group)  # its threads may not outlive Python
            self.rank, self.world = self._state.process_index, self._state.num_processes
        self.first = self.rank == 0

    def device(self, alone: torch.device) -> torch.device:
        """This process's device; ``alone`` where it is the only one."""
        return alone if self.world == 1 else self._state.device

    def summed(self, x: torch.Tensor) -> torch.Tensor:
        """Over all processes."""
        if self.world == 1:
            return x
        from accelerate.utils import reduce

        return reduce(x, "sum")

    def of_the_first(self, find: Callable):
        """What ``find()`` gives in the first process, in each of them: so all of them do the same."""
        if self.world == 1:
            return find()
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([find() if self.first else None])[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            self._state.wait_for_everyone()


class Checkpoint:
    """Where a training stands, kept under a key in a cache from one check to the next."""

    def __init__(self, cache: Cache, key: str):
        self.cache, self.key = cache, key

    def save(self, training: "Training") -> None:
        stopping, state = training.stopping, training.optimizer.state_dict()["state"]
        told = dict(curve=asdict(training.curve), score=stopping.score, stale=stopping.stale)
        arrays = {"told": np.array(json.dumps(told))}
        for i, (weight, best) in enumerate(zip(training.weights, stopping.best, strict=True)):
            arrays |= {f"weight/{i}": weight.detach().cpu().numpy(), f"best/{i}": best.cpu().numpy()}
            arrays |= {f"optimizer/{i}/{name}": value.cpu().numpy() for name, value in state[i].items()}
        self.cache.put({self.key: pack(arrays)})

    def restore(self, training: "Training") -> None:
        """Bring a training to where it stood; it stays at its beginning where nothing is kept."""
        (blob,) = self.cache.get([self.key])
        if blob is None:
            return
        arrays = {name: torch.as_tensor(array) for name, array in unpack(blob).items() if name != "told"}
        told = json.loads(str(unpack(blob)["told"]))
        training.curve, stopping = Curve(**told["curve"]), training.stopping
        stopping.score, stopping.stale = told["score"], told["stale"]
        stopping.best = [arrays[f"best/{i}"] for i in range(len(training.weights))]
        state = {}
        for i, weight in enumerate(training.weights):
            weight.data.copy_(arrays[f"weight/{i}"])
            begins = f"optimizer/{i}/"
            state[i] = {n.removeprefix(begins): value for n, value in arrays.items() if n.startswith(begins)}
        training.optimizer.load_state_dict(training.optimizer.state_dict() | {"state": state})


class Training:
    """The training of LoRA weights on a copy of an LLM.

    Attributes:
        reader: the copy. peft_model: it with its LoRA weights, as peft has it. weights: the LoRA weights alone.
        curve, stopping: of the checks until now; the best weights are in ``stopping``.
    """

    def __init__(self, llm: LocalModel, s: AdapterSettings, processes: Processes):
        from peft import LoraConfig, get_peft_model

        if s.batch < processes.world:
            raise InputError(
                f"a batch of {s.batch} sequences can't be shared by {processes.world} processes; launch fewer"
            )
        self.s, self.processes = s, processes
        self.reader = open_model(llm.name, None, str(processes.device(llm.device)), llm.format, llm.cache)
        self.model = self.reader.model
        with reproducible(s.seed):
            config = LoraConfig(r=s.r, lora_alpha=s.alpha, lora_dropout=s.dropout, **_layers(llm.name, self.model, s))
            try:
                self.peft_model = get_peft_model(self.model, config)
            except ValueError as e:  # a layer of a kind that takes none
                raise InputError(f"{llm.name} can't be fine-tuned here: {str(e).splitlines()[0]}") from e
        self.weights = [w for w in self.model.parameters() if w.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=s.learning_rate, weight_decay=0.0)
        self.curve, self.stopping = Curve(), EarlyStopping(s.patience)

    def run(self, train: list, valid: list, checkpoint: Checkpoint) -> Curve:
        """Train from the last checkpoint on, leave the best weights in the model, and give the whole curve.

        Args:
            train, valid: as `sequences` gives them.
        """
        s = self.s
        steps = [batch for batch in _batches(train, s.batch) if len(batch) == s.batch]
        if not steps:
            raise InputError(f"{len(train)} training sequences are too few for a batch of {s.batch}")
        every, losses = max(1, len(steps) // s.checks), []
        checkpoint.restore(self)
        done = self.curve.step[-1] if self.curve.step else 0
        with reproducible(s.seed), Progress("adapter", len(steps), "step") as progress:
            progress.add(done)
            for step in range(done, len(steps)):
                if self.stopping.over:
                    break
                losses.append(self._step(steps[step], step, len(steps)))
                progress.add()
                if (step + 1) % every and step + 1 < len(steps):
                    continue
                self._check(step + 1, float(np.mean(losses)), valid)
                losses.clear()
                if self.processes.first:
                    checkpoint.save(self)
        if not math.isfinite(self.stopping.score):
            raise InputError("the validation loss is no number; take a lower learning rate, or train in float32")
        for weight, best in zip(self.weights, self.stopping.best, strict=True):
            weight.data.copy_(best)
        return self.curve

    def _step(self, batch: list, step: int, n_steps: int) -> float:
        """Take a step, and give the loss before it. Dropout depends on the step alone: the same after a resumption."""
        torch.manual_seed(self.s.seed * 1_000_003 + step)
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.s.learning_rate * _schedule(step, n_steps)
        self.optimizer.zero_grad()
        loss = self._mean_loss(batch, learn=True)
        if self.processes.world > 1:
            for w in self.weights:
                w.grad = self.processes.summed(w.grad if w.grad is not None else torch.zeros_like(w))
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        return loss

    def _check(self, step: int, train_loss: float, valid: list) -> None:
        """Note the losses, and the weights if they are the best until now."""
        self.model.eval()
        batches = _batches(valid, self.s.batch)
        labels = [sum(len(sequence[1]) for sequence in batch) for batch in batches]
        with torch.inference_mode():
            valid_loss = float(np.average([self._mean_loss(batch) for batch in batches], weights=labels))
        self.curve.step.append(step)
        self.curve.train.append(round(train_loss, 4))
        self.curve.valid.append(round(valid_loss, 4))
        self.stopping.check(-self.curve.valid[-1], lambda: [w.detach().clone() for w in self.weights])

    def _mean_loss(self, batch: list, learn: bool = False) -> float:
        """Mean loss over a batch's labels; if ``learn``, this process's part of the gradient is added up, too.

        A few sequences at a time, as the model reads them: their activations are what takes memory.
        """
        mine = batch[self.processes.rank :: self.processes.world]
        n = sum(len(labels) for _, labels, _ in batch)
        loss = torch.zeros((), device=self.model.device)
        for rows in self.reader._batches([ids for ids, _, _ in mine], self.reader.batch_tokens):
            few = [mine[i] for i in rows]
            part = _label_losses(self.model, self.reader._padded([f[0] for f in few]), [f[1] for f in few]).sum() / n
            if learn:
                part.backward()
            loss += part.detach()
        return self.processes.summed(loss).item()


def _batches(sequences: list, size: int) -> list[list]:
    return [sequences[i : i + size] for i in range(0, len(sequences), size)]


def _schedule(step: int, n_steps: int) -> float:
    """Share of the learning rate at a step: a linear warm-up over a tenth of the steps, times a cosine to zero."""
    return min(1.0, (step + 1) / max(1, n_steps // 10)) * (0.5 + 0.5 * math.cos(math.pi * step / n_steps))
