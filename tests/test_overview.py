"""Tables across data sets."""

import errno
import json
import shutil
from types import SimpleNamespace

import pandas as pd
import pytest

import rallrec as rr
from rallrec import __main__ as command
from rallrec.extensions import load_extra
from rallrec.infra.files import ROOT
from rallrec.runs import overview, place
from rallrec.runs.overview import TABLES, across, comparable, said, write_overview
from rallrec.runs.place import Parameters
from rallrec.runs.run import read_metrics

SETTINGS = dict(llm="smollm2-135m", profile="quick", seed=0)
OURS = ["ml-100k", "ml-1m"]


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Outputs of two reference runs with different rows, of a user's own data, of another profile, and the tests' own.

    Of the reference data the hashes are those of their names, and one of the user's has other raw files.
    """
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    monkeypatch.setattr(place, "published_dir", lambda: tmp_path / "published")
    monkeypatch.setattr(place, "load", lambda name: SimpleNamespace(hash=f"hash of {name}"))
    monkeypatch.setattr(place, "is_local", lambda name: True)
    monkeypatch.setattr(place, "own_folder", lambda name: tmp_path / "raw" / name)
    monkeypatch.setattr(place, "name_of", lambda name: name.split("/")[-1])
    for name in OURS:
        (tmp_path / "published" / name).mkdir(parents=True)
        settings = dict(settings=dict(data_hash=f"hash of {name}"), values={})
        (tmp_path / "published" / name / "reference.json").write_text(json.dumps(settings))
    for name, profile, rows in (
        ("ml-1m", "quick", ("a", "b")),
        ("my-own", "quick", ("a",)),
        ("ml-100k", "quick", ("b", "c")),
        ("bookcrossing+full", "full", ("a",)),
        ("tiny", "quick", ("a",)),
    ):
        (tmp_path / "papermill_runs" / name).mkdir(parents=True)
        dataset = name.split("+")[0]
        metrics = dict(SETTINGS, dataset=dataset, profile=profile, other_parameters={}, data_hash=f"hash of {dataset}")
        command = "rallrec ablate --reader {} --k {}".format
        seconds = {command(reader, row): 1.5 for row in rows for reader in ("vote", "llm")}
        del seconds[command("llm", rows[0])]  # its answers were in the cache
        made = dict(hardware="a machine", seconds=9, rows=seconds)
        metrics["notebooks"] = {"05_recommendation": {}, "06_ablations": dict(values={}, made=made)}
        (tmp_path / "papermill_runs" / name / "metrics.json").write_text(json.dumps(metrics))
        folder = tmp_path / "figures" / name
        folder.mkdir(parents=True)
        auc = pd.DataFrame([dict(method=m, auc=0.7, auc_low=0.6, auc_high=0.8, n=1234) for m in rows])
        for table in ("05_main", "05_fast_readers"):
            auc.to_csv(folder / f"{table}.csv", index=False)
        for reader in ("vote", "llm"):
            commands = [command(reader, row) for row in rows]
            auc.assign(command=commands).to_csv(folder / f"06_parts_{reader}.csv", index=False)
        claim = dict(claim="c", difference=0.1, difference_low=0.05, difference_high=0.2, n=9, verdict="holds")
        pd.DataFrame([claim]).to_csv(folder / "05_claims.csv", index=False)
        change = dict(
            reader="vote", protocol="p", auc=0.7, difference=0.1, difference_low=-0.1, difference_high=0.2, n=9
        )
        strict = dict(reader="vote", protocol="strict", auc=0.6, n=9)
        pd.DataFrame([strict, change]).to_csv(folder / "06_released.csv", index=False)
    return tmp_path


def of(*names, **settings):
    return [Parameters(name, **settings) for name in names]


def test_only_runs_of_the_same_settings_are_compared(outputs):
    assert comparable(of("ml-100k", "my-own")) == (["ml-100k", "ml-1m", "my-own"], "own")
    assert comparable(of("bookcrossing", profile="full")) == (["bookcrossing+full"], "full")
    assert comparable(of("my-own", seed=3)) == ([], "seed3")


def test_the_reference_runs_are_compared_with_each_other_alone(outputs):
    """So a user's run changes no file of ours: what is compared with it lies elsewhere."""
    assert comparable(of("ml-1m")) == (OURS, "")
    assert overview.folder_of() == outputs / "figures" / "overview"
    assert overview.folder_of("own") == outputs / "figures" / "overview+own"


