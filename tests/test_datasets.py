from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.data import loading, movielens
from rallrec.data.dataset import TOLD, Dataset, Words, build
from rallrec.data.movielens import ml_1m

RATINGS = pd.DataFrame({"user_id": [7, 7, 8], "item_id": [1, 2, 1], "rating": [5, 3, 4], "time": [20, 10, 30]})
ITEMS = pd.DataFrame({"item_id": [2, 1], "title": ["b", "a"]})
USERS = pd.DataFrame({"user_id": [8, 7]})


def test_ratings_are_by_user_then_time_and_codes_by_raw_id():
    data = build("d", RATINGS, ITEMS, USERS)
    assert data.items.item_id.tolist() == [1, 2]
    assert data.items.title[data.item].tolist() == ["b", "a", "a"]
    assert data.time.tolist() == [10, 20, 30]
    assert data.start.tolist() == [0, 2, 3]
    assert data.liked.tolist() == [False, True, True]


def test_order_of_the_rows_changes_nothing(tiny):
    raw = pd.DataFrame(
        {
            "user_id": tiny.users.user_id[tiny.user].to_numpy(),
            "item_id": tiny.items.item_id[tiny.item].to_numpy(),
            "rating": tiny.rating,
            "time": tiny.time,
        }
    )
    tables = (t.sample(frac=1, random_state=n) for n, t in enumerate((raw, tiny.items, tiny.users)))
    attributes = dict(item_attributes=tiny.item_attributes, user_attributes=tiny.user_attributes)
    shuffled = build("tiny", *tables, **attributes)
    assert shuffled.hash == tiny.hash
    assert (shuffled.item == tiny.item).all()


CHANGED = dict(
    items=lambda v: v.assign(title=v.title + "!"),
    users=lambda v: v.assign(age=v.age + 1),
    user=lambda v: v[::-1],
    item=lambda v: v[::-1],
    rating=lambda v: 6 - v,
    time=lambda v: v + 1,
    scale=lambda v: (0, 5),
    like_above=lambda v: 4,
    words=lambda v: Words(consumed="saw"),
    item_attributes=lambda v: v[:1],
    user_attributes=lambda v: v[::-1],
    timed=lambda v: False,
    beside_title=lambda v: None,
    category=lambda v: ("genres", None),
)


@pytest.mark.parametrize("field", [f.name for f in fields(Dataset) if f.name not in TOLD])
def test_a_change_of_any_field_changes_the_hash(tiny, field):
    assert replace(tiny, **{field: CHANGED[field](getattr(tiny, field))}).hash != tiny.hash


def test_the_hash_is_of_content_not_of_name_and_notes(tiny):
    assert replace(tiny, name="another", notes=("said",), unrated=0.0).hash == tiny.hash
    assert set(TOLD) == {"name", "notes", "unrated"}
    assert rr.load("tiny").hash == tiny.hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rating": [5, 3, 6]}, "row 3: rating 6 is off the scale 1 to 5"),
        ({"rating": [5, np.nan, 4]}, "row 2: rating nan is off the scale"),
        ({"item_id": [1, 2, 9]}, "row 3: item_id 9 is unknown"),
        ({"user_id": [7, 7, 9]}, "row 3: user_id 9 is unknown"),
        ({"item_id": [1, 1, 1]}, "user 7 rated item 1 more than once"),
    ],
)
def test_bad_ratings_are_refused(change, said):
    with pytest.raises(rr.InputError, match=said):
        build("d", RATINGS.assign(**change), ITEMS, USERS)


def test_an_id_listed_twice_is_refused():
    with pytest.raises(rr.InputError, match="item_id 2 is listed twice"):
        build("d", RATINGS, ITEMS.assign(item_id=[2, 2]), USERS)


def test_unknown_data_set():
    with pytest.raises(rr.InputError, match="'ml-99k'; it must be one of: ml-100k, ml-1m"):
        rr.load("ml-99k")


