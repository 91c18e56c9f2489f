"""MovieLens-25M and -32M and Amazon's categories of 2023, on small files of the official layout, dirt included."""

import gzip
import json
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.data import amazon, loading, movielens_csv
from rallrec.data import raw as raw_files
from rallrec.data.dataset import build
from rallrec.runs.place import Parameters
from rallrec.runs.plan import plan


@pytest.fixture
def raw(tmp_path, monkeypatch) -> Path:
    """An empty raw folder, the only one there is."""
    monkeypatch.setenv("RALLREC_RAW", str(tmp_path))
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    return tmp_path


# --- MovieLens-25M and -32M ---------------------------------------------------------------------------

MOVIES = [
    "1,Toy Story (1995),Adventure|Animation",
    '11,"American President, The (1995)",Comedy|Drama|Romance',
    '20,"He said ""No"", twice (2001)",(no genres listed)',
    "30,Nobody Saw It,Drama",
]
RATINGS = ["1,1,0.5,978300760", "1,11,4.0,978300000", "2,1,3.5,978300001", "2,20,5.0,978300009"]


def write_csv(raw, name="ml-32m", ratings=RATINGS, movies=MOVIES, loose=False):
    folder = raw / name
    folder.mkdir(exist_ok=True)
    files = {
        "ratings.csv": "\n".join(["userId,movieId,rating,timestamp", *ratings]) + "\n",
        "movies.csv": "\n".join(["movieId,title,genres", *movies]) + "\n",
        "tags.csv": "userId,movieId,tag,timestamp\n",
    }
    if loose:
        for file, text in files.items():
            (folder / file).write_text(text)
        return
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for file, text in files.items():
            z.writestr(f"{name}/{file}", text)


@pytest.mark.parametrize("name", ["ml-25m", "ml-32m"])
def test_movielens_in_csv(raw, name):
    write_csv(raw, name)
    data = rr.load(name)
    assert data.items.to_dict("records") == [
        dict(item_id=1, title="Toy Story", year="1995", genres="Adventure, Animation"),
        dict(item_id=11, title="The American President", year="1995", genres="Comedy, Drama, Romance"),
        dict(item_id=20, title='He said "No", twice', year="2001", genres=""),
    ]
    assert data.users.user_id.tolist() == [1, 2]
    assert data.items.item_id[data.item].tolist() == [11, 1, 1, 20]
    assert data.rating.tolist() == [4, 0.5, 3.5, 5]
    assert (data.name, data.scale, data.timed) == (name, (0.5, 5), True)
    assert data.liked.tolist() == [True, False, True, True]
    assert rr.load(name, like_above=3.5).liked.tolist() == [True, False, False, True]
    assert data.notes[0] == "1 of 4 listed films have no rating and are left out."
    assert f"that of GroupLens, {movielens_csv.N_RATINGS[name]:,}." in data.notes[1]


def many(*bad: str) -> list[str]:
    """Ratings of 30 users, two each, with rows put on line 3."""
    rows = [
        f"{u},{i},{(u + i) % 10 / 2 + 0.5},{100 * u + n}" for u in range(1, 31) for n, i in enumerate((u, u % 30 + 1))
    ]
    return [rows[0], *bad, *rows[1:]]


