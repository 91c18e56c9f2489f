"""A folder of one's own: the README's example, and what is refused or mended."""

import re
from pathlib import Path

import numpy as np
import pytest

import rallrec as rr
from rallrec.infra.files import ROOT
from rallrec.readers import prompts

ITEMS = "item_id,title,genres\n" + "".join(f"i{k},Title {k},{'Jazz' if k % 2 else 'Rock'}\n" for k in range(12))
RATINGS = "user_id,item_id,rating,time\n" + "".join(
    f"u{u},i{k},{1 + (u + k) % 5},2024-05-{1 + k:02}\n" for u in range(4) for k in range(12)
)


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "ratings.csv").write_text(RATINGS)
    (folder / "items.csv").write_text(ITEMS)
    return folder


def test_a_folder_is_a_data_set(folder):
    data = rr.load(str(folder))
    assert (data.name, data.n_users, data.n_items, data.n_ratings) == ("records", 4, 12, 48)
    assert (data.scale, data.like_above, data.timed) == ((1, 5), 3, True)
    assert data.item_attributes == ("genres",)
    assert (np.diff(data.time[:12]) == 86_400).all()
    assert "sets no like_above" in " ".join(data.notes)
    assert not rr.split(data).certificate().violations.any()


def test_it_is_found_by_its_name_in_a_raw_folder(folder, monkeypatch):
    monkeypatch.setenv("RALLREC_RAW", str(folder.parent))
    assert rr.load("records").name == "records"


def test_settings(folder):
    (folder / "dataset.toml").write_text(
        'scale = [0, 10]\nlike_above = 2\nbeside_title = "genres"\ncategory = "genres"\n'
        '[words]\nitem = "record"\nitems = "records"\nuser = "listener"\nconsumed = "heard"\n'
    )
    (folder / "users.csv").write_text("user_id,age\nu0,40\n")
    data = rr.load(str(folder))
    assert (data.scale, data.like_above, data.words.item) == ((0, 10), 2, "record")
    assert data.users.age.tolist() == ["40", "", "", ""]
    assert "3 users have no row in users.csv" in " ".join(data.notes)
    assert prompts.titles(data)[0] == "Title 0 (Rock)"


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "ratings.csv",
            "u0,i3,4,2024-05-04",
            "u0,i3,4,2024-05-04\nu0,i3,1,2025-01-01",
            "1 ratings of a pair .* rated again later",
        ),
        ("ratings.csv", "u0,i3,4", "u0,zz,4", r"1 ratings of items that items.csv lacks .*line 5, item zz"),
    ],
)
def test_what_is_mended_is_said(folder, file, old, new, said):
    (folder / file).write_text((folder / file).read_text().replace(old, new, 1))
    assert re.search(said, " ".join(rr.load(str(folder)).notes))


def test_ratings_in_the_order_of_time_need_no_word(folder):
    header, *lines = RATINGS.splitlines()
    ordered = sorted(lines, key=lambda line: line.split(",")[3])
    (folder / "ratings.csv").write_text("\n".join([header, *ordered]))
    assert not [note for note in rr.load(str(folder)).notes if "order of time" in note]
    (folder / "ratings.csv").write_text("\n".join([header, *ordered[::-1]]))
    assert [note for note in rr.load(str(folder)).notes if "not in the order of time" in note]


