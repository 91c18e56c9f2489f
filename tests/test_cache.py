import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rallrec as rr
from rallrec.__main__ import main
from rallrec.infra.cache import Cache, key_of, keys_of, noting, pack, salvage, training_path, unpack
from rallrec.infra.noted import NOTED

WRITER = """
import sys
from rallrec.infra.cache import Cache
cache = Cache(sys.argv[1])
for n in range(10**9):
    cache.put({f"{n}-{i}": bytes([n % 251]) * 200_000 for i in range(5)})
    print(n, flush=True)
"""


def test_killed_in_the_middle_of_writing(tmp_path):
    """Whatever the moment, a batch is there whole or not at all, and none that was reported is lost."""
    for delay in (0.0, 0.004, 0.009, 0.013):
        path = tmp_path / f"cache-{delay}"
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(5):
            last = int(writer.stdout.readline())
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        last = max([last, *map(int, writer.stdout.read().split("\n")[:-1])])
        writer.wait()
        cache = Cache(path)
        for n in range(last + 3):
            batch = cache.get([f"{n}-{i}" for i in range(5)])
            whole = all(v == bytes([n % 251]) * 200_000 for v in batch)
            assert whole if n <= last else whole or batch == [None] * 5
        cache.put({"new": b"1"})
        assert cache.get(["new"]) == [b"1"]


def test_damaged_answer_counts_as_missing(cache):
    cache.put({"a": b"right", "b": b"other"})
    with sqlite3.connect(cache.path) as db:
        db.execute("UPDATE answers SET value = ? WHERE key = 'a'", (b"wrong",))
    assert Cache(cache.path).get(["a", "b"]) == [None, b"other"]


def test_damaged_file_gets_one_line(tmp_path):
    (tmp_path / "cache").write_bytes(b"no database" * 1000)
    with pytest.raises(rr.InputError, match=r"can't be used .*salvage"):
        Cache(tmp_path / "cache").get(["a"])


@pytest.mark.parametrize("name", ["get", "put", "forget"])
def test_damaged_pages_get_one_line(tmp_path, name):
    cache = Cache(tmp_path / "cache")
    cache.put({key_of(n=n): b"x" * 500 for n in range(100)})
    cache._db.close()
    content = bytearray(cache.path.read_bytes())
    content[4096:] = b"x" * (len(content) - 4096)
    cache.path.write_bytes(content)
    damaged = Cache(cache.path)
    act = dict(get=lambda: damaged.get(["a"]), put=lambda: damaged.put({"a": b"1"}), forget=lambda: damaged.forget("a"))
    with pytest.raises(rr.InputError, match="salvage"):
        act[name]()


def test_a_full_disk_gets_one_line(cache):
    cache.put({"a": b"1"})
    cache._db.execute("PRAGMA max_page_count = 10")
    with pytest.raises(rr.InputError, match=r"can't be written \(.* full\): free some space or mend its folder; then"):
        cache.put({"b": b"x" * 100_000})
    assert cache.get(["a", "b"]) == [b"1", None]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), n=st.integers(1, 40))
def test_flipped_bytes_never_give_a_wrong_answer(tmp_path_factory, place, bit, n):
    path = tmp_path_factory.mktemp("cache") / "cache.sqlite"
    answers = {f"key {i}": bytes([i]) * 40 * (i % 5 + 1) for i in range(n)}
    cache = Cache(path)
    cache.put(answers)
    cache._db.close()
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    damaged = Cache(path)
    for key, value in answers.items():
        try:
            (got,) = damaged.get([key])
        except rr.InputError:
            continue
        assert got in (value, None)


@pytest.mark.parametrize("page", [0, 1, 2, 60])  # the schema, the table's root, its index's, one of its leaves
def test_salvage_keeps_what_is_sound(tmp_path, page, monkeypatch, capsys):
    path = tmp_path / "cache.sqlite"
    monkeypatch.setattr("rallrec.infra.cache.default_cache", lambda: Cache(path))
    answers = {key_of(n=n): bytes([n % 251]) * 500 for n in range(1000)}
    cache = Cache(path)
    cache.put(answers)
    cache._db.close()
    content = bytearray(path.read_bytes())
    content[page * 4096 : page * 4096 + 4096] = b"x" * 4096
    path.write_bytes(content)
    assert main(["salvage"]) == 0
    got = Cache(path).get(answers)
    kept = sum(v is not None for v in got)
    assert all(v in (None, right) for v, right in zip(got, answers.values(), strict=True))
    assert kept == {0: 1000, 1: 0, 2: 1000}.get(page, kept)
    assert page == 1 or kept > 980
    assert capsys.readouterr().out.startswith(f"{kept:,} answers kept; ")
    assert (tmp_path / "cache.sqlite.damaged").read_bytes() == content


