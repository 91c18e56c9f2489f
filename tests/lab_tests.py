"""The lab as a user has it: JupyterLab at a copy of the notebook, in a headless Chromium.

`make test` does not collect it. The data set is ``tiny``, unless ``LAB_DATASET`` names
another: then seconds are printed, too.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from rallrec.infra.files import ROOT
from rallrec.runs.copies import copy_notebooks

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
DATASET = os.environ.get("LAB_DATASET", "tiny")
OPENED = 'rr.lab("tiny", "tiny-random", profile_name="smoke")' if DATASET == "tiny" else f'rr.lab("{DATASET}")'
PICTURES = os.environ.get("LAB_PICTURES")  # a folder for screenshots
WAIT = 120_000  # ms, on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """JupyterLab at a folder of copies whose first notebook opens `DATASET`."""
    folder = tmp_path_factory.mktemp("lab")
    copy_notebooks(folder)
    path = folder / "00_lab.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = re.sub(r'rr\.lab\("ml-100k"\)', OPENED, "".join(cell["source"]))
    path.write_text(json.dumps(notebook), encoding="utf-8")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "IPYTHONDIR": str(home / "ipython")}
    environment |= {"JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "PYTHONPATH": str(ROOT)}
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)  # without its question, which stands before the figure
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    options = f"--no-browser --port={port} --IdentityProvider.token= --ServerApp.password= --allow-root".split()
    command = [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={folder}"]
    with open(home / "log", "w") as log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            until = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api")
                    break
                assert time.monotonic() < until, (home / "log").read_text()
                time.sleep(0.3)
            yield f"http://127.0.0.1:{port}/lab/tree/00_lab.ipynb"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def page(server, chromium):
    """The notebook, opened, with a kernel."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(server)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=WAIT)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", timeout=WAIT)
    yield page
    picture(page, "last")
    page.close()


def run(page, n: int) -> None:
    """Run the n-th code cell, counted from 0; again, where the notebook was not ready to take the keys."""
    cell = page.locator(".jp-CodeCell").nth(n)
    cell.scroll_into_view_if_needed()
    for _ in range(5):
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        with contextlib.suppress(playwright.TimeoutError):
            cell.locator(".jp-InputPrompt", has_text=re.compile(r"\[[*\d]+\]")).wait_for(timeout=5000)
            return
    raise AssertionError(f"cell {n} does not run")


def picture(page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{DATASET}-{name}.png")


def settled(page, before: str) -> float:
    """Seconds until the sentence is another one."""
    began = time.monotonic()
    page.wait_for_function(
        "before => document.querySelector('.rallrec-sentence').innerText != before", arg=before, timeout=WAIT
    )
    return time.monotonic() - began


def turn(page, label: str, value: str) -> float:
    """Choose from the list of this label; seconds until the sentence is another one."""
    before = page.locator(".rallrec-sentence").inner_text()
    page.locator(f".rallrec-knobs .widget-dropdown:has(label:text-is('{label}')) select").select_option(value)
    return settled(page, before)


def test_a_knob_is_turned(page, capsys):
    """The figures and the sentence change, and what does not apply is grey."""
    began = time.monotonic()
    run(page, 0)
    run(page, 1)
    page.wait_for_selector(".rallrec-sentence", timeout=WAIT)
    opened = time.monotonic() - began
    assert "the same as the baseline" in page.locator(".rallrec-sentence").inner_text()
    page.wait_for_selector(".rallrec-knobs svg polyline", timeout=WAIT)
    picture(page, "opened")
    figure = page.locator(".rallrec-knobs svg").first.inner_html()
    took = {"selector recent": turn(page, "selector", "recent")}
    assert page.locator(".rallrec-knobs .widget-dropdown:has(label:text-is('alpha')) select").is_disabled()
    assert page.locator(".rallrec-knobs .widget-dropdown:has(label:text-is('representation')) select").is_disabled()
    assert page.locator(".rallrec-knobs svg").first.inner_html() != figure
    took["selector high"] = turn(page, "selector", "high")
    took["representation colla"] = turn(page, "representation", "colla")
    before = page.locator(".rallrec-sentence").inner_text()
    page.locator(".rallrec-knobs .widget-hslider:has(label:text-is('K')) .noUi-handle").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    took["K"] = settled(page, before)
    page.wait_for_timeout(2000)
    picture(page, "turned")
    rows = page.locator(".rallrec-knobs table tr").count()
    assert rows >= 5  # the head, and a row a trial
    with capsys.disabled():
        told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
        print(f"\n{DATASET}: first knob after {opened:.1f} s of the first cell; {told}")


def test_a_mistake_is_one_line(page):
    """All weights 0 is refused, and the line names the knob."""
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector(".rallrec-sentence:has-text('the same as the baseline')", timeout=WAIT)  # sliders are back
    for label in ("weight, text", "weight, colla", "weight, ssl"):
        slider = page.locator(f".rallrec-knobs .widget-hslider:has(label:text-is('{label}'))")
        slider.locator(".noUi-handle").focus()
        page.keyboard.press("Home")
    page.wait_for_selector("text=weights are (0.0, 0.0, 0.0); at least one of them must be above 0", timeout=WAIT)
    picture(page, "mistake")
    page.get_by_role("button", name="Reset").click()


def test_a_person_is_looked_up(page):
    """A user and an item by name; a like turned around changes the prompt."""
    run(page, 2)
    page.wait_for_selector(".rallrec-person pre", timeout=WAIT)
    head = page.locator(".rallrec-person b").first.inner_text()
    page.get_by_placeholder("id, age, occupation …").fill("1")
    page.wait_for_function(
        "before => document.querySelector('.rallrec-person b').innerText != before", arg=head, timeout=WAIT
    )
    page.get_by_placeholder("some words of a title").fill("the")
    items = page.locator(".rallrec-person .widget-select select").nth(1)
    for n in range(5):  # a user's first item has no history
        items.select_option(index=n)
        page.wait_for_timeout(3000)
        if page.locator(".rallrec-person .widget-select-multiple select option").count():
            break
    page.locator(".rallrec-person").scroll_into_view_if_needed()
    picture(page, "person")
    before = page.locator(".rallrec-person pre").inner_text()
    page.locator(".rallrec-person .widget-select-multiple select option").first.click()
    page.get_by_role("button", name="Turn around").click()
    page.wait_for_function(
        "before => document.querySelector('.rallrec-person pre').innerText != before", arg=before, timeout=WAIT
    )
    picture(page, "turned-around")
