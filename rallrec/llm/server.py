"""A language model behind an OpenAI-compatible server: vLLM first, on as many machines as it was started on.

The same three verbs as on this machine, an answer a request. `choose` reads the log-probabilities of
the next token; the server tells those of the likeliest few only.
"""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from ..infra.cache import Cache
from ..infra.errors import InputError, at_least
from .base import LanguageModel, adapter_digest, size_by_name, size_told
from .chat import MARK, OPENED, broken

MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)  # what reading another answer raises
COUNTED = 4  # texts whose tokens a server is asked for
LEAST = dict(in_flight=1, timeout=1, retries=0, top=2)  # of settings that are numbers
USER = "\x1euser\x1e"  # begins a text that is a user's turn; no title holds a control character


@dataclass(frozen=True)
class ServerSettings:
    """How a server is asked; by default, each from an environment variable.

    ``ServerSettings(…)`` reads no variable, not the key either; ``ServerSettings.from_environment(top=40)`` does.

    Raises:
        InputError: a number that is none, or below its least.

    Attributes:
        api_key: ``RALLREC_API_KEY``. It goes into the request's head and nowhere else.
        embeddings: ``RALLREC_EMBEDDINGS``, the address of a second server for `embed`, ``http://host:8001/v1#model``,
            where one server does not do both (vLLM's doesn't); by default the same.
        adapted: ``RALLREC_ADAPTED``, likewise of a server of the model with the adapter merged in, where the first has
            no LoRA, or a slow one (vLLM's on a CPU); by default the same, under the name of the adapter's data set.
        in_flight: ``RALLREC_IN_FLIGHT``, requests at a time.
        timeout: ``RALLREC_TIMEOUT``, seconds that one request may take.
        retries: ``RALLREC_RETRIES``, further tries, up to 8 s apart, of a request that met an overloaded server, a
            broken connection or a time-out: 100 outlast a server that takes ten minutes to come back.
        top: ``RALLREC_TOP``, the likeliest next tokens that the server is asked for. vLLM tells 20 by default,
            other servers fewer.
    """

    api_key: str | None = field(default=None, repr=False)
    embeddings: str | None = None
    adapted: str | None = None
    in_flight: int = 32
    timeout: int = 600
    retries: int = 100
    top: int = 20

    def __post_init__(self):
        for name, least in LEAST.items():
            at_least(name, getattr(self, name), least)

    @classmethod
    def from_environment(cls, **given) -> "ServerSettings":
        """The ``given`` settings, of the others those that the environment gives, and defaults for the rest.

        Raises:
            InputError: a number that is none, or below its least.
        """
        for name in cls.__dataclass_fields__.keys() - given.keys():
            variable = f"RALLREC_{name.upper()}"
            if value := os.environ.get(variable, "").strip():
                if name in LEAST and not (value.isdecimal() and int(value) >= LEAST[name]):
                    raise InputError(f"{variable} must be a whole number, {LEAST[name]} or more")
                given[name] = int(value) if name in LEAST else value
        return cls(**given)


