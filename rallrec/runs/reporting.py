"""What `make` says: the plan before a run, the comparison after it, the README's generated parts."""

import json
import re
import shutil
from pathlib import Path

from ..data.loading import missing_files
from ..infra.errors import InputError
from ..infra.files import ROOT, data_dir, fresh
from .context import output_root
from .publishing import reference_path
from .run import read_metrics, values_of

# seconds on two cores that published artefacts save (their provenance's hardware); paid under FRESH=1
FRESH_SECONDS = {"01_descriptions": 900, "02_text_embeddings": 450, "05_recommendation": 3600, "06_ablations": 600}
MEMORY_GIB = 5
DISK_GIB = 3  # environment 1.9, model 0.65, the rest small


def plan(stale: list[str], llm: str, profile: str, datasets: list[str]) -> str:
    """What a run will do, what it will take, and which of the paper's data sets it leaves out and why.

    Args:
        stale: ``dataset/notebook`` of what is to be run. datasets: all that were asked for.
    """
    left_out = [f"  {name}: {mend}" for name, mend in missing_files().items() if name not in datasets]
    said = [_work(stale, llm, profile)]
    if left_out:
        said += ["Left out, since their raw files are not here:", *left_out]
    return "\n".join(said)


def _work(stale: list[str], llm: str, profile: str) -> str:
    lines, seconds = [], 0.0
    for name in stale:
        dataset, notebook = name.split("/")
        recorded = _recorded_seconds(dataset, llm, profile).get(notebook)
        if recorded is None:
            lines.append(f"  {name:<42} time unknown")
            continue
        recorded += FRESH_SECONDS.get(notebook, 0) if fresh() else 0
        seconds += recorded
        lines.append(f"  {name:<42} about {recorded:4.0f} s")
    if not stale:
        return "Nothing to run: every notebook is newer than what it depends on."
    free = shutil.disk_usage(ROOT).free / 2**30
    total = (
        f"Together about {seconds / 60:.0f} min on two cores (downloads not counted), at most {MEMORY_GIB} GiB of "
        f"memory, {DISK_GIB} GiB of disk ({free:.0f} GiB free). Answers that are in the cache cost nothing."
    )
    return "\n".join([f"To run, with the LLM {llm} and the profile {profile}:", *lines, total])


def _recorded_seconds(dataset: str, llm: str, profile: str) -> dict[str, float]:
    """Seconds that each notebook took when its values were first found with these settings."""
    metrics = read_metrics(dataset)
    if (metrics.get("llm"), metrics.get("profile")) != (llm, profile):
        return {}
    return {name: part["made"]["seconds"] for name, part in metrics["notebooks"].items()}


def compare(dataset: str) -> tuple[str, bool]:
    """A table of recorded and obtained values, and whether all that can be compared were reproduced."""
    metrics, path = read_metrics(dataset), reference_path(dataset)
    if not metrics:
        raise InputError(f"{dataset} has no metrics.json; run `make all DATASETS={dataset}` first")
    where = (
        f"notebooks: {_relative(output_root() / 'papermill_runs' / dataset)}/   "
        f"figures and tables: {_relative(output_root() / 'figures' / dataset)}/"
    )
    if not path.exists():
        return f"{dataset}: no reference values are recorded, so nothing to compare.\n{where}", True
    reference = json.loads(path.read_text(encoding="utf-8"))
    differing = [k for k, v in reference["settings"].items() if metrics[k] != v]
    if differing:
        said = ", ".join(f"{k} {metrics[k]} (recorded: {reference['settings'][k]})" for k in differing)
        return f"{dataset}: values are recorded for other settings, so nothing to compare: {said}.\n{where}", True
    obtained, rows, good = values_of(metrics), [], 0
    for name, (value, allowed) in reference["values"].items():
        new = obtained.get(name)
        same = new == value or (isinstance(new, int | float) and abs(new - value) <= allowed + 1e-9)
        good += same
        verdict = "reproduced" if same else "missing" if new is None else "NOT reproduced"
        rows.append(f"{name:<76} {_show(value):>12} {_show(new):>12} {allowed:>6g}  {verdict}")
    head = f"{dataset + ': value':<76} {'recorded':>12} {'obtained':>12} {'within':>6}"
    total = f"{dataset}: {good} of {len(rows)} recorded values reproduced"
    return "\n".join([head, *rows, total, where]), good == len(rows)


def _show(value) -> str:
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value}"


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def fill_readme(path: Path | None = None) -> str:
    """The README with every block between ``<!-- include FILE -->`` and ``<!-- end -->`` made anew from FILE."""
    path = path or ROOT / "README.md"

    def block(match: re.Match) -> str:
        source = ROOT / match[1]
        if not source.exists():
            raise InputError(f"README.md includes {match[1]}, which is not there; run `make all` first")
        return f"<!-- include {match[1]} -->\n{source.read_text(encoding='utf-8')}<!-- end -->"

    text = path.read_text(encoding="utf-8")
    return re.sub(r"<!-- include (\S+) -->\n.*?<!-- end -->", block, text, flags=re.S)


def finish(datasets: list[str]) -> bool:
    """Print the comparison of every data set. True if all is reproduced.

    The cache of a fresh run goes then, for the next fresh run to make everything anew; after values that were not
    reproduced it stays, to look at what differs without paying again.
    """
    all_good = True
    for dataset in datasets:
        said, good = compare(dataset)
        print(said, end="\n\n")
        all_good &= good
    if fresh() and all_good:
        for path in data_dir().glob("cache-fresh.sqlite*"):
            path.unlink()
        shutil.rmtree(data_dir() / "adapters-fresh", ignore_errors=True)
    return all_good
