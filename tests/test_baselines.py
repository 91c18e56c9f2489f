from dataclasses import replace

import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.evaluation.metrics import auc
from rallrec.infra import products
from rallrec.infra.cache import Cache, default_cache
from rallrec.profiles import PROFILES
from rallrec.readers import conventional
from rallrec.readers.conventional import MODELS, baseline, baselines, tuned
from rallrec.readers.fields import fields
from rallrec.readers.networks import network
from rallrec.readers.trees import lightgbm_baseline

from .elsewhere import Elsewhere

QUICK = dict(dimensions=8, layers=(16,), epochs=6, patience=9, history=5, batch=256, learning_rate=1e-2)


@pytest.mark.parametrize("model", MODELS)
def test_each_model_learns(model, tiny_split, cache):
    value, valid, test = baseline(model, tiny_split, cache, **QUICK)
    assert value == pytest.approx(auc(tiny_split.valid.liked, valid))
    assert value > 0.57
    assert test.shape == (len(tiny_split.test),)
    assert ((test > 0) & (test < 1)).all()
    (again,) = baseline(model, tiny_split, cache, **QUICK)[2:]
    assert (again == test).all()


def test_xdeepfm_is_a_linear_a_cins_and_an_mlps_score(tiny_split):
    """The CIN's layers, written out: feature maps are weighed sums of products of the fields and the maps before."""
    values, sizes = fields(tiny_split, tiny_split.test, 4)
    x = {n: torch.as_tensor(v) for n, v in values.items()}
    net = network("xDeepFM", sizes, 8, (16,), 0.2).eval()
    with torch.inference_mode():
        e = net.embedding(x, net.features)  # [n, fields, 8]
        (w1, w2), (b1, b2) = zip(*((c.weight[:, :, 0], c.bias) for c in net.cin.conv_layers), strict=True)
        maps = torch.einsum("ofg,nfd,ngd->nod", w1.unflatten(1, (len(sizes), -1)), e, e) + b1[:, None]
        told, on = maps.relu().chunk(2, dim=1)
        last = torch.einsum("ofg,nfd,ngd->nod", w2.unflatten(1, (len(sizes), -1)), e, on) + b2[:, None]
        score = net.cin.fc(torch.cat([told, last.relu()], 1).sum(2)) + (
            net.linear(e.flatten(1)) + net.mlp(e.flatten(1))
        )
        assert net(x).numpy() == pytest.approx(score.sigmoid()[:, 0].numpy(), abs=1e-6)


def test_the_same_seed_gives_the_same_answers(tiny_split, cache, tmp_path):
    other = Cache(tmp_path / "other")
    a, b = (baseline("DeepFM", tiny_split, c, **QUICK)[2] for c in (cache, other))
    assert (a == b).all()
    assert not np.allclose(a, baseline("DeepFM", tiny_split, cache, **QUICK, seed=1)[2])


def test_fields_hold_the_history_and_not_the_target(tiny, tiny_split):
    values, sizes = fields(tiny_split, tiny_split.test, 4)
    assert all((v >= 0).all() and (v < sizes[n]).all() for n, v in values.items())
    for n in (0, 5, len(tiny_split.test) - 1):
        position = tiny_split.test.position[n]
        earlier = slice(position - min(4, tiny_split.test.n_earlier[n]), position)
        liked = tiny.item[earlier][tiny.liked[earlier]]
        assert sorted(values["liked items"][n][values["liked items"][n] > 0] - 1) == sorted(liked)
    other = tiny.rating.copy()
    other[tiny_split.test.position] = 1
    changed = rr.split(replace(tiny, rating=other))
    again, _ = fields(changed, changed.test, 4)
    assert (again["item's mean rating"] == values["item's mean rating"]).all()


def test_trees_on_ids_and_statistics(tiny_split):
    p, valid = lightgbm_baseline(tiny_split, tiny_split.test)
    assert (p.shape, valid.shape) == ((len(tiny_split.test),), (len(tiny_split.valid),))
    assert auc(tiny_split.valid.liked, valid) > 0.57


def test_the_best_of_a_grid(tiny_split, cache, monkeypatch):
    """All that is missing is trained at once; what was found before is not looked for again."""
    asked = []

    def judged(wanted, split, cache, device):
        asked.append(([(model, settings["most"]) for model, settings in wanted], device))
        found = {"DIN": 0.1, "DCN": 1.0}
        return [(1 - abs(settings["decay"] - found[model]), None, None) for model, settings in wanted]

    monkeypatch.setattr(conventional, "baselines", judged)
    grid = [dict(decay=d) for d in (0.01, 0.1, 1.0)]
    best, table = tuned(["DIN", "DCN"], tiny_split, grid, device="cuda:1", cache=cache)
    assert best == dict(DIN=dict(decay=0.1), DCN=dict(decay=1.0))
    assert table.valid_auc.tolist() == pytest.approx([0.91, 1.0, 0.1, 0.01, 0.1, 1.0])
    assert table.model.tolist() == ["DIN"] * 3 + ["DCN"] * 3
    assert asked[0] == ([("DIN", 200_000)] * 3 + [("DCN", 200_000)] * 3, "cuda:1")
    asked.clear()
    again, _ = tuned(["DCN"], tiny_split, grid, cache=cache)
    assert again == dict(DCN=dict(decay=1.0))
    assert not asked
    monkeypatch.setattr(conventional, "TUNING_SAMPLES", 50)
    tuned(["DIN"], tiny_split, [dict(decay=0.1)], cache=cache)
    assert asked[0] == ([("DIN", 50)], "cpu")


