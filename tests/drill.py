"""`make drill`: the whole run on generated data, killed, crowded, on broken disks, and on another processor.

    python tests/drill.py              all drills
    python tests/drill.py kill 20      one of them (kill: that many times)
    python tests/drill.py kill 5 ml-100k quick smollm2-135m
    python tests/drill.py jobs 'tiny ml-100k'
    python tests/drill.py prompts ml-100k quick smollm2-135m
    python tests/drill.py processors ml-100k quick smollm2-135m

Each drill works in a copy of the checkout. It ends well if the run does and its outputs are those of
an undisturbed run, byte for byte, or if it stops with one line that says why. Another processor rounds otherwise:
there the LLM is to be asked the same, and the recorded values are to be within their tolerances.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from rallrec.pipeline import STEPS, Choice, Study
from rallrec.readers.prompts import Details, build
from rallrec.representations.mixture import REPRESENTATIONS
from rallrec.retrieval.selectors import SELECTORS
from rallrec.runs.place import Parameters
from rallrec.runs.run import values_of

ROOT = Path(__file__).resolve().parent.parent
COMMIT = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()  # whatever comes meanwhile
WATCH = """
CREATE TABLE answers (key TEXT PRIMARY KEY, value BLOB, checksum BLOB);
CREATE TABLE paid (key TEXT, kind TEXT);
CREATE TRIGGER watch AFTER INSERT ON answers BEGIN
    INSERT INTO paid VALUES (new.key, CASE WHEN substr(new.value, 1, 2) = x'504B' THEN 'arrays' ELSE 'answer' END);
END;
"""


# what makes the libraries compute as on a processor without AVX: torch, oneDNN, MKL, OpenBLAS, numpy, FAISS, libm
NO_AVX = dict(
    ATEN_CPU_CAPABILITY="default",
    ONEDNN_MAX_CPU_ISA="SSE41",
    MKL_CBWR="COMPATIBLE",
    OPENBLAS_CORETYPE="Prescott",
    NPY_DISABLE_CPU_FEATURES=" ".join(np._core._multiarray_umath.__cpu_dispatch__),
    FAISS_OPT_LEVEL="generic",
    GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-FMA,-FMA4",
)
NOTEBOOKS = ("05_recommendation", "06_ablations")  # those that ask the LLM to choose


class Copy:
    """A copy of the checkout's tracked files, with its own data folder, that runs with this Python."""

    def __init__(self, folder: Path, dataset: str = "tiny", profile: str = "smoke", llm: str = "tiny-random", **others):
        self.folder = folder
        self.places = [name + Parameters(name, llm, profile, **others).suffix for name in dataset.split()]
        subprocess.run(["git", "clone", "-qn", str(ROOT), str(folder)], check=True)
        subprocess.run(["git", "checkout", "-q", COMMIT], cwd=folder, check=True)
        self.settings = [f"--dataset={dataset}", f"--profile={profile}", f"--llm={llm}"]
        self.settings += [f"--{name}={value}" for name, value in others.items()]
        self.variables = [f"PYTHON={sys.executable}", f"DATASETS={dataset}", f"PROFILE={profile}", f"LLM={llm}"]
        self.environment = os.environ | {"PYTHONPATH": str(folder)}
        for made in self.made():
            shutil.rmtree(made, ignore_errors=True)
        (folder / "data").mkdir()
        for name in ("models", "raw"):  # downloads are no part of a drill
            if (ROOT / "data" / name).exists():
                (folder / "data" / name).symlink_to(ROOT / "data" / name)

    def made(self) -> list[Path]:
        """The folders that a run writes to."""
        return [self.folder / kind / name for kind in ("papermill_runs", "figures") for name in self.places]

    @property
    def cache(self) -> Path:
        return self.folder / "data" / "cache.sqlite"

    def cache_files(self) -> list[Path]:
        """The cache, and its log of commits where there is one."""
        return sorted(self.cache.parent.glob(f"{self.cache.name}*"))

    def watch(self) -> None:
        """Write down each answer that is put into the cache."""
        with sqlite3.connect(self.cache) as db:
            db.executescript(WATCH)

    def paid(self, kind: str = "answer") -> list[str]:
        with sqlite3.connect(self.cache) as db:
            return [key for (key,) in db.execute("SELECT key FROM paid WHERE kind = ?", (kind,))]

    def start(self, *goal: str) -> subprocess.Popen:
        """Begin `make`, with ``goal`` for targets and variables."""
        return subprocess.Popen(
            ["make", "--no-print-directory", *self.variables, *(goal or ["reproduce"])],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *goal: str) -> tuple[int, str]:
        process = self.start(*goal)
        said, _ = process.communicate()
        return process.returncode, said

    def rallrec(self, *arguments: str, **environment: str) -> None:
        """Run a command of the package with the copy's settings."""
        command = [sys.executable, "-m", "rallrec", *arguments, *self.settings]
        subprocess.run(command, cwd=self.folder, env=self.environment | environment, check=True)

    def outputs(self) -> dict[str, str]:
        """Digest of every output; of ``metrics.json`` without its clocks."""
        out = {}
        for folder in self.made():
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    content = path.read_bytes()
                    if path.name == "metrics.json":
                        content = json.dumps(untimed(json.loads(content))).encode()
                    out[str(path.relative_to(self.folder))] = hashlib.sha256(content).hexdigest()
        return out

    def begin_again(self) -> None:
        """Delete the executed notebooks; what is in the cache stays."""
        for path in (p for folder in self.made() for p in folder.glob("*.ipynb")):
            path.unlink()


