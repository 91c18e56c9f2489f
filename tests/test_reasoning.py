import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.llm.local import Sampler
from rallrec.readers import prompts
from rallrec.readers.reasoning import Reasons, merge

SETTINGS = dict(max_new_tokens=6, temperature=0.8, top_p=0.95, seed=0)


def test_the_merge_is_the_papers():
    reasoned, tuned = np.array([[0.2, 0.4]]), np.array([0.9])
    a, b = 0.1 / (0.01 + 1e-3), 1 / 1e-3
    assert merge(reasoned, tuned) == pytest.approx([(a * 0.3 + b * 0.9) / (a + b)])
    several = np.array([[0.7, 0.9]])
    b = 1 / (0.01 + 1e-3)
    assert merge(reasoned, several) == pytest.approx([(a * 0.3 + b * 0.8) / (a + b)])
    b = 1 / (0.09 + 1e-3)
    assert merge(reasoned, tuned, drawn=True) == pytest.approx([(a * 0.3 + b * 0.9) / (a + b)])


def test_agreement_weighs():
    tuned = np.array([[0.8, 1.0]])
    sure, torn = merge(np.array([[0.3, 0.3]]), tuned), merge(np.array([[0.0, 0.6]]), tuned)
    assert sure < torn


def test_a_drawn_answers_variance_is_that_of_many_draws():
    tuned, reasoned = np.array([0.3, 0.9]), np.full((2, 4), 0.5)
    draws = (np.random.default_rng(0).random((2, 100_000)) < tuned[:, None]).astype(float)
    assert merge(reasoned, tuned, drawn=True) == pytest.approx(merge(reasoned, draws), abs=0.01)


def test_what_cannot_be_merged():
    for reasoned, tuned, word in (
        (np.zeros((1, 3)), np.zeros(2), "the same samples"),
        (np.zeros(2), np.zeros(2), "reasoned has the shape"),
        (np.zeros((2, 0)), np.zeros(2), "reasoned has the shape"),
        (np.full((2, 3), np.nan), np.zeros(2), "reasoned has values"),
        (np.zeros((2, 3)), np.array([0.1, 1.2]), "tuned has values"),
    ):
        with pytest.raises(rr.InputError, match=word):
            merge(reasoned, tuned)


def test_the_opinion_is_in_the_prompt(tiny_split, embedding):
    shown = rr.select(tiny_split.test.take(np.arange(2)), "rerank", embedding, 3)
    plain, told = prompts.reasoned(shown), prompts.reasoned(shown, opinions=[True, False])
    assert "Another model answers Yes." in told[0]
    assert "Another model answers No." in told[1]
    assert [text.replace(" Another model answers Yes.", "") for text in told[:1]] == plain[:1]
    target = prompts.titles(tiny_split.data)[shown.samples.item[0]]
    assert target in plain[0]


def test_reasons_stand_between_question_and_answer(tiny_split, embedding):
    shown = rr.select(tiny_split.test.take(np.arange(2)), "rerank", embedding, 3)
    reasons = [["They like space.", ""], ["Too long.", "No reason"]]
    asked = prompts.concluded(shown, reasons, opinions=[True, False])
    assert asked.options == ("Yes", "No")
    opened = prompts.reasoned(shown, opinions=[True, False])
    questions = [text.removesuffix(" Weigh briefly what speaks for it and what against.") for text in opened]
    for n, text in enumerate(asked.texts):
        sample, number = divmod(n, 2)
        assert text.startswith(f"{questions[sample]}\n\nThoughts on this:\n{reasons[sample][number]}\n")


def test_reasons_of_a_model(tiny_split, embedding, llm):
    shown = rr.select(tiny_split.test.take(np.arange(3)), "rerank", embedding, 3)
    reasons = rr.reason(shown, llm, np.array([True, False, True]), n=2, max_new_tokens=8)
    assert reasons.p.shape == reasons.lengths.shape == (3, 2)
    assert ((reasons.p > 0) & (reasons.p < 1)).all()
    asked = prompts.concluded(shown, reasons.texts, llm, [True, False, True])
    assert (llm.choose(asked.texts, asked.options)[:, 0].reshape(3, 2) == reasons.p).all()
    assert (reasons.lengths == [[len(text) for text in several] for several in reasons.texts]).all()
    assert reasons.mean == pytest.approx(reasons.p.sum(1) / 2)
    none = rr.reason(rr.select(tiny_split.test.take([]), "rerank", embedding, 3), llm, n=2)
    assert none.p.shape == none.lengths.shape == (0, 2)
    assert none.silent == 0
    for opinions in (np.full(2, True), np.full(3, 0.5), np.array([1, 0, 1])):
        with pytest.raises(rr.InputError, match=r"opinions are .*; 3 samples need a truth value each"):
            rr.reason(shown, llm, opinions)


def test_answers_without_reasons_are_counted():
    assert Reasons([["", "a"], ["b", "cd"]], np.zeros((2, 2))).silent == 0.25


def test_samples_do_not_depend_on_their_neighbours(llm):
    texts = ["The film", "A book about", "Yes, because", "x"]
    together = dict(answer for batch in llm._sample(texts, 3, **SETTINGS) for answer in batch)
    alone = [next(llm._sample([t], 3, **SETTINGS))[0][1] for t in texts]
    assert [together[i] for i in range(4)] == alone
    once = dict(answer for batch in llm._generate(texts, **SETTINGS) for answer in batch)
    assert [once[i] for i in range(4)] == [several[0] for several in alone]
    assert len(set(llm.sample(texts, 3, 6)[0])) > 1
    assert llm.sample(texts, 3, 6) != llm.sample(texts, 3, 6, seed=1)


def test_a_cold_sample_is_the_greedy_text(llm):
    texts = ["The film", "A book about", "Yes, because"]
    greedy = llm.generate(texts, 6)
    assert llm.sample(texts, 2, 6, temperature=1e-5) == [[text] * 2 for text in greedy]


@torch.inference_mode()
def test_samples_have_the_models_probabilities():
    scores, n = torch.tensor([[2.0, 1.0, 0.5, -1.0, -3.0]]), 20_000
    drawn = Sampler(list(range(n)), 0.7, 0.9)(None, scores.expand(n, -1)).argmax(1)
    p = (scores / 0.7).softmax(1)[0].numpy()
    allowed = np.where(np.cumsum(p) - p < 0.9, p, 0)  # the likeliest first, until they have 0.9
    assert 1 < (allowed > 0).sum() < 5
    share = np.bincount(drawn.numpy(), minlength=5) / n
    assert share == pytest.approx(allowed / allowed.sum(), abs=4 * 0.5 / n**0.5)
