"""What a run is of, and the name of the place for its outputs, so that no run takes another's."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from ..data.loading import LOADERS, is_local, listed_as, load, name_of, own_folder
from ..infra.errors import InputError, at_least, one_of
from ..infra.files import ROOT, published_dir
from ..llm.opening import resolved
from ..profiles import PROFILES

OVERVIEW = "overview"
ASK_THE_READER = ("05_recommendation", "06_ablations")  # the notebooks that depend on which LLM reads
READS = "reads-"  # before a reader's name in a place's: ``ml-100k+reads-gemma3-270m``


@dataclass(frozen=True)
class Parameters:
    """The parameters of a notebook, by their names there in lower case; the defaults are those of the reference runs.

    Paths become absolute, for a kernel with another working directory.

    Attributes:
        dataset: a name of `data.loading.load`, or a folder. llm: a name of `llm.opening.language_model`.
        k: history items to show; None takes the profile's. extra: a Python file of the user's own methods.
        reader: the LLM that is asked for P(like), where it is not the one that describes and embeds; a name as ``llm``.

    Raises:
        InputError: an unknown data set or profile, a file or folder that is not there, a number out of bounds.
    """

    dataset: str = "ml-100k"
    llm: str = "smollm2-135m"
    profile: str = "quick"
    seed: int = 0
    k: int | None = None
    extra: str = ""
    reader: str = ""

    def __post_init__(self):
        if name_of(self.dataset).split("+")[0] == OVERVIEW:
            raise InputError(f"a data set can't be called {OVERVIEW!r}: that is where all are compared; rename it")
        one_of("profile", self.profile, PROFILES)
        at_least("seed", self.seed, 0)
        if self.k is not None:
            at_least("K", self.k, 1)
        dataset = listed_as(self.dataset) or str(own_folder(self.dataset).resolve())
        object.__setattr__(self, "dataset", dataset)
        object.__setattr__(self, "llm", resolved(self.llm))
        reader = resolved(self.reader) if self.reader else ""
        object.__setattr__(self, "reader", reader if reader != self.llm else "")
        object.__setattr__(self, "extra", str(extra_file(self.extra).resolve()) if self.extra else "")

    @property
    def name(self) -> str:
        """The data set's name."""
        return name_of(self.dataset)

    @property
    def suffix(self) -> str:
        """What is not as in the reference runs, as the end of a name: ``+full+seed1``, for example."""
        of_reference = Parameters(self.dataset)
        said = [short(self.llm)] if self.llm != of_reference.llm else []
        said += [self.profile] if self.profile != of_reference.profile else []
        said += [f"seed{self.seed}"] if self.seed != of_reference.seed else []
        said += [f"k{self.k}"] if self.k is not None else []
        said += [short(self.extra)] if self.extra else []
        said += [f"{READS}{short(self.reader)}"] if self.reader else []
        return "".join(f"+{part}" for part in said)

    def place(self, data_hash: str | None = None) -> str:
        """The folder's name in ``papermill_runs/`` and ``figures/``: the data set, and what is not as in our runs.

        Args:
            data_hash: the data set's, if it is known. Of data that are not here, ours are meant.

        Raises:
            InputError: the data set can't be read.
        """
        name = self.name
        if recorded := reference(name):
            ours = recorded["settings"]["data_hash"]
            data_hash = data_hash or (load(self.dataset).hash if is_local(self.dataset) else ours)
            if data_hash != ours:  # of fuller raw files, for example
                name += f"+data-{data_hash[:8]}"
        return name + self.suffix

    def of(self, notebook: str) -> "Parameters":
        """Those that a notebook depends on: what comes before the reader is the same for all readers, in one place."""
        return self if notebook in ASK_THE_READER else replace(self, reader="")

    def of_notebook(self) -> dict:
        """The values by their names in a notebook, without those that not every notebook has and that say nothing."""
        values = {name.upper(): value for name, value in asdict(self).items()}
        return {name: value for name, value in values.items() if name not in ("K", "EXTRA", "READER") or value}

    def shown(self) -> dict[str, str]:
        """Each path among the values, and what outputs say in its place."""
        own = [self.dataset] if self.dataset not in LOADERS else []
        llms = [llm for llm in (self.llm, self.reader) if Path(llm).is_absolute()]
        return {path: Path(path).name for path in (*own, *llms, *filter(None, [self.extra]))}


def extra_file(path: str) -> Path:
    """The file of one's own: from the working directory or, as in a notebook opened by hand, from the repository.

    Raises:
        InputError: there is none.
    """
    here = Path(path).expanduser()
    found = here if here.exists() or here.is_absolute() else ROOT / here
    if not found.is_file():
        raise InputError(f"EXTRA: there is no file {path}")
    return found


def short(name: str) -> str:
    """A model's or a file's name as a part of a folder's: of a server its model and host, of a path its end."""
    if "://" in name:
        parts = urlsplit(name)
        name = "-".join(filter(None, [parts.fragment, parts.netloc]))
    elif (path := Path(name)).is_absolute():
        told = hashlib.sha256(name.encode()).hexdigest()[:4]  # from another folder of that name
        name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else f"{path.name}-{told}"
    return re.sub(r"[^\w.-]+", "-", name.replace("/", "--"))


def reference_path(place: str) -> Path:
    """Where the values of a place's run are recorded: ``published/ml-100k/reference.json`` of ``ml-100k``.

    Those of another reader lie beside it, as ``reference-gemma3-270m.json``.
    """
    dataset, _, reader = place.partition(f"+{READS}")
    return published_dir() / dataset / f"reference{'-' * bool(reader)}{reader}.json"


def reference(place: str) -> dict:
    """A place's recorded settings and values; empty where there are none."""
    path = reference_path(place)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