def test_there_is_nothing_to_salvage(tmp_path):
    with pytest.raises(rr.InputError, match="no cache"):
        salvage(tmp_path / "cache.sqlite")


def test_a_damaged_index_leads_to_no_other_row(cache):
    cache.put({"a": b"of a", "b": b"of b"})
    with cache._db as db:
        db.execute(
            "UPDATE answers SET value = (SELECT value FROM answers WHERE key = 'b'), checksum = "
            "(SELECT checksum FROM answers WHERE key = 'b') WHERE key = 'a'"
        )
    assert cache.get(["a", "b"]) == [None, b"of b"]


def test_a_cache_is_opened_without_a_write(tmp_path):
    Cache(tmp_path / "cache").put({"a": b"1"})
    with sqlite3.connect(tmp_path / "cache") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        before = db.execute("PRAGMA data_version").fetchone()
        assert Cache(tmp_path / "cache").get(["a"]) == [b"1"]
        assert db.execute("PRAGMA data_version").fetchone() == before
    db.close()


def test_two_processes_write_at_once(tmp_path):
    code = "import sys; from rallrec.infra.cache import Cache; c = Cache(sys.argv[1])\n"
    code += "for n in range(100): c.put({f'{sys.argv[2]}{n}': b'x'})"
    path = str(tmp_path / "cache")
    writers = [subprocess.Popen([sys.executable, "-c", code, path, name]) for name in "ab"]
    assert [w.wait() for w in writers] == [0, 0]
    assert all(Cache(path).get([f"{w}{n}" for w in "ab" for n in range(100)]))


@pytest.fixture
def published(tmp_path):
    """A folder with one published training, of the inputs ``{"step": "graph", "n": 1}``."""
    path = tmp_path / "published" / "some-data" / training_path("graph", key_of(step="graph", n=1))
    path.parent.mkdir(parents=True)
    path.write_bytes(pack({"x": np.arange(3)}, compress=True))
    return path


def test_a_published_training_comes_first(tmp_path, published):
    """Even where this machine has trained the same: what is made of it is looked for under its last bits."""
    own, both = Cache(tmp_path / "cache"), Cache(tmp_path / "cache", tmp_path / "published")
    for n in (1, 2):
        assert own.arrays(dict(step="graph", n=n), lambda: {"x": np.zeros(3)})["x"].tolist() == [0, 0, 0]
    assert both.arrays(dict(step="graph", n=1), lambda: pytest.fail("trained"))["x"].tolist() == [0, 1, 2]
    assert both.arrays(dict(step="graph", n=2), lambda: pytest.fail("trained"))["x"].tolist() == [0, 0, 0]
    assert both.arrays(dict(step="other", n=1), lambda: {"x": np.ones(1)})["x"].tolist() == [1]
    assert str(published.resolve()) in NOTED


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1", None])
def test_a_damaged_published_training_is_named(tmp_path, published, content):
    whole = published.read_bytes()
    published.write_bytes(whole[:-30] if content is None else content)
    with pytest.raises(rr.InputError, match=r"graph-\w+.npz is damaged .*git checkout"):
        Cache(tmp_path / "cache", tmp_path / "published").arrays(dict(step="graph", n=1), dict)


def test_trainings_are_noted(cache):
    """In every block around them, whether they are made or found."""
    make = lambda: {"x": np.ones(1)}  # noqa: E731
    cache.arrays(dict(step="a"), make)
    outer, inner = {}, {}
    with noting(outer):
        with noting(inner):
            cache.arrays(dict(step="a"), make)
        cache.arrays(dict(step="b"), make)
    cache.arrays(dict(step="c"), make)
    assert inner == {key_of(step="a"): "a"}
    assert outer == inner | {key_of(step="b"): "b"}


def test_keys_tell_inputs_apart():
    a = np.arange(6.0)
    keys = {key_of(x=v) for v in (a, a.astype(np.float32), a.reshape(2, 3), a + 1, [1, 2], "12", 12)}
    assert len(keys) == 7
    assert key_of(x=a, y=1) == key_of(y=1, x=a.copy())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(), max_size=5), st.text(), st.text())
