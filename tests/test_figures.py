"""Figures can be read: what stands side by side is not taken for one."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rallrec.runs import figures


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


def table(panels: int) -> pd.DataFrame:
    """Two rows a panel, whose scales are so unlike that the numbers at their axes have two to five letters."""
    frame = pd.DataFrame(itertools.product(range(panels), ["a", "b"]), columns=["panel", "row"])
    frame["auc"] = np.where(frame.row == "a", 0.17, 0.46) * 0.4 ** (frame.panel % 4)
    return frame.assign(auc_low=frame.auc * 0.9, auc_high=frame.auc * 1.1)


def numbers(ax, renderer) -> list:
    """Boxes of the numbers that an axis shows."""
    low, high = ax.get_xlim()
    return [
        tick.label1.get_window_extent(renderer) for tick in ax.xaxis.get_major_ticks() if low <= tick.get_loc() <= high
    ]


@pytest.mark.parametrize("panels", range(1, 7))
def test_numbers_of_neighbouring_panels_stay_apart(panels):
    figure = figures.by_panel(table(panels), "row", "auc", "AUC", panel="panel", zero=None)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    size = figure.axes[0].xaxis.get_major_ticks()[0].label1.get_fontsize() * figure.dpi / 72  # of a letter, in pixels
    for left, right in itertools.pairwise(figure.axes):
        assert numbers(right, renderer)[0].x0 - numbers(left, renderer)[-1].x1 > size


def test_a_legend_is_there_for_what_is_told_apart_alone():
    assert not figures.by_panel(table(3), "row", "auc", "AUC", panel="panel").legends
    (legend,) = figures.by_panel(table(3), "panel", "auc", "AUC", panel="panel", series="row").legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
