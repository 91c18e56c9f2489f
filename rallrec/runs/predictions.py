"""P(like) of every row of the tables, one Parquet file a data set, so that others can run their own tests.

It holds numbers of test samples and probabilities; ids, titles and labels stay in the raw data, which not every
licence allows to hand on. `predictions` joins them again.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.loading import load
from ..data.split import Samples, Split, split
from ..infra.cache import digest
from ..infra.errors import InputError
from ..pipeline import rows_of
from .context import output_root
from .place import Parameters

DIGITS = 4  # more would double the size, and change an AUC by some 1e-6


def path_of(place: str) -> Path:
    return output_root() / "papermill_runs" / place / "predictions.parquet"


def write(path: Path, judged: Split, rows: dict[str, tuple[Samples, np.ndarray]], notebook: str) -> None:
    """Write the rows of a notebook.

    Args:
        rows: by their labels, P(like) of some of the split's test samples. Columns are ``notebook: label``.
    """
    columns = {}
    for label, (samples, p) in rows.items():
        column = np.full(len(judged.test), np.nan, np.float32)
        column[rows_of(samples, judged.test, label)] = np.round(p, DIGITS)
        columns[f"{notebook[:2]}: {label}"] = column
    _write(path, pd.DataFrame(columns), identity(judged))


def identity(judged: Split) -> dict[str, str]:
    """What the rows of the file stand for."""
    return dict(data_hash=judged.data.hash, test_samples=digest(judged.test.position)[:16])


def merged(new: Path, old: Path) -> None:
    """Add to ``new`` the columns of other notebooks that ``old`` holds for the same samples."""
    if not old.exists():
        return
    (table, known), (before, of) = _read(new), _read(old)
    if of != known:
        return
    mine = {name.split(":")[0] for name in table}
    kept = before[[name for name in before if name.split(":")[0] not in mine]]
    both = pd.concat([kept, table], axis=1)
    _write(new, both[sorted(both, key=lambda name: name.split(":")[0])], known)


def predictions(dataset: str, **parameters) -> pd.DataFrame:
    """Every row's P(like) of the test samples, joined to the local data.

    Args:
        parameters: of the run, where they are not those of the reference runs: ``llm``, ``reader``, ``profile``,
            ``seed``, ``k``, ``extra`` (see `place.Parameters`).

    Returns:
        A row a test sample, in the order of ``split.test``: ``user_id``, ``item_id``, ``liked``, and a column for each
        row of the tables (``05: LLM, RALLRec``), NaN where its reader was not asked.

    Raises:
        InputError: no run has written them, or they are of other data than those that are here.
    """
    of = Parameters(dataset, **parameters)
    here = split(load(of.dataset))
    data, path = here.data, path_of(of.place(here.data.hash))
    if not path.exists():
        raise InputError(f"{path} is not there; run `make all DATASETS={dataset}` first")
    table, of = _read(path)
    if of != identity(here):
        raise InputError(f"{path} is of other data than the {dataset} that is here ({of}, here {identity(here)})")
    test = here.test
    users, items = data.users["user_id"].to_numpy(), data.items["item_id"].to_numpy()
    known = pd.DataFrame(dict(user_id=users[test.user], item_id=items[test.item], liked=test.liked))
    return pd.concat([known, table], axis=1)


def _write(path: Path, table: pd.DataFrame, known: dict[str, str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table.astype(np.float32), preserve_index=False)
    arrow = arrow.replace_schema_metadata({"rallrec": json.dumps(known, sort_keys=True)})
    pq.write_table(arrow, path, compression="zstd")


def _read(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        return table.to_pandas(), json.loads(table.schema.metadata[b"rallrec"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise InputError(f"{path} is damaged ({e}); `git checkout` it, or run the notebook again") from e
