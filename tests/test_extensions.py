"""A file of one's own: what it adds, where its rows appear, and what it can not be."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec import extensions
from rallrec.__main__ import main
from rallrec.data.ids import codes_of
from rallrec.evaluation.metrics import auc
from rallrec.extensions import ROWS, load_extra, rival
from rallrec.infra.files import ROOT
from rallrec.pipeline import METHOD, Choice
from rallrec.readers.base import READERS
from rallrec.representations.mixture import REPRESENTATIONS
from rallrec.retrieval.selectors import SELECTORS
from rallrec.runs.place import short
from rallrec.runs.run import NOTEBOOKS
from rallrec.runs.runner import execute

from .studies import study_of

DOCS = (ROOT / "docs" / "own_method.md").read_text(encoding="utf-8")
MINE, *_ = re.findall(r"```python\n(# mine\.py.*?)```", DOCS, flags=re.S)


@pytest.fixture(autouse=True)
def nothing_stays():
    """Registries as they were."""
    registries = (REPRESENTATIONS, SELECTORS, READERS, ROWS)
    before = [dict(registry._things) for registry in registries]
    yield
    for registry, things in zip(registries, before, strict=True):
        registry._things.clear()
        registry._things.update(things)


@pytest.fixture
def study(tiny_split, tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    return study_of(tiny_split, tmp_path)


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def test_the_documented_file(study, mine):
    name = load_extra(mine)
    assert re.fullmatch(r"mine\.py@[0-9a-f]{16}", name)
    assert load_extra(mine) == name
    choice = ROWS["RALLRec, mine"]
    test = study.split.test
    assert (study["mine"] == np.hstack([study["text"], study["colla"]])).all()
    shown = study.shown(choice, test)
    assert (shown.position == rr.retrieve(test, study["mine"], 15).position[:, ::3]).all()
    likes = np.array([row[real].mean() for row, real in zip(shown.liked, shown.real, strict=True)])
    assert study.predict(choice) == pytest.approx(likes)  # they are probabilities
    assert rival(choice) == METHOD
    assert rival(Choice("mine", reader="llm")) == METHOD.read_by("llm")


def test_a_reader_with_scores_is_calibrated_and_keeps_its_order(study):
    rr.reader("stars")(lambda study, shown: 10 * (shown.rating * shown.real).sum(1))
    p, test = study.predict(Choice(reader="stars")), study.split.test
    assert ((p > 0) & (p < 1)).all()
    shown = study.shown(METHOD, test)
    assert auc(test.liked, p) == pytest.approx(auc(test.liked, (shown.rating * shown.real).sum(1)))


def test_a_class_is_fitted_on_users_that_it_does_not_judge(study):
    fitted = []

    @rr.reader("mean label")
    class MeanLabel:
        def fit(self, study, shown):
            self.p, self.users = shown.samples.liked.mean(), set(shown.samples.user)
            fitted.append(self)

        def predict(self, study, shown):
            if len(shown) < len(study.split.test):
                assert not self.users & set(shown.samples.user)
            return np.full(len(shown), self.p)

    p, valid = study.predict(Choice(reader="mean label")), study.predict(Choice(reader="mean label"), "valid")
    assert len(fitted) == 5
    assert p == pytest.approx(np.mean([f.p for f in fitted]))
    assert len(np.unique(valid)) > 1


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda study, shown: np.ones(3), r"gives float64 of the shape \(3,\); 124 samples need as many"),
        (lambda study, shown: ["a"] * len(shown), "samples need as many numbers"),
        (lambda study, shown: np.full(len(shown), np.nan), "124 of its 124 scores are no numbers"),
    ],
)
def test_what_a_reader_can_not_give(study, read, said):
    rr.reader("mine")(read)
    with pytest.raises(rr.InputError, match=f"reader 'mine'.*{said}"):
        study.predict(Choice(reader="mine"))


@pytest.mark.parametrize(
    ("choose", "said"),
    [
        (lambda samples, k: samples.position[:, None], "the target itself"),
        (lambda samples, k: (samples.position - 1)[:, None].repeat(2, 1), "shows sample 0 the same rating twice"),
        (lambda samples, k: samples.position[:, None] - 1 - np.arange(k + 1), "shows 4 items where K is 3"),
        (lambda samples, k: samples.position[:5, None] - 1, r"have the shape \(5, 1\)"),
    ],
)
def test_what_a_selector_can_not_show(study, choose, said):
    rr.selector("mine", reads_items=False)(lambda study, samples, items, k: choose(samples, k))
    with pytest.raises(rr.InputError, match=f"selector 'mine'.*{said}"):
        study.shown(Choice(selector="mine", k=3), study.split.test)


def test_a_representation_has_a_row_an_item(study):
    rr.representation("mine")(lambda study: study["text"][:-1])
    with pytest.raises(rr.InputError, match="'mine' has 79 rows; tiny has 80 items"):
        study.auc(Choice("mine"))


def test_a_method_registered_anew_is_the_new_one(study):
    """As when a notebook's cell is run again."""
    rr.representation("mine")(lambda study: study["text"])
    first = study.predict(Choice("mine"))
    rr.representation("mine")(lambda study: study["colla"])
    second = study.predict(Choice("mine"))
    assert (first == study.predict(Choice("text"))).all()
    assert (second == study.predict(Choice("colla"))).all()
    both = Choice("mine", reader="item mean + vote")
    assert (study.predict(both) == study.predict(Choice("colla", reader="item mean + vote"))).all()
    rr.representation("mine")(lambda study: study["ssl"])
    assert (study.predict(both) == study.predict(Choice("ssl", reader="item mean + vote"))).all()