FILMS = [f'{i},"Film, The {i} (1960)",Drama' for i in range(1, 31)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,3,4.0", "'1,3,4.0' is not 4 numbers"),
        ("1,3,4.0,5,6", "'1,3,4.0,5,6' is not 4 numbers"),
        ("1,x,4.0,5", "'1,x,4.0,5' is not 4 numbers"),
        ("1,3,,5", "'1,3,,5' is not 4 numbers"),
        ("1,3,4.0,", "'1,3,4.0,' is not 4 numbers"),
        ("-1,3,4.0,5", "'-1,3,4.0,5' is not 4 numbers"),
        ("1234567890,3,4.0,5", "'1234567890,3,4.0,5' is not 4 numbers"),
        ("1,3,4.0.0,5", "'1,3,4.0.0,5' is not 4 numbers"),
        ("1,3,0.0,5", "rating '0.0' is not half a star to 5"),
        ("1,3,5.5,5", "rating '5.5' is not half a star to 5"),
        ("1,3,3.7,5", "rating '3.7' is not half a star to 5"),
        ("1,3,3.5,978300760000", "timestamp '978300760000' is no number of seconds"),
    ],
)
@pytest.mark.parametrize("block", [1 << 24, 40])
def test_a_rating_that_cannot_be_right_is_left_out(raw, monkeypatch, row, said, block):
    """However much of the file is looked at together."""
    monkeypatch.setattr(movielens_csv, "BLOCK", block)
    write_csv(raw, ratings=many(), movies=FILMS)
    whole = rr.load("ml-32m")
    assert (whole.n_users, whole.n_items, whole.n_ratings) == (30, 30, 60)
    write_csv(raw, ratings=many(row, ""), movies=FILMS)
    data = rr.load("ml-32m")
    assert data.hash == whole.hash
    assert f"1 of 61 rows of ratings.csv can't be right and are left out (line 3: {said})." in data.notes
    write_csv(raw, ratings=many(*[row] * 9), movies=FILMS)
    with pytest.raises(
        rr.InputError, match=r"ratings.csv:3: .* \(9 of 69 rows of ratings.csv can't be right; at most 5%"
    ):
        rr.load("ml-32m")


def test_ratings_that_files_do_not_agree_on_are_counted(raw):
    again = "5,5,0.5,99999"
    write_csv(raw, ratings=many("1,99,4.0,7", again), movies=[*FILMS[:6], *FILMS[7:], FILMS[3], "x,y", "31, ,Drama"])
    with pytest.raises(rr.InputError, match=r"movies.csv:32: 'x,y' has not 3 fields that begin with an id \(2 of 32"):
        rr.load("ml-32m")
    write_csv(raw, ratings=many("1,99,4.0,7", again), movies=[*FILMS[:6], *FILMS[7:], FILMS[3], "x,y"])
    data = rr.load("ml-32m")
    said = " ".join(data.notes)
    assert "3 ratings of films that movies.csv lacks are left out" in said  # of 99, and two of film 7
    assert "1 ratings of a pair that is rated again later are left out" in said
    assert data.rating[(data.users.user_id == 5).to_numpy()[data.user] & (data.item == 4)].tolist() == [0.5]
    assert "1 films are listed again: the first row stays" in said
    assert "1 of 31 rows of movies.csv can't be right and are left out (line 32: 'x,y' has not 3 fields" in said


@pytest.mark.parametrize("how", ["crlf", "bom", "blank", "loose", "no end", "shuffled", "whole numbers"])
def test_csv_files_as_people_save_them(raw, how):
    write_csv(raw, ratings=many(), movies=FILMS)
    whole = rr.load("ml-32m")
    (raw / "ml-32m" / "ml-32m.zip").unlink()
    rows = many()
    if how == "shuffled":
        rows = np.random.default_rng(0).permutation(rows).tolist()
    write_csv(raw, ratings=rows, movies=FILMS, loose=True)
    for name in ("ratings.csv", "movies.csv"):
        path = raw / "ml-32m" / name
        text = path.read_bytes()
        if how == "crlf":
            text = text.replace(b"\n", b"\r\n")
        elif how == "bom":
            text = b"\xef\xbb\xbf" + text
        elif how == "blank":
            text = text + b"\n\n"
        elif how == "no end":
            text = text.rstrip(b"\n")
        elif how == "whole numbers" and name == "ratings.csv":
            text = text.replace(b".0,", b",")
        path.write_bytes(text)
    assert rr.load("ml-32m").hash == whole.hash


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "ratings.csv",
            "1::10::5::978300760\n",
            "ratings.csv:1: the header is '1::10::5::978300760', not userId,movieId,rat",
        ),
        (
            "ratings.csv",
            "",
            "ratings.csv:1: the header is '', not userId,movieId,rating,timestamp; fetch ml-32m.zip from https",
        ),
        (
            "movies.csv",
            "movieId;title;genres\n",
            "movies.csv:1: the header is 'movieId;title;genres', not movieId,title,g",
        ),
        ("ratings.csv", "userId,movieId,rating,timestamp\n", "ratings.csv together with movies.csv leaves no rating"),
    ],
)
def test_a_csv_file_of_another_layout_is_refused(raw, name, content, said):
    write_csv(raw, loose=True)
    (raw / "ml-32m" / name).write_text(content)
    with pytest.raises(rr.InputError, match=said):
        rr.load("ml-32m")