def test_a_study_notes_the_search_and_not_its_trainings(tiny_split, tmp_path, monkeypatch):
    """It is published with what a run was made with, and a fresh clone finds it."""
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    default_cache.cache_clear()
    study = rr.Study(tiny_split, None, PROFILES["smoke"])
    study.tuned(["DCN", "DeepFM"])
    assert list(study.trained.values()) == ["search", "search"]
    default_cache.cache_clear()


def test_trainings_side_by_side_are_the_same_to_the_bit(tiny_split, tmp_path, monkeypatch):
    """Those that are kept, or asked for twice, are not trained again."""
    kept, alone = Cache(tmp_path / "kept"), Cache(tmp_path / "alone")
    quick = QUICK | dict(epochs=2)
    wanted = [("DCN", quick), ("DeepFM", quick), ("DeepFM", quick | dict(seed=1)), ("DCN", quick)]
    one_by_one = baselines(wanted, tiny_split, alone)
    first = baseline("DCN", tiny_split, kept, **quick)
    monkeypatch.setattr(conventional, "WORTH_A_PROCESS", 1)
    at_once, real = [], conventional.side_by_side
    monkeypatch.setattr(conventional, "side_by_side", lambda make, of, what: at_once.extend(of) or real(make, of, what))
    here = baselines(wanted, tiny_split, kept)
    assert [(model, s.seed) for model, _, s, _ in at_once] == [("DeepFM", 0), ("DeepFM", 1)]
    assert all(map(np.array_equal, here[0], first))
    for one, other in zip(here, one_by_one, strict=True):
        assert all(map(np.array_equal, one, other))
    monkeypatch.setattr(conventional, "side_by_side", None)
    assert all(map(np.array_equal, baselines(wanted[1:2], tiny_split, kept)[0], here[1]))


def test_training_on_some_of_the_samples(tiny_split, cache):
    some = baseline("DeepFM", tiny_split, cache, **QUICK, most=100)
    assert len(some[2]) == len(tiny_split.test)
    assert not np.allclose(some[2], baseline("DeepFM", tiny_split, cache, **QUICK)[2])


def test_an_unknown_model(tiny_split):
    with pytest.raises(rr.InputError, match="model is 'SASRec'; it must be one of: DeepFM, xDeepFM"):
        baseline("SASRec", tiny_split)


def test_the_number_of_threads_changes_nothing(tiny_split, tmp_path):
    threads, answers = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            answers.append(baseline("DCNv2", tiny_split, Cache(tmp_path / str(n)), epochs=3, decay=10.0)[2])
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(threads)
    assert (answers[0] == answers[1]).all()


@pytest.mark.parametrize("model", MODELS)
def test_another_device_gives_the_same(model, tiny_split, tmp_path, monkeypatch):
    """Every tensor is on the device that is asked for, and what is drawn does not depend on it."""
    monkeypatch.setattr(products, "onednn_is_faster", lambda: False)  # it rounds otherwise, and is a CPU's
    quick = QUICK | dict(epochs=2)
    here = baseline(model, tiny_split, Cache(tmp_path / "here"), **quick)
    with Elsewhere() as device:
        there = baseline(model, tiny_split, Cache(tmp_path / "there"), "meta", **quick)
    assert all(map(np.array_equal, here, there))
    assert device.calls["sigmoid"] > 8


@pytest.fixture
def trainings(monkeypatch):
    """The splits that were trained on, not answered from the cache."""
    trained, real = [], conventional._train
    monkeypatch.setattr(conventional, "_train", lambda m, split, *rest: trained.append(split) or real(m, split, *rest))
    return trained


def test_each_thing_that_answers_depend_on_is_in_the_key(tiny, tiny_split, cache, tmp_path, trainings):
    quick = QUICK | dict(epochs=1)
    year = tiny.items.year.to_numpy()
    other = {
        "other columns": replace(tiny, item_attributes=("year",)),
        "other columns of users": replace(tiny, user_attributes=()),
        "other values": replace(tiny, items=tiny.items.assign(year=year[::-1])),
    }
    splits = {name: rr.split(data) for name, data in other.items()}
    splits["other proportions"] = rr.split(tiny, parts=(16, 3, 1))
    splits["fewer training ratings"] = replace(tiny_split, train_ratings=tiny_split.train_ratings[5:])
    first = baseline("DeepFM", tiny_split, cache, **quick)
    for n, s in enumerate(splits.values()):
        answer = baseline("DeepFM", s, cache, **quick)
        assert answer[2].shape != first[2].shape or not np.allclose(answer[2], first[2])
        assert all(map(np.array_equal, answer, baseline("DeepFM", s, cache, **quick)))
        assert all(map(np.array_equal, answer, baseline("DeepFM", s, Cache(tmp_path / f"alone{n}"), **quick)))
    assert len(trainings) == 1 + 2 * len(splits)
    baseline("DeepFM", tiny_split, cache, "cuda", **quick)  # an answer holds for all devices
    assert len(trainings) == 1 + 2 * len(splits)


def test_validation_likes_alone_choose_nothing_and_break_nothing(tiny_split, cache):
    likes = tiny_split.valid.take(tiny_split.valid.liked)
    alone = replace(tiny_split, valid=likes, chosen_on=likes)
    value, *predicted = baseline("DeepFM", alone, cache, **QUICK)
    assert np.isnan(value)
    predicted += lightgbm_baseline(alone, alone.test)
    assert all(np.isfinite(p).all() for p in predicted)
