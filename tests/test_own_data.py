"""A folder of one's own: the guide's example, and what is refused or mended."""

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
    assert "These ratings have no timestamps" in " ".join(data.notes)
    assert (np.diff(data.item[:12]) < 0).any()  # in the file a user's items are in the order of their ids


FEW = [  # rows that can't be right: a few are left out, and so is none of many
    ("u0,i3,4,", "u0,i3,four,", "rating 'four' is no number"),
    ("u0,i3,4,", "u0,i3,nan,", "rating 'nan' is no number"),
    ("u0,i3,4,", "u0,i3,inf,", "rating 'inf' is no number"),
    ("u0,i3,4,", "u0,i3,,", "rating '' is no number"),
    ("u0,i3,4,2024-05-04", "u0,i3,4,", "time is missing"),
    ("u0,i3,4,2024-05-04", "u0,i3,4", "time is missing"),
    ("2024-05-04", "May 4th", "time 'May 4th' is no time"),
    ("2024-05-04", "2204-05-04", "time '2204-05-04' is no time"),
    ("u0,i3", ",i3", "user_id is empty"),
    ("u0,i3", " \u200b,i3", "user_id is empty"),
    ("u0,i3", "u0,NaN", "item_id is empty"),
]


@pytest.mark.parametrize(("old", "new", "said"), FEW)
def test_few_ratings_that_cannot_be_right_are_left_out(folder, old, new, said):
    (folder / "ratings.csv").write_text(RATINGS.replace(old, new, 1))
    data = rr.load(str(folder))
    assert data.n_ratings == 47
    assert f"1 of 48 rows of ratings.csv can't be right and are left out (line 5: {said}" in " ".join(data.notes)


@pytest.mark.parametrize(("old", "new", "said"), FEW)
def test_many_are_refused(folder, old, new, said):
    short = "\n".join(RATINGS.splitlines()[:12])
    (folder / "ratings.csv").write_text(short.replace(old, new, 1))
    with pytest.raises(rr.InputError, match=rf"ratings.csv:5: {re.escape(said)}"):
        rr.load(str(folder))


def test_ratings_off_a_scale_that_is_set(folder):
    (folder / "ratings.csv").write_text(RATINGS.replace("u0,i3,4", "u0,i3,99", 1))
    (folder / "dataset.toml").write_text("scale = [1, 5]")
    data = rr.load(str(folder))
    assert (data.n_ratings, data.scale) == (47, (1, 5))
    assert "line 5: rating 99 is off the scale 1 to 5" in " ".join(data.notes)


@pytest.mark.parametrize(
    ("code", "others", "scale"),
    [("99", "1 to 5", "[1, 99]"), ("-1", "1 to 5", "[-1, 5]"), ("-99", "1 to 5", "[-99, 5]")],
)
def test_a_code_for_no_rating_is_none(folder, code, others, scale):
    (folder / "ratings.csv").write_text(RATINGS.replace(",4,", f",{code},"))
    said = rf"ratings.csv:5: rating {code} beside others from {others} may be a code for none; .* set scale = "
    with pytest.raises(rr.InputError, match=said + re.escape(scale)):
        rr.load(str(folder))
    (folder / "dataset.toml").write_text(f"scale = {scale}")
    assert rr.load(str(folder)).n_ratings == 48


@pytest.mark.parametrize(
    "values", ["-1 0 1", "-1 1", "-2 -1 0 1 2", "0 1", "-10 -5 0 5 10", "1 2 3 4 10", "0 25 50 75 100"]
)
def test_scales_without_a_code(folder, values):
    values, lines = values.split(), RATINGS.splitlines()
    rows = [re.sub(r",\d,", f",{values[n % len(values)]},", line) for n, line in enumerate(lines[1:])]
    (folder / "ratings.csv").write_text("\n".join([lines[0], *rows]))
    data = rr.load(str(folder))
    assert sorted(set(data.rating)) == sorted(map(float, values))
    assert data.scale == (float(values[0]), float(values[-1]))
    assert "stands for none" not in " ".join(data.notes)


def test_many_ratings_of_zero_are_told(folder):
    (folder / "ratings.csv").write_text(RATINGS.replace(",4,", ",0,").replace(",1,", ",0,"))
    assert "40% of ratings are 0, which here is the lowest rating; if it stands" in " ".join(rr.load(str(folder)).notes)
    (folder / "dataset.toml").write_text("scale = [0, 5]")
    assert "stands for none" not in " ".join(rr.load(str(folder)).notes)


