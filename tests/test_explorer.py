"""The explorer's numbers are those of a study and of `metrics`; what is published of them is of the published data."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

import rallrec as rr
from rallrec.evaluation.influence import WIDTH, influences, paired
from rallrec.evaluation.metrics import auc, compare, difference
from rallrec.evaluation.resampling import aucs, resampled_users
from rallrec.infra.files import published_dir
from rallrec.readers.vote import vote
from rallrec.retrieval.selectors import SELECTORS
from rallrec.runs.place import Parameters, reference
from rallrec.site import explorer, explorer_files, explorer_users

SOME = ("mixture", "hybrid")
PUBLISHED = sorted(path.parent.name for path in published_dir().glob("*/explorer.json.gz"))


@pytest.fixture(scope="module")
def record(study):
    return json.loads(json.dumps(explorer.measure(study, "rallrec ablate --dataset tiny", SOME)))


def points_of(part: dict) -> np.ndarray:
    return part["step"] * explorer.unpacked(part["points"])


# --- influences ---------------------------------------------------------------------------------


def noisy(n: int, users: int, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Users, labels, and two scores with ties that know a little of the labels."""
    liked = rng.random(n) < 0.6
    one = np.round(rng.random(n) + 0.3 * liked, 1)
    return rng.integers(0, users, n), liked, one, np.round(one + rng.random(n), 1)


def test_an_influence_is_the_derivative_of_the_auc_by_how_often_a_user_counts():
    user, liked, p, _ = noisy(400, 23, np.random.default_rng(0))
    value, h = influences(liked, p, user)
    assert value == pytest.approx(auc(liked, p))
    moved = aucs(liked, p, user, np.ones((23, 23)) + 1e-5 * np.eye(23))
    assert h == pytest.approx((moved - value) / 1e-5, abs=1e-5)
    assert h.sum() == pytest.approx(0, abs=1e-12)
    assert np.isnan(influences(np.ones(3, bool), np.arange(3), np.arange(3))[0])


def test_intervals_are_those_of_the_bootstrap_of_many_users():
    user, liked, one, other = noisy(6000, 600, np.random.default_rng(1))
    ours = paired(*influences(liked, one, user), *influences(liked, other, user))
    user, drawn = resampled_users(user, 4000, 0)
    theirs = difference(aucs(liked, one, user, drawn) - aucs(liked, other, user, drawn), 600)
    assert ours.value == pytest.approx(theirs.value)
    half = (theirs.high - theirs.low) / 2
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.1 * half)
    assert paired(*influences(liked, one, user), *influences(liked, one, user)).identical


def test_packing_loses_nothing():
    points = np.array([[0, -1, 2], [40, -300, 0]])
    assert explorer.unpacked(json.loads(json.dumps(explorer.packed(points)))).tolist() == points.tolist()


def test_rounded_points_keep_the_distances():
    h = np.random.default_rng(2).normal(size=(50, 20)) * 0.01 ** np.linspace(0, 1, 20)
    step, points = explorer.rounded(h)
    for i, j in ((0, 1), (7, 33), (12, 49)):
        assert step * np.linalg.norm(points[i] - points[j]) == pytest.approx(np.linalg.norm(h[i] - h[j]), rel=0.05)


# --- the grid, on generated data ----------------------------------------------------------------


def test_every_auc_of_the_grid_is_the_studys(study, record):
    """Shortcuts of `shows_the_same` included."""
    grid = explorer.curves(SOME)
    rng = np.random.default_rng(0)
    for name, part in record["parts"].items():
        assert part["curves"].keys() == grid.keys()
        for key, choice in grid.items():
            for at in rng.permutation(len(explorer.K))[:3]:
                expected = study.auc(replace(choice, k=explorer.K[at]), name)
                assert part["auc"][part["curves"][key][at]] / 1e5 == pytest.approx(expected, abs=6e-6), (name, key)


def test_intervals_of_pairs_agree_with_the_metrics(study, record):
    """Of the rounded points, as the page computes them: within a quarter of the interval's half on 50 users."""
    grid, samples, part = explorer.curves(SOME), study.split.test, record["parts"]["test"]
    points = points_of(part)
    keys = list(grid)
    for one, other in ((0, 9), (3, 20), (5, 31)):
        i, j = (part["curves"][keys[at]][5] for at in (one, other))
        p = [vote(study.shown(replace(grid[keys[at]], k=explorer.K[5]), samples)) for at in (one, other)]
        expected = compare(samples, *p)["auc"]
        value, half = (part["auc"][i] - part["auc"][j]) / 1e5, WIDTH * np.linalg.norm(points[i] - points[j])
        room = 0.25 * (expected.high - expected.low) / 2
        assert value == pytest.approx(expected.value, abs=2e-5)
        assert (value - half, value + half) == pytest.approx((expected.low, expected.high), abs=room)
    assert part["checked"]["ends"][0] < 3 * part["checked"]["seeds"][0]
    assert (part["n"], part["users"]) == (len(samples), len(np.unique(samples.user)))


