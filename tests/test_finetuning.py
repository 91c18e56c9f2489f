import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import log_loss

import rallrec as rr
from rallrec.data.dataset import Dataset
from rallrec.data.split import Samples
from rallrec.infra.cache import Cache
from rallrec.infra.files import ROOT
from rallrec.readers import adapter as finetuning
from rallrec.readers import training
from rallrec.readers.adapter import adapter, digest_of, overlap, sequences, titles_of, which
from rallrec.retrieval.selectors import select

SETTINGS = dict(sequences=24, valid_sequences=8, batch=4, k=3, checks=3, learning_rate=1e-2)
MADE_OF = dict(items="drawn", seed=3)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def show(embedding):
    return lambda order, samples, k: select(samples, order, None if order == "recent" else embedding, k)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """An empty folder of published artefacts."""
    monkeypatch.setattr(finetuning, "published_dir", lambda: tmp_path / "published")
    return tmp_path / "published"


def test_labels_are_where_they_are_said_to_be(tiny_split, llm):
    shown = select(tiny_split.train.take(np.arange(4)), "recent", k=3)
    yes, no = (llm.tokenizer(o)["input_ids"][0] for o in (" Yes", " No"))
    for n, (ids, places, liked) in enumerate(sequences(shown, llm)):
        assert [ids[p] for p in places] == [yes if like else no for like in liked]
        assert places[-1] == len(ids) - 1
        assert liked == [*shown.liked[n], shown.samples.liked[n]]


def test_training_lowers_the_loss_and_the_adapter_is_used(tiny_split, show, llm, folders):
    trained = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    folder, curve = trained.folder, trained.curve
    assert trained.trained_on == "tiny"
    assert curve.valid[-1] < curve.valid[0]
    adapted = llm.adapted(folder)
    shown = select(tiny_split.test.take(np.arange(20)), "recent", k=3)
    plain, tuned = rr.recommend(shown, llm), rr.recommend(shown, adapted)
    assert adapted.weights != llm.weights
    losses = [log_loss(shown.samples.liked, p) for p in (plain, tuned)]
    assert losses[1] < losses[0]
    assert json.loads((folder / "rallrec.json").read_text())["curve"]["step"] == curve.step


def test_the_plain_model_stays_as_it_was(tiny_split, show, llm, folders):
    before = {name: weight.clone() for name, weight in llm.model.state_dict().items()}
    adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    after = llm.model.state_dict()
    assert after.keys() == before.keys()
    assert all(after[name].equal(weight) for name, weight in before.items())


def test_an_equal_share_of_the_samples_is_shown_in_each_order(tiny_split, show, llm, folders):
    asked = []

    def noted(order, samples, k):
        asked.append((order, samples, k))
        return show(order, samples, k)

    adapter(tiny_split, noted, MADE_OF, llm, **SETTINGS, orders=("recent", "high", "rerank"))
    assert [order for order, _, _ in asked] == ["recent", "high", "rerank"] * 2
    assert [len(samples) for _, samples, _ in asked] == [8, 8, 8, 3, 3, 2]
    assert {k for _, _, k in asked} == {3}
    for part, three in ((tiny_split.train, asked[:3]), (tiny_split.valid, asked[3:])):
        positions = np.concatenate([samples.position for _, samples, _ in three])
        assert len(set(positions)) == len(positions)
        assert np.isin(positions, part.position).all()


# forward passes since a run began; from one checkpoint to the next there are two steps and a check of two batches
@pytest.mark.parametrize("interruptions", [(2,), (11,), (6, 3)])
def test_resumed_equals_uninterrupted(tiny_split, show, tmp_path, monkeypatch, interruptions):
    made = []
    for name, deaths in (("whole", ()), ("resumed", interruptions)):
        monkeypatch.setenv("RALLREC_DATA", str(tmp_path / name))
        llm = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path / name / "cache"))
        for last in deaths:
            losses, real = [], training._label_losses

            def dies(*a, losses=losses, real=real, last=last):
                losses.append(1)
                if len(losses) == last:
                    raise KeyboardInterrupt
                return real(*a)

            with monkeypatch.context() as m:
                m.setattr(training, "_label_losses", dies)
                with pytest.raises(KeyboardInterrupt):
                    adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
            assert not list((tmp_path / name).glob("adapters/*"))
        trained = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
        made.append([(trained.folder / f).read_bytes() for f in ("adapter_model.safetensors", "rallrec.json")])
        assert trained.curve.step == [2, 4, 6]
        assert llm.cache._db.execute("SELECT count(*) FROM answers").fetchone() == (0,)  # the checkpoint is gone
    assert made[0] == made[1]