def test_a_damaged_archive_is_told_where_it_breaks(raw):
    write_csv(raw, ratings=[f"{u},{i},3.0,{u * i}" for u in range(1, 300) for i in (1, 11, 20)])
    path = raw / "ml-32m" / "ml-32m.zip"
    content = bytearray(path.read_bytes())
    content[content.index(b"ratings.csv") + 400] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(
        rr.InputError, match=r"ml-32m.zip is truncated or altered .*; delete it .* fetch ml-32m.zip from"
    ):
        rr.load("ml-32m")


def test_a_file_that_is_lacking_is_named_with_its_place(raw, monkeypatch):
    monkeypatch.setattr(raw_files.urllib.request, "urlopen", _offline)
    with pytest.raises(rr.InputError) as e:
        rr.load("ml-25m")
    assert "ml-25m.zip could not be fetched (no network)" in str(e.value)
    assert (
        f"fetch https://files.grouplens.org/datasets/movielens/ml-25m.zip and place it at {raw}/data/raw/ml-25m"
        in str(e.value)
    )
    with pytest.raises(rr.InputError) as e:
        rr.load("amazon-2023/Gift_Cards")
    assert (
        f"review_categories/Gift_Cards.jsonl.gz and place it at {raw}/data/raw/amazon-2023/Gift_Cards.jsonl.gz"
        in str(e.value)
    )


def _offline(*_, **__):
    raise raw_files.urllib.error.URLError("no network")


def test_memory_grows_with_the_ratings_that_stay(raw, monkeypatch):
    """Ratings of films that are not listed cost none: of 6 MB of text a small part is held at a time."""
    monkeypatch.setattr(movielens_csv, "BLOCK", 1 << 16)
    unlisted = [f"{u},{7_000_000 + u % 977},3.5,{1_000_000_000 + u}" for u in range(200_000)]
    write_csv(raw, ratings=RATINGS + unlisted)
    tracemalloc.start()
    try:
        data = rr.load("ml-32m")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data.n_ratings == 4
    assert peak < 2.5e6


# --- Amazon 2023 -----------------------------------------------------------------------------------------


def amazon_lines(n: int = 8) -> tuple[list[dict], list[dict]]:
    """As many users who rate as many items each; one more item has no title, another no line."""
    meta = [
        {
            "main_category": "Books",
            "title": f"The &quot;Book&quot; {i}",
            "average_rating": 4.0,
            "store": f"Author {i % 3} (Author)" if i else None,
            "categories": ["Books", "Fiction", "Poetry", "Ancient"][: i % 5],
            "parent_asin": f"B{i:02}",
        }
        for i in range(n)
    ]
    meta.append(meta[0] | {"title": "", "parent_asin": "B90"})
    reviews = [
        {
            "rating": 1.0 + (u + i) % 5,
            "title": "I <br /> liked it",
            "text": "fine",
            "asin": "another edition",
            "parent_asin": f"B{i:02}",
            "user_id": f"AU{u:02}",
            "timestamp": 1_588_687_728_923 + u * 10**8 + i * 1000,
            "verified_purchase": True,
        }
        for u in range(n)
        for i in [*range(n), 90, 91]
    ]
    return reviews, meta


def write_amazon(raw, category="Books", reviews=None, meta=None, packed=True, folder="amazon-2023"):
    (raw / folder).mkdir(parents=True, exist_ok=True)
    for name, lines, default in zip((category, f"meta_{category}"), (reviews, meta), amazon_lines(), strict=True):
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines or default).encode()
        path = raw / folder / f"{name}.jsonl{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text) if packed else text)


