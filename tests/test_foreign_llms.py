"""Model folders that others made: whole ones answer as their weights say, all others are refused in one line."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    T5Config,
    T5ForConditionalGeneration,
)

import rallrec as rr
from rallrec import __main__ as command
from rallrec.infra.cache import Cache
from rallrec.llm import weights
from rallrec.llm.opening import resolved
from rallrec.llm.weights import OF_DEFAULT, OF_TINY, fingerprint, folder_fingerprint
from rallrec.readers.adapter import adapter
from rallrec.retrieval.selectors import select

TEXTS = ["a", "The film is called Alien.", "History: Yes No? " * 5]
SIZES = dict(vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)


@pytest.fixture
def tokenizer(llm):
    return llm.tokenizer


@pytest.fixture
def folder(tmp_path, tokenizer) -> Path:
    """A whole model folder, whose output head is a tensor of its own."""
    return saved(LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=False), tokenizer, tmp_path / "model")


def saved(kind, config, tokenizer, folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def opened(folder: Path, tmp_path: Path, **settings):
    cache = Cache(tmp_path / f"{len(list(tmp_path.glob('*.sqlite')))}.sqlite")
    return rr.language_model(str(folder), device="cpu", cache=cache, **settings)


def edit(path: Path, **changes) -> None:
    """Change settings in a JSON file; None takes one out."""
    read = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in read.items() if value is not None}))


def rewrite(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def refused(folder: Path, match: str, **settings) -> str:
    with pytest.raises(rr.InputError, match=match) as caught:
        rr.language_model(str(folder), device="cpu", **settings)
    said = str(caught.value)
    assert folder.name in said
    assert "\n" not in said
    return said


def test_a_whole_folder_answers_as_its_weights_say(folder, tmp_path, tokenizer):
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    yes, no = (tokenizer(o)["input_ids"][0] for o in (" Yes", " No"))
    with torch.no_grad():
        logits = model(torch.tensor([tokenizer(TEXTS[1])["input_ids"]])).logits[0, -1, [yes, no]]
    p = opened(folder, tmp_path).choose(TEXTS)
    assert p[1] == pytest.approx(logits.softmax(0).numpy(), abs=1e-6)
    assert (opened(folder, tmp_path).choose(TEXTS) == p).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("lm_head.weight"), "the weights lack lm_head.weight of a LlamaForCausalLM"),
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "lack model.layers.1.mlp.up_proj.weight"),
        (lambda t: t.pop("model.norm.weight"), "lack model.norm.weight"),
        (lambda t: t.update({"score.weight": torch.ones(2, 32)}), "has no place for score.weight"),
        (lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}), "no place for .*q_proj.bias"),
        (lambda t: t.update({"lm_head.weight": torch.ones(300, 32)}), r"lm_head.weight is \[300, 32\], .* \[320, 32\]"),
        (lambda t: t["model.norm.weight"].fill_(np.nan), "model.norm.weight holds values that are no numbers"),
        (lambda t: t["model.layers.0.mlp.up_proj.weight"][3:4].fill_(np.inf), "up_proj.weight holds values"),
    ],
)
def test_weights_that_are_not_whole(folder, change, said):
    rewrite(folder, change)
    refused(folder, said)


def test_buffers_of_older_versions_are_no_weights(folder, tmp_path):
    before = opened(folder, tmp_path).choose(TEXTS)
    rewrite(folder, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))
    assert (opened(folder, tmp_path).choose(TEXTS) == before).all()


def test_a_tied_head_needs_no_weights_of_its_own(tmp_path, tokenizer):
    tied = saved(LlamaForCausalLM, LlamaConfig(**SIZES, tie_word_embeddings=True), tokenizer, tmp_path / "tied")
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")
    first, second = opened(tied, tmp_path), opened(tied, tmp_path)
    assert (first.choose(TEXTS) == second.choose(TEXTS)).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(vocab_size=400), r"is \[320, 32\], by config.json \[400, 32\]"),
        (dict(hidden_size=64), "by config.json"),
        (dict(num_hidden_layers=3), "the weights lack model.layers.2"),
        (dict(num_hidden_layers=1), "has no place for model.layers.1"),
        (dict(model_type="gpt2"), "weights lack|no place for|by config.json|can't be loaded"),
        (dict(model_type=None), "model_type None, which is no causal LM"),
        (dict(model_type="mine", auto_map={"AutoModelForCausalLM": "m.M"}), "code of its own.*--trust-remote-code"),
        (dict(model_type="mine"), "model_type 'mine', which is no causal LM"),
        (dict(architectures=["LlamaForSequenceClassification"]), "is a LlamaForSequenceClassification, no causal LM"),
        (dict(is_encoder_decoder=True), "no causal LM"),
        (
            dict(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
            "can't be loaded as a causal LM: .*bitsandbytes",
        ),
        (dict(quantization_config={"quant_method": "dreams"}), "does not know quant_method 'dreams'"),
    ],
)
def test_a_config_that_disagrees(folder, changes, said):
    edit(folder / "config.json", **changes)
    refused(folder, said)


def test_models_that_are_no_causal_lms(tmp_path, tokenizer):
    bert = dict(SIZES, vocab_size=320)
    t5 = T5Config(vocab_size=320, d_model=32, d_ff=64, num_layers=1, num_heads=4, d_kv=8)
    for name, kind, config in (
        ("bert", BertForMaskedLM, BertConfig(**bert)),
        ("t5", T5ForConditionalGeneration, t5),
        ("scores", LlamaForSequenceClassification, LlamaConfig(**SIZES)),
    ):
        refused(saved(kind, config, tokenizer, tmp_path / name), f"is a {kind.__name__}, no causal LM")
    both_ways = saved(BertLMHeadModel, BertConfig(**bert), tokenizer, tmp_path / "both-ways")
    refused(both_ways, "no causal LM: what it reads later changes what it said before")


def test_files_that_are_missing_or_damaged(folder, tmp_path):
    def fresh(name: str) -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    cut = fresh("cut")
    whole = (cut / "model.safetensors").read_bytes()
    for bad in (whole[: len(whole) // 2], b"", b"nonsense"):
        (cut / "model.safetensors").write_bytes(bad)
        refused(cut, r"model.safetensors is truncated or altered .*fetch it again")
    for name, said in (("config.json", "no config.json"), ("model.safetensors", r"no \*.safetensors")):
        lacks = fresh(f"without-{name}")
        (lacks / name).unlink()
        refused(lacks, said)
    for bad, said in (("{", "config.json is damaged"), ("[]", "holds no settings")):
        damaged = fresh(f"damaged-{len(bad)}")
        (damaged / "config.json").write_text(bad)
        refused(damaged, said)
    pickled = fresh("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(pickled, r"pickled weights, .* no \*.safetensors; save the model as safetensors")
    gguf = tmp_path / "gguf"
    gguf.mkdir()
    (gguf / "model.Q4_1.gguf").write_bytes(b"GGUF")
    refused(gguf, "holds a GGUF file and no .*serve it")
    adapter = fresh("adapter")
    (adapter / "adapter_config.json").write_text("{}")
    refused(adapter, "holds an adapter; open the model that it belongs to")


def test_shards(folder, tmp_path):
    before = opened(folder, tmp_path)
    model = LlamaForCausalLM.from_pretrained(folder)
    sharded = tmp_path / "sharded"
    model.save_pretrained(sharded, max_shard_size="30KB")
    before.tokenizer.save_pretrained(sharded)
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert opened(sharded, tmp_path).choose(TEXTS) == pytest.approx(before.choose(TEXTS), abs=1e-6)
    last = sorted(sharded.glob("*.safetensors"))[-1]
    last.unlink()
    refused(sharded, f"lacks {last.name}, which model.safetensors.index.json names")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no tokenizer; place its tokenizer.json there"),
        ({"tokenizer_config.json": '{"tokenizer_class": "GemmaTokenizer"}'}, "holds no tokenizer"),
        ({"tokenizer_config.json": '{"tokenizer_class": "Qwen2Tokenizer"}'}, "holds no tokenizer"),
        ({"tokenizer_config.json": '{"tokenizer_class": "LlamaTokenizer"}', "tokenizer.model": "?"}, "can't be loaded"),
        (
            {"tokenizer_config.json": '{"tokenizer_class": "GPT2Tokenizer"}', "vocab.json": "{}", "merges.txt": ""},
            "word",
        ),
        ({"tokenizer.json": "{"}, "its tokenizer can't be loaded: .*place its tokenizer.json there"),
    ],
)
def test_a_folder_without_a_whole_tokenizer(folder, files, said):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)
    refused(folder, said)


def test_another_models_tokenizer(tmp_path, tokenizer):
    small = saved(LlamaForCausalLM, LlamaConfig(**SIZES | dict(vocab_size=100)), tokenizer, tmp_path / "small")
    refused(small, r"the tokenizer has \d+ tokens, the model 100; place the tokenizer that belongs to the model")


def test_a_token_that_the_model_lacks_is_told_when_it_is_asked(folder, tmp_path, tokenizer):
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<image{i}>" for i in range(40)]})
    rows = LlamaConfig(**SIZES | dict(vocab_size=tokenizer.vocab_size))
    llm = opened(saved(LlamaForCausalLM, rows, tokenizer, tmp_path / "image"), tmp_path)
    assert np.isfinite(llm.choose(["a film"])).all()
    with pytest.raises(rr.InputError, match=r"not its tokenizer's '<image39>'; leave it out"):
        llm.choose(["a film <image39>"])


def test_without_pad_and_end_token_an_answer_has_its_full_length(folder, tmp_path):
    for name in ("tokenizer_config.json", "config.json", "generation_config.json"):
        edit(folder / name, eos_token=None, pad_token=None, eos_token_id=None, pad_token_id=None)
    llm = opened(folder, tmp_path)
    llm.tokenizer.eos_token = llm.tokenizer.pad_token = None
    assert llm.model.generation_config.eos_token_id in (None, [1])
    llm.model.generation_config.eos_token_id = None
    together, alone = llm.generate(TEXTS, 6), [opened(folder, tmp_path).generate([t], 6)[0] for t in TEXTS]
    assert together == alone


def greedy(folder: Path, text: str, n: int) -> list[int]:
    """The likeliest tokens one after the other, by the model's own forward pass."""
    from transformers import AutoTokenizer

    model, tokenizer = LlamaForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    start = len(ids)
    with torch.no_grad():
        for _ in range(n):
            ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
    return ids[start:]


