import numpy as np
import pytest

from rallrec.infra.early_stopping import EarlyStopping

NAN = float("nan")


def stopped(scores, patience):
    """The best check and the last that was made, counted from 0."""
    stopping = EarlyStopping(patience)
    for n, score in enumerate(scores):
        stopping.check(score, n)
        if stopping.over:
            break
    return stopping.best, n


@pytest.mark.parametrize(
    ("scores", "patience", "best", "last"),
    [
        ([1, 2, 3, 2, 1, 9], 2, 2, 4),  # over before the 9
        ([1, 2, 3, 2, 1, 9], 3, 5, 5),
        ([1, 0, 2, 0, 3, 0], 2, 4, 5),  # a rise forgives what was stale
        ([1, 1, 1], 2, 0, 2),  # a tie is no rise; the first stays
        ([3, 2, 1], 1, 0, 1),
        ([1, NAN, 2, NAN, NAN], 2, 2, 4),
        ([NAN, NAN, 1, 0, 0], 3, 2, 4),
        ([NAN, NAN, NAN, NAN], 3, 2, 2),  # nothing to choose by: what was trained longest
        ([-np.inf, -5, -6], 2, 1, 2),
    ],
)
def test_the_best_is_kept_and_the_end_is_told(scores, patience, best, last):
    assert stopped(scores, patience) == (best, last)
    assert stopped(np.array(scores), patience) == (best, last)


def test_what_is_known_of_it():
    stopping = EarlyStopping(2)
    assert (stopping.best, stopping.score, stopping.stale, stopping.over) == (None, -np.inf, 0, False)
    assert stopping.check(0.5, "a")
    assert not stopping.check(0.4, "b")
    assert (stopping.best, stopping.score, stopping.stale, stopping.over) == ("a", 0.5, 1, False)
    assert not stopping.check(NAN, "c")
    assert (stopping.best, stopping.score, stopping.stale, stopping.over) == ("a", 0.5, 2, True)


def test_a_copy_is_made_only_of_what_is_better():
    stopping, copies = EarlyStopping(9), []

    def copied():
        copies.append(len(copies))
        return copies[-1]

    for score in (1, 0, 2, NAN, 2):
        stopping.check(score, copied)
    assert (copies, stopping.best) == ([0, 1], 1)


def test_a_resumed_one_goes_on():
    stopping = EarlyStopping(3)
    stopping.best, stopping.score, stopping.stale = "kept", 0.7, 2
    assert not stopping.check(0.6, "new")
    assert stopping.over
    assert stopping.best == "kept"
