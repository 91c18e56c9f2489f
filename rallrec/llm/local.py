"""A transformers model on this machine."""

import contextlib
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import torch

from ..infra.cache import Cache, key_of
from ..infra.code import codes_of
from ..infra.errors import InputError, one_of
from ..infra.products import with_onednn
from ..infra.reproducible import hardware
from .base import FORMATS, LanguageModel, adapter_digest, size_told
from .chat import ChatFormat, Turn
from .lora import check_adapter, with_adapter
from .weights import PACKAGED, TINY, Packaged, is_here, load_by_name, unpacked

BATCH_TOKENS = 1024  # tokens, padding included, of one forward pass on a CPU: its weights and activations stay in cache
GPU_BATCH_TOKENS = 32_768
DEVICES = ("cuda", "mps", "cpu")
CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx")  # by architecture


class LocalModel(LanguageModel):
    """A transformers causal LM on this machine's CPU or GPU.

    Prompts are padded on the right and sorted by length. A causal model's real tokens never see
    what stands to their right, so no attention mask is needed, and the fast kernels can be used.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], tuple],
        weights: str,
        device: str,
        number_format: str,
        cache: Cache | None = None,
        packaged: Packaged | None = None,
    ):
        """``load()`` gives model and tokenizer, when one of them is first needed."""
        super().__init__(cache)
        self.name, self.weights, self.format = name, weights, number_format
        self.device = torch.device(device)
        self.batch_tokens = GPU_BATCH_TOKENS if self.device.type == "cuda" else BATCH_TOKENS
        self._load, self._packaged = load, packaged
        self._chat: ChatFormat | None = None

    @cached_property
    def _loaded(self) -> tuple:
        return self._load()

    @cached_property
    def model(self):
        return self._loaded[0]

    @cached_property
    def tokenizer(self):
        return self._loaded[1]

    def __repr__(self) -> str:
        n = self._packaged.parameters if self._packaged else sum(p.numel() for p in self.model.parameters())
        said = "".join(f"; {note}" for note in self.notes)
        return f"{self.name}: {n / 1e6:.0f} M parameters, {self.device.type}, torch.{self.format}{said}"

    @property
    def computed_with(self) -> dict:
        of = dict(hardware=hardware(), instructions=torch.backends.cpu.get_cpu_capability(), device=str(self.device))
        of |= {name: version(name) for name in ("torch", "transformers")}
        return of | dict(code=codes_of(LocalModel, load_by_name, with_adapter, with_onednn))

    @property
    def at_hand(self) -> bool:
        return self._packaged is None or is_here(self.name)

    def fetch(self) -> None:
        if not self.at_hand:
            unpacked(self.name)

    def count(self, texts: Sequence[str]) -> float:
        return sum(map(len, self.tokens(texts))) / len(texts)

    def memory(self, length: int, new: int) -> str:
        size = torch.finfo(getattr(torch, self.format)).bits // 8
        if self._packaged:
            weights = self._packaged.parameters * size
        else:
            weights = sum(p.numel() * p.element_size() for p in self.model.parameters())
        told = f"{size_told(weights)} of weights in {self.format}"
        if new and (token := _cached_numbers(self.model.config.get_text_config())):
            rows = max(1, 8 * self.batch_tokens // length)
            told += (
                f" and about {size_told(rows * (length + new) * token * size)} of cache, of {rows:,} texts at a time"
            )
        return told

    @property
    def chat_format(self) -> ChatFormat | Turn:
        if self._packaged:
            return self._packaged.turn
        if self._chat is None or self._chat.source != self.tokenizer.chat_template:
            self._chat = ChatFormat(self.name, self.tokenizer)
        return self._chat

    @property
    def notes(self) -> tuple[str, ...]:
        return self.chat_format.notes

    def chat(self, message: str) -> str:
        return self.chat_format(message)

    def _adapted(self, folder):
        return open_local(self.name, folder, str(self.device), self.format, self.cache)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with the model's begin token exactly once where it has one, and no end token.

        Raises:
            InputError: a text is empty or longer than the model's context, or a token is none of the model's.
        """
        ids = self._ids(texts)
        self._check_length(texts, ids)
        if len(self.tokenizer) > (n := self.model.get_input_embeddings().weight.shape[0]):
            for row in ids:
                if max(row) >= n:
                    token = self.tokenizer.convert_ids_to_tokens(max(row))
                    raise InputError(f"{self.name} has {n:,} tokens and not its tokenizer's {token!r}; leave it out")
        return ids

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """`tokens` of any length."""
        bos, ends = self.tokenizer.bos_token, self._end_tokens()
        ids = []
        for text in texts:
            begun = bool(bos) and text.startswith(bos)  # a chat template writes it itself
            row = self.tokenizer(text, add_special_tokens=not begun)["input_ids"]
            ids.append(row if begun or not ends else row[:-ends])
        return ids

    def _end_tokens(self) -> int:
        """How many tokens the tokenizer adds after a text: an answer would begin after the end."""
        bare, whole = (self.tokenizer("a", add_special_tokens=added)["input_ids"] for added in (False, True))
        starts = (i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare)
        return len(whole) - len(bare) - next(starts, len(whole) - len(bare))

    def _check_length(self, texts: Sequence[str], ids: list[list[int]], more: int = 0) -> None:
        """Raise InputError for a text that is empty, or does not fit the context with ``more`` tokens."""
        config = self.model.config.get_text_config()
        limit = next((n for name in CONTEXT if isinstance(n := getattr(config, name, None), int) and n > 0), 10**9)
        for text, row in zip(texts, ids, strict=True):
            if not 0 < len(row) <= limit - more:
                new = f", and {more} to come" if more else ""
                raise InputError(
                    f"{self.name}: a text of {len(row)} tokens ({text[:40]!r}…){new}; it takes 1 to {limit:,}"
                )

    def _batches(self, ids: list[list[int]], budget: int, more: int = 0) -> Iterator[list[int]]:
        """Positions in ``ids``, longest first, in batches of at most ``budget`` tokens with padding.

        Args:
            more: tokens that will follow each text.
        """
        order = sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i))
        switch = _switch(self.model.config.get_text_config())
        for _, alike in groupby(order, lambda i: _side(switch, len(ids[i]), more)):
            rows = list(alike)
            while rows:
                n = max(1, budget // len(ids[rows[0]]))
                yield rows[:n]
                rows = rows[n:]

    def _padded(self, ids: list[list[int]]) -> torch.Tensor:
        """int64 [len(ids), longest], padded on the right."""
        padded = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
        for row, tokens in zip(padded, ids, strict=True):
            row[: len(tokens)] = torch.tensor(tokens)
        return padded.to(self.device)

    @torch.inference_mode()
    def _embed(self, texts):
        ids = self.tokens(texts)
        for batch in self._batches(ids, self.batch_tokens):
            lengths = torch.tensor([len(ids[i]) for i in batch], device=self.device)
            hidden = self.model.base_model(self._padded([ids[i] for i in batch]), use_cache=False)[0].float()
            real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]  # [batch, longest]
            mean = (hidden * real[:, :, None]).sum(1) / lengths[:, None]  # [batch, d]
            yield list(zip(batch, mean.cpu().numpy(), strict=True))

    @torch.inference_mode()
    def _choose(self, prompts, options):
        prompt_ids = self.tokens(prompts)
        for option_ids, rows in self._by_option_tokens(prompts, prompt_ids, options):
            single, longest = all(len(o) == 1 for o in option_ids), max(map(len, option_ids))
            self._check_length([prompts[i] for i in rows], [prompt_ids[i] for i in rows], longest - 1)
            for batch in self._batches([prompt_ids[i] for i in rows], self.batch_tokens, longest - 1):
                ids = [prompt_ids[rows[i]] for i in batch]
                if single:  # one forward pass answers for all options, and no other token matters
                    scores = self._logits(ids, [[len(row) - 1] for row in ids], [o[0] for o in option_ids])[:, 0]
                else:
                    scores = torch.stack([self._sequence_scores(ids, option) for option in option_ids], dim=1)
                answers = scores.double().softmax(1).cpu().numpy()
                yield [(rows[i], answer) for i, answer in zip(batch, answers, strict=True)]

    def _by_option_tokens(
        self, prompts: list[str], ids: list[list[int]], options: list[str]
    ) -> list[tuple[list[list[int]], list[int]]]:
        """The options' tokens, and the positions of the prompts that they continue in these tokens.

        They depend on how a prompt ends, so one prompt of each ending is tokenized with the options. An ending is the
        last word with what follows it, and the last few tokens, which reach further if a token spans several words.
        """
        added, groups = {}, {}
        for i, (prompt, row) in enumerate(zip(prompts, ids, strict=True)):
            before = prompt.rstrip().rpartition(" ")[0]
            ending = prompt[len(before) :], *row[-4:]
            if ending not in added:
                added[ending] = self.option_tokens(prompt, options)
            groups.setdefault(tuple(map(tuple, added[ending])), []).append(i)
        return [([list(option) for option in tokens], rows) for tokens, rows in groups.items()]

    def _logits(
        self, ids: list[list[int]], positions: list[list[int]], tokens: list[int] | None = None
    ) -> torch.Tensor:
        """Logits of the next token at the given positions of each row, [rows, positions, tokens]; None for all."""
        where = torch.tensor(positions, device=self.device)  # [rows, positions]
        rows = torch.arange(len(ids), device=self.device)[:, None]
        return logits_at(self.model, self._padded(ids), rows, where, tokens).float()

    def _sequence_scores(self, ids: list[list[int]], option: list[int]) -> torch.Tensor:
        """Log-probability of ``option``'s tokens after each row, [rows]."""
        positions = [[len(row) - 1 + k for k in range(len(option))] for row in ids]
        logp = self._logits([row + option[:-1] for row in ids], positions).log_softmax(-1)
        return logp.gather(2, torch.tensor(option, device=logp.device).expand(len(ids), -1)[:, :, None]).sum((1, 2))

    def option_tokens(self, prompt: str, options: Sequence[str]) -> list[list[int]]:
        """Token ids that each option adds to ``prompt``, as this tokenizer has it.

        Raises:
            InputError: the option's first token merges with the prompt's end, so that its
                probability can't be read off the next token; or two options have the same tokens.
        """
        (start,) = self.tokens([prompt])
        added = []
        for option, ids in zip(options, self._ids([prompt + o for o in options]), strict=True):
            if ids[: len(start)] != start or len(ids) == len(start):
                raise InputError(
                    f"option {option!r} merges with the prompt's end {prompt[-10:]!r}; begin it with a space"
                )
            added.append(ids[len(start) :])
        for a in added:
            for b in added:
                if a is not b and a == b[: len(a)]:
                    raise InputError(f"options {list(options)} share their tokens; choose others")
        return added

    def _generate(self, prompts, **settings):
        for answers in self._continued(prompts, 1, **settings):
            yield [(i, text) for i, (text,) in answers]

    def _sample(self, prompts, n, **settings):
        yield from self._continued(prompts, n, **settings)

    @torch.inference_mode()
    def _continued(
        self, prompts: list[str], n: int, max_new_tokens: int, temperature: float, top_p: float, seed: int
    ) -> Iterator[list[tuple[int, list[str]]]]:
        """``n`` continuations of each prompt, which is read once."""
        ids = self.tokens(prompts)
        self._check_length(prompts, ids, max_new_tokens)
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [] if ends is None else [ends]
        pad = next((i for i in (self.tokenizer.pad_token_id, *ends) if i is not None), 0)  # masked, or after the end
        if pad >= self.model.get_input_embeddings().weight.shape[0]:
            pad = 0
        # one new token costs a pass over all weights: wide batches pay
        for batch in self._batches(ids, max(1, 8 * self.batch_tokens // n), max_new_tokens):
            longest = max(len(ids[i]) for i in batch)
            x = torch.full((len(batch), longest), pad)
            mask = torch.zeros_like(x)
            for row, i in enumerate(batch):  # generation wants its prompts flush right
                x[row, longest - len(ids[i]) :] = torch.tensor(ids[i])
                mask[row, longest - len(ids[i]) :] = 1
            x, mask = x.to(self.device), mask.to(self.device)
            read = {}
            if n > 1 and longest > 1:
                place = (mask.cumsum(1) - 1).clamp(min=0)[:, :-1]
                past = self.model.base_model(x[:, :-1], attention_mask=mask[:, :-1], position_ids=place, use_cache=True)
                with contextlib.suppress(AttributeError):  # a recurrent model's state can't be repeated
                    past.past_key_values.batch_repeat_interleave(n)
                    read = dict(past_key_values=past.past_key_values)
            if temperature > 0:
                seeds = [int(key_of(seed=seed, text=prompts[i], number=k)[:15], 16) for i in batch for k in range(n)]
                read["logits_processor"] = [Sampler(seeds, temperature, top_p)]
            out = self.model.generate(
                x.repeat_interleave(n, 0),
                attention_mask=mask.repeat_interleave(n, 0),
                max_new_tokens=max_new_tokens,
                pad_token_id=pad,
                eos_token_id=ends or None,
                do_sample=False,
                **read,
            )
            new = [_until(row, ends) for row in out[:, longest:].tolist()]
            texts = self.tokenizer.batch_decode(new, skip_special_tokens=True)
            yield [(i, texts[row * n : row * n + n]) for row, i in enumerate(batch)]

    @torch.inference_mode()
    def check(self) -> None:
        """Raise InputError unless the model reads from left to right, as all that is asked of it takes for granted."""
        last = self.model.get_input_embeddings().weight.shape[0] - 1
        try:
            both = [last // 2, last // 3], [last // 2]
            longer, alone = (self._logits([ids], [[0]]).log_softmax(-1) for ids in both)
        except Exception as e:
            said = next(iter(str(e).splitlines()), type(e).__name__)
            raise InputError(f"{self.name} can't be asked as a causal LM ({said}); take another one") from e
        if not (longer.isfinite().all() and alone.isfinite().all()):
            raise InputError(f"{self.name} answers with values that are no numbers; fetch its weights again")
        if (longer - alone).abs().max() > (1e-3 if self.format == "float32" else 0.5):  # rounding
            raise InputError(f"{self.name} is no causal LM: what it reads later changes what it said before; take one")


def logits_at(
    model, padded: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor, tokens: list[int] | None = None
) -> torch.Tensor:
    """The model's logits at some positions of token ids [n, longest]; only these are projected to the vocabulary.

    Args:
        rows, positions: index ``padded``; they are broadcast to one shape.
        tokens: of the vocabulary; of a head that is a plain linear layer no other rows are read.

    Returns:
        ``[*shape, tokens]``, by default of the whole vocabulary, as the model gives them; scaled or capped where it
        does so (Gemma 2, Granite, Cohere).
    """
    head = model.get_output_embeddings()
    some = tokens if type(head) is torch.nn.Linear else None
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][rows, positions], *hidden[1:]))
    try:
        with contextlib.nullcontext() if some is None else _rows_of(head, some):
            logits = model(padded, use_cache=False).logits
    finally:
        hook.remove()
    return logits if tokens is None or some is not None else logits[..., tokens]


