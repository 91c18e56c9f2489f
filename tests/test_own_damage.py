"""A folder of one's own whose text, quotes or ids were damaged on the way: mended and said, or refused by line."""

import re

import pytest

import rallrec as rr
from rallrec.study.released import applicable

from .test_own_data import ITEMS, RATINGS
from .test_own_spellings import read, said


def titles(data) -> dict[str, str]:
    return dict(zip(data.items.item_id, data.items.title, strict=True))


def with_titles(*texts: str) -> str:
    """Items of which the first have these titles, quoted as CSV asks."""
    lines = ITEMS.splitlines()
    for k, text in enumerate(texts):
        lines[k + 1] = lines[k + 1].replace(f"Title {k}", '"' + text.replace('"', '""') + '"')
    return "\n".join(lines) + "\n"


# --- encodings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Straße",
        "Amélie",
        "Déjà vu – encore",
        "“Heroes” & more",
        "L’été",
        "Москва",
        "千と千尋の神隠し",
        "Łódź",
        "Ça va?",
    ],
)
@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_text_saved_in_a_wrong_encoding_is_mended(tmp_path, text, wrong):
    damaged = "".join(bytes([byte]).decode(wrong, errors="ignore") or chr(byte) for byte in text.encode())
    assert damaged != text
    data = read(tmp_path, items_csv=with_titles("One", damaged, "Amélie"))
    assert titles(data)["i1"] == text
    assert "items.csv: 1 texts were saved in a wrong encoding and are mended (the first: line 3" in said(data)


@pytest.mark.parametrize("text", ["Straße", "»Spaß“", "IRMÃ…", "Ânimo", "voilà", "Naïve ½ ™", "SÃO PAULO", "naïve £5"])
def test_sound_text_stays(tmp_path, text):
    data = read(tmp_path, items_csv=with_titles("One", text))
    assert titles(data)["i1"] == text
    assert "encoding" not in said(data)


@pytest.mark.parametrize("text", ["LÃ?Â¼neburg", "“Heroesâ€", "МоÑква"])
def test_half_a_mend_is_none(tmp_path, text):
    data = read(tmp_path, items_csv=with_titles("One", text))
    assert titles(data)["i1"] == text
    assert "1 texts look as if saved in a wrong encoding and can't be mended (the first: line 3" in said(data)


def test_lost_characters_are_told(tmp_path):
    data = read(tmp_path, items_csv=with_titles("One", "Nausica�", "Am�lie"))
    assert titles(data)["i1"] == "Nausica�"
    assert "items.csv: 2 texts have lost characters (�) and can't be mended (the first: line 3, 'Nau" in said(data)


def test_files_in_other_encodings(tmp_path):
    plain = read(tmp_path / "plain", items_csv=with_titles("Straße"))
    for encoding in ("utf-16", "utf-8-sig"):
        data = read(tmp_path, items_csv=with_titles("Straße").encode(encoding), ratings_csv=RATINGS.encode(encoding))
        assert data.hash == plain.hash
        assert ("items.csv is UTF-16" in said(data)) == (encoding == "utf-16")


@pytest.mark.parametrize(
    ("title", "encoding", "error"),
    [
        ("Straße", "cp1252", r"is not UTF-8 \(.* line 2\)"),
        ("Heat", "utf-16-le", "holds null characters"),
        ("Straße", "utf-32", "is UTF-32"),
    ],
)
def test_files_in_encodings_that_are_not_read(tmp_path, title, encoding, error):
    with pytest.raises(rr.InputError, match=rf"items.csv {error}.*; save it as UTF-8"):
        read(tmp_path, items_csv=with_titles(title).encode(encoding))


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends(tmp_path, end):
    plain = read(tmp_path / "plain")
    assert read(tmp_path, items_csv=ITEMS.replace("\n", end), ratings_csv=RATINGS.replace("\n", end)).hash == plain.hash


