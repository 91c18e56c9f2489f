"""Tables across data sets."""

import errno
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import rallrec as rr
from rallrec import __main__ as command
from rallrec.extensions import load_extra
from rallrec.infra.files import ROOT
from rallrec.runs import figures, overview, paper_overview, paper_tables, place
from rallrec.runs.overview import TABLES, across, comparable, write_overview
from rallrec.runs.place import Parameters
from rallrec.runs.run import read_metrics
from rallrec.runs.side_by_side import by_reader, dataset_of, said
from rallrec.study import paper
from rallrec.study.claims import CLAIMS, judge

SETTINGS = dict(llm="smollm2-135m", profile="quick", seed=0)
OURS = ["ml-100k", "ml-1m"]


def sketch(figure, path):
    """In the place of `figures.save`: as quick as can be, with all of the layout."""
    figure.savefig(f"{path}.png", dpi=20)
    Path(f"{path}.pdf").touch()


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    """Outputs of two reference runs with different rows, of a user's own data, of another profile, and the tests' own.

    Of the reference data the hashes are those of their names, and one of the user's has other raw files.
    """
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    monkeypatch.setattr(figures, "save", sketch)
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
        change = dict(difference=0.1, difference_low=0.05, difference_high=0.2, adjusted_p=0.01)
        auc.to_csv(folder / "05_fast_readers.csv", index=False)
        main = pd.concat([auc, auc.iloc[:1].assign(method="DIN")])  # a row of the figure, too
        main.assign(**change).to_csv(folder / "05_main.csv", index=False)
        for reader in ("vote", "llm"):
            commands = [command(reader, row) for row in rows]
            auc.assign(command=commands, **change).to_csv(folder / f"06_parts_{reader}.csv", index=False)
        auc.assign(**change).to_csv(folder / "06_order.csv", index=False)
        auc.rename(columns={"method": "choice"}).to_csv(folder / "06_trained.csv", index=False)  # of an earlier version
        write_papers_tables(folder, dataset)
        claim = dict(claim="c", difference=0.1, difference_low=0.05, difference_high=0.2, n=9, verdict="holds")
        pd.DataFrame([claim]).to_csv(folder / "05_claims.csv", index=False)
        change = dict(
            reader="vote", protocol="p", auc=0.7, difference=0.1, difference_low=-0.1, difference_high=0.2, n=9
        )
        strict = dict(reader="vote", protocol="strict", auc=0.6, n=9)
        pd.DataFrame([strict, change]).to_csv(folder / "06_released.csv", index=False)
    return tmp_path


def write_papers_tables(folder, dataset, auc=0.7, verdict="inconclusive"):
    """What notebooks 05 and 06 write of the paper, with one AUC throughout."""
    for name, (source, table, of) in {
        "table1": ("05_table1", "table 1", paper.PAPER),
        "table3": ("05_table3", "table 3", paper.PAPER),
        "table4": ("06_table4", "table 4", paper.PAPER),
        "table5": ("05_table5_paper", "table 5", paper.PLUS),
    }.items():
        labels = [*paper.rows_of(table, of), "LLM, last K"]
        made = pd.DataFrame(dict(method=labels, auc=auc, auc_low=auc - 0.1, auc_high=auc + 0.1, n=1234))
        made = paper.beside(table, dataset, made, paper=of)
        if name == "table1":
            made = paper.with_rella(made, dataset)
        if name == "table4":
            made = pd.concat([made.assign(reader="LLM"), made.assign(ours=0.6, reader="vote")])
        made.to_csv(folder / f"{source}.csv", index=False)
    claims = judge(CLAIMS, dataset, {})
    measured = dict(difference=0.1, difference_low=0.05, difference_high=0.2, users=9, n=1234, p=0.01, within=False)
    claims.assign(**measured, verdict=verdict).to_csv(folder / "05_paper_claims.csv", index=False)
    here = {"what": ["K", "data"], "paper": "30", "released code": "30", "here": ["10", f"{dataset}'s"]}
    pd.DataFrame(here).to_csv(folder / "05_deviations.csv", index=False)


@pytest.fixture
def other_reader(outputs):
    """A second reader's run of a reference data set: its LLM rows differ, its other rows do not."""
    name = "ml-1m+reads-gemma3-270m"
    for kind in ("papermill_runs", "figures"):
        shutil.copytree(outputs / kind / "ml-1m", outputs / kind / name)
    path = outputs / "papermill_runs" / name / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(reader="gemma3-270m")))
    main = outputs / "figures" / name / "05_main.csv"
    rows = pd.read_csv(main)
    rows.loc[rows.method == "a", ["auc", "auc_low", "auc_high"]] = 0.75, 0.65, 0.85
    rows.to_csv(main, index=False)
    write_papers_tables(outputs / "figures" / name, "ml-1m", 0.75, "replicates")
    return name


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


