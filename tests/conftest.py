"""Tests keep their data to themselves; only those marked by the `real` fixtures use the checkout's."""

import os
import shutil
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
_DATA = tempfile.TemporaryDirectory(prefix="rallrec-tests-")
REAL_DATA = os.environ.get("RALLREC_DATA")
os.environ["RALLREC_DATA"] = _DATA.name
os.environ.pop("RALLREC_FRESH", None)

import rallrec as rr  # noqa: E402
from rallrec.infra.cache import Cache  # noqa: E402
from rallrec.llm.local import LocalModel  # noqa: E402

from .executed import run_all  # noqa: E402
from .studies import study_of  # noqa: E402

LONG = ("test_degenerate", "test_full_profile", "test_reruns", "test_overview")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Under pytest-xdist a file's tests share a process, and so do all that read what the notebooks left on generated
    data: they are run once. The groups that take longest begin."""
    names = {item: "outputs" if "outputs" in item.fixturenames else item.path.stem for item in items}
    order = {name: n for n, name in enumerate(("outputs", *LONG))}
    items.sort(key=lambda item: order.get(names[item], len(order)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(names[item]))


@pytest.fixture(scope="session")
def tiny():
    return rr.load("tiny")


@pytest.fixture(scope="session")
def tiny_split(tiny):
    return rr.split(tiny)


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache.sqlite")


@pytest.fixture
def llm(cache) -> LocalModel:
    """A tiny, randomly initialised model with an empty cache."""
    return rr.language_model("tiny-random", device="cpu", cache=cache)


@pytest.fixture
def embedding(tiny) -> np.ndarray:
    """Random item embeddings, float32 [n_items, 12]."""
    return np.random.default_rng(3).normal(size=(tiny.n_items, 12)).astype(np.float32)


@pytest.fixture
def real_data(monkeypatch) -> Path:
    """The checkout's own data folder, where downloads and the default LLM are kept."""
    if REAL_DATA is None:
        monkeypatch.delenv("RALLREC_DATA")
    else:
        monkeypatch.setenv("RALLREC_DATA", REAL_DATA)


@pytest.fixture(scope="session")
def outputs(tmp_path_factory):
    """The folder of all notebooks executed on generated data, and the digests of its files after each of two runs."""
    folder = tmp_path_factory.mktemp("outputs")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_DATA", str(folder.with_name("data-of-the-runs")))
        runs = run_all(folder, environment), run_all(folder, environment)
    return folder, *runs


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, on PATH or Playwright's own: one for all, since a process can have one Playwright."""
    from playwright.sync_api import Error, sync_playwright

    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error:
            pytest.exit("no Chromium here; `.venv/bin/python -m playwright install chromium` gets one", returncode=2)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def study(tiny_split, tmp_path_factory):
    """A study of a module's own, with a data folder of its own."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_DATA", str(folder))
        yield study_of(tiny_split, folder)
