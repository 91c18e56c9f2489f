"""The page's own pages, in Markdown: front, results across data sets, a data set's contents, reference."""

import pkgutil
import re
from collections.abc import Iterable
from pathlib import Path

import rallrec

from ..infra.files import ROOT
from ..runs.context import output_root
from ..runs.place import OVERVIEW
from ..runs.run import NOTEBOOKS
from .links import Links
from .places import Place, studies

ROOMS = {
    "pipeline": "The paper's steps, top to bottom: studies and choices",
    "representations": "Text, LightGCN, alignment, mixture",
    "retrieval": "Which items of the history are shown",
    "readers": "From the shown history to P(like)",
    "llm": "Language models here and on servers",
    "data": "Data sets, their split, data of one's own",
    "evaluation": "Metrics, intervals, verdicts",
    "study": "What is compared: ablations, experiments, claims",
    "runs": "Notebooks, figures, tables, publishing",
    "extensions": "Methods of one's own",
    "profiles": "The sizes of a run",
    "infra": "Cache, files, errors",
}
# the overview's tables and figures: file name, heading, what is seen; what else lies there follows
OVERVIEW_PARTS = {
    "claims": (
        "The paper's claims",
        "A row is a comparison, a block a data set. Beside the paper's difference of AUC stand ours on the same test "
        "samples: one for each LLM that reads, and one for the *vote* (no LLM). *Replicates*: the difference has the "
        "paper's sign at a false discovery rate of 5 %. *Contradicts*: it has the opposite sign. *Inconclusive*: the "
        "samples do not tell.",
    ),
    "verdicts": ("Verdicts", "One verdict for each LLM that reads, and one for the vote, in this order."),
    "by_reader": ("Four ways, by the LLM that reads", "AUC beside the paper's."),
    "main": ("The main table", "Every reader on the same test samples; the number of samples stands in the heading."),
    "table1": ("Table 1 of the paper", "The paper's values beside ours."),
    "table3": ("Table 3 of the paper: parts of the tuning taken away", ""),
    "table4": ("Table 4 of the paper: the representation", ""),
    "table5": ("Table 5 of RALLRec+: merge and injected prompt", ""),
    "fast_readers": ("Readers without an LLM", "On all test samples."),
    "comparisons": ("Our own comparisons", "Each changes one thing, which stands in brackets."),
    "released": ("The released code's protocol", "Change of AUC against the strict protocol, one switch each."),
    "deviations": ("What differs from the paper's setting", ""),
}
QUESTION = (
    "[RALLRec](https://arxiv.org/abs/2502.06101) (WWW Companion 2025) predicts with a large language model (LLM) "
    "whether a user will like an item. From the user's history it retrieves the items most similar to the target, "
    "reranks them by recency, and shows them to the LLM in a prompt. This page rebuilds the paper's equations, "
    "tables and figures on real ratings, with LLMs of 135 and 270 million parameters (the paper's has 8 billion), "
    "and gives each of its claims a verdict."
)
FINDINGS = (
    "Numbers are AUC, or differences of AUC on the same test samples with a 95 % interval. The *vote* is the mean "
    "rating of the retrieved items, without an LLM; K is how many items are shown."
)
IN_FRONT = ("findings", "claims_short", "not_run", "times", "notebooks")  # files of the front page and the README
EVERY_RESULT = "docs/results"  # the guide that holds every table in words
GUIDES = {
    "docs/own_data": ("Your own data", "Two files, of ratings and of items, are enough."),
    "docs/own_method": ("Your own method", "One Python file; its rows stand in every table."),
    "docs/llms": ("Your own LLM", "A model of the hub, a folder, or a server."),
    "api/index": ("The code", "The package's reference, with the paper's equations."),
}
_IN_WORDS = {
    "all_findings": "What is the same on all data sets",
    "claims_in_words": "The claims in words",
    "depends_on_reader": "What depends on the reader",
    "changes_in_words": "One part changed, in words",
    "comparisons_in_words": "Our comparisons in words",
    "admissions": "What the papers themselves say",
}


def front(places: list[Place], links: Links, overviews: list[str], known: set[str]) -> str:
    """The first page: the question, the pipeline, the findings, the claims, where to go next.

    Args:
        overviews: see `results`. known: all docnames of the page but the notebooks'.
    """
    pipeline = next(filter(None, (links.image(f"figures/{place.name}/01_pipeline.png") for place in places)), "")
    parts = ["# Does retrieval help an LLM recommend?", QUESTION]
    parts += [f"![The pipeline, from ratings to P(like)]({pipeline})"] * bool(pipeline)
    parts += ["## What was found", *_found(links, overviews, known)]
    parts += ["## Where to go next", _cards(_next(places, known))]
    guides = sorted(name for name in known if name.startswith("docs/") and name != EVERY_RESULT)
    of_all = [name for name in ("explorer", EVERY_RESULT) if name in known]
    parts += [
        _toctree("Results", [*of_all, *map(results_page, overviews)]),
        _toctree("Notebooks", [f"runs/{place.name}/index" for place in studies(places)]),
        _toctree("Guides", guides),
        _toctree("Package", ["api/index"] if "api/index" in known else []),
    ]
    return _page(parts)


