"""A folder of one's own with the files and columns of others: MovieLens, RecBole, Amazon, Goodreads …"""

import re
from pathlib import Path

import pytest

import rallrec as rr
from rallrec.data import columns
from rallrec.data.dataset import Dataset
from rallrec.data.movielens import ML100K_FILES
from rallrec.data.own import own_data
from rallrec.evaluation.text_quality import categories
from rallrec.infra.downloads import fetch

from .test_own_data import ITEMS, RATINGS

HEAD = "user_id,item_id,rating,time"


def read(tmp_path: Path, **files: str | bytes | None) -> Dataset:
    """The data set of a folder with the usual files, some of them others: ``ratings_csv="…"``; None is no file."""
    folder = tmp_path / "records"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ({"ratings_csv": RATINGS, "items_csv": ITEMS} | files).items():
        path = folder / ".".join(name.rsplit("_", 1))
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return own_data(folder)


def said(data) -> str:
    return "\n".join(data.notes)


@pytest.mark.parametrize(
    "head",
    [
        "userId,movieId,rating,timestamp",
        "reviewerID,asin,overall,unixReviewTime",
        "user_id,parent_asin,rating,timestamp",
        "User-ID,ISBN,Book-Rating,Date",
        "USER ID,Item ID,RATING,TIME",
        "uid,iid,score,ts",
        "user,item,stars,date",
        "user_id,book_id,rating,rated_at",
        "steamid,appid,Score,reviewTime",
        "customer_id,product_id,star_rating,review_date",
        "UserId,ProductId,Score,Time",
        "username,anime_id,my_rating,created_at",
        "user_id,business_id,stars,date",
        "userID,itemID,rating,When",
        "user_id,anime_id,my_score,date",
        "reader-id,isbn,ratings,timestamps",
    ],
)
def test_usual_spellings_of_columns(tmp_path, head):
    documented = read(tmp_path / "documented")
    items = ITEMS.replace("item_id", head.split(",")[1])
    spelt = read(tmp_path, ratings_csv=RATINGS.replace(HEAD, head), items_csv=items)
    assert spelt.hash == documented.hash
    assert spelt.timed
    for name, what in zip(head.split(","), HEAD.split(","), strict=True):
        assert (f"{name} is read as {what}" in said(spelt)) == (name != what)
    assert "is read as" not in said(documented)


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ("user_id,item_id,rating,time,timestamp", "columns 'time' and 'timestamp' could each be the time"),
        ("user_id,item_id,rating,date,ts", "columns 'date' and 'ts' could each be the time"),
        ("user_id,item_id,rating,time,score", "columns 'rating' and 'score' could each be the rating"),
        ("user_id,item_id,Rating,time,rating", "columns 'Rating' and 'rating' could each be the rating"),
        ("user_id,movieId,rating,time,asin", "columns 'movieId' and 'asin' could each be the item_id"),
        ("userId,item_id,rating,time,uid", "columns 'userId' and 'uid' could each be the user_id"),
        ("user_id,item_id,rating,time,time", "column 'time' is there twice"),
    ],
)
def test_two_columns_for_one_thing_are_refused(tmp_path, names, error):
    ratings = "\n".join([names, *(f"{line},3" for line in RATINGS.splitlines()[1:])])
    with pytest.raises(rr.InputError, match=rf"ratings.csv:1: {error}"):
        read(tmp_path, ratings_csv=ratings)


def test_a_likelier_name_is_taken_and_the_other_named(tmp_path):
    ratings = "\n".join([f"{HEAD},user,comment", *(f"{line},Ann,fine" for line in RATINGS.splitlines()[1:])])
    data = read(tmp_path, ratings_csv=ratings)
    assert data.users.user_id.tolist() == ["u0", "u1", "u2", "u3"]
    assert "ratings.csv: not used: user, comment." in said(data)


@pytest.mark.parametrize("cell", ["2024-05-04", "1714521600", "1714521600000", "17/05/2024", "20240517093000"])
def test_times_under_any_other_name_are_not_ignored(tmp_path, cell):
    ratings = "user_id,item_id,rating,zeit\n" + re.sub(r"2024-\S+", cell, RATINGS).split("\n", 1)[1]
    with pytest.raises(rr.InputError, match=r"ratings.csv:1: column 'zeit' looks like times; call it time, or remove"):
        read(tmp_path, ratings_csv=ratings)


@pytest.mark.parametrize("cell", ["12", "", "fine", "0.5", "10115"])
def test_other_columns_are_no_times(tmp_path, cell):
    ratings = "user_id,item_id,rating,helpful\n" + re.sub(r"2024-\S+", cell, RATINGS).split("\n", 1)[1]
    data = read(tmp_path, ratings_csv=ratings)
    assert not data.timed
    assert "not used: helpful" in said(data)


