import numpy as np
import pytest

import rallrec as rr
from rallrec import profiles
from rallrec.evaluation.metrics import auc
from rallrec.readers import prompts
from rallrec.readers.reasoning import Reasons, merge
from rallrec.study import paper
from rallrec.study.reasons import (
    BOTH,
    INJECTED,
    NEITHER,
    RECENT,
    RETRIEVED,
    ROWS,
    WITHOUT_REASONS,
    ask,
    by_agreement,
    by_length,
    retrieval,
    table5,
    windows,
)

N, ANSWERS = 60, 4


@pytest.fixture
def samples(tiny_split):
    return tiny_split.test.take(np.arange(N))


def answers_of(samples, noise, lengths=None, seed=0):
    """Answers that scatter around P = 0.7 of a like and 0.3 of a dislike."""
    rng = np.random.default_rng(seed)
    p = np.clip(np.where(samples.liked, 0.7, 0.3)[:, None] + noise * rng.normal(size=(len(samples), ANSWERS)), 0, 1)
    lengths = rng.integers(1, 90, p.shape) if lengths is None else lengths
    return Reasons([["x" * n for n in several] for several in lengths], p)


def test_shorter_answers_that_are_better(samples):
    """Those of up to 20 characters are right, those of more are wrong."""
    lengths = np.random.default_rng(0).permutation(np.arange(N * ANSWERS) % 41).reshape(N, ANSWERS)
    right = lengths <= 20
    p = np.where(right == samples.liked[:, None], 0.9, 0.1)
    table = by_length(samples, Reasons([["x" * n for n in several] for several in lengths], p))
    assert table.n.sum() == N * ANSWERS
    assert table.n.max() - table.n.min() <= 1
    assert (table.shortest[1:].to_numpy() >= table.longest[:-1].to_numpy()).all()
    assert table.accuracy[[0, 1, 3, 4]].tolist() == [1, 1, 0, 0]
    assert (table.likes * table.n).sum() == samples.liked.sum() * ANSWERS
    assert table.difference.iloc[0] == 1
    assert np.isnan(table.difference.iloc[-1])


def test_samples_whose_answers_agree(samples):
    noise = np.where(np.arange(N) % 2, 0.02, 0.9)[:, None]
    reasons = answers_of(samples, noise)
    table = by_agreement(samples, reasons, 2)
    assert table.accuracy[0] == 1 > table.accuracy[1]
    assert table.difference[0] == pytest.approx(1 - table.accuracy[1])
    assert table.most[0] <= table.least[1]
    slid = windows(samples, reasons, 10)
    assert len(slid) == N - 10 + 1
    assert (np.diff(slid.variance) >= 0).all()
    assert slid.accuracy[0] == 1
    order = np.argsort(reasons.p.var(1), kind="stable")[-10:]
    right = (reasons.p.mean(1) > 0.5) == samples.liked
    assert slid.accuracy.iloc[-1] == pytest.approx(right[order].mean())
    assert len(windows(samples, reasons)) == N - N // 5 + 1
    few = samples.take(np.arange(2))
    assert len(windows(few, answers_of(few, 0.1), 10)) == 1
    assert len(by_agreement(few, answers_of(few, 0.1))) == 2


def test_retrieval_against_none(samples):
    answers = {RECENT: answers_of(samples, 0.9), RETRIEVED: answers_of(samples, 0.1, seed=1)}
    direct = np.random.default_rng(2).random(N)
    table = retrieval(samples, answers, direct).set_index("method")
    assert table.auc[WITHOUT_REASONS] == table.single[WITHOUT_REASONS] == auc(samples.liked, direct)
    assert table.difference[RETRIEVED] == pytest.approx(table.auc[RETRIEVED] - table.auc[RECENT])
    single = np.mean([auc(samples.liked, answers[RECENT].p[:, n]) for n in range(ANSWERS)])
    assert table.single[RECENT] == pytest.approx(single)
    assert single < table.auc[RECENT]  # a mean has less noise


def test_table_5(samples):
    tuned = np.random.default_rng(2).random(N)
    plain, told = answers_of(samples, 0.9), answers_of(samples, 0.5, seed=1)
    table = table5(samples, tuned, {RETRIEVED: plain, INJECTED: told}).set_index("method")
    assert table.auc["tuned LLM"] == auc(samples.liked, tuned)
    assert table.auc[NEITHER] == auc(samples.liked, plain.mean + 10 * tuned)
    assert table.auc["KP only"] == auc(samples.liked, told.mean + 10 * tuned)
    assert table.auc["CM only"] == auc(samples.liked, merge(plain.p, tuned))
    assert table.auc[BOTH] == auc(samples.liked, merge(told.p, tuned))
    assert table.auc[f"{NEITHER}, equal weights"] == auc(samples.liked, plain.mean + tuned)
    for metric, difference in (("auc", "difference"), ("log_loss", "log_loss_difference")):
        assert table[difference][BOTH] == pytest.approx(table[metric][BOTH] - table[metric][NEITHER])
        assert np.isnan(table[difference][NEITHER])


def test_what_is_asked(tiny_split, llm, monkeypatch):
    """Prompts of the first two hang on no answer, those of the third on the tuned LLM's Yes or No alone."""
    study = rr.Study(tiny_split, llm, profiles.profile("smoke"))
    few, choice, asked, real = tiny_split.test.take(np.arange(3)), rr.Choice(selector="recent"), [], prompts.reasoned
    monkeypatch.setattr(prompts, "reasoned", lambda *args: asked.append(real(*args)) or asked[-1])
    found = ask(study, few, np.array([0.9, 0.2, 0.51]), choice)
    assert list(found) == [RECENT, RETRIEVED, INJECTED]
    assert {reasons.p.shape for reasons in found.values()} == {(3, study.size.reason_answers)}
    plain, retrieved, told = asked
    assert plain == retrieved == real(study.shown(choice, few, study.size.llm_k), llm)
    assert ["Yes" if "answers Yes." in text else "No" for text in told] == ["Yes", "No", "Yes"]
    again = ask(study, few, np.array([0.6, 0.49, 0.99]), choice)
    assert asked[-1] == told
    assert (again[INJECTED].p == found[INJECTED].p).all()


def test_rows_of_the_papers_tables(samples):
    """Each of RALLRec+'s rows has one of ours beside it."""
    answers = {name: answers_of(samples, 0.5, seed=n) for n, name in enumerate((RECENT, RETRIEVED, INJECTED))}
    p = np.full(N, 0.5)
    names = {"tables 2 and 3": ROWS, "table 5": {name: name for name in (NEITHER, "CM only", "KP only", BOTH)}}
    for name, ours in (("tables 2 and 3", retrieval(samples, answers, p)), ("table 5", table5(samples, p, answers))):
        assert list(names[name]) == paper.rows_of(name, paper.PLUS)
        table = paper.beside(name, "ml-1m", ours, ROWS if name == "tables 2 and 3" else None, paper.PLUS)
        both = table[table.row.isin(list(names[name]))]
        assert both[["paper", "ours"]].notna().all(axis=None)
        assert len(both) == 3 * len(names[name])