def test_a_reader_without_notebook_06_stands_where_05_has_it(outputs, other_reader, monkeypatch):
    monkeypatch.setattr(overview, "reference", lambda place: place in (*OURS, other_reader))
    path = outputs / "papermill_runs" / other_reader / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["notebooks"]["06_ablations"]  # its tables are those of earlier settings
    path.write_text(json.dumps(metrics))
    places, name = comparable(of("ml-1m"))
    assert other_reader in places
    folder = write_overview(places, name)
    assert other_reader in set(pd.read_csv(folder / "main.csv").place)
    assert other_reader not in set(pd.read_csv(folder / "table4.csv").place)
    assert not (folder / f"commands-{other_reader}.csv").exists()
    said = (folder / "not_run.md").read_text()
    assert "notebook 06 of MovieLens-1M is not run with gemma3-270m as the reader" in said


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
    assert "papermill_runs/nowhere has no 05_recommendation" in capsys.readouterr().err


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
    for name in ("comparison-09.png", "commands-ml-100k.csv"):
        (folder / name).write_text("of a row, or a place, that is no more")
    write_overview(["my-own"], "both")
    left = {path.stem for path in folder.glob("c*-*")}
    assert left == {"commands-my-own"}


def test_a_column_a_data_set_and_a_row_a_method(outputs):
    folder = write_overview([*OURS, "my-own"])
    main = (folder / "main.md").read_text().splitlines()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in main]
    assert cells[0] == ["method", "ml-100k (1,234)", "ml-1m (1,234)", "my-own (1,234)"]
    value = "0.700 [0.600, 0.800]"
    rows = [["DIN", *[value] * 3], ["a", "–", value, value], ["b", value, value, "–"], ["c", value, "–", "–"]]
    assert sorted(cells[2:]) == rows
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
    assert not list(folder.glob("fast_readers.p*"))  # a table alone
    drawn = ("main", "comparisons", "released", "claims", *paper_overview.TABLES, "by_reader")
    for name in drawn:
        assert {p.suffix for p in folder.glob(f"{name}.*")} == {".csv", ".md", ".tex", ".png", ".pdf"}, name
    assert json.loads((folder / "settings.json").read_text())["data"]["ml-1m"] == "hash of ml-1m"


def test_without_a_run_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    with pytest.raises(rr.InputError, match="run `make all` first"):
        write_overview([])


def test_the_repositorys_overview_is_that_of_its_reference_runs():
    """Every value of the overview stands in the metrics.json of its data set."""
    for table, key in (("main", "llm"), ("fast_readers", "fast")):
        for row in pd.read_csv(ROOT / "figures" / "overview" / f"{table}.csv").itertuples():
            values = read_metrics(getattr(row, "place", row.dataset))["notebooks"]["05_recommendation"]["values"]
            assert values[f"{key}/{row.method}/auc"] == pytest.approx(row.auc, abs=1e-6)
    assert set(across(["ml-100k"], TABLES["released"])["dataset"]) == {"ml-100k"}


def test_verdicts_in_words():
    verdicts = pd.Series({"a": "inconclusive", "b": "holds", "c": "holds", "d": "holds"})
    words = ("holds", "inconclusive", "does not hold")
    assert said(verdicts, words) == "holds on b, c and d; inconclusive on a"
    assert said(verdicts[1:], words) == "holds on all 3 data sets"
    assert said(pd.Series({"a": "does not hold"}), words) == "does not hold on a"


def test_each_of_our_comparisons_has_a_figure_and_a_sentence(outputs):
    folder = write_overview([*OURS, "my-own"])
    line = (folder / "comparisons_in_words.md").read_text()
    assert line == "- *c*: holds on all 3 data sets.\n"
    assert (folder / "comparisons.png").stat().st_size > 1000


def cells_of(path):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in path.read_text().splitlines()]