def test_names_that_are_taken_or_unknown():
    with pytest.raises(rr.InputError, match="representation 'mix3' is built in; give yours another name"):
        rr.representation("mix3")(lambda study: study["text"])
    with pytest.raises(rr.InputError, match="reader 'vote' is built in"):
        rr.reader("vote")(lambda study, shown: 0)
    with pytest.raises(rr.InputError, match="representation is 'poem'; it must be one of: title, text"):
        rr.row("a row", Choice("poem"))
    with pytest.raises(rr.InputError, match="samples is 'some'; it must be one of: all, asked"):
        rr.reader("mine", samples="some")
    rr.row("vote, RALLRec", Choice())
    with pytest.raises(rr.InputError, match="row 'vote, RALLRec' has the label of another row"):
        extensions.rows("all", ["vote, RALLRec"])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import rallrec as rr\n\n1 / 0\n", "mine.py:3: ZeroDivisionError: division by zero"),
        ("def x(:\n", "mine.py:1: SyntaxError"),
        ("import no_such_module\n", "mine.py:1: ModuleNotFoundError"),
        ("import rallrec as rr\nrr.row('a', rr.Choice('poem'))\n", "mine.py: representation is 'poem'"),
        (None, "EXTRA: .*mine.py can't be read .No such file"),
    ],
)
def test_a_file_that_can_not_be_run_gives_one_line(tmp_path, capsys, source, said):
    path = tmp_path / "mine.py"
    if source is not None:
        path.write_text(source)
    assert main(["ablate", "--dataset", "tiny", "--llm", "tiny-random", "--extra", str(path)]) == 2
    err = capsys.readouterr().err
    assert re.search(said, err), err
    assert err.count("\n") == 1


# --- scores made elsewhere ----------------------------------------------------------------------


def table_of(samples, p) -> pd.DataFrame:
    data = samples.data
    users, items = data.users["user_id"].to_numpy(), data.items["item_id"].to_numpy()
    return pd.DataFrame(dict(user_id=users[samples.user], item_id=items[samples.item], p=p))


def test_scores_of_a_file(study, tmp_path, capsys):
    test = study.split.test
    p = np.random.default_rng(0).random(len(test))
    table = table_of(test, p).sample(frac=1, random_state=0)
    table.to_csv(tmp_path / "p.csv", index=False)
    rr.scores("elsewhere", tmp_path / "p.csv")
    assert study.predict(Choice(reader="elsewhere")) == pytest.approx(p)
    assert "elsewhere, p.csv: 124 of 124 test samples; 0 of 123 valid samples" in capsys.readouterr().out


