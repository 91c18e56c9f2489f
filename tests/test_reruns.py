"""What changed is run again, and nothing else; every run has a place of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rallrec as rr
from rallrec import __main__ as command
from rallrec.infra.cache import Cache
from rallrec.infra.files import ROOT, data_dir
from rallrec.llm.local import LocalModel
from rallrec.runs import place, runner, stale
from rallrec.runs.place import Parameters, reference, reference_path, short
from rallrec.runs.publishing import record_reference
from rallrec.runs.reporting import compare
from rallrec.runs.run import NOTEBOOKS, read_metrics
from rallrec.runs.stale import Now
from rallrec.runs.tracing import pieces

TINY = dict(llm="tiny-random", profile="smoke")
FIRST, LAST = "01_descriptions", "06_ablations"

MODULE = '''
"""A module."""

import math

WIDTH = 3


def double(x: int = 1) -> int:
    """Twice x."""
    return 2 * x


@property
def name(self):
    return "a"


class Box:
    """A box."""

    size = 3

    def volume(self):
        """Of the box."""
        return self.size**3
'''


@pytest.mark.parametrize(
    ("edit", "differ"),
    [
        (lambda s: s.replace('"""Twice x."""', '"""Two times x."""'), set()),
        (lambda s: s.replace('    """Of the box."""\n', ""), set()),
        (lambda s: s.replace('"""A module."""', "# no docstring\n\n"), set()),
        (lambda s: s.replace("2 * x", "(2  *  x)  # twice"), set()),
        (lambda s: s.replace("2 * x", "3 * x"), {":double"}),
        (lambda s: s.replace("x: int = 1", "x: int = 2"), {":double"}),
        (lambda s: s.replace("**3", "**2"), {":Box.volume"}),
        (lambda s: s.replace('return "a"', 'return "b"'), {":name"}),
        (lambda s: s.replace("@property\n", "@staticmethod\n"), {":name", ":"}),
        (lambda s: s.replace("WIDTH = 3", "WIDTH = 4"), {":"}),
        (lambda s: s.replace("size = 3", "size = 4"), {":"}),
        (lambda s: s.replace("import math", "import cmath as math"), {":"}),
        (lambda s: s + "\n\ndef unrelated():\n    return 1\n", {":unrelated"}),
    ],
)
def test_an_edit_counts_where_it_does_something(tmp_path, edit, differ):
    (tmp_path / "box.py").write_text(MODULE)
    before = pieces(tmp_path)
    (tmp_path / "box.py").write_text(edit(MODULE))
    after = pieces(tmp_path)
    changed = {name.removeprefix("rallrec.box") for name in before | after if before.get(name) != after.get(name)}
    assert changed - {":*"} == differ
    assert (":*" in changed) is bool(differ)


@pytest.fixture
def first_only(monkeypatch):
    """Runs of a data set are of the first notebook."""
    monkeypatch.setattr(runner, "NOTEBOOKS", (FIRST,))


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A data set of the user's own, with outputs and data in a folder of the test."""
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    folder = tmp_path / "my ratings"
    folder.mkdir()
    rows = [
        f"u{u},i{(u + n) % 12},{1 + (u * n) % 5},{1_000_000_000 + 86_400 * n + u}" for u in range(12) for n in range(9)
    ]
    (folder / "ratings.csv").write_text("user_id,item_id,rating,time\n" + "\n".join(rows) + "\n")
    items = [f"i{n},Item {n},kind {n % 3}" for n in range(12)]
    (folder / "items.csv").write_text("item_id,title,genres\n" + "\n".join(items) + "\n")
    return folder