def untimed(metrics):
    """Metrics without when, where and how fast they were made."""
    if not isinstance(metrics, dict):
        return metrics
    return {key: untimed(value) for key, value in metrics.items() if key != "made"}


def lines_of(said: str) -> list[str]:
    """The lines of the error that a run ended with, make's own left out."""
    return [line for line in said.splitlines() if line.startswith("rallrec: ") or "Traceback" in line]


def ended(code: int, said: str) -> str | None:
    """None if the run ended well; else the one line that it ended with, without a traceback."""
    lines = lines_of(said)
    assert "Traceback" not in said, said
    assert code == 0 or len(lines) == 1, said
    return lines[0] if code else None


def check_outputs(copy: Copy, calm: Copy, lost: bool = False) -> None:
    """Every output of ``copy`` is that of ``calm``, byte for byte; if answers were ``lost``, CSVs within 1e-7.

    A lost answer is asked again in a batch with others, and may have another last bit, of which a fit makes a few more.
    """
    got, wanted = copy.outputs(), calm.outputs()
    differ = [name for name in sorted(got | wanted) if got.get(name) != wanted.get(name)]
    if lost:
        differ = [name for name in differ if not _same_numbers(copy.folder / name, calm.folder / name)]
    assert not differ, f"{len(differ)} outputs differ: {', '.join(differ)}"


def _same_numbers(got: Path, wanted: Path) -> bool:
    """Whether two CSVs have the same texts, and the same numbers within 1e-7."""
    if got.suffix != ".csv" or not (got.exists() and wanted.exists()):
        return False
    try:
        pd.testing.assert_frame_equal(pd.read_csv(got), pd.read_csv(wanted), check_exact=False, rtol=0, atol=1e-7)
    except AssertionError:
        return False
    return True


@cache
def undisturbed(folder: Path, *of: str) -> tuple[Copy, float]:
    """A run that nothing befalls, to compare with, and the seconds it took."""
    calm = Copy(folder / "-".join(["calm", *of]).replace(" ", "-"), *of)
    calm.watch()
    began = time.monotonic()
    code, said = calm.run()
    assert code == 0, said
    return calm, time.monotonic() - began


def kill(folder: Path, times: int = 20, *of: str) -> str:
    """Kill until it happened ``times`` times; a run that gets through all the same is compared, and the next begun."""
    calm, whole = undisturbed(folder, *of)
    rng, moments, runs = random.Random(0), [], 0
    while len(moments) < times:
        copy, runs = Copy(folder / f"killed-{runs}", *of), runs + 1
        copy.watch()
        while True:
            process, moment = copy.start(), rng.uniform(0.02, 0.5) * whole
            try:
                said, _ = process.communicate(timeout=moment if len(moments) < times else None)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                moments.append(round(moment, 1))
        assert process.returncode == 0, said
        check_outputs(copy, calm)
        paid = copy.paid()
        assert len(paid) == len(set(paid)), f"{len(paid) - len(set(paid))} answers were paid for twice"
        assert set(paid) == set(calm.paid())
    return (
        f"{runs} runs of {whole:.0f} s, killed {times} times, {moments} s after their (new) start; each then gave the "
        f"same {len(calm.outputs())} outputs with {len(calm.paid()):,} answers of the LLM paid once each"
    )


