"""Metrics under a bootstrap that are kept for the next comparison of the same prediction."""

import numpy as np
import pytest

from rallrec.evaluation import resampling
from rallrec.evaluation.resampling import kept_aucs, metrics_of, resampled_users


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


def test_of_many_samples_another_process_takes_them_out_of_the_cache(asked, monkeypatch, cache):
    rng = np.random.default_rng(0)
    liked, p, user = rng.random(60) < 0.5, rng.random(60), np.repeat(np.arange(12), 5)
    code, drawn = resampled_users(user, 50, 0)
    monkeypatch.setattr(resampling, "default_cache", lambda: cache)
    monkeypatch.setattr(resampling, "MANY", 61)
    metrics_of(liked, p, code, drawn)
    assert not cache.path.exists()
    monkeypatch.setattr(resampling, "MANY", 60)
    others = [(liked, p[::-1]), (~liked, p), (liked, p), (liked, p.astype(np.float32))]
    for _ in range(2):
        resampling._KEPT.clear()  # as in another process
        for liked_, p_ in others:
            made = metrics_of(liked_, p_, code, drawn)
            assert all(
                np.array_equal(made[m], each) for m, each in resampling._metrics_of(liked_, p_, code, drawn).items()
            )
            assert (kept_aucs(liked_, p_, code, drawn) == made["auc"]).all()
            with pytest.raises(ValueError, match="read-only"):
                made["auc"][0] = 1
            asked.pop()  # that of the check
        assert len(asked) == 1 + len(others)  # none more in the second turn
    monkeypatch.setattr(resampling, "codes_of", lambda *of: ["another code"])
    metrics_of(liked, p, code, drawn)
    assert len(asked) == 2 + len(others)


def test_draws_are_kept_within_a_bound(monkeypatch):
    monkeypatch.setattr(resampling, "_DRAWN", {})
    monkeypatch.setattr(resampling, "MOST_DRAWN", 3 * 11 * 20 * 8)
    user = np.arange(20)
    drawn = [resampled_users(user, 10, seed)[1] for seed in (0, 1, 2, 3, 1)]
    assert drawn[4] is drawn[1]
    assert len(resampling._DRAWN) == 3
    assert (resampled_users(user, 10, 0)[1] == drawn[0]).all()
    monkeypatch.setattr(resampling, "MOST_DRAWN", 0)
    assert resampled_users(user, 10, 5)[1].shape == (11, 20)
    assert len(resampling._DRAWN) == 1