def test_a_resumed_training_takes_its_steps_once(tiny_split, show, llm, folders, monkeypatch):
    """It goes on from the last check, and with the optimizer's moments: other tests see the same bytes."""
    steps, real = [], finetuning.Training._step

    def noted(self, batch, step, n_steps):
        if step == 5 and 5 not in steps:
            steps.append(step)
            raise KeyboardInterrupt
        steps.append(step)
        return real(self, batch, step, n_steps)

    monkeypatch.setattr(finetuning.Training, "_step", noted)
    with pytest.raises(KeyboardInterrupt):
        adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    assert steps == [0, 1, 2, 3, 4, 5, 4, 5]


@pytest.mark.parametrize("resumed", [False, True])
def test_the_best_step_is_kept_and_training_stops_without_a_better_one(
    tiny_split, show, llm, folders, monkeypatch, resumed
):
    losses, checked, real = [3.0, 1.0, 2.0, 1.5, 0.5], [], finetuning.Training._check

    def mean_loss(self, batch, learn=False, real=finetuning.Training._mean_loss):
        return real(self, batch, learn) if learn else losses[len(checked)]

    def check(self, *a):
        if interruptions and len(checked) == 3:
            raise interruptions.pop()
        real(self, *a)
        checked.append([w.detach().half().numpy().tobytes() for w in self.weights])

    interruptions = [KeyboardInterrupt] if resumed else []
    monkeypatch.setattr(finetuning.Training, "_mean_loss", mean_loss)
    monkeypatch.setattr(finetuning.Training, "_check", check)
    settings = SETTINGS | dict(sequences=40, checks=5, patience=2)
    if resumed:
        with pytest.raises(KeyboardInterrupt):
            adapter(tiny_split, show, MADE_OF, llm, **settings)
    trained = adapter(tiny_split, show, MADE_OF, llm, **settings)
    assert trained.curve.valid == losses[:4]
    kept = load_file(trained.folder / "adapter_model.safetensors")
    assert sorted(w.tobytes() for w in kept.values()) == sorted(checked[1])


def test_a_loss_that_is_no_number_is_told(tiny_split, show, llm, folders):
    with pytest.raises(rr.InputError, match="validation loss is no number"):
        adapter(tiny_split, show, MADE_OF, llm, **SETTINGS | dict(learning_rate=1e30))
    assert not list((folders / "adapters").glob("*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(sequences=3), "3 training sequences are too few for a batch of 4"),
        (dict(tells=("dreams",)), "detail of a prompt is 'dreams'"),
        (dict(orders=("recent", "dreams")), "selector is 'dreams'"),
    ],
)
def test_settings_that_cannot_be(tiny_split, show, llm, folders, settings, said):
    with pytest.raises(rr.InputError, match=said):
        adapter(tiny_split, show, MADE_OF, llm, **SETTINGS | settings)


SCRIPT = """
import sys
from pathlib import Path

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.readers.adapter import adapter

data = rr.load("tiny")
llm = rr.language_model("tiny-random", device="cpu", cache=Cache(Path(sys.argv[1]) / "cache"))

def show(order, samples, k):
    print("trains", flush=True)
    return rr.select(samples, "recent", k=k)

# dropout draws its masks by the shape of what a process holds, which is not the same in one and in two
settings = dict(sequences=24, valid_sequences=8, batch=4, k=3, checks=3, learning_rate=1e-2, dropout=0.0)
print("starts", flush=True)
print(adapter(rr.split(data), show, {}, llm, **settings).folder)
"""
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
LAUNCH += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The command line of a training, whose cache and adapters are in the folder named at its end."""
    (tmp_path / "train.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def started(launch: list[str], folder) -> subprocess.Popen:
        monkeypatch.setenv("RALLREC_DATA", str(folder))
        command = [*launch, str(tmp_path / "train.py"), str(folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return started


def ended(process: subprocess.Popen) -> str:
    """What a training said; it must end well."""
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    return said


def test_two_processes_have_the_curve_of_one(tmp_path, script):
    curves = []
    for name, launch in (("one", [sys.executable]), ("two", LAUNCH)):
        ended(script(launch, tmp_path / name))
        (folder,) = (tmp_path / name / "adapters").iterdir()
        curves.append(json.loads((folder / "rallrec.json").read_text())["curve"])
    assert "trains" not in ended(script(LAUNCH, tmp_path / "two"))  # it is there now
    assert curves[0]["step"] == curves[1]["step"]
    for kind in ("train", "valid"):
        assert curves[1][kind] == pytest.approx(curves[0][kind], abs=2e-4)


@pytest.mark.parametrize("launch", [[sys.executable], LAUNCH], ids=["alone", "launched"])
def test_of_two_that_want_an_adapter_the_second_takes_the_firsts(tmp_path, script, launch):
    """The first is held up in the middle of its training until the second waits for it."""
    hold = """
