"""What a plan says before a run: counted, timed, or said not to be known."""

import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest

import rallrec as rr
from rallrec import __main__ as command
from rallrec.infra.cache import Cache
from rallrec.infra.files import ROOT
from rallrec.infra.progress import duration
from rallrec.llm.local import LocalModel
from rallrec.runs import plan as plans
from rallrec.runs import stale
from rallrec.runs.place import Parameters, reference
from rallrec.runs.plan import Cost, DataSetPlan, plan
from rallrec.runs.run import read_metrics

from .test_server import Server

TINY = dict(llm="tiny-random", profile="smoke")
COSTS = SimpleNamespace(description=Cost(3.0, 60, 100), embedding=Cost(0.5, 50), answer=Cost(2.0, 200))


@pytest.fixture(autouse=True)
def nothing_ran(tmp_path, monkeypatch):
    """Outputs, data and raw files in empty folders."""
    for variable, name in (("OUTPUT", "out"), ("DATA", "data"), ("RAW", "raw")):
        monkeypatch.setenv(f"RALLREC_{variable}", str(tmp_path / name))
    (tmp_path / "raw").mkdir()
    monkeypatch.setattr(plans, "_opened", lambda name: rr.language_model(name, cache=Cache(tmp_path / "cache")))


@pytest.fixture
def small(tmp_path, monkeypatch) -> DataSetPlan:
    """A plan of generated data with an empty cache, in which a text of the LLM takes a known time."""
    llm = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path / "cache"))
    monkeypatch.setattr(plans, "_opened", lambda name: llm)
    monkeypatch.setattr(plans, "Timed", lambda *_: COSTS)
    monkeypatch.setattr(DataSetPlan, "_beside_the_llm", lambda *_: 0.0)
    return DataSetPlan(Parameters("tiny", **TINY))


def work(of: DataSetPlan, notebook: str) -> dict[str, float]:
    return {w.what: w.seconds for w in of.work(notebook) if w.what}


def test_what_the_cache_lacks_is_counted(small):
    data = small.now.data
    n = data.n_items
    assert work(small, "01_descriptions") == {f"{n} descriptions": 3.0 * n}
    assert work(small, "02_text_embeddings") == {f"{2 * n} embeddings": n}
    rr.describe(data, small.llm, rows=range(20))
    assert work(small, "01_descriptions") == {f"{n - 20} descriptions": 3.0 * (n - 20)}
    rr.describe(data, small.llm)
    assert work(small, "01_descriptions") == {}
    texts = list(dict.fromkeys(rr.plain(data) + rr.describe(data, small.llm)))
    small.llm.embed(texts[:30])
    left = len(texts) - 30
    assert work(small, "02_text_embeddings") == {f"{left} embeddings": left / 2}
    small.llm.embed(texts)
    assert work(small, "02_text_embeddings") == {}


def test_answers_reasons_and_the_adapter(small, monkeypatch):
    """Of rows that ask the same, and of a combination's reader, an answer is counted once."""
    recent, retrieved = rr.Choice(selector="recent", reader="llm"), rr.Choice(reader="llm")
    longer, elsewhere = rr.Choice(k=7, reader="llm"), rr.Choice("colla", "high", "llm")
    untrained = rr.Choice(reader="llm, no augmentation")  # its adapter is not here, and the profile trains none
    one = ([recent, recent.read_by("llm + lightgbm"), retrieved, rr.Choice(), untrained], [retrieved, longer])
    monkeypatch.setattr(plans, "WITH_LLM", {"05_recommendation": one, "06_ablations": ([recent, elsewhere], [longer])})
    small.size = replace(small.size, tunings=("paper",))
    s, test, valid = small.size, small.split.test, small.split.valid
    studied = len(plans.ablations.prompt_study(s.llm_k)) * min(s.study_samples, len(valid))
    answers = 2 * min(s.llm_samples, len(test)) + s.ablation_samples + min(s.valid_samples, len(valid)) + studied
    assert work(small, "05_recommendation") == {
        f"{s.adapter['sequences']} prompts to train an adapter on": pytest.approx(2.0 * 4 * s.adapter["sequences"]),
        f"at most {answers} answers Yes or No": 2.0 * answers,
        "24 answers with reasons": 3.0 * 24,
    }
    n = min(s.llm_samples, len(test))  # the others are asked in notebook 05
    assert work(small, "06_ablations") == {f"at most {n} answers Yes or No": 2.0 * n}


