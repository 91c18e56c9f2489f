"""The server backend against a real vLLM: `make serve` in one terminal, `make test-server` in another.

Prompts, texts and adapter are those of MovieLens-100K; the local model computes in float32, as the server does.
RALLREC_SERVER and RALLREC_EMBEDDINGS name other addresses. `make test-server WHOLE=1` runs notebook 05, too, some
9,500 prompts with the adapter: on a CPU with `make serve ADAPTER=ml-100k` and RALLREC_ADAPTED=http://127.0.0.1:8002/v1.
"""

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request

import numpy as np
import pytest

import rallrec as rr
from rallrec.infra.cache import Cache
from rallrec.infra.files import ROOT, published_dir
from rallrec.readers import prompts
from rallrec.readers.prompts import Details
from rallrec.runs.publishing import reference_path
from rallrec.runs.run import read_metrics, values_of
from rallrec.runs.runner import execute

os.environ["RALLREC_EMBEDDINGS"] = os.environ.get("RALLREC_EMBEDDINGS") or "http://127.0.0.1:8001/v1#smollm2-135m"
SERVER = os.environ.get("RALLREC_SERVER") or "http://127.0.0.1:8000/v1#smollm2-135m"
ADAPTER = published_dir() / "ml-100k" / "adapter"
N = 200


@pytest.fixture(scope="module")
def data(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RALLREC_DATA", str(ROOT / "data"))
        yield rr.load("ml-100k")


@pytest.fixture(scope="module")
def asked(data) -> list[str]:
    """Labelled prompts of the last ten, statistics told, as the adapter knows them."""
    split = rr.split(data)
    some = split.test.take(split.test.draw(N, 0))
    return prompts.build(rr.select(some, "recent", None, 10), details=Details(statistics=split)).texts


@pytest.fixture
def local(data, cache):
    return rr.language_model("smollm2-135m", device="cpu", dtype="float32", cache=cache)


@pytest.fixture
def remote(tmp_path):
    return rr.language_model(SERVER, cache=Cache(tmp_path / "remote.sqlite"))


def test_probabilities(local, remote, asked):
    difference = np.abs(remote.choose(asked) - local.choose(asked)).max()
    print(f"{N} prompts: largest difference of a probability {difference:.1e}")
    assert difference < 1e-3


def test_an_adapters_probabilities(local, remote, asked):
    difference = np.abs(remote.adapted(ADAPTER).choose(asked) - local.adapted(ADAPTER).choose(asked)).max()
    print(f"{N} prompts, adapter: largest difference of a probability {difference:.1e}")
    assert difference < 1e-3


def test_embeddings(local, remote, data):
    texts = rr.describe(data, local, rows=range(50))
    ours, theirs = local.embed(texts), remote.embed(texts)
    difference = np.abs(ours - theirs).max() / np.abs(ours).max()
    print(f"50 descriptions: largest difference of an embedding {difference:.1e} of its largest value")
    assert difference < 2e-3  # half precision


def test_greedy_text(local, remote, data):
    titles = [local.chat(f"Say one thing about {t}.") for t in data.items.title[:10]]
    turns = [remote.chat(f"Say one thing about {t}.") for t in data.items.title[:10]]
    same = sum(a == b for a, b in zip(local.generate(titles, 24), remote.generate(turns, 24), strict=True))
    print(f"{same} of 10 greedy texts are the same to the letter")
    assert same >= 8  # two tokens that are equally likely up to rounding part the ways


def test_several_samples_of_many_long_prompts_at_once(remote, asked):
    """As for answers with reasons: more tokens in flight than the server takes in one step, with a seed."""
    several = remote.sample(asked[:64], 4, 8)
    assert [len(texts) for texts in several] == [4] * 64
    assert max(len(set(texts)) for texts in several) > 1


def test_a_server_that_is_killed_and_comes_back(local, asked, data, tmp_path):
    """Costs time and nothing else: what it answered is kept, the rest waits for it."""
    port = 8010
    model = ROOT / "data" / "models" / "smollm2-135m"
    python = ROOT / ".venv-vllm" / "bin" / "python"
    if not python.exists():
        pytest.skip("make serve has not made .venv-vllm here")
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    command += ["--served-model-name", "smollm2-135m", "--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "2048"]

    def start():
        environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"}
        with open(tmp_path / "vllm.log", "a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def up() -> None:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                return
            except OSError:
                time.sleep(1)
        pytest.fail((tmp_path / "vllm.log").read_text()[-2000:])

    first, again = start(), []
    try:
        up()
        llm = rr.language_model(f"http://127.0.0.1:{port}/v1#smollm2-135m", cache=Cache(tmp_path / "killed.sqlite"))

        def blow() -> None:
            while llm.paid < N // 4:
                time.sleep(0.05)
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
            again.append(start())

        killer = threading.Thread(target=blow)
        killer.start()
        p = llm.choose(asked)
        killer.join()
        print(f"killed after {N // 4} of {N} answers, started again: {llm.paid} answers, each paid for once")
        assert llm.paid == N
        assert np.abs(p - local.choose(asked)).max() < 1e-3
    finally:
        for process in (first, *again):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(not os.environ.get("WHOLE"), reason="an hour or two on a CPU; WHOLE=1 runs it")
def test_notebook_05_gives_the_reference_values(monkeypatch):
    """Run again after it was stopped, it goes on where it was: answers are kept in the checkout's own cache."""
    monkeypatch.setenv("RALLREC_DATA", str(ROOT / "data"))
    monkeypatch.setenv("RALLREC_OUTPUT", str(ROOT / "data" / "server-run"))
    execute("05_recommendation", dict(DATASET="ml-100k", LLM=SERVER, PROFILE="quick", SEED=0))
    recorded = json.loads(reference_path("ml-100k").read_text(encoding="utf-8"))["values"]
    recorded = {name: value for name, value in recorded.items() if name.startswith("05_")}
    got = values_of(read_metrics("ml-100k"))
    off = {name: (value, got.get(name)) for name, (value, room) in recorded.items() if abs(got[name] - value) > room}
    for name, (value, ours) in off.items():
        print(f"{name}: recorded {value}, with the server {ours}")
    print(f"{len(recorded) - len(off)} of {len(recorded)} recorded values reproduced")
    assert all("reasons" in name for name in off)  # sampled: vLLM draws other texts