def test_greedy_is_greedy_whatever_generation_config_says(folder, tmp_path, tokenizer):
    expected = greedy(folder, TEXTS[1], 8)
    assert 1 not in expected  # the end token
    bent = dict(repetition_penalty=9.0, no_repeat_ngram_size=1, suppress_tokens=expected, temperature=0.6, top_k=2)
    bent |= dict(do_sample=True, begin_suppress_tokens=expected[:1], forced_eos_token_id=1, min_new_tokens=3)
    edit(folder / "generation_config.json", **bent)
    llm = opened(folder, tmp_path)
    assert llm.generate([TEXTS[1]], 8) == [tokenizer.decode(expected, skip_special_tokens=True)]


def test_all_end_tokens_of_generation_config_end_an_answer(folder, tmp_path, tokenizer):
    """Gemma's and Llama's turns end with another token than their tokenizers call the end."""
    expected = greedy(folder, TEXTS[1], 8)
    end = expected[3]
    edit(folder / "generation_config.json", eos_token_id=[1, end])
    llm = opened(folder, tmp_path)
    kept = expected[: expected.index(end)]
    assert llm.generate([TEXTS[1]], 8) == [tokenizer.decode(kept, skip_special_tokens=True)]


def test_a_text_beyond_the_context_in_any_architecture(tmp_path, tokenizer):
    gpt2 = GPT2Config(vocab_size=320, n_positions=16, n_embd=32, n_layer=1, n_head=4)
    llm = opened(saved(GPT2LMHeadModel, gpt2, tokenizer, tmp_path / "gpt2"), tmp_path)
    fits = "x " * 7 + "x:"
    assert len(llm.tokens([fits])[0]) <= 16
    assert llm.choose([fits]).shape == (1, 2)
    with pytest.raises(rr.InputError, match=r"a text of \d+ tokens .*; it takes 1 to 16"):
        llm.choose(["x " * 30])
    with pytest.raises(rr.InputError, match=r"and 12 to come; it takes 1 to 16"):
        llm.generate([fits], 12)
    with pytest.raises(rr.InputError, match=r"and \d+ to come; it takes 1 to 16"):
        llm.choose([fits], (" a b c d e f", " No"))