def test_ids_of_a_file_are_compared_as_everywhere(study, tmp_path):
    """Blanks, invisible characters, and whole numbers that pandas wrote as floats."""
    test = study.split.test
    table = table_of(test, np.linspace(0, 1, len(test)))
    table = table.assign(user_id=[f" {u}.0\u200b" for u in table.user_id], item_id=[f"{i} " for i in table.item_id])
    table.to_csv(tmp_path / "p.csv", index=False)
    rr.scores("elsewhere", tmp_path / "p.csv")
    assert study.predict(Choice(reader="elsewhere")) == pytest.approx(np.linspace(0, 1, len(test)))


@pytest.mark.parametrize("dtype", ["str", "object"])
def test_ids_that_are_text(dtype):
    """Of one's own data; ``12.0`` is another id there than ``12``."""
    ids = pd.Series(["u1", "12", "12.0"], dtype=dtype)
    assert codes_of(ids, ["12", " u1 ", "12.0", "nobody"]).tolist() == [1, 0, 2, -1]
    assert codes_of(pd.Series([7, 12]), ["12.0", 7, "x"]).tolist() == [1, 0, -1]


def test_what_a_file_lacks_has_twice_or_does_not_know_is_said(study, tmp_path, capsys):
    test = study.split.test
    table = table_of(test, np.linspace(0, 1, len(test)))[10:]
    extra = pd.DataFrame(dict(user_id=["nobody"], item_id=[1], p=[0.5]))
    pd.concat([table, table[:3], extra]).to_csv(tmp_path / "p.csv", index=False)
    rr.scores("elsewhere", tmp_path / "p.csv")
    choice = Choice(reader="elsewhere")
    assert study.predict(choice) == pytest.approx(np.linspace(0, 1, len(test))[10:])
    said = capsys.readouterr().out
    assert "114 of 124 test samples; 0 of 123 valid samples; 1 rows of an unknown user or item left out; 3 rows" in said
    row = study.table({"RALLRec": METHOD, "mine": choice}, "RALLRec").iloc[1]
    assert row.n == 114
    method = study.predict(METHOD, of=test.take(np.arange(10, len(test))))
    assert row.difference == pytest.approx(row.auc - auc(test.liked[10:], method))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.rename(columns={"p": "score"}), "p.csv:1: column 'p' is missing; found user_id, item_id, score"),
        (lambda t: t.assign(p=["x", *t.p[1:]]), "p.csv:2: p is no number"),
        (lambda t: pd.concat([t, t[4:5].assign(p=0.9)]), "p.csv:126: this pair stands above with another p"),
        (lambda t: t.assign(user_id="u" + t.user_id.astype(str)), "no row has ids of tiny"),
        (lambda t: t.assign(p=t.p * 9), "p is not from 0 to 1, and no validation sample has a row"),
    ],
)
def test_scores_that_can_not_be_right(study, tmp_path, change, said):
    test = study.split.test
    change(table_of(test, np.linspace(0, 1, len(test)))).to_csv(tmp_path / "p.csv", index=False)
    rr.scores("elsewhere", tmp_path / "p.csv")
    with pytest.raises(rr.InputError, match=said):
        study.predict(Choice(reader="elsewhere"))


def test_scores_are_calibrated_where_validation_is_there(study, tmp_path):
    parts = [study.split.test, study.split.valid]
    tables = [table_of(part, 7 * part.liked + np.random.default_rng(0).normal(size=len(part))) for part in parts]
    pd.concat(tables).to_csv(tmp_path / "p.csv", index=False)
    rr.scores("elsewhere", tmp_path / "p.csv")
    p = study.predict(Choice(reader="elsewhere"))
    assert ((p > 0) & (p < 1)).all()
    assert auc(parts[0].liked, p) == auc(parts[0].liked, tables[0].p)


# --- in the notebooks ---------------------------------------------------------------------------


