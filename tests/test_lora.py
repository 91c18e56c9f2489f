"""Adapters that others made: one that fits is merged as LoRA says, all others are refused in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.llm.base import adapter_digest
from rallrec.llm.lora import with_adapter
from rallrec.llm.weights import _tiny_random

TEXTS = ["a", "The film is called Alien.", "History: Yes No? " * 5]
MODULES = ["q_proj", "v_proj", "down_proj"]


def made(folder: Path, config=None, model=None) -> Path:
    """An adapter whose every number is drawn."""
    config = config or LoraConfig(r=4, lora_alpha=8, target_modules=MODULES)
    adapted = get_peft_model(model or _tiny_random()[0], config)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(5)
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape) / 10)
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return made(tmp_path / "adapter")


def rewrite(folder: Path, change) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def edit(folder: Path, **changes) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refused(llm, folder: Path, match: str) -> None:
    with pytest.raises(rr.InputError, match=match) as caught:
        llm.adapted(folder)
    assert folder.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_adapter_is_added_as_lora_says(llm, folder):
    tensors = load_file(folder / "adapter_model.safetensors")
    expected = {name: weight.clone() for name, weight in llm.model.state_dict().items()}
    for name, a in tensors.items():
        if "lora_A" in name:
            own = name.removeprefix("base_model.model.").replace("lora_A.", "")
            expected[own] += 8 / 4 * tensors[name.replace("lora_A", "lora_B")] @ a
    adapted = llm.adapted(folder)
    assert len(tensors) == 2 * 2 * len(MODULES)
    for name, weight in adapted.model.state_dict().items():
        assert weight.numpy() == pytest.approx(expected[name].numpy(), abs=1e-6)
    assert np.abs(adapted.choose(TEXTS) - llm.choose(TEXTS)).max() > 1e-3


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(r=4, target_modules=MODULES, use_dora=True),
        LoraConfig(r=4, target_modules=MODULES, use_rslora=True),
        LoraConfig(r=4, target_modules="all-linear", modules_to_save=["norm"]),
        LoraConfig(r=4, target_modules=MODULES, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3}),
    ],
    ids=["dora", "rslora", "modules_to_save", "patterns"],
)
def test_other_kinds_of_lora_answer_as_peft_does(llm, tmp_path, config):
    from peft import PeftModel

    folder = made(tmp_path / "adapter", config)
    adapted, theirs = llm.adapted(folder), PeftModel.from_pretrained(_tiny_random()[0], folder).eval()
    ids = torch.tensor(llm.tokens([TEXTS[1]]))
    with torch.no_grad():
        ours, others = adapted.model(ids).logits, theirs(ids).logits
    assert ours.numpy() == pytest.approx(others.numpy(), abs=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(next(n for n in t if "lora_B" in n)), "lacks base_model.*lora_B"),
        (lambda t: t.clear() or t.update(x=torch.ones(1)), "lacks base_model.*and 11 more"),
        (
            lambda t: t.update({"base_model.model.model.layers.7.mlp.up_proj.lora_A.weight": torch.ones(4, 32)}),
            "layers.7",
        ),
        (lambda t: t.update({n: torch.ones(4, 48) for n in t if "lora_A" in n}), "size mismatch"),
        (lambda t: next(iter(t.values())).fill_(np.nan), "values that are no numbers"),
    ],
)
def test_weights_that_do_not_fit(llm, folder, change, said):
    rewrite(folder, change)
    refused(llm, folder, said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(target_modules=["c_attn"]), "c_attn"),
        (dict(target_modules=["q_proj"]), "has no place on the model for"),
        (dict(target_modules=[*MODULES, "k_proj"]), "lacks .*k_proj"),
        (dict(r=8), "size mismatch"),
        (dict(peft_type="IA3"), "of the kind 'IA3'; take a LoRA adapter"),
        (dict(peft_type="DREAMS"), "of the kind 'DREAMS'"),
        (dict(peft_type=None), "of the kind None"),
    ],
)
def test_a_config_that_disagrees(llm, folder, changes, said):
    edit(folder, **changes)
    refused(llm, folder, said)


def test_an_adapter_of_another_model(llm, tmp_path):
    larger = LlamaConfig(
        vocab_size=320, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    refused(llm, made(tmp_path / "larger", model=LlamaForCausalLM(larger)), "size mismatch")
    deeper = LlamaConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    refused(llm, made(tmp_path / "deeper", model=LlamaForCausalLM(deeper)), "has no place on the model for .*layers.2")


def test_an_adapter_whose_record_names_another_model(llm, folder):
    (folder / "rallrec.json").write_text(json.dumps({"inputs": {"model": "smollm2-b179c9523d0e6a0f"}}))
    refused(llm, folder, "was trained on smollm2-b179c9523d0e6a0f, this model is tiny-random-1")
    (folder / "rallrec.json").write_text(json.dumps({"inputs": {"model": llm.weights}}))
    assert llm.adapted(folder).choose(TEXTS).shape == (3, 2)


def test_other_methods_than_lora(llm, tmp_path):
    ia3 = IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"])
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    for name, config, kind in (("ia3", ia3, "IA3"), ("prompt", prompt, "PROMPT_TUNING")):
        refused(llm, made(tmp_path / name, config), f"of the kind '{kind}'; take a LoRA adapter")


def test_files_that_are_missing_or_damaged(llm, folder):
    weights = folder / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for bad in (whole[: len(whole) // 2], b""):
        weights.write_bytes(bad)
        refused(llm, folder, "can't be put on the model: ")
    weights.write_bytes(whole)
    config = (folder / "adapter_config.json").read_text()
    (folder / "adapter_config.json").write_text("{")
    refused(llm, folder, "adapter_config.json is damaged")
    (folder / "adapter_config.json").unlink()
    refused(llm, folder, "holds no adapter_config.json")
    (folder / "adapter_config.json").write_text(config)
    weights.unlink()
    refused(llm, folder, "holds no adapter_model.safetensors")
    refused(llm, folder / "nowhere", "holds no adapter_model.safetensors")


def test_how_an_adapter_is_applied_is_part_of_its_key(llm, folder):
    digest = adapter_digest(folder)
    edit(folder, lora_alpha=80)
    assert adapter_digest(folder) != digest
    (folder / "rallrec.json").write_text("{}")  # one of ours: its record says how it was made
    assert adapter_digest(folder) == digest.partition("-")[0]


def test_an_untrained_adapter_changes_nothing(llm, tmp_path):
    config = LoraConfig(r=4, target_modules=MODULES)
    get_peft_model(_tiny_random()[0], config).save_pretrained(tmp_path / "untrained")
    merged = with_adapter(_tiny_random()[0], tmp_path / "untrained", llm.weights)
    for name, weight in llm.model.state_dict().items():
        assert merged.state_dict()[name].equal(weight)


def test_an_adapter_given_by_name_of_its_folder(folder, tmp_path, cache):
    opened = rr.language_model("tiny-random", adapter=folder, device="cpu", cache=cache)
    assert opened.weights == f"tiny-random-1+{adapter_digest(folder)}"
    plain = rr.language_model("tiny-random", device="cpu", cache=Cache(tmp_path / "plain"))
    assert np.abs(opened.choose(TEXTS) - plain.choose(TEXTS)).max() > 1e-3
