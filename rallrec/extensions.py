"""A file of your own: representations, selectors, readers and backends registered in it, and rows made of them."""

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from .data.dataset import Dataset
from .data.ids import codes_of
from .data.split import Samples
from .infra.errors import InputError
from .infra.noted import noted
from .infra.registry import Registry
from .infra.watched import watch
from .llm.opening import backend
from .pipeline import METHOD, Choice
from .readers.base import READERS, Reader, checked, reader
from .representations.mixture import REPRESENTATIONS, representation
from .retrieval.selectors import SELECTORS, selector

__all__ = ["ROWS", "backend", "load_extra", "reader", "representation", "rival", "row", "rows", "scores", "selector"]

ROWS: Registry[Choice] = Registry("row")


def row(label: str, choice: Choice) -> Choice:
    """Put a choice into the tables and figures of notebooks 05 and 06, under a label.

    Raises:
        InputError: a name in the choice that nothing is registered under.
    """
    _ = REPRESENTATIONS[choice.representation], SELECTORS[choice.selector], READERS[choice.reader]
    ROWS.add(label, choice)
    return choice


def rows(samples: str | None = None, beside=()) -> dict[str, Choice]:
    """The user's rows by their labels.

    Args:
        samples: only those whose reader judges ``all`` samples, or the ``asked`` ones.
        beside: labels of the table that they join.

    Raises:
        InputError: one of them has the label of another row.
    """
    found = {label: ROWS[label] for label in ROWS if samples in (None, READERS[ROWS[label].reader].samples)}
    if taken := [label for label in found if label in beside]:
        raise InputError(f"row {taken[0]!r} has the label of another row; give yours a label of its own")
    return found


def rival(choice: Choice) -> Choice:
    """What a row of one's own is compared with: the method by the same reader or, if that is one's own, by ours."""
    if choice.reader in READERS.built_in:
        return METHOD.read_by(choice.reader)
    return METHOD.read_by("vote" if READERS[choice.reader].samples == "all" else "llm")


def load_extra(path: str | Path) -> str:
    """Run a Python file that registers things; once for the same content.

    Returns:
        ``name@sha256`` (16 hex digits of it), for provenance.

    Raises:
        InputError: there is no such file, or it raises something.
    """
    watch()
    path = Path(path)
    try:
        source = noted(path).read_bytes()
    except OSError as e:
        raise InputError(f"EXTRA: {path} can't be read ({e.strerror})") from e
    name = f"{path.name}@{hashlib.sha256(source).hexdigest()[:16]}"
    if name in sys.modules:
        return name
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses in the file look themselves up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as e:
        del sys.modules[name]
        if isinstance(e, InputError):
            raise InputError(f"{path}: {e}") from e
        line = next((f.lineno for f in reversed(_frames(e)) if f.filename == str(path)), getattr(e, "lineno", None))
        raise InputError(f"{path}{f':{line}' if line else ''}: {type(e).__name__}: {e}") from e
    return name


def _frames(e: Exception) -> list:
    import traceback

    return list(traceback.extract_tb(e.__traceback__))


# --- scores made elsewhere ----------------------------------------------------------------------


def scores(name: str, path: str | Path) -> None:
    """Register a CSV file ``user_id,item_id,p`` with scores or P(like) made elsewhere as the reader ``name``.

    It judges the test samples that the file has a row for. Scores that are not all from 0 to 1 become probabilities
    by a logistic curve fitted on validation samples, which then must be in the file, too. What is missing, unknown
    or doubled is said when the file is first used.
    """
    READERS.add(name, Scores(name, Path(path)))


class Scores(Reader):
    """Scores made elsewhere; see `scores`."""

    reads_shown, calibrates = False, None

    def __init__(self, name: str, path: Path):
        super().__init__(name)
        self.path = path

    def judged(self, study, part: str) -> Samples:
        return self._found(study)[part][0]

    def scores(self, study, choice, part: str) -> np.ndarray:
        samples, values = self._found(study)[part]
        return checked(self.name, values, samples)

    def predict(self, study, choice, part: str) -> np.ndarray:
        values, (valid, _) = self.scores(study, choice, part), self._found(study)["valid"]
        if ((values < 0) | (values > 1)).any() and not len(valid):
            raise InputError(
                f"{self.path}: p is not from 0 to 1, and no validation sample has a row to calibrate it on; "
                f"give probabilities, or the scores of validation samples, too"
            )
        return super().predict(study, choice, part)

    def _found(self, study) -> dict[str, tuple[Samples, np.ndarray]]:
        return study.remember(self, lambda: self._read(study))

    def _read(self, study) -> dict[str, tuple[Samples, np.ndarray]]:
        data = study.split.data
        table, notes = _scored(self.path, data)
        out = {}
        for part in ("test", "valid"):
            samples = study.samples(part)
            at = table.index.get_indexer(samples.user.astype(np.int64) * data.n_items + samples.item)
            out[part] = samples.take(at >= 0), table.to_numpy()[at[at >= 0]]
            notes.insert(len(out) - 1, f"{(at >= 0).sum():,} of {len(samples):,} {part} samples")
        if not len(out["test"][0]):
            raise InputError(
                f"{self.path}: no row is one of the {len(study.samples('test')):,} test samples of {data.name}"
            )
        print(f"{self.name}, {self.path.name}: {'; '.join(notes)}")
        return out


def _scored(path: Path, data: Dataset) -> tuple[pd.Series, list[str]]:
    """``p`` by pair (user code x n_items + item code), and what was left out."""
    try:
        table = pd.read_csv(
            noted(path), dtype={"user_id": str, "item_id": str}, encoding="utf-8-sig", skipinitialspace=True
        )
    except (OSError, ValueError) as e:  # pandas' parser errors are ValueErrors
        raise InputError(
            f"{path} can't be read as a CSV table ({(str(e).splitlines() or [type(e).__name__])[0]})"
        ) from e
    if missing := [c for c in ("user_id", "item_id", "p") if c not in table]:
        raise InputError(f"{path}:1: column {missing[0]!r} is missing; found {', '.join(map(str, table.columns))[:80]}")
    table["p"] = pd.to_numeric(table["p"], errors="coerce")
    if (bad := ~np.isfinite(table["p"])).any():
        raise InputError(f"{path}:{int(np.flatnonzero(bad)[0]) + 2}: p is no number")
    users, items = data.users["user_id"], data.items["item_id"]
    codes = codes_of(users, table["user_id"]), codes_of(items, table["item_id"])
    known = (codes[0] >= 0) & (codes[1] >= 0)
    notes = [f"{(~known).sum():,} rows of an unknown user or item left out"] if not known.all() else []
    if not known.any():
        raise InputError(f"{path}: no row has ids of {data.name}, such as user {data.users['user_id'].iloc[0]!r}")
    pair = codes[0].astype(np.int64) * data.n_items + codes[1]
    found = pd.Series(table["p"].to_numpy()[known], index=pair[known])
    doubled = found.index.duplicated()
    once = found[~doubled]
    if (differ := found.to_numpy() != once.reindex(found.index).to_numpy()).any():
        row = int(np.flatnonzero(known)[np.flatnonzero(differ)[0]])
        raise InputError(f"{path}:{row + 2}: this pair stands above with another p; keep one of them")
    return once, notes + ([f"{doubled.sum():,} rows doubled"] if doubled.any() else [])
