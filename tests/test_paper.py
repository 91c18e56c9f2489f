"""What the papers report, and tables that show it beside ours."""

import doctest
import re
import tomllib

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.infra.files import ROOT
from rallrec.profiles import profile
from rallrec.runs import figures, paper_figures
from rallrec.study import deviations, experiments, paper
from rallrec.study.admissions import admissions


def results(labels, **columns) -> pd.DataFrame:
    """Made-up results, as `metrics.results_table` gives them."""
    rows = []
    for i, label in enumerate(labels):
        row = {"method": label, "n": 2000}
        for metric in paper.METRICS:
            row |= {metric: 0.7 + i / 100, f"{metric}_low": 0.6, f"{metric}_high": 0.8}
        rows.append(row | columns)
    return pd.DataFrame(rows)


def test_every_number_is_there_once_and_can_be_one():
    numbers = paper.numbers()
    assert len(numbers) == len(paper.NUMBERS.read_text("utf-8").splitlines()) - 1
    assert not numbers.duplicated(["paper", "table", "row", "dataset", "metric"]).any()
    assert set(numbers["metric"]) == set(paper.METRICS)
    shares = numbers[numbers["metric"] != "log_loss"]["value"]
    assert shares.between(0.4, 0.9).all()
    assert numbers["row"].str.contains("Ours").sum() == 0
    numbers["value"] = 0  # a copy: the next caller sees the papers' again
    assert paper.value("table 1", "RALLRec", "ml-1m") == 0.7772


def test_values_by_their_names():
    assert paper.value("table 1", "DeepFM", "ml-1m", "log_loss") == 0.6205
    assert paper.value("figure 3", "RALLRec, K=30", "bookcrossing") == 0.7167
    assert paper.value("table 4", "RALLRec+", "ml-1m", paper="RALLRec+") == 0.7663
    assert paper.value("table 2", "SIM (full)", "ml-1m", paper="ReLLa") == 0.7992
    assert paper.rows_of("table 3") == ["RALLRec", "w/o Data Aug.", "w/o Retrieval", "w/o IT"]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (dict(table="table 2"), "table of RALLRec is 'table 2'; it must be one of: table 1, table 3, table 4"),
        (dict(row="SIM"), "row of RALLRec, table 1 is 'SIM'; it must be one of: DeepFM, xDeepFM"),
        (dict(dataset="ml-100k"), "dataset of RALLRec, table 1 is 'ml-100k'; it must be one of: bookcrossing, ml-1m"),
        (dict(metric="ndcg"), "metric of RALLRec, table 1 is 'ndcg'; it must be one of: auc, log_loss, accuracy"),
        (dict(paper="TALLRec"), "paper is 'TALLRec'; it must be one of: RALLRec"),
    ],
)
def test_a_cell_that_is_not_there_is_named(cell, says):
    with pytest.raises(rr.InputError, match=re.escape(says)):
        paper.value(**dict(table="table 1", row="DeepFM", dataset="ml-1m") | cell)


def test_an_installed_package_has_the_numbers_and_their_citation():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packaged = setuptools["package-data"]["rallrec"]
    assert {"study/numbers.csv", "study/numbers.bib"} <= set(packaged)
    cited = re.findall(r"^@\w+\{([^,]+),", paper.NUMBERS.with_suffix(".bib").read_text("utf-8"), flags=re.M)
    assert set(cited) == set(paper.numbers()["paper"])


