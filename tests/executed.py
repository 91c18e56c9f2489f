"""All notebooks executed for tests, on generated data."""

import hashlib
from pathlib import Path

from rallrec.runs.run import NOTEBOOKS
from rallrec.runs.runner import execute

PARAMETERS = dict(DATASET="tiny", PROFILE="smoke", LLM="tiny-random", SEED=0)
PLACE = "tiny+tiny-random+smoke"


def run_all(folder: Path, environment) -> dict[str, str]:
    """Digest of every output file, after a run of all notebooks."""
    environment.setenv("RALLREC_OUTPUT", str(folder))
    for notebook in NOTEBOOKS:
        execute(notebook, PARAMETERS)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