import time, pathlib
from rallrec.readers import adapter as finetuning
real = finetuning.Training.run
def run(self, *a):
    pathlib.Path({held!r}).touch()
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.05)
    return real(self, *a)
finetuning.Training.run = run
"""
    held, go = tmp_path / "held", tmp_path / "go"
    plain = (tmp_path / "train.py").read_text()
    (tmp_path / "train.py").write_text(hold.format(held=str(held), go=str(go)) + plain)
    first = script([sys.executable], tmp_path / "data")
    while not held.exists() and first.poll() is None:
        time.sleep(0.05)
    (tmp_path / "train.py").write_text(plain)
    second = script(launch, tmp_path / "data")
    said = ""
    for line in second.stdout:
        said += line
        if "waiting for it" in line:
            break
    go.touch()
    folder = ended(first).splitlines()[-1]
    said += ended(second)
    assert said.count("waiting for it") == 1
    assert folder in said
    assert "trains" not in said
    assert len(list((tmp_path / "data" / "adapters").glob("[!.]*"))) == 1


def test_what_is_left_of_an_adapter_is_made_anew(tiny_split, show, llm, folders):
    first = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    weights = (first.folder / "adapter_model.safetensors").read_bytes()
    (first.folder / "rallrec.json").unlink()
    (first.folder / "adapter_model.safetensors").write_bytes(b"half")
    assert adapter(tiny_split, show, MADE_OF, llm, **SETTINGS) == first
    assert (first.folder / "adapter_model.safetensors").read_bytes() == weights
    (first.folder / "rallrec.json").write_text('{"inputs"')
    with pytest.raises(rr.InputError, match=r"rallrec.json is damaged .* delete its folder"):
        adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)


def test_trained_once(tiny_split, show, llm, folders, monkeypatch):
    first = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    monkeypatch.setattr(finetuning, "Training", lambda *a: pytest.fail("trained again"))
    assert adapter(tiny_split, show, MADE_OF, llm, **SETTINGS) == first
    for other in (dict(seed=1), dict(k=2)):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            adapter(tiny_split, show, MADE_OF, llm, **SETTINGS | other)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        adapter(tiny_split, show, MADE_OF | dict(seed=4), llm, **SETTINGS)


def test_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(rr.InputError, match=r"holds no adapter_model.safetensors; train one"):
        rr.language_model("tiny-random", adapter=tmp_path)


def divided_otherwise(split):
    """Splits of the same data that train or validate on other samples, or tell other statistics."""
    data = split.data
    yield rr.split(data, parts=(6, 2, 2))
    yield replace(split, train=Samples(data, split.train.position[:-1]))
    yield replace(split, valid=Samples(data, split.valid.position[:-1]))
    yield replace(split, train_ratings=split.train_ratings[:-1])


def test_an_adapter_of_another_split_is_not_taken(tiny_split, show, llm, folders, published, monkeypatch):
    """It may have been trained on what is tested here, be it one's own, published, or published under another name."""
    own = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    for name in ("tiny", "lender"):
        shutil.copytree(own.folder, published / name / "adapter")
    assert adapter(tiny_split, show, MADE_OF, llm, **SETTINGS).folder == published / "tiny" / "adapter"
    assert adapter(replace(tiny_split), show, MADE_OF, llm, **SETTINGS).folder == published / "tiny" / "adapter"
    copy = replace(tiny_split.data, name="copy")
    assert copy.hash == tiny_split.data.hash
    assert adapter(rr.split(copy), show, MADE_OF, llm, "lender", **SETTINGS | dict(seed=9)).trained_on == "lender"
    monkeypatch.setattr(finetuning, "Training", lambda *a: pytest.fail("trained anew"))
    digests = {digest_of(tiny_split)}
    for other in divided_otherwise(tiny_split):
        digests.add(digest_of(other))
        for borrow in (None, "lender"):
            with pytest.raises(pytest.fail.Exception, match="trained anew"):
                adapter(other, show, MADE_OF, llm, borrow, **SETTINGS)
    with pytest.raises(pytest.fail.Exception, match="trained anew"):
        adapter(rr.split(copy, parts=(6, 2, 2)), show, MADE_OF, llm, "lender", **SETTINGS)
    assert len(digests) == 5
    # nor one of whose split nothing is recorded
    record = json.loads((published / "lender" / "adapter" / "rallrec.json").read_text())
    del record["inputs"]["split"]
    (published / "lender" / "adapter" / "rallrec.json").write_text(json.dumps(record))
    with pytest.raises(pytest.fail.Exception, match="trained anew"):
        adapter(rr.split(copy), show, MADE_OF, llm, "lender", **SETTINGS | dict(seed=9))