# --- quotes and lines -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("i1,Title 1,", 'i1,"Title 1,', "items.csv:3: a quote that opens in this row is never closed"),
        (
            "i1,Title 1,Jazz\ni2,Title 2",
            'i1,"Title 1,Jazz\ni2,"Good, Bad"',
            "items.csv:3: a quote that opens in this row",
        ),
        (
            "i1,Title 1,Jazz\ni2,Title 2",
            'i1,"Title 1,Jazz\ni2,Title 2"',
            "items.csv:3: .* closes in line 4",
        ),
        ("i1,Title 1,Jazz\ni2,Title 2,Rock", 'i1,Title 1,"Jazz\ni2,Title 2,Rock"', "items.csv:3: .* closes in line 4"),
        (
            "i1,Title 1,Jazz\ni2,Title 2,Rock\ni3,Title 3",
            'i1,"A, B,Jazz\ni2,Title 2,Rock\ni3,Title 3"',
            "items.csv:3: ",
        ),
        ("i1,Title 1,", 'i1,"The "Best" One",', "items.csv:3: a quote that opens in this row is followed by text"),
        ("i1,Title 1,", "i1,Title, 1,", "items.csv:3: 4 fields where the header has 3; put quotes around"),
    ],
)
def test_a_quote_that_is_not_closed_is_found_where_it_opens(tmp_path, old, new, error):
    with pytest.raises(rr.InputError, match=error):
        read(tmp_path, items_csv=ITEMS.replace(old, new))


@pytest.mark.parametrize(
    ("cell", "title"),
    [
        ('"Title\none, and more"', "Title one, and more"),
        ('"a ""quoted"" one"', 'a "quoted" one'),
        ('"said \\"hi\\", ok"', 'said "hi", ok'),
        ('"ends so \\""', 'ends so "'),
        ('12" Single', '12" Single'),
        (' "Blank, first"', "Blank, first"),
        ('""""', '"'),
    ],
)
def test_quotes_that_are_right(tmp_path, cell, title):
    data = read(tmp_path, items_csv=ITEMS.replace("i1,Title 1,", f"i1,{cell},"))
    assert titles(data)["i1"] == title
    assert data.n_items == 12
    assert ('written \\"' in said(data)) == ("\\" in cell)


def test_lines_are_those_of_the_file(tmp_path):
    items = ITEMS.replace("Title 1,", '"Title\n1",').replace("i2,", "\n\ni2,")
    with pytest.raises(rr.InputError, match=r"items.csv:9: item_id 'i2' is listed twice \(lines 7 and 9\)"):
        read(tmp_path, items_csv=items.replace("i4,", "i2,"))
    data = read(tmp_path, ratings_csv=RATINGS.replace("u0,i2,", "\n\nu0,i2,").replace("u0,i3,4", "u0,zz,4"))
    assert "line 7, item zz" in said(data)
    assert "line 6: rating" in said(read(tmp_path, ratings_csv="\n" + RATINGS.replace("u0,i3,4", "u0,i3,x")))


def test_fields_that_are_missing_or_empty(tmp_path):
    data = read(tmp_path, items_csv=ITEMS.replace("i1,Title 1,Jazz", "i1,Title 1"))
    assert data.items.genres[1] == ""
    assert "items.csv: 1 rows have fewer fields than the header" in said(data)
    assert "the first: line 3" in said(data)
    plain = read(tmp_path)
    assert read(tmp_path, items_csv="\n".join(f"{line}," for line in ITEMS.splitlines())).hash == plain.hash


def test_row_numbers_of_pandas_are_dropped(tmp_path):
    plain = read(tmp_path)

    def numbered(text: str, name: str) -> str:
        return "\n".join(f"{k - 1 if k else name},{line}" for k, line in enumerate(text.splitlines()))

    data = read(tmp_path, ratings_csv=numbered(RATINGS, "Unnamed: 0"), items_csv=numbered(ITEMS, ""))
    assert data.hash == plain.hash
    assert "ratings.csv: column 'Unnamed: 0' only numbers the rows and is dropped" in said(data)
    assert "items.csv: column '' only numbers the rows and is dropped" in said(data)
    other = numbered(ITEMS, "").replace("\n3,", "\nx,")
    assert "column 1 (no name)" in said(read(tmp_path, items_csv=other))
    with pytest.raises(rr.InputError, match="column 'column 4' looks like times; call it time"):
        read(tmp_path, ratings_csv=RATINGS.replace("rating,time", "rating,"))


