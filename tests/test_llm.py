import doctest

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.infra.registry import Registry
from rallrec.llm import local, opening
from rallrec.llm.base import LanguageModel
from rallrec.llm.opening import backend

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
    with pytest.raises(pytest.fail.Exception, match="asked again"):
        again.choose([*TEXTS, "new"])
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
    monkeypatch.setattr(type(llm), "_choose", answer)
    llm.choose(TEXTS)
    assert llm.paid == len(set(TEXTS))  # two before, the others now


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
    with pytest.raises(rr.InputError, match="valid are: smollm2-135m, gemma3-270m, tiny-random"):
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


def test_an_answer_in_another_number_format_is_taken_and_its_key_noted(llm, tmp_path):
    texts = sorted(set(TEXTS))
    cache = Cache(tmp_path / "both")
    half = rr.language_model("tiny-random", device="cpu", dtype="bfloat16", cache=cache)
    paid = half.choose(texts[:2])
    whole = rr.language_model("tiny-random", device="cpu", dtype="float32", cache=cache)
    answers = whole.choose(texts)
    assert whole.paid == len(texts) - 2
    assert (answers[:2] == paid).all()
    assert answers[2:] == pytest.approx(llm.choose(texts[2:]), abs=1e-6)
    assert (half.choose(texts) == answers).all()
    formats = ["bfloat16"] * 2 + ["float32"] * (len(texts) - 2)  # each under the format that it was paid in
    assert list(whole.asked.values()) == [(form, "choose") for form in formats]
    assert list(half.asked.items()) == list(whole.asked.items())
    assert None not in cache.get(whole.asked)
    assert whole.formats(texts) == half.formats(texts) == {"float32": len(texts) - 2, "bfloat16": 2}
    assert whole.formats(["not asked"]) == {}


