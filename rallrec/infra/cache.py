"""Answers that were paid for once: a content-addressed store that survives being killed.

One SQLite file, because it gives what a cache needs and is easily got wrong by hand: atomic
commits, several processes of one machine at once, nothing half written is ever read. A commit does not wait for
the disk (a server's answers are committed one by one): a killed process loses nothing, a power cut the last
seconds. Every value carries a checksum, so a damaged row counts as missing. Published artefacts of the
repository are read as a second, read-only layer with the same keys. Published trainings come first: what was trained
on another processor differs in its last bits, and all that is made of it would be looked for under other keys.
"""

import hashlib
import io
import json
import shutil
import sqlite3
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import cache as memoise
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np

from .errors import InputError
from .files import data_dir, fresh, published_dir, workplace
from .noted import noted


def key_of(**inputs) -> str:
    """SHA-256 of named inputs: JSON values, arrays (by content), nested lists, tuples and dicts."""
    return hashlib.sha256(json.dumps(_plain(inputs), sort_keys=True).encode()).hexdigest()


def keys_of(texts: Iterable[str], **inputs) -> list[str]:
    """`key_of` the inputs with each of ``texts`` as their ``text``; what all have in common is written once."""
    before, after = json.dumps(_plain(inputs | dict(text="")), sort_keys=True).split('"text": ""')  # in a value: \\"
    begun = hashlib.sha256(f'{before}"text": '.encode())
    keys = []
    for text in texts:
        key = begun.copy()
        key.update(f"{json.dumps(text)}{after}".encode())
        keys.append(key.hexdigest())
    return keys


