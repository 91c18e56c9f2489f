"""The three things this project asks of a large language model: generate, embed, choose.

`LanguageModel` owns what all backends share (the cache, one answer a distinct input, progress); a
backend answers batches. `local.LocalModel` is transformers on this machine, `server.ServerModel` a server;
`opening.backend` registers others.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..infra.cache import Cache, default_cache, keys_of
from ..infra.downloads import sha256_of
from ..infra.errors import InputError, at_least, within
from ..infra.progress import Progress
from .chat import said

FORMATS = ("float32", "bfloat16", "float16")


class LanguageModel:
    """A causal language model behind the three verbs.

    Attributes:
        name: what the user called it.
        weights: names weights and adapter; part of every cache key.
        format: the number format; likewise. An answer that the cache holds in another format is
            taken: it is the same up to rounding, and whoever has no fast bfloat16 needn't pay again.
        notes: what it is asked otherwise than its files would have it, a sentence each.
        paid: answers that did not come from the cache.
        asked: what `choose` and `sample` were asked, in order: an answer's key in the cache, its number format, and
            the verb; and the trainings that prompts were made with: key, step, ``trained``. A model and those that
            `adapted` makes of it share one.
    """

    name: str
    weights: str
    format: str
    notes: tuple[str, ...] = ()

    def __init__(self, cache: Cache | None = None):
        self.cache = cache or default_cache()
        self.paid = 0
        self.asked: dict[str, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return self.name

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
            seed: of the sampling. An answer depends on its prompt and these settings, not on the other prompts.

        Returns:
            The continuations, without special tokens and thoughts, [len(prompts)].
        Raises:
            InputError: a setting that can't be, or an answer that is a thought without an end.
        """
        settings = _possible(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        return self._answers("generate", prompts, settings, self._without_thoughts, bytes.decode)

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
            [len(prompts)][n], without special tokens and thoughts; empty where a thought did not end.
        Raises:
            InputError: a setting that can't be.
        """
        settings = _possible(n=n, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        return self._answers("sample", prompts, settings, _all_without_thoughts, json.loads)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Mean of the last hidden states over a text's own tokens.

        The paper's section 2.2.1 has the hidden representation; the mean over tokens is the released code's.

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
        rows = self._answers("choose", prompts, {"options": list(options)}, _probabilities, _float64)
        return np.stack(rows) if rows else np.zeros((0, len(options)))

    def unanswered(self, prompts: Sequence[str], options: Sequence[str] = (" Yes", " No")) -> int:
        """How many distinct prompts `choose` would have to ask the model, since no answer to them is kept."""
        distinct = distinct_of("choose", prompts)
        return len(distinct) - len(self._known("choose", distinct, {"options": list(options)}))

    def formats(self, prompts: Sequence[str], options: Sequence[str] = (" Yes", " No")) -> dict[str, int]:
        """In which number formats the kept answers of `choose` were computed, and how many in each; the most first."""
        kept = self._known("choose", distinct_of("choose", prompts), {"options": list(options)})
        return dict(Counter(form for _, form, _ in kept.values()).most_common())

    def spot_check(self, prompts: Sequence[str], options: Sequence[str] = (" Yes", " No"), n: int = 10) -> float | None:
        """Ask ``n`` of the prompts anew, past the cache: the largest difference of a probability.

        Published answers save hours; this shows that the model at hand gives them. What it answered is kept under all
        that `computed_with` tells: the same libraries on the same processor are not asked again.

        Returns:
            None, and a word is printed, where the model is not `at_hand`: nothing is fetched for a check.
        """
        if not self.at_hand:
            print(f"{self.name}: its weights are not here, so no kept answer is asked anew")
            return None
        some = [prompts[i] for i in np.linspace(0, len(prompts) - 1, min(n, len(prompts))).astype(int)]

        def asked() -> dict[str, np.ndarray]:
            anew = np.zeros((len(some), len(options)))
            for batch in self._choose(some, list(options)):
                for i, row in batch:
                    anew[i] = row
            return dict(anew=anew)

        of = dict(step="spot check", model=f"{self.weights}:{self.format}", texts=some, options=list(options))
        by = self.computed_with
        anew = asked() if by is None else self.cache.small(of | dict(by=by), asked)
        return float(np.abs(self.choose(some, options) - anew["anew"]).max())

    @property
    def computed_with(self) -> dict | None:
        """Processor, libraries and code that compute an answer, for a key; None where they are not known here."""
        return None

    @property
    def at_hand(self) -> bool:
        """Whether it can give an answer that the cache lacks without a download or a training before it."""
        return True

    def fetch(self) -> None:
        """Download what `at_hand` says is missing, rather than with the first answer that the cache lacks.

        Raises:
            InputError: it can't be fetched: what to place, and where.
        """

    def count(self, texts: Sequence[str]) -> float | None:
        """Mean number of tokens of ``texts``, begin token included; None where that can't be told."""
        return None

    def memory(self, length: int, new: int) -> str:
        """What memory it takes for texts of about ``length`` tokens, to which ``new`` ones are added, in words."""
        return "what memory it takes is not known"

    def chat(self, message: str) -> str:
        """``message`` as a user's turn in the model's chat format, up to where the model answers."""
        raise NotImplementedError

    def adapted(self, folder: str | Path) -> "LanguageModel":
        """The same model with the LoRA adapter in ``folder``, beside the plain one."""
        llm = self._adapted(Path(folder))
        llm.asked = self.asked
        return llm

    def takes(self, weights: str) -> bool:
        """Whether an adapter that was trained on ``weights`` fits this model."""
        return weights == self.weights

    # --- what a backend offers; of the verbs, batches of (position in inputs, answer), as they are ready

    def _adapted(self, folder: Path) -> "LanguageModel":
        raise NotImplementedError

    def _generate(self, prompts: list[str], **settings) -> Iterator[list[tuple[int, str]]]:
        raise NotImplementedError

    def _sample(self, prompts: list[str], **settings) -> Iterator[list[tuple[int, list[str]]]]:
        raise NotImplementedError

    def _embed(self, texts: list[str]) -> Iterator[list[tuple[int, np.ndarray]]]:
        raise NotImplementedError

    def _choose(self, prompts: list[str], options: list[str]) -> Iterator[list[tuple[int, np.ndarray]]]:
        raise NotImplementedError

    # --- shared

    def _keys(self, verb: str, texts: Sequence[str], settings: dict, form: str | None = None) -> list[str]:
        return keys_of(texts, verb=verb, model=f"{self.weights}:{form or self.format}", **settings)

    def _key(self, verb: str, text: str, settings: dict) -> str:
        return self._keys(verb, [text], settings)[0]

    def _known(self, verb: str, texts: Sequence[str], settings: dict) -> dict[str, tuple[str, str, bytes]]:
        """What the cache can answer, in this number format or, failing that, another: key, format and answer."""
        known = {}
        for form in (self.format, *(f for f in FORMATS if f != self.format)):
            left = [text for text in texts if text not in known]
            keys = self._keys(verb, left, settings, form)
            found = zip(left, keys, self.cache.get(keys), strict=True)
            known |= {text: (key, form, answer) for text, key, answer in found if answer is not None}
        return known

    def _answers(self, verb: str, inputs: Sequence[str], settings: dict, encode: Callable, decode: Callable) -> list:
        """Answer from the cache; ask the backend, once, for each distinct input it lacks."""
        distinct = distinct_of(verb, inputs)
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
        if verb in ("choose", "sample"):  # what `rallrec publish` keeps
            self.asked.update({key: (form, verb) for key, form, _ in (known[text] for text in distinct)})
        return [decode(known[text][2]) for text in inputs]

    def _without_thoughts(self, answer: str) -> bytes:
        if (text := said(answer)) is None:
            raise InputError(
                f"{self.name}: an answer is a thought that does not end; switch thinking off (for vLLM, start it with "
                f"""--default-chat-template-kwargs '{{"enable_thinking": false}}'), or allow more new tokens"""
            )
        return text.encode()


def distinct_of(verb: str, inputs: Sequence[str]) -> list[str]:
    if isinstance(inputs, str):
        raise InputError(f"{verb} takes a list of texts, not one text")
    return list(dict.fromkeys(inputs))


def _all_without_thoughts(answers: list[str]) -> bytes:
    return json.dumps([said(answer) or "" for answer in answers]).encode()


def _possible(temperature: float, top_p: float, **counts: int) -> dict:
    """Settings of generation, checked."""
    for name, value in counts.items():
        counts[name] = at_least(name, value, 0 if name == "seed" else 1)
    within("temperature", temperature, 0), within("top_p", top_p, 0, 1, above=True)
    return dict(counts, temperature=temperature, top_p=top_p)


def size_told(n_bytes: float) -> str:
    """Bytes in words: ``15 GiB``, ``0.5 GiB``, ``1.3 MiB``."""
    if n_bytes < 2**30 / 10:
        return f"{n_bytes / 2**20:.1f} MiB"
    return f"{n_bytes / 2**30:,.{1 if n_bytes < 10 * 2**30 else 0}f} GiB"


def size_by_name(name: str) -> tuple[float, str] | None:
    """Bytes of the weights of a model whose name tells its size, as ``Llama-3.1-8B`` does, and how that is known."""
    if found := re.search(r"(?<![a-zA-Z\d.])(\d+(?:\.\d+)?)[bB](?![a-zA-Z])", name):
        return float(found[1]) * 2e9, f"{found[1]} billion parameters by its name, if in 16 bits"
    return None


def _finite(row: np.ndarray) -> bytes:
    if not np.isfinite(row).all():
        raise InputError("the LLM answers with values that are no numbers; if it computes in float16, take bfloat16")
    return row.tobytes()


def _probabilities(row: np.ndarray) -> bytes:
    return _finite(np.asarray(row, np.float64))


def _float16(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, np.float16)


def _float64(blob: bytes) -> np.ndarray:
    return np.frombuffer(blob, np.float64)


def adapter_digest(folder: Path) -> str:
    """Short digest of an adapter's weights and, where this package did not train it, of how they are applied."""
    path, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if not path.exists():
        raise InputError(
            f"adapter {str(folder)!r} holds no adapter_model.safetensors; train one with `rallrec adapter`"
        )
    ours = (folder / "rallrec.json").exists() or not config.exists()
    return sha256_of(path)[:16] + ("" if ours else f"-{sha256_of(config)[:8]}")