def test_no_end_token_is_put_after_a_prompt(folder, tmp_path):
    """An answer to a prompt that ends with the end token would be that to a new text."""
    from tokenizers.processors import TemplateProcessing

    plain = opened(folder, tmp_path)
    expected = plain.choose(TEXTS)
    tokenizer = plain.tokenizer
    ends = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer.backend_tokenizer.post_processor = ends
    tokenizer.save_pretrained(folder)
    llm = opened(folder, tmp_path)
    assert llm.tokenizer("a")["input_ids"][-1] == 1
    begun = [f"<s>{t}" for t in TEXTS]
    assert llm.tokens(TEXTS) == llm.tokens(begun)
    assert {row[0] for row in llm.tokens(TEXTS)} == {0}
    assert llm.choose(TEXTS) == pytest.approx(llm.choose(begun), abs=1e-6)
    assert np.abs(llm.choose(TEXTS) - expected).max() > 1e-5  # the begin token counts


RECURRENT = dict(vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)

GEMMA3 = RECURRENT | dict(
    num_key_value_heads=1, head_dim=16, sliding_window=4, layer_types=["sliding_attention", "full_attention"]
)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("GPT2", dict(vocab_size=320, n_positions=256, n_embd=32, n_layer=2, n_head=4)),
        ("Mistral", RECURRENT | dict(num_key_value_heads=2, sliding_window=4)),
        ("Gemma2", RECURRENT | dict(num_key_value_heads=2, head_dim=8, sliding_window=4, final_logit_softcapping=0.1)),
        ("Gemma3Text", GEMMA3),
        ("Mamba", dict(vocab_size=320, hidden_size=32, num_hidden_layers=2, state_size=8)),
        ("Lfm2", RECURRENT | dict(num_key_value_heads=2, layer_types=["conv", "full_attention"])),
    ],
)
def test_other_architectures_answer_in_batches_as_alone(tmp_path, tokenizer, kind, config):
    ends = dict(bos_token_id=0, eos_token_id=1, pad_token_id=1)
    model = getattr(transformers, f"{kind}Config")(**config, **ends)
    folder = saved(AutoModelForCausalLM.from_config, model, tokenizer, tmp_path / "model")
    together, alone = opened(folder, tmp_path), opened(folder, tmp_path)
    assert together.choose(TEXTS) == pytest.approx(np.concatenate([alone.choose([t]) for t in TEXTS]), abs=1e-6)
    assert together.generate(TEXTS, 6) == [alone.generate([t], 6)[0] for t in TEXTS]
    assert together.sample(TEXTS, 2, 6) == [alone.sample([t], 2, 6)[0] for t in TEXTS]
    whole = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = whole(torch.tensor([tokenizer(TEXTS[2])["input_ids"]]), use_cache=False).logits[0, -1]
    yes, no = (tokenizer(o)["input_ids"][0] for o in (" Yes", " No"))
    assert together.choose(TEXTS)[2] == pytest.approx(logits[[yes, no]].softmax(0).numpy(), abs=1e-6)


