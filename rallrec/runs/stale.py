"""Whether a notebook has to run again: what its outputs were made of, compared with what is here now.

Kept in the data folder (``made/<place>/<notebook>.json``), so a fresh clone runs everything once.
"""

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from ..data.dataset import Dataset
from ..data.loading import load
from ..infra.cache import key_of
from ..infra.downloads import sha256_of
from ..infra.errors import InputError
from ..infra.files import ROOT, data_dir, fresh, published_dir
from ..llm.weights import fingerprint
from ..profiles import profile
from ..readers.adapter import LISTED
from .context import output_root
from .place import Parameters
from .predictions import path_of
from .run import LIBRARIES, read_metrics
from .tracing import pieces

OF_THE_LLM = ("RALLREC_DTYPE", "RALLREC_EMBEDDINGS", "RALLREC_ADAPTED", "RALLREC_TOP")
ADAPTER = "adapter_model.safetensors"


@dataclass(frozen=True)
class Now:
    """What the results of a data set depend on, as it is now; read once for all its notebooks."""

    parameters: Parameters

    @cached_property
    def data(self) -> Dataset:
        return load(self.parameters.dataset)

    @cached_property
    def place(self) -> str:
        return self.parameters.place(self.data.hash)

    @cached_property
    def inputs(self) -> dict[str, str]:
        """By what they are called in a sentence."""
        p = self.parameters

        def key_of_llm(name: str) -> str:
            made = dict(name=name, weights=fingerprint(name)) | {v: os.environ.get(v, "") for v in OF_THE_LLM}
            return key_of(**made)[:16]

        return {
            "the data": key_of(data=self.data.hash, notes=self.data.notes)[:16],
            "the LLM": key_of_llm(p.llm),
            "the reader": key_of_llm(p.reader) if p.reader else "",
            "the profile": key_of(name=p.profile, **asdict(profile(p.profile)))[:16],
            "the seed": str(p.seed),
            "K": str(p.k),
            "the libraries": key_of(**{name: metadata.version(name) for name in LIBRARIES})[:16],
            "FRESH": str(fresh()),
        }

    @cached_property
    def code(self) -> dict[str, str]:
        return pieces()

    @cached_property
    def adapters(self) -> str:
        """Which adapters could be taken: those trained on these data, and the published ones."""
        records = (data_dir() / ("adapters-fresh" if fresh() else "adapters")).glob("*/rallrec.json")
        of_the_data = [f.parent.name for f in records if self.data.hash in f.read_text(encoding="utf-8")]
        folder = published_dir()
        published = [sha256_of(f) for f in sorted([*folder.glob(f"*/adapter*/{ADAPTER}"), *folder.glob(f"*/{LISTED}")])]
        return key_of(trained=sorted(of_the_data), published=published)[:16]

    def why(self, notebook: str) -> str | None:
        """Why a notebook has to run, in a few words; None if its outputs are up to date."""
        path = record_path(self.place, notebook)
        try:
            return next(self._differing(notebook, json.loads(path.read_text(encoding="utf-8"))), None)
        except FileNotFoundError:
            return "not run here yet"
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError):  # of another version, or damaged
            return "its record can't be read"

    def _differing(self, notebook: str, made: dict):
        for name, value in self.inputs.items():
            if made["inputs"][name] != value:
                yield f"{name} changed"
        if made["adapters"] and made["adapters"] != self.adapters:
            yield "another adapter is there"
        for file, digest in made["files"].items():
            if not Path(file).is_file():
                yield f"{Path(file).name} is gone"
            elif sha256_of(Path(file)) != digest:
                yield f"{Path(file).name} changed"
        if made["source"] != source_digest(notebook):
            yield "the notebook changed"
        for piece, digest in made["code"].items():
            if self.code.get(piece) != digest:
                yield f"the code changed: {piece.removesuffix(':').removesuffix(':*').replace(':', ', ')}"
        executed = output_root() / "papermill_runs" / self.place / f"{notebook}.ipynb"
        if not executed.exists():
            yield "its outputs are gone"
        elif sha256_of(executed) != made["output"]:
            yield "its outputs were changed"
        for name, digest in made.get("figures", {}).items():
            path = output_root() / "figures" / self.place / name
            if not path.exists() or sha256_of(path) != digest:
                yield f"its {name} {'was changed' if path.exists() else 'is gone'}"
        if made.get("values", values := self._values(notebook)) != values:
            yield "its values in metrics.json are gone or were changed"
        if made.get("predictions") and not path_of(self.place).exists():
            yield "predictions.parquet is gone"

    def _values(self, notebook: str) -> str:
        return key_of(values=read_metrics(self.place).get("notebooks", {}).get(notebook, {}).get("values"))[:16]

    def took(self, notebook: str) -> float | None:
        """Seconds of its last run here on the same data with the same settings, if there was one."""
        try:
            made = json.loads(record_path(self.place, notebook).read_text(encoding="utf-8"))
            return made["seconds"] if made["inputs"] == self.inputs else None
        except (OSError, ValueError, KeyError):
            return None

    def remember(
        self,
        notebook: str,
        source: str,
        ran: list[str],
        files: dict[str, str],
        executed: Path,
        beside: list[str],
        seconds: float,
    ) -> None:
        """Keep what a notebook's outputs were made of.

        Args:
            source: `source_digest` before it ran. ran: pieces of code. files: digests of what else it read, by path.
            executed: the notebook in its place. beside: names of its tables, figures and predictions.
            seconds: that it took.
        """
        pictures = output_root() / "figures" / self.place
        made = dict(
            seconds=round(seconds),
            inputs=self.inputs,
            adapters=self.adapters if any(Path(file).name in (ADAPTER, LISTED) for file in files) else "",
            files=files,
            source=source,
            code={piece: self.code[piece] for piece in ran if piece in self.code},
            output=sha256_of(executed),
            figures={name: sha256_of(pictures / name) for name in beside if name != path_of(self.place).name},
            values=self._values(notebook),
            predictions=path_of(self.place).name in beside,
        )
        path = record_path(self.place, notebook)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)


def record_path(place: str, notebook: str) -> Path:
    return data_dir() / "made" / place / f"{notebook}.json"


def source_digest(notebook: str) -> str:
    return sha256_of(ROOT / "notebooks" / f"{notebook}.ipynb")