def twice(folder: Path) -> str:
    copy = Copy(folder / "twice")
    copy.watch()
    both = [copy.start(), copy.start()]
    said = [p.communicate()[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    check_outputs(copy, undisturbed(folder)[0])
    paid = copy.paid()
    assert len(paid) == len(set(paid)), "answers were paid for twice"
    return (
        f"two runs at once: both end well, {len(copy.outputs())} outputs as those of one run, "
        f"{len(paid):,} answers of the LLM paid once each"
    )


def jobs(folder: Path, *of: str) -> str:
    """A process a data set, at once."""
    of = of or ("tiny ml-100k",)
    copy = Copy(folder / "jobs", *of)
    both = [copy.start("runs", f"DATASETS={name}") for name in of[0].split()]
    said = [p.communicate()[0] for p in both]
    assert not any(p.returncode for p in both), said
    check_outputs(copy, undisturbed(folder, *of)[0])
    return f"make runs of {' and '.join(of[0].split())} at once: the same {len(copy.outputs())} outputs"


def full(folder: Path) -> str:
    """``data/`` on a file system of a few megabytes."""
    copy, said_at = Copy(folder / "full"), []
    disk = copy.folder / "data"
    links = {p.name: p.resolve() for p in disk.iterdir()}
    for size in ("64k", "256k", "1m"):
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "rallrec", str(disk)]).returncode:
            return "a full disk: skipped, nothing may be mounted here"
        try:
            for name, target in links.items():
                (disk / name).symlink_to(target)
            code, said = copy.run()
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        said_at.append(f"{size}: {ended(code, said) or 'enough'}")
    code, said = copy.run()
    assert code == 0, said
    return "a full disk: " + "; ".join(said_at) + "; with space again the run ends well"


def read_only(folder: Path) -> str:
    copy = Copy(folder / "read-only")
    assert copy.run()[0] == 0
    copy.begin_again()
    disk = copy.folder / "data"
    if subprocess.run(["mount", "--bind", str(disk), str(disk)]).returncode:
        return "a read-only cache: skipped, nothing may be mounted here"
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(disk)], check=True)
        code, said = copy.run()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return f"a read-only data folder: {ended(code, said) or 'ends well, from what is cached'}"


def flipped(folder: Path) -> str:
    """Flipped bits in the cache; where a run can't read it, what is sound of it is salvaged as its line says."""
    copy, calm = Copy(folder / "flipped"), undisturbed(folder)[0]
    assert copy.run()[0] == 0
    rng, ends = random.Random(0), []
    for n in (1, 10, 100, 1000):
        for path in copy.cache_files():
            content = bytearray(path.read_bytes())
            for _ in range(n if content else 0):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(content)
        copy.begin_again()
        if line := ended(*copy.run()):
            salvage = [sys.executable, "-m", "rallrec", "salvage"]
            kept = subprocess.run(salvage, cwd=copy.folder, env=copy.environment, check=True, capture_output=True)
            line += f" ({kept.stdout.decode().split(';')[0]})"
            assert ended(*copy.run()) is None
        check_outputs(copy, calm, lost=True)
        ends.append(f"{n} flipped: {line or 'nothing said'}")
    return f"a cache with flipped bytes: {'; '.join(ends)}; the same outputs each time"


# --- another processor ---------------------------------------------------------------------------


def all_prompts(dataset: str = "tiny", profile: str = "smoke", llm: str = "tiny-random") -> dict:
    """Digests of the prompts of every representation and selector, of all that they are made with, and of a product.

    The product is a plain one in float32: it differs on a processor that rounds otherwise.
    """
    study = Study.of(dataset, llm, profile)
    details, digests = Details(statistics=study.split), {}
    for name in SELECTORS:
        for items in list(REPRESENTATIONS) if SELECTORS[name].reads_items else [""]:
            choice = Choice(selector=name, reader="llm", **({"representation": items} if items else {}))
            texts = [t for part in ("test", "valid") for t in _texts(study, choice, part, details)]
            digests[f"{items or '-'}, {name}"] = _digest("\n".join(texts).encode())
    parts = {name: _digest(study[name].tobytes()) for name in STEPS}
    x = np.random.default_rng(0).normal(size=(99, 999)).astype(np.float32)
    return dict(prompts=digests, parts=parts, trained=study.trained, paid=study.llm.paid, product=_digest(x @ x.T))


def _texts(study: Study, choice: Choice, part: str, details: Details) -> list[str]:
    return build(study.shown(choice, study.asked(part)), "labelled", study.llm, details).texts


def _digest(content) -> str:
    return hashlib.sha256(content).hexdigest()


