"""Damaged raw files: every reader gives a right table or one clear line, never a wrong table, never a traceback."""

import ast
import codecs
import csv
import gzip
import io
import json
import math
import os
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rallrec as rr
from rallrec.data.amazon import amazon_movies
from rallrec.data.atomic import atomic_table
from rallrec.data.bookcrossing import bookcrossing
from rallrec.data.movielens import ml_1m
from rallrec.data.own import own_data
from rallrec.data.text import clean_id

from .test_own_data import ITEMS, RATINGS
from .test_raw_data import BOOK_HEAD, BOOKS, ML1M, URLS, amazon_lines, many_ml1m, write_copy

NASTY = [
    *("", " ", "nan", "inf", "-inf", "1e999", "-1", "1.5", "0x10", "1_000", "9" * 30, "٣", "½", "²", "\x00", '"', "'"),
    *("1e30", "5.0", "9007199254740993", "true", "True", "null", "[]", "{}", "::", ";", ",", "\t", "\x1c", "\u2028"),
    *('""', "\\", "é", "=1+1", "a" * 140_000),
]
csv.field_size_limit(10**6)  # above the hugest of them
# RALLREC_EXAMPLES=3000 looks longer
EXAMPLES = int(os.environ.get("RALLREC_EXAMPLES", "120"))
some = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def damage(draw, content: bytes, separator: str) -> bytes:
    """What can happen to a text file between its distributor and its reader: nothing, or something once or twice."""
    for _ in range(draw(st.integers(0, 2))):
        lines = content.split(b"\n")
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["cut", "double", "shuffle", "field", "bytes", "encoding", "lose", "empty"]))
        if how == "cut":
            content = content[: draw(st.integers(0, len(content)))]
        elif how == "double":
            lines[at:at] = lines[at : at + draw(st.integers(1, 3))]
        elif how == "shuffle":
            lines = draw(st.permutations(lines))
        elif how == "field":
            fields = lines[at].split(separator.encode())
            fields[draw(st.integers(0, len(fields) - 1))] = draw(st.sampled_from(NASTY)).encode()
            lines[at] = separator.encode().join(fields)
        elif how == "bytes":
            place = draw(st.integers(0, len(content)))
            content = content[:place] + draw(st.binary(min_size=1, max_size=8)) + content[place:]
        elif how == "encoding":
            encoding = draw(st.sampled_from(["utf-16", "utf-8-sig", "utf-32", "cp037"]))
            content = content.decode("latin-1").encode(encoding, errors="replace")
        elif how == "lose":
            lines = lines[:at] + lines[at + 1 :]
        else:
            content = b""
        if how in ("double", "shuffle", "field", "lose"):
            content = b"\n".join(lines)
    return content


USERS = "user_id,age\nu0,40\nu1,\n"
SETTINGS = """scale = [1, 5]
like_above = 3
item_attributes = ["genres"]
user_attributes = ["age"]
beside_title = "genres"
category = "genres"
[words]
item = "record"
"""


def answer(reader, *arguments, **settings):
    """What a reader gives, or None if it refused in one line."""
    given, said = None, ""
    try:
        given = reader(*arguments, **settings)
    except rr.InputError as e:
        said = str(e)
    assert "\n" not in said
    assert len(said) < 500
    return given


def read(reader, *arguments, **settings):
    """The ratings that a reader gives, or None."""
    if (data := answer(reader, *arguments, **settings)) is None:
        return None
    assert data.items.title.str.len().gt(0).all()
    assert data.items.title.map(lambda t: t.isprintable()).all()
    ids = (data.users.user_id[data.user], data.items.item_id[data.item])
    return set(zip(*(list(column) for column in (*ids, data.rating, data.time)), strict=True))


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_RAW", str(tmp_path))
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    return tmp_path


ML1M_LONG = {f"{name}.dat": text.encode("latin-1") for name, text in many_ml1m().items()}
WHOLE = r"[0-9]{1,18}"