@contextlib.contextmanager
def _rows_of(layer: torch.nn.Linear, rows: list[int]) -> Iterator[None]:
    """Within the block a linear layer has these rows of its weights alone."""
    weight, bias = layer.weight[rows], None if layer.bias is None else layer.bias[rows]
    own = vars(layer).get("forward")
    layer.forward = lambda x: torch.nn.functional.linear(x, weight, bias)
    try:
        yield
    finally:
        del layer.forward
        if own is not None:
            layer.forward = own


def _cached_numbers(config) -> int:
    """Numbers that all layers keep of a token that was read, keys and values; 0 where a config does not tell."""
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", None) or 0
    width = getattr(config, "head_dim", None) or config.hidden_size // max(1, heads and config.num_attention_heads)
    return 2 * config.num_hidden_layers * heads * width


def _switch(config) -> float:
    """Tokens beyond which a text is read with other rotary frequencies (LongRoPE: Phi 3 and 4); inf of most models."""
    told = getattr(config, "rope_parameters", None) or {}
    kinds = [told, *(kind for kind in told.values() if isinstance(kind, dict))]  # some have one a kind of layer
    long = (k["original_max_position_embeddings"] for k in kinds if k.get("rope_type") == "longrope")
    return min(long, default=math.inf)


def _side(switch: float, length: int, more: int) -> float:
    """Texts of equal sides can share a batch: the longest one's frequencies are all rows'.

    Args:
        more: tokens that will follow the text. One that passes the ``switch`` with them does so with its equals alone.
    """
    return 0 if length + more <= switch else math.inf if length > switch else length


