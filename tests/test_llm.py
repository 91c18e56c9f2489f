import numpy as np
import pytest
import torch

import rallrec as rr
from rallrec.infra.cache import Cache

TEXTS = ["a", "The film is called Alien.", "History: Yes No? " * 5, "The film is called Alien.", "x y z"]


def test_batched_equals_one_at_a_time(llm, tmp_path):
    alone = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path / "alone"))
    assert np.abs(llm.embed(TEXTS) - np.concatenate([alone.embed([t]) for t in TEXTS])).max() < 2e-3  # half precision
    for options in ((" Yes", " No"), (" Absolutely", " Not at all", " Yes")):
        one = np.concatenate([alone.choose([t], options) for t in TEXTS])
        assert llm.choose(TEXTS, options) == pytest.approx(one, abs=1e-6)
    assert llm.generate(TEXTS, 8) == [alone.generate([t], 8)[0] for t in TEXTS]


def test_embedding_is_the_mean_over_real_tokens(llm):
    ids = torch.tensor([llm.tokenizer(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        hidden = llm.model.base_model(ids)[0][0]
    assert llm.embed(TEXTS)[1] == pytest.approx(hidden.mean(0).numpy(), abs=2e-3)


def test_choice_is_the_softmax_of_the_models_own_logits(llm):
    ids = torch.tensor([llm.tokenizer(TEXTS[2])["input_ids"]])
    yes, no = (llm.tokenizer(o)["input_ids"] for o in (" Yes", " No"))
    assert len(yes) == len(no) == 1
    with torch.no_grad():
        logits = llm.model(ids).logits[0, -1, [yes[0], no[0]]]
    assert llm.choose(TEXTS)[2] == pytest.approx(logits.softmax(0).numpy(), abs=1e-6)


def test_options_of_several_tokens_multiply_their_probabilities(llm):
    prompt, options = TEXTS[2], [" Absolutely", " Not at all"]
    scores = []
    for option in options:
        start, whole = (llm.tokenizer(t)["input_ids"] for t in (prompt, prompt + option))
        assert len(whole) > len(start) + 1
        with torch.no_grad():
            logp = llm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
        scores.append(sum(logp[i - 1, whole[i]].item() for i in range(len(start), len(whole))))
    expected = np.exp(scores) / np.exp(scores).sum()
    assert llm.choose([prompt], options)[0] == pytest.approx(expected, abs=1e-6)


def test_one_begin_token(llm):
    llm.tokenizer.chat_template = "{{ bos_token }}{{ messages[0]['content'] }}"
    begin = llm.tokenizer.bos_token_id
    for text in ("plain", llm.chat("asked")):
        assert llm.tokens([text])[0].count(begin) <= 1
    assert llm.tokens([llm.chat("asked")])[0][0] == begin


def test_an_answer_is_paid_for_once(llm, monkeypatch):
    first = llm.choose(TEXTS)
    assert (first[1] == first[3]).all()
    again = rr.language_model("tiny-random", device="cpu", cache=llm.cache)
    monkeypatch.setattr(again, "_choose", lambda *a, **k: pytest.fail("asked again"))
    assert (again.choose(TEXTS) == first).all()
    assert again.missing("choose", [*TEXTS, "new"], options=[" Yes", " No"]) == 1
    assert (llm.paid, again.paid) == (len(set(TEXTS)), 0)


def test_an_interrupted_call_keeps_what_was_answered(llm, monkeypatch):
    llm.batch_tokens = 1  # a batch a text
    answer = type(llm)._choose

    def dies(self, prompts, options):
        for n, batch in enumerate(answer(self, prompts, options)):
            if n == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(type(llm), "_choose", dies)
    with pytest.raises(KeyboardInterrupt):
        llm.choose(TEXTS)
    assert llm.missing("choose", TEXTS, options=[" Yes", " No"]) == len(set(TEXTS)) - 2


@pytest.mark.parametrize("options", [(" Yes",), (" Yes", " Yes"), (" Yes", "")])
def test_bad_options(llm, options):
    with pytest.raises(rr.InputError, match="at least two distinct, non-empty"):
        llm.choose(TEXTS, options)


def test_one_text_is_no_list(llm):
    with pytest.raises(rr.InputError, match="takes a list of texts"):
        llm.embed("one text")


def test_sampling_is_seeded(llm, tmp_path):
    other = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path / "other"))
    sampled = [m.generate(TEXTS, 8, temperature=1.5, top_p=0.9, seed=s) for m, s in ((llm, 0), (other, 0), (other, 1))]
    assert sampled[0] == sampled[1] != sampled[2]


@pytest.mark.parametrize("name", ["gpt-17", "/no/such/folder"])
def test_unknown_model(name):
    with pytest.raises(rr.InputError, match="valid are: smollm2-135m, tiny-random"):
        rr.language_model(name)


def test_hub_model_that_cannot_be_fetched(monkeypatch):
    import huggingface_hub

    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(rr.InputError, match=r"no network.*place the model's files .*owner--model"):
        rr.language_model("owner/model")


def test_a_model_folder(llm, tmp_path):
    folder = tmp_path / "model"
    llm.model.save_pretrained(folder)
    llm.tokenizer.save_pretrained(folder)
    copy = rr.language_model(str(folder), device="cpu", cache=Cache(tmp_path / "other"))
    assert copy.choose(TEXTS) == pytest.approx(llm.choose(TEXTS), abs=1e-6)
    assert copy.weights != llm.weights
    (folder / "model.safetensors").unlink()
    torch.save(llm.model.state_dict(), folder / "pytorch_model.bin")  # a pickle
    with pytest.raises(rr.InputError, match="safetensors"):
        rr.language_model(str(folder))


@pytest.mark.parametrize(("verb", "value"), [("embed", 1e9), ("embed", np.nan), ("choose", np.nan)])
def test_no_number_is_never_kept(llm, monkeypatch, verb, value):
    with monkeypatch.context() as patch, np.errstate(over="ignore"):
        patch.setattr(llm, f"_{verb}", lambda *_, **__: iter([[(0, np.array([value, 0.0]))]]))
        with pytest.raises(rr.InputError, match="no numbers"):
            getattr(llm, verb)(["a text of its own"])
    assert np.isfinite(getattr(llm, verb)(["a text of its own"])).all()


def test_an_answer_in_another_number_format_is_taken_and_its_key_published(llm, tmp_path, monkeypatch):
    texts = sorted(set(TEXTS))
    cache, asked = Cache(tmp_path / "both"), tmp_path / "asked"
    half = rr.language_model("tiny-random", device="cpu", dtype="bfloat16", cache=cache)
    paid = half.choose(texts[:2])
    whole = rr.language_model("tiny-random", device="cpu", dtype="float32", cache=cache)
    assert whole.missing("choose", texts, options=[" Yes", " No"]) == len(texts) - 2
    in_float32 = llm.choose(texts[2:])
    monkeypatch.setenv("RALLREC_ASKED", str(asked))
    answers = whole.choose(texts)
    assert (answers[:2] == paid).all()
    assert answers[2:] == pytest.approx(in_float32, abs=1e-6)
    assert (half.choose(texts) == answers).all()
    keys, formats, verbs = zip(*(line.split() for line in asked.read_text().splitlines()), strict=True)
    assert set(verbs) == {"choose"}
    assert formats[:2] == ("bfloat16", "bfloat16")
    assert set(formats[2 : len(texts)]) == {"float32"}
    assert keys[: len(texts)] == keys[len(texts) :]  # each under the format that it was paid in
    assert None not in cache.get(keys)


def test_the_number_format_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RALLREC_DTYPE", "bfloat16")
    assert rr.language_model("tiny-random", device="cpu").format == "bfloat16"
    monkeypatch.setenv("RALLREC_DTYPE", "int3")
    with pytest.raises(rr.InputError, match="dtype is 'int3'; it must be one of: float32"):
        rr.language_model("tiny-random")


def test_a_spot_check_asks_past_the_cache(llm):
    prompts = [f"a b c {n}:" for n in range(30)]
    llm.choose(prompts)
    assert llm.spot_check(prompts, n=7) < 1e-6
    key = llm._key("choose", prompts[0], {"options": [" Yes", " No"]})
    kept = llm.choose(prompts[:1])[0, 0]
    llm.cache.put({key: np.array([kept - 0.25, 1.25 - kept]).tobytes()})
    assert llm.spot_check(prompts, n=7) == pytest.approx(0.25, abs=1e-6)
