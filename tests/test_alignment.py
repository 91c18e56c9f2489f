import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.representations.alignment import info_nce, train_alignment


def test_info_nce_is_its_formula():
    rng = np.random.default_rng(0)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 5, 3)))
    s = a @ b.T / 0.3
    by_hand = -np.mean(
        [(2 * s[i, i] - np.log(np.exp(s[i]).sum()) - np.log(np.exp(s[:, i]).sum())) / 2 for i in range(5)]
    )
    assert info_nce(torch.as_tensor(a), torch.as_tensor(b), 0.3).item() == pytest.approx(by_hand)


@pytest.fixture
def views():
    """Two views of the same eight hidden dimensions, [400, 24] and [400, 16]."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(400, 8))
    return tuple((hidden @ rng.normal(size=(8, d))).astype(np.float32) for d in (24, 16))


def test_finds_what_two_views_share(views, cache):
    alignment = train_alignment(*views, cache=cache, epochs=60, dimensions=16, batch=128)
    assert alignment.match.max() > 0.5  # of 40 held-out items; chance is 1/40
    assert alignment.loss.min() < alignment.loss[0] / 2
    assert np.linalg.norm(alignment.ssl, axis=1) == pytest.approx(np.ones(400), abs=1e-5)


def test_cold_items_follow_their_text_alone(views, cache):
    text, colla = views
    warm = np.arange(400) >= 20
    noise = colla.copy()
    noise[~warm] = 1000
    settings = dict(cache=cache, epochs=10, dimensions=16, batch=128)
    a, b = train_alignment(text, colla, warm, **settings), train_alignment(text, noise, warm, **settings)
    assert (a.ssl[~warm] == b.ssl[~warm]).all()


def test_rows_must_agree(views, cache):
    with pytest.raises(rr.InputError, match="have 400, 399 and 400 rows"):
        train_alignment(views[0], views[1][:-1], cache=cache)