class ServerModel(LanguageModel):
    """A model that a server at ``address`` knows as ``model``.

    Answers are kept under the address and the model's name: of the weights behind them the server tells
    nothing. Serve other weights under another name, or ask `spot_check`. The chat template is the server's, too: where
    it writes today's date or lets the model think, start the server with a template that doesn't.
    """

    format = "server"  # which number format it computes in, it doesn't say

    def __init__(self, address: str, model: str, settings: ServerSettings, cache: Cache | None = None, adds: str = ""):
        super().__init__(cache)
        self.address, self.model, self.settings = address, model, settings
        self.name = f"{address}#{model}"
        self.weights = f"{self.name}{adds}"
        self._client = client(address, settings)

    def __repr__(self) -> str:
        s = self.settings
        return f"{self.name}: a server, {s.in_flight} requests in flight, {s.timeout} s each, {s.retries} retries"

    def chat(self, message: str) -> str:
        return USER + MARK.sub(broken, message)  # of its control tokens the server tells nothing, so the usual ones

    def _adapted(self, folder):
        """The adapter that a server was started with, under the name of its data set (or of its folder)."""
        own = folder.parent.name if folder.name == "adapter" else folder.name
        address, name = split_name(self.settings.adapted or self.address)
        name = name or own
        if name not in (served := models(address, self._at(address), self.settings)):
            raise InputError(
                f"{address} serves no adapter {name!r}, it serves {', '.join(served)}; "
                f"start vLLM with --enable-lora --lora-modules {name}={folder}"
            )
        return ServerModel(address, name, self.settings, self.cache, f"+{adapter_digest(folder)}")

    def _at(self, address: str):
        """The client for an address."""
        return self._client if address == self.address else client(address, self.settings)

    def takes(self, weights: str) -> bool:
        return True  # whether an adapter fits, the server checked when it was started with it

    def impatient(self) -> "ServerModel":
        """The same model, asked with few retries: for a try, after which one can do without."""
        settings = replace(self.settings, retries=min(1, self.settings.retries), timeout=min(60, self.settings.timeout))
        return ServerModel(self.address, self.model, settings, self.cache, self.weights.removeprefix(self.name))

    def count(self, texts):
        """By letters, of which the server tells for some texts how many make a token."""
        from openai import OpenAIError

        some = texts[:COUNTED]
        try:
            return sum(map(self._read, some)) / sum(map(len, some)) * sum(map(len, texts)) / len(texts)
        except (OpenAIError, *MALFORMED):
            return None

    def _read(self, text: str) -> int:
        one = dict(model=self.model, max_tokens=1, temperature=0.0, top_p=1.0, seed=0)
        if text.startswith(USER):
            return self._client.chat.completions.create(messages=_turn(text), **one).usage.prompt_tokens
        return self._client.completions.create(prompt=text, **one).usage.prompt_tokens

    def memory(self, length, new):
        weights, why = self._weights_told()
        if not weights:
            return "memory is the server's, which does not tell its model's size"
        return f"memory is the server's: {size_told(weights)} of weights ({why}) and its cache"

    def _weights_told(self) -> tuple[float, str]:
        """Bytes of the model's weights and how that is known: from the server (llama.cpp), or from the model's name."""
        from openai import OpenAIError

        try:
            told = {m.id: m.model_dump() for m in self._client.with_options(max_retries=1, timeout=20).models.list()}
            own = told.get(self.model, {})
        except (OpenAIError, *MALFORMED):
            own = {}
        if isinstance(size := (own.get("meta") or {}).get("size"), int):
            return size, "as it says"
        return size_by_name(str(own.get("root") or "")) or size_by_name(self.model) or (0, "")

    # --- the verbs

    def _generate(self, prompts, max_new_tokens, temperature, top_p, seed):
        settings = dict(model=self.model, max_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        yield from self._each(prompts, lambda text: self._continued(text, settings)[0])

    def _sample(self, prompts, n, max_new_tokens, temperature, top_p, seed):
        settings = dict(model=self.model, max_tokens=max_new_tokens, temperature=temperature, top_p=top_p)
        yield from self._each(prompts, lambda text: self._continued(text, settings | dict(n=n, seed=seed)))

    def _continued(self, text: str, settings: dict) -> list[str]:
        if text.startswith(USER):
            answer = self._client.chat.completions.create(messages=_turn(text), **settings)
            return [_text(choice.message) for choice in answer.choices]
        return [choice.text for choice in self._client.completions.create(prompt=text, **settings).choices]

    def _embed(self, texts):
        address, name = split_name(self.settings.embeddings or self.name)
        at = self._at(address)

        def ask(text: str) -> np.ndarray:
            answer = at.embeddings.create(model=name or self.model, input=text, encoding_format="float")
            return np.asarray(answer.data[0].embedding, np.float32)

        yield from self._each(texts, ask)

    def _choose(self, prompts, options):
        """Softmax over the options' log-probabilities as the next token.

        An option that is not among those that the server tells counts with the least likely one that it does
        tell, which it can't exceed; how often that was so is said at the end.
        """
        bounded, silent = 0, []  # silent: answers that hold no option

        def ask(text: str) -> tuple[np.ndarray, int]:
            if not (told := self._next_tokens(text)):
                raise InputError("the server tells no log-probabilities; start one that does, such as vLLM")
            if re.fullmatch(rf"\s*(?:{OPENED})\s*", max(told, key=told.get)):
                raise InputError(
                    "the model begins with a thought; start the server with thinking switched off (vLLM: "
                    """--default-chat-template-kwargs '{"enable_thinking": false}')"""
                )
            logp = np.array([told.get(option, min(told.values())) for option in options])
            p = np.exp(logp - logp.max())
            return p / p.sum(), sum(option not in told for option in options)

        for answers in self._each(prompts, ask):
            bounded += sum(missing > 0 for _, (_, missing) in answers)
            silent += [(i, p) for i, (p, missing) in answers if missing == len(options)]
            if sound := [(i, p) for i, (p, missing) in answers if missing < len(options)]:
                yield sound
        if len(silent) == len(prompts):
            told = list(self._next_tokens(prompts[0]))
            mend = "set RALLREC_TOP higher, or take a model that spells them in one token"
            bare = {option.lstrip() for option in options} & {*told}
            if bare and not any(re.match(r" \S", token) for token in told):  # SentencePiece, decoded one by one
                mend = "the server leaves out the blank that a token begins with; take a later vLLM"
            raise InputError(
                f"{self.name}: no answer holds one of {list(options)} among its {self.settings.top} likeliest tokens "
                f"({told[:3]} …); {mend}"
            )
        if silent:
            yield silent
        if bounded:
            print(
                f"{self.name}: in {bounded:,} of {len(prompts):,} answers an option is not among the "
                f"{self.settings.top} likeliest tokens (in {len(silent):,} none is); it counts with the last of them"
            )

    def _next_tokens(self, text: str) -> dict[str, float]:
        """Log-probabilities of the likeliest next tokens."""
        one = dict(model=self.model, max_tokens=1, temperature=0.0)
        if text.startswith(USER):
            answer = self._client.chat.completions.create(
                messages=_turn(text), logprobs=True, top_logprobs=self.settings.top, **one
            )
            told = answer.choices[0].logprobs
            return {t.token: t.logprob for t in told.content[0].top_logprobs} if told and told.content else {}
        answer = self._client.completions.create(prompt=text, logprobs=self.settings.top, **one)
        told = answer.choices[0].logprobs
        return dict(told.top_logprobs[0]) if told and told.top_logprobs else {}

    def _each(self, texts: list[str], ask: Callable) -> Iterator[list[tuple[int, object]]]:
        """What ``ask`` answers for each text, as the answers come, at most ``in_flight`` at a time.

        If one fails for good, no more are sent, and those on their way are still handed on.
        """
        from openai import OpenAIError

        waiting, running, failure = iter(enumerate(texts)), {}, None
        with ThreadPoolExecutor(self.settings.in_flight) as pool:
            try:
                answers = []
                while True:
                    for i, text in islice(waiting, self.settings.in_flight - len(running)):
                        running[pool.submit(ask, text)] = i
                    if answers:
                        yield answers  # while they are put away, the server is busy with the next
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    answers = []
                    for future in done:
                        i = running.pop(future)
                        try:
                            answers.append((i, future.result()))
                        except (OpenAIError, *MALFORMED) as e:
                            failure, waiting = e, iter(())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if failure:
            raise InputError(said(self.name, failure, self.settings)) from None


def open_server(
    name: str, adapter: str | Path | None = None, cache: Cache | None = None, settings: ServerSettings | None = None
) -> LanguageModel:
    """Open ``http://host:port/v1#model``; without ``#model`` the only one that the server serves.

    Args:
        settings: by default those of the environment.

    Raises:
        InputError: no server answers there, it does not know the model, or the address holds a password.
    """
    address, model = split_name(name)
    settings = settings or ServerSettings.from_environment()
    served = models(address, client(address, settings), settings)
    if not model and len(served) == 1:
        (model,) = served
    if model not in served:
        raise InputError(f"LLM {name!r}: the server serves {', '.join(served)}; name one of them after a #")
    llm = ServerModel(address, model, settings, cache)
    return llm if adapter is None else llm.adapted(adapter)


def split_name(name: str) -> tuple[str, str]:
    """Address and model of ``http://host:port/v1#model``."""
    address, _, model = name.partition("#")
    parts = urlsplit(address)
    if parts.username or parts.password or parts.query:
        raise InputError(
            f"LLM {parts.hostname}: leave user, password and query out of the address; set RALLREC_API_KEY"
        )
    if not parts.hostname:
        raise InputError(f"LLM {name!r} names no host; write http://host:8000/v1#model")
    return address.rstrip("/"), model


def client(address: str, settings: ServerSettings):
    """The `openai` client for an address."""
    from openai import OpenAI

    key = settings.api_key or "none"  # the client wants one; never one meant for another server
    return OpenAI(base_url=address, api_key=key, timeout=settings.timeout, max_retries=settings.retries)


def models(address: str, asked, settings: ServerSettings) -> list[str]:
    """Names of the models and adapters that a server serves; asked with few retries, so that a typing error shows."""
    from openai import OpenAIError

    try:
        served = [m.id for m in asked.with_options(max_retries=2, timeout=20).models.list()]
    except (OpenAIError, *MALFORMED) as e:
        raise InputError(said(address, e, settings)) from None
    if not served:
        raise InputError(f"{address}: the server lists no model; such an address usually ends with /v1")
    return served


def said(name: str, error: Exception, settings: ServerSettings) -> str:
    """One line on what went wrong, without the key."""
    from openai import APIConnectionError, APIStatusError, OpenAIError

    if isinstance(error, APIConnectionError):
        text = "no server answers; start it, or mend the address. Answers that came are kept: run again to go on"
    elif isinstance(error, APIStatusError):
        text = f"the server refused (HTTP {error.status_code}): {(error.message.splitlines() or [''])[0][:300]}"
        if error.status_code in (401, 403):
            text += "; set RALLREC_API_KEY"
    elif isinstance(error, OpenAIError | InputError):
        text = (str(error).splitlines() or [type(error).__name__])[0]
    else:
        text = "the answer is none of OpenAI's protocol; such an address usually ends with /v1"
    return f"{name}: {text.replace(settings.api_key, '***') if settings.api_key else text}"


def _text(message) -> str:
    """What a message says; vLLM keeps thoughts apart from it, also where they did not end."""
    thoughts = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    return message.content or ("<think>" if thoughts else "")


def _turn(text: str) -> list[dict]:
    return [{"role": "user", "content": text.removeprefix(USER)}]