@pytest.mark.parametrize("nothing", ["nan", "NULL", "None", "NA", "\\N", "N/A"])
def test_cells_that_say_nothing(tmp_path, nothing):
    data = read(tmp_path, items_csv=ITEMS.replace("Jazz", nothing))
    assert set(data.items.genres) == {"", "Rock"}
    assert f"items.csv: 6 cells of genres say {nothing!r} and are empty" in said(data)


def test_a_title_that_pandas_did_not_know(tmp_path):
    with pytest.raises(rr.InputError, match=r"items.csv:3: the title is empty"):
        read(tmp_path, items_csv=with_titles("One", "nan"))
    assert titles(read(tmp_path, items_csv=with_titles("One", "None")))["i1"] == "None"
    with pytest.raises(rr.InputError, match=r"items.csv:3: the title is empty \(2 of 12 rows"):
        read(tmp_path, items_csv=with_titles("One", "NA", "NA"))


def test_entities_of_html(tmp_path):
    data = read(tmp_path, items_csv=with_titles("AT&T; R&D", "Tom &amp; Jerry&#39;s").replace("Jazz", "R&amp;B"))
    assert titles(data)["i1"] == "Tom & Jerry's"
    assert titles(data)["i0"] == "AT&T; R&D"
    assert set(data.items.genres) == {"R&B", "Rock"}
    assert "items.csv: 7 texts have HTML's entities such as &amp; and are read without" in said(data)


def test_the_header_once_more(tmp_path):
    data = read(tmp_path, items_csv=ITEMS + ITEMS.split("\n")[0], ratings_csv=RATINGS + RATINGS)
    assert data.hash == read(tmp_path / "plain").hash
    assert "items.csv: the header is there again in line 14; it is no row" in said(data)
    assert "ratings.csv: the header is there again in line 50; it is no row" in said(data)


def test_rows_that_r_numbers_without_a_header(tmp_path):
    """R's write.table gives the row names no column name."""
    items = [f'"{n}","{n % 12 + 1}","Title {n}",{2000 + n}' for n in range(1, 13)]
    ratings = re.sub(r",i(\d+),", lambda m: f",{int(m[1]) + 1},", RATINGS)
    data = read(tmp_path, ratings_csv=ratings, items_csv="\n".join(['"item_id","title","year"', *items]))
    assert titles(data)[1] == "Title 12"
    assert data.items.year[0] == "2012"
    with pytest.raises(rr.InputError, match=r"items.csv:2: 4 fields where the header has 3"):
        read(tmp_path, ratings_csv=ratings, items_csv="\n".join(["item_id,title,year", *items]).replace('"', ""))


def test_a_year_of_zero_is_none(tmp_path):
    data = read(tmp_path, items_csv=ITEMS.replace("genres", "year").replace("Jazz", "0").replace("Rock", "1999"))
    assert set(data.items.year) == {"", "1999"}
    assert "items.csv: 6 cells of year say '0' and are empty" in said(data)


def test_years_as_pandas_writes_them(tmp_path):
    items = ITEMS.replace("genres", "year").replace("Jazz", "1999.0").replace("Rock", "")
    data = read(tmp_path, items_csv=items)
    assert set(data.items.year) == {"", "1999"}
    assert "year holds whole numbers such as 1999.0" in said(data)


# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [("u0,i3,", "u0 ,i3,"), ("u0,i3,", "\ufeffu0,i3,"), ("u0,i3,", "u0, i3\u200b,"), ("u0,i3,", "u0\u00ad,i3\u00a0,")],
)
def test_ids_are_cleaned_on_either_side(tmp_path, old, new):
    plain = read(tmp_path)
    data = read(tmp_path, ratings_csv=RATINGS.replace(old, new))
    assert data.hash == plain.hash
    assert "ratings.csv: blanks or invisible characters in 1" in said(data)
    assert "the first: line 5" in said(data)
    assert read(tmp_path, ratings_csv=RATINGS, items_csv=ITEMS.replace("i3,", "i3\u200b ,")).hash == plain.hash
    users = read(tmp_path, users_csv="user_id,age\n u0,40\n")
    assert users.users.age[0] == "40"


