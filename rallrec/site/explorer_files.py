"""The explorer's files: what is kept of a data set, when it is made anew, and what the page loads.

`explorer` says what is measured. A record is published beside a data set's other artefacts, so that the page can be
made where the data are not; a user's own lies in the data folder and goes before it.
"""

import ast
import gzip
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..data.loading import DATASETS
from ..infra.code import bare, digest_of
from ..infra.errors import InputError
from ..infra.files import data_dir, published_dir
from ..pipeline import METHOD, Study
from ..representations.mixture import REPRESENTATIONS
from ..runs.place import Parameters
from ..runs.publishing import check_settings
from ..version import VERSION
from .explorer import built_in, measure
from .explorer_users import examples

TITLES = {
    "ml-100k": "MovieLens-100K",
    "ml-1m": "MovieLens-1M",
    "bookcrossing": "BookCrossing",
    "amazon-movies": "Amazon movies",
    "tiny": "tiny (generated)",
}
# what an AUC depends on beside the data and what was trained on them
MODULES = (
    "evaluation/calibration.py",
    "evaluation/influence.py",
    "readers/combination.py",
    "readers/vote.py",
    "representations/mixture.py",
    "retrieval/learned.py",
    "retrieval/retrieve.py",
    "retrieval/selectors.py",
    "site/explorer.py",
)


def made_of(study: Study, representations: Sequence[str]) -> dict:
    """All that a record depends on; trains what is not at hand."""
    for name in representations:
        study.representation(name)
    _ = study.ranker
    return dict(
        data=study.split.data.hash,
        llm=study.llm.weights,
        k=study.size.k,
        seed=study.seed,
        representations=list(representations),
        trained=dict(sorted(study.trained.items())),
        code=code(),
    )


def code() -> dict[str, str]:
    """Digests of the modules that compute what is shown, whatever their comments and layout."""
    package = Path(__file__).parents[1]
    return {name: digest_of(bare(ast.parse((package / name).read_bytes()))) for name in MODULES}


def key(of: dict) -> str:
    """A key of what a record is made of."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]


def changed_code(record: dict) -> list[str]:
    """The modules that are no longer those that made a record."""
    now, then = code(), record.get("made_of", {}).get("code", {})
    return [name for name in now if now[name] != then.get(name)]


# --- records ------------------------------------------------------------------------------------


def local_path(name: str) -> Path:
    """Where a user's own record of a data set lies; git ignores it."""
    return data_dir() / "explorer" / f"{name}.json.gz"


def published_path(name: str) -> Path:
    """Where the repository's lies."""
    return published_dir() / name / "explorer.json.gz"


def users_path(name: str) -> Path:
    """Where example users of a data set lie; git ignores them: most data may not be handed on."""
    return data_dir() / "explorer" / f"{name}-users.json.gz"


def save(path: Path, record: dict) -> Path:
    """Write a record, gzipped; the same record gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(_json(record).encode(), 9, mtime=0))
    return path


def load(path: Path) -> dict:
    """A record that `save` wrote."""
    return json.loads(gzip.decompress(path.read_bytes()))


def make(
    of: Parameters, publish: bool = False, users: bool = False, representations: Sequence[str] | None = None
) -> str:
    """Make a data set's record, where what it depends on has changed; say what was done.

    Args:
        publish: write it to the repository's artefacts: the maintainers'.
        users: write example users, too, beside the user's own record.
        representations: those to measure; None for all. Where a training is not at hand it takes minutes.

    Raises:
        InputError: published settings that are not those of the recorded values; example users to be published.
    """
    if publish and users:
        raise InputError("example users are not published: most data may not be handed on; leave out one of the two")
    study = Study.of(of.dataset, of.llm, of.profile, of.seed)
    representations = built_in(REPRESENTATIONS) if representations is None else representations
    if publish:
        check_settings(of, study.split.data.hash)
    depends, path = made_of(study, representations), (published_path if publish else local_path)(of.name)
    at_hand = [p for p in (path, published_path(of.name)) if p.exists() and load(p)["key"] == key(depends)]
    if at_hand:
        path = at_hand[0]
    else:
        said = dict(title=TITLES.get(of.name, of.name), key=key(depends), version=VERSION, made_of=depends)
        save(path, said | measure(study, command(of), representations))
    if users:
        save(users_path(of.name), examples(study))
    known = load(path)
    n = sum(len(part["auc"]) for part in known["parts"].values())
    return f"{path}: {n:,} predictions, {path.stat().st_size / 1000:.0f} kB, measured in {known['seconds']} s"


def command(of: Parameters) -> str:
    """The command of the method's row; the flags of a choice follow it."""
    default = Parameters(of.dataset)
    own = [(name, getattr(of, name)) for name in ("llm", "profile", "seed")]
    flags = [f" --{name} {value}" for name, value in own if value != getattr(default, name)]
    return METHOD.command(of.dataset) + "".join(flags)


def record_of(name: str) -> dict | None:
    """The record that the page shows of a data set, with the modules that changed since in ``changed_code``.

    A user's own goes before the repository's, unless modules changed since: then the page may not understand it.
    """
    for path in (local_path(name), published_path(name)):
        if path.exists():
            record = load(path)
            record["changed_code"] = changed_code(record)
            if path != local_path(name) or not record["changed_code"]:
                return record
    return None


# --- the page -----------------------------------------------------------------------------------


def write(folder: Path, names: Iterable[str] = (*DATASETS, "tiny"), users: bool = True) -> list[str]:
    """Write what the page loads: a script a data set, their list, and example users.

    Args:
        folder: the page's ``_static/explorer``.
        names: of data sets; those without a record are left out. ``tiny`` is generated and measured now.
        users: whether to show the example users of data that may not be handed on, where a user made them here (see
            `make`); False where the page is published. Those of ``tiny`` are always shown.

    Returns:
        The data sets that the page has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for name in names:
        if name == "tiny":
            make(Parameters("tiny", "tiny-random", "smoke"), users=True)
        record = record_of(name)
        if record is None:
            continue
        _script(folder / f"{name}.js", "add", record)
        shown = users_path(name).exists() and (users or name == "tiny")
        if shown:
            _script(folder / f"{name}-users.js", "users", dict(dataset=name) | load(users_path(name)))
        listed.append(dict(name=name, title=record["title"], users=shown))
    _script(folder / "index.js", "index", listed)
    return [each["name"] for each in listed]


def _script(path: Path, function: str, argument) -> None:
    path.write_text(f"rallrecExplorer.{function}({_json(argument)});\n", encoding="utf-8")


def _json(record) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