def _found(links: Links, overviews: list[str], known: set[str]) -> Iterable[str]:
    """The findings and the claims, of the first overview."""
    if not overviews:
        yield (
            "The tables across data sets are not made yet: `make overview` writes them when notebooks 05 and 06 of a "
            "data set have run. What was found on each data set stands in its notebook 05."
        )
        return
    folder = f"figures/{overviews[0]}"
    yield FINDINGS
    yield from (links.relinked(links.text(f"{folder}/{name}.md"), "index") for name in ("findings", "not_run"))
    if claims := links.image(f"{folder}/claims.png"):
        yield "## The paper's claims"
        yield OVERVIEW_PARTS["claims"][1]
        yield f"![The paper's claims: its differences of AUC and ours]({claims})"
        if short := links.text(f"{folder}/claims_short.md"):
            yield "✓ replicates, ✗ contradicts, no mark: inconclusive."
        yield short or links.text(f"{folder}/verdicts.md")
    page = EVERY_RESULT if EVERY_RESULT in known else results_page(overviews[0])
    yield f"[Every claim, table and interval](/{page}.md)"


def _next(places: list[Place], known: set[str]) -> Iterable[tuple[str, str, str]]:
    """Title, text and page of each way on from the front page."""
    whole = next((place for place in places if "05_recommendation" in place.notebooks), None)
    ablated = next((place for place in places if "06_ablations" in place.notebooks), None)
    if "explorer" in known:
        yield "Turn the knobs", "Choose representation, selector and K, and see what changes.", "explorer"
    if whole:
        text = f"{whole.title}, notebook 05: the main table, the paper's tables, the claims."
        yield "Read the study", text, f"runs/{whole.name}/05_recommendation"
    if ablated:
        text = f"{ablated.title}, notebook 06: one part changed at a time."
        yield "Which part matters", text, f"runs/{ablated.name}/06_ablations"
    for name, (title, text) in GUIDES.items():
        if name in known:
            yield title, text, name


def results_page(overview: str) -> str:
    """The docname of an overview's page."""
    return f"results{overview.removeprefix(OVERVIEW)}"


def results(links: Links, overview: str) -> str:
    """All tables and figures of an overview.

    Args:
        overview: its folder in ``figures/``: ``overview`` is of the reference runs, ``overview+full`` of others.
    """
    folder, page = output_root() / "figures" / overview, results_page(overview)
    stems = dict.fromkeys(p.stem for p in sorted(folder.glob("*")) if p.suffix in (".md", ".png"))
    shown = {*OVERVIEW_PARTS, *_IN_WORDS, *IN_FRONT}
    others = [stem for stem in stems if stem not in shown and not _numbered(stem)]
    settings = overview.removeprefix(OVERVIEW).strip("+")
    parts = [f"# Figures and tables across data sets{', ' * bool(settings)}{settings}"]
    parts += ["Every table is a file, too: the links below it. A click on a table's heading sorts it."]
    for stem, (heading, text) in (OVERVIEW_PARTS | {s: (_spoken(s), "") for s in others}).items():
        if stem not in stems:
            continue
        image = links.image(f"figures/{overview}/{stem}.png")
        parts += [f"## {heading}", text, f"![{heading}]({image})" if image else ""]
        parts += [links.relinked(links.text(f"figures/{overview}/{stem}.md"), page, f"figures/{overview}")]
        files = [f"figures/{overview}/{stem}.{kind}" for kind in ("csv", "tex", "pdf")]
        made = ", ".join(links.html(path, page) for path in files if links.file(path, page))
        parts += [f'<p class="made-by">{made}</p>'] * bool(made)
        if stem == "comparisons":
            single = [f"figures/{overview}/{s}.png" for s in stems if s.startswith("comparison-")]
            parts += _folded("A figure for each comparison", [f"![A comparison]({links.image(s)})" for s in single])
    for stem, heading in _IN_WORDS.items():
        if text := links.text(f"figures/{overview}/{stem}.md"):
            parts += [f"## {heading}", links.relinked(text, page, f"figures/{overview}")]
    return _page(parts)


def _numbered(stem: str) -> bool:
    """Of one comparison or place: shown with the whole, or on the place's own page."""
    return bool(re.match(r"(comparison|claim)-\d+$|commands-", stem))