def test_what_is_called_like_a_time_and_is_none(tmp_path):
    ratings = "user_id,item_id,rating,play_time\n" + re.sub(r"2024-\S+", "12", RATINGS).split("\n", 1)[1]
    with pytest.raises(rr.InputError, match="column 'play_time' is called like a time, but its values are none"):
        read(tmp_path, ratings_csv=ratings)


MOVIES = (
    "movieId,title,genres\n1,Toy Story (1995),Adventure|Animation\n"
    '2,"Matrix, The (1999)",Action|Sci-Fi\n10,Untitled,(no genres listed)\n'
)
MOVIE_RATINGS = "userId,movieId,rating,timestamp\n" + "".join(
    f"{u},{m},{(u + n) % 5 + 0.5},{1112486027 + 10 * n - u}\n" for u in (2, 9, 10) for n, m in enumerate((10, 2, 1))
)


def test_movielens_as_it_is_downloaded(tmp_path):
    others = dict(
        links_csv="movieId,imdbId,tmdbId\n1,0114709,862\n", tags_csv="userId,movieId,tag,timestamp\n1,1,a,1\n"
    )
    data = read(tmp_path, ratings_csv=MOVIE_RATINGS, items_csv=None, movies_csv=MOVIES, **others)
    assert data.users.user_id.tolist() == [2, 9, 10]  # by value
    assert data.items.item_id.tolist() == [1, 2, 10]
    assert data.items.title.tolist() == ["Toy Story", "The Matrix", "Untitled"]
    assert data.items.year.tolist() == ["1995", "1999", ""]
    assert data.items.genres.tolist() == ["Adventure, Animation", "Action, Sci-Fi", ""]
    assert (data.category, data.beside_title, data.item_attributes) == (("genres", ", "), "year", ("year", "genres"))
    assert data.items.item_id[data.item[:3]].tolist() == [10, 2, 1]  # by time
    assert (data.timed, data.time[0], data.rating[0]) == (True, 1112486025, 2.5)
    for what in ("movies.csv is read as items.csv", "Not used: links.csv, tags.csv", "'Matrix, The' is 'The Matrix'"):
        assert what in said(data)
    assert "split at '|'" in said(data)


def test_only_movielens_is_taken_for_movielens(tmp_path):
    data = read(tmp_path, items_csv=ITEMS.replace("Title 1,", '"Matrix, The (1999)",'))
    assert "Matrix, The (1999)" in data.items.title.tolist()


def test_movielens_100k_in_recboles_files(tmp_path, real_data):
    files = {f"ml-100k_{kind}": fetch(file, "ml-100k").read_bytes() for kind, file in ML100K_FILES.items()}
    own, built_in = read(tmp_path, ratings_csv=None, items_csv=None, **files), rr.load("ml-100k")
    assert (own.n_ratings, own.n_users, own.n_items, own.timed) == (100_000, 943, 1682, True)
    for field in ("user", "item", "time", "rating"):
        assert (getattr(own, field) == getattr(built_in, field)).all()
    assert (own.items.title == built_in.items.title).all()
    assert (own.items["class"].replace("unknown", "") == built_in.items.genres).all()
    assert (own.category, own.beside_title) == (("class", ", "), "release_year")


def test_atomic_files_are_mended_like_others(tmp_path):
    inter = RATINGS.replace("user_id,item_id,rating,time", "user_id:token,item_id:token,rating:float,timestamp:float")
    inter = re.sub(r"2024-05-(..)", r"17145\g<1>000000", inter).replace("u0,i3,4", "u0,i3,x").replace("u0,i4", " u0,i4")
    item = ITEMS.replace("item_id,title,genres", "item_id:token,title:token_seq,genre:token_seq")
    files = dict(d_inter=inter.replace(",", "\t"), d_item=item.replace("Jazz", "Jazz Pop").replace(",", "\t"))
    data = read(tmp_path, ratings_csv=None, items_csv=None, **files)
    kinds = {}
    for n, cell in enumerate(("Restaurants, Bars & Pubs", "'Restaurants', 'Bars & Pubs'")):
        other = files | dict(d_item=item.replace(",", "\t").replace("Jazz", cell).replace("Rock", "'Bars & Pubs'"))
        kinds[n] = read(tmp_path / str(n), ratings_csv=None, items_csv=None, **other).items.genre[1]
    assert set(kinds.values()) == {"Restaurants, Bars & Pubs"}
    assert (data.n_ratings, data.n_users, data.time[0]) == (47, 4, 1714501000)
    assert data.items.genre[1] == "Jazz, Pop"
    assert "1 of 48 rows of d.inter can't be right and are left out (line 5: rating 'x' is no number)" in said(data)
    assert "times are read as milliseconds since 1970" in said(data)
    assert "d.inter: blanks or invisible characters in 1 user_ids are mended (the first: line 6, u0)" in said(data)