def test_keys_of_many_texts_are_those_of_each(texts, one, other):
    quoted = '"text": ""'
    of = dict(verb="choose", model=one, options=[other, quoted], temperature=0.0, top_p=1.0)
    texts = [*texts, "", quoted, f"\\{quoted}\n\u2028\ud800", one]
    assert keys_of(texts, **of) == [key_of(text=text, **of) for text in texts]


def test_arrays_are_made_once(cache):
    made = []

    def make():
        made.append(1)
        return {"a": np.arange(3), "b": np.array("text")}

    for _ in range(2):
        out = cache.arrays({"x": 1}, make)
    assert made == [1]
    cache.arrays({"x": 2}, make)
    assert made == [1, 1]
    assert out["a"].tolist() == [0, 1, 2]
    assert str(out["b"]) == "text"
    assert unpack(pack(out))["a"].dtype == out["a"].dtype


@pytest.mark.parametrize("value", ["'a text'", "7", "NULL", "1.5"])
def test_a_value_of_another_type_is_missing(tmp_path, value):
    Cache(tmp_path / "cache").put({"k": b"answer"})
    with sqlite3.connect(tmp_path / "cache") as db:
        db.execute(f"UPDATE answers SET value = {value}")
    db.close()
    assert Cache(tmp_path / "cache").get(["k"]) == [None]


def test_published_answers_are_a_second_layer(tmp_path):
    folder = tmp_path / "published" / "some-data"
    folder.mkdir(parents=True)
    (folder / "descriptions.jsonl").write_text('{"key": "k1", "answer": "döner"}\n', encoding="utf-8")
    key = bytes(range(32))
    np.savez(folder / "e.npz", keys=np.frombuffer(key, np.uint8)[None], rows=np.ones((1, 3), np.float16))
    cache = Cache(tmp_path / "cache", tmp_path / "published")
    text, row, none = cache.get(["k1", key.hex(), "k3"])
    assert text.decode() == "döner"
    assert np.frombuffer(row, np.float16).tolist() == [1, 1, 1]
    assert none is None
    cache.put({"k1": b"own"})
    assert cache.get(["k1"]) == [b"own"]


def test_a_published_text_may_hold_any_line_break(tmp_path):
    folder = tmp_path / "published" / "some-data"
    folder.mkdir(parents=True)
    text = "one\u2028two\x85three\x0bfour\r\nfive"
    line = json.dumps(dict(key="ab", answer=text), ensure_ascii=False)
    (folder / "descriptions.jsonl").write_text(f"{line}\n", encoding="utf-8")
    assert Cache(tmp_path / "cache", tmp_path / "published").get(["ab"]) == [text.encode()]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("descriptions.jsonl", b'{"key": "ab", "answer"'),
        ("descriptions.jsonl", b'{"key": "ab"}\n'),
        ("descriptions.jsonl", b'{"key": "ab", "answer": 1}\n'),
        ("descriptions.jsonl", b'["ab"]\n'),
        ("descriptions.jsonl", b"\xff\xfe"),
        ("answers.npz", b"version https://git-lfs.github.com/spec/v1"),
        ("answers.npz", b"PK\x03\x04 cut off"),
        ("answers.npz", b""),
    ],
)
def test_a_damaged_published_file_is_named(tmp_path, name, content):
    folder = tmp_path / "published" / "some-data"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    with pytest.raises(rr.InputError, match=f"{name} is damaged .*git checkout"):
        Cache(tmp_path / "cache", tmp_path / "published").get(["ab"])


def test_no_pickle_is_loaded(tmp_path):
    folder = tmp_path / "published" / "some-data"
    folder.mkdir(parents=True)
    np.savez(folder / "answers.npz", keys=np.array([b"ab"], object), rows=np.array([{}], object))
    with pytest.raises(rr.InputError, match=r"is damaged .*pickle"):
        Cache(tmp_path / "cache", tmp_path / "published").get(["ab"])