@pytest.mark.parametrize("field", ["version", "data", "split", "made_of", "model", "r", "modules", "seed"])
def test_a_published_adapter_is_taken_only_if_all_inputs_agree(tiny_split, show, llm, folders, published, field):
    own = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    path = published / "tiny" / "adapter" / "rallrec.json"
    shutil.copytree(own.folder, path.parent)
    assert adapter(tiny_split, show, MADE_OF, llm, **SETTINGS).folder == path.parent
    record = json.loads(path.read_text())
    assert {"split", "made_of"} < set(record["inputs"])
    record["inputs"][field] = "another"
    path.write_text(json.dumps(record))
    assert adapter(tiny_split, show, MADE_OF, llm, **SETTINGS) == own


def others(data: Dataset, name: str = "borrower") -> Dataset:
    """Data with the same ratings, of items that are called otherwise."""
    items = data.items.assign(title=[f"Another work, number {n}" for n in range(data.n_items)])
    return replace(data, name=name, items=items)


def test_an_adapter_of_another_data_set_is_borrowed_if_it_fits_the_model(tiny_split, show, llm, folders, published):
    own = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    shutil.copytree(own.folder, published / "lender" / "adapter")
    other = rr.split(others(tiny_split.data))
    lent = adapter(other, show, MADE_OF, llm, "lender", **SETTINGS)
    assert (lent.trained_on, lent.folder) == ("lender", published / "lender" / "adapter")
    # one's own comes first, where there is one
    assert adapter(tiny_split, show, MADE_OF, llm, "lender", **SETTINGS) == own
    # of another model it is not taken
    record = json.loads((published / "lender" / "adapter" / "rallrec.json").read_text())
    record["inputs"]["model"] = "another"
    (published / "lender" / "adapter" / "rallrec.json").write_text(json.dumps(record))
    assert adapter(other, show, MADE_OF, llm, "lender", **SETTINGS).trained_on == "borrower"


def part_of(data: Dataset, users: int) -> Dataset:
    """The ratings of the first users, and the items that they rated."""
    rows = data.user < users
    kept = np.unique(data.item[rows])
    item = np.searchsorted(kept, data.item[rows]).astype(np.int32)
    some = dict(users=data.users[:users], user=data.user[rows], item=item, items=data.items.iloc[kept])
    return replace(data, **some, rating=data.rating[rows], time=data.time[rows])