def test_atomic_files_and_csv_at_once(tmp_path):
    with pytest.raises(rr.InputError, match=r"has ratings both as CSV and as an .inter file; keep one"):
        read(tmp_path, x_inter="user_id:token\titem_id:token\trating:float\n1\t2\t3\n")


@pytest.mark.parametrize("name", ["movies", "Books", "BX_Books", "products", "games"])
def test_names_of_files(tmp_path, name):
    data = read(tmp_path, items_csv=None, **{f"{name}_csv": ITEMS})
    assert data.n_items == 12
    assert f"{name}.csv is read as items.csv." in data.notes
    with pytest.raises(rr.InputError, match=r"could each be items.csv; keep one"):
        read(tmp_path, items_csv=ITEMS)


def test_the_id_of_an_item_is_spelt_as_in_the_ratings(tmp_path):
    """Goodbooks has book_id, goodreads_book_id and isbn; its ratings use the first."""
    lines = [f"{k + 100},i{k},{k},Title {k},A {k}" for k in range(12)]
    items = "\n".join(["isbn,book_id,goodreads_book_id,title,authors", *lines])
    data = read(tmp_path, ratings_csv=RATINGS.replace("item_id", "book_id"), items_csv=items)
    assert data.items.item_id[0] == "i0"
    assert data.item_attributes == ("authors",)
    assert "isbn (identifiers), goodreads_book_id (identifiers)" in said(data)


def test_a_plain_id(tmp_path):
    items = ITEMS.replace("item_id,title,genres", "id,title,artist")
    data = read(tmp_path, items_csv=items, users_csv="id,age\nu1,40\n")
    assert data.items.item_id[0] == "i0"
    assert data.item_attributes == ("artist",)
    assert data.users.age.tolist() == ["", "40", "", ""]
    assert "items.csv: id is read as item_id." in data.notes


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators(tmp_path, separator):
    plain = read(tmp_path)
    data = read(tmp_path, ratings_csv=RATINGS.replace(",", separator), items_csv=ITEMS.replace(",", separator))
    assert data.hash == plain.hash
    assert "ratings.csv: fields are separated by" in said(data)
    assert "separated" not in said(plain)


def test_decimal_commas_and_excels_first_line(tmp_path):
    ratings = "sep=;\n" + RATINGS.replace(",", ";").replace("u0;i3;4", "u0;i3;4,5")
    data = read(tmp_path, ratings_csv=ratings)
    assert sorted(set(data.rating.tolist())) == [1, 2, 3, 4, 4.5, 5]
    assert "1 ratings have a decimal comma" in said(data)


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("ratings_csv", RATINGS.split("\n", 1)[1], r"ratings.csv:1: there is no header: .*'u0,i0,1,2024-05-01', looks"),
        ("ratings_csv", MOVIE_RATINGS.split("\n", 1)[1], r"ratings.csv:1: there is no header"),
        ("items_csv", MOVIES.split("\n", 1)[1], r"items.csv:1: there is no header"),
        ("items_csv", ITEMS.split("\n", 1)[1], r"items.csv:1: column 'item_id' is missing in the first line; found i0"),
    ],
)
def test_a_file_without_a_header(tmp_path, file, content, error):
    with pytest.raises(rr.InputError, match=error):
        read(tmp_path, **{file: content})


UNFIT = {
    "image_url": ("http://x.y/{}.jpg", "links"),
    "poster": ("/p/{}.png", "links"),
    "avg_rating": ("3.{}", "numbers that sum up ratings"),
    "averageRating": ("3.{}", "numbers that sum up ratings"),
    "vote_average": ("7.{}", "numbers that sum up ratings"),
    "ratings_count": ("1{}", "numbers that sum up ratings"),
    "numVotes": ('"1,2{}"', "numbers that sum up ratings"),
    "critic_score": ("9{}%", "numbers that sum up ratings"),
    "n_ratings": ("1{}.2K", "numbers that sum up ratings"),
    "imdb_score": ("8.{}/10", "numbers that sum up ratings"),
    "popularity": ("0.{}", "numbers that sum up ratings"),
    "imdbId": ("01147{}", "identifiers"),
    "isbn13": ("978{}", "identifiers"),
    "description": ("long text " * 40 + "{}", "long texts"),
}
FIT = {"author": "A. {}", "year": "199{}", "pages": "3{}", "price": "{}.5", "rating": "PG-1{}", "page_count": "2{}"}