def test_other_raw_files_have_a_place_of_their_own(outputs, monkeypatch):
    monkeypatch.setattr(place, "load", lambda name: SimpleNamespace(hash="0123456789abcdef"))
    assert Parameters("ml-1m").place() == "ml-1m+data-01234567"
    with monkeypatch.context() as elsewhere:  # where the raw files are not, ours are meant: nothing is fetched
        elsewhere.setattr(place, "is_local", lambda name: False)
        elsewhere.setattr(place, "load", lambda name: pytest.fail("fetched"))
        assert Parameters("ml-1m").place() == "ml-1m"
    assert comparable(of("ml-1m")) == ([], "own")  # it was not run yet
    runs = outputs / "papermill_runs"
    shutil.copytree(runs / "ml-1m", runs / "ml-1m+data-01234567")
    assert comparable(of("ml-1m")) == (["ml-100k", "ml-1m", "ml-1m+data-01234567", "my-own"], "own")


def test_tables_of_other_settings_are_left_out(outputs):
    """A data set whose notebook 06 was not run with the settings of its last run is not mixed in."""
    path = outputs / "papermill_runs" / "ml-1m" / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["notebooks"]["06_ablations"]
    path.write_text(json.dumps(metrics))
    assert comparable(of("ml-100k"))[0] == ["ml-100k"]
    mine = outputs / "mine.py"
    mine.write_text("MINE = 1\n")
    metrics["other_parameters"] = {"EXTRA": load_extra(mine)}
    metrics["notebooks"]["06_ablations"] = {}
    own = Parameters("ml-1m", extra=str(mine))
    (outputs / "papermill_runs" / own.place()).mkdir()
    (outputs / "papermill_runs" / own.place() / "metrics.json").write_text(json.dumps(metrics))
    assert comparable([own]) == (["ml-1m" + own.suffix], own.suffix[1:])
    (outputs / "figures" / "my-own" / "05_claims.csv").unlink()
    with pytest.raises(rr.InputError, match=r"05_claims\.csv is not there; run `make all DATASETS=my-own` first"):
        write_overview(["ml-100k", "my-own"], "own")
    assert not (outputs / "figures" / "overview+own").exists()  # nothing was written before


def test_any_places_can_be_put_side_by_side(outputs, capsys):
    assert command.main(["overview", "--places", "bookcrossing+full", "ml-100k", "--name", "both"]) == 0
    folder = outputs / "figures" / "overview+both"
    assert capsys.readouterr().out == f"{folder}\n"
    head = (folder / "main.md").read_text().splitlines()[0].split("|")
    assert [cell.strip() for cell in head[2:-1]] == ["bookcrossing+full (1,234)", "ml-100k (1,234)"]
    settings = json.loads((folder / "settings.json").read_text())["settings"]
    assert settings["bookcrossing+full"]["profile"] == "full"
    assert settings["ml-100k"]["profile"] == "quick"
    assert command.main(["overview", "--places", "nowhere"]) == 2
    assert "papermill_runs/nowhere has not all of" in capsys.readouterr().err


def test_a_path_to_a_place_is_its_name_and_one_named_twice_is_one_column(outputs, capsys):
    places = ["papermill_runs/ml-100k/", "ml-100k", "my-own"]
    assert command.main(["overview", "--places", *places, "--name", "both"]) == 0
    assert list(json.loads((overview.folder_of("both") / "settings.json").read_text())["data"]) == ["ml-100k", "my-own"]


@pytest.mark.filterwarnings("error:constrained_layout")
def test_figures_of_places_with_long_names(outputs):
    """One place alone, and several whose names would fill the page."""
    long = "my-own+meta-llama--Llama-3.1-8B-Instruct+full"
    for kind in ("papermill_runs", "figures"):
        shutil.copytree(outputs / kind / "my-own", outputs / kind / long)
        shutil.copytree(outputs / kind / "my-own", outputs / kind / f"{long}+seed1")
    write_overview([long], "long")
    write_overview([long, f"{long}+seed1", "my-own"], "long")