def test_what_changed_is_run_again_and_nothing_else(own, first_only, monkeypatch, capsys):
    """One run of a real notebook; then each thing that its results depend on is changed, and put back."""
    of = Parameters(str(own), **TINY)
    assert Now(of).why(FIRST) == "not run here yet"
    runner.run_all(of)
    assert "my ratings+tiny-random+smoke: 01_descriptions (not run here yet)" in capsys.readouterr().out
    executed = own.parent / "out" / "papermill_runs" / "my ratings+tiny-random+smoke" / f"{FIRST}.ipynb"
    assert str(own) not in executed.read_text()
    monkeypatch.setattr(runner, "execute", lambda *_: pytest.fail("ran again"))
    runner.run_all(of)
    assert capsys.readouterr().out == (
        "my ratings+tiny-random+smoke: nothing to run, since nothing that it depends on has changed\n"
    )

    record = json.loads(stale.record_path(Now(of).place, FIRST).read_text())
    assert "rallrec.representations.text:describe" in record["code"]  # what it ran
    assert not {"rallrec.readers.vote:vote", "rallrec.data.own:own_data"} & record["code"].keys()  # what it didn't

    def why(path: Path, change) -> str | None:
        """The reason after a change of a file, which is then put back."""
        before = path.read_bytes() if path.exists() else None
        change(path)
        try:
            return Now(of).why(FIRST)
        finally:
            if before is None:
                path.unlink()
            else:
                path.write_bytes(before)

    def replaced(old: str, new: str):
        return lambda path: path.write_text(path.read_text().replace(old, new))

    assert why(own / "ratings.csv", replaced("u3,i5,", "u3,i5,5,1000260003\nu3,i5,")) == "the data changed"
    assert why(own / "items.csv", replaced("Item 7", "Thing 7")) == "the data changed"
    assert why(own / "dataset.toml", lambda path: path.write_text("like_above = 2\n")) == "the data changed"
    assert why(own / "notes.txt", lambda path: path.write_text("mine")) is None
    assert why(executed, replaced("Item", "Thing")) == "its outputs were changed"
    assert why(executed, lambda path: path.unlink()) == "its outputs are gone"
    tables = own.parent / "out" / "figures" / executed.parent.name
    metrics, table = executed.with_name("metrics.json"), sorted(tables.glob("*.csv"))[0]
    assert why(table, lambda path: path.unlink()) == f"its {table.name} is gone"
    assert why(table, lambda path: path.write_text("a\n1\n")) == f"its {table.name} was changed"
    lost = "its values in metrics.json are gone or were changed"
    assert why(metrics, lambda path: path.unlink()) == lost
    assert why(metrics, replaced('"ratings": 108', '"ratings": 109')) == lost
    assert Now(of).why(FIRST) is None
    assert Now(Parameters(str(own), **TINY, seed=1)).why(FIRST) == "not run here yet"  # a place of its own
    monkeypatch.setenv("RALLREC_DTYPE", "bfloat16")
    assert Now(of).why(FIRST) == "the LLM changed"
    monkeypatch.delenv("RALLREC_DTYPE")
    monkeypatch.setenv("RALLREC_FRESH", "1")
    assert Now(of).why(FIRST) == "FRESH changed"
    monkeypatch.delenv("RALLREC_FRESH")

    code = pieces()
    for name, reason in (
        ("rallrec.representations.text:describe", "the code changed: rallrec.representations.text, describe"),
        ("rallrec.representations.text:", "the code changed: rallrec.representations.text"),
        ("rallrec.readers.vote:vote", None),
        ("rallrec.data.own:own_data", None),  # shows in the data's hash
        ("rallrec.runs.side_by_side:said", None),
    ):
        assert name in code, name
        now = Now(of)
        now.__dict__["code"] = code | {name: "another digest"}
        assert now.why(FIRST) == reason, name
    record_file = stale.record_path(Now(of).place, FIRST)
    del record["inputs"]["the seed"]
    for damaged in (record_file.read_text()[:-20], json.dumps(record), "[]"):  # the second is of another version
        record_file.write_text(damaged)
        assert Now(of).why(FIRST) == "its record can't be read"
    metrics.write_text(metrics.read_text()[:-20])
    assert command.main(["check", "--llm", "tiny-random", "--profile", "smoke", str(own)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"rallrec: {metrics} is damaged")
    assert "delete it and run `make all` again" in err


def test_the_users_own_file_and_what_it_loads(own, first_only):
    """EXTRA, a module that it imports, and a file of scores."""
    helper, extra = own.parent / "my_helper.py", own.parent / "extra.py"
    helper.write_text("K = 3\n")
    extra.write_text(f"import sys\nsys.path.insert(0, {str(own.parent)!r})\nimport my_helper\n")
    of = Parameters(str(own), **TINY, extra=str(extra))
    runner.run_all(of)
    assert Now(of).why(FIRST) is None
    helper.write_text("K = 4\n")
    assert Now(of).why(FIRST) == "my_helper.py changed"
    helper.write_text("K = 3\n")
    extra.write_text(extra.read_text() + "# another line\n")
    assert Now(of).why(FIRST) == "extra.py changed"


def test_files_that_the_users_own_file_opens_count_by_content(own, first_only):
    """Whoever opens them for it; not those that the package or an import opens."""
    extra, vectors, words = (own.parent / name for name in ("extra.py", "vectors.npy", "words.csv"))
    np.save(vectors, np.zeros(3))
    words.write_text("a\n1\n")
    extra.write_text(
        f"import colorsys\nimport numpy as np\nimport pandas as pd\nimport rallrec as rr\n"
        f"np.load({str(vectors)!r})\npd.read_csv({str(words)!r})\nopen({str(own.parent / 'log')!r}, 'w').close()\n"
        f"rr.load({str(own)!r})\n"
    )
    of = Parameters(str(own), **TINY, extra=str(extra))
    runner.run_all(of)
    record = json.loads(stale.record_path(Now(of).place, FIRST).read_text())
    assert record["files"].keys() == {str(extra), str(vectors), str(words)}
    np.save(vectors, np.ones(3))
    assert Now(of).why(FIRST) == "vectors.npy changed"


def test_a_file_of_scores_is_noted(own, tiny_split):
    from rallrec.extensions import Scores
    from rallrec.infra.noted import NOTED

    data, test = tiny_split.data, tiny_split.test
    path = own / "p.csv"
    rows = [f"{data.users.user_id[u]},{data.items.item_id[i]},0.5" for u, i in zip(test.user, test.item, strict=True)]
    path.write_text("user_id,item_id,p\n" + "\n".join(rows) + "\n")

    class Study:
        split = tiny_split

        def samples(self, part):
            return getattr(tiny_split, part)

        def remember(self, key, make):
            return make()

    Scores("mine", path).judged(Study(), "test")
    assert str(path) in NOTED


def test_another_adapter_makes_it_run_again(own, first_only):
    """A notebook that used an adapter, once one for these data is trained beside it."""
    of = Parameters(str(own), **TINY)
    runner.run_all(of)
    now, path = Now(of), stale.record_path(Now(of).place, FIRST)
    made = json.loads(path.read_text())
    assert made["adapters"] == ""  # it used none
    path.write_text(json.dumps(made | {"adapters": now.adapters}))
    assert Now(of).why(FIRST) is None
    folder = data_dir() / "adapters" / "0123"
    folder.mkdir(parents=True)
    (folder / "rallrec.json").write_text(json.dumps({"inputs": {"data": "other"}}))
    assert Now(of).why(FIRST) is None
    (folder / "rallrec.json").write_text(json.dumps({"inputs": {"data": now.data.hash}}))
    assert Now(of).why(FIRST) == "another adapter is there"


def test_an_llm_folder_counts_by_its_content(tmp_path):
    from rallrec.llm.weights import _tiny_random

    model, tokenizer = _tiny_random()
    model.save_pretrained(tmp_path / "llm")
    tokenizer.save_pretrained(tmp_path / "llm")

    def inputs():
        return Now(Parameters("tiny", llm=str(tmp_path / "llm"))).inputs

    before = inputs()
    assert inputs() == before
    config = tmp_path / "llm" / "tokenizer_config.json"
    config.write_text(config.read_text().replace("{", '{"chat_template": "{{ messages[0].content }}",', 1))
    assert [name for name, value in inputs().items() if value != before[name]] == ["the LLM"]


# --- places -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "tiny"),
        (dict(profile="full"), "tiny+full"),
        (dict(seed=3, k=5), "tiny+seed3+k5"),
        (dict(llm="meta-llama/Llama-3.1-8B-Instruct"), "tiny+meta-llama--Llama-3.1-8B-Instruct"),
        (dict(llm="http://127.0.0.1:8000/v1#my model"), "tiny+my-model-127.0.0.1-8000"),
        (dict(llm="tiny-random", extra="docs/own_method.md"), "tiny+tiny-random+docs--own_method.md"),
        (dict(reader="gemma3-270m"), "tiny+reads-gemma3-270m"),
        (dict(reader="owner/model", seed=3), "tiny+seed3+reads-owner--model"),
        (dict(reader="smollm2-135m"), "tiny"),  # the LLM's own
    ],
)
def test_a_place_says_what_it_is_of(given, expected):
    assert Parameters("tiny", **given).place() == expected