def test_the_papers_claims_across_data_sets(outputs):
    folder = write_overview([*OURS, "my-own"])
    head, _, *rows = cells_of(folder / "claims.md")
    assert head == ["claim", "compared", "what differs", "read by", "ml-100k (MovieLens-1M)", "ml-1m", "my-own"]
    second = next(row for row in rows if row[0] == "2. beats text retrieval")
    at = rows.index(second)
    assert second[3:] == ["the paper", "+0.0248", "+0.0248", "–"]
    ours = "+0.100 [+0.050, +0.200] inconclusive *"
    assert rows[at + 1][3:] == ["smollm2-135m", ours, ours, ours]
    assert rows[at + 2][3:] == ["vote", ours, ours, ours]
    head, _, *rows = cells_of(folder / "verdicts.md")
    assert head[0] == "claim (by smollm2-135m / vote)"
    assert len(rows) == len(CLAIMS)
    assert rows[0][2:] == ["inconclusive / –"] * 3
    assert [row[1].endswith(" (ours)") for row in rows] == [not claim.of_paper for claim in CLAIMS]
    lines = (folder / "claims_in_words.md").read_text().splitlines()
    everywhere = "inconclusive on all 3 data sets"
    assert lines[1] == f"- *beats text retrieval* (RALLRec − ReLLa). smollm2-135m: {everywhere}. vote: {everywhere}."
    assert (folder / "depends_on_reader.md").read_text() == "- No comparison was made through more than one LLM.\n"


def test_the_papers_tables_across_data_sets(outputs):
    folder = write_overview([*OURS, "my-own"])
    head, _, *rows = cells_of(folder / "table1.md")
    assert head[:3] == ["row", "ml-100k: paper (MovieLens-1M)", "ml-100k: here (1,234)"]
    assert "ml-1m: ReLLa's paper" in head
    assert rows[0][:3] == ["DeepFM", "0.7184", "0.700 [0.600, 0.800]"]
    assert rows[-1][0] == "SIM"
    head, _, *rows = cells_of(folder / "table4.md")
    assert [row[0] for row in rows[:2]] == ["Text-based, LLM", "ID-based, LLM"]
    assert rows[-2][0] == "Concat. w/ SSL, vote"
    readers = pd.read_csv(folder / "by_reader.csv")
    theirs = readers[readers.of_paper & (readers.dataset == "ml-1m")].set_index("row").auc
    assert theirs["RALLRec"] == 0.7772
    assert theirs["last K"] == 0.7764  # the same tuning, not the one on the last K
    assert readers.read_by.tolist()[-1] == paper_tables.PAPERS_LLM
    assert not readers[readers.dataset == "my-own"].of_paper.any()
    deviations = cells_of(folder / "deviations.md")
    assert deviations[2][3] == "10"
    assert deviations[3][3] == "ml-100k: ml-100k's; ml-1m: ml-1m's; my-own: my-own's"
    assert "+0.0008" in (folder / "admissions.md").read_text()


def test_what_is_found(outputs):
    folder = write_overview([*OURS, "my-own"])
    lines = (folder / "findings.md").read_text().splitlines()
    assert [line[:2] for line in lines if line[0] != " "] == ["1.", "2.", "3.", "4.", "5."]
    alike = (folder / "all_findings.md").read_text()
    assert "- c: +0.100 on MovieLens-100K, +0.100 on MovieLens-1M, +0.100 on my-own.\n" in alike
    assert (
        "Inconclusive on all 3 data sets:\n\n- RALLRec instead of the best ID-based model, read by smollm2-135m"
        in alike
    )
    assert alike.endswith("### One thing changed\n\nNothing is the same on all data sets.\n")
    said_of_parts = (folder / "changes_in_words.md").read_text().splitlines()
    assert said_of_parts[0] == "- *b, read by the vote*: raises the AUC on all 2 data sets."
    head, _, *rows = cells_of(folder / "claims_short.md")[:12]
    assert head == ["gain in AUC: paper → smollm2-135m", "MovieLens-1M"]
    assert len(rows) == 10


def test_what_is_run(outputs, other_reader):
    folder = write_overview(["ml-100k", "ml-1m", other_reader])
    said = (folder / "not_run.md").read_text()
    assert said.startswith(
        "Not yet: of BookCrossing and Amazon movies notebooks 05 and 06 are not run; MovieLens-100K is"
    )
    (outputs / "papermill_runs" / other_reader / "06_ablations.ipynb").touch()
    (row,) = overview.findings.notebooks().to_dict("records")
    assert row["read by"] == "gemma3-270m"
    assert row["notebooks"] == f"[06](../../papermill_runs/{other_reader}/06_ablations.ipynb)"
    assert (folder / "times.md").read_text().startswith("Measured on a machine, from stored LLM answers: MovieLens-")
    other = write_overview(["my-own"], "own")
    assert not (other / "not_run.md").exists()  # that is said of the reference runs


def test_trainings_anew_are_told_of_where_their_table_has_differences(outputs):
    """Tables of earlier versions have the AUC alone: nothing is said of those places."""
    change = dict(difference=0.1, difference_low=0.05, difference_high=0.2, adjusted_p=0.01)
    row = pd.DataFrame([dict(method="layers: 0", n=9, **change)])
    row.to_csv(outputs / "figures" / "my-own" / "06_trained.csv", index=False)
    lines = (write_overview([*OURS, "my-own"]) / "changes_in_words.md").read_text().splitlines()
    assert "- *layers: 0, read by the vote*: raises the AUC on my-own." in lines