def test_commands_are_those_of_the_choices(record):
    """The flags of the axes, in their order, are `Choice.command`."""
    for choice in explorer.curves(SOME).values():
        at_k = replace(choice, k=20)
        flags = (next(each["flag"] for each in axis if each["name"] == explorer.named(getattr(at_k, field)))
                 for field, axis in record["axes"].items())  # fmt: skip
        assert record["command"] + "".join(flags) == at_k.command("tiny")


def test_alpha_by_validation_is_told(study, record):
    at = explorer.K.index(10)
    for name in SOME:
        assert record["alpha"][f"{name}|"][at] == explorer.named(study.best_alpha(study.representation(name), 10))


def test_data_without_an_auc_are_refused(study):
    with pytest.raises(rr.InputError, match="all samples are liked"):
        explorer.Tally(study.split.test.take(study.split.test.liked))


# --- files --------------------------------------------------------------------------------------


def test_a_record_is_made_once_and_written_for_the_page(study, tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    monkeypatch.setattr(explorer_files.Study, "of", lambda *_: study)
    measured = []
    monkeypatch.setattr(explorer_files, "measure", lambda *given: measured.append(given) or explorer.measure(*given))
    of = Parameters("tiny", "tiny-random", "smoke")
    said = [explorer_files.make(of, users=True, representations=("title",)) for _ in range(2)]
    assert len(measured) == 1
    assert said[0] == said[1]
    with pytest.raises(rr.InputError, match="example users are not published"):
        explorer_files.make(of, publish=True, users=True)
    monkeypatch.setattr(explorer_files, "make", lambda *_, **__: None)
    assert explorer_files.write(tmp_path / "page", ["tiny", "ml-25m"]) == ["tiny"]
    (name, shown) = re.fullmatch(
        r"rallrecExplorer\.(\w+)\((.*)\);\n", (tmp_path / "page/tiny.js").read_text("utf-8")
    ).groups()
    assert name == "add"
    assert json.loads(shown)["command"] == "rallrec ablate --dataset tiny --llm tiny-random --profile smoke"
    assert json.loads(shown)["changed_code"] == []
    assert (tmp_path / "page/tiny-users.js").exists()


def test_users_whose_data_may_not_be_handed_on_stay_out_of_a_page_to_publish(study, record, tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    made = record | dict(title="MovieLens-1M", made_of=dict(code=explorer_files.code()))
    explorer_files.save(explorer_files.local_path("ml-1m"), made)
    explorer_files.save(explorer_files.users_path("ml-1m"), explorer_users.examples(study, 3))
    for users in (True, False):
        explorer_files.write(tmp_path / str(users), ["ml-1m"], users=users)
        assert (tmp_path / str(users) / "ml-1m-users.js").exists() == users


def test_example_users_are_shown_what_the_selectors_show(study, tiny):
    made = explorer_users.examples(study, 5)
    assert len(made["users"]) == 5
    for user in made["users"]:
        assert list(user["shown"]) == explorer.built_in(SELECTORS)
        code = int(np.flatnonzero(tiny.users["user_id"].astype(str) == user["user"])[0])
        (row,) = np.flatnonzero(study.asked().user == code)[:1]
        sample = study.asked().take(np.array([row]))
        shown = study.shown(rr.Choice(selector="high", k=study.size.llm_k), sample)
        items = user["shown"]["high"]["items"]
        assert [item[1] for item in items] == shown.rating[0][shown.real[0]].tolist()
        assert tiny.items["title"][sample.item[0]] in made["titles"][user["target"]]
        assert user["liked"] == sample.liked[0]
        assert all(0 <= each["p"] <= 1 for each in user["shown"].values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_records_are_of_the_recorded_runs(name):
    """What the explorer says of the method is what notebook 05 recorded, where it is recorded."""
    record = explorer_files.load(explorer_files.published_path(name))
    assert record["key"] == explorer_files.key(record["made_of"])
    assert record["dataset"] == name
    recorded = reference(name)
    if not recorded:
        return
    assert record["made_of"]["data"] == recorded["settings"]["data_hash"]
    values = {key: value for key, (value, _) in recorded["values"].items()}
    at = [each["name"] for each in record["axes"]["k"]].index(str(record["k"]))
    test = record["parts"]["test"]
    for row, key in {
        "vote, RALLRec": "vote|mixture||rerank|",
        "vote, last K": "vote|||recent|",
        "vote, learned reranker (ours)": "vote|||learned|",
    }.items():
        said = test["auc"][test["curves"][key][at]] / 1e5
        assert said == pytest.approx(values[f"05_recommendation/fast/{row}/auc"], abs=1e-4)


def test_published_records_are_small():
    sizes = [explorer_files.published_path(name).stat().st_size for name in PUBLISHED]
    assert sum(sizes) < 450_000
