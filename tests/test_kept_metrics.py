"""Metrics under a bootstrap that are kept for the next comparison of the same prediction."""

import numpy as np
import pytest

from rallrec.evaluation import resampling
from rallrec.evaluation.resampling import metrics_of, resampled_users


@pytest.fixture
def asked(monkeypatch):
    """How often metrics were computed, from an empty memory of three predictions."""
    made, real = [], resampling._metrics_of
    monkeypatch.setattr(resampling, "_KEPT", {})
    monkeypatch.setattr(resampling, "MOST_KEPT", 3)
    monkeypatch.setattr(resampling, "_metrics_of", lambda *of: made.append(of) or real(*of))
    return made


def test_the_same_is_computed_once_and_nothing_else_is_taken_for_it(asked):
    rng = np.random.default_rng(0)
    liked, p, user = rng.random(60) < 0.5, rng.random(60), np.repeat(np.arange(12), 5)
    code, drawn = resampled_users(user, 50, 0)
    first = metrics_of(liked, p, code, drawn)
    assert metrics_of(liked.copy(), p.copy(), code.copy(), drawn.copy()) is first
    assert len(asked) == 1
    with pytest.raises(ValueError, match="read-only"):  # who changed it would change what the next one is told
        first["auc"][0] = 1
    others = [
        (~liked, p, code, drawn),
        (liked, p[::-1], code, drawn),
        (liked, p, code[::-1], drawn),
        (liked, p, code, resampled_users(user, 50, 1)[1]),
        (liked, p, code, resampled_users(user, 20, 0)[1]),
        (liked, p, code, resampled_users(user, 0, 0)[1]),
    ]
    for n, of in enumerate(others):
        made = metrics_of(*of)
        assert len(asked) == 2 + n
        assert all(np.array_equal(made[m], each) for m, each in resampling._metrics_of(*of).items())
        asked.pop()
    assert len(resampling._KEPT) == 3
    assert all(np.array_equal(first[m], each) for m, each in metrics_of(liked, p, code, drawn).items())
    assert len(asked) == 2 + len(others)  # the oldest was forgotten
