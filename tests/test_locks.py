import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rallrec.infra.files import ROOT, alone, workplace
from rallrec.runs import runner as runs
from rallrec.runs.place import Parameters
from rallrec.runs.stale import Now

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


@pytest.mark.parametrize("name", ["thing", "[thing]"])
def test_a_killed_process_holds_no_lock_and_its_leftovers_go(tmp_path, capsys, name):
    killed = holder(tmp_path / name, 600)
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.glob(".*/half"))) == 1
    with workplace(tmp_path / name) as folder:
        assert list(tmp_path.glob(".*")) == [folder]
    assert "waiting" not in capsys.readouterr().out


@pytest.mark.parametrize("other", ["thing-merged", "thin", "elsewhere/thing", "[thing]"])
def test_another_path_neither_waits_nor_loses_its_folder(tmp_path, capsys, other):
    first = holder(tmp_path / other, 30)
    (theirs,) = (tmp_path / other).parent.glob(".*")
    try:
        with workplace(tmp_path / "thing") as mine:
            assert (theirs / "half").read_text() == "written"
            assert mine.name.startswith(".thing-")
    finally:
        first.kill()
        first.wait()
    assert capsys.readouterr().out == ""


def test_the_same_path_told_otherwise_waits(tmp_path, capsys, monkeypatch):
    first = holder(tmp_path / "thing", 1)
    monkeypatch.chdir(tmp_path)
    with workplace(Path("thing")):
        assert first.wait(timeout=30) == 0
    assert "waiting" in capsys.readouterr().out


def test_another_data_folder_has_its_own_leftovers(tmp_path, monkeypatch):
    """Its locks say nothing about ours, so its folders may be live."""
    first = holder(tmp_path / "thing", 600)
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "other data"))
    try:
        with workplace(tmp_path / "thing"):
            assert len(list(tmp_path.glob(".thing-*/half"))) == 1
    finally:
        first.kill()
        first.wait()


def test_a_lock_within_itself_is_an_error_not_a_deadlock(tmp_path):
    with workplace(tmp_path / "thing") as folder:
        with pytest.raises(RuntimeError, match="already held"), workplace(tmp_path / "thing"):
            pass
        assert folder.exists()
    with workplace(tmp_path / "thing"):
        pass


def test_threads_wait_for_each_other(tmp_path):
    inside, most = [], []

    def work():
        with alone("thing"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert most == [1] * 4


def test_a_lock_that_cannot_be_written_is_told_at_once(tmp_path, monkeypatch):
    (tmp_path / "data" / "locks" / "thing").mkdir(parents=True)
    with pytest.raises(OSError, match="Is a directory") as caught, alone("thing"):
        pass
    assert caught.value.filename == str(tmp_path / "data" / "locks" / "thing")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path / "file"))
    with pytest.raises(OSError, match="Not a directory") as caught, alone("thing"):
        pass
    assert str(caught.value.filename).startswith(str(tmp_path / "file"))


def test_the_notebook_is_put_in_place_last(tmp_path, monkeypatch):
    """It is the sign that all else is there."""
    staging = tmp_path / "staging"
    (staging / "figures").mkdir(parents=True)
    for name in ("metrics.json", "01_descriptions.ipynb"):
        (staging / name).write_text("{}")
    (staging / "seconds.json").write_text('{"rows": {}, "paid": 0}')
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    now = Now(Parameters("tiny", llm="tiny-random"))
    real = runs.os.replace

    def killed(source, target):
        if target.name == "metrics.json":
            raise KeyboardInterrupt
        real(source, target)

    put = (staging, "01_descriptions", now, "", 1.0)
    made = tmp_path / "papermill_runs" / "tiny+tiny-random" / "01_descriptions.ipynb"
    with monkeypatch.context() as m:
        m.setattr(runs.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            runs._put_in_place(*put)
    assert not made.exists()
    assert runs._put_in_place(*put) == made
    assert made.exists()
    assert list(runs.read_metrics("tiny+tiny-random")["notebooks"]) == ["01_descriptions"]
