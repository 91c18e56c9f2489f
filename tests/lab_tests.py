"""The lab as a user has it: JupyterLab at a copy of the notebook, in a headless Chromium.

`make test` does not collect it. The data set is ``tiny``, unless ``LAB_DATASET`` names
another: then seconds are printed, too.
"""

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from rallrec.infra.files import ROOT
from rallrec.runs.copies import copy_notebooks

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
DATASET = os.environ.get("LAB_DATASET", "tiny")
OPENED = 'rr.lab("tiny", "tiny-random", profile_name="smoke")' if DATASET == "tiny" else f'rr.lab("{DATASET}")'
PICTURES = os.environ.get("LAB_PICTURES")  # a folder for screenshots
WAIT = 120_000  # ms, on a busy machine


@dataclass(frozen=True)
class Server:
    """JupyterLab's folder, and the address of the notebook."""

    folder: Path
    address: str


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
            yield Server(folder, f"http://127.0.0.1:{port}/lab/tree/00_lab.ipynb")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def page(server, chromium):
    """The notebook, opened, with a kernel."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(server.address)
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


def write(page, n: int, text: str) -> None:
    """Write a cell anew, and run it."""
    cell = page.locator(".jp-CodeCell").nth(n)
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)
    run(page, n)


def output(page, n: int):
    return page.locator(".jp-CodeCell").nth(n).locator(".jp-OutputArea").first


def listed(page, label: str) -> list[str]:
    """What a list of the knobs offers, in sight or not."""
    options = page.locator(f".rallrec-knobs .widget-dropdown:has(label:text-is('{label}')) option").all_text_contents()
    return [option.replace("\xa0", " ") for option in options]


def to_the_knobs(page) -> None:
    """Scroll there: what is out of sight has no text for a browser."""
    page.locator(".jp-CodeCell").nth(1).scroll_into_view_if_needed()
    page.locator(".rallrec-sentence").wait_for(timeout=WAIT)


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


TRAINED = "colla (dimensions 8, layers 1, temperature 0.1)"


def test_a_training_joins_the_lists_at_once(page):
    """The curve stands below the cell, and what was trained is judged when it is chosen."""
    write(page, 6, "lab.train(dimensions=8, layers=1, temperature=0.1)")
    output(page, 6).get_by_text("joined the knobs").wait_for(timeout=WAIT)
    assert output(page, 6).locator("svg polyline").count() == 1
    assert "best epoch was" in output(page, 6).inner_text()
    assert TRAINED in listed(page, "representation")  # and no knob was turned
    picture(page, "trained")
    to_the_knobs(page)
    turn(page, "selector", "high")
    turn(page, "representation", TRAINED)
    assert re.search(r"AUC 0\.\d{3}", page.locator(".rallrec-sentence").inner_text())
    picture(page, "trained-chosen")
    write(page, 6, "lab.train(dimensions=8, layers=1, temperature=0.1)")
    output(page, 6).get_by_text("trained before, out of the cache").wait_for(timeout=WAIT)


def test_the_stop_button_keeps_the_best(page):
    """A graph of many layers, whose epochs take their time also on small data."""
    write(page, 6, "lab.train(dimensions=2048, layers=40, epochs=5000)")
    output(page, 6).locator("svg circle").first.wait_for(timeout=WAIT)
    page.locator("[data-command='notebook:interrupt-kernel'], jp-button[title^='Interrupt']").first.click()
    output(page, 6).get_by_text("stopped by hand").wait_for(timeout=WAIT)
    picture(page, "stopped")
    assert "mixture (dimensions 2048, layers 40, epochs 5000)" in listed(page, "representation")


def test_two_prompts_are_compared(page):
    """The price first, then the interval as it comes in, then a sentence; a wrong template is one line."""
    page.evaluate(
        """() => {
            window.told = [];
            const cell = document.querySelectorAll('.jp-CodeCell')[5];
            new MutationObserver(() => window.told.push(cell.innerText))
                .observe(cell, {childList: true, subtree: true, characterData: true});
        }"""
    )
    compared = 'lab.compare_prompts("labelled", "plain", samples=12)'
    write(page, 5, 'lab.prompt("plain", "{history}\\n{title}:")\n' + compared)
    output(page, 5).locator("th:has-text('log loss')").wait_for(timeout=WAIT)
    ended = output(page, 5).locator(".jp-OutputArea-executeResult, .jp-OutputArea-output.jp-mod-active")
    page.wait_for_function(
        "() => !document.querySelectorAll('.jp-CodeCell')[5].innerText.includes('keeps what is answered')", timeout=WAIT
    )
    ended.get_by_text("on 12 validation samples").wait_for(timeout=WAIT)
    told = page.evaluate("window.told")
    assert any("24 prompts on 12 samples" in each and "to ask, about" in each for each in told)
    assert any("interrupt (■) keeps what is answered" in each for each in told)
    assert not any("Stopped" in each for each in told)
    assert "prompt: plain" in listed(page, "reader")
    picture(page, "prompts")
    write(page, 5, 'lab.compare_prompts("labelled", "{histori} {title}")')
    output(page, 5).get_by_text("InputError: template has {histori}; it may have:").wait_for(timeout=WAIT)
    assert len(output(page, 5).inner_text().strip().splitlines()) == 1
    picture(page, "template")


def test_a_saved_command_says_what_the_knobs_said(page, server):
    """On test samples, which commands judge."""
    to_the_knobs(page)
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector(".rallrec-sentence:has-text('the same as the baseline')", timeout=WAIT)
    turn(page, "selector", "recent")
    before = page.locator(".rallrec-sentence").inner_text()
    page.get_by_label("report on test samples").click()
    settled(page, before)
    auc = re.search(r"AUC (0\.\d{3} \[\S+ \S+\]) on", page.locator(".rallrec-sentence").inner_text()).group(1)
    page.get_by_role("button", name="Save the log").click()
    page.get_by_text("saved trials.csv and trials.sh").wait_for(timeout=WAIT)
    picture(page, "saved")
    script = (server.folder / "trials.sh").read_text()
    turned = next(line for line in script.splitlines() if line.startswith("rallrec ") and "--selector recent" in line)
    command = [sys.executable, "-m", *shlex.split(turned)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert auc in told
    assert (server.folder / "trials.csv").read_text().count("\n") >= 3
