"""What the notebooks say in words, and what they record."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.evaluation.claims import (
    CLAIM,
    NOTHING,
    against_chance,
    calibrated,
    change,
    chosen,
    claim,
    judged,
    keyed,
    summed,
)
from rallrec.evaluation.metrics import Estimate, interval, verdict
from rallrec.runs.figures import VERDICTS


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.2, 1),
        (-0.2, -0.01, -1),
        (-0.1, 0.1, 0),
        (0.0, 0.1, 0),  # zero itself is in the interval
        (-0.1, 0.0, 0),
        (0.0, 0.0, 0),
        (np.nan, np.nan, 0),
    ],
)
def test_the_verdict_of_an_interval(low, high, expected):
    assert verdict(low, high) == Estimate(0.5, low, high).verdict == expected
    assert type(verdict(np.float64(low), np.float64(high))) is int


@pytest.fixture
def predictions(tiny_split):
    """A good one and a poor one, of the training samples."""
    samples, rng = tiny_split.train, np.random.default_rng(0)
    return samples, samples.liked * 0.3 + rng.random(len(samples)) * 0.7, rng.random(len(samples))


def test_a_claim_is_judged_by_the_paired_difference(predictions):
    samples, good, poor = predictions
    row = claim("good beats poor", samples, good, poor)
    e = rr.compare(samples, good, poor)["auc"]
    interval = dict(difference=e.value, difference_low=e.low, difference_high=e.high, difference_p=e.p)
    assert row == dict(claim="good beats poor", **interval, n=len(samples), users=len(np.unique(samples.user)))
    rows = [row, claim("poor beats good", samples, poor, good), claim("good beats itself", samples, good, good)]
    table = judged(rows)
    assert table.verdict.tolist() == ["holds", "does not hold", "inconclusive"]
    assert table.columns.tolist() == [*row, "adjusted_p", "verdict"]


def test_a_claim_among_many_needs_more(predictions):
    """An interval just off zero is a finding alone, and none among twenty claims of nothing."""
    alone = dict(
        claim="a", difference=0.02, difference_low=0.001, difference_high=0.04, difference_p=0.04, n=9, users=9
    )
    nothing = alone | dict(difference=0.0, difference_low=-0.02, difference_high=0.02, difference_p=0.9)
    assert judged([alone]).verdict[0] == "holds"
    table = judged([alone] + [nothing] * 20)
    assert table.verdict[0] == "inconclusive"
    assert table.adjusted_p[0] == pytest.approx(0.04 * 21)


def test_a_claim_on_samples_of_one_class_is_inconclusive(predictions):
    samples, good, poor = predictions
    likes = samples.take(samples.liked)
    table = judged([claim("good beats poor", likes, good[samples.liked], poor[samples.liked])])
    assert np.isnan(table.difference[0])
    assert table.verdict[0] == "inconclusive"


def test_the_words_have_colours_in_figures():
    assert set(CLAIM.values()) == set(VERDICTS)


def test_rows_are_grouped_by_what_they_change():
    rows = [
        ("up", 0.1, 0.2, 0.01),
        ("down", -0.2, -0.1, 0.01),
        ("wide", -0.1, 0.1, 0.9),
        ("one of many", 0.1, 0.2, 0.2),
    ]
    rows += [("unknown", np.nan, np.nan, np.nan), ("same", 0.0, 0.0, 1.0)]
    columns = ["method", "difference_low", "difference_high", "adjusted_p"]
    table = pd.DataFrame(rows, columns=columns)
    table["difference"] = (table.difference_low + table.difference_high) / 2
    assert summed(table) == (
        "**Higher**: up (+0.150 [+0.100, +0.200]). **Lower**: down (-0.150 [-0.200, -0.100]). "
        "**Inconclusive**: wide; one of many; unknown. **Identical predictions**: same."
    )
    assert change(SimpleNamespace(difference=0, difference_low=-0.1, difference_high=0.1)) == "+0.000 [-0.100, +0.100]"


def test_tables_as_records(predictions):
    samples, good, poor = predictions
    table = rr.results_table(samples, {"good": good, "poor": poor}, "good", resamples=10)
    record = keyed(table)
    assert list(record) == ["good", "poor"]
    assert list(record["good"]) == ["auc", "log_loss", "accuracy", "calibration_error"]
    assert record["poor"]["auc"] == table.auc[1]
    assert keyed(table, ["auc"]) == {"good": {"auc": table.auc[0]}, "poor": {"auc": table.auc[1]}}
    assert keyed(table, "auc") == {"good": table.auc[0], "poor": table.auc[1]}
    assert json.loads(json.dumps(record)) == record
    with pytest.raises(ValueError, match="unique"):
        keyed(pd.concat([table, table]), "auc")


def test_a_setting_that_is_kept_says_what_its_study_found(predictions):
    samples, good, poor = predictions
    table = rr.results_table(samples, {"without": poor, "with": good, "same": poor}, "without", resamples=50)
    rows = list(table.itertuples())
    assert chosen(rows[1], "is kept") == (
        f"*with* is kept; on these {len(samples):,} samples it changes the AUC by {change(rows[1])}: it helps."
    )
    assert chosen(rows[2], "is kept").endswith(f"by 0 (identical predictions): {NOTHING}.")
    worse = rr.results_table(samples, {"without": good, "with": poor}, "without", resamples=50)
    assert chosen(list(worse.itertuples())[1], "is kept").endswith("it hurts.")


def test_the_calibration_of_a_combination_is_told_beside_its_parts(predictions):
    samples, good, _ = predictions
    honest = np.where(samples.liked, 0.9, 0.1)
    p = {"both": good, "one": honest, "other": good**2, "like both": np.clip(good + 1e-4, 0, 1)}
    table = rr.results_table(samples, p, resamples=50)
    said = calibrated(table, samples, p, "both", ("like both",))
    assert said.startswith("The combination can't be told from its best part in calibration: error ")
    assert f"(like both; by chance alone {table.calibration_floor[3]:.3f})" in said
    e = rr.compare(samples, good, p["like both"])["calibration_error"]
    assert said.endswith(f"; {interval(e.value, e.low, e.high, '+')} against like both, paired.")
    less = calibrated(table, samples, p, "other", ("one", "other"))
    assert less.startswith("The combination is less well calibrated than its best part: error ")
    assert "against one, paired" in less
    assert calibrated(table, samples, p, "one", ("other",)).startswith("The combination is better calibrated than its")


def test_an_auc_against_chance():
    assert against_chance(0.55, 0.6) == "above chance"
    assert against_chance(0.37, 0.49) == "below chance"
    assert against_chance(0.37, 0.504) == against_chance(np.nan, np.nan) == "not told from chance"
