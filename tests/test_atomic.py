"""RecBole's atomic files."""

import pandas as pd
import pytest

import rallrec as rr
from rallrec.data.atomic import atomic_table, read_atomic
from rallrec.data.movielens import ML100K_FILES
from rallrec.infra.downloads import fetch

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ROWS = [f"u{n}\ti{n % 7}\t{n % 5 + 1}.0\t{1e9 + n:.0f}" for n in range(40)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d.inter").write_text(INTER + "\n".join(ROWS) + "\n")
    return tmp_path


def test_atomic_files(folder):
    (folder / "d.item").write_text(
        'item_id:token\tmovie_title:token_seq\tclass:token_seq\tprice:float\tvector:float_seq\ni1\t"Heat" 2\t'
        "Action Crime\t\t0.5 1\n"
    )
    (folder / ".d.item").write_text("hidden")
    (folder / "d.link").write_text("another of RecBole's")
    tables = read_atomic(folder)
    assert list(tables) == ["inter", "item"]
    inter, item = tables["inter"], tables["item"]
    assert inter.loc[2].tolist() == ["u0", "i0", "1.0", "1000000000"]
    assert (inter.index.name, len(inter), inter.index[-1]) == ("line", 40, 41)
    assert item.to_dict("records") == [
        dict(item_id="i1", movie_title='"Heat" 2', price="", vector="0.5 1", **{"class": "Action Crime"})
    ]
    assert item.attrs == {
        "path": str(folder / "d.item"),
        "types": dict(
            item_id="token", movie_title="token_seq", price="float", vector="float_seq", **{"class": "token_seq"}
        ),
        "notes": [],
    }


@pytest.mark.parametrize("how", ["crlf", "bom", "blank", "no last line feed", "capitals"])
def test_atomic_files_as_editors_save_them(folder, how):
    path = folder / "d.inter"
    whole, content = atomic_table(path), path.read_bytes()
    if how == "capitals":
        path.rename(folder / "D.INTER")
    elif how == "crlf":
        path.write_bytes(content.replace(b"\n", b"\r\n"))
    elif how == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + content)
    elif how == "blank":
        path.write_bytes(content + b"\n \n\t\t\t\n")
    else:
        path.write_bytes(content.rstrip())
    pd.testing.assert_frame_equal(read_atomic(folder)["inter"], whole)


def test_a_rare_white_space_in_an_atomic_file_ends_no_line(folder):
    (folder / "d.item").write_text("item_id:token\ttitle:token_seq\ni1\tA\u2028B\x1cC\ni2\tD\n", encoding="utf-8")
    assert read_atomic(folder)["item"].title.to_dict() == {2: "A\u2028B\x1cC", 3: "D"}


def test_a_row_with_another_number_of_fields_is_left_out(folder):
    whole = atomic_table(folder / "d.inter")
    rows = [*ROWS[:3], "u1\ti1\t4", "", *ROWS[3:]]
    (folder / "d.inter").write_text(INTER + "\n".join(rows))
    table = atomic_table(folder / "d.inter")
    assert table.reset_index(drop=True).equals(whole.reset_index(drop=True))
    assert table.index[2:4].tolist() == [4, 7]
    assert table.attrs["notes"] == [
        "1 of 41 rows of d.inter can't be right and are left out (line 5: 3 fields where 4 are expected)."
    ]
    (folder / "d.inter").write_text(INTER + "\n".join(["x", *ROWS[:9]]))
    with pytest.raises(rr.InputError, match=r"d.inter:2: 1 fields where 4 are expected"):
        read_atomic(folder)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("user_id\titem_id\trating\n", "d.inter:1: header field 'user_id' is no name:type; an atomic file begins with"),
        ("user_id:token\titem_id:id\n", "header field 'item_id:id' is no name:type"),
        (
            "user_id:token,item_id:token,rating:float\n",
            "header field 'user_id:token,item.* is no name:type.* tabs between",
        ),
        ("user_id:token\tuser_id:token\n", "header field 'user_id:token' is there twice"),
        ("\n", "header field '' is no name:type"),
        ("", "header field '' is no name:type"),
    ],
)
def test_a_header_that_is_not_atomic_is_refused(folder, header, said):
    (folder / "d.inter").write_text(header + "1\t2\t3\n" * bool(header))
    with pytest.raises(rr.InputError, match=said):
        read_atomic(folder)


def test_which_file_is_meant_must_be_plain(folder):
    (folder / "e.inter").write_text(INTER)
    with pytest.raises(rr.InputError, match=r"has 2 .inter files \(d.inter, e.inter\); keep one, or join them"):
        read_atomic(folder)
    (folder / "d.inter").unlink()
    (folder / "e.inter").unlink()
    with pytest.raises(rr.InputError, match=r"has no .inter file, which holds the ratings"):
        read_atomic(folder)
    (folder / "d.inter").write_bytes(INTER.encode("utf-16"))
    with pytest.raises(rr.InputError, match=r"d.inter is not UTF-8 \(invalid start byte at byte 0\); save it as UTF-8"):
        read_atomic(folder)


def test_the_atomic_files_of_movielens_100k(real_data):
    (folder,) = {fetch(file, "ml-100k").parent for file in ML100K_FILES.values()}
    tables = read_atomic(folder)
    assert {kind: len(table) for kind, table in tables.items()} == {"inter": 100_000, "item": 1682, "user": 943}
    assert tables["item"].loc[2].to_dict() == {
        **dict(item_id="1", movie_title="Toy Story", release_year="1995"),
        "class": "Animation Children's Comedy",
    }
    assert tables["item"].attrs["types"]["class"] == "token_seq"
