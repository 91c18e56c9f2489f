"""Artefacts that the repository publishes: descriptions, embeddings, an adapter, reference values.

What costs minutes on a laptop is generated once by this module's commands and kept in
``published/<dataset>/``, keyed like the cache, with its provenance beside it.
"""

import json
import shutil
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np

from ..infra.cache import read_folder
from ..infra.errors import InputError
from ..infra.files import published_dir
from ..infra.reproducible import hardware
from ..llm.base import LanguageModel
from ..pipeline import Study
from ..readers.conventional import MODELS
from ..representations.text import MAX_NEW_TOKENS, describe, description_prompt, plain
from ..version import VERSION
from .place import Parameters, reference_path
from .run import NOTEBOOKS, read_metrics, values_of
from .runner import asked_path

LIMIT = 40 * 2**20  # bytes that the artefacts of all data sets may take in the repository


def publish(dataset: str, llm_name: str, profile_name: str, seed: int) -> Path:
    """Make (or take from the cache) and write all artefacts of a data set; return their folder."""
    of = Parameters(dataset, llm_name, profile_name, seed)
    study = Study.of(dataset, llm_name, profile_name, seed)
    data, llm = study.split.data, study.llm
    folder = published_dir() / dataset
    folder.mkdir(parents=True, exist_ok=True)
    texts = write_descriptions(data, llm, folder)
    for name, inputs in (("embeddings-plain", plain(data)), ("embeddings-described", texts)):
        keys = _keys(llm, "embed", inputs)
        rows = dict(zip(keys, llm.embed(inputs).astype(np.float16), strict=True))
        held = _held_before(dataset)
        _write_rows(folder / f"{name}.npz", {key: row for key, row in rows.items() if key not in held})
    formats = write_answers(of.place(data.hash), llm, folder)
    trained = study.adapter
    if trained.trained_on == dataset and trained.folder != folder / "adapter":
        shutil.rmtree(folder / "adapter", ignore_errors=True)
        shutil.copytree(trained.folder, folder / "adapter")
    provenance = dict(
        dataset=dataset,
        data_hash=data.hash,
        model=llm_name,
        weights=llm.weights,
        number_format=llm.format,
        **({"notes": llm.notes} if llm.notes else {}),
        descriptions=dict(
            prompt=description_prompt(data.items.iloc[0], data, llm), max_new_tokens=MAX_NEW_TOKENS, temperature=0.0
        ),
        answers=f"of notebooks 05 and 06, by number format: {formats}",
        embeddings="mean of the last hidden states over a text's tokens, float16",
        adapter="see adapter/rallrec.json" if trained.trained_on == dataset else f"that of {trained.trained_on}",
        version=VERSION,
        hardware=hardware(),
        date=date.today().isoformat(),
        command=f"rallrec publish --dataset {dataset} --llm {llm_name} --profile {profile_name} --seed {seed}",
    )
    (folder / "provenance.json").write_text(
        json.dumps(provenance, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    if (size_bytes := sum(p.stat().st_size for p in published_dir().rglob("*") if p.is_file())) > LIMIT:
        raise InputError(f"{published_dir()} holds {size_bytes / 2**20:.1f} MiB; the limit is {LIMIT / 2**20:.0f} MiB")
    return folder


def write_descriptions(data, llm: LanguageModel, folder: Path) -> list[str]:
    """Write ``descriptions.jsonl``, an item a line: its code, the prompt's key, and the LLM's answer as it came.

    Nothing of the raw data is repeated: not every distributor allows that.
    """
    prompts = [description_prompt(row, data, llm) for _, row in data.items.iterrows()]
    answers = llm.generate(prompts, max_new_tokens=MAX_NEW_TOKENS)
    settings = dict(max_new_tokens=MAX_NEW_TOKENS, temperature=0.0, top_p=1.0, seed=0)
    keys = _keys(llm, "generate", prompts, **settings)
    held = _held_before(data.name)
    with open(folder / "descriptions.jsonl", "w", encoding="utf-8") as f:
        for item, (key, answer) in enumerate(zip(keys, answers, strict=True)):
            if key not in held:
                f.write(json.dumps(dict(item=item, key=key, answer=answer), ensure_ascii=False) + "\n")
    return describe(data, llm)


def write_answers(place: str, llm: LanguageModel, folder: Path) -> dict[str, int]:
    """Write what the LLM answered in the last runs of a place's notebooks, by key.

    ``answers.npz`` holds what it chose, float64 [n, 2], ``reasons.jsonl`` what was sampled of it.

    Returns:
        How many were made in each number format.
    """
    logs = [path.read_text("ascii") for n in NOTEBOOKS if (path := asked_path(place, n)).exists()]
    asked = {key: (form, verb) for log in logs for key, form, verb in map(str.split, log.splitlines())}
    keys = sorted(asked)
    answers = llm.cache.get(keys)
    if missing := sum(a is None for a in answers):
        raise InputError(f"{missing} answers of the last runs are not in the cache; run `make all` again")
    found = list(zip(keys, answers, strict=True))
    if chosen := {key: np.frombuffer(answer, np.float64) for key, answer in found if asked[key][1] == "choose"}:
        _write_rows(folder / "answers.npz", chosen)
    if sampled := [dict(key=key, answer=answer.decode()) for key, answer in found if asked[key][1] == "sample"]:
        lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in sampled]
        (folder / "reasons.jsonl").write_text("".join(lines), encoding="utf-8")
    return dict(Counter(form for form, _ in asked.values()))


def _held_before(dataset: str) -> set[str]:
    """Keys of what the folders before this one in the alphabet hold; MovieLens-1M shares films with 100K."""
    held = set()
    for folder in published_dir().glob("*/"):
        if folder.name < dataset:
            held |= read_folder(folder).keys()
    return held


def _write_rows(path: Path, rows: dict[str, np.ndarray]) -> None:
    """Rows by their keys, as `cache.read_published` reads them."""
    keys = np.frombuffer(bytes.fromhex("".join(rows)), np.uint8).reshape(len(rows), -1)
    np.savez_compressed(path, keys=keys, rows=np.stack(list(rows.values())))


def _keys(llm: LanguageModel, verb: str, texts: list[str], **settings) -> list[str]:
    return [llm._key(verb, text, settings) for text in texts]


# --- reference values --------------------------------------------------------------------------------


# recorded groups of values whose last digits a processor's rounding can change much: of trained LLMs and trees, or of
# an LLM's answers to a few samples. The AUC of conventional recommenders deviates by up to 0.007 from seed to seed.
OF_THE_LLM = ("llm", "llm_auc", "reasons_llm", "reasons_missing", "study", "claims", "adapter_valid_loss")
ROOM = dict.fromkeys((*OF_THE_LLM, *MODELS), 0.02)
LEAST_ROOM = 0.01


def tolerance(name: str, value: float) -> float:
    """How far another machine's value may lie from the recorded one.

    Counts and the leakage checks are exact. Floating point differs between processors, and training
    carries the difference on: metrics of trained things, and of the LLM on its sample, get more room.

    Args:
        name: ``notebook/group/row/metric``, as `run.values_of` gives it.
    """
    if isinstance(value, int | str):
        return 0
    parts = name.split("/")[1:]
    of_the_llm = parts[0].startswith("released") and parts[1].startswith("LLM")
    return 0.02 if of_the_llm else max([ROOM[part] for part in parts if part in ROOM], default=LEAST_ROOM)


def record_reference(dataset: str) -> Path:
    """Make the values of the last run the recorded ones."""
    metrics = read_metrics(dataset)
    if not metrics:
        raise InputError(f"{dataset} has no metrics.json; run `make all DATASETS={dataset}` first")
    settings = {k: metrics[k] for k in ("data_hash", "llm", "profile", "seed", "other_parameters")}
    values = {k: [v, tolerance(k, v)] for k, v in values_of(metrics).items()}
    reference_path(dataset).write_text(
        json.dumps(dict(settings=settings, values=values), indent=1) + "\n", encoding="utf-8"
    )
    return reference_path(dataset)