def prompts_on(environment: dict[str, str], *of: str) -> dict:
    """What `all_prompts` gives in an environment."""
    command = [sys.executable, "-W", "ignore", __file__, "all_prompts", *of]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    given = os.environ | {"PYTHONPATH": paths} | environment
    said = subprocess.run(command, env=given, check=True, capture_output=True, text=True).stdout
    return json.loads(said.splitlines()[-1])


def prompts(folder: Path, *of: str) -> str:
    """All prompts here and without AVX; what is trained for the first of them the second finds in the cache."""
    data = {"RALLREC_DATA": str(folder / "data")}
    (folder / "data").mkdir(exist_ok=True)
    for name in ("models", "raw"):
        if (ROOT / "data" / name).exists():
            (folder / "data" / name).symlink_to(ROOT / "data" / name)
    here, there = prompts_on(data, *of), prompts_on(data | NO_AVX, *of)
    assert here["product"] != there["product"], "the environment changes no rounding"
    for what in ("parts", "trained", "prompts"):
        differ = [name for name in here[what] | there[what] if here[what].get(name) != there[what].get(name)]
        assert not differ, f"{what} differ: {', '.join(differ)}"
    assert not there["paid"], f"the LLM was asked {there['paid']} times without AVX"
    return f"prompts of {len(here['prompts'])} ways to choose a history: the same here and without AVX"


def processors(folder: Path, *of: str) -> str:
    """Notebooks 05 and 06 here and without AVX, each from a fresh clone with what is published.

    Of data of which nothing is published, the second has what the first one publishes.

    Args:
        of: data set, profile, LLM, and the reader where it is another one.
    """
    of, others = of[:3], {"reader": of[3]} if of[3:] else {}
    here, there = Copy(folder / "here", *of, **others), Copy(folder / "there", *of, **others)
    dataset = here.settings[0].partition("=")[2]
    for copy, environment in ((here, {}), (there, NO_AVX)):
        copy.watch()
        for notebook in NOTEBOOKS:
            copy.rallrec("run", notebook, **environment)
        if copy is here and not (copy.folder / "published" / dataset).exists():
            copy.rallrec("publish", "--seed=0")
            shutil.copytree(copy.folder / "published" / dataset, there.folder / "published" / dataset)
    said = [f"{dataset}: {len(here.paid()):,} answers of the LLM paid here, {len(there.paid()):,} without AVX"]
    for name in NOTEBOOKS:
        first, second = (set((c.folder / "data" / "asked" / f"{c.places[0]}-{name}").open()) for c in (here, there))
        said.append(f"{name}: {len(first):,} things asked or trained; {len(first ^ second)} of them differ")
        assert first == second, "\n".join([*said, *sorted(first ^ second)][:20])
    assert not there.paid(), "\n".join(said)
    outputs = [copy.outputs() for copy in (here, there)]
    kinds = Counter(Path(name).suffix for name, digest in outputs[0].items() if outputs[1].get(name) != digest)
    said.append(f"of {len(outputs[0])} outputs {kinds.total()} differ in some byte: {dict(kinds)}")
    one, other = (values_of(json.loads((c.made()[0] / "metrics.json").read_text("utf-8"))) for c in (here, there))
    apart = [name for name in one if one[name] != other.get(name)]
    said.append(f"{len(one)} values, {len(apart)} of them differ:")
    said += [f"  {name}: {one[name]}, without AVX {other.get(name)}" for name in apart]
    recorded = there.folder / "published" / dataset / "reference.json"
    rooms = json.loads(recorded.read_text("utf-8"))["values"] if recorded.exists() else {}
    missed = [name for name in one.keys() & rooms if abs(other.get(name, np.inf) - rooms[name][0]) > rooms[name][1]]
    assert not missed, "\n".join([*said, f"not reproduced: {', '.join(missed)}"])
    return "\n".join(said)


DRILLS = dict(kill=kill, twice=twice, jobs=jobs, full=full, read_only=read_only, flipped=flipped)
DRILLS |= dict(prompts=prompts, processors=processors)


def main() -> None:
    name, *arguments = sys.argv[1:] or [None]
    if name == "all_prompts":  # of `prompts_on`
        print(json.dumps(all_prompts(*arguments)))
        return
    with tempfile.TemporaryDirectory(prefix="rallrec-drill-") as tmp:
        for drill in [DRILLS[name]] if name else DRILLS.values():
            print(drill(Path(tmp), *(int(a) if a.isdecimal() else a for a in arguments)), flush=True)


if __name__ == "__main__":
    main()