def test_our_values_beside_the_papers():
    table = paper.beside("table 3", "ml-1m", results(["mine", "other"]), {"RALLRec": "mine", "w/o IT": "not run"})
    auc = table[table.metric == "auc"].set_index("row")
    assert auc.index.tolist() == ["RALLRec", "w/o IT", "other"]
    assert auc.loc["RALLRec", ["paper", "ours", "ours_low", "ours_high", "n"]].tolist() == [0.7772, 0.7, 0.6, 0.8, 2000]
    assert auc.difference["RALLRec"] == pytest.approx(0.7 - 0.7772)
    assert auc.paper["w/o IT"] == 0.5865
    assert auc.loc["w/o IT", ["ours", "difference", "n"]].isna().all()
    assert auc.loc["other", ["paper", "difference"]].isna().all()
    assert auc.reported_on.tolist() == ["ml-1m", "ml-1m", ""]
    assert set(table.metric) == set(paper.METRICS)
    with pytest.raises(rr.InputError, match=r"row of RALLRec, table 3 is 'w/o K'"):
        paper.beside("table 3", "ml-1m", results(["mine"]), {"w/o K": "mine"})
    with pytest.raises(rr.InputError, match="'mine' stands there twice"):
        paper.beside("table 3", "ml-1m", results(["mine", "mine"]))


def test_beside_movielens_100k_stand_marked_values_of_movielens_1m():
    table = paper.beside("table 1", "ml-100k", results(["RALLRec"]))
    assert table.paper.tolist() == paper.beside("table 1", "ml-1m", results(["RALLRec"])).paper.tolist()
    shown = paper.for_reading(table, "ml-100k")
    assert shown.columns[:4].tolist() == ["row", "AUC: paper (MovieLens-1M)", "AUC: here", "AUC: here minus paper"]
    assert shown.iloc[-1].tolist()[:4] == ["RALLRec", "0.7772", "0.700 [0.600, 0.800]", "-0.077"]
    assert shown.iloc[0].tolist()[:4] == ["DeepFM", "0.7184", "–", "–"]
    assert shown.columns[4:].tolist() == ["log loss: paper", "log loss: here", "accuracy: paper", "accuracy: here"]
    assert "AUC: paper" in paper.for_reading(paper.beside("table 1", "ml-1m", results(["RALLRec"])), "ml-1m")


@pytest.mark.parametrize("dataset", ["tiny", "my-own"])
def test_data_that_the_paper_does_not_have(dataset):
    table = paper.with_rella(paper.beside("table 1", dataset, results(["RALLRec"])), dataset)
    assert table[["paper", "difference", "rella"]].isna().all(axis=None)
    assert table.ours.notna().sum() == len(paper.METRICS)
    assert list(paper.for_reading(table, dataset)) == ["row", "AUC: here", "log loss: here", "accuracy: here"]
    assert np.isnan(paper.reported("figure 4", "tuned on recent / Recent", "bookcrossing"))  # ML-1M's figure


def test_rellas_numbers_show_how_weak_the_baselines_are():
    table = paper.with_rella(paper.beside("table 1", "ml-1m", results(["RALLRec", "DIN"])), "ml-1m")
    auc = table[table.metric == "auc"].set_index("row")
    assert auc.rella[["DeepFM", "DIN", "SIM"]].tolist() == [0.7915, 0.7962, 0.7992]
    assert auc.paper["DeepFM"] == 0.7184
    assert np.isnan(auc.rella["RALLRec"])
    assert paper.for_reading(table, "ml-1m")["AUC: ReLLa's paper"].tolist()[0] == "0.7915"
    assert "SIM" not in set(
        paper.with_rella(paper.beside("table 1", "amazon-movies", results(["DIN"])), "amazon-movies").row
    )


def test_the_papers_tables_are_choices_under_its_own_names():
    assert list(experiments.TABLE_1) == paper.rows_of("table 1")
    assert list(experiments.TABLE_3) == paper.rows_of("table 3")
    assert list(experiments.TABLE_4) == paper.rows_of("table 4")
    assert set(experiments.FIGURE_3) == set(paper.rows_of("figure 3"))
    assert set(experiments.FIGURE_4) == set(paper.rows_of("figure 4"))
    assert experiments.FIGURE_3["ReLLa, K=5"].k == 5
    assert experiments.FIGURE_4["tuned on recent / ReRank"] == rr.Choice(reader="llm, tuned on recent")
    found = experiments.labels(experiments.TABLE_1, {"LLM, text retrieval": rr.Choice("title", "high", "llm")})
    assert found == {"ReLLa": "LLM, text retrieval"}