def test_a_threshold_that_nearly_all_ratings_miss_is_told(folder):
    (folder / "ratings.csv").write_text(
        RATINGS.replace(",4,", ",1,").replace("u0,i4,5", "u0,i4,8").replace(",5,", ",3,")
    )
    assert "above the middle of the scale, 4.5, are likes, 2.1% of all; set like_above" in " ".join(
        rr.load(str(folder)).notes
    )


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("TRUE", "FALSE"), ("true", " false")])
def test_ratings_that_are_true_or_false(folder, yes, no):
    lines = RATINGS.splitlines()
    rows = [re.sub(r",(\d),", lambda m: f",{yes if int(m[1]) > 3 else no},", line) for line in lines[1:]]
    (folder / "ratings.csv").write_text("\n".join([lines[0], *rows]))
    data = rr.load(str(folder))
    assert (data.scale, data.like_above, data.liked.sum()) == ((0, 1), 0.5, 19)
    assert "ratings are True or False and are read as 1 and 0" in " ".join(data.notes)


@pytest.mark.parametrize("rating", ["1,234", "12,345,678", "1,234.5"])
def test_a_comma_between_thousands_is_no_decimal_comma(folder, rating):
    (folder / "ratings.csv").write_text(RATINGS.replace("u0,i3,4,", f'u0,i3,"{rating}",'))
    with pytest.raises(
        rr.InputError, match=rf"ratings.csv:5: rating '{rating}' may have a decimal comma or one between"
    ):
        rr.load(str(folder))


@pytest.mark.parametrize("name", ["dataset.toml.txt", "Dataset.toml", "settings.toml"])
def test_settings_under_another_name_are_not_ignored(folder, name):
    (folder / name).write_text("scale = [0, 10]")
    with pytest.raises(rr.InputError, match=rf"{name} is not read; settings are in a file dataset.toml: rename it"):
        rr.load(str(folder))


def test_a_column_named_twice_is_shown_once(folder):
    (folder / "dataset.toml").write_text('item_attributes = ["genres", "genres"]')
    assert rr.load(str(folder)).item_attributes == ("genres",)


def test_few_items_without_a_title_are_left_out(folder):
    (folder / "items.csv").write_text(ITEMS + "".join(f"j{k},Title,\n" for k in range(40)))
    n_items = rr.load(str(folder)).n_items
    (folder / "items.csv").write_text((folder / "items.csv").read_text().replace("i3,Title 3,", "i3,\u200b,"))
    data = rr.load(str(folder))
    assert (data.n_items, data.n_ratings) == (n_items - 1, 44)
    assert "line 5: the title is empty" in " ".join(data.notes)
    assert "4 ratings of items that items.csv lacks" in " ".join(data.notes)