def test_adapters_that_are_known_need_no_training(small, monkeypatch):
    n = small.size.adapter["sequences"]
    small.size = replace(small.size, tunings=("paper", "recent", "ours"))
    (trained,) = (w.what for w in [small._adapters("05_recommendation")])
    assert trained == f"{3 * n} prompts to train an adapter on"
    monkeypatch.setattr(plans.Study, "known_adapter", lambda self, tuning: tuning == "recent")
    monkeypatch.setattr(plans.Study, "adapter_at_hand", lambda self, tuning: tuning == "ours")
    assert small._adapters("05_recommendation").what == f"{n} prompts to train an adapter on"
    monkeypatch.setattr(plans.Study, "adapter_at_hand", lambda self, tuning: True)
    assert small._adapters("05_recommendation") is None


def test_what_was_asked_before_is_looked_up(small, monkeypatch):
    """Of a run with the same data, LLM and settings, those of its questions count that the cache lacks."""
    keys = [f"{n:064}" for n in range(5)]
    small.llm.cache.put(dict.fromkeys(keys[:3], b"12345678"))
    (log := plans.asked_path(small.place, "06_ablations")).parent.mkdir(parents=True)
    log.write_text("".join(f"{key} float32 choose\n" for key in keys))
    small.stale["06_ablations"] = "the code changed: rallrec.readers.vote, vote"
    assert work(small, "06_ablations") == {"2 answers Yes or No": 4.0}
    small.stale["06_ablations"] = "the data changed"
    assert list(work(small, "06_ablations")) == [f"{small._rows('06_ablations')} answers Yes or No"]


def test_trainings_take_as_long_as_ours_of_as_many_ratings(monkeypatch):
    runs = {n: read_metrics(n, ROOT).get("notebooks", {}) for n in filter(reference, plans.DATASETS)}
    seconds = {n: made["05_recommendation"]["made"]["seconds"] for n, made in runs.items()}
    ratings = {n: made["01_descriptions"]["values"]["ratings"] for n, made in runs.items()}
    most = max(ratings, key=ratings.get)
    of = DataSetPlan(Parameters("tiny"))
    for n_ratings, low, high in (
        (10, min(seconds.values()), max(seconds.values())),
        (100_000, seconds["ml-100k"], seconds["ml-100k"]),
        (10 * ratings[most], 10 * seconds[most], 10 * seconds[most]),
    ):
        of.now = SimpleNamespace(data=SimpleNamespace(n_ratings=n_ratings), took=lambda notebook: None)
        assert low <= of._beside_the_llm("05_recommendation") <= high + 1
    monkeypatch.setattr(plans, "read_metrics", lambda *_: {})  # somebody deleted our runs
    assert of._beside_the_llm("05_recommendation") is None
    of.now.took = lambda notebook: 77  # it ran here before
    assert of._beside_the_llm("05_recommendation") == 77


def test_a_larger_data_set_than_any_that_ran(monkeypatch):
    """Its time grows with its ratings, and can be told."""
    known = {"notebooks": {"06_ablations": {"made": {"seconds": 100.0}}}}
    monkeypatch.setattr(plans, "read_metrics", lambda name, *_: known if name == "ml-100k" else {})
    larger = DataSetPlan(Parameters("ml-1m"))
    seconds = larger._beside_the_llm("06_ablations")
    assert seconds == pytest.approx(100.0 * plans._ratings("ml-1m") / plans._ratings("ml-100k"))
    assert plans._told([seconds, None]) == f"{duration(seconds)} + ?"


def test_the_time_of_a_text_is_measured_here(tiny_split, llm, monkeypatch):
    asked = []
    real = LocalModel._choose
    monkeypatch.setattr(
        LocalModel, "_choose", lambda self, texts, options: asked.extend(texts) or real(self, texts, options)
    )
    timed = plans.Timed(llm, tiny_split, 3)
    assert 0 < timed.answer.seconds < 1
    assert len(asked) == plans.TRIED
    assert timed.description.seconds > timed.embedding.seconds > 0
    assert llm.paid == 0  # nothing was put into the cache
    assert timed.answer == Cost(timed.answer.seconds, sum(map(len, llm.tokens(asked))) / len(asked))
    assert (timed.description.written, timed.embedding.written) == (100, 0)
    _ = timed.answer
    assert len(asked) == plans.TRIED  # measured once


