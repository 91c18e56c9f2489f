"""BookCrossing without its implicit ratings: what the fast readers say where a label is taste."""

from ..data.loading import load
from ..data.split import split
from ..pipeline import Study

PARTS = 2, 1, 2  # of its few users, who are a sample each: more to judge than the tenth of the other data sets


def explicit(study: Study) -> Study | None:
    """The study of ``bookcrossing-explicit``, with the LLM, sizes and seed of a study of ``bookcrossing``.

    Its books are among those of ``bookcrossing``: what the LLM wrote and embedded of them is in the cache.

    Returns:
        None for other data.
    """
    if study.split.data.name != "bookcrossing":
        return None
    divided = split(load("bookcrossing-explicit"), parts=PARTS)
    return Study(divided, study.llm, study.size, study.seed, study.reader, study.n_asked)