def test_a_category_of_amazon(raw):
    write_amazon(raw)
    data = rr.load("amazon-2023/Books")
    assert (data.name, data.n_users, data.n_items, data.n_ratings) == ("amazon-2023-Books", 8, 8, 64)
    assert data.items.title[0] == 'The "Book" 0'
    assert data.items.category.tolist() == ["", "Books", "Fiction", "Poetry", "Poetry", "", "Books", "Fiction"]
    assert data.items.store.tolist() == ["", *(f"Author {i % 3} (Author)" for i in range(1, 8))]
    assert data.users.user_id.tolist() == [f"AU{u:02}" for u in range(8)]
    assert data.time[0] == 1_588_687_728
    assert (data.words.items, data.words.consumed, data.category) == ("books", "read", ("category", None))
    assert "16 ratings of items without a title are left out." in data.notes
    assert rr.load("amazon-2023-Books").hash == data.hash  # as its outputs are called
    for path in (raw / "amazon-2023").iterdir():
        path.unlink()
    write_amazon(raw, packed=False, folder="amazon-2023/Books")
    assert rr.load("amazon-2023/Books").hash == data.hash


def test_a_category_is_filtered_as_the_paper_does_and_as_amazon_movies_is(raw):
    reviews, meta = amazon_lines()
    few = [r for r in reviews if not (r["user_id"] == "AU00" and r["parent_asin"] > "B03")]  # 4 of user 0 stay
    few = [r for r in few if r["parent_asin"] != "B02" or r["user_id"] > "AU03"]  # 4 of item 2
    write_amazon(raw, reviews=few)
    data = rr.load("amazon-2023/Books")
    assert (data.n_users, data.n_items) == (7, 7)
    assert rr.load("amazon-2023/Books", user_ratings=(1, None), item_ratings=(1, None)).n_ratings == 64 - 4 - 4
    assert rr.load("amazon-2023/Books", most_rated=3).n_items == 3
    write_amazon(raw, "Movies_and_TV", meta=[m | {"categories": ["a", "b", "c"]} for m in meta])
    wide = dict(n_categories=3, user_ratings=(2, 200), item_ratings=(2, 200), most_rated=4)
    one = rr.load("amazon-2023/Movies_and_TV", **wide)
    (raw / "amazon-2023").rename(raw / "amazon-movies")
    other = rr.load("amazon-movies", **wide)
    same = ("user", "item", "rating", "time")
    assert all((getattr(one, field) == getattr(other, field)).all() for field in same)
    assert one.items.title.tolist() == other.items.title.tolist()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{broken", "no JSON object: '{broken'"),
        ({"rating": 6.0}, "rating 6.0 is no number from 1 to 5"),
        ({"user_id": ""}, "the review names no user"),
        ({"parent_asin": None, "asin": None}, "the review names no item"),
        ({"timestamp": -1}, "time -1 is no number of seconds or milliseconds"),
    ],
)
def test_a_review_that_cannot_be_right_is_left_out(raw, line, said):
    reviews, _ = amazon_lines()
    write_amazon(raw)
    whole = rr.load("amazon-2023/Books")
    line = line if isinstance(line, str) else reviews[0] | line
    again = reviews[1] | {"rating": 3.0, "timestamp": 1}  # earlier, so the other stays
    write_amazon(raw, reviews=[reviews[0], "", line, again, *reviews[1:]])
    data = rr.load("amazon-2023/Books")
    assert data.hash == whole.hash
    assert f"1 of 82 lines of Books.jsonl.gz can't be right and are left out (line 3: {said})." in data.notes
    assert "1 ratings that the same user later gave anew to the same title are left out." in data.notes
    write_amazon(raw, reviews=[*reviews[:2], *[line] * 9, *reviews[2:]])
    with pytest.raises(rr.InputError, match=r"Books.jsonl.gz:3: .* \(9 of 89 lines of Books.jsonl.gz can't be right"):
        rr.load("amazon-2023/Books")


