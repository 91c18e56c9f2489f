"""Tables that the notebooks of several places wrote, one under the other: of which data set, and who reads."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from ..infra.errors import InputError
from . import figures
from .context import output_root
from .place import READS
from .run import read_metrics


def dataset_of(place: str) -> str:
    """The place of the same run with the LLM as its reader: ``ml-100k`` of ``ml-100k+reads-gemma3-270m``."""
    return place.partition(f"+{READS}")[0]


def reader_of(place: str) -> str:
    """The name of the LLM that was asked for P(like)."""
    made = read_metrics(place)
    return made.get("reader") or made.get("llm", "")


def read(places: Sequence[str], source: str) -> pd.DataFrame:
    """The table ``source`` of each place, with the columns ``place``, ``dataset`` (`dataset_of`) and ``read_by``.

    A place whose notebook of that table was not run is left out, if another reader of the data set has it.

    Raises:
        InputError: a place does not have it.
    """
    parts = []
    ran = {place: source[:2] in [name[:2] for name in read_metrics(place).get("notebooks", {})] for place in places}
    of_others = {dataset_of(place) for place in places if ran[place]}
    for place in places:
        path = output_root() / "figures" / place / f"{source}.csv"
        if not ran[place] and dataset_of(place) in of_others:
            continue
        if not ran[place] or not path.exists():
            raise InputError(f"{path} is not there; run `make all DATASETS={place.split('+')[0]}` first")
        parts.append(pd.read_csv(path).assign(place=place, dataset=dataset_of(place), read_by=reader_of(place)))
    return pd.concat(parts, ignore_index=True)


def by_reader(table: pd.DataFrame, rows: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """A table of `read` in which a row that comes out the same whoever reads stands once, its ``read_by`` empty.

    Without places of other readers all rows are such. Rows of one name follow each other.

    Args:
        rows: the columns that name a row. values: the columns that are compared.
    """
    if (table["place"] == table["dataset"]).all():
        return table.assign(read_by="")
    key = table[list(rows)].agg(tuple, axis=1)
    cells = table.groupby([table["dataset"], key])
    readers, different = cells["read_by"].nunique(), cells[list(values)].nunique(False).max(axis=1)
    most = different[readers.ge(2)].groupby(level=1).max()  # of a row, on the data set where it varies most
    once = table.assign(key=key, read_by=table["read_by"].mask(key.isin(most.index[most.eq(1)]), ""))
    once = once.drop_duplicates(["dataset", "key", "read_by"])
    first = {name: number for number, name in enumerate(dict.fromkeys(once["key"]))}
    return once.sort_values("key", key=lambda k: k.map(first), kind="stable", ignore_index=True).drop(columns="key")


def labelled(row: str, read_by: str) -> str:
    """A row's name, and who reads where that makes a difference."""
    return f"{row} ({read_by})" if read_by else row


def sizes(n: pd.Series, kind: pd.Series) -> list[str]:
    """Numbers of samples in words: ``2,000`` where all rows have as many, else ``LLM 2,000`` and so on, a word a kind.

    Args:
        n: of each row; NaN does not count. kind: of each row.

    Returns:
        Nothing where rows of one kind have different numbers.
    """
    known = n.dropna()
    if len(known) and known.min() == known.max():
        return [f"{known.iloc[0]:,.0f}"]
    by = known.groupby(kind, sort=False)
    return [] if by.nunique().gt(1).any() else [f"{name} {of:,.0f}" for name, of in by.first().items()]


def said(verdicts: pd.Series, words: Iterable[str] = figures.VERDICTS) -> str:
    """Verdicts by data set as a sentence: ``holds on a and b; inconclusive on c``, or ``holds on all 3 data sets``."""
    parts = []
    for verdict in words:
        if names := verdicts.index[verdicts == verdict].tolist():
            where = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
            every = f"all {len(names)} data sets" if len(names) == len(verdicts) > 1 else where
            parts.append(f"{verdict} on {every}")
    return "; ".join(parts)


def in_lines(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a line for each part of a place's name, for figures: ``mine``, ``+full``."""
    return table.assign(dataset=table["dataset"].str.replace("+", "\n+"))


def save(figure: Figure, path: Path, more: int) -> None:
    """Save a figure with room for so many lines more, and let go of it."""
    figure.set_figheight(figure.get_figheight() + 0.15 * more)  # inches a line
    figures.save(figure, path)
    plt.close(figure)
