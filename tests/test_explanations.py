"""Diagrams and tables that explain the method: what they say is what the package does."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

import rallrec as rr
from rallrec.evaluation.metrics import Estimate
from rallrec.infra.errors import InputError
from rallrec.profiles import profile
from rallrec.runs import diagrams, supplement
from rallrec.runs.run import NOTEBOOKS


@pytest.fixture
def shown(tiny_split, embedding):
    """Four items of one sample with a long history: the two most similar and the two most recent."""
    sample = tiny_split.test.take(np.array([int(tiny_split.test.n_earlier.argmax())]))
    position = np.r_[rr.retrieve(sample, embedding, 2).position[0], rr.select(sample, "recent", k=2).position[0]]
    assert len(set(position)) == 4
    return rr.Shown(sample, position[None])


def texts_of(figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_the_pipeline_names_every_notebook_and_draws_all_text_within_its_border():
    figure = diagrams.pipeline()
    said = " ".join(texts_of(figure))
    assert all(notebook[:2] in said for notebook in NOTEBOOKS)
    figure.draw_without_rendering()
    border = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        if text.get_text():
            assert border.x0 <= box.x0 < box.x1 <= border.x1, text.get_text()
    plt.close(figure)


def test_scores_of_the_worked_example(shown, embedding):
    example = diagrams.worked_example(shown, embedding, alpha=0.8, beta=2)
    assert (np.diff(example.score) < 1e-12).all()
    assert sorted(example["rank by similarity"].dropna()) == sorted(example["rank by recency"].dropna()) == [1, 2, 3, 4]
    for row in example.to_dict("records"):
        for part, rank, weight in (("similarity", "rank by similarity", 0.8), ("recency", "rank by recency", 0.2)):
            expected = 0 if row[rank] != row[rank] else weight / row[rank] ** 2
            assert row[f"from {part}"] == pytest.approx(expected)
        assert row["score"] == pytest.approx(row["from similarity"] + row["from recency"])
    best = example[example["rank by similarity"] == 1].iloc[0]
    nearest = rr.retrieve(shown.samples, embedding, 1).item[0, 0]
    assert best["item"] == shown.samples.data.items.title[nearest]
    newest = example[example["rank by recency"] == 1].iloc[0]
    assert newest["item"] == shown.samples.data.items.title[shown.samples.data.item[shown.samples.position[0] - 1]]
    titles = [shown.samples.data.items.title[i] for i in shown.item[0]]
    assert sorted(example[example["shown"] == "yes"]["item"]) == sorted(titles)


@pytest.mark.parametrize("alpha", [1 / 2, 2 / 3, 4 / 5])
def test_the_reranker_shows_the_highest_scores(tiny_split, embedding, alpha):
    samples = tiny_split.test.take(tiny_split.test.n_earlier > 5)
    shown = rr.rerank(samples, embedding, k=5, alpha=alpha)
    for row in range(0, len(shown), 10):
        example = diagrams.worked_example(shown, embedding, alpha, row=row)
        assert (example["shown"] == "yes").tolist() == [True] * 5 + [False] * (len(example) - 5)


def test_bars_of_the_worked_example(shown, embedding):
    example = diagrams.worked_example(shown, embedding, alpha=0.5)
    figure = diagrams.score_bars(example)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == example["item"].to_list()
    similarity, recency = ([bar.get_width() for bar in bars] for bars in ax.containers)
    np.testing.assert_allclose(np.add(similarity, recency), example.score)
    plt.close(figure)


def test_a_short_history_has_no_worked_example(tiny_split, embedding):
    sample = tiny_split.test.take(np.array([int(tiny_split.test.n_earlier.argmin())]))
    n = int(sample.n_earlier[0])
    with pytest.raises(InputError, match=f"history of {n} items, of which K = {n} shows all"):
        diagrams.worked_example(rr.select(sample, "recent", k=n), embedding, 0.5)
    with pytest.raises(InputError, match=r"alpha is 1\.5"):
        diagrams.worked_example(rr.select(sample, "recent", k=2), embedding, 1.5)


def test_statistics_are_those_of_the_data(tiny_split):
    data, table = tiny_split.data, supplement.statistics(tiny_split)
    assert list(table) == ["quantity", "here"]  # the paper does not have these data
    here = table.set_index("quantity").here
    assert here["ratings"] == data.n_ratings
    assert here["samples"] == len(tiny_split.train) + len(tiny_split.valid) + len(tiny_split.test)
    assert here.filter(like="density").item() == pytest.approx(data.n_ratings / data.n_users / data.n_items)
    ties = [data.time[n] == data.time[n - 1] for n in range(1, data.n_ratings) if data.user[n] == data.user[n - 1]]
    assert here.filter(like="ties").item() == pytest.approx(np.mean(ties))


@pytest.mark.parametrize("step", supplement.STEPS)
def test_settings_are_those_of_the_profile(step):
    small, full = (supplement.settings(step, profile(name), "an LLM") for name in ("smoke", "full"))
    assert list(small) == ["setting", "paper", "released code", "here"]
    assert not small.isna().any(axis=None)
    if step == "graph":
        dimensions = [t.set_index("setting").here["dimensions"] for t in (small, full)]
        assert dimensions == [str(profile(name).lightgcn["dimensions"]) for name in ("smoke", "full")]


def test_unknown_step_of_the_settings():
    with pytest.raises(InputError, match="step is 'dreams'; it must be one of: description"):
        supplement.settings("dreams", profile("smoke"))


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ((0.2, 0.1, 0.3, 0.01), "+0.200 [+0.100, +0.300], higher"),
        ((-0.2, -0.3, -0.1, 0.01), "-0.200 [-0.300, -0.100], lower"),
        ((0.2, -0.1, 0.3, 0.3), "+0.200 [-0.100, +0.300], inconclusive"),
        ((0.0, 0.0, 0.0, 1.0), "0 (identical predictions)"),
        ((np.nan, np.nan, np.nan, np.nan), "–"),
    ],
)
def test_a_difference_in_words(difference, said):
    assert supplement.in_words(Estimate(*difference)) == said


def test_sizes_of_the_papers_data_stand_beside_ours(tiny_split):
    named = replace(tiny_split, data=replace(tiny_split.data, name="ml-1m"))
    paper = supplement.statistics(named).set_index("quantity").paper
    assert paper[["users", "items", "samples"]].tolist() == [6040, 3952, 970009]
    shuffled = replace(tiny_split, data=replace(tiny_split.data, name="bookcrossing", timed=False))
    table = supplement.statistics(shuffled).set_index("quantity")
    assert table.paper["ratings"] == 227735
    assert np.isnan(table.here.iloc[-1])  # no ties where there is no time