def test_figure_3_by_line_and_k():
    ours = results([f"RALLRec, K={k}" for k in experiments.KS])
    table = paper.over_k(paper.beside("figure 3", "ml-1m", ours))
    assert table.groupby("line").k.apply(tuple).to_dict() == dict.fromkeys(experiments.LINES, experiments.KS)
    assert table[table.line == "RALLRec"].ours.round(2).tolist() == [0.7, 0.71, 0.72, 0.73, 0.74, 0.75]
    assert table.paper.notna().all()
    shown = paper.lines_for_reading(table)
    assert shown.columns.tolist() == ["method", *(f"K = {k}" for k in experiments.KS)]
    assert shown.iloc[0].tolist()[:2] == ["RALLRec", "0.7472 / 0.700 [0.600, 0.800]"]


@pytest.mark.filterwarnings("error:constrained_layout")
@pytest.mark.parametrize("dataset", ["ml-100k", "ml-1m", "bookcrossing", "tiny"])
def test_figures_beside_the_papers(dataset):
    """Each can be drawn where the paper has the data, has others', or has none."""
    figures.use_style()
    made = paper.beside("figure 3", dataset, results(list(experiments.FIGURE_3)))
    titles = [ax.get_title("left") for ax in paper_figures.over_k(paper.over_k(made), dataset).axes]
    of_paper = "the paper, MovieLens-1M" if dataset == "ml-100k" else "the paper"
    alone = ["here (not in the paper), 2,000 samples"]
    assert titles == (alone if dataset == "tiny" else [of_paper, "here, 2,000 samples; another scale"])
    made = paper.beside("figure 4", dataset, results(list(experiments.FIGURE_4)))
    figure = paper_figures.tunings(made[made.metric == "auc"], dataset)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["Recent", "HybRet", "MixEmb", "ReRank"]
    made = paper.with_rella(paper.beside("table 1", dataset, results(list(experiments.TABLE_1))), dataset)
    figure = paper_figures.beside(made[made.metric == "auc"].assign(dataset=dataset, read_by="here"))
    figures.plt.close("all")
    assert figure.axes[0].get_yticklabels()[0].get_text() == "DeepFM"


def test_what_the_papers_do_not_say_of_themselves():
    said = admissions()
    assert any("0.7151 / 0.7772 / 0.8463" in line and "0.7162 / 0.7658 / 0.8416" in line for line in said)
    assert any("gain +0.0008 over the plain last K" in line for line in said)
    assert any("on BookCrossing at K=10 (0.7136 against 0.7158) and K=20" in line for line in said)
    assert any("0.7184 for DeepFM; ReLLa reports 0.7915" in line and "All of these" in line for line in said)
    known = {f"{v:.4f}" for v in paper.numbers()["value"]}
    values = {v for line in said for v in re.findall(r"(?<![+-])\b0\.\d{4}\b", line)}
    assert values <= known


def test_a_table_of_deviations(tiny_split, llm):
    study = rr.Study(tiny_split, llm, profile("smoke"))
    table = deviations.deviations(study).set_index("what")
    assert table.columns.tolist() == ["paper", "released code", "here"]
    assert not table.isin(["", None]).any(axis=None)
    assert table.here["K"].startswith("3 for the LLM, 5 for the vote")
    assert table.here["data"].startswith("60 users, 80 items, 1,233 samples")
    assert table.paper["data"] == "not among its data"
    assert table.here["LLM that reads"] == llm.name


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("smollm2-135m", 135e6),
        ("gemma3-270m", 270e6),
        ("meta-llama/Llama-3.1-8B-Instruct", 8e9),
        ("http://host:8000/v1#Qwen2.5-0.5B", 5e8),
        ("tiny-random", np.nan),
        ("mamba", np.nan),
    ],
)
def test_the_size_that_a_models_name_says(name, size):
    assert deviations.size_of(name) == pytest.approx(size, nan_ok=True)


@pytest.mark.parametrize("module", [paper, deviations])
def test_examples_run(module):
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0
