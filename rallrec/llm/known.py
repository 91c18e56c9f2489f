"""An adapter whose weights are not here, but whose answers are kept: what its publisher may or will not hand on."""

from collections.abc import Callable

from .base import LanguageModel, distinct_of


class KnownAdapter(LanguageModel):
    """A model with an adapter, of which the digest is known and nothing else; see `known_adapter`."""

    def __init__(self, llm: LanguageModel, digest: str, otherwise: Callable[[], LanguageModel]):
        super().__init__(llm.cache)
        self.name, self.format, self.notes = llm.name, llm.format, llm.notes
        self.weights, self.asked, self.chat = f"{llm.weights}+{digest}", llm.asked, llm.chat
        self._otherwise = otherwise
        self._here: LanguageModel | None = None

    @property
    def at_hand(self) -> bool:
        return self._here is not None

    def _answers(self, verb, inputs, settings, encode, decode):
        if self._here is None:
            distinct = distinct_of(verb, inputs)
            if not (missing := len(distinct) - len(self._known(verb, distinct, settings))):
                return super()._answers(verb, inputs, settings, encode, decode)
            here = self._otherwise()
            if here.weights != self.weights:
                print(
                    f"{self.name}: of {len(distinct):,} answers of the published adapter {missing:,} are missing; "
                    f"from here on another is asked, which was trained on this machine"
                )
            self._here, self.weights, self.format = here, here.weights, here.format
        before = self._here.paid
        answers = self._here._answers(verb, inputs, settings, encode, decode)
        self.paid += self._here.paid - before
        return answers


def known_adapter(llm: LanguageModel, digest: str, otherwise: Callable[[], LanguageModel]) -> LanguageModel:
    """``llm`` with an adapter whose weights are not here: it gives the answers that the cache keeps of it.

    The first time that an answer is missing, ``otherwise()`` gives the adapted model to ask, trained here, say, or
    raises. From then on all answers are that model's, kept under its own weights, and if these are others, that is
    printed: none is taken for the published adapter's.

    Args:
        digest: `base.adapter_digest` of the adapter.
        otherwise: gives what ``llm.adapted(folder)`` gives.

    Example:
        >>> import rallrec as rr
        >>> from rallrec.llm.known import known_adapter
        >>> llm = rr.language_model("tiny-random", device="cpu")  # doctest: +ELLIPSIS
        tiny-random: ...
        >>> known_adapter(llm, "0123456789abcdef", lambda: llm).weights
        'tiny-random-1+0123456789abcdef'
    """
    return KnownAdapter(llm, digest, otherwise)