def _until(row: list[int], ends: list[int]) -> list[int]:
    """The tokens before the first of the ``ends``."""
    return row[: next((i for i, token in enumerate(row) if token in ends), len(row))]


class Sampler:
    """Samples each row with a generator of its own, so that it does not depend on what else is in the batch.

    With Gumbel noise added to the log-probabilities of the nucleus (the likeliest tokens that together have the
    probability ``top_p`` or more) the largest is a sample (the Gumbel-max trick), so that greedy search over
    what this returns samples.
    """

    def __init__(self, seeds: list[int], temperature: float, top_p: float):
        from transformers import TopPLogitsWarper

        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature, self.nucleus = temperature, TopPLogitsWarper(top_p)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = self.nucleus(input_ids, scores.float() / self.temperature)
        noise = [torch.empty(scores.shape[1]).exponential_(generator=g).log() for g in self.generators]
        return scores - torch.stack(noise).to(scores.device)


def open_local(
    name: str, adapter: str | Path | None, device: str | None, dtype: str | None, cache: Cache | None
) -> LocalModel:
    """`opening.language_model` for a model on this machine: says which device and number format it got, and why."""
    device, dtype, why = _device_and_dtype(device, dtype)
    llm = open_model(name, adapter, device, dtype, cache)
    print(f"{llm} ({why}{', adapter merged' if adapter is not None else ''})")
    return llm


