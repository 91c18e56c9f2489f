"""BookCrossing without its implicit ratings: what the fast readers say where a label is taste."""

from dataclasses import replace

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
    given = dict(split=split(load("bookcrossing-explicit"), parts=PARTS), parts={}, base=None, differs=())
    return replace(study, **given, _kept={}, _retrieved={}, _used=set())