@some
@given(st.data())
def test_movielens_1m(raw, data):
    name = data.draw(st.sampled_from(list(ML1M_LONG)))
    files = ML1M_LONG | {name: data.draw(damage(ML1M_LONG[name], "::"))}
    (raw / "ml-1m").mkdir(exist_ok=True)
    for n, content in files.items():
        (raw / "ml-1m" / n).write_bytes(content)
    got = read(ml_1m)
    assert got or files[name] != ML1M_LONG[name]
    if got is None:
        return
    content = files["ratings.dat"]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    written = [[clean_id(field) for field in line.split("::")] for line in text.split("\n")]
    rows = [tuple(map(int, row)) for row in written if len(row) == 4 and all(re.fullmatch(WHOLE, f) for f in row)]
    assert_all_of(got, {row for row in rows if 1 <= row[2] <= 5 and row[3] < 10**11})


@some
@given(st.data())
def test_an_atomic_file(tmp_path, data):
    rows = [f"{n}\tHeat {n}\t{n % 5 + 0.5}\t{881250949 + n}" for n in range(40)]
    text = "\n".join(["user_id:token\ttitle:token_seq\trating:float\ttime:float", *rows])
    path = tmp_path / "ml-100k.inter"
    path.write_bytes(data.draw(damage(text.encode(), "\t")))
    got = answer(atomic_table, path)
    assert got is not None or path.read_bytes() != text.encode()
    if got is None:
        return
    lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    names = [field.rsplit(":", 1)[0].strip() for field in lines[0].split("\t")]
    assert got.columns.tolist() == names
    sound = {n: line.split("\t") for n, line in enumerate(lines, 1) if line.count("\t") == len(names) - 1}
    sound = {n: row for n, row in sound.items() if n > 1 and "".join(row).strip()}
    assert dict(zip(got.index, got.values.tolist(), strict=True)) == sound
    lost = len([line for line in lines[1:] if line.strip()]) - len(sound)
    assert got.attrs["notes"] == [] if not lost else f"{lost} of " in got.attrs["notes"][0]
    assert lost <= 0.05 * (len(sound) + lost)


@some
@given(st.data())
def test_an_archive(raw, data):
    """Bytes of a zip: cut, or flipped."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in ML1M.items():
            z.writestr(f"ml-1m/{name}", text.encode("latin-1"))
    content = bytearray(buffer.getvalue())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:at]
    else:
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    (raw / "ml-1m").mkdir(exist_ok=True)
    (raw / "ml-1m" / "ml-1m.zip").write_bytes(content)
    assert read(ml_1m) in (None, {(1, 10, 5, 978300760), (1, 30, 3, 978300000), (2, 10, 4, 978300001)})


@some
@given(st.data())
def test_bookcrossing(raw, data):
    ids = [f"000000000{c}" for c in "ABCDEF"]
    ratings = [f'"{u}";"{i}";"{(u * 3 + n) % 11}"' for u in range(1, 5) for n, i in enumerate(ids)]
    files = {
        "BX-Book-Ratings.csv": ['"User-ID";"ISBN";"Book-Rating"', *ratings],
        "BX-Books.csv": [BOOK_HEAD, *(f"{b};{URLS}" for b in BOOKS)],
        "BX-Users.csv": ['"User-ID";"Location";"Age"', *(f'"{u}";"porto, portugal";"33"' for u in range(1, 5))],
    }
    files = {n: "\n".join(lines).encode("latin-1") for n, lines in files.items()}
    name = data.draw(st.sampled_from(list(files)))
    whole = files[name]
    files[name] = data.draw(damage(whole, ";"))
    (raw / "bookcrossing").mkdir(exist_ok=True)
    for n, content in files.items():
        (raw / "bookcrossing" / n).write_bytes(content)
    got = read(bookcrossing, min_item_ratings=1, min_user_ratings=1)
    assert got or files[name] != whole
    if got is None:
        return
    text = files["BX-Book-Ratings.csv"].decode("cp1252", "replace")
    written = re.findall(r'"?([^";\n]*)"?;"?([^";\n]*)"?;"?([^";\n]*)', text)
    sound = {(u.strip(), i.strip(), float(r)) for u, i, r in written if re.fullmatch(r"\s*\d+(\.0)?\s*", r)}
    assert {(str(u), i, float(r)) for u, i, r, _ in got} <= sound


@some
@given(st.data())
def test_a_copy_of_bookcrossing(raw, data):
    """Whatever becomes of quotes, no two rows become one."""
    write_copy(raw, '1000000000,"One, ""two""",A. Author,1999,House', '1000000001,"A\nB",A. Author,1999,House')
    path = raw / "bookcrossing" / "Books.csv"
    whole = path.read_bytes()
    path.write_bytes(data.draw(damage(whole, data.draw(st.sampled_from([",", '"', "\n"])))))
    got = answer(bookcrossing, min_item_ratings=1, min_user_ratings=1)
    assert got or path.read_bytes() != whole
    if got is not None:
        assert not got.items[["title", "author"]].apply(lambda column: column.str.contains("House|Author,")).any().any()