def _plain(value):
    if isinstance(value, np.ndarray):
        return {"array": digest(value), "shape": value.shape, "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def pack(arrays: Mapping[str, np.ndarray], compress: bool = False) -> bytes:
    """Named arrays as bytes (npz without pickle)."""
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack(blob: bytes) -> dict[str, np.ndarray]:
    """Inverse of `pack`."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as z:
        return dict(z)


def make_room(kept: dict[Hashable, np.ndarray], new: np.ndarray, most: int) -> None:
    """Drop the oldest of ``kept`` arrays until they and a ``new`` one have at most ``most`` bytes, or none is left."""
    while kept and sum(x.nbytes for x in kept.values()) + new.nbytes > most:
        del kept[next(iter(kept))]


class NotKept(Exception):
    """What is asked for within `only_kept` would have to be made."""


_ONLY_KEPT: ContextVar[bool] = ContextVar("only kept", default=False)


@contextmanager
def only_kept() -> Iterator[None]:
    """Within the block `Cache.arrays` raises `NotKept` rather than make anything."""
    token = _ONLY_KEPT.set(True)
    try:
        yield
    finally:
        _ONLY_KEPT.reset(token)


_NOTING: ContextVar[tuple[dict[str, str], ...]] = ContextVar("noting", default=())


@contextmanager
def noting(trainings: dict[str, str]) -> Iterator[None]:
    """Note what `Cache.arrays` is asked for within the block: in ``trainings``, the step by the key."""
    with _noting_in(*_NOTING.get(), trainings):
        yield


@contextmanager
def _noting_in(*trainings: dict[str, str]) -> Iterator[None]:
    """Note in these alone; without any, not at all."""
    token = _NOTING.set(trainings)
    try:
        yield
    finally:
        _NOTING.reset(token)


FAILURES = (sqlite3.Error, UnicodeDecodeError)  # the latter where sqlite's own message quotes the damage
OF_THE_DISK = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
)
WAITS = 120  # seconds for another process
_WRITES = threading.Lock()  # of two threads' batches on one connection, one would commit half of the other's
PAGE = 4096  # bytes; SQLite's default
TAKEN = 1000  # rows of another cache in one commit


class Cache:
    """A persistent map from keys to bytes.

    Args:
        path: the SQLite file, made on first use.
        published: a folder of published artefacts read as a second layer, or None.

    Attributes:
        paid: how many answers and trainings this process put into caches, so had to make.
    """

    paid = 0

    def __init__(self, path: Path, published: Path | None = None):
        self.path, self.published = Path(path), published

    @cached_property
    def _db(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # JupyterLab handles a knob in another thread than a cell; SQLite itself lets threads take turns
            db = sqlite3.connect(self.path, timeout=WAITS, check_same_thread=False)
            _to_wal(db)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB, checksum BLOB)")
            if db.execute("PRAGMA user_version").fetchone() == (0,):  # a new cache; else nothing is written
                db.execute("PRAGMA user_version = 1")
        except (*FAILURES, OSError) as e:
            raise self._refused("used", e) from e
        return db

    @cached_property
    def _published_answers(self) -> dict[str, bytes]:
        return read_published(self.published) if self.published else {}

    def _published_training(self, step: str, key: str) -> Path | None:
        return next(self.published.glob(f"*/{training_path(step, key)}"), None) if self.published else None

    def _refused(self, verb: str, e: Exception) -> InputError:
        """What to mend: the disk, or the cache itself."""
        of_the_disk = isinstance(e, OSError) or getattr(e, "sqlite_errorcode", 0) & 0xFF in OF_THE_DISK
        mend = (
            "free some space or mend its folder" if of_the_disk else "`python -m rallrec salvage` keeps what is sound"
        )
        return InputError(f"the cache {self.path} can't be {verb} ({e}): {mend}; then run again")

    def get(self, keys: Iterable[str]) -> list[bytes | None]:
        """The value of each key; None where there is none (or where it is damaged)."""
        return [self._published_answers.get(key) if own is None else own for key, own in self._own(keys)]

    def _own(self, keys: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
        """Each key with its sound value in this cache itself, without what is published."""
        for key in keys:
            try:
                row = self._db.execute("SELECT value, checksum FROM answers WHERE key = ?", (key,)).fetchone()
            except FAILURES as e:
                raise self._refused("read", e) from e
            yield key, row[0] if row and _sound(key, *row) else None

    def put(self, answers: Mapping[str, bytes]) -> None:
        """Store all of ``answers`` or, if killed meanwhile, none of them."""
        Cache.paid += len(answers)
        self._put(answers)

    def _put(self, answers: Mapping[str, bytes]) -> None:
        try:
            with _WRITES, self._db:
                rows = [(k, v, _checksum(k, v)) for k, v in answers.items()]
                self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
        except FAILURES as e:
            raise self._refused("written", e) from e

    def forget(self, key: str) -> None:
        """Drop one answer."""
        try:
            with _WRITES, self._db:
                self._db.execute("DELETE FROM answers WHERE key = ?", (key,))
        except FAILURES as e:
            raise self._refused("written", e) from e

    def holds(self, inputs: Mapping) -> bool:
        """Whether `arrays` would find what it is asked for."""
        key, step = key_of(**inputs), inputs.get("step", "arrays")
        return self._published_training(step, key) is not None or self.get([key]) != [None]

    def arrays(self, inputs: Mapping, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The arrays that ``make()`` gives for ``inputs``: published, computed before, or computed now.

        Args:
            inputs: all that they depend on, for `key_of`; ``step``, a word, is the name of what makes them.
        """
        return self._arrays(key_of(**inputs), inputs.get("step", "arrays"), make)

    def named(
        self,
        step: str,
        name: Mapping | None,
        inputs: Callable[[], Mapping],
        make: Callable[[Mapping], Mapping[str, np.ndarray]],
    ) -> dict[str, np.ndarray]:
        """`arrays` of inputs that themselves take long to make: once their key is kept, they are not made again.

        Args:
            name: all that the inputs depend on, for `key_of`; None where that is not known.
            inputs: makes them. make: makes the arrays of them.
        """
        made = memoise(lambda: dict(inputs(), step=step))
        if name is None:
            key = key_of(**made())
        else:
            named = dict(step="key", of=step, name=name)
            key = str(self.small(named, lambda: dict(key=np.array(key_of(**made()))))["key"])
        return self._arrays(key, step, lambda: make(made()))

    def _arrays(self, key: str, step: str, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        for trainings in _NOTING.get():
            trainings[key] = step
        if path := self._published_training(step, key):
            return read_training(noted(path))
        (blob,) = self.get([key])
        if blob is None:
            if _ONLY_KEPT.get():
                raise NotKept(step)
            with _noting_in():  # what is asked for on the way stands in what is made
                blob = pack(make())
            self.put({key: blob})
        return unpack(blob)

    def small(self, inputs: Mapping, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """`arrays` of what is no training, but takes longer to make than to read: compressed, and never published."""
        key = key_of(**inputs)
        (blob,) = self.get([key])
        if blob is None:
            blob = pack(make(), compress=True)
            self._put({key: blob})
        return unpack(blob)


def _checksum(key: str, value: bytes) -> bytes:
    """Of a row: the key, too, since a damaged index leads to the row of another."""
    return hashlib.blake2b(key.encode() + value, digest_size=8).digest()


def _to_wal(db: sqlite3.Connection) -> None:
    """Switch to a log of commits; SQLite does not wait by itself while another process does the same."""
    until = time.monotonic() + WAITS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _sound(key, value, checksum) -> bool:
    """Whether a row is what was put; a flipped bit can make a text or a number of what was bytes."""
    return isinstance(key, str) and isinstance(value, bytes) and _checksum(key, value) == checksum


def is_sound(path: Path) -> int | None:
    """How many answers a cache holds, if every one of them is sound; None of a damaged one."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT key, value, checksum FROM answers")
            n = 0
            for row in rows:
                if not _sound(*row):
                    return None
                n += 1
            return n if db.execute("PRAGMA integrity_check").fetchone() == ("ok",) else None
    except FAILURES:
        return None


def salvage(path: Path) -> int:
    """Move the sound answers of a damaged cache into a new one in its place, and say how many there are.

    They are read from a copy that has the first page of an empty cache: it says where the table is, the same in each.
    Rows are asked for by their number, one at a time: a damaged page costs the rows that lie on it or, in the tree
    of pages, below it. The damaged files stay, named ``….damaged``. No run may be going meanwhile.
    """
    files = {end: Path(f"{path}{end}") for end in ("", "-wal", "-shm") if Path(f"{path}{end}").exists()}
    if "" not in files:
        raise InputError(f"there is no cache {path}, so nothing to salvage")
    most = sum(file.stat().st_size for file in files.values()) // 32  # a key has 64 bytes; replaced rows leave gaps
    with workplace(path) as tmp:
        empty, new, copy = Cache(tmp / "empty"), Cache(tmp / path.name), tmp / "copy"
        empty._db.close()
        for end in files.keys() - {"-shm"}:
            shutil.copyfile(files[end], f"{copy}{end}")
        with open(copy, "r+b") as f:
            first = empty.path.read_bytes()[:PAGE]
            f.write(first[:28] + bytes(4) + first[32:])  # 28 to 31: how many pages, 0 for as long as the file is
        old, answers = sqlite3.connect(copy), {}
        for number in range(1, most + 1):
            try:
                row = old.execute("SELECT key, value, checksum FROM answers WHERE rowid = ?", (number,)).fetchone()
            except FAILURES:
                continue
            if row and _sound(*row):
                answers[row[0]] = row[1]
        old.close()
        new.put(answers)
        new._db.close()
        for end, file in files.items():
            file.rename(f"{path}.damaged{end}")
        new.path.rename(path)
    return len(answers)


def take_over(cache: Cache, path: Path) -> int:
    """Put into a cache what another one holds and it lacks, and say how many answers that were.

    Caches of several machines become one in this way. Damaged rows are left behind; what both hold stays as it is.

    Args:
        path: the other one's file. No run may be going on it.

    Raises:
        InputError: there is no such file, it is the cache itself, or it is no sound cache.
    """
    if not path.is_file():
        raise InputError(f"there is no cache {path}")
    if cache.path.exists() and path.samefile(cache.path):
        raise InputError(f"{path} is the cache of this checkout itself; name another machine's")
    taken = 0
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as other:
            rows = other.execute("SELECT key, value, checksum FROM answers")
            while some := rows.fetchmany(TAKEN):
                sound = {row[0]: row[1] for row in some if _sound(*row)}
                missing = {key: sound[key] for key, own in cache._own(sound) if own is None}
                cache.put(missing)
                taken += len(missing)
    except FAILURES as e:
        raise InputError(f"{path} can't be read as a cache ({e}); copy it again, with its -wal file") from e
    return taken


@memoise
def default_cache() -> Cache:
    """The cache of this checkout; under ``RALLREC_FRESH`` an empty one that sees nothing published."""
    if fresh():
        return Cache(data_dir() / "cache-fresh.sqlite")
    return Cache(data_dir() / "cache.sqlite", published_dir())


def read_published(folder: Path) -> dict[str, bytes]:
    """Every answer published in the folders under ``folder``."""
    answers = {}
    for path in sorted(folder.glob("*/")):
        answers |= read_folder(path)
    return answers


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every answer published for one data set: texts (``*.jsonl``) and rows of numbers (``*.npz``)."""
    answers = {}
    for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.npz")]):
        try:
            answers |= _texts(path) if path.suffix == ".jsonl" else _rows(path)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zipfile.BadZipFile) as e:
            raise InputError(f"{path} is damaged ({e}); `git checkout` of this file brings it back") from e
    return answers


def training_path(step: str, key: str) -> Path:
    """Where a data set's folder of published artefacts holds what a step made under a key."""
    return Path("trained", f"{step}-{key}.npz")


def read_training(path: Path) -> dict[str, np.ndarray]:
    """The arrays of one published training."""
    try:
        return unpack(path.read_bytes())
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        raise InputError(f"{path} is damaged ({e}); `git checkout` of this file brings it back") from e


def _texts(path: Path) -> dict[str, bytes]:
    with open(path, encoding="utf-8") as f:  # not str.splitlines, which breaks a text at other characters, too
        entries = [json.loads(line) for line in f]
    return {entry["key"]: entry["answer"].encode() for entry in entries}


def _rows(path: Path) -> dict[str, bytes]:
    with np.load(path, allow_pickle=False) as z:
        return {bytes(key).hex(): row.tobytes() for key, row in zip(z["keys"], z["rows"], strict=True)}
