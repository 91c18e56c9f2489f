"""The places whose notebooks the page shows, and what is known of each."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..data.amazon import CATEGORIES, OF_2023
from ..data.loading import LOADERS
from ..infra.files import published_dir
from ..runs.context import output_root
from ..runs.place import READS
from ..runs.run import NOTEBOOKS, read_metrics
from ..runs.side_by_side import dataset_of

TITLES = {
    "ml-100k": "MovieLens-100K",
    "ml-1m": "MovieLens-1M",
    "ml-25m": "MovieLens-25M",
    "ml-32m": "MovieLens-32M",
    "bookcrossing": "BookCrossing",
    "bookcrossing-explicit": "BookCrossing, explicit ratings",
    "amazon-movies": "Amazon movies",
    **{f"{OF_2023}-{name}": f"Amazon 2023, {name.replace('_', ' ')}" for name in CATEGORIES},
    "tiny": "Generated data",
}


@dataclass(frozen=True)
class Place:
    """A folder of ``papermill_runs/``, such as ``ml-100k+reads-gemma3-270m``."""

    name: str

    @property
    def runs(self) -> Path:
        return output_root() / "papermill_runs" / self.name

    @property
    def figures(self) -> Path:
        return output_root() / "figures" / self.name

    @cached_property
    def metrics(self) -> dict:
        return read_metrics(self.name)

    @property
    def dataset(self) -> str:
        return self.metrics.get("dataset") or self.name.split("+")[0]

    @property
    def reader(self) -> str:
        """The LLM that is asked for P(like)."""
        return self.metrics.get("reader") or self.metrics.get("llm", "")

    @property
    def first(self) -> str:
        """The place of the notebooks that come before the reader, which are the same whoever reads."""
        return dataset_of(self.name)

    @property
    def title(self) -> str:
        """``MovieLens-100K``, ``MovieLens-100K, read by gemma3-270m``, ``mine, full, seed1``."""
        settings = self.name.removeprefix(self.dataset).strip("+").split("+")
        said = [part.replace(READS, "read by ", 1) if part.startswith(READS) else part for part in settings if part]
        return ", ".join([TITLES.get(self.dataset, self.dataset), *said])

    @property
    def notebooks(self) -> list[str]:
        return [name for name in NOTEBOOKS if (self.runs / f"{name}.ipynb").exists()]

    @cached_property
    def provenance(self) -> dict:
        """What is said of the published artefacts of the data set, and of this reader's where it is another one."""
        folder, reader = published_dir() / self.dataset, self.name.partition(f"+{READS}")[2]
        files = folder / "provenance.json", folder / f"provenance-{reader}.json"
        of_data, of_reader = (json.loads(f.read_text(encoding="utf-8")) if f.exists() else {} for f in files)
        if of_data.get("data_hash") != self.metrics.get("data_hash"):  # of other data than these
            return {}
        return of_data | {"reader_weights": of_reader["weights"]} if of_reader else of_data


def places() -> list[Place]:
    """Places with an executed notebook: in the order of `LOADERS`, other readers after the LLM that describes."""
    found = [Place(p.name) for p in (output_root() / "papermill_runs").glob("*/") if not p.name.startswith(".")]
    order = {name: number for number, name in enumerate(LOADERS)}
    found.sort(key=lambda p: (order.get(p.dataset, len(order)), p.first, p.name != p.first, p.name))
    return [place for place in found if place.notebooks]


def studies(of: list[Place]) -> list[Place]:
    """Those that have a page of contents, which lists places of other readers, too."""
    names = {place.name for place in of}
    return [place for place in of if place.name == place.first or place.first not in names]
