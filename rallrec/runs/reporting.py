"""What `make` says after a run: the comparison with recorded values, the generated parts of README and docs."""

import os
import re
import shutil
from pathlib import Path

from ..infra.errors import InputError
from ..infra.files import ROOT, data_dir, fresh
from .context import output_root
from .place import reference
from .run import read_metrics, values_of


def compare(place: str) -> tuple[str, bool]:
    """A table of recorded and obtained values, and whether all that can be compared were reproduced.

    Args:
        place: a folder of ``papermill_runs/``.

    Raises:
        InputError: there is no such folder.
    """
    metrics = read_metrics(place)
    if not metrics:
        raise InputError(f"papermill_runs/{place} has no metrics.json; run `make all` with these settings first")
    where = (
        f"notebooks: {_relative(output_root() / 'papermill_runs' / place)}/   "
        f"figures and tables: {_relative(output_root() / 'figures' / place)}/"
    )
    dataset = metrics["dataset"]
    recorded = reference(place) or reference(dataset)
    if not recorded:
        return f"{place}: no values are recorded for {dataset}, so nothing to compare.\n{where}", True
    settings = {"reader": None} | recorded["settings"]
    differing = [k for k, v in settings.items() if metrics.get(k) != v]
    if differing:
        said = ", ".join(f"{k} {metrics.get(k)} (recorded: {settings[k]})" for k in differing)
        return f"{place}: values are recorded for other settings, so nothing to compare: {said}.\n{where}", True
    obtained, rows, good = values_of(metrics), [], 0
    for name, (value, allowed) in recorded["values"].items():
        new = obtained.get(name)
        same = new == value or (isinstance(new, int | float) and abs(new - value) <= allowed + 1e-9)
        good += same
        verdict = "reproduced" if same else "missing" if new is None else "NOT reproduced"
        rows.append(f"{name:<76} {_show(value):>12} {_show(new):>12} {allowed:>6g}  {verdict}")
    head = f"{place + ': value':<76} {'recorded':>12} {'obtained':>12} {'within':>6}"
    total = f"{place}: {good} of {len(rows)} recorded values reproduced"
    return "\n".join([head, *rows, total, where]), good == len(rows)


def _show(value) -> str:
    return "–" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value}"


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def generated() -> list[Path]:
    """The pages that have parts made of figures' tables: the README and those of ``docs/``."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(page: Path) -> str:
    """A page with every block between ``<!-- include FILE -->`` and ``<!-- end -->`` made anew from FILE.

    FILE is named from the repository's root; its relative links, which fit its own folder, become those of the page's.

    Raises:
        InputError: a FILE is not there.
    """

    def block(match: re.Match) -> str:
        source = ROOT / match[1]
        if not source.exists():
            raise InputError(f"{page.name} includes {match[1]}, which is not there; run `make all` first")
        text = re.sub(
            LINK, lambda link: f"]({relinked(link[1], source.parent, page.parent)})", source.read_text("utf-8")
        )
        return f"<!-- include {match[1]} -->\n{text}<!-- end -->"

    return re.sub(r"<!-- include (\S+) -->\n.*?<!-- end -->", block, page.read_text(encoding="utf-8"), flags=re.S)


LINK = r"\]\(((?!https?:|#)[^)\s]+)\)"  # a relative one, in Markdown


def relinked(link: str, source: Path, target: Path) -> str:
    """A link relative to one folder, as relative to another."""
    return os.path.relpath(source / link, target).replace(os.sep, "/")


def finish(places: list[str]) -> bool:
    """Print the comparison of every place. True if all is reproduced.

    The cache of a fresh run goes then, for the next fresh run to make everything anew; after values that were not
    reproduced it stays, to look at what differs without paying again.
    """
    all_good = True
    for place in places:
        said, good = compare(place)
        print(said, end="\n\n")
        all_good &= good
    if fresh() and all_good:
        for path in data_dir().glob("cache-fresh.sqlite*"):
            path.unlink()
        shutil.rmtree(data_dir() / "adapters-fresh", ignore_errors=True)
    return all_good