def test_amazons_files_that_cannot_be_read_are_told(raw):
    write_amazon(raw)
    path = raw / "amazon-2023" / "Books.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(rr.InputError, match=r"Books.jsonl.gz is truncated or altered"):
        rr.load("amazon-2023/Books")
    write_amazon(raw, meta=[{"parent_asin": "B00", "title": ""}])
    with pytest.raises(rr.InputError, match=r"meta_Books.jsonl.gz: no item has a title"):
        rr.load("amazon-2023/Books")
    write_amazon(raw)
    with pytest.raises(rr.InputError, match=r"amazon-2023-Books: user_ratings=\(9, None\) leaves no rating"):
        rr.load("amazon-2023/Books", user_ratings=(9, None))
    with pytest.raises(
        rr.InputError, match=r"takes no option 'min_ratings'; it takes: n_categories, user_ratings, item_r"
    ):
        rr.load("amazon-2023/Books", min_ratings=9)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("amazon-2023/Book", "amazon-2023 has no category 'Book'; did you mean amazon-2023/Books"),
        ("amazon-2023/movies and tv", "no category 'movies and tv'; did you mean amazon-2023/Movies_and_TV"),
        ("amazon-2023-CDs", "no category 'CDs'"),
        ("amazon-2023/xyz", "no category 'xyz'; docs/data_sets.md lists its 34"),
        ("amazon-2023", "amazon-2023 is to be named with a category, such as amazon-2023/Books"),
        ("amazon-2022", "must be one of: ml-100k, ml-1m, ml-25m, ml-32m, .* tiny, amazon-2023/CATEGORY, or a folder"),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_is_near(raw, name, said):
    write_amazon(raw)  # its folder is no data set of one's own
    with pytest.raises(rr.InputError, match=said):
        rr.load(name)


def test_there_are_34_categories():
    assert len(set(amazon.CATEGORIES)) == len(amazon.CATEGORIES) == 34
    page = (rr.infra.files.ROOT / "docs" / "data_sets.md").read_text()
    assert [name for name in amazon.CATEGORIES if f"`{name}`" not in page] == []


def test_a_name_with_a_slash_is_one_folder(raw, monkeypatch):
    """From the name to the study, its place and its plan."""
    write_amazon(raw)
    assert loading.name_of("amazon-2023/Books") == "amazon-2023-Books"
    assert loading.is_local("amazon-2023/Books")
    assert not loading.is_local("amazon-2023/Gift_Cards")
    of = Parameters("amazon-2023/Books", llm="tiny-random", profile="smoke", seed=3)
    assert of == replace(of, dataset="amazon-2023-Books")
    assert of.place() == "amazon-2023-Books+tiny-random+smoke+seed3"
    assert "/" not in of.place()
    said = plan([of])
    assert "amazon-2023-Books+tiny-random+smoke+seed3/01_descriptions" in said
    study = rr.Study.of("amazon-2023/Books", "tiny-random", "smoke")
    assert study.split.data.name == "amazon-2023-Books"
    assert 0 <= study.auc(rr.Choice(selector="recent")) <= 1
    own = raw / "Amazon-2023-books"
    own.mkdir()
    (own / "ratings.csv").write_text("user_id,item_id,rating,time\n")
    (own / "items.csv").write_text("item_id,title\n")
    with pytest.raises(rr.InputError, match="has the name of another data set; rename the folder"):
        rr.load(str(own))


# --- the order of ratings --------------------------------------------------------------------------------


@pytest.mark.parametrize("sorted_file", [True, False])
@pytest.mark.parametrize("times", ["few", "wide", "fractions"])
def test_ratings_are_in_order_of_user_time_and_item_however_they_come(sorted_file, times):
    rng = np.random.default_rng(0)
    pairs = rng.permutation(40 * 30)[:600]
    if sorted_file:
        pairs = np.sort(pairs)
    table = pd.DataFrame({"user_id": pairs // 30 + 5, "item_id": pairs % 30 + 7})
    table["rating"] = rng.integers(1, 6, 600)
    table["time"] = rng.integers(-3, 4, 600) * (2**61 if times == "wide" else 1)
    if times == "fractions":
        table["microsecond"] = rng.integers(0, 3, 600)
    items = pd.DataFrame({"item_id": np.arange(7, 37), "title": "t"})
    data = build("d", table, items, pd.DataFrame({"user_id": np.arange(5, 45)}))
    by = ["user_id", "time", *(["microsecond"] if times == "fractions" else []), "item_id"]
    expected = table.sort_values(by)
    assert (data.user + 5).tolist() == expected["user_id"].tolist()
    assert (data.item + 7).tolist() == expected["item_id"].tolist()
    assert data.time.tolist() == expected["time"].tolist()
    assert data.rating.tolist() == expected["rating"].tolist()
    assert data.by_time[data.rank].tolist() != data.rank.tolist()
    assert (data.rank[data.by_time] == np.arange(600)).all()
    assert (np.lexsort((np.arange(600), data.time)) == data.by_time).all()