def test_rows_stand_in_every_table(mine, tmp_path, monkeypatch):
    """The documented file through the notebooks, with a row for the LLM and one of scores, too."""
    split = rr.split(rr.load("tiny"))
    table_of(split.test, split.test.liked * 0.8 + 0.1).to_csv(tmp_path / "oracle.csv", index=False)
    more = f"""
rr.row("LLM, mine", rr.Choice("mine", reader="llm"))
rr.scores("oracle", {str(tmp_path / "oracle.csv")!r})
rr.row("an oracle", rr.Choice(reader="oracle"))
"""
    mine.write_text(MINE + more)
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path / "out"))
    parameters = dict(DATASET="tiny", PROFILE="smoke", LLM="tiny-random", SEED=0, EXTRA=str(mine))
    for notebook in NOTEBOOKS[4:]:
        execute(notebook, parameters)
    place = "tiny+tiny-random+smoke+" + short(str(mine))
    figures = tmp_path / "out" / "figures" / place

    def column(table, name="method"):
        return pd.read_csv(figures / f"{table}.csv")[name].tolist()

    assert {"RALLRec, mine", "an oracle"} <= set(column("05_fast_readers"))
    assert {"RALLRec, mine", "an oracle", "LLM, mine"} <= set(column("05_main"))
    assert {"RALLRec, mine", "an oracle"} <= set(column("06_parts_vote"))
    assert "LLM, mine" in column("06_parts_llm")
    assert "RALLRec, mine" in column("06_k", "choice")
    assert "mine" in column("06_grid", "representation")
    assert "diverse" in pd.read_csv(figures / "06_grid.csv").columns
    assert {"RALLRec, mine", "an oracle"} <= set(column("05_slices"))
    claims = pd.read_csv(figures / "05_claims.csv").set_index("claim")
    assert {"RALLRec, mine beats the method", "LLM, mine beats the method"} <= set(claims.index)
    assert claims.verdict["an oracle beats the method"] == "holds"
    main_table = pd.read_csv(figures / "05_main.csv").set_index("method")
    assert main_table.auc["an oracle"] == 1
    assert main_table.reader["LLM, mine"] == "LLM"
    commands = pd.read_csv(figures / "06_parts_vote.csv").set_index("method").command
    assert commands["RALLRec, mine"].startswith("rallrec ablate --dataset tiny --extra mine.py --representation mine")
    runs = tmp_path / "out" / "papermill_runs" / place
    metrics = json.loads((runs / "metrics.json").read_text())
    assert metrics["other_parameters"] == {"EXTRA": load_extra(mine)}
    assert str(tmp_path) not in (runs / "05_recommendation.ipynb").read_text()
    table = rr.predictions("tiny", llm="tiny-random", profile="smoke", extra=str(mine))
    assert (table["05: an oracle"] > 0.5).tolist() == table.liked.tolist()
    assert table["05: LLM, mine"].notna().sum() == 30
    assert auc(table.liked, table["05: RALLRec, mine"]) == pytest.approx(
        pd.read_csv(figures / "05_fast_readers.csv").set_index("method").auc["RALLRec, mine"], abs=1e-3
    )


def test_predictions_of_other_data_are_refused(tmp_path, monkeypatch):
    from rallrec.runs import predictions

    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    with pytest.raises(rr.InputError, match="run `make all DATASETS=tiny` first"):
        rr.predictions("tiny")
    split = rr.split(rr.load("tiny"))
    path = predictions.path_of("tiny")
    path.parent.mkdir(parents=True)
    predictions.write(path, split, {"a": (split.test, np.full(len(split.test), 0.25))}, "05_recommendation")
    assert rr.predictions("tiny")["05: a"].tolist() == [0.25] * len(split.test)
    predictions.write(path, rr.split(rr.load("tiny", seed=1)), {}, "05_recommendation")
    with pytest.raises(rr.InputError, match="is of other data than the tiny that is here"):
        rr.predictions("tiny")
    path.write_bytes(b"PAR1")
    with pytest.raises(rr.InputError, match="is damaged"):
        rr.predictions("tiny")
