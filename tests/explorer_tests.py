"""The explorer in a headless Chromium, from files: no server. ``make test-site`` runs it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from rallrec.evaluation.influence import WIDTH
from rallrec.site import explorer, explorer_files

from .test_explorer import PUBLISHED

HERE = Path(explorer_files.__file__).parent
FAST = 0.1  # seconds, of a knob


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> str:
    """The page's own HTML, with the published records and the generated data's, as a file."""
    folder = tmp_path_factory.mktemp("site")
    explorer_files.write(folder / "_static" / "explorer", [*PUBLISHED, "tiny"], users=False)
    for name in ("explorer.js", "explorer.css"):
        shutil.copy(HERE / "static" / name, folder / "_static" / name)
    (body,) = re.findall(r"```\{raw\} html\n(.*?)```", (HERE / "pages/explorer.md").read_text("utf-8"), re.S)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    page = f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>"
    (folder / "explorer.html").write_text(page, "utf-8")
    return (folder / "explorer.html").as_uri()


@pytest.fixture
def opened(chromium, site):
    """A function that opens the page at a fragment; at the end nothing was logged, and nothing fetched from a host."""
    said, asked, contexts = [], [], []

    def at(fragment: str = "", **options) -> Page:
        contexts.append(chromium.new_context(**({"viewport": {"width": 1100, "height": 900}} | options)))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(site + fragment)
        page.wait_for_selector("#explorer svg")
        return page

    yield at
    for context in contexts:
        context.close()
    assert said == []
    assert asked
    assert all(url.startswith("file:") for url in asked)


def sentence(page: Page) -> str:
    return page.locator("#explorer .sentence").inner_text()


def figure(page: Page) -> str:
    return page.locator("#explorer .chart").inner_html()


def slide(page: Page, name: str, index: int) -> None:
    page.locator(f"#explorer-{name}").evaluate(
        "(e, to) => { e.value = to; e.dispatchEvent(new Event('input', {bubbles: true})) }", str(index)
    )


def told(record: dict, part: str, key: str, k: int, base: str, base_k: int) -> str:
    """What the sentence must say, from the record."""
    of, ks = record["parts"][part], list(explorer.K)
    points = of["step"] * explorer.unpacked(of["points"])
    i, j = of["curves"][key][ks.index(k)], of["curves"][base][ks.index(base_k)]
    gap, half = (of["auc"][i] - of["auc"][j]) / 1e5, WIDTH * np.linalg.norm(points[i] - points[j])
    auc, own = of["auc"][i] / 1e5, WIDTH * np.linalg.norm(points[i])
    said = f"AUC {auc:.3f} [{auc - own:.3f}, {auc + own:.3f}], a difference of "
    return (said + f"{gap:+.3f} [{gap - half:+.3f}, {gap + half:+.3f}]").replace("-", "−")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_knob_changes_figure_sentence_and_command(opened, name):
    page, record = opened(f"#dataset={name}"), explorer_files.load(explorer_files.published_path(name))
    assert sentence(page).startswith("This is the pinned baseline on validation samples of")
    before = figure(page)
    page.select_option("#explorer-selector", "released")
    slide(page, "k", explorer.K.index(3))
    assert figure(page) != before
    key, paper = "vote|mixture||released|", "vote|mixture||rerank|"
    assert told(record, "valid", key, 3, paper, record["k"]) in sentence(page)
    assert page.locator("#explorer .command code").inner_text() == (
        f"rallrec ablate --dataset {name} --selector released --k 3"
    )
    page.check("#explorer-part")
    assert "on test samples of" in sentence(page)
    assert told(record, "test", key, 3, paper, record["k"]) in sentence(page)
    page.locator("#explorer summary").click()
    assert page.locator("#explorer .numbers tbody tr").count() == len(explorer.K)


def test_another_baseline_is_pinned_and_shared_by_the_address(opened):
    record = explorer_files.load(explorer_files.published_path(PUBLISHED[0]))
    page = opened(f"#dataset={PUBLISHED[0]}&selector=recent&k=20")
    page.get_by_role("button", name="Pin this choice").click()
    assert sentence(page).startswith("This is the pinned baseline")
    page.select_option("#explorer-selector", "high")
    page.select_option("#explorer-representation", "colla")
    expected = told(record, "valid", "vote|colla||high|", 20, "vote|||recent|", 20)
    assert expected in sentence(page)
    again = opened("#" + page.url.split("#")[1])
    assert sentence(again) == sentence(page)
    again.get_by_role("button", name="Baseline: the paper's method").click()
    assert expected not in sentence(again)


def test_what_does_not_apply_is_grey_and_says_why(opened):
    page = opened(f"#dataset={PUBLISHED[0]}&selector=recent")
    for name in ("representation", "weights", "alpha", "recent"):
        box = page.locator(f"#explorer [data-knob={name}]")
        assert box.locator("select, input").first.is_disabled()
        assert box.get_attribute("title").endswith(".")
    page.select_option("#explorer-selector", "rerank")
    assert page.locator("#explorer-alpha").is_enabled()
    assert page.locator("#explorer [data-knob=alpha]").get_attribute("title") is None
    page.locator("#explorer .simplex input").nth(3).check()
    assert page.locator("#explorer-alpha").is_disabled()
    assert "--weights" in page.locator("#explorer .command code").inner_text()


def test_an_address_that_names_nothing_known_shows_the_papers_method(opened):
    page = opened("#dataset=nothing&selector=best&k=7&pin=a|b&weights=9%209%209")
    assert sentence(page).startswith("This is the pinned baseline")


def test_the_keyboard_turns_knobs(opened):
    page = opened(f"#dataset={PUBLISHED[0]}")
    page.locator("#explorer-k").focus()
    page.keyboard.press("ArrowRight")
    assert "K = 15" in sentence(page)
    page.locator("#explorer .simplex input:checked").focus()
    page.keyboard.press("ArrowRight")
    assert "weights=" in page.url


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_knob_is_fast(opened, name):
    """The middle one of twenty turns, until it is drawn."""
    page = opened(f"#dataset={name}&selector=released")
    milliseconds = page.locator("#explorer-k").evaluate("""(e) => [...Array(20).keys()].map((n) => {
        const began = performance.now();
        e.value = n % 9;
        e.dispatchEvent(new Event("input", {bubbles: true}));
        document.body.getBoundingClientRect();
        return performance.now() - began;
    })""")
    assert np.median(milliseconds) < 1000 * FAST


def test_a_phone_and_the_dark(opened):
    page = opened("#dataset=tiny", viewport={"width": 390, "height": 800}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    width = page.locator("#explorer .chart svg").bounding_box()["width"]
    assert 280 <= width <= 390
    ink = page.evaluate("getComputedStyle(document.querySelector('#explorer')).color")
    assert min(map(int, re.findall(r"\d+", ink)[:3])) > 200  # light on dark


def test_example_users(opened):
    page = opened("#dataset=tiny")
    people = page.locator("#explorer .users")
    expect(people).to_contain_text("P(like): vote")
    first = people.inner_text()
    people.get_by_role("button", name="Next user").click()
    assert people.inner_text() != first
    assert people.locator("th").all_inner_texts()[0].startswith("recent")
    listed = people.get_by_role("combobox", name="Data set of the example users").locator("option")
    assert listed.all_inner_texts() == ["tiny (generated)"]
