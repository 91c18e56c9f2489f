"""`make test-site`: the page that `make site` built, in a headless Chromium.

It reads the folder `SITE`, by default ``site/``, and serves it on a port of this machine. Every request that would
leave the machine is a failure.
"""

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from rallrec.infra.files import ROOT

from .test_site import broken

SITE = Path(os.environ.get("SITE", ROOT / "site"))
DESKTOP, PHONE = dict(width=1300, height=900), dict(width=390, height=844)
PAGES = sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob("*.html") if p.parts[len(SITE.parts)][0] != "_")
STUDIES = [page for page in PAGES if page.endswith("05_recommendation.html")]
LIGHT = 200  # of 255: as bright as a ground must be for a figure's black ink


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    assert (SITE / "index.html").is_file(), f"{SITE} has no page; `make site` builds it"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def opened(chromium, address):
    """Opens pages; afterwards nothing may have gone wrong in any of them."""
    wrong, contexts = [], []

    def open_page(name: str, size: dict = DESKTOP, mode: str = "light") -> Page:
        context = chromium.new_context(viewport=size, color_scheme=mode)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(f"{name}: {m.text}"))
        page.on("pageerror", lambda error: wrong.append(f"{name}: {error}"))
        page.on("requestfailed", lambda request: wrong.append(f"{name}: {request.url} failed"))
        page.on("response", lambda r: r.status >= 400 and wrong.append(f"{name}: {r.url} is {r.status}"))
        page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or wrong.append(f"{name}: {r.url}"))
        page.goto(address + name)
        page.wait_for_load_state("load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def width_of(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


def test_no_link_of_the_whole_page_is_broken():
    assert broken(SITE) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_on_a_desktop_and_on_a_phone(opened, name):
    page = opened(name, PHONE, "dark")
    page.wait_for_timeout(150)
    assert page.locator(".bd-article h1, .bd-search-container h1").first.is_visible()
    assert width_of(page) <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
    assert width_of(page) <= DESKTOP["width"]


def test_the_front_page_leads_to_every_data_set(opened):
    page = opened("index.html")
    for folder in sorted((SITE / "runs").glob("*/index.html")):
        heading = page.request.get(page.url.replace("index.html", f"runs/{folder.parent.name}/index.html")).text()
        assert "<h1>" in heading
    page.locator(".sd-card").first.click()
    page.wait_for_load_state("load")
    assert "index.html" not in page.url


@pytest.mark.parametrize("name", STUDIES)
def test_a_table_sorts_by_its_numbers_and_back(opened, name):
    page = opened(name)
    cell = page.locator(".cell:has(#table-05_main)")
    heading = cell.locator("th", has=page.get_by_role("button", name="AUC", exact=True)).first
    column = heading.evaluate("cell => cell.cellIndex") + 1

    def values() -> list[float]:
        return [float(text.split()[0]) for text in cell.locator(f"tbody td:nth-child({column})").all_inner_texts()]

    before = values()
    heading.get_by_role("button").click()
    assert values() == sorted(before, reverse=True) != before
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").click()
    assert values() == sorted(before)
    heading.get_by_role("button").click()
    assert values() == before
    assert heading.get_attribute("aria-sort") is None


@pytest.mark.parametrize("name", STUDIES[:1])
def test_folded_cells_open_one_by_one_and_all_at_once(opened, name):
    page = opened(name)
    fold = page.locator("details.hide").first
    code = fold.locator("pre").first
    assert not code.is_visible()
    fold.locator("summary").click()
    assert code.is_visible()
    page.get_by_role("button", name="Show all code").click()
    assert page.locator("details.hide:not([open])").count() == 0
    page.get_by_role("button", name="Fold the code").click()
    assert page.locator("details.hide[open]").count() == 0
    page.locator("#figure-05_reranker a.to-cell").click()
    assert page.locator(".cell:has(#figure-05_reranker) details.hide").first.get_attribute("open") is not None


@pytest.mark.parametrize("name", STUDIES)
def test_a_rows_name_leads_to_its_card(opened, name):
    page = opened(name)
    link = page.locator(".cell:has(#table-05_main) tbody a").first
    label = link.inner_text()
    link.click()
    page.wait_for_load_state("load")
    card = page.locator("details.row-card[open]")
    assert card.locator("summary").inner_text().startswith(label)
    assert "rallrec ablate --dataset" in card.locator("pre").inner_text()
    assert card.get_by_text("hardware").is_visible()


@pytest.mark.parametrize("name", ["index.html", *STUDIES[:1]])
def test_figures_are_readable_in_dark_mode(opened, name):
    page = opened(name)
    page.get_by_role("button", name="Color mode").first.click()
    for _ in range(3):
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        page.locator("[data-mode=dark]:visible").first.click()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(ground[:3]) < 60
    for image in page.locator(".bd-article img").all():
        style = image.evaluate("i => [getComputedStyle(i).backgroundColor.match(/\\d+/g), getComputedStyle(i).filter]")
        assert min(map(int, style[0][:3])) > LIGHT
        assert style[1] == "none"
    for caption in page.locator(".made").all()[:5]:
        colours = caption.evaluate(
            "c => [getComputedStyle(c).color, getComputedStyle(c.closest('.output') ?? c).backgroundColor]"
        )
        assert colours[0] != colours[1]


@pytest.mark.parametrize("name", STUDIES[:1])
def test_a_wide_figure_keeps_its_letters_on_a_phone(opened, name):
    page = opened(name, PHONE)
    figure = page.locator(".cell:has(#figure-05_main) .figure-scroll")
    assert figure.locator("img").bounding_box()["width"] > 600
    assert figure.bounding_box()["width"] <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
    assert figure.evaluate("box => box.scrollWidth <= box.clientWidth")


@pytest.mark.parametrize("name", STUDIES[:1])
def test_mathematics_is_set(opened, name):
    page = opened(name)
    page.wait_for_selector("mjx-container")
    assert page.locator("mjx-container").count() > 5
    assert page.evaluate("document.fonts.ready.then(() => [...document.fonts].some(f => f.family.startsWith('MJX')))")


def test_the_search_finds_a_function(opened):
    page = opened("search.html?q=rerank")
    page.wait_for_selector("#search-results li a")
    assert "rerank" in page.locator("#search-results").inner_text()


def test_a_hash_in_the_address_shows_the_table_above_its_caption(opened):
    page = opened(f"{STUDIES[0]}#table-05_main")
    page.wait_for_selector("mjx-container")
    page.wait_for_timeout(500)
    assert 0 <= page.locator(".cell:has(#table-05_main)").first.bounding_box()["y"] < DESKTOP["height"] / 2