@pytest.mark.parametrize("rounded", ["7.65612E+16", "7.6561197960287e+16", "8E+10", '"7,65612E+16"'])
def test_ids_that_a_program_rounded_are_refused(tmp_path, rounded):
    with pytest.raises(rr.InputError, match=r"ratings.csv:2: user_id '7?8?.*' was rounded by a spreadsheet"):
        read(tmp_path, ratings_csv=RATINGS.replace("u0,", f"{rounded},").replace("u1,", f"{rounded},"))
    assert read(tmp_path, ratings_csv=RATINGS.replace("u0,", "1e05,")).n_users == 4


def test_na_is_no_id(tmp_path):
    data = read(tmp_path, ratings_csv=RATINGS.replace("u0,i3", "NA,i3"))
    assert (data.n_users, data.n_ratings) == (4, 47)


def test_two_blanks_within_an_id_are_one(tmp_path):
    ratings = RATINGS.replace("i3,", "a  b,", 1).replace("i3,", "a b,")
    assert read(tmp_path, ratings_csv=ratings, items_csv=ITEMS.replace("i3,", "a b,")).n_ratings == 48


@pytest.mark.parametrize("other", [" i1", "i1\u200b", "\ufeffi1", "i1 "])
def test_ids_that_become_one_are_refused_with_both_lines(tmp_path, other):
    with pytest.raises(rr.InputError, match=r"items.csv:4: item_id .* is in line 3 written 'i1' \(lines 3 and 4\)"):
        read(tmp_path, items_csv=ITEMS.replace("i2,", f"{other},"))
    with pytest.raises(rr.InputError, match=r"users.csv:3: user_id .* \(lines 2 and 3\); keep one row"):
        read(tmp_path, items_csv=ITEMS, users_csv=f"user_id,age\ni1,4\n{other},5\n")


def test_a_row_that_is_there_twice_is_one(tmp_path):
    data = read(tmp_path, items_csv=ITEMS + ITEMS.splitlines()[3])
    assert data.hash == read(tmp_path / "plain").hash
    assert "items.csv: 1 rows are there twice; one is kept (line 14)" in said(data)


NUMBERED = {
    "ratings_csv": "user_id,item_id,rating,time\n" + RATINGS.split("\n", 1)[1].replace("u", "").replace("i", ""),
    "items_csv": ITEMS.replace("\ni", "\n"),
}


def test_whole_numbers_are_ordered_by_value(tmp_path):
    data = read(tmp_path, **NUMBERED)
    assert data.items.item_id.tolist() == list(range(12))
    assert data.items.item_id.dtype == data.users.user_id.dtype == "int64"
    assert data.items.title[10] == "Title 10"


@pytest.mark.parametrize("file", ["ratings_csv", "items_csv"])
def test_floats_of_pandas_are_whole_numbers(tmp_path, file):
    text = NUMBERED[file].replace(",3,", ",3.0,").replace("\n3,", "\n3.0,")
    data = read(tmp_path, **NUMBERED | {file: text})
    assert data.hash == read(tmp_path / "plain", **NUMBERED).hash
    assert "ids such as 3.0 are read as whole numbers" in said(data)


def test_leading_zeros_are_no_numbers(tmp_path):
    items = NUMBERED["items_csv"].replace("\n3,", "\n007,").replace("\n4,", "\n0007,")
    ratings = NUMBERED["ratings_csv"].replace(",3,", ",007,").replace(",4,", ",0007,")
    data = read(tmp_path, items_csv=items, ratings_csv=ratings)
    assert (data.n_items, data.items.item_id.dtype) == (12, "str")
    assert {"007", "0007"} <= set(data.items.item_id)


def test_numbers_that_become_one_are_refused(tmp_path):
    with pytest.raises(rr.InputError, match=r"items.csv:4: item_id '1.0' is in line 3 written '1' \(lines 3 and 4\)"):
        read(tmp_path, **NUMBERED | {"items_csv": NUMBERED["items_csv"].replace("\n2,", "\n1.0,")})


def test_released_protocols_shift_whole_numbers(tmp_path):
    data = read(tmp_path, **NUMBERED)
    assert "ids are shifted by one" in applicable(rr.split(data, min_history=2))
