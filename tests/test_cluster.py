"""Runs on several machines: the array of jobs, each with a data folder of its own, and their caches as one."""

import os
import signal
import subprocess
import sys
import time

import pytest

from rallrec import __main__ as command
from rallrec.infra import files
from rallrec.infra.cache import Cache, take_over
from rallrec.infra.files import ROOT, network_disk

SCRIPT = ROOT / "docs" / "slurm.sh"


@pytest.fixture
def job(tmp_path):
    """Starts a task of the array from the checkout's folder: ``job(n, **variables)``."""

    def start(task: int, **variables) -> subprocess.Popen:
        (tmp_path / "node").mkdir(exist_ok=True)
        (tmp_path / "raw").mkdir(exist_ok=True)
        own = dict(
            JOBS=tmp_path / "jobs", SCRATCH=tmp_path / "node", RALLREC_RAW=tmp_path / "raw", PYTHON=sys.executable
        )
        own |= dict(SLURM_ARRAY_TASK_ID=task) | variables
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment |= {name: str(value) for name, value in own.items()}
        return subprocess.Popen(
            ["bash", SCRIPT], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start


def program(path, text: str):
    """A program in the place of Python."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_tasks_are_all_pairs_of_data_sets_and_seeds(job, tmp_path):
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    asked = dict(DATASETS="ml-1m amazon-2023/Books", SEEDS="0 7", PYTHON="echo", PROFILE="full", READER="gemma3-270m")
    said = [job(task, **asked).communicate()[0].split("rallrec ")[1].strip() for task in range(4)]
    settings = "--llm smollm2-135m --reader gemma3-270m --profile full"
    assert said == [
        f"all {settings} --seed {seed} -- {dataset}" for dataset in ("ml-1m", "amazon-2023/Books") for seed in (0, 7)
    ]
    for line in said:
        args = command._parser().parse_args(line.split())
        assert (args.do, args.datasets) == (command._all, [line.split()[-1]])
    assert sorted(p.name for p in (tmp_path / "jobs").iterdir()) == [
        *("amazon-2023-Books-seed0", "amazon-2023-Books-seed7", "ml-1m-seed0", "ml-1m-seed7")
    ]
    assert not list((tmp_path / "node").iterdir())
    none = job(4, **asked)
    assert none.communicate()[0] == "there is no task 4: 2 data sets and 2 seeds make --array=0-3\n"
    assert none.returncode == 2


def test_a_job_says_what_it_would_do(job, tmp_path):
    plan = job(1, DATASETS="tiny", SEEDS="0 1", LLM="tiny-random", PROFILE="smoke", COMMAND="plan")
    said = plan.communicate()[0]
    assert plan.returncode == 0, said
    assert "tiny+tiny-random+smoke+seed1/01_descriptions" in said


def test_caches_of_jobs_become_one_and_a_job_goes_on_from_its_own(job, tmp_path):
    """Each job adds an answer to what it finds, as a run does."""
    python = program(
        tmp_path / "python",
        f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from rallrec.infra.cache import default_cache, key_of
cache, seed = default_cache(), sys.argv[sys.argv.index("--seed") + 1]
keys = [key_of(seed=seed, n=n) for n in range(9)]
n = sum(answer is not None for answer in cache.get(keys))
cache.put({{keys[n]: seed.encode()}})
print(n, "found")
""",
    )
    asked = dict(DATASETS="tiny", SEEDS="0 1", PYTHON=python)
    said = [job(task, **asked).communicate()[0] for task in (0, 1, 1)]
    assert said == ["0 found\n", "0 found\n", "1 found\n"]
    merged = Cache(tmp_path / "cache.sqlite")
    caches = sorted((tmp_path / "jobs").glob("*/cache.sqlite"))
    assert [take_over(merged, path) for path in caches] == [1, 2]
    assert [take_over(merged, path) for path in caches] == [0, 0]


def test_a_job_that_is_stopped_leaves_what_it_has(job, tmp_path):
    notes = """mkdir -p "$RALLREC_DATA/made/tiny"
echo '{"'"$RALLREC_DATA"'/adapters/a": "1", "/elsewhere": "2"}' > "$RALLREC_DATA/made/tiny/05.json"
echo answer > "$RALLREC_DATA/cache.sqlite"
"""
    slow = program(tmp_path / "slow", f"#!/bin/sh\n{notes}exec sleep 60\n")
    stopped = job(0, DATASETS="tiny", SEEDS="0", PYTHON=slow)
    written = tmp_path / "node"
    while not list(written.glob("*/cache.sqlite")):
        time.sleep(0.05)
        assert stopped.poll() is None
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(timeout=20) == 143
    assert (tmp_path / "jobs" / "tiny-seed0" / "cache.sqlite").read_text() == "answer\n"
    assert not list(written.iterdir())
    made = tmp_path / "jobs" / "tiny-seed0" / "made" / "tiny" / "05.json"
    noted = made.read_text()
    assert noted == f'{{"{ROOT}/data/adapters/a": "1", "/elsewhere": "2"}}\n'  # where it will lie
    reading = program(tmp_path / "reading", '#!/bin/sh\ngrep -c "$RALLREC_DATA/adapters/a" "$RALLREC_DATA"/made/*/*\n')
    assert job(0, DATASETS="tiny", SEEDS="0", PYTHON=reading).communicate()[0] == "1\n"
    assert made.read_text() == noted


def test_a_network_disk_is_told_where_it_bites(tmp_path, monkeypatch, capsys):
    mounts = tmp_path / "mounts"
    home = f"{tmp_path}/my\\040home"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/a {home} nfs4 rw 0 0\n/dev/sdb {home}/own xfs rw 0 0\n")
    assert network_disk(tmp_path / "my home" / "data", mounts) == "nfs4"
    assert network_disk(tmp_path / "my home" / "own" / "data", mounts) is None
    assert network_disk(tmp_path, mounts) is None
    assert network_disk(tmp_path, tmp_path / "none") is None
    monkeypatch.setattr(files, "network_disk", lambda path: "nfs4")
    monkeypatch.setattr("rallrec.runs.plan.plan", lambda *_, **__: "Nothing to run.")
    assert command.main(["plan", "tiny"]) == 0
    assert "is on a network's disk (nfs4): its cache is for one machine." in capsys.readouterr().out
