import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.llm.local import Sampler
from rallrec.readers import prompts
from rallrec.readers.reasoning import merge, missing, reason, stated

SETTINGS = dict(max_new_tokens=6, temperature=0.8, top_p=0.95, seed=0)


@pytest.mark.parametrize(
    ("answer", "p"),
    [
        ("They like space.\nProbability: 0.7", 0.7),
        ("Probability: 0.2? No.\n**Probability:** 0.85.", 0.85),
        ("the probability is 70%", 0.7),
        ("PROBABILITY = .5", 0.5),
        ("Probability: 1", 1.0),
        ("Probability: 1/5", 0.2),
        ("probability of 7 / 10.", 0.7),
        ("Probability: 0", 0.0),
    ],
)
def test_stated_probabilities(answer, p):
    assert stated(answer) == p


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Yes.",
        "0.7",
        "Probability: high",
        "Probability: 7",
        "Probability: 1/0",
        "Probability: 7/5",
        "probability: 130%",
        "Probability: -0.5",
        "It is likely; 3 of 5",
    ],
)
def test_an_answer_that_states_none_is_missing(answer):
    assert np.isnan(stated(answer))


def test_the_merge_is_the_papers():
    reasoned, plain = np.array([[0.2, 0.4, np.nan]]), np.array([0.9])
    a, b = 0.1 / (0.01 + 1e-3), 1 / 1e-3
    assert merge(reasoned, plain) == pytest.approx([(a * 0.3 + b * 0.9) / (a + b)])
    several = np.array([[0.7, 0.9]])
    b = 1 / (0.01 + 1e-3)
    assert merge(reasoned, several) == pytest.approx([(a * 0.3 + b * 0.8) / (a + b)])


def test_agreement_weighs():
    plain = np.array([[0.8, 1.0]])
    sure, torn = merge(np.array([[0.3, 0.3]]), plain), merge(np.array([[0.0, 0.6]]), plain)
    assert sure < torn


def test_what_nobody_states_stays_missing():
    nothing = np.full((1, 3), np.nan)
    assert merge(nothing, np.array([0.4])) == [0.4]
    assert np.isnan(merge(nothing, np.array([np.nan]))).all()
    assert missing(np.array([[0.5, np.nan], [np.nan, np.nan]])) == 0.75
    assert missing(np.zeros((0, 3))) == 0
    with pytest.raises(rr.InputError, match="the same samples"):
        merge(nothing, np.array([0.1, 0.2]))


def test_the_hint_is_in_the_prompt(tiny_split, embedding):
    shown = rr.select(tiny_split.test.take(np.arange(2)), "rerank", embedding, 3)
    plain, hinted = prompts.reasoned(shown), prompts.reasoned(shown, hints=[0.25, 0.755])
    assert "0.25" in hinted[0]
    assert "0.76" in hinted[1] or "0.75" in hinted[1]
    assert "Another model" not in plain[0]
    target = prompts.titles(tiny_split.data)[shown.samples.item[0]]
    assert target in plain[0]


def test_reasons_of_a_model(tiny_split, embedding, llm):
    shown = rr.select(tiny_split.test.take(np.arange(3)), "rerank", embedding, 3)
    p = reason(shown, llm, np.full(3, 0.5), n=2, max_new_tokens=8)
    assert p.shape == (3, 2)
    assert missing(p) > 0.5  # a random model states next to nothing
    with pytest.raises(rr.InputError, match="one for each"):
        reason(shown, llm, np.full(2, 0.5))
    assert reason(rr.select(tiny_split.test.take([]), "rerank", embedding, 3), llm, n=2).shape == (0, 2)


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
