"""Artefacts that the repository publishes: descriptions, embeddings, trainings, an adapter, answers, reference values.

What costs minutes on a laptop, or differs in its last bits from processor to processor, is generated once by this
module's commands and kept in ``published/<dataset>/``, keyed like the cache, with its provenance beside it.
"""

import json
import shutil
from collections import Counter
from datetime import date
from pathlib import Path

import numpy as np

from ..data.loading import load
from ..infra.cache import Cache, default_cache, pack, read_folder, training_path, unpack
from ..infra.errors import InputError
from ..infra.files import data_dir, fresh, published_dir
from ..infra.reproducible import hardware
from ..llm.base import LanguageModel, adapter_digest
from ..llm.weights import fingerprint
from ..pipeline import Study
from ..readers.adapter import listed_path, read_listed
from ..readers.conventional import MODELS
from ..representations.text import MAX_NEW_TOKENS, describe, description_prompt, plain
from ..version import VERSION
from .place import Parameters, reference, reference_path, short
from .run import NOTEBOOKS, read_metrics, values_of, write_json
from .runner import asked_path
from .stale import ADAPTER, record_path

LIMIT = 80 * 2**20  # bytes that the artefacts of all data sets may take in the repository


def publish(dataset: str, llm_name: str, profile_name: str, seed: int, reader: str = "") -> Path:
    """Make (or take from the cache) and write all artefacts of a data set; return their folder.

    Args:
        reader: a second LLM, which read the prompts in runs of its own: what it answered in them is written instead.

    Raises:
        InputError: settings that are not those of the recorded values; something of the last runs that is gone; more
            than `LIMIT`.
    """
    if reader:
        return publish_reader(Parameters(dataset, llm_name, profile_name, seed, reader=reader))
    of = Parameters(dataset, llm_name, profile_name, seed)
    study = Study.of(dataset, llm_name, profile_name, seed)
    data, llm = study.split.data, study.llm
    check_settings(of, data.hash)
    folder = published_dir() / dataset
    folder.mkdir(parents=True, exist_ok=True)
    texts = write_descriptions(data, llm, folder)
    for name, inputs in (("embeddings-plain", plain(data)), ("embeddings-described", texts)):
        keys = _keys(llm, "embed", inputs)
        rows = dict(zip(keys, llm.embed(inputs).astype(np.float16), strict=True))
        held = _held_before(dataset)
        _write_rows(folder / f"{name}.npz", {key: row for key, row in rows.items() if key not in held})
    place = of.place(data.hash)
    formats = write_answers(place, llm.cache, folder)
    steps = write_trainings(place, default_cache(), folder)
    trained = study.adapter_of()
    if trained.trained_on == dataset and trained.folder != folder / "adapter":
        shutil.rmtree(folder / "adapter", ignore_errors=True)
        shutil.copytree(trained.folder, folder / "adapter")
    list_adapters(place, folder)
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
        answers=_told(formats),
        embeddings="mean of the last hidden states over a text's tokens, float16",
        trained=f"what notebooks 05 and 06 were made with: {steps}",
        adapter="see adapter/rallrec.json" if trained.trained_on == dataset else f"that of {trained.trained_on}",
        **_made_now(),
        command=f"rallrec publish --dataset {dataset} --llm {llm_name} --profile {profile_name} --seed {seed}",
    )
    write_json(folder / "provenance.json", provenance)
    return _small_enough(folder)


def publish_reader(of: Parameters) -> Path:
    """Write what a second LLM, ``of.reader``, answered in the last runs; return the data set's folder.

    ``answers-<reader>.npz``, ``reasons-<reader>.jsonl``, ``provenance-<reader>.json``, and its adapters in
    ``adapters.json`` by their digests: not every model's terms allow to hand on weights that were made of it.
    """
    data_hash = load(of.dataset).hash
    check_settings(of, data_hash)
    folder, place, end = published_dir() / of.name, of.place(data_hash), f"-{short(of.reader)}"
    folder.mkdir(parents=True, exist_ok=True)
    formats = write_answers(place, default_cache(), folder, end)
    steps = write_trainings(place, default_cache(), folder)
    list_adapters(place, folder)
    provenance = dict(
        dataset=of.name,
        data_hash=data_hash,
        model=of.llm,
        reader=of.reader,
        weights=fingerprint(of.reader),
        answers=_told(formats),
        trained=steps,
        adapters="not published; adapters.json lists the digests of those that answered",
        **_made_now(),
    )
    write_json(folder / f"provenance{end}.json", provenance)
    return _small_enough(folder)


def _told(formats: dict[str, int]) -> str:
    return f"of notebooks 05 and 06, by number format: {formats}"


def _made_now() -> dict[str, str]:
    return dict(version=VERSION, hardware=hardware(), date=date.today().isoformat())


def _small_enough(folder: Path) -> Path:
    """The folder, if all that is published fits into the repository."""
    if (size_bytes := sum(p.stat().st_size for p in published_dir().rglob("*") if p.is_file())) > LIMIT:
        raise InputError(f"{published_dir()} holds {size_bytes / 2**20:.1f} MiB; the limit is {LIMIT / 2**20:.0f} MiB")
    return folder


