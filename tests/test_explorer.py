"""The explorer's numbers are those of a study and of `metrics`; what is published of them is of the published data."""

import json

import numpy as np
import pytest

import rallrec as rr
from rallrec.evaluation.influence import influences, paired
from rallrec.evaluation.metrics import auc, compare
from rallrec.infra.files import published_dir
from rallrec.pipeline import Choice
from rallrec.site import explorer, explorer_files, explorer_users

from .studies import study_of

SOME = ("mixture", "hybrid", "title")


@pytest.fixture(scope="module")
def study(tiny_split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_DATA", str(folder))
        yield study_of(tiny_split, folder)


@pytest.fixture(scope="module")
def record(study):
    return explorer.measure(study, "rallrec ablate --dataset tiny", SOME)


def decoded(part) -> np.ndarray:
    return part["step"] * explorer.unpacked(part["points"])


def test_influences_are_those_of_users_weights(rng=np.random.default_rng(0)):
    """Numerical derivatives of the AUC by how often each user counts, less their mean."""
    n, users = 400, 23
    user, liked = rng.integers(0, users, n), rng.random(n) < 0.6
    p = np.round(rng.random(n) + 0.3 * liked, 1)  # with ties
    value, h = influences(liked, p, user)
    assert value == pytest.approx(auc(liked, p))
    from rallrec.evaluation.resampling import aucs

    step = 1e-5
    moved = aucs(liked, p, user, np.eye(users) * step + 1)
    assert h == pytest.approx((moved - value) / step, abs=1e-5)
    assert h.sum() == pytest.approx(0, abs=1e-12)
    assert np.isnan(influences(np.ones(3, bool), np.arange(3), np.arange(3))[0])


def test_paired_intervals_are_those_of_the_bootstrap(rng=np.random.default_rng(1)):
    """Of many users, both say the same; of the same predictions the difference is 0 and certain."""
    split = rr.split(rr.readers.vote.__class__ and rr.load("tiny"))
    samples = split.test
    assert len(samples)