def test_an_auc_of_a_few_samples_is_not_drawn(outputs):
    for name in OURS:
        path = outputs / "figures" / name / "05_table5_paper.csv"
        pd.read_csv(path).assign(n=4).to_csv(path, index=False)
    folder = write_overview(OURS)
    assert not (folder / "table5.png").exists()
    assert (folder / "table5.md").exists()


def test_runs_through_another_reader_stand_beside_the_others(outputs, other_reader, monkeypatch):
    recorded = place.reference
    monkeypatch.setattr(overview, "reference", lambda name: recorded(dataset_of(name)))
    places, name = comparable(of("ml-1m"))
    assert (places, name) == (["ml-100k", "ml-1m", other_reader], "")
    folder = write_overview(places)
    head, _, *rows = cells_of(folder / "main.md")
    assert head == ["method", "ml-100k (1,234)", "ml-1m (1,234)"]
    value = "0.700 [0.600, 0.800]"
    assert ["a (smollm2-135m)", "–", value] in rows
    assert ["a (gemma3-270m)", "–", "0.750 [0.650, 0.850]"] in rows
    assert ["b", value, value] in rows  # comes out the same whoever reads
    assert [row[0] for row in rows].index("a (gemma3-270m)") == [row[0] for row in rows].index("a (smollm2-135m)") + 1
    head, _, *rows = cells_of(folder / "verdicts.md")
    assert head[0] == "claim (by smollm2-135m / gemma3-270m / vote)"
    assert rows[1][2:] == ["inconclusive / – / inconclusive", "inconclusive / replicates / inconclusive"]
    depends = (folder / "depends_on_reader.md").read_text().splitlines()
    assert len(depends) == len(CLAIMS)
    change = "(+0.100 [+0.050, +0.200])"
    assert depends[1] == (
        f"- *beats text retrieval* (RALLRec − ReLLa) on ml-1m: inconclusive with smollm2-135m {change}, "
        f"replicates with gemma3-270m {change}."
    )
    readers = pd.read_csv(folder / "by_reader.csv")
    assert list(dict.fromkeys(readers.read_by)) == ["smollm2-135m", "gemma3-270m", paper_tables.PAPERS_LLM]


def test_rows_that_do_not_hang_on_the_reader_stand_once():
    both = [("m", "m", "small"), ("m+reads-big", "m", "big")]
    rows = [dict(place=p, dataset=d, read_by=r, row=row, v=v) for (p, d, r), row, v in [
        (both[0], "llm", 1.0), (both[0], "fast", 2.0), (both[0], "none", float("nan")),
        (both[1], "llm", 1.5), (both[1], "fast", 2.0), (both[1], "none", float("nan")),
        (("n", "n", "small"), "fast", 3.0), (("n", "n", "small"), "llm", 4.0),
    ]]  # fmt: skip
    found = by_reader(pd.DataFrame(rows), ["row"], ["v"])
    assert found.row.tolist() == ["llm", "llm", "llm", "fast", "fast", "none"]
    assert found.read_by.tolist() == ["small", "big", "small", "", "", ""]
    one = pd.DataFrame(rows[:3])
    assert set(by_reader(one, ["row"], ["v"]).read_by) == {""}


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


def test_headings_say_how_many_samples_each_kind_of_row_has():
    rows = pd.DataFrame({"n": [500, 500, 9000], "read_by": ["a", "b", ""], "reader": ["LLM", "LLM", "vote"]})
    assert overview._sizes(rows) == "\nLLM 500\nelse 9,000"
    assert paper_tables._sizes(rows) == " (LLM 500, vote 9,000)"
    assert overview._sizes(rows[:2]) == paper_tables._sizes(rows[:2]) == " (500)"
    assert overview._sizes(rows.assign(read_by="")) == "\n(500 or 9,000)"
    assert overview._sizes(rows.assign(read_by="", n=[500, 700, 9000])) == "\n(500 to 9,000)"
    assert paper_tables._sizes(rows.drop(columns="reader")) == paper_tables._sizes(rows.assign(n=float("nan"))) == ""


def test_what_differs_in_two_things_is_not_among_single_changes():
    columns = dict.fromkeys(paper_overview.JUDGED, 0.0)
    table = pd.DataFrame([columns | {"method": name} for name in ("Text-based", "Concat. w/ SSL", "mine")])
    assert paper_overview._comparable(table)["method"].tolist() == ["mine"]
    assert not len(paper_overview._comparable(table.drop(columns="difference")))
