"""README and docs: the README stays short, generated parts are those of the runs, links and commands exist."""

import re
import shlex

import pytest
import yaml

from rallrec.__main__ import _parser
from rallrec.infra.files import ROOT
from rallrec.runs.reporting import filled, generated, relinked

README = ROOT / "README.md"
PAGES = generated()
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
WORDS, ROWS, FIGURES = 1500, 10, 1  # of the README, at most


def each(page):
    return page.relative_to(ROOT).as_posix()


def without_code(text):
    """A page's prose, tables and links."""
    return re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.S)


def words(text):
    """All that is read, code and tables, too; of a link what is seen."""
    seen = re.sub(r"\]\([^)]*\)", "]", re.sub(r"<!--.*?-->", "", text, flags=re.S))
    return [word for word in seen.split() if re.search(r"\w", word)]


def anchors(text):
    """Anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), flags=re.M)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"\s", "-", heading) for heading in plain}


def commands(text):
    """What a page tells one to run: targets of make; lines of ``-m rallrec``."""
    targets = re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.M)
    lines = re.findall(r"python -m rallrec ([^`\n]*)", text)
    return set(targets), [shlex.split(line.split("#")[0]) for line in lines]


def targets():
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    return set(made)


def test_the_readme_is_short():
    text = TEXTS[README]
    assert len(words(text)) <= WORDS
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.M)
    assert len(tables) == 1
    assert tables[0].count("\n") - 2 <= ROWS  # without the heading and the rule below it
    assert len(re.findall(r"!\[|<img", text)) == FIGURES
    assert "<details>" not in text


def test_the_limits_count_what_is_read():
    assert words("<!-- a b -->\n| two words | – |\n[a link](to/some where) `code`") == [
        "two",
        "words",
        "[a",
        "link]",
        "`code`",
    ]


@pytest.mark.parametrize("page", PAGES, ids=each)
def test_generated_parts_are_those_of_the_runs(page):
    assert filled(page) == TEXTS[page]
    assert TEXTS[page].count("<!-- include") == TEXTS[page].count("<!-- end -->")


def test_included_links_fit_the_page():
    folder = ROOT / "figures" / "overview"
    assert relinked("claims.png", folder, ROOT) == "figures/overview/claims.png"
    assert relinked("../../papermill_runs/a.ipynb", folder, ROOT / "docs") == "../papermill_runs/a.ipynb"


@pytest.mark.parametrize("page", PAGES, ids=each)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", without_code(TEXTS[page])):
        path, _, anchor = link.partition("#")
        target = page if not path else page.parent / path
        assert target.exists(), link
        assert ROOT in target.resolve().parents, link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_is_in_the_index():
    links = set(re.findall(r"\]\(([\w-]+\.md)\)", TEXTS[ROOT / "docs" / "index.md"]))
    assert links == {page.name for page in PAGES if page.parent.name == "docs"} - {"index.md"}
    assert "(docs/index.md)" in TEXTS[README]


@pytest.mark.parametrize("page", PAGES, ids=each)
def test_commands_exist(page):
    used, lines = commands(TEXTS[page])
    assert used <= targets()
    for line in lines:
        if line and not {"…", "COMMAND"} & set(line):
            _parser().parse_args(line)


def test_every_command_and_variable_is_documented():
    page = TEXTS[ROOT / "docs" / "commands.md"]
    assert targets() <= commands(page)[0]
    (verbs,) = (action.choices for action in _parser()._actions if action.choices)
    for verb, parser in verbs.items():
        assert re.search(rf"`{verb}[ `]", page), verb
        if verb == "ablate":
            options = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
            assert all(f"`{name}`" in page for name in set(options) - {"--help"} - {f"--{n}" for n in SHARED})
    sources = [ROOT / "Makefile", *(ROOT / "rallrec").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    named = {name for path in sources for name in re.findall(r"\bRALLREC_[A-Z]+\b", path.read_text(encoding="utf-8"))}
    assert {name for name in named if not any(f"`{name}`" in text for text in TEXTS.values())} == set()


SHARED = ("dataset", "llm", "reader", "profile", "seed", "extra")  # options of most commands


def test_the_walk_through_the_package_runs():
    """The guide's Python, with the tiny data and model in the place of the real ones."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXTS[ROOT / "docs" / "ablations.md"], flags=re.S)
    code = code.replace("ml-100k", "tiny").replace("smollm2-135m", "tiny-random").replace("k=10", "k=3")
    names = {}
    exec(code, names)
    assert set(names["result"]) == {"auc", "log_loss", "accuracy", "calibration_error"}


def test_the_citation_names_the_paper_and_this():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    papers = {
        paper["title"].partition(":")[0]: paper for paper in [citation["preferred-citation"], *citation["references"]]
    }
    assert set(papers) == {"RALLRec", "RALLRec+", "ReLLa"}
    entries = (ROOT / "rallrec" / "study" / "numbers.bib").read_text(encoding="utf-8")
    for paper in papers.values():
        assert paper["title"].partition(": ")[2] in entries
        assert all(author["family-names"] in entries for author in paper["authors"])
        assert paper.get("doi", "") in entries