def test_a_reader_has_lines_of_its_own():
    said = plan([Parameters("tiny", **TINY, reader="gemma3-270m")])
    assert "To run, with the LLM tiny-random and the reader gemma3-270m and the profile smoke:" in said
    places = re.findall(r"^  (\S+)/0\d_", said, flags=re.M)
    assert places == ["tiny+tiny-random+smoke"] * 4 + ["tiny+tiny-random+smoke+reads-gemma3-270m"] * 2
    assert "The LLM gemma3-270m is not here yet: it is fetched first." in said
    assert "Where that can't be done" not in said  # nothing is published for it
    both = plan([Parameters("tiny", **TINY, reader=reader) for reader in ("", "gemma3-270m", "smollm2-135m")])
    assert "with the LLM tiny-random and the readers gemma3-270m, smollm2-135m and the profile smoke:" in both
    assert len(re.findall(r"^  \S+/01_", both, flags=re.M)) == 1  # what no reader is asked in
    assert len(re.findall(r"^  \S+/05_", both, flags=re.M)) == 3
    assert re.search(r"05_recommendation .*\? +not run here yet; LLM: 72 prompts to train an adapter on, at most", said)


def test_an_adapter_is_looked_for_on_the_reader():
    of = DataSetPlan(Parameters("tiny", **TINY, reader="gemma3-270m"))
    assert (of.study.llm.name, of.study.reader.name) == ("tiny-random", "gemma3-270m")


def test_published_answers_do_without_their_model(monkeypatch):
    """With the raw files here, and the LLM not: nothing is to be asked, and nobody waits for what can't be had."""
    monkeypatch.setattr(plans, "is_local", lambda name: True)
    monkeypatch.setattr(plans, "reference", lambda place: {"values": {}})
    monkeypatch.setattr(DataSetPlan, "_beside_the_llm", lambda *_: 60.0)
    of = Parameters("tiny", llm="smollm2-135m")
    told = DataSetPlan(of)
    assert told.to_fetch == ["smollm2-135m"]
    assert told.is_published
    assert [w.what for w in told.work("06_ablations") if w.what] == []
    assert f"{told.now.data.n_items} descriptions" in [w.what for w in told.work("01_descriptions")]  # none are kept
    said = plan([of])
    assert "The LLM smollm2-135m is not here yet: it is fetched first." in said
    assert "Where that can't be done, the published answers are used, and none of them is asked anew." in said


def test_what_nobody_timed_is_said():
    said = plan([Parameters("tiny", **TINY)])
    assert re.search(r"tiny\+tiny-random\+smoke/03_collaborative_embeddings +\? +not run here yet\n", said)
    assert re.search(r"/01_descriptions +\d+ (s|min) \+ \? +not run here yet; LLM: 80 descriptions\n", said)
    assert "A ? is what nobody has timed" in said


def test_a_model_that_is_not_here_is_not_fetched_for_a_plan():
    said = plan([Parameters("tiny", llm="meta-llama/Llama-3.1-8B-Instruct", profile="full")])
    assert "The LLM meta-llama/Llama-3.1-8B-Instruct is not here yet: it is fetched first." in said
    assert "Together how long is not known" in said
    assert re.search(r"05_recommendation .*LLM: [\d,]+ prompts to train an adapter on", said)
    assert "a GPU, of 24 GiB or more for 8 billion parameters" in said


def test_data_that_are_not_here_are_not_fetched_for_a_plan():
    """Of the reference data it is known what a run takes: the LLM's answers come with the repository."""
    said = plan([Parameters("ml-100k")])
    assert re.search(r"ml-100k/05_recommendation +\d+ (s|min) +raw files are to be fetched\n", said)
    assert "?" not in said
    assert "GiB of memory" in said


def test_what_is_left_out_is_named_if_nobody_named_the_data_sets(capsys):
    assert command.main(["plan"]) == 0
    left_out = capsys.readouterr().out.split("Left out, since their raw files are not here:")[1]
    assert re.findall(r"^  ([\w-]+): `make all DATASETS=", left_out, flags=re.M) == [
        "ml-1m",
        "bookcrossing",
        "amazon-movies",
    ]
    assert command.main(["plan", "tiny", "--llm", "tiny-random"]) == 0
    assert "Left out" not in capsys.readouterr().out


def test_a_plan_in_a_fresh_clone_writes_nothing(tmp_path):
    plan([Parameters(name) for name in plans.DATASETS])
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


# --- what is asked of each LLM -------------------------------------------------------------------------


@pytest.fixture
def server(llm) -> Iterator[Server]:
    made = Server(llm)
    made.served = ["Llama-3.1-8B-Instruct"]
    yield made
    made.shutdown()
    made.server_close()


def asked(said: str, name: str) -> str:
    """What a plan says of an LLM."""
    return re.search(rf"^Of the LLMs:\n(?:  .*\n)*?  {re.escape(name)}: (.*)$", said, flags=re.M)[1]


def read_by(server: Server) -> tuple[str, str]:
    """A plan whose reader the server is, and what it says of it."""
    name = server.name.replace("#tiny", f"#{server.served[0]}")
    said = plan([Parameters("tiny", **TINY, reader=name)])
    return said, asked(said, name)