def test_inputs_that_have_a_name_are_made_once(cache):
    """And what is made of them is kept under the inputs, as `arrays` keeps it."""
    made, trainings = [], {}

    def asked(name, x=3):
        def inputs():
            made.append("inputs")
            return dict(x=np.arange(x))

        return cache.named("sum", name, inputs, lambda of: made.append("sum") or dict(a=of["x"].sum()))["a"]

    with noting(trainings):
        assert [asked(dict(n=3)) for _ in range(2)] == [3, 3]
    assert made == ["inputs", "sum"]
    assert trainings == {key_of(step="sum", x=np.arange(3)): "sum"}
    assert asked(dict(other=3)) == asked(None) == 3  # another name, or none, of the same inputs
    assert made == ["inputs", "sum", "inputs", "inputs"]
    assert asked(dict(n=4), 4) == asked(None, 4) == 6
    assert cache.arrays(dict(step="sum", x=np.arange(4)), dict)["a"] == 6
    (other,) = (key for key, step in trainings.items() if step == "sum")
    cache.forget(other)
    assert asked(dict(n=3)) == 3
    assert made[-2:] == ["inputs", "sum"]


def test_a_key_holds_the_code_that_made_the_answer(tmp_path):
    """Who edits a training gets what the new code trains; a docstring or a comment costs nothing."""
    from rallrec.infra.code import code_of

    def digest(source: str) -> str:
        code_of.cache_clear()
        (tmp_path / "train.py").write_text(source)
        return code_of(str(tmp_path / "train.py"))

    before = digest('"""Trains."""\n\n\ndef step(x):\n    """One."""\n    return x * 0.9\n')
    assert digest("def step(x):  # decay\n    return x*0.9\n") == before
    assert digest("def step(x):\n    return x * 0.8\n") != before


def test_trainings_are_kept_under_their_code(monkeypatch, tiny_split, cache):
    from rallrec.representations import lightgcn

    settings = dict(dimensions=4, layers=1, epochs=2, cache=cache)
    first = lightgcn.train_lightgcn(tiny_split, **settings)
    with monkeypatch.context() as same:
        same.setattr(lightgcn, "_train", lambda *_: pytest.fail("trained again"))
        assert (lightgcn.train_lightgcn(tiny_split, **settings).items == first.items).all()
    monkeypatch.setattr(lightgcn, "code_of", lambda file: "edited")
    monkeypatch.setattr(lightgcn, "_train", lambda *_: {name: getattr(first, name) + 1 for name in vars(first)})
    assert (lightgcn.train_lightgcn(tiny_split, **settings).items == first.items + 1).all()


def test_caches_of_other_machines_become_one(tmp_path, monkeypatch, capsys):
    mine, other, damaged = (Cache(tmp_path / name) for name in ("mine", "its cache", "third"))
    mine.put({"a": b"mine", "b": b"same"})
    other.put({"a": b"theirs", "b": b"same", **{f"n{i}": bytes([i % 7]) for i in range(2500)}})
    damaged.put({"x": b"good", "y": b"bad"})
    damaged._db.execute("UPDATE answers SET value = ? WHERE key = 'y'", (b"worse",))
    damaged._db.commit()
    for cache in (other, damaged):
        cache._db.close()
    monkeypatch.setattr("rallrec.infra.cache.default_cache", lambda: mine)
    assert main(["take", str(other.path), str(damaged.path), str(other.path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{other.path}: 2,500 answers and trainings taken",
        f"{damaged.path}: 1 answers and trainings taken",
        f"{other.path}: 0 answers and trainings taken",
    ]
    assert mine.get(["a", "b", "n2499", "x", "y"]) == [b"mine", b"same", b"\0", b"good", None]


def test_what_is_no_other_cache_is_refused(tmp_path, monkeypatch, capsys):
    mine = Cache(tmp_path / "mine")
    mine.put({"a": b"1"})
    monkeypatch.setattr("rallrec.infra.cache.default_cache", lambda: mine)
    (tmp_path / "text").write_text("no cache")
    for name, said in (
        ("none", "there is no cache"),
        ("mine", "is the cache of this checkout itself"),
        ("text", "can't be read as a cache (file is not a database)"),
    ):
        assert main(["take", str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert mine.get(["a"]) == [b"1"]


def test_threads_share_a_cache(cache):
    """JupyterLab handles a knob in another thread than the cell that opened the cache."""
    from concurrent.futures import ThreadPoolExecutor

    cache.put({"here": b"1"})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: cache.put({f"{n}-{i}": b"2" for i in range(50)}), range(20)))
        assert list(pool.map(lambda n: cache.get(["here", f"{n}-49"]), range(20))) == [[b"1", b"2"]] * 20