def test_a_reader_is_told_to_the_notebooks_that_ask_it(tmp_path):
    of = Parameters("tiny", llm="tiny-random", reader="gemma3-270m")
    plain = Parameters("tiny", llm="tiny-random")
    assert [of.of(notebook) == plain for notebook in NOTEBOOKS] == [True] * 4 + [False] * 2
    assert of.of_notebook()["READER"] == "gemma3-270m"
    assert "READER" not in plain.of_notebook()
    (tmp_path / "model").mkdir()
    own = Parameters("tiny", reader=str(tmp_path / "model"))
    assert own.shown() == {str(tmp_path / "model"): "model"}


def test_each_reader_has_recorded_values_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "published_dir", lambda: tmp_path)
    (tmp_path / "ml-100k").mkdir()
    assert reference_path("ml-100k") == tmp_path / "ml-100k" / "reference.json"
    path = reference_path("ml-100k+reads-gemma3-270m")
    assert path == tmp_path / "ml-100k" / "reference-gemma3-270m.json"
    path.write_text('{"values": {}}')
    assert reference("ml-100k+reads-gemma3-270m") == {"values": {}}
    assert reference("ml-100k") == reference("ml-100k+seed1+reads-gemma3-270m") == reference("ml-100k+seed1") == {}


def test_values_of_one_reader_are_not_compared_with_anothers(tmp_path, monkeypatch):
    """Until its own are recorded there is nothing to compare."""
    monkeypatch.setattr(place, "published_dir", lambda: tmp_path / "published")
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    settings = dict(data_hash="h", llm="tiny-random", profile="smoke", seed=0, other_parameters={})
    for name, reader, value in (("tiny", {}, 1), ("tiny+reads-other", {"reader": "other"}, 2)):
        (tmp_path / "papermill_runs" / name).mkdir(parents=True)
        notebooks = {LAST: dict(values={"n": value}, made={})}
        metrics = dict(settings, dataset="tiny", **reader, notebooks=notebooks)
        (tmp_path / "papermill_runs" / name / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "published" / "tiny").mkdir(parents=True)
    record_reference("tiny")
    assert compare("tiny")[1]
    said, good = compare("tiny+reads-other")
    assert good
    assert "recorded for other settings, so nothing to compare: reader other (recorded: None)" in said
    path = record_reference("tiny+reads-other")
    assert path.name == "reference-other.json"
    assert json.loads(path.read_text())["settings"]["reader"] == "other"
    for name in ("tiny", "tiny+reads-other"):
        assert f"{name}: 1 of 1 recorded values reproduced" in compare(name)[0]