def test_nothing_is_left_of_an_earlier_overview(outputs):
    folder = write_overview(["ml-100k", "my-own"], "both")
    (folder / "claim-09.png").write_text("of a row that is no more")
    write_overview(["my-own"], "both")
    left = {path.stem for path in folder.glob("c*-*")}
    assert left == {"claim-01", "commands-my-own"}


def test_a_column_a_data_set_and_a_row_a_method(outputs):
    folder = write_overview([*OURS, "my-own"])
    main = (folder / "main.md").read_text().splitlines()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in main]
    assert cells[0] == ["method", "ml-100k (1,234)", "ml-1m (1,234)", "my-own (1,234)"]
    value = "0.700 [0.600, 0.800]"
    assert sorted(cells[2:]) == [["a", "–", value, value], ["b", value, value, "–"], ["c", value, "–", "–"]]
    released = (folder / "released.md").read_text()
    assert "vote: p" in released
    assert "strict" not in released
    assert "+0.100 [-0.100, +0.200]" in released
    commands = pd.read_csv(folder / "commands-ml-1m.csv")
    assert commands.columns.tolist() == ["reader", "row", "samples", "AUC", "command", "seconds", "hardware"]
    assert list(zip(commands.reader, commands.row, strict=True)) == [
        ("no LLM", "a"),
        ("no LLM", "b"),
        ("LLM", "a"),
        ("LLM", "b"),
    ]
    assert commands.command[3] == "rallrec ablate --reader llm --k b"
    assert commands.seconds.tolist() == ["1.5", "1.5", "cached", "1.5"]
    assert set(commands.hardware) == {"a machine"}
    for name in ("main", "fast_readers", "claims", "released"):
        assert {p.suffix for p in folder.glob(f"{name}.*")} == {".csv", ".md", ".tex", ".png", ".pdf"}
    assert json.loads((folder / "settings.json").read_text())["data"]["ml-1m"] == "hash of ml-1m"


def test_without_a_run_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    with pytest.raises(rr.InputError, match="run `make all` first"):
        write_overview([])


def test_the_repositorys_overview_is_that_of_its_reference_runs():
    """Every value of the overview stands in the metrics.json of its data set."""
    for table, key in (("main", "llm"), ("fast_readers", "fast")):
        for row in pd.read_csv(ROOT / "figures" / "overview" / f"{table}.csv").itertuples():
            values = read_metrics(row.dataset)["notebooks"]["05_recommendation"]["values"]
            assert values[f"{key}/{row.method}/auc"] == pytest.approx(row.auc, abs=1e-6)
    assert set(across(["ml-100k"], TABLES["released"])["dataset"]) == {"ml-100k"}


def test_a_claim_in_words():
    verdicts = pd.Series({"a": "inconclusive", "b": "holds", "c": "holds", "d": "holds"})
    assert said(verdicts) == "holds on b, c and d; inconclusive at this sample size on a"
    assert said(pd.Series({"a": "does not hold"})) == "does not hold on a"


def test_each_claim_has_a_figure_and_a_sentence(outputs):
    folder = write_overview([*OURS, "my-own"])
    line = (folder / "claims_in_words.md").read_text()
    assert line == "- [c](figures/overview/claim-01.png): holds on ml-100k, ml-1m and my-own.\n"
    assert (folder / "claim-01.png").stat().st_size > 1000


def test_generated_data_alone_leaves_it_as_it_is(outputs, capsys):
    assert command.main(["overview", "--profile", "smoke", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("nothing to compare: ")
    assert not (outputs / "figures" / "overview").exists()


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file system"), (errno.ENOTDIR, "Not a directory")],
)
def test_a_disk_that_takes_nothing_gives_one_line(monkeypatch, capsys, number, says):
    def fail(*_):
        raise OSError(number, says, "figures/overview/main.png")

    monkeypatch.setattr("rallrec.runs.overview.comparable", lambda *_: (["ml-100k"], ""))
    monkeypatch.setattr("rallrec.runs.overview.write_overview", fail)
    assert command.main(["overview", "tiny"]) == 2
    err = capsys.readouterr().err
    assert err == f"rallrec: figures/overview/main.png: {says}; mend that and run the same command again to go on\n"