def _device_and_dtype(device: str | None, dtype: str | None) -> tuple[str, str, str]:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = _check_device(device)
    if dtype is None and (dtype := os.environ.get("RALLREC_DTYPE")):
        why = "as RALLREC_DTYPE says"
    elif dtype is None:
        dtype = "bfloat16" if kind == "cuda" else "float32"
        why = "bfloat16: fast on a GPU" if kind == "cuda" else "no CUDA GPU found; float32 is a CPU's fast format"
    else:
        why = "as asked"
    one_of("dtype", dtype, FORMATS)
    return device, dtype, why


def _check_device(device: str) -> str:
    """The kind of a device; InputError for one that is not here."""
    kind, _, number = str(device).partition(":")
    if kind not in DEVICES or not (number.isdecimal() or str(device) == kind):
        raise InputError(f"device is {device!r}; it must be one of: {', '.join(DEVICES)} (or cuda:1 and so on)")
    here = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if int(number or 0) >= here[kind]:
        found = f"{here[kind]} are" if here[kind] else "none is"
        raise InputError(f"device is {device!r}, but of {kind} devices {found} here; leave it out to take the best")
    return kind


def open_model(name: str, adapter: str | Path | None, device: str, dtype: str, cache: Cache | None) -> LocalModel:
    """A model with every choice made, and nothing said. A packaged one is loaded when it is first needed.

    Raises:
        InputError: files that are no whole causal LM, an adapter of another model, no room for it on the device.
    """
    folder, packaged = None if adapter is None else Path(adapter), PACKAGED.get(name)

    def load() -> tuple:
        quiet()
        model, tokenizer, weights = load_by_name(name, getattr(torch, dtype))
        if folder is not None:
            model = with_adapter(model, folder, weights)
        try:
            model = model.to(device, getattr(torch, dtype))
        except (RuntimeError, ValueError, NotImplementedError) as e:  # no room, or quantised weights
            raise InputError(f"{name} can't be put on {device} in {dtype}: {str(e).splitlines()[0]}") from e
        return with_onednn(model).eval(), tokenizer, weights

    def opened(load: Callable[[], tuple], weights: str) -> LocalModel:
        adapted = "" if folder is None else f"+{adapter_digest(folder)}"
        return LocalModel(name, load, f"{weights}{adapted}", device, dtype, cache, packaged)

    if packaged:
        if folder is not None:
            check_adapter(folder, packaged.weights)
        return opened(load, packaged.weights)
    loaded = load()
    llm = opened(lambda: loaded, loaded[-1])
    if name != TINY:
        llm.check()
    return llm


def quiet() -> None:
    """Keep the libraries' bars and notices out of notebooks."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm, where ipywidgets is not installed
    import transformers

    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    transformers.logging.disable_progress_bar()
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    with contextlib.suppress(Exception):
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
