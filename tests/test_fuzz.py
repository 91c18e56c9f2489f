"""Damaged raw files: every reader gives a right table or one clear line, never a wrong table, never a traceback."""

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
from rallrec.data.bookcrossing import bookcrossing
from rallrec.data.movielens import ml_1m, read_table
from rallrec.data.own import own_data
from rallrec.data.text import one_line

from .test_own_data import ITEMS, RATINGS
from .test_raw_data import BOOK_HEAD, BOOKS, ML1M, URLS, amazon_lines

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


@some
@given(st.data())
def test_movielens_1m(raw, data):
    name = data.draw(st.sampled_from(list(ML1M)))
    files = {n: text.encode("latin-1") for n, text in ML1M.items()}
    files[name] = data.draw(damage(files[name], "::"))
    (raw / "ml-1m").mkdir(exist_ok=True)
    for n, content in files.items():
        (raw / "ml-1m" / n).write_bytes(content)
    got = read(ml_1m)
    assert got or files[name] != ML1M[name].encode("latin-1")
    if got is None:
        return
    text = files["ratings.dat"].removeprefix(codecs.BOM_UTF8).decode("latin-1")
    lines = [line for line in text.split("\n") if line.strip()]
    assert got == {tuple(int(f) for f in line.split("::")) for line in lines}


@some
@given(st.data())
def test_a_table_of_movielens_100k(tmp_path, data):
    text = "user_id:token\ttitle:token\trating:float\ttime:float\n1\tHeat\t4.5\t881250949\n2\tAlien\t3\t891717742\n"
    path = tmp_path / "ml-100k.inter"
    path.write_bytes(data.draw(damage(text.encode(), "\t")))
    got = answer(read_table, path, {"user_id": int, "title": str, "rating": float, "time": int})
    assert got is not None or path.read_bytes() != text.encode()
    if got is None:
        return
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    names = [field.split(":")[0] for field in header.split("\t")]
    written = [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
    assert got.to_dict("records") == [
        dict(user_id=float(r["user_id"]), title=one_line(r["title"]), rating=float(r["rating"]), time=float(r["time"]))
        for r in written
    ]


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
def test_amazon(raw, data):
    whole = reviews, meta = tuple("\n".join(map(json.dumps, lines)).encode() for lines in amazon_lines(2018))
    which = data.draw(st.sampled_from(["reviews", "meta"]))
    reviews, meta = (
        data.draw(damage(content, '"' if data.draw(st.booleans()) else ": ")) if which == name else content
        for name, content in (("reviews", reviews), ("meta", meta))
    )
    (raw / "amazon-movies").mkdir(exist_ok=True)
    packed = gzip.compress(reviews, mtime=0)
    if data.draw(st.integers(0, 5)) == 0:
        packed = packed[: data.draw(st.integers(0, len(packed)))]
    (raw / "amazon-movies" / "Movies_and_TV.json.gz").write_bytes(packed)
    (raw / "amazon-movies" / "meta_Movies_and_TV.json.gz").write_bytes(gzip.compress(meta))
    got = read(amazon_movies, user_ratings=(1, 200), item_ratings=(1, 200))
    assert got or (reviews, meta, packed) != (*whole, gzip.compress(reviews, mtime=0))
    if got is None:
        return
    written = set()
    for line in reviews.split(b"\n"):
        if line.strip():
            entry = json.loads(line.decode("utf-8", "replace"))
            written.add(tuple(str(entry.get(k)) for k in ("reviewerID", "asin", "overall", "unixReviewTime")))
    assert {(u, i, str(float(r)), str(t)) for u, i, r, t in got} <= written


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
    text = files["ratings.csv"].decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    timed = "time" in header and any(len(row) > 3 and row[3] for row in rows)
    width = len(header) if timed else 3  # without times ratings are shuffled
    written = {
        (u, i, np.float32(r), *_seconds(time)) for u, i, r, *time in (row[:width] for row in rows if _rated(row))
    }
    assert {row[:width] for row in got} <= written


def _rated(row: list[str]) -> bool:
    return len(row) >= 3 and _is_number(row[2])


def _seconds(time: list[str]) -> list[int]:
    return [math.floor(float(t)) if _is_number(t) else math.floor(pd.Timestamp(t, tz="UTC").timestamp()) for t in time]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