def of_place(place: Place, places: list[Place], links: Links, cards: set[str]) -> str:
    """A data set's page: its notebooks, and those of other readers.

    Args:
        cards: names of places that have a page of cards.
    """
    docname = f"runs/{place.name}/index"
    others = [p for p in places if p.first == place.name and p != place]
    head = links.image(f"figures/{place.name}/05_paper_claims.png")
    parts = [f"# {place.title}", _of_run(place)]
    parts += [_notebooks(place, docname, links)]
    if missing := [name for name in NOTEBOOKS if name not in place.notebooks]:
        parts += [_missing(place, missing, None)]
    for other in others:
        parts += [f"## Read by {other.reader}" if other.reader else f"## {other.title}", _of_run(other)]
        parts += [_notebooks(other, docname, links)]
        if lacking := [name for name in NOTEBOOKS if name not in other.notebooks]:
            parts += [_missing(other, lacking, place)]
    if head:
        parts += ["## The paper's claims on these data", f"![The paper's claims on {place.title}]({head})"]
    metrics = links.html(f"papermill_runs/{place.name}/metrics.json", docname)
    parts += [f"All recorded values: {metrics}."]
    entries = []
    for of in (place, *others):
        short = f", {of.title.split(', ', 1)[-1]}" if of != place else ""
        entries += [f"{_heading(name)}{short} </runs/{of.name}/{name}>" for name in of.notebooks]
        entries += [f"How each row was made{short} </runs/{of.name}/rows>"] * (of.name in cards)
    parts += [_toctree("", entries)]
    return _page(parts)


def _of_run(place: Place) -> str:
    of = place.metrics
    return (
        f"`{place.name}`: LLM {of.get('llm')}, read by {place.reader}, profile {of.get('profile')}, "
        f"seed {of.get('seed')}."
    )


def _missing(place: Place, names: list[str], before: Place | None) -> str:
    """Which notebooks a place lacks, and why."""
    numbers = [name[:2] for name in names]
    early = [name for name in names if before and name in before.notebooks and name < "05"]
    if early and len(early) == len(names):
        return f"Notebooks {_list(numbers)} are the same whoever reads: [{before.title}](/runs/{before.name}/index.md)."
    return f"Not run yet with these settings: {_list(numbers)}. `make all DATASETS={place.dataset}` runs them."


def _list(names: list[str]) -> str:
    return f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)


def _notebooks(place: Place, docname: str, links: Links) -> str:
    """The notebooks of a place as a table, with what each takes."""
    lines = ["| notebook | values recorded | seconds | hardware |", "|:--|--:|--:|:--|"]
    for name in place.notebooks:
        part = place.metrics.get("notebooks", {}).get(name, {"values": {}, "made": {}})
        made = part["made"]
        title = f"[{_heading(name)}](/runs/{place.name}/{name}.ipynb)"
        lines.append(f"| {title} | {len(part['values'])} | {made.get('seconds', '–')} | {made.get('hardware', '–')} |")
    return "\n".join(lines)


def _heading(notebook: str) -> str:
    number, _, name = notebook.partition("_")
    return f"{number} {name.replace('_', ' ').capitalize()}"


def reference() -> dict[str, str]:
    """The pages of the package's reference, by docname."""
    pages = {}
    lines = ["# Reference", "`import rallrec as rr`: the names of the package, and where each is.", ""]
    lines += ["| name | module |", "|:--|:--|"]
    for name, module in sorted(rallrec._HOME.items()):
        lines.append(f"| {{py:obj}}`rr.{name} <rallrec.{module}.{name}>` | {{py:mod}}`rallrec.{module}` |")
    rooms = {room: text for room, text in ROOMS.items() if _is_room(room)}
    lines += ["", "## Rooms", "", *(f"- [{room}](/api/{room}.md): {text}." for room, text in rooms.items())]
    pages["api/index"] = _page(["\n".join(lines), _toctree("", [f"/api/{room}" for room in rooms])])
    for room, text in rooms.items():
        parts = [f"# {room}", f"{text}."]
        for module in _modules(room):
            title = module.removeprefix("rallrec.")
            directive = f".. automodule:: {module}\n   :members:\n   :member-order: bysource"
            parts.append(f"## {title}\n\n```{{eval-rst}}\n{directive}\n```")
        pages[f"api/{room}"] = _page(parts)
    return pages


def _is_room(name: str) -> bool:
    folder = ROOT / "rallrec" / name
    return folder.is_dir() or folder.with_suffix(".py").exists()


def _modules(room: str) -> list[str]:
    folder = Path(rallrec.__file__).parent / room
    if not folder.is_dir():
        return [f"rallrec.{room}"]
    return [f"rallrec.{room}.{module.name}" for module in pkgutil.iter_modules([str(folder)])]


def _spoken(stem: str) -> str:
    return stem.replace("_", " ").replace("-", " ").capitalize()


def _folded(title: str, parts: list[str]) -> list[str]:
    return [f":::{{dropdown}} {title}", *parts, ":::"] if parts else []


def _cards(entries: Iterable[tuple[str, str, str]]) -> str:
    cards = [
        f":::{{grid-item-card}} {title}\n:link: /{page}\n:link-type: doc\n{text}\n:::" for title, text, page in entries
    ]
    return "::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n".join(cards) + "\n::::"


def _toctree(caption: str, entries: list[str]) -> str:
    if not entries:
        return ""
    options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
    return f"```{{toctree}}\n{options}\n" + "\n".join(entries) + "\n```"


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"