def test_texts_tokens_seconds_and_memory_of_an_llm_on_this_machine(small, monkeypatch):
    n, (rest,) = small.now.data.n_items, [w.n for w in small.work("06_ablations") if w.what]
    todo = [(small, notebook, small.work(notebook)) for notebook in ("01_descriptions", "02_text_embeddings")]
    (line,) = plans._llms([*todo, (small, "06_ablations", small.work("06_ablations"))])[1:]
    texts, tokens = 3 * n + rest, n * 60 + 2 * n * 50 + rest * 200
    assert line.startswith(
        f"  tiny-random: {texts:,} texts, about {tokens:,} tokens read, at most 8,000 written, about "
    )
    weights = sum(p.numel() for p in small.llm.model.parameters()) * 4
    token = 2 * 2 * 2 * 8 * 4  # keys and values of two layers, two heads of 8 numbers in float32
    rows = 8 * small.llm.batch_tokens // 200
    for size in (weights, rows * (200 + 100) * token):
        assert f"{size / 2**20:.1f} MiB of " in line
    assert f", of {rows} texts at a time" in line


def test_a_reader_on_a_server_is_timed_and_its_tokens_and_memory_are_told(server, tiny_split):
    """Its tokens are counted by the server, on four texts; its size is in its name."""
    said, line = read_by(server)
    n = sum(int(found.replace(",", "")) for found in re.findall(r"([\d,]+) answers Yes", said))
    assert line.startswith(f"{n:,} texts, about ")
    shown = rr.select(tiny_split.valid.take(range(32)), "recent", k=3)
    texts = plans.build(shown, "labelled", server.llm).texts
    tokens = sum(map(len, server.llm.tokens(texts))) / len(texts)
    assert server.answered == 32 + 4  # as many as may be in flight, and those that are counted
    told = float(re.search(r"about ([\d,.]+) tokens read", line)[1].replace(",", ""))
    assert told == pytest.approx(n * tokens, rel=0.05)
    assert re.search(
        r" tokens read, about \d+ (s|min); memory is the server's: 15 GiB of weights \(8 billion param", line
    )
    assert line.endswith(" by its name, if in 16 bits) and its cache")
    assert "prompts to train" not in said
    assert "Notebooks 05 and 06 will stop: tiny has no adapter for http://" in said


@pytest.mark.parametrize(
    ("about", "served", "memory"),
    [
        ({"meta": {"size": 5 * 2**30, "n_params": 8_000_000_000}}, "mine", "5.0 GiB of weights (as it says)"),
        ({"root": "mistralai/Mistral-7B-v0.3"}, "mine", "13 GiB of weights (7 billion parameters by its name"),
        ({}, "Qwen3-0.6B", "1.1 GiB of weights (0.6 billion"),
        ({}, "mine", "which does not tell its model's size"),
        ({}, "Mixtral-8x7B", "which does not tell its model's size"),
    ],
)
def test_the_size_of_a_servers_model(server, about, served, memory):
    server.about, server.served = about, [served]
    llm = rr.language_model(server.name.replace("#tiny", f"#{served}"))
    assert memory in llm.memory(100, 0)
    assert server.answered == 0


def test_a_server_that_can_not_be_timed(server):
    """It does not answer these prompts, say; the plan is printed all the same, and soon."""
    server.hidden = (" Yes", " No")
    server.troubles = [400] * 1000
    _, line = read_by(server)
    assert "texts, how many tokens is not known, how long is not known; memory is the server's" in line


def test_an_llm_that_is_not_here_is_known_by_its_name():
    name = "meta-llama/Llama-3.1-8B-Instruct"
    line = asked(plan([Parameters("tiny", llm=name, profile="full")]), name)
    assert line.endswith(
        "how long is not known; 15 GiB of weights (8 billion parameters by its name, if in 16 bits), and a cache"
    )


def test_nothing_to_run(monkeypatch):
    monkeypatch.setattr(stale.Now, "why", lambda *_: None)
    assert plan([Parameters("tiny", **TINY)]) == "Nothing to run: nothing that the results depend on has changed."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "data set is 'nowhere'"),
        (["tiny", "--profile", "huge"], "profile is 'huge'"),
        (["tiny", "--llm", "gpt-17"], "LLM 'gpt-17' is unknown"),
        (["tiny", "--llm", "./no/folder"], "is no folder"),
        (["tiny", "--seed", "-1"], "seed is -1"),
        (["tiny", "--extra", "no.py"], "EXTRA: there is no file no.py"),
    ],
)
def test_what_a_run_would_refuse_a_plan_refuses(arguments, said, capsys):
    assert command.main(["plan", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
