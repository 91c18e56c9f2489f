"""A LoRA adapter, merged into the model that it was made for."""

import json
import warnings
from pathlib import Path

from ..infra.errors import InputError
from .base import adapter_digest


def check_adapter(folder: Path, weights: str) -> None:
    """Refuse, by what lies in ``folder`` beside its weights, what is no LoRA adapter of this model.

    Args:
        weights: the model's fingerprint, compared with that of the adapter's record, where it has one.

    Raises:
        InputError: no LoRA adapter, or another model's.
    """
    adapter_digest(folder)
    kind = _json(folder / "adapter_config.json", folder).get("peft_type")
    if kind != "LORA":
        raise InputError(f"adapter {str(folder)!r} is of the kind {kind!r}; take a LoRA adapter")
    if (record := folder / "rallrec.json").exists():
        try:
            made_for = _json(record, folder)["inputs"]["model"]
        except (KeyError, TypeError):
            made_for = None
        if made_for not in (None, weights):
            raise InputError(
                f"adapter {str(folder)!r} was trained on {made_for}, this model is {weights}; "
                f"open that model, or train one for this (`rallrec adapter`)"
            )


def with_adapter(model, folder: Path, weights: str):
    """The model with the adapter in ``folder`` merged in; ``weights`` as in `check_adapter`.

    Raises:
        InputError: no LoRA adapter, a damaged one, or another model's; peft would leave what does not fit as it was.
    """
    from peft import PeftModel

    check_adapter(folder, weights)
    mend = "take the adapter of this model, or fetch it again"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of missing keys; they are an error here
            adapted = PeftModel.from_pretrained(model, folder)
            told = adapted.load_adapter(str(folder), adapted.active_adapter)
    except Exception as e:  # peft's, torch's and safetensors' own
        lines = [line.strip() for line in str(e).splitlines() if line.strip()] or [type(e).__name__]
        said = next((line for line in lines if "size mismatch" in line), lines[0])
        raise InputError(f"adapter {str(folder)!r} can't be put on the model: {said[:200]}; {mend}") from e
    for what, names in (("lacks", told.missing_keys), ("has no place on the model for", told.unexpected_keys)):
        if names:
            more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            raise InputError(f"adapter {str(folder)!r} {what} {sorted(names)[0]}{more}; {mend}")
    for name, weight in adapted.named_parameters():
        if "lora_" in name and not weight.isfinite().all():
            raise InputError(f"adapter {str(folder)!r}: {name} holds values that are no numbers; {mend}")
    return adapted.merge_and_unload()


def _json(path: Path, folder: Path) -> dict:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"adapter {str(folder)!r} holds no {path.name}; fetch it again") from None
    except ValueError as e:
        raise InputError(f"{path} is damaged ({e}); fetch it again") from e
    return read if isinstance(read, dict) else {}