def test_an_adapter_that_may_have_seen_what_is_tested_is_not_borrowed(
    tiny_split, show, llm, folders, published, monkeypatch
):
    """The same ratings have another hash with another threshold, scale, users, titles' spelling, and so on."""
    own = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    shutil.copytree(own.folder, published / "lender" / "adapter")
    data = replace(tiny_split.data, name="borrower")
    spelled = [f"{title.upper()} (1999)" for title in data.items["title"]]
    more = pd.DataFrame({c: ["x"] * 5 for c in data.items}).assign(title=[f"New {n}" for n in range(5)])
    monkeypatch.setattr(finetuning, "Training", lambda *a: pytest.fail("trained anew"))
    for same in (
        replace(data, like_above=4),
        replace(data, rating=data.rating * 2, scale=(2, 10), like_above=6),
        replace(data, time=data.time // 86400),
        part_of(data, data.n_users // 2),
        part_of(data, 2),
        replace(data, items=data.items.assign(title=spelled)),
        replace(data, items=pd.concat([data.items, more], ignore_index=True)),
    ):
        split = rr.split(same)
        assert which(split, show, MADE_OF, llm, "lender", **SETTINGS) is None
        with pytest.raises(pytest.fail.Exception, match="trained anew"):
            adapter(split, show, MADE_OF, llm, "lender", **SETTINGS)
    other = rr.split(others(data))
    assert which(other, show, MADE_OF, llm, "lender", **SETTINGS) == published / "lender" / "adapter"
    # nor one of whose items nothing is recorded
    path = published / "lender" / "adapter" / "rallrec.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in record.items() if name != "titles"}))
    assert which(other, show, MADE_OF, llm, "lender", **SETTINGS) is None


def test_which_tells_what_would_be_taken_and_trains_nothing(tiny_split, show, llm, folders, published):
    asked = tiny_split, lambda *_: pytest.fail("shown"), MADE_OF, llm
    assert which(*asked, **SETTINGS) is None
    own = adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)
    assert which(*asked, **SETTINGS) == own.folder
    assert which(*asked, **SETTINGS | dict(seed=1)) is None
    shutil.copytree(own.folder, published / "tiny" / "adapter")
    assert which(*asked, **SETTINGS) == published / "tiny" / "adapter"


def test_how_much_of_two_data_sets_items_are_the_same(tiny, monkeypatch):
    def called(*titles: str) -> str:
        return titles_of(replace(tiny, items=pd.DataFrame({"title": titles})))

    assert (
        called("Matrix, The (1999)", "Alien")
        == called("alien", "The Matrix")
        == called("Alien!", "the matrix", "ALIEN")
    )
    assert len(called("a", "b", "c")) == 3 * 8
    four = called("a", "b", "c", "d")
    assert overlap(four, called("e", "f")) == 0
    assert overlap(four, called("a", "b", "e", "f")) == 0.5
    assert overlap(four, called("a", "e", "f", "g", "h")) == 0.25
    assert overlap(four, called("d")) == overlap(called("d"), four) == 1  # a part of it
    assert overlap(four, "") == 1  # unknown
    monkeypatch.setattr(finetuning, "SKETCH", 50)
    many, half, none = (called(*(f"t {n}" for n in range(*ends))) for ends in ((0, 1000), (500, 1500), (1000, 2000)))
    assert len(many) == 50 * 8
    assert overlap(many, many) == 1
    assert overlap(many, half) == pytest.approx(0.5, abs=0.25)
    assert overlap(many, none) == 0
    assert overlap(many, called(*(f"t {n}" for n in range(10)))) == 1  # whether or not one is in the sketch's range


def test_the_lender_of_the_quick_profile_tells_its_titles(real_data):
    """MovieLens-100K's adapter is lent to others, and not to what is made of its own ratings."""
    recorded = json.loads((ROOT / "published" / "ml-100k" / "adapter" / "rallrec.json").read_text())["titles"]
    own = titles_of(rr.load("ml-100k"))
    assert recorded == own
    assert overlap(recorded, titles_of(rr.load("tiny"))) < 0.1


def test_a_training_text_beyond_the_context_is_told(tiny_split, show, llm, folders):
    llm.model.config.max_position_embeddings = 20
    with pytest.raises(rr.InputError, match=r"a text of \d+ tokens .* it takes 1 to 20"):
        adapter(tiny_split, show, MADE_OF, llm, **SETTINGS)


def test_layers_that_the_model_does_not_have(tiny_split, show, llm, folders):
    with pytest.raises(rr.InputError, match="has no layers c_attn; name others"):
        adapter(tiny_split, show, MADE_OF, llm, **SETTINGS | dict(modules=("c_attn",)))


def test_a_tokenizer_whose_tokens_run_on_beyond_a_label(tiny_split, llm, monkeypatch):
    shown = select(tiny_split.train.take(np.arange(2)), "recent", k=3)
    monkeypatch.setattr(llm, "tokenizer", Joined(llm.tokenizer))
    with pytest.raises(rr.InputError, match="its tokens run on beyond a label"):
        sequences(shown, llm)


class Joined:
    """A tokenizer that says each of its tokens ends one character later."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        return getattr(self.real, name)

    def __len__(self):
        return len(self.real)

    def __call__(self, texts, **settings):
        out = self.real(texts, **settings)
        if "offset_mapping" in out:
            out["offset_mapping"] = [[(a + 1, b + 1) for a, b in row] for row in out["offset_mapping"]]
        return out
