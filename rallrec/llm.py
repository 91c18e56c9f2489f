"""The three things this project asks of a large language model: generate, embed, choose.

`LanguageModel` owns what all backends share (the cache, one answer a distinct input, progress); a
backend answers batches. `LocalModel` is transformers on this machine, `server.ServerModel` a server.
"""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from .cache import Cache, default_cache, key_of
from .downloads import sha256_of
from .errors import InputError, one_of
from .model_files import load_by_name
from .progress import Progress

BATCH_TOKENS = 1024  # tokens, padding included, of one forward pass on a CPU: its weights and activations stay in cache
GPU_BATCH_TOKENS = 32_768
FORMATS = ("float32", "bfloat16", "float16")


class LanguageModel:
    """A causal language model behind the three verbs.

    Attributes:
        name: what the user called it.
        weights: names weights and adapter; part of every cache key.
        format: the number format; likewise. An answer that the cache holds in another format is
            taken: it is the same up to rounding, and whoever has no fast bfloat16 needn't pay again.
        paid: answers that did not come from the cache.
    """

    name: str
    weights: str
    format: str

    def __init__(self, cache: Cache | None = None):
        self.cache = cache or default_cache()
        self.paid = 0

    # --- what users call

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int = 100,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[str]:
        """Continue each prompt.

        Args:
            max_new_tokens: length limit, tokens.
            temperature: 0 takes the likeliest token (greedy); otherwise tokens are sampled from the
                nucleus ``top_p``.
            seed: of the sampling. A batch is sampled together, so a sampled answer depends on the
                prompts beside it; a greedy one does not.

        Returns:
            The continuations, without special tokens, [len(prompts)].
        """
        settings = dict(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        return self._answers("generate", prompts, settings, str.encode, bytes.decode)

    def sample(
        self,
        prompts: Sequence[str],
        n: int,
        max_new_tokens: int = 100,
        temperature: float = 0.6,
        top_p: float = 0.95,
        seed: int = 0,
    ) -> list[list[str]]:
        """Several sampled continuations of each prompt; they depend on it and the settings, not on other prompts.

        Returns:
            [len(prompts)][n], without special tokens.
        """
        settings = dict(n=n, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        return self._answers("sample", prompts, settings, lambda texts: json.dumps(texts).encode(), json.loads)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Mean of the last hidden states over a text's own tokens (paper, section 2.2.1).

        Returns:
            float32 [len(texts), d]. Kept (and so rounded) in half precision, like the published ones.
        """
        rows = self._answers("embed", texts, {}, lambda v: _finite(v.astype(np.float16)), _float16)
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), np.float32)

    def choose(self, prompts: Sequence[str], options: Sequence[str] = (" Yes", " No")) -> np.ndarray:
        """Probability of each option as the continuation, normalised over the options.

        An option of several tokens counts with the product of their probabilities.

        Returns:
            float64 [len(prompts), len(options)]; rows sum to 1.
        Raises:
            InputError: an option is empty or not distinct, or it merges with the prompt's end.
        """
        if len(set(options)) < len(options) or len(options) < 2 or not all(options):
            raise InputError(f"options are {list(options)}; give at least two distinct, non-empty ones")
        rows = self._answers("choose", prompts, {"options": list(options)}, _finite, _float64)
        return np.stack(rows) if rows else np.zeros((0, len(options)))

    def spot_check(self, prompts: Sequence[str], options: Sequence[str] = (" Yes", " No"), n: int = 20) -> float:
        """Ask ``n`` of the prompts anew, past the cache: the largest difference of a probability.

        Published answers save hours; this shows that the model at hand gives them.
        """
        some = [prompts[i] for i in np.linspace(0, len(prompts) - 1, min(n, len(prompts))).astype(int)]
        kept, anew = self.choose(some, options), np.zeros((len(some), len(options)))
        for batch in self._choose(some, list(options)):
            for i, row in batch:
                anew[i] = row
        return float(np.abs(kept - anew).max())

    def chat(self, message: str) -> str:
        """``message`` as a user's turn in the model's chat format, up to where the model answers."""
        raise NotImplementedError

    def adapted(self, folder: Path) -> "LanguageModel":
        """The same model with a LoRA adapter, beside the plain one."""
        raise NotImplementedError

    def takes(self, weights: str) -> bool:
        """Whether an adapter that was trained on ``weights`` fits this model."""
        return weights == self.weights

    def missing(self, verb: str, inputs: Sequence[str], **settings) -> int:
        """How many distinct inputs the cache can't answer; for estimates."""
        distinct = list(dict.fromkeys(inputs))
        return len(distinct) - len(self._known(verb, distinct, settings))

    # --- what a backend offers: batches of (position in inputs, answer), as they are ready

    def _generate(self, prompts: list[str], **settings) -> Iterator[list[tuple[int, str]]]:
        raise NotImplementedError

    def _sample(self, prompts: list[str], **settings) -> Iterator[list[tuple[int, list[str]]]]:
        raise NotImplementedError

    def _embed(self, texts: list[str]) -> Iterator[list[tuple[int, np.ndarray]]]:
        raise NotImplementedError

    def _choose(self, prompts: list[str], options: list[str]) -> Iterator[list[tuple[int, np.ndarray]]]:
        raise NotImplementedError

    # --- shared

    def _key(self, verb: str, text: str, settings: dict, form: str | None = None) -> str:
        return key_of(verb=verb, model=f"{self.weights}:{form or self.format}", text=text, **settings)

    def _known(self, verb: str, texts: Sequence[str], settings: dict) -> dict[str, tuple[str, str, bytes]]:
        """What the cache can answer, in this number format or, failing that, another: key, format and answer."""
        known = {}
        for form in (self.format, *(f for f in FORMATS if f != self.format)):
            left = [text for text in texts if text not in known]
            keys = [self._key(verb, text, settings, form) for text in left]
            found = zip(left, keys, self.cache.get(keys), strict=True)
            known |= {text: (key, form, answer) for text, key, answer in found if answer is not None}
        return known

    def _answers(self, verb: str, inputs: Sequence[str], settings: dict, encode: Callable, decode: Callable) -> list:
        """Answer from the cache; ask the backend, once, for each distinct input it lacks."""
        if isinstance(inputs, str):
            raise InputError(f"{verb} takes a list of texts, not one text")
        distinct = list(dict.fromkeys(inputs))
        known = self._known(verb, distinct, settings)
        if todo := [text for text in distinct if text not in known]:
            with Progress(f"{verb} ({self.name})", len(todo), "text") as progress:
                for batch in getattr(self, f"_{verb}")(todo, **settings):
                    paid = {self._key(verb, todo[i], settings): encode(answer) for i, answer in batch}
                    self.cache.put(paid)
                    self.paid += len(batch)
                    new = zip((todo[i] for i, _ in batch), paid.items(), strict=True)
                    known |= {text: (key, self.format, answer) for text, (key, answer) in new}
                    progress.add(len(batch))
        if verb in ("choose", "sample") and (asked := os.environ.get("RALLREC_ASKED")):  # `rallrec publish` keeps them
            with open(asked, "a", encoding="ascii") as f:
                f.writelines(f"{key} {form} {verb}\n" for key, form, _ in (known[text] for text in distinct))
        return [decode(known[text][2]) for text in inputs]


def _finite(row: np.ndarray) -> bytes:
    if not np.isfinite(row).all():
        raise InputError("the LLM answers with values that are no numbers; if it computes in float16, take bfloat16")
    return row.tobytes()


def _float16(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, np.float16)


def _float64(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, np.float64)


class LocalModel(LanguageModel):
    """A transformers causal LM on this machine's CPU or GPU.

    Prompts are padded on the right and sorted by length. A causal model's real tokens never see
    what stands to their right, so no attention mask is needed, and the fast kernels can be used.
    """

    def __init__(self, name: str, model, tokenizer, weights: str, cache: Cache | None = None):
        super().__init__(cache)
        self.name, self.model, self.tokenizer, self.weights = name, model.eval(), tokenizer, weights
        self.format = str(model.dtype).removeprefix("torch.")
        self.batch_tokens = GPU_BATCH_TOKENS if model.device.type == "cuda" else BATCH_TOKENS

    def __repr__(self) -> str:
        n = sum(p.numel() for p in self.model.parameters())
        return f"{self.name}: {n / 1e6:.0f} M parameters, {self.model.device.type}, {self.model.dtype}"

    def chat(self, message: str) -> str:
        for token in self.tokenizer.all_special_tokens:  # a title must not end the turn
            message = message.replace(token, f"{token[0]} {token[1:]}")
        if not self.tokenizer.chat_template:
            return f"{message}\n"
        turn = [{"role": "user", "content": message}]
        return self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)

    def adapted(self, folder: Path) -> "LocalModel":
        return language_model(self.name, folder, str(self.model.device), self.format, self.cache)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with the model's begin token exactly once where it has one.

        Raises:
            InputError: a text is empty or longer than the model's context.
        """
        bos = self.tokenizer.bos_token
        ids = []
        for text in texts:
            begun = bool(bos) and text.startswith(bos)  # a chat template writes it itself
            ids.append(self.tokenizer(text, add_special_tokens=not begun)["input_ids"])
        limit = getattr(self.model.config, "max_position_embeddings", None) or 10**9
        for text, row in zip(texts, ids, strict=True):
            if not 0 < len(row) <= limit:
                raise InputError(f"{self.name}: a text of {len(row)} tokens ({text[:40]!r}…); it takes 1 to {limit:,}")
        return ids

    def _batches(self, ids: list[list[int]], budget: int) -> Iterator[list[int]]:
        """Positions in ``ids``, longest first, in batches of at most ``budget`` tokens with padding."""
        order = sorted(range(len(ids)), key=lambda i: (-len(ids[i]), i))
        while order:
            n = max(1, budget // len(ids[order[0]]))
            yield order[:n]
            order = order[n:]

    def _padded(self, ids: list[list[int]]) -> torch.Tensor:
        """int64 [len(ids), longest], padded on the right."""
        padded = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
        for row, tokens in zip(padded, ids, strict=True):
            row[: len(tokens)] = torch.tensor(tokens)
        return padded.to(self.model.device)

    @torch.inference_mode()
    def _embed(self, texts):
        ids = self.tokens(texts)
        for batch in self._batches(ids, self.batch_tokens):
            lengths = torch.tensor([len(ids[i]) for i in batch], device=self.model.device)
            hidden = self.model.base_model(self._padded([ids[i] for i in batch]), use_cache=False)[0].float()
            real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]  # [batch, longest]
            mean = (hidden * real[:, :, None]).sum(1) / lengths[:, None]  # [batch, d]
            yield list(zip(batch, mean.cpu().numpy(), strict=True))

    @torch.inference_mode()
    def _choose(self, prompts, options):
        prompt_ids = self.tokens(prompts)
        option_ids = self.option_tokens(prompts[0], options)
        single = all(len(o) == 1 for o in option_ids)
        for batch in self._batches(prompt_ids, self.batch_tokens):
            ids = [prompt_ids[i] for i in batch]
            if single:  # one forward pass answers for all options
                rows = self._log_probabilities(ids, [[len(row) - 1] for row in ids])[:, 0]
                scores = rows[:, [o[0] for o in option_ids]]  # [batch, options]
            else:
                scores = torch.stack([self._sequence_scores(ids, option) for option in option_ids], dim=1)
            yield list(zip(batch, scores.double().softmax(1).cpu().numpy(), strict=True))

    def _log_probabilities(self, ids: list[list[int]], positions: list[list[int]]) -> torch.Tensor:
        """Log-probabilities of the next token at the given positions of each row, [rows, positions, vocabulary].

        Only those positions are projected to the vocabulary.
        """
        where = torch.tensor(positions, device=self.model.device)  # [rows, positions]
        needed, place = where.unique(return_inverse=True)
        logits = self.model(self._padded(ids), use_cache=False, logits_to_keep=needed).logits.float()
        return logits[torch.arange(len(ids), device=where.device)[:, None], place].log_softmax(-1)

    def _sequence_scores(self, ids: list[list[int]], option: list[int]) -> torch.Tensor:
        """Log-probability of ``option``'s tokens after each row, [rows]."""
        positions = [[len(row) - 1 + k for k in range(len(option))] for row in ids]
        logp = self._log_probabilities([row + option[:-1] for row in ids], positions)
        return logp.gather(2, torch.tensor(option, device=logp.device).expand(len(ids), -1)[:, :, None]).sum((1, 2))

    def option_tokens(self, prompt: str, options: Sequence[str]) -> list[list[int]]:
        """Token ids that each option adds to ``prompt``, as this tokenizer has it.

        Raises:
            InputError: the option's first token merges with the prompt's end, so that its
                probability can't be read off the next token; or two options have the same tokens.
        """
        (start,) = self.tokens([prompt])
        added = []
        for option, ids in zip(options, self.tokens([prompt + o for o in options]), strict=True):
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
        stop = self.tokenizer.eos_token_id
        pad = stop if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        # one new token costs a pass over all weights: wide batches pay
        for batch in self._batches(ids, max(1, 8 * self.batch_tokens // n)):
            longest = max(len(ids[i]) for i in batch)
            x = torch.full((len(batch), longest), pad)
            mask = torch.zeros_like(x)
            for row, i in enumerate(batch):  # generation wants its prompts flush right
                x[row, longest - len(ids[i]) :] = torch.tensor(ids[i])
                mask[row, longest - len(ids[i]) :] = 1
            x, mask = x.to(self.model.device), mask.to(self.model.device)
            read = {}
            if n > 1 and longest > 1:
                place = (mask.cumsum(1) - 1).clamp(min=0)[:, :-1]
                past = self.model.base_model(x[:, :-1], attention_mask=mask[:, :-1], position_ids=place, use_cache=True)
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
                eos_token_id=stop,
                do_sample=False,
                **read,
            )
            texts = self.tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
            yield [(i, texts[row * n : row * n + n]) for row, i in enumerate(batch)]


class Sampler:
    """Samples each row with a generator of its own, so that it does not depend on what else is in the batch.

    With Gumbel noise added to the log-probabilities the largest is a sample (the Gumbel-max trick), so
    that greedy search over what this returns samples.
    """

    def __init__(self, seeds: list[int], temperature: float, top_p: float):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature, self.top_p = temperature, top_p

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = nucleus(scores.float() / self.temperature, self.top_p)
        noise = [torch.empty(scores.shape[1]).exponential_(generator=g).log() for g in self.generators]
        return scores - torch.stack(noise).to(scores.device)


def nucleus(scores: torch.Tensor, top_p: float, likeliest: int = 1024) -> torch.Tensor:
    """``scores`` of the likeliest tokens that together have the probability ``top_p`` or more, -inf for the rest.

    Args:
        scores: [rows, vocabulary]. likeliest: so many are sorted first; all only if those are not enough.
    """
    if top_p >= 1:
        return scores
    total = scores.logsumexp(1, keepdim=True)
    for k in (min(likeliest, scores.shape[1]), scores.shape[1]):
        top, token = scores.topk(k, dim=1)
        p = (top - total).exp()
        before = p.cumsum(1) - p
        if (before[:, -1] + p[:, -1] >= top_p).all():
            break
    kept = top.masked_fill(before >= top_p, -torch.inf)
    return torch.full_like(scores, -torch.inf).scatter(1, token, kept)


def language_model(
    name: str = "smollm2-135m",
    adapter: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    cache: Cache | None = None,
) -> LanguageModel:
    """Open a language model and say which device and number format it got, and why.

    Args:
        name: ``smollm2-135m`` (the default, from PyPI), ``tiny-random`` (for tests), the path of a
            transformers model folder, a hub id such as ``meta-llama/Llama-3.1-8B-Instruct``, or a server's
            ``http://host:8000/v1#model`` (see `server.ServerSettings`), which chooses device and format itself.
        adapter: folder of a LoRA adapter (peft), merged into the weights; on a server the one of its name.
        device: ``cuda``, ``mps`` or ``cpu``; the best there is by default.
        dtype: ``float32``, ``bfloat16`` or ``float16``; by default ``RALLREC_DTYPE``, or else bfloat16 on CUDA and
            float32 elsewhere.

    Raises:
        InputError: unknown name, or a model that can't be fetched: what to place, and where.
    """
    if name.startswith(("http://", "https://")):
        from .server import open_server

        llm = open_server(name, adapter, cache)
        print(llm)
        return llm
    device, dtype, why = _device_and_dtype(device, dtype)
    llm = open_model(name, adapter, device, dtype, cache)
    print(f"{llm} ({why}{', adapter merged' if adapter is not None else ''})")
    return llm


def open_model(name: str, adapter: str | Path | None, device: str, dtype: str, cache: Cache | None) -> LocalModel:
    """`language_model` with every choice made, and nothing said."""
    quiet()
    model, tokenizer, weights = load_by_name(name, getattr(torch, dtype))
    if adapter is not None:
        model, weights = _with_adapter(model, Path(adapter)), f"{weights}+{adapter_digest(Path(adapter))}"
    return LocalModel(name, model.to(device, getattr(torch, dtype)), tokenizer, weights, cache)


def adapter_digest(folder: Path) -> str:
    """Short digest of an adapter's weights."""
    path = folder / "adapter_model.safetensors"
    if not path.exists():
        raise InputError(
            f"adapter {str(folder)!r} holds no adapter_model.safetensors; train one with `rallrec adapter`"
        )
    return sha256_of(path)[:16]


def _with_adapter(model, folder: Path):
    from peft import PeftModel

    adapter_digest(folder)
    return PeftModel.from_pretrained(model, folder).merge_and_unload()


def _device_and_dtype(device: str | None, dtype: str | None) -> tuple[str, str, str]:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if dtype is None and (dtype := os.environ.get("RALLREC_DTYPE")):
        why = "as RALLREC_DTYPE says"
    elif dtype is None:
        dtype = "bfloat16" if device == "cuda" else "float32"
        why = "bfloat16: fast on a GPU" if device == "cuda" else "no CUDA GPU found; float32 is a CPU's fast format"
    else:
        why = "as asked"
    one_of("dtype", dtype, FORMATS)
    return device, dtype, why


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
