"""``dataset.toml``: what a data set of the user's own says of itself."""

import math
import tomllib
from dataclasses import fields
from pathlib import Path
from reprlib import repr as short

from ..infra.errors import InputError
from .dataset import Words
from .text import one_line


def _is_number(value) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def _are_texts(value) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


SETTINGS = "dataset.toml"
FORMS = {  # of each setting: what it must be
    "scale": ("[lowest, highest]", lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_number, v))),
    "like_above": ("a number", _is_number),
    **dict.fromkeys(("item_attributes", "user_attributes"), ("a list of columns", _are_texts)),
    **dict.fromkeys(("beside_title", "category"), ("a column", lambda v: isinstance(v, str))),
    "category_separator": ("a text", lambda v: isinstance(v, str) and v != ""),
    "words": ("a table, [words]", lambda v: isinstance(v, dict)),
}


def read_settings(path: Path) -> dict:
    """The content of ``dataset.toml``, checked; empty where there is none."""
    if not path.is_file():
        others = (
            p.name for p in path.parent.glob("[!.]*") if p.name.lower().startswith(path.name) or p.suffix == ".toml"
        )
        if other := next(others, None):
            raise InputError(f"{path.parent / other} is not read; settings are in a file {path.name}: rename it")
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as e:  # not UTF-8, no TOML, a number of thousands of digits
        raise InputError(f"{path} is no TOML ({type(e).__name__}: {str(e)[:200]})") from e
    if unknown := [key for key in settings if key not in FORMS]:
        raise InputError(f"{path}: key {short(unknown[0])} is unknown; it may have: {', '.join(FORMS)}")
    for key, (form, fits) in FORMS.items():
        if key in settings and not fits(settings[key]):
            raise InputError(f"{path}: {key} is {short(settings[key])}; it must be {form}")
    if "scale" in settings and not settings["scale"][0] < settings["scale"][1]:
        raise InputError(f"{path}: scale is {settings['scale']}; its first number must be the lower one")
    names = [f.name for f in fields(Words)]
    if unknown := [word for word in settings.get("words", {}) if word not in names]:
        raise InputError(f"{path}: [words] may have: {', '.join(names)}; found {short(unknown[0])}")
    for name, word in settings.get("words", {}).items():
        if not (isinstance(word, str) and one_line(word)):
            raise InputError(f"{path}: [words] {name} is {short(word)}; it must be a text")
    if "words" in settings:
        settings["words"] = Words(**{name: one_line(word) for name, word in settings["words"].items()})
    for key in ("item_attributes", "user_attributes"):
        settings |= {key: list(dict.fromkeys(settings[key]))} if key in settings else {}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