def test_what_was_asked_is_noted_once_in_order_with_the_adapted_models(llm, tmp_path):
    from peft import LoraConfig, get_peft_model

    copy = rr.language_model("tiny-random", device="cpu", cache=llm.cache)
    get_peft_model(copy.model, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    adapted = llm.adapted(tmp_path / "adapter")
    llm.choose(["b", "a", "b"])
    adapted.sample(["b"], 2, 3)
    llm.embed(["b"])
    llm.generate(["b"], 2)
    adapted.choose(["a"])
    llm.choose(["a", "c"])
    yes, several = {"options": [" Yes", " No"]}, dict(n=2, max_new_tokens=3, temperature=0.6, top_p=0.95, seed=0)
    made = [(llm, "choose", "b", yes), (llm, "choose", "a", yes), (adapted, "sample", "b", several)]
    made += [(adapted, "choose", "a", yes), (llm, "choose", "c", yes)]
    expected = [(by._key(verb, text, s), (by.format, verb)) for by, verb, text, s in made]
    assert list(llm.asked.items()) == list(adapted.asked.items()) == expected
    assert copy.asked == {}


def test_an_adapted_model_says_that_it_is_one(llm, tmp_path, capsys):
    from peft import LoraConfig, get_peft_model

    copy = rr.language_model("tiny-random", device="cpu", cache=llm.cache)
    get_peft_model(copy.model, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    capsys.readouterr()
    adapted = llm.adapted(tmp_path / "adapter")
    assert capsys.readouterr().out == f"{llm} (as asked, adapter merged)\n"  # in executed notebooks
    assert adapted.cache is llm.cache
    assert adapted.choose(TEXTS) == pytest.approx(llm.choose(TEXTS), abs=1e-6)  # LoRA begins with zeros
    assert adapted.paid == len(set(TEXTS))  # under keys of its own


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


def test_a_spot_check_is_made_once_by_the_same_libraries_on_the_same_processor(llm, monkeypatch):
    prompts, asked = [f"a b c {n}:" for n in range(5)], []
    llm.choose(prompts)
    choose = llm._choose
    monkeypatch.setattr(llm, "_choose", lambda some, options: asked.append(len(some)) or choose(some, options))
    assert llm.spot_check(prompts) == llm.spot_check(prompts)
    assert asked == [5]
    monkeypatch.setattr(local, "hardware", lambda: "another processor")
    llm.spot_check(prompts)
    llm.spot_check(prompts[:4])
    assert asked == [5, 5, 4]
    monkeypatch.setattr(type(llm), "computed_with", None)  # as of a server
    llm.spot_check(prompts)
    llm.spot_check(prompts)
    assert asked == [5, 5, 4, 5, 5]


# --- options and how a prompt ends ---------------------------------------------------------------------


def spelled(pattern: str, words: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the pieces that a pattern finds in a text."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["</s>", *words])}, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def test_an_options_tokens_are_those_after_each_prompts_own_end(llm, tmp_path):
    llm.tokenizer = spelled(
        r"(?<=:) Yes|(?<=:) No|\w+|[ :?]", ["Alien", "Dune", ":", "?", " ", "Yes", "No", " Yes", " No"]
    )
    prompts = ["Alien:", "Dune?", "Dune:", "Alien? Dune?", "Alien: Dune:"]
    assert [len(o) for o in llm.option_tokens("Alien:", [" Yes", " No"])] == [1, 1]
    assert [len(o) for o in llm.option_tokens("Dune?", [" Yes", " No"])] == [2, 2]
    alone = []
    for prompt in prompts:
        ((_, row),) = next(llm._choose([prompt], [" Yes", " No"]))
        alone.append(row)
    assert llm.choose(prompts) == pytest.approx(np.array(alone), abs=1e-6)
    for prompt, row in zip(prompts, alone, strict=True):  # the model's own probabilities of the whole continuations
        scores = []
        (start,) = llm.tokens([prompt])
        for option in (" Yes", " No"):
            (whole,) = llm.tokens([prompt + option])
            with torch.no_grad():
                logp = llm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
            scores.append(sum(logp[i - 1, whole[i]].item() for i in range(len(start), len(whole))))
        assert row == pytest.approx(np.exp(scores) / np.exp(scores).sum(), abs=1e-6)


@pytest.mark.parametrize("last", ["so: Dune?", "it? Yes:Dune?", "Alien Dune?"])
def test_an_option_that_merges_with_the_end_of_any_prompt_is_refused(llm, last):
    """Also where the merged token spans more than the last word, and before anything is paid for."""
    words = ["Alien", "Dune", "so", "it", "Yes", "No", " Yes", " No", ":", "?", " ", "Dune? Yes", "Alien Dune? Yes"]
    llm.tokenizer = spelled(r"Alien Dune\? Yes|(?<=so: )Dune\? Yes|(?<=Yes:)Dune\? Yes| Yes| No|\w+|[ :?]", words)
    fine = ["it: Dune?", "so? Dune?", "Dune:", "Dune?"]
    assert llm.choose(fine).shape == (4, 2)
    with pytest.raises(rr.InputError, match=r"option ' Yes' merges with the prompt's end '.*Dune\?'"):
        llm.choose([*fine, "Alien:", last])
    assert llm.paid == len(fine)


def test_one_prompt_of_each_ending_is_tokenized_with_the_options(llm, monkeypatch):
    asked, real = [], llm.option_tokens
    monkeypatch.setattr(llm, "option_tokens", lambda prompt, options: asked.append(prompt) or real(prompt, options))
    llm.choose([f"Film {n} of many, 57% like it:" for n in range(300)] + ["x y:", "z y:"])
    assert asked == ["Film 0 of many, 57% like it:", "x y:", "z y:"]


# --- backends ------------------------------------------------------------------------------------------


class Echo(LanguageModel):
    """A backend whose answers tell the length of the text."""

    format = "exact"

    def __init__(self, name: str, cache=None, adapter: str = ""):
        super().__init__(cache)
        self.name, self.weights, self.batches = f"echo:{name}", f"echo:{name}{adapter}", []

    def chat(self, message):
        return f"<{message}>"

    def takes(self, weights):
        return weights.startswith("echo:")

    def _adapted(self, folder):
        return Echo(self.name.removeprefix("echo:"), self.cache, f"+{folder.name}")

    def _each(self, texts, answer):
        self.batches.append(texts)
        for i in reversed(range(len(texts))):  # as they are ready
            yield [(i, answer(texts[i]))]

    def _generate(self, prompts, max_new_tokens, temperature, top_p, seed):
        yield from self._each(prompts, lambda text: text[-max_new_tokens:])

    def _sample(self, prompts, n, max_new_tokens, temperature, top_p, seed):
        yield from self._each(prompts, lambda text: [text[-max_new_tokens:]] * n)

    def _embed(self, texts):
        yield from self._each(texts, lambda text: np.array([len(text), 1.0]))

    def _choose(self, prompts, options):
        yield from self._each(prompts, lambda text: np.array([1, len(text)], np.float32) / (1 + len(text)))


@pytest.fixture
def echo(monkeypatch):
    """The prefix ``echo:``, registered for one test."""
    monkeypatch.setattr(opening, "BACKENDS", registry := Registry("backend"))
    for name in ("http://", "https://"):
        registry.add(name, lambda *a, **k: pytest.fail("asked a server"))
    registry.seal()

    @backend("echo:")
    def open_echo(name, adapter, cache):
        llm = Echo(name, cache)
        return llm if adapter is None else llm.adapted(adapter)

    return open_echo


def test_a_backend_of_ones_own_answers_the_verbs_from_the_shared_cache(echo, cache, capsys):
    llm = rr.language_model("echo:one", cache=cache)
    assert capsys.readouterr().out == "echo:one\n"
    assert isinstance(llm, Echo)
    for _ in range(2):
        assert llm.generate(["abc", "x", "abc"], 2) == ["bc", "x", "bc"]
        assert llm.sample(["abc", "x"], 2, 1) == [["c", "c"], ["x", "x"]]
        assert llm.embed(["abc", "x"]).tolist() == [[3, 1], [1, 1]]
        assert llm.choose(["abc", "x"]) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))
    assert llm.batches == [["abc", "x"]] * 4
    assert llm.paid == 8
    assert set(llm.asked.values()) == {("exact", "choose"), ("exact", "sample")}
    again = rr.language_model("echo:one", cache=cache)
    again.choose(["x", "abc", "new"])
    assert again.batches == [["new"]]
    other = rr.language_model("echo:two", cache=cache)
    other.choose(["x"])
    assert other.batches == [["x"]]  # other weights, other answers


def test_a_backends_adapter(echo, cache, tmp_path):
    adapted = rr.language_model("echo:one", tmp_path / "mine", cache=cache)
    assert adapted.weights == "echo:one+mine"
    plain = rr.language_model("echo:one", cache=cache)
    plain.adapted(str(tmp_path / "mine")).choose(["x"])
    assert list(plain.asked) == [adapted._key("choose", "x", {"options": [" Yes", " No"]})]


def test_a_backend_reads_prompts_of_the_package(echo, cache, tiny_split):
    llm = rr.language_model("echo:one", cache=cache)
    p = rr.recommend(rr.select(tiny_split.test.take(np.arange(5)), "recent", k=3), llm)
    assert p.shape == (5,)
    assert ((p > 0) & (p < 0.1)).all()


def test_the_longest_prefix_counts_and_a_second_registration_replaces_ones_own(echo, cache):
    @backend("echo:loud:")
    def open_loud(name, adapter, cache):
        return Echo(name.upper(), cache)

    assert rr.language_model("echo:loud:x", cache=cache).name == "echo:X"
    backend("echo:")(lambda name, adapter, cache: Echo("new", cache))  # a notebook's cell that runs again
    assert rr.language_model("echo:x", cache=cache).name == "echo:new"
    assert rr.language_model("tiny-random", device="cpu", cache=cache).name == "tiny-random"


@pytest.mark.parametrize("prefix", ["", ":", "echo", "http://", None])
def test_prefixes_that_cannot_be(prefix):
    with pytest.raises(rr.InputError, match="must end with a colon"):
        backend(prefix)


def test_what_a_backend_must_give(echo, cache):
    backend("none:")(lambda *_: None)
    with pytest.raises(rr.InputError, match="backend 'none:' gives a NoneType; it must give a LanguageModel"):
        rr.language_model("none:", cache=cache)


def test_the_example_of_a_backend_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    monkeypatch.setattr(opening, "BACKENDS", Registry("backend"))
    monkeypatch.setattr(rr, "backend", backend, raising=False)
    (example,) = doctest.DocTestFinder(recurse=False).find(backend, "backend", globs={})
    assert doctest.DocTestRunner().run(example) == (0, len(example.examples))
    assert len(example.examples) > 5


def test_a_registry():
    registry = Registry("dish")
    assert registry.add("soup", 1) == 1

    @registry.register("salad")
    def salad():
        return 2

    assert registry["salad"] is salad
    assert salad() == 2
    registry.seal()
    for name in ("soup", "salad"):
        with pytest.raises(rr.InputError, match=f"dish '{name}' is built in; give yours another name"):
            registry.add(name, 3)
    registry.add("cake", 3)
    registry.register("cake")(4)
    registry.register("soup", replace=True)(5)
    assert (list(registry), len(registry)) == (["soup", "salad", "cake"], 3)
    assert [registry[name] for name in registry] == [5, salad, 4]
    assert registry.built_in == {"soup", "salad"}
    assert "cake" in registry
    assert "tea" not in registry
    for unknown in ("tea", None, ["soup"]):
        with pytest.raises(rr.InputError, match=r"dish is .*; it must be one of: soup, salad, cake$"):
            registry[unknown]
    for no_name in ("", " ", None, 3):
        with pytest.raises(rr.InputError, match="it must be a text"):
            registry.add(no_name, 1)
