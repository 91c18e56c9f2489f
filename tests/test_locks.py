import subprocess
import sys

import pytest

from rallrec.infra.files import ROOT, alone, workplace
from rallrec.runs import runner as runs

HOLDS = """
import sys, time
from pathlib import Path
from rallrec.infra.files import workplace
with workplace(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("written")
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "data"))


def holder(path, seconds: float) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path), str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_waits_for_the_first(tmp_path, capsys):
    first = holder(tmp_path / "thing", 1)
    with workplace(tmp_path / "thing") as folder:
        assert first.wait(timeout=30) == 0
        assert list(folder.iterdir()) == []
    assert "another process makes thing; waiting for it" in capsys.readouterr().out


def test_a_killed_process_holds_no_lock_and_its_leftovers_go(tmp_path, capsys):
    killed = holder(tmp_path / "thing", 600)
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.glob(".thing-*/half"))) == 1
    with workplace(tmp_path / "thing") as folder:
        assert list(tmp_path.glob(".thing-*")) == [folder]
    assert "waiting" not in capsys.readouterr().out


def test_other_names_do_not_wait(capsys):
    with alone("a"), alone("b"):
        pass
    assert capsys.readouterr().out == ""


def test_the_notebook_is_put_in_place_last(tmp_path, monkeypatch):
    """`make` takes it for the sign that all else is there."""
    staging = tmp_path / "staging"
    (staging / "figures").mkdir(parents=True)
    for name in ("metrics.json", "seconds.json", "01_descriptions.ipynb"):
        (staging / name).write_text("{}")
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    real = runs.os.replace

    def killed(source, target):
        if target.name == "metrics.json":
            raise KeyboardInterrupt
        real(source, target)

    put = (staging, "01_descriptions", "tiny", dict(LLM="tiny-random", PROFILE="smoke", SEED=0), 1.0)
    made = tmp_path / "papermill_runs" / "tiny" / "01_descriptions.ipynb"
    with monkeypatch.context() as m:
        m.setattr(runs.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            runs._put_in_place(*put)
    assert not made.exists()
    assert runs._put_in_place(*put) == made
    assert made.exists()
    assert list(runs.read_metrics("tiny")["notebooks"]) == ["01_descriptions"]