def test_columns_that_prompts_do_not_show_unless_asked(tmp_path):
    cells = {name: cell for name, (cell, _) in UNFIT.items()} | FIT
    rows = [",".join([f"i{k},T{k}", *(cell.format(k) for cell in cells.values())]) for k in range(12)]
    items = "\n".join([",".join(["item_id,title", *cells]), *rows])
    data = read(tmp_path, items_csv=items)
    assert data.item_attributes == tuple(FIT)
    for name, (_, why) in UNFIT.items():
        assert f"{name} ({why})" in said(data)
    assert not any(f" {name} (" in said(data) for name in FIT)
    asked = read(tmp_path, items_csv=items, dataset_toml='item_attributes = ["avg_rating", "author"]')
    assert asked.item_attributes == ("avg_rating", "author")
    assert "do not show image_url, poster" in said(asked)
    assert rr.plain(asked)[0].count("avg rating") == 1


def test_columns_of_users(tmp_path):
    users = "user_id,age,Name,contact,gender,review_count,ip_address,display_name,date_of_birth\n" + "".join(
        f"u{k},3{k},Ann,a{k}@b.org,F,{k},1.2.3.{k},ann{k},1990-01-01\n" for k in range(4)
    )
    data = read(tmp_path, users_csv=users)
    assert data.user_attributes == ("age", "gender")
    assert "Name (personal data), contact (personal data), review_count (numbers that sum up ratings)" in said(data)
    asked = read(tmp_path, users_csv=users, dataset_toml='user_attributes = ["Name"]')
    assert asked.user_attributes == ("Name",)


@pytest.mark.parametrize(
    ("cell", "setting", "separator", "shown", "n_kinds"),
    [
        ("Jazz|Pop", "", ", ", "Jazz, Pop", 2),
        ("Jazz; Pop", "", ", ", "Jazz, Pop", 2),
        ("Jazz, cool|Pop", "", "|", "Jazz, cool|Pop", 2),
        ("Jazz, Pop", "", ", ", "Jazz, Pop", 2),
        ("Jazz/Pop", "", ", ", "Jazz/Pop", 1),
        ("Jazz/Pop", 'category_separator = "/"', ", ", "Jazz, Pop", 2),
        ("['Jazz', 'Pop']", "", ", ", "Jazz, Pop", 2),
        ("['Jazz' 'Pop']", "", ", ", "Jazz, Pop", 2),
        ("['Jazz'\n 'Pop']", "", ", ", "Jazz, Pop", 2),
        ("('Jazz', 'Pop')", "", ", ", "Jazz, Pop", 2),
        ("{'Jazz', 'Pop'}", "", ", ", "Jazz, Pop", 2),
        ("{Jazz,Pop}", "", ", ", "Jazz, Pop", 2),
        ('[""Jazz"", ""Pop"", null]', "", ", ", "Jazz, Pop", 2),
        ("[{'id': 1, 'name': 'Jazz'}, {'id': 2, 'name': 'Pop'}]", "", ", ", "Jazz, Pop", 2),
    ],
)
def test_categories(tmp_path, cell, setting, separator, shown, n_kinds):
    other = "[]" if cell.startswith("[") else "Rock"
    items = ITEMS.replace("Rock", other).replace("Jazz", f'"{cell}"')
    data = read(tmp_path, items_csv=items, dataset_toml=setting)
    assert data.items.genres[1] == shown
    assert data.category == ("genres", separator)
    assert categories(data).getnnz(axis=1)[1] == n_kinds
    assert ("genres" in said(data)) == (cell not in ("Jazz, Pop", "Jazz/Pop") or setting != "")


def test_lists_beside_plain_texts(tmp_path):
    data = read(tmp_path, items_csv=ITEMS.replace("Jazz", "\"['Jazz', 'Pop']\"").replace("Rock", "[Rock]"))
    assert set(data.items.genres) == {"Jazz, Pop", "[Rock]"}


def test_dates_of_items_and_users_are_no_times_of_ratings(tmp_path):
    for name in ("release_date", "birth date", "publishedAt", "member_since_date"):
        with pytest.raises(rr.InputError, match=f"column '{name}' looks like times; call it time, or remove it"):
            read(tmp_path, ratings_csv=RATINGS.replace("rating,time", f"rating,{name}"))
    lines = RATINGS.splitlines()
    both = "\n".join([f"{lines[0]}stamp,release_date", *(f"{line},1999-01-01" for line in lines[1:])])
    assert read(tmp_path, ratings_csv=both).hash == read(tmp_path / "plain").hash


def test_every_documented_name_is_a_spelling_of_one_thing():
    for spellings in columns.SPELLINGS.values():
        names = " ".join(spellings).split()
        assert len(names) == len(set(names))
        assert all(name == columns.key(name) for name in names)