@some
@given(st.data())
def test_amazon(raw, data):
    """Lines of JSON, or of Python dicts as in 2014; packed or not."""
    write = data.draw(st.sampled_from([json.dumps, repr]))
    whole = reviews, meta = tuple("\n".join(map(write, lines)).encode() for lines in amazon_lines(2018))
    which = data.draw(st.sampled_from(["reviews", "meta"]))
    reviews, meta = (
        data.draw(damage(content, write("")[0] if data.draw(st.booleans()) else ": ")) if which == name else content
        for name, content in (("reviews", reviews), ("meta", meta))
    )
    (raw / "amazon-movies").mkdir(exist_ok=True)
    packed = gzip.compress(reviews, mtime=0) if data.draw(st.booleans()) else reviews
    cut = data.draw(st.integers(0, 5)) == 0
    packed = packed[: data.draw(st.integers(0, len(packed)))] if cut else packed
    (raw / "amazon-movies" / "Movies_and_TV.json.gz").write_bytes(packed)
    (raw / "amazon-movies" / "meta_Movies_and_TV.json.gz").write_bytes(gzip.compress(meta))
    got = read(amazon_movies, user_ratings=(1, 200), item_ratings=(1, 200))
    assert got or cut or (reviews, meta) != whole
    if got is None:
        return
    written = set(filter(None, map(_sound_review, reviews.split(b"\n"))))
    assert_all_of(got, written, cut)


def assert_all_of(got: set[tuple], written: set[tuple], cut: bool = False):
    """Nothing but what is written was read, and of an item that is there every pair; of a cut file, some."""
    assert got <= written
    known = {item for _, item, *_ in got}
    assert cut or {row[:2] for row in got} == {row[:2] for row in written if row[1] in known}


def _sound_review(line: bytes) -> tuple[str, str, float, int] | None:
    """What a line says, if all of it can be right."""
    for parse in (json.loads, ast.literal_eval):
        try:
            entry = parse(line.decode("utf-8", "replace").strip().removeprefix("\ufeff"))
            user, item = (clean_id(entry[key]) for key in ("reviewerID", "asin"))
            rating, time = (entry[key] for key in ("overall", "unixReviewTime"))
            if "_" in f"{rating}{time}" or isinstance(rating, bool) or isinstance(time, bool):
                return None
            rating, time = float(rating), int(float(time))
            if not (user and 1 <= rating <= 5 and 0 <= time < 10**13):
                return None
            return user, item, rating, time if time < 10**11 else time // 1000
        except (ValueError, SyntaxError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
    return None


@some
@given(st.data())
def test_a_folder_of_ones_own(raw, data):
    files = {"ratings.csv": RATINGS, "items.csv": ITEMS, "users.csv": USERS, "dataset.toml": SETTINGS}
    files = {n: text.encode() for n, text in files.items()}
    name = data.draw(st.sampled_from(list(files)))
    whole = files[name]
    files[name] = data.draw(damage(whole, "= " if name == "dataset.toml" else ","))
    (raw / "records").mkdir(exist_ok=True)
    for n, content in files.items():
        (raw / "records" / n).write_bytes(content)
    got = read(own_data, raw / "records")
    assert got or files[name] != whole
    if got is None:
        return
    content = files["ratings.csv"]
    text = content.decode("utf-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    timed = "time" in header and len({tuple(_seconds(row[3:4])) for row in rows} - {()}) > 1
    width = len(header) if timed else 3  # without times ratings are shuffled
    written = {
        (clean_id(u), clean_id(i), np.float32(r), *_seconds(time))
        for u, i, r, *time in (row[:width] for row in rows if _rated(row))
    }
    assert {row[:width] for row in got} <= written


def _rated(row: list[str]) -> bool:
    return len(row) >= 3 and _is_number(row[2])


def _seconds(time: list[str]) -> list[int]:
    dates = pd.to_datetime(time, utc=True, errors="coerce").dropna()
    return [math.floor(date.timestamp()) for date in dates]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