def test_ratings_that_are_all_equal_are_refused(folder):
    (folder / "ratings.csv").write_text(re.sub(r"(i\d+),\d", r"\1,5", RATINGS))
    with pytest.raises(rr.InputError, match=r"ratings.csv: every rating is 5, so none can be a like"):
        rr.load(str(folder))
    (folder / "dataset.toml").write_text("scale = [1, 5]")
    assert "Every rating is a like" in " ".join(rr.load(str(folder)).notes)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "ratings.csv",
            "rating,time",
            "verdict,time",
            r"ratings.csv:1: column 'rating' is missing in the first line; found user_id, item_id, verdict, time",
        ),
        (
            "ratings.csv",
            RATINGS,
            "user_id,item_id,rating,time\nu0,i3,4,1e30\n",
            r"ratings.csv:2: time '1e30' is no time; tried: seconds, milliseconds",
        ),
        ("ratings.csv", "u0,i3,4,2024-05-04", "u0,i3,4,2024-05-04,1", r"ratings.csv:5: 5 fields where .* has 4"),
        ("ratings.csv", RATINGS, "user_id,item_id,rating,time\n", r"ratings.csv holds no rating"),
        ("ratings.csv", RATINGS, "", r"ratings.csv is no CSV table: it is empty"),
        ("items.csv", ITEMS, "item_id,title\nother,Title\n", r"ratings.csv: no item_id is listed in items.csv"),
        ("items.csv", "i1,", "i0,", r"items.csv:3: item_id 'i0' is listed twice \(lines 2 and 3\)"),
        ("items.csv", "i1,Title 1", "i1,", r"items.csv:3: the title is empty"),
        ("items.csv", "item_id,title", "key,title", r"items.csv:1: column 'item_id' is missing in the first line"),
        ("dataset.toml", "", "like_abov = 3", r"dataset.toml: key 'like_abov' is unknown; it may have: scale"),
        ("dataset.toml", "", "scale = [5, 1]", r"scale is \[5, 1\]; its first number must be the lower"),
        ("dataset.toml", "", "scale = [1, 3]", r"ratings.csv:5: rating 4 is off the scale 1 to 3 \(19 of 48 rows"),
        ("dataset.toml", "", "like_above = 5", r"like_above is 5; it must be a number from 1 to less than 5"),
        ("dataset.toml", "", "like_above = 0", r"like_above is 0; it must be a number from 1 to less than 5"),
        ("dataset.toml", "", "scale = [0, 10]\nlike_above = 30", r"like_above is 30; it must be a number from 0 to"),
        (
            "dataset.toml",
            "",
            'beside_title = "year"',
            r"beside_title names 'year'; items.csv has item_id, title, genres",
        ),
        ("dataset.toml", "", 'category = "kind"', r"category names 'kind'; items.csv has item_id, title, genres"),
        ("dataset.toml", "", 'user_attributes = ["age"]', r"user_attributes names 'age'; users.csv has user_id"),
        ("dataset.toml", "", 'category = ""\ncategory_separator = "|"', "category_separator is set, but no category"),
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
    assert rr.load(str(folder), like_above=4).hash == rr.load(str(folder), like_above=4.0).hash
    with pytest.raises(rr.InputError, match="like_above is 7; it must be a number from 1 to less than 5"):
        rr.load(str(folder), like_above=7)
    with pytest.raises(rr.InputError, match="takes no option 'folder'; it takes: like_above"):
        rr.load(str(folder), folder="other")


@pytest.mark.parametrize("name", ["ml-1m", "ML-1M", "Tiny"])
def test_a_folder_cannot_take_another_data_sets_name(folder, name):
    with pytest.raises(rr.InputError, match="has the name of another data set"):
        rr.load(str(folder.rename(folder.with_name(name))))


@pytest.mark.parametrize("name", ["-x", "a:b", "a+b", "a*", ".hidden", "dot.", "new\nline", "a'b"])
def test_a_folder_whose_name_is_none_for_files(folder, name):
    with pytest.raises(rr.InputError, match="is no name for them; rename it to letters, digits, blanks and"):
        rr.load(str(folder.rename(folder.with_name(name))))


@pytest.mark.parametrize("name", ["my records", "records-2024", "Платинки", "v1.2"])
def test_other_names_are_kept(folder, name):
    folder = folder.rename(folder.with_name(name))
    assert rr.load(f"{folder}/").name == name
    assert rr.data.loading.name_of(f"{folder}/") == name


def test_a_path_with_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert rr.load("~/records").name == "records"


def test_a_path_that_is_no_folder_of_a_data_set(folder):
    with pytest.raises(rr.InputError, match=r"ratings.csv', a file; name its folder, '.*records'"):
        rr.load(str(folder / "ratings.csv"))
    (folder / "ratings.csv").rename(folder / "others.csv")
    with pytest.raises(rr.InputError, match=r"records has no ratings.csv; it holds items.csv, others.csv"):
        rr.load(str(folder))


def test_the_guides_example(tmp_path, monkeypatch):
    """The files that docs/own_data.md shows, loaded and put through the fast part of the method."""
    text = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
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
        ('category_separator = ""', "it must be a text"),
        ("[words]\nitem = 5", r"[words] item is 5; it must be a text"),
        ("[words]\nitem = ['film']", r"it must be a text"),
        ("[words]\nitems = ' '", r"[words] items is ' '; it must be a text"),
        ("like_above = nan", "like_above is nan; it must be a number"),
        ("like_above = true", "it must be a number"),
        ("scale = [1, inf]", "it must be [lowest, highest]"),
        (f"like_above = {'9' * 400}", "it must be a number"),
        (f"like_above = {'9' * 5000}", "is no TOML"),
        (f"scale = {'[' * 5000}", "is no TOML"),
        (f"{'k' * 5000} = 1", "is unknown; it may have"),
    ],
)
def test_settings_of_another_kind(folder, line, says):
    (folder / "dataset.toml").write_text(line)
    with pytest.raises(rr.InputError, match=re.escape(says)) as caught:
        rr.load(str(folder))
    assert len(str(caught.value)) < 500