def test_notebooks_that_ask_no_reader_are_run_once_for_all_readers(own, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(
        runner, "execute", lambda notebook, given, now: ran.append((now.place, notebook, given.get("READER")))
    )
    of = Parameters(str(own), **TINY, reader="gemma3-270m")
    monkeypatch.setattr(LocalModel, "fetch", lambda self: print(f"fetch {self.name}"))
    runner.run_all(of)
    base = "my ratings+tiny-random+smoke"
    assert ran == [(base, n, None) for n in NOTEBOOKS[:4]] + [
        (f"{base}+reads-gemma3-270m", n, "gemma3-270m") for n in NOTEBOOKS[4:]
    ]
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("fetch")] == [
        "fetch tiny-random",
        "fetch gemma3-270m",
    ]
    assert (
        said.index("04_joint") < said.index("fetch gemma3-270m") < said.index("05_recommendation")
    )  # when it is asked


def test_other_weights_of_the_reader_make_only_what_asks_it_run_again(own, tmp_path):
    from rallrec.llm.weights import _tiny_random

    model, tokenizer = _tiny_random()
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "llm")
    of = Parameters(str(own), **TINY, reader=str(tmp_path / "llm"))
    before = [Now(of.of(notebook)).inputs for notebook in (FIRST, LAST)]
    (tmp_path / "llm" / "added_tokens.json").write_text("{}")
    after = [Now(of.of(notebook)).inputs for notebook in (FIRST, LAST)]
    assert after[0] == before[0]
    assert [name for name, value in after[1].items() if value != before[1][name]] == ["the reader"]


@pytest.mark.parametrize("published", [True, False])
def test_where_a_model_can_not_be_fetched_published_answers_do(own, monkeypatch, capsys, published):
    def refuse(self):
        raise rr.InputError("no network: it could not be fetched")

    monkeypatch.setattr(LocalModel, "fetch", refuse)
    monkeypatch.setattr(runner, "reference", lambda place: {"values": {}} if published else {})
    ran = []
    monkeypatch.setattr(runner, "execute", lambda notebook, *_: ran.append(notebook))
    of = Parameters(str(own), **TINY)
    if not published:
        with pytest.raises(rr.InputError, match="no network"):
            runner.run_all(of)
        assert ran == []
        return
    runner.run_all(of)
    assert ran == list(NOTEBOOKS)
    said = "no network: it could not be fetched\nmy ratings+tiny-random+smoke: its published answers are used, and none"
    assert capsys.readouterr().out.count(said) == 1
    monkeypatch.setenv("RALLREC_FRESH", "1")  # which wants all anew
    with pytest.raises(rr.InputError, match="no network"):
        runner.run_all(of)