@pytest.fixture
def gemma3(tmp_path, tokenizer):
    """Tied embeddings, sliding attention, one key and value for all heads: Gemma 3 in small."""
    config = transformers.Gemma3TextConfig(**GEMMA3, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    return opened(saved(transformers.Gemma3ForCausalLM, config, tokenizer, tmp_path / "gemma"), tmp_path)


def test_only_the_positions_that_are_read_are_projected_to_the_vocabulary(gemma3):
    """With 262,144 words and prompts of 200 tokens, all of them would take gigabytes."""
    projected = []
    head = gemma3.model.get_output_embeddings()
    head.register_forward_hook(lambda module, given, out: projected.append(tuple(out.shape)))
    texts = [f"{'x ' * n}:" for n in range(1, 9)]
    gemma3.choose(texts)
    assert [(n, tokens) for n, tokens, _ in projected] == [(8, 1)]
    projected.clear()
    gemma3.choose(texts, (" a b c", " d e f"))
    assert {n for n, _, _ in projected} == {8}
    assert {tokens for _, tokens, _ in projected} == {len(o) for o in gemma3.option_tokens(":", (" a b c", " d e f"))}
    assert not head._forward_pre_hooks  # nothing stays on the model


def test_gemma_3_takes_an_adapter_trained_on_it(gemma3, tiny_split, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    settings = dict(sequences=24, valid_sequences=8, batch=4, k=3, orders=("recent",), learning_rate=3e-3, checks=3)
    trained = adapter(tiny_split, lambda order, some, k: select(some, order, k=k), {}, gemma3, **settings)
    assert trained.curve.valid[-1] < trained.curve.valid[0]
    made_for = json.loads((trained.folder / "rallrec.json").read_text())["inputs"]["model"]
    assert gemma3.takes(made_for)
    adapted = gemma3.adapted(trained.folder)
    p = adapted.choose(TEXTS)
    assert np.abs(p - gemma3.choose(TEXTS)).max() > 1e-4
    merged = tmp_path / "merged"
    assert command.main(["merge", "--llm", gemma3.name, str(trained.folder), str(merged)]) == 0
    assert "lm_head.weight" not in load_file(merged / "model.safetensors")  # tied, as before
    assert opened(merged, tmp_path).choose(TEXTS) == pytest.approx(p, abs=1e-6)


# --- fingerprints and names -----------------------------------------------------------------------------


def test_whatever_changes_an_answer_changes_the_fingerprint(folder, tmp_path):
    seen = [folder_fingerprint(folder)]
    assert folder_fingerprint(Path(shutil.copytree(folder, tmp_path / "elsewhere"))) == seen[0]
    names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    names += ["chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "merges.txt", "tokenizer.model"]
    for name in names:
        before = (folder / name).read_bytes() if (folder / name).exists() else b""
        (folder / name).write_bytes(before + b" ")
        seen.append(folder_fingerprint(folder))
    (folder / "README.md").write_text("nothing that an answer depends on")
    assert folder_fingerprint(folder) == seen[-1]
    assert len(set(seen)) == len(names) + 1


def test_a_large_file_that_changes_is_read_again(folder, monkeypatch):
    monkeypatch.setattr(weights, "SMALL", 0)
    file = folder / "model.safetensors"
    before, whole, stat = folder_fingerprint(folder), file.read_bytes(), file.stat()
    assert folder_fingerprint(folder) == before
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert folder_fingerprint(folder) != before


def test_the_fingerprint_is_that_of_the_opened_model(folder, tmp_path, monkeypatch):
    assert fingerprint("tiny-random") == opened(Path("tiny-random"), tmp_path).weights == OF_TINY == "tiny-random-1"
    assert fingerprint("smollm2-135m") == OF_DEFAULT == "smollm2-b179c9523d0e6a0f"
    monkeypatch.chdir(tmp_path)
    llm = opened(folder, tmp_path)
    for name in (str(folder), "model", "./model", "model/", str(folder / "." / "..") + "/model"):
        assert fingerprint(name) == llm.weights
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    shutil.copytree(folder, tmp_path / "data" / "models" / "owner--placed")
    assert fingerprint("owner/placed") == llm.weights == opened(Path("owner/placed"), tmp_path).weights
    monkeypatch.setattr(weights, "_from_folder", lambda *_: pytest.fail("loaded"))
    assert fingerprint("http://127.0.0.1:9/v1#m") == "http://127.0.0.1:9/v1#m"  # nobody is asked
    for unknown in ("http://127.0.0.1:9/v1", "gpt-17", "", "/no/such", "owner/not-here", "mine:x"):
        assert fingerprint(unknown) is None


def test_the_fingerprint_of_a_hub_model_is_the_commit_that_is_here(folder, tmp_path, monkeypatch):
    import huggingface_hub

    snapshot = tmp_path / "snapshots" / "0123abcd"
    shutil.copytree(folder, snapshot)
    asked = []

    def there(name, allow_patterns, **options):
        asked.append(options)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", there)
    assert fingerprint("owner/model") == "owner/model@0123abcd" == opened(Path("owner/model"), tmp_path).weights
    assert asked == [{"local_files_only": True}, {}]


def test_names_are_resolved(folder, tmp_path, monkeypatch):
    home, root = tmp_path / "home", tmp_path / "root"
    for place in (home / "mine", root / "data" / "kept", tmp_path / "with a blank", tmp_path / "owner" / "model"):
        shutil.copytree(folder, place)
    (tmp_path / "owner" / "results").mkdir()
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(weights, "ROOT", root)
    monkeypatch.chdir(tmp_path)
    for name, found in (
        ("model", folder),
        (folder, folder),
        ("./model/", folder),
        ("with a blank", tmp_path / "with a blank"),
        ("~/mine", home / "mine"),
        ("data/kept", root / "data" / "kept"),
        ("owner/model", tmp_path / "owner" / "model"),
    ):
        assert resolved(name) == str(found)
    for name in ("tiny-random", "smollm2-135m", "gpt-17", "owner/results", "far/away", "http://h:1/v1#m", "mine:x"):
        assert resolved(name) == name
    (tmp_path / "smollm2-135m").mkdir()
    shutil.copytree(folder, tmp_path / "tiny-random")
    assert (resolved("smollm2-135m"), resolved("tiny-random")) == ("smollm2-135m", "tiny-random")
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))
    shutil.copytree(folder, tmp_path / "data" / "models" / "smollm2-135m")
    assert resolved("./data/models/smollm2-135m") == "smollm2-135m"  # whose adapters and answers are its own
    llm = opened(Path("with a blank"), tmp_path)
    assert (llm.name, llm.weights) == (str(tmp_path / "with a blank"), folder_fingerprint(folder))


@pytest.mark.parametrize("name", ["./nothing", "../nothing", "/no/such/folder", "~/nothing", "a/b/c", "~nobody-here/x"])
def test_a_path_that_leads_nowhere(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rr.InputError, match=r"LLM .*: /.* is no folder; valid are: smollm2-135m, gemma3-270m, tiny"):
        rr.language_model(name)


def test_names_of_what_is_no_model(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(rr.InputError, match=r"/empty holds no model"):
        rr.language_model("empty")
    with pytest.raises(rr.InputError, match=r"is a file; name the folder"):
        rr.language_model("model/model.safetensors")
    for name in ("", " "):
        with pytest.raises(rr.InputError, match="is unknown; valid are"):
            rr.language_model(name)


# --- devices, number formats, settings ------------------------------------------------------------------


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:", "meta", "cpu:1", "cuda:99", "mps:1", "", "CPU"])
def test_devices_that_are_not_here(device):
    with pytest.raises(rr.InputError, match=r"device is '.*'"):
        rr.language_model("tiny-random", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="of a machine without a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there(device):
    with pytest.raises(rr.InputError, match="of cuda devices none is here; leave it out"):
        rr.language_model("tiny-random", device=device)


def test_a_device_with_its_number(cache):
    assert rr.language_model("tiny-random", device="cpu:0", cache=cache).model.device.type == "cpu"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (dict(temperature=-0.1), "temperature is -0.1; it must be a number of at least 0"),
        (dict(temperature=float("nan")), "temperature is nan"),
        (dict(temperature=float("inf")), "temperature is inf"),
        (dict(temperature="hot"), "temperature is 'hot'"),
        (dict(temperature=None), "temperature is None"),
        (dict(top_p=0), "top_p is 0; it must be a number above 0 and at most 1"),
        (dict(top_p=-0.5), "top_p is -0.5"),
        (dict(top_p=1.5), "top_p is 1.5"),
        (dict(top_p=float("nan")), "top_p is nan"),
        (dict(max_new_tokens=0), "max_new_tokens is 0; it must be a whole number of at least 1"),
        (dict(max_new_tokens=2.5), "max_new_tokens is 2.5"),
        (dict(seed=-1), "seed is -1; it must be a whole number of at least 0"),
        (dict(seed="x"), "seed is 'x'"),
    ],
)
def test_settings_of_generation_that_cannot_be(llm, settings, said):
    with pytest.raises(rr.InputError, match=said):
        llm.generate(TEXTS, **settings)
    with pytest.raises(rr.InputError, match=said):
        llm.sample(TEXTS, 2, **settings)
    assert llm.paid == 0


@pytest.mark.parametrize("n", [0, -1, 1.5, None])
def test_a_number_of_samples_that_cannot_be(llm, n):
    with pytest.raises(rr.InputError, match=r"n is .*; it must be a whole number of at least 1"):
        llm.sample(TEXTS, n)