def check_settings(of: Parameters, data_hash: str) -> None:
    """Refuse to publish what is not of the settings that a data set's values are recorded for.

    Raises:
        InputError: names what differs.
    """
    recorded = reference(of.name).get("settings", {})
    here = dict(data_hash=data_hash, llm=of.llm, profile=of.profile, seed=of.seed)
    if differing := [f"{k} {v} (recorded: {recorded[k]})" for k, v in here.items() if recorded.get(k, v) != v]:
        raise InputError(
            f"published/{of.name} belongs to the recorded values, and these settings are others: "
            f"{', '.join(differing)}; to record others, delete its reference.json first"
        )


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


def write_answers(place: str, cache: Cache, folder: Path, end: str = "") -> dict[str, int]:
    """Write what the LLM answered in the last runs of a place's notebooks, by key.

    ``answers<end>.npz`` holds what it chose, float64 [n, 2], ``reasons<end>.jsonl`` what was sampled of it.

    Returns:
        How many were made in each number format.
    """
    asked = {key: (form, verb) for key, (form, verb) in asked_in(place).items() if verb != "trained"}
    keys = sorted(asked)
    answers = cache.get(keys)
    if missing := sum(a is None for a in answers):
        raise InputError(f"{missing} answers of the last runs are not in the cache; run `make all` again")
    found = list(zip(keys, answers, strict=True))
    if chosen := {key: np.frombuffer(answer, np.float64) for key, answer in found if asked[key][1] == "choose"}:
        _write_rows(folder / f"answers{end}.npz", chosen)
    if sampled := [dict(key=key, answer=answer.decode()) for key, answer in found if asked[key][1] == "sample"]:
        lines = [json.dumps(entry, ensure_ascii=False) + "\n" for entry in sampled]
        (folder / f"reasons{end}.jsonl").write_text("".join(lines), encoding="utf-8")
    return dict(Counter(form for form, _ in asked.values()))


def asked_in(place: str) -> dict[str, tuple[str, str]]:
    """What the LLM was asked in the last runs of a place's notebooks; see `LanguageModel.asked`."""
    logs = [path.read_text("ascii") for n in NOTEBOOKS if (path := asked_path(place, n)).exists()]
    return {key: (form, verb) for log in logs for key, form, verb in map(str.split, log.splitlines())}


def write_trainings(place: str, cache: Cache, folder: Path) -> dict[str, int]:
    """Write what a place's last runs were made with: graphs, alignments, rankers, searches of settings; a file each.

    What no run of the data set was made with goes. What is published stays as it is: it was used.

    Returns:
        How many there are of each step.
    """
    steps = {key: step for key, (step, verb) in asked_in(place).items() if verb == "trained"}
    (folder / "trained").mkdir(exist_ok=True)
    for (key, step), blob in zip(steps.items(), cache.get(steps), strict=True):
        path = folder / training_path(step, key)
        if path.exists() and not fresh():
            continue
        if blob is None:
            raise InputError(f"a training of the last runs ({step}) is not in the cache; run `make all` again")
        path.write_bytes(pack(unpack(blob), compress=True))
    logs = "".join(path.read_text("ascii") for path in (data_dir() / "asked").glob(f"{folder.name}[-+]*"))
    for path in (folder / "trained").glob("*.npz"):
        if path.stem.rpartition("-")[2] not in logs:
            path.unlink()
    return dict(Counter(steps.values()))


def list_adapters(place: str, folder: Path) -> None:
    """Add to ``adapters.json`` the adapters that answered in a place's last runs and whose weights are not published.

    By the key of all that an adapter is made of (the name of its folder in the data folder): the ``digest`` that its
    answers are kept under, and the ``inputs`` and the ``curve`` of its training.
    """
    published = {adapter_digest(weights.parent) for weights in published_dir().glob(f"*/adapter*/{ADAPTER}")}
    listed = read_listed(folder.name)
    records = [record_path(place, n) for n in NOTEBOOKS]
    files = [json.loads(r.read_text(encoding="utf-8"))["files"] for r in records if r.exists()]
    for used in {Path(file).parent for each in files for file in each if Path(file).name == ADAPTER}:
        if (digest := adapter_digest(used)) not in published:
            made = json.loads((used / "rallrec.json").read_text(encoding="utf-8"))
            listed[used.name] = dict(digest=digest, inputs=made["inputs"], curve=made["curve"])
    if listed:
        write_json(listed_path(folder.name), dict(sorted(listed.items())))


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
    return llm._keys(verb, texts, settings)


# --- reference values --------------------------------------------------------------------------------


# recorded groups of values whose last digits a processor's rounding can change much: of trained LLMs and trees, or of
# an LLM's answers to a few samples. The AUC of conventional recommenders deviates by up to 0.007 from seed to seed.
OF_THE_LLM = (
    "llm",
    "llm_auc",
    "reasons_llm",
    "reasons_retrieval",
    "reasons_length",
    "reasons_agreement",
    "study",
    "claims",
    "adapter_valid_loss",
)
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
    named = ("data_hash", "llm", "reader", "profile", "seed", "other_parameters")
    settings = {k: metrics[k] for k in named if k in metrics}
    values = {k: [v, tolerance(k, v)] for k, v in values_of(metrics).items()}
    reference_path(dataset).write_text(
        json.dumps(dict(settings=settings, values=values), indent=1) + "\n", encoding="utf-8"
    )
    return reference_path(dataset)
