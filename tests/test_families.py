"""Families of decoder LLMs, each as a tiny random model: all that is asked of it beside transformers' own answers.

Beside it stands the same folder opened by transformers: one text at a time, no padding, no cache, no prefix that
several answers share.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from peft import PeftModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

import rallrec as rr
from rallrec import __main__ as command
from rallrec.infra.cache import Cache, key_of
from rallrec.llm.local import LocalModel, Sampler
from rallrec.llm.server import ServerSettings
from rallrec.llm.weights import _tiny_random
from rallrec.readers import training
from rallrec.readers.adapter import adapter

from .test_server import Server

BEGIN, END, WINDOW, SWITCH = 0, 1, 8, 24  # tokens
TEXTS = ["a", "x y z The film", "The film is called Alien.", "History: Yes No? " * 5, "History: Yes No? " * 9 + "The"]
SAMPLED = dict(max_new_tokens=10, temperature=1.2, top_p=0.95)

SIZES = dict(vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
SIZES |= dict(num_key_value_heads=2, max_position_embeddings=4096, initializer_range=0.3)  # so that attention matters
SIZES |= dict(bos_token_id=BEGIN, eos_token_id=END, pad_token_id=END)
GEMMA3 = dict(head_dim=8, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"])
LONGROPE = dict(rope_type="longrope", rope_theta=10_000.0, original_max_position_embeddings=SWITCH)
LONGROPE |= dict(short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[2.0, 3.0, 4.0, 5.0])
SEES = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
SEES |= dict(image_size=28, patch_size=14)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
GEMMAS = "{{ bos_token }}<start_of_turn>user\n{{ messages[0].content }}<end_of_turn>\n<start_of_turn>model\n"
MISTRALS = "{{ bos_token }}[INST] {{ messages[0].content }} [/INST]"
PHIS = "<|user|>\n{{ messages[0].content }}<|end|>\n<|assistant|>\n"


@dataclass(frozen=True)
class Family:
    """What differs from one family to the next.

    Attributes:
        kind: the name that transformers gives its config. config: its settings beside `SIZES`.
        begins: whether the tokenizer puts a begin token before a text. pieces: whether it is like SentencePiece's.
        linear: linear layers that read texts, in both blocks together.
    """

    kind: str
    config: dict
    begins: bool = True
    template: str | None = None
    pieces: bool = False
    linear: int = 14

    def configured(self):
        if self.kind == "Gemma3":  # with its eyes, as from 4 billion parameters on
            own = {"text_config": SIZES | self.config, "vision_config": SEES, "mm_tokens_per_image": 4}
            own |= dict(boi_token_index=397, eoi_token_index=398, image_token_index=399)
            return transformers.Gemma3Config(**own)
        return getattr(transformers, f"{self.kind}Config")(**SIZES | self.config)


FAMILIES = {
    "llama": Family("Llama", dict(tie_word_embeddings=True)),
    "llama, untied": Family("Llama", dict(tie_word_embeddings=False), template=CHATML, pieces=True),
    "qwen2": Family("Qwen2", dict(use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1), begins=False),
    "qwen3": Family("Qwen3", dict(head_dim=8, tie_word_embeddings=True), begins=False, template=CHATML),
    "gemma": Family("Gemma", dict(head_dim=8), template=GEMMAS),
    "gemma2": Family(
        "Gemma2",
        dict(head_dim=8, sliding_window=WINDOW, final_logit_softcapping=2.0, attn_logit_softcapping=2.0),
        template=GEMMAS,
    ),
    "gemma3": Family("Gemma3Text", GEMMA3, template=GEMMAS),
    "gemma3, with eyes": Family("Gemma3", GEMMA3, template=GEMMAS),
    "mistral": Family("Mistral", dict(sliding_window=WINDOW), template=MISTRALS, pieces=True),
    "phi": Family("Phi", {}, begins=False, linear=12),
    "phi3": Family("Phi3", dict(sliding_window=WINDOW), template=PHIS, pieces=True, linear=8),
    "phi3, LongRoPE": Family(
        "Phi3", dict(rope_parameters=LONGROPE, original_max_position_embeddings=SWITCH), begins=False, linear=8
    ),
}


@dataclass(frozen=True)
class Pair:
    """A model as the package opens it, and the same one in transformers."""

    family: Family
    folder: Path
    llm: LocalModel
    theirs: torch.nn.Module

    def logits(self, ids: list[int], model=None) -> torch.Tensor:
        """[tokens, vocabulary]"""
        with torch.no_grad():
            return (model or self.theirs)(torch.tensor([ids]), use_cache=False).logits[0]

    def continued(self, ids: list[int], **settings) -> str:
        with torch.no_grad():
            out = self.theirs.generate(
                torch.tensor([ids]), use_cache=False, do_sample=False, eos_token_id=END, pad_token_id=END, **settings
            )
        return self.llm.tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, tmp_path_factory) -> Pair:
    family, folder = FAMILIES[request.param], tmp_path_factory.mktemp("family") / "model"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        AutoModelForCausalLM.from_config(family.configured()).save_pretrained(folder)
    tokenizer_of(family).save_pretrained(folder)
    return Pair(family, folder, opened(folder), AutoModelForCausalLM.from_pretrained(folder).eval())


def opened(folder: Path) -> LocalModel:
    return rr.language_model(str(folder), device="cpu", cache=Cache(folder.with_name(f"{folder.name}.sqlite")))


def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    tokens = _of_pieces() if family.pieces else _tiny_random()[1].backend_tokenizer
    ends = dict(eos_token="</s>", pad_token="</s>")
    if family.begins:
        single = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BEGIN)])
        tokens.post_processor, ends["bos_token"] = single, "<s>"
    made = PreTrainedTokenizerFast(tokenizer_object=tokens, **ends)
    made.chat_template = family.template
    return made


def _of_pieces() -> Tokenizer:
    """A blank belongs to the word after it and a text begins with one, which is cut off again; unknown signs as bytes.

    Llama 2's, Mistral's and Phi 3's tokenizers are of this kind.
    """
    words = pre_tokenizers.Metaspace(prepend_scheme="first")
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = words
    special = ["<s>", "</s>", "<unk>"]
    text = ["History: The film (1999): Yes The film (1999): No Question? stars liked watched : Yes : No"] * 4
    trained.train_from_iterator(text, trainers.BpeTrainer(vocab_size=140, special_tokens=special, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    numbers = learned["vocab"] | {f"<0x{byte:02X}>": len(learned["vocab"]) + byte for byte in range(256)}
    merges = [tuple(merge) for merge in learned["merges"]]
    tokens = Tokenizer(models.BPE(numbers, merges, unk_token="<unk>", byte_fallback=True))
    tokens.pre_tokenizer = words
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokens.decoder = decoders.Sequence(parts)
    tokens.add_special_tokens(special)
    return tokens


# --- the verbs ------------------------------------------------------------------------------------------


def test_tokens_are_the_tokenizers_own_and_begin_once(pair):
    ids = pair.llm.tokens(TEXTS)
    assert ids == [pair.llm.tokenizer(text)["input_ids"] for text in TEXTS]
    assert {row.count(BEGIN) for row in ids} == {int(pair.family.begins)}
    assert (len(ids[0]) == 1) is (not pair.family.begins)  # a prefix of nothing
    assert len(ids[0]) + SAMPLED["max_new_tokens"] < SWITCH < len(ids[-1])
    assert any(len(row) < SWITCH <= len(row) + SAMPLED["max_new_tokens"] - 1 for row in ids)  # passes it on its way
    assert len(ids[-1]) > 4 * WINDOW


def test_embed_is_the_mean_of_the_last_hidden_states(pair):
    with torch.no_grad():
        outs = [pair.theirs(torch.tensor([row]), output_hidden_states=True) for row in pair.llm.tokens(TEXTS)]
    expected = np.stack([out.hidden_states[-1][0].mean(0).numpy() for out in outs])
    assert pair.llm.embed(TEXTS) == pytest.approx(expected, abs=float(1e-3 * np.abs(expected).max()))  # half precision


@pytest.mark.parametrize("options", [(" Yes", " No"), (" Absolutely", " Not at all")], ids=["one token", "several"])
def test_choose_multiplies_the_models_own_probabilities(pair, options):
    expected = []
    for text, start in zip(TEXTS, pair.llm.tokens(TEXTS), strict=True):
        scores = []
        for option in options:
            whole = pair.llm.tokenizer(text + option)["input_ids"]
            assert whole[: len(start)] == start
            logp = pair.logits(whole[:-1]).log_softmax(-1)
            scores.append(sum(logp[i - 1, whole[i]].item() for i in range(len(start), len(whole))))
        expected.append(torch.tensor(scores, dtype=torch.float64).softmax(0).numpy())
    assert pair.llm.choose(TEXTS, options) == pytest.approx(np.stack(expected), abs=1e-5)
    assert np.ptp(np.diff(np.log(expected))) > 1  # the texts tell


def test_generate_is_the_models_own_greedy_search(pair):
    expected = [pair.continued(row, max_new_tokens=10) for row in pair.llm.tokens(TEXTS)]
    assert pair.llm.generate(TEXTS, 10) == expected
    assert len(set(expected)) == len(TEXTS)


def test_several_samples_of_one_prefix_are_those_of_the_whole_text(pair):
    """Each is drawn with its own seed, so transformers draws the same ones from the whole text, one at a time."""
    n, expected = 2, []
    for text, row in zip(TEXTS, pair.llm.tokens(TEXTS), strict=True):
        seeds = (int(key_of(seed=0, text=text, number=k)[:15], 16) for k in range(n))
        draw = partial(Sampler, temperature=SAMPLED["temperature"], top_p=SAMPLED["top_p"])
        expected.append(
            [
                pair.continued(row, max_new_tokens=SAMPLED["max_new_tokens"], logits_processor=[draw([seed])])
                for seed in seeds
            ]
        )
    assert pair.llm.sample(TEXTS, n, **SAMPLED) == expected
    assert len({text for several in expected for text in several}) > len(TEXTS)


def test_a_users_turn_is_that_of_the_template(pair):
    tokenizer = pair.llm.tokenizer
    if not pair.family.template:
        assert pair.llm.chat("Is it?") == "Is it?\n"
        return
    turn = [{"role": "user", "content": "Is it?"}]
    told = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    assert pair.llm.chat("Is it?") == told
    (ids,) = pair.llm.tokens([told])
    if told.startswith("<s>"):
        assert ids == tokenizer(told, add_special_tokens=False)["input_ids"]  # not twice
    assert ids.count(BEGIN) == int(pair.family.begins)
    assert pair.llm.generate([told, *TEXTS], 6)[0] == pair.continued(ids, max_new_tokens=6)


# --- adapters -------------------------------------------------------------------------------------------


def test_a_labels_loss_is_the_models_own(pair):
    """Also where a model caps its logits: Gemma 2."""
    ids, places = pair.llm.tokens(TEXTS[2:]), [[3], [5, 11], [2, 9, 30]]
    with torch.no_grad():
        losses = training._label_losses(pair.llm.model, pair.llm._padded(ids[2:]), places[2:])
    expected = F.cross_entropy(
        pair.logits(ids[2])[[p - 1 for p in places[2]]], torch.tensor(ids[2])[places[2]], reduction="none"
    )
    assert losses.numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_an_adapter_of_all_its_layers_is_trained_used_and_merged(pair, tiny_split, tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    settings = dict(sequences=8, valid_sequences=4, batch=4, k=3, orders=("recent",), learning_rate=1e-2, checks=2)
    trained = adapter(tiny_split, lambda order, some, k: rr.select(some, order, k=k), {}, pair.llm, **settings)
    assert trained.curve.valid[-1] < trained.curve.valid[0]
    adapted, plain = pair.llm.adapted(trained.folder), AutoModelForCausalLM.from_pretrained(pair.folder)
    by_peft = PeftModel.from_pretrained(plain, trained.folder).eval()
    with_lora = {name for name, module in by_peft.named_modules() if hasattr(module, "lora_A")}
    assert len(with_lora) == pair.family.linear
    assert not any("vision" in name or "lm_head" in name for name in with_lora)
    merged = tmp_path / "merged"
    assert command.main(["merge", "--llm", pair.llm.name, str(trained.folder), str(merged)]) == 0
    whole, reopened = AutoModelForCausalLM.from_pretrained(merged).eval(), opened(merged)
    for row in pair.llm.tokens(TEXTS[-2:]):
        expected = pair.logits(row, by_peft).numpy()
        for model in (adapted.model, whole, reopened.model):
            assert pair.logits(row, model).numpy() == pytest.approx(expected, abs=1e-3)
    tied = [m.get_input_embeddings().weight is m.get_output_embeddings().weight for m in (pair.theirs, whole)]
    assert tied[0] is tied[1]
    p = adapted.choose(TEXTS)
    assert reopened.choose(TEXTS) == pytest.approx(p, abs=1e-5)
    assert np.abs(p - pair.llm.choose(TEXTS)).max() > 1e-2


# --- a server -------------------------------------------------------------------------------------------


@pytest.fixture
def server(pair) -> Iterator[Server]:
    made = Server(pair.llm)
    yield made
    made.shutdown()
    made.server_close()


def test_a_server_answers_as_the_local_model(pair, server, tmp_path):
    remote = rr.language_model(
        server.name, cache=Cache(tmp_path / "remote.sqlite"), server=ServerSettings(top=400, retries=0)
    )
    if pair.family.pieces:  # decoded alone, "▁Yes" is "Yes", as the token "Yes" is
        with pytest.raises(rr.InputError, match="leaves out the blank that a token begins with; take a later vLLM"):
            remote.choose(TEXTS)
        assert remote.paid == 0
        pieces = pair.llm.tokenizer.convert_ids_to_tokens
        server.spelled = lambda i: (pieces([i])[0] or "").replace("▁", " ")  # as later ones of vLLM tell it
    assert remote.choose(TEXTS) == pytest.approx(pair.llm.choose(TEXTS), abs=1e-5)
    assert remote.embed(TEXTS) == pytest.approx(pair.llm.embed(TEXTS), abs=1e-2)  # half precision
    turns, ours = ([llm.chat("Is it?")] for llm in (remote, pair.llm))
    assert remote.generate(turns, 6) == pair.llm.generate(ours, 6)
    assert remote.sample(turns, 2, 6) == pair.llm.sample(ours, 2, 6)
