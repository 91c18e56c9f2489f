"""The page of runs on generated data; `site_tests.py` opens the page of all runs in a browser."""

import json
import re
import shlex
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest

from rallrec.__main__ import _parser
from rallrec.infra.errors import InputError
from rallrec.infra.files import ROOT
from rallrec.runs.run import NOTEBOOKS
from rallrec.site.build import build
from rallrec.site.captions import CAPTIONS
from rallrec.site.links import Links
from rallrec.site.notebook import table

from .executed import PLACE

# Sphinx's extensions are for an older Sphinx
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
OF_OTHERS = "my ratings"  # a place of which one notebook has run, and a name with a blank


class Addresses(HTMLParser):
    """Ids of a page, what its links lead to, and what it loads."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.ids |= {known[name] for name in ("id", "name") if name in known}
        if tag == "a" and known.get("href"):
            self.links.append(known["href"])
        self.loaded += [known[name] for name in ("src", "srcset", "poster", "data-src") if known.get(name)]
        if tag == "link" and known.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loaded.append(known["href"])


def read(path: Path) -> Addresses:
    page = Addresses()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def broken(folder: Path, but: str = "^$") -> list[str]:
    """Links and loaded files of a page's folder that lead nowhere, or to another host; ``but`` those that match."""
    pages = {path: read(path) for path in folder.rglob("*.html") if "_static" not in path.parts}
    found = []
    for path, page in pages.items():
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.loaded and parts.scheme != "data":
                    found.append(f"{path.name} loads {address}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if re.search(but, str(target)):
                continue
            missing = target in pages and parts.fragment and unquote(parts.fragment) not in pages[target].ids
            if not target.is_file() or missing:
                found.append(f"{path.relative_to(folder)}: {address}")
    return found


@pytest.fixture(scope="module")
def page(outputs, tmp_path_factory):
    """The page of a whole place and of one with a single notebook."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(outputs[0], folder, dirs_exist_ok=True)
    other = folder / "papermill_runs" / OF_OTHERS
    other.mkdir()
    shutil.copy(folder / "papermill_runs" / PLACE / "01_descriptions.ipynb", other)
    metrics = json.loads((folder / "papermill_runs" / PLACE / "metrics.json").read_text())
    notebooks = {name: part for name, part in metrics["notebooks"].items() if name == "01_descriptions"}
    (other / "metrics.json").write_text(json.dumps(metrics | dict(dataset=OF_OTHERS, notebooks=notebooks)))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RALLREC_OUTPUT", str(folder))
        return build(reference=False)


def test_it_is_built_without_a_warning(page):
    assert page.warnings == []
    assert (page.folder / "index.html").is_file()
    assert page.folder.name == "site"
    assert str(page.pages) in str(page)
    for notebook in NOTEBOOKS:
        assert (page.folder / "runs" / PLACE / f"{notebook}.html").is_file()


def test_no_link_is_broken_and_nothing_comes_from_elsewhere(page):
    assert broken(page.folder, but="/_modules/|/api/") == []
    scripts = [p.read_text(encoding="utf-8") for p in (page.folder / "_static").glob("*.js")]
    assert not any(re.search(r"(import|fetch)\(?\s*[\"']https?:", script) for script in scripts)
    assert "unpkg" not in (page.folder / "index.html").read_text() + "".join(scripts)


def test_mathematics_is_set_without_a_network(page):
    text = (page.folder / "runs" / PLACE / "02_text_embeddings.html").read_text(encoding="utf-8")
    (script,) = re.findall(r'<script[^>]*src="([^"]*mathjax[^"]*)"', text)
    assert (page.folder / "runs" / PLACE / script.split("?")[0]).resolve().is_file()
    assert list((page.folder / "_static" / "mathjax").rglob("*.woff"))


def test_every_figure_says_what_it_shows_and_what_made_it(page):
    for path in (page.folder / "runs" / PLACE).glob("0*.html"):
        text = path.read_text(encoding="utf-8")
        executed = nbformat.read(page.folder.parent / "papermill_runs" / PLACE / f"{path.stem}.ipynb", 4)
        kept = re.findall(r"run\.figure\(\s*\"(\w+)\"", "".join(c.source for c in executed.cells))
        shown = [name for name in kept if (page.folder.parent / f"figures/{PLACE}/{name}.png").exists()]
        assert re.findall(r'id="figure-(\w+)"', text) == shown
        for name in shown:
            assert f"<b>Figure {name}.</b> {CAPTIONS[name]}" in text
            assert (page.folder / f"files/figures/{PLACE}/{name}.pdf").is_file()
        assert text.count("<img") == sum(
            "image/png" in output.get("data", {}) for cell in executed.cells for output in cell.get("outputs", [])
        )


def test_helper_cells_are_folded_and_the_story_is_open(page):
    text = (page.folder / "runs" / PLACE / "05_recommendation.html").read_text(encoding="utf-8")
    folded = "".join(re.findall(r"<details.*?</details>", text, flags=re.S))
    for said in ("Show the parameters and their defaults", "Show the parameters of this run", "Show what is recorded"):
        assert said in folded
    opened = re.sub(r"<details.*?</details>", "", text, flags=re.S)
    assert 'class="cell_input' in opened
    assert re.search(r"<span[^>]*>start</span>", opened)  # run = rr.start(…)


def test_a_row_has_a_card_with_the_command_that_makes_it(page):
    path = page.folder / "runs" / PLACE / "rows.html"
    text = path.read_text(encoding="utf-8")
    main = pd.read_csv(page.folder.parent / "figures" / PLACE / "05_main.csv")
    cards = re.findall(r'<details class="row-card" id="([^"]+)"><summary>(.*?) <span>(.*?)</span>', text)
    by_label = {unescape(label): (anchor, value) for anchor, label, value in cards}
    assert set(main.method) <= set(by_label)
    row = main.set_index("method").loc["vote, RALLRec"]
    assert by_label["vote, RALLRec"][1].startswith(f"{row.auc:.3f} ")
    commands = [unescape(command) for command in re.findall(r"<pre>(.*?)</pre>", text)]
    assert len(commands) == len(cards)
    for command in commands:
        args = _parser().parse_args(shlex.split(command)[1:])
        assert (args.dataset, args.llm, args.profile) == ("tiny", "tiny-random", "smoke")
    linked = read(page.folder / "runs" / PLACE / "05_recommendation.html").links
    assert f"rows.html#{by_label['vote, RALLRec'][0]}" in {address.split("/")[-1] for address in linked}


def test_a_place_that_lacks_notebooks_says_so(page):
    text = (page.folder / "runs" / OF_OTHERS / "index.html").read_text(encoding="utf-8")
    assert "Not run yet with these settings: 02 to 06" in text
    assert "01_descriptions.html" in text
    assert not (page.folder / "runs" / OF_OTHERS / "rows.html").exists()


def test_the_front_page_tells_what_was_not_made_yet(page):
    text = (page.folder / "index.html").read_text(encoding="utf-8")
    assert "The tables across data sets are not made yet" in text
    assert "claims.png" not in text  # the repository's, of other runs


def test_it_names_no_path_of_this_machine(page):
    for path in page.folder.rglob("*.html"):
        assert not re.search(r"[\"'> ]/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8")), path


def test_without_a_run_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("RALLREC_OUTPUT", str(tmp_path))
    with pytest.raises(InputError, match="has no executed notebook; run `make all` first"):
        build()


def test_every_figure_and_table_of_the_notebooks_has_a_caption():
    kept = set()
    for name in NOTEBOOKS:
        cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
        kept |= set(re.findall(r"run\.(?:figure|table)\(\s*\"(\w+)\"", "\n".join(c.source for c in cells)))
    assert kept == set(CAPTIONS)


def test_links_of_the_repository_become_links_of_the_page(tmp_path):
    links = Links(tmp_path / "source", tmp_path / "files", {"docs/llms.md": "docs/llms.md"})
    said = links.relinked("[LLMs](docs/llms.md#servers), [`the` licence](LICENSE), [up](../../etc/passwd)", "a/b/page")
    assert said == '[LLMs](/docs/llms.md#servers), <a href="../../files/LICENSE">`the` licence</a>, up'
    assert (tmp_path / "files" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert links.relinked("[other](llms.md)", "docs/own_method", "docs") == "[other](/docs/llms.md)"
    kept = "`[code](LICENSE)` [web](https://arxiv.org) [here](#anchor) P(like)"
    assert links.relinked(kept, "page") == kept


def test_a_table_keeps_its_text_and_loses_the_style_of_pandas():
    frame = pd.DataFrame({"method": ["a & b", "c"], "AUC": ["0.750 [0.700, 0.800]", "–"]})
    html = table(frame.style.hide().format(escape="html").to_html(), {"a & b": "rows.html#a"})
    assert "<style" not in html
    assert "#T_" not in html
    assert '<td><a href="rows.html#a">a &amp; b</a></td>' in html
    assert "<td>0.750 [0.700, 0.800]</td>" in html
