"""A spot check of what is published: the learned reranker fitted anew, on this machine."""

import tempfile
from pathlib import Path

from ..evaluation.metrics import auc
from ..infra.cache import Cache
from ..infra.files import fresh, published_dir
from ..pipeline import Study
from ..readers.vote import vote
from .place import Parameters
from .publishing import LEAST_ROOM


def retrained(of: Parameters) -> tuple[str, bool]:
    """What of a run's trainings is published, and the vote's AUC on validation with a reranker that is fitted here.

    Returns:
        A line, and whether both AUC agree within `LEAST_ROOM`. Where no reranker is published for these settings, or
        all is made anew, an empty line.
    """
    published = {path.stem.rpartition("-")[2] for path in published_dir().glob(f"{of.name}/trained/*.npz")}
    if of.suffix or fresh() or not published:
        return "", True
    study = Study.of(of.dataset, of.llm, of.profile, of.seed)
    valid, k, kept = study.split.valid, study.size.llm_k, study.ranker
    taken = [step for key, step in study.trained.items() if key in published]
    if "reranker" not in taken:
        return "", True
    with tempfile.TemporaryDirectory() as empty:
        anew = study.fit_ranker(Cache(Path(empty) / "cache"))
    theirs, ours = (auc(valid.liked, vote(ranker.select(valid, k))) for ranker in (kept, anew))
    return (
        f"{of.name}: published trainings were used ({', '.join(taken)}). The learned reranker fitted here: AUC of the "
        f"vote on validation {ours:.4f}, of the published one {theirs:.4f} (room: {LEAST_ROOM})"
    ), bool(abs(ours - theirs) <= LEAST_ROOM)
