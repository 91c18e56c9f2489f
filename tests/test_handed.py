"""Figures that a notebook hands to its runner are those that it would have written itself."""

import matplotlib.pyplot as plt
import matplotlib.text
import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.runs import figures, handed
from rallrec.runs.handed import hand_over, writing

ENDS = (".png", ".pdf")


class Own(matplotlib.text.Text):
    """An artist that the runner does not know."""


@pytest.fixture
def drawn():
    """A figure with a legend, Greek letters and a log axis."""
    figures.use_style()
    x = np.tile([1, 3, 10], 2)
    frame = pd.DataFrame({"k": x, "auc": 0.5 + 0.01 * x, "choice": ["α"] * 3 + ["β"] * 3})
    frame["auc_low"], frame["auc_high"] = frame.auc - 0.02, frame.auc + 0.02
    figure = figures.k_curves(frame, "k", "auc", "choice", "K", "AUC", log=True)
    yield figure
    plt.close(figure)


def files(folder, name: str) -> list[bytes]:
    return [(folder / f"{name}{end}").read_bytes() for end in ENDS]


def test_the_runner_writes_what_the_notebook_would(drawn, tmp_path):
    before = plt.get_fignums()
    with writing(tmp_path):
        for n in range(3):
            hand_over(drawn, tmp_path / f"handed {n}")
            assert not (tmp_path / f"handed {n}.part").exists()
    figures.save(drawn, tmp_path / "here")
    for n in range(3):
        assert files(tmp_path, f"handed {n}") == files(tmp_path, "here")
    assert {path.suffix for path in tmp_path.iterdir()} == set(ENDS)
    assert plt.get_fignums() == before


def test_in_the_style_that_it_was_drawn_in(drawn, tmp_path):
    with plt.rc_context({"savefig.dpi": 50, "pdf.fonttype": 3}):
        hand_over(drawn, tmp_path / "handed")
        figures.save(drawn, tmp_path / "here")
    with writing(tmp_path):  # only now: here notebook and runner are one process, and a style is a process's
        pass
    assert files(tmp_path, "handed") == files(tmp_path, "here")
    figures.save(drawn, tmp_path / "otherwise")
    assert files(tmp_path, "here")[0] != files(tmp_path, "otherwise")[0]
    assert plt.rcParams["savefig.dpi"] == 200


def of_a_lambda(figure, monkeypatch):
    figure.axes[0].yaxis.set_major_formatter(lambda y, _: f"{y:.1f}!")


def of_an_own_class(figure, monkeypatch):
    figure.axes[0].add_artist(Own(2, 0.5, "own"))


def of_an_own_font(figure, monkeypatch):
    monkeypatch.setattr(handed.fontManager, "ttflist", [*handed.fontManager.ttflist, handed.fontManager.ttflist[0]])


@pytest.mark.parametrize("change", [of_a_lambda, of_an_own_class, of_an_own_font])
def test_what_the_runner_may_not_know_is_written_at_once(drawn, tmp_path, monkeypatch, change):
    change(drawn, monkeypatch)
    hand_over(drawn, tmp_path / "here")
    assert {path.name for path in tmp_path.iterdir()} == {"here.png", "here.pdf"}


def test_no_space_is_told_in_a_line(drawn, tmp_path):
    (tmp_path / "handed.pdf").mkdir()  # can't be written either
    with pytest.raises(rr.InputError, match=r"handed can't be written .*free some space"), writing(tmp_path):
        hand_over(drawn, tmp_path / "handed")


def test_the_notebooks_own_error_comes_first(drawn, tmp_path):
    (tmp_path / "handed.pdf").mkdir()

    def fails():
        with writing(tmp_path):
            hand_over(drawn, tmp_path / "handed")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails()
