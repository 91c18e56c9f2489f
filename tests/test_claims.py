"""What the notebooks say in words, and what they record."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.evaluation.claims import CLAIM, FINDING, change, claim, finding, keyed, said
from rallrec.evaluation.metrics import Estimate, verdict
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
    interval = dict(difference=e.value, difference_low=e.low, difference_high=e.high)
    assert row == dict(claim="good beats poor", **interval, n=len(samples), verdict="holds")
    assert list(row) == ["claim", "difference", "difference_low", "difference_high", "n", "verdict"]
    assert claim("poor beats good", samples, poor, good)["verdict"] == "does not hold"
    assert claim("good beats itself", samples, good, good)["verdict"] == "can't be told"


def test_a_claim_on_samples_of_one_class_cannot_be_told(predictions):
    samples, good, poor = predictions
    likes = samples.take(samples.liked)
    row = claim("good beats poor", likes, good[samples.liked], poor[samples.liked])
    assert np.isnan(row["difference"])
    assert row["verdict"] == "can't be told"


def test_the_words_have_colours_in_figures():
    assert set(CLAIM.values()) == set(VERDICTS)


def test_a_claim_in_a_sentence():
    row = dict(claim="a beats b", difference=0.0123, difference_low=-0.01, difference_high=0.0346, n=2000)
    assert said(SimpleNamespace(**row, verdict=CLAIM[1])) == (
        "- *a beats b*: holds (+0.012 [-0.010, +0.035], 2,000 samples)."
    )
    assert said(SimpleNamespace(**row, verdict=CLAIM[0])) == (
        "- *a beats b*: can't be told at this sample size (+0.012 [-0.010, +0.035], 2,000 samples)."
    )


@pytest.mark.parametrize(
    ("low", "high", "word"), [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (np.nan, np.nan, 0)]
)
def test_a_finding_is_about_the_full_method(low, high, word):
    """A row whose AUC lies above the full method's says that the full method is worse."""
    row = SimpleNamespace(difference=(low + high) / 2, difference_low=low, difference_high=high)
    assert finding(row) == FINDING[word]
    assert FINDING[1] == "the full method is worse than this"
    assert FINDING[-1] == "the full method is better"
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