def test_an_unknown_option_is_named_with_those_there_are():
    with pytest.raises(rr.InputError, match="takes no option 'min_items'; it takes: min_item_ratings, min_user"):
        rr.load("bookcrossing", min_items=13)
    with pytest.raises(rr.InputError, match="ml-100k takes no option 'like_above'; it takes: none"):
        rr.load("ml-100k", like_above=4)


def test_a_loaders_own_defect_is_no_users_mistake(monkeypatch):
    def defective(like_above=3):
        return ml_1m(unknown=like_above)

    monkeypatch.setitem(loading.LOADERS, "tiny", defective)
    with pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
        rr.load("tiny", like_above=4)


def test_a_rating_off_the_scale_is_named_by_file_and_line():
    ratings = RATINGS.assign(rating=[5, 9, 4]).set_axis([2, 5, 6])
    ratings.attrs["path"] = "ratings.csv"
    with pytest.raises(rr.InputError, match=r"^ratings.csv:5: rating 9 is off the scale 1 to 5"):
        build("d", ratings, ITEMS, USERS)


@pytest.mark.parametrize("above", [0, 0.9, 5, 6, -1, float("nan"), float("inf"), True, "3", None])
def test_a_threshold_that_is_none_is_refused(above):
    with pytest.raises(rr.InputError, match=r"^d: like_above is .*; it must be a number from 1 to less than 5"):
        build("d", RATINGS, ITEMS, USERS, like_above=above)


@pytest.mark.parametrize(("above", "liked"), [(1, [True] * 3), (4, [False, True, False]), (4.5, [False, True, False])])
def test_a_threshold_within_the_scale(above, liked):
    assert build("d", RATINGS, ITEMS, USERS, like_above=above).liked.tolist() == liked


def test_that_all_or_no_ratings_are_likes_is_said():
    assert "Every rating is a like" in " ".join(build("d", RATINGS, ITEMS, USERS, like_above=1).notes)
    assert "No rating is a like" in " ".join(build("d", RATINGS.assign(rating=2), ITEMS, USERS).notes)
    assert not build("d", RATINGS, ITEMS, USERS).notes


def test_whole_numbers_hash_alike_however_they_are_written():
    one, other = (
        build("d", RATINGS, ITEMS, USERS, like_above=above, scale=(1, top)) for above, top in ((3, 5), (3.0, 5.0))
    )
    assert one.hash == other.hash
    assert build("d", RATINGS, ITEMS, USERS, like_above=3.5).hash != one.hash


MANY = pd.DataFrame({"user_id": 7, "item_id": range(21), "rating": 5, "time": range(21)})
NAMED = pd.DataFrame({"item_id": range(21), "title": "t"})


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (range(21), None),
        ([0, *range(20)], None),  # 5 %
        ([0, 0, *range(19)], "10 % of neighbouring ratings of a user have the same time; they are ordered by item id"),
        ([0] * 21, "100 % of neighbouring ratings of a user have the same time (times are whole days); they"),
    ],
)
def test_how_many_ratings_of_a_user_share_a_time(time, said):
    notes = build("d", MANY.assign(time=list(time)), NAMED, USERS).notes
    assert (said in notes[0]) if said else not [note for note in notes if "same time" in note]
    assert not build("d", MANY.assign(time=list(time)), NAMED, USERS, timed=False).notes[:-1]


def test_fractions_of_a_second_order_ratings():
    ratings = MANY.assign(time=100, microsecond=range(21, 0, -1))
    data = build("d", ratings, NAMED, USERS)
    assert data.item.tolist() == list(range(20, -1, -1))
    assert not [note for note in data.notes if "same time" in note]


# --- the real thing ---------------------------------------------------------------------------------


def test_ml_100k(real_data):
    data = rr.load("ml-100k")
    assert (data.n_ratings, data.n_users, data.n_items) == (100_000, 943, 1682)
    assert data.items.title[data.items.item_id == 127].item() == "The Godfather"
    assert data.items.year.isin(["", *map(str, range(1920, 1999))]).all()
    assert set(movielens.ML100K_FILES) == {"inter", "item", "user"}
    split = rr.split(data)
    assert [len(p) for p in (split.train, split.valid, split.test)] == [76_228, 9_528, 9_529]
    assert not split.certificate().violations.any()