def test_what_a_run_was_made_by_is_told_with_it(own, monkeypatch):
    """The reader stands in `metrics.json`, so that runs of different readers are not compared as one."""
    of = Parameters(str(own), **TINY, reader="gemma3-270m")
    staging = own.parent / "staging"
    (staging / "figures").mkdir(parents=True)
    seconds = '{"rows": {}, "paid": 0}'
    for name, content in (("metrics.json", '{"n": 1}'), ("seconds.json", seconds), (f"{LAST}.ipynb", "{}")):
        (staging / name).write_text(content)
    runner._put_in_place(staging, LAST, Now(of), "", 1.0)
    made = read_metrics(of.place())
    assert (made["llm"], made["reader"], made["other_parameters"]) == ("tiny-random", "gemma3-270m", {})
    assert read_metrics(Parameters(str(own), **TINY).place()) == {}


def test_a_run_says_who_reads(own):
    run = rr.start(LAST, "tiny", "tiny-random", "smoke", reader="gemma3-270m")
    assert "LLM tiny-random, reader gemma3-270m, seed 0" in repr(run)
    assert (run.llm, run.reader) == ("tiny-random", "gemma3-270m")
    plain = rr.start(LAST, "tiny", "tiny-random", "smoke")
    assert plain.reader == "tiny-random"
    assert "reader" not in repr(plain)


def test_folders_of_one_name_have_places_of_their_own(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "llm").mkdir(parents=True)
        (tmp_path / parent / "llm" / "config.json").write_text("{}")
    places = {Parameters("tiny", llm=str(tmp_path / parent / "llm")).place() for parent in ("a", "b")}
    assert len(places) == 2
    assert all(place.startswith("tiny+llm-") for place in places)
    assert short(str(ROOT / "mine.py")) == "mine.py"


def test_relative_paths_mean_the_same_in_the_kernel(own, monkeypatch):
    """`fetch` and the notebooks have other working directories."""
    monkeypatch.chdir(own.parent)
    (own.parent / "my llm").mkdir()
    (own.parent / "my llm" / "config.json").write_text("{}")
    (own.parent / "mine.py").write_text("")
    of = Parameters("my ratings/", llm="my llm", extra="mine.py")
    assert (of.dataset, of.llm, of.extra) == tuple(str(own.parent / n) for n in ("my ratings", "my llm", "mine.py"))
    assert of.shown() == {of.dataset: "my ratings", of.llm: "my llm", of.extra: "mine.py"}
    assert Parameters("./my ratings").place() == "my ratings"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (dict(dataset="nowhere"), "data set is 'nowhere'"),
        (dict(profile="huge"), "profile is 'huge'"),
        (dict(seed=-1), "seed is -1"),
        (dict(k=0), "K is 0"),
        (dict(extra="nothing.py"), "EXTRA: there is no file nothing.py"),
        (dict(llm="./nothing"), "is no folder"),
    ],
)
def test_what_a_run_would_refuse_is_refused_at_once(given, said):
    with pytest.raises(rr.InputError, match=said):
        Parameters(**{"dataset": "tiny"} | given)


def test_a_data_set_can_not_take_the_overviews_place(own):
    shutil.move(own, own.with_name("overview"))
    with pytest.raises(rr.InputError, match="a data set can't be called 'overview'"):
        Parameters(str(own.with_name("overview")))


# --- the commands ---------------------------------------------------------------------------------------


def rallrec(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        [sys.executable, "-m", "rallrec", *arguments], capture_output=True, text=True, cwd=cwd, env=environment
    )


def test_relative_folders_are_those_of_the_command(own):
    """RALLREC_RAW, RALLREC_DATA and a relative data set, from another working directory than the notebooks'."""
    given = dict(RALLREC_RAW=".", RALLREC_DATA="my data", RALLREC_OUTPUT="my out")
    for dataset in ("my ratings", "my ratings/"):
        done = rallrec("run", FIRST, "--dataset", dataset, "--llm", "tiny-random", cwd=own.parent, **given)
        assert done.returncode == 0, done.stderr
    assert (own.parent / "my out" / "papermill_runs" / "my ratings+tiny-random" / f"{FIRST}.ipynb").exists()
    assert (own.parent / "my data" / "cache.sqlite").exists()


