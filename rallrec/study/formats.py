"""In which number formats the LLM's answers were computed, in words.

An answer that is kept in another format than the LLM at hand computes in is taken (see `LanguageModel`). It is the same
but for rounding, and a reader has to know of that where answers in two formats are compared.
"""

from collections import Counter

from ..pipeline import Choice, Study
from ..readers.base import READERS

ROUNDING = 0.001  # a difference of P(like) above it is not float32's rounding


def formats_of(study: Study, rows: dict[str, Choice]) -> dict[str, dict[str, int]]:
    """Of each row that an LLM reads, how many of its answers to the test prompts were computed in which number format.

    Args:
        rows: read by an LLM alone, with an adapter or without one. They are asked what is not yet known.
    """
    counts = {}
    for label, choice in rows.items():
        study.predict(choice)
        reader = READERS[choice.reader]
        prompts = reader.prompts(study, study.shown(choice, study.asked()))
        counts[label] = reader.llm(study).formats(prompts.texts, prompts.options)
    return counts


def checked(difference: float | None, form: str, counts: dict[str, dict[str, int]]) -> str:
    """What a spot check found, and in which number formats the answers were computed that it was compared with.

    Args:
        difference: as `LanguageModel.spot_check` gives it, of prompts of the first row. form: the number format in
            which they were asked anew.
        counts: as `formats_of` gives them.

    Example:
        >>> print(checked(0.0, "float32", {"RALLRec": {"float32": 9}, "w/o IT": {"float32": 9}}))
        Ten of RALLRec's prompts asked anew, past the cache: P(like) differs by at most 0.0000. All kept answers of \
RALLRec, w/o IT were computed in float32.
    """
    if difference is None:
        said = "The LLM's weights are not here: its published answers are used, and none is asked anew."
    else:
        said = f"Ten of RALLRec's prompts asked anew, past the cache: P(like) differs by at most {difference:.4f}."
    kept = next(iter(counts.values()))
    if difference is not None and difference > ROUNDING:
        others = " and ".join(name for name in kept if name != form)
        why = f"Kept answers were computed in {others}, these ten in {form}"
        said += f" **{why}.**" if others else f" **That is more than the rounding of {form}.**"
    if len({frozenset(each) for each in counts.values()}) == 1:
        return f"{said} All kept answers of {', '.join(counts)} were computed in {' and '.join(kept)}."
    told = "; ".join(f"{label}: {_in_words(each)}" for label, each in counts.items())
    return (
        f"{said} Number formats of the kept answers, by rows of table 3: {told}. **Where two of these rows are "
        "compared, the format may differ, too.**"
    )


def of_study(study: Study) -> str:
    """The number formats of all that a study's LLM was asked until now, the most frequent first."""
    counts = Counter(form for form, verb in study.reader.asked.values() if verb == "choose")
    most, *others = [form for form, _ in counts.most_common()] or ["16 or 32 bits"]
    return f"mostly {most}, else {' and '.join(others)}" if others else most


def _in_words(formats: dict[str, int]) -> str:
    return ", ".join(f"{n:,} in {form}" for form, n in formats.items())