def test_without_times_the_lists_are_shuffled(folder):
    text = re.sub(r",(time|2024.*)", "", RATINGS)
    (folder / "ratings.csv").write_text(text)
    data = rr.load(str(folder))
    assert not data.timed
    assert "No times are known" in " ".join(data.notes)
    assert (np.diff(data.item[:12]) < 0).any()  # in the file a user's items are in the order of their ids


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "ratings.csv",
            "rating,time",
            "stars,time",
            r"ratings.csv:1: column 'rating' is missing; found user_id, item_id, stars",
        ),
        ("ratings.csv", "u0,i3,4", "u0,i3,four", r"ratings.csv:5: rating 'four' is no number"),
        ("ratings.csv", "u0,i3,4", "u0,i3,nan", r"ratings.csv:5: rating 'nan' is no number"),
        (
            "ratings.csv",
            "u0,i3,4,2024-05-04",
            "u0,i3,4,",
            r"ratings.csv:5: time '' is missing; give all times, or none",
        ),
        ("ratings.csv", "2024-05-04", "May 4th", r"ratings.csv:5: time 'May 4th' is neither seconds nor an ISO date"),
        (
            "ratings.csv",
            RATINGS,
            "user_id,item_id,rating,time\nu0,i3,4,1e30\n",
            r"ratings.csv:2: time '1e30' is neither",
        ),
        ("ratings.csv", "u0,i3,4,2024-05-04", "u0,i3", r"ratings.csv:5: rating '' is no number"),
        ("ratings.csv", "u0,i3,4,2024-05-04", "u0,i3,4,2024-05-04,1", r"ratings.csv is no CSV table: .*line 5"),
        ("ratings.csv", "u0,i3", ",i3", r"ratings.csv:5: user_id is empty"),
        ("ratings.csv", RATINGS, "user_id,item_id,rating,time\n", r"ratings.csv holds no rating"),
        ("items.csv", ITEMS, "item_id,title\nother,Title\n", r"ratings.csv: no item_id is listed in items.csv"),
        ("items.csv", "i1,", "i0,", r"items.csv:3: item_id 'i0' is listed twice"),
        ("items.csv", "i1,Title 1", "i1,", r"items.csv:3: the title is empty"),
        ("items.csv", "item_id,title", "id,title", r"items.csv:1: column 'item_id' is missing"),
        ("dataset.toml", "", "like_abov = 3", r"dataset.toml: key 'like_abov' is unknown; it may have: scale"),
        ("dataset.toml", "", "scale = [5, 1]", r"scale is \[5, 1\]; its first number must be the lower"),
        ("dataset.toml", "", "scale = [1, 3]", r"rating 4 is off the scale 1 to 3"),
        (
            "dataset.toml",
            "",
            'beside_title = "year"',
            r"beside_title names 'year'; items.csv has item_id, title, genres",
        ),
        ("dataset.toml", "", "like_above =", r"dataset.toml is no TOML"),
        ("dataset.toml", "", "[words]\nitm = 'x'", r"\[words\] may have: item, items"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(folder, file, old, new, said):
    path = folder / file
    path.write_text(path.read_text().replace(old, new, 1) if path.exists() else new)
    with pytest.raises(rr.InputError, match=said):
        rr.load(str(folder))


def test_a_file_that_is_missing_or_no_text(folder):
    (folder / "items.csv").write_bytes(b"item_id,title\ni0,\xff\xfe\n")
    with pytest.raises(rr.InputError, match=r"items.csv is not UTF-8"):
        rr.load(str(folder))
    (folder / "items.csv").unlink()
    with pytest.raises(rr.InputError, match=r"items.csv is missing; it needs the columns item_id, title"):
        rr.load(str(folder))


def test_the_threshold_of_likes_is_an_option(folder):
    assert rr.load(str(folder), like_above=4).like_above == 4
    with pytest.raises(rr.InputError, match="takes no option 'folder'; it takes: like_above"):
        rr.load(str(folder), folder="other")


def test_a_folder_cannot_take_another_data_sets_name(folder):
    with pytest.raises(rr.InputError, match="has the name of another data set"):
        rr.load(str(folder.rename(folder.with_name("ml-1m"))))


def test_the_readmes_example(tmp_path, monkeypatch):
    """The files that the README shows, loaded and put through the fast part of the method."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own data")[1]
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    for name, block in re.findall(r"`data/raw/mine/([\w.]+)`[^\n]*\n\n```\w*\n(.*?)```", text, flags=re.S):
        (Path("mine") / name).write_text(block)
    data = rr.load("mine")
    assert {p.name for p in Path("mine").iterdir()} == {"ratings.csv", "items.csv", "users.csv", "dataset.toml"}
    assert data.words.item != "film"
    assert rr.plain(data)[0].startswith(f"The {data.words.item} is called ")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("words = 3", r"words is 3; it must be a table"),
        ("item_attributes = 5", "item_attributes is 5; it must be a list of columns"),
        ('item_attributes = "genres"', "it must be a list of columns"),
        ('beside_title = ["genres"]', "it must be a column"),
        ("like_above = nan", "like_above is nan; it must be a number"),
        ("like_above = true", "it must be a number"),
        ("scale = [1, inf]", r"it must be \[lowest, highest\]"),
        (f"like_above = {'9' * 400}", "it must be a number"),
        (f"like_above = {'9' * 5000}", "is no TOML"),
        (f"scale = {'[' * 5000}", "is no TOML"),
        (f"{'k' * 5000} = 1", "is unknown; it may have"),
    ],
)
def test_settings_of_another_kind(folder, line, says):
    (folder / "dataset.toml").write_text(line)
    with pytest.raises(rr.InputError, match=says) as caught:
        rr.load(str(folder))
    assert len(str(caught.value)) < 500