def test_a_sound_cache_needs_no_salvage(tmp_path, monkeypatch, capsys):
    path = tmp_path / "my cache.sqlite"
    monkeypatch.setattr("rallrec.infra.cache.default_cache", lambda: Cache(path))
    Cache(path).put({"0" * 64: b"an answer"})
    assert command.main(["salvage"]) == 0
    assert capsys.readouterr().out == f"{path} is sound (1 answers): there is nothing to salvage\n"
    assert not list(tmp_path.glob("*.damaged*"))
    assert Cache(path).get(["0" * 64]) == [b"an answer"]


def test_fetch_tells_what_reading_mended(own, capsys):
    (own / "ratings.csv").write_text((own / "ratings.csv").read_text() + "u3,nothing,5,1000000000\n")
    assert command.main(["fetch", "--dataset", str(own), "--llm", "tiny-random"]) == 0
    assert "1 ratings of items that items.csv lacks are left out" in capsys.readouterr().out


def test_make_hands_every_setting_on():
    """Blanks and paths included; the Makefile decides nothing itself."""
    given = ["LLM=my models/one", "DATASETS='my ratings' ../other/", "EXTRA=my file.py", "PROFILE=smoke", "SEED=3"]
    given += ["READER=my models/two"]
    said = subprocess.run(
        ["make", "-n", "runs", f"PYTHON={sys.executable}", *given], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    options = "--llm 'my models/one' --profile smoke --seed 3 --reader 'my models/two' --extra 'my file.py' --"
    options += " 'my ratings' ../other/"
    assert f"-m rallrec plan {options}\n" in said
    assert f"-m rallrec all {options}\n" in said


def test_a_data_set_named_twice_is_run_once_and_two_of_one_name_are_refused(own, tmp_path, capsys):
    args = command._parser().parse_args(["all", "--llm", "tiny-random", str(own), f"{own}/", "tiny"])
    assert [parameters.name for parameters in command._parameters(args)] == ["my ratings", "tiny"]
    other = tmp_path / "elsewhere" / own.name
    shutil.copytree(own, other)
    assert command.main(["plan", "--llm", "tiny-random", str(own), str(other)]) == 2
    assert capsys.readouterr().err == (
        f"rallrec: {other} and {own} would write to the same place; rename one of them\n"
    )


def test_several_readers_are_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    def readers(text: str) -> list[str]:
        args = command._parser().parse_args(["all", "--llm", "smollm2-135m", "--reader", text, "tiny"])
        return [parameters.reader for parameters in command._parameters(args)]

    assert readers("smollm2-135m gemma3-270m") == ["", "gemma3-270m"]  # the LLM that describes reads, too
    assert readers("gemma3-270m gemma3-270m") == ["gemma3-270m"]
    assert readers("") == [""]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "config.json").write_text("{}")
    assert readers("my model") == [str(tmp_path / "my model")]
    assert readers("'my model' gemma3-270m") == [str(tmp_path / "my model"), "gemma3-270m"]
    assert command.main(["plan", "--reader", "it's", "tiny"]) == 2
    said = 'rallrec: READER (--reader) is "it\'s": No closing quotation; name readers with blanks between them\n'
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", FIRST, "-p", "DATASET", "5"], "data set is '5'; it must be one of"),
        (["run", FIRST, "-p", "EXTRA", "5"], "EXTRA: there is no file 5"),
        (["run", FIRST, "-p", "SEED", "1.5"], "seed is 1.5; it must be a whole number"),
        (["overview", "--places", "ml-100k", "--name", ""], "--name is ''"),
        (["overview", "--places", "ml-100k", "--name", "a/b"], "--name is 'a/b'"),
    ],
)
def test_settings_of_nonsense_get_one_line(arguments, said, capsys):
    assert command.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"rallrec: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["plan", "--seed", "x"], ["run"]])
def test_arguments_that_are_none_get_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("rallrec: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("value", ["no", "yes", "2"])
def test_fresh_is_0_or_1(monkeypatch, capsys, value):
    monkeypatch.setenv("RALLREC_FRESH", value)
    assert command.main(["plan", "tiny"]) == 2
    assert capsys.readouterr().err == f"rallrec: FRESH (RALLREC_FRESH) is {value!r}; it must be 0 or 1\n"
