"""An executed notebook as a page: folded helper cells, plain tables, and under each output what made it."""

import ast
import re
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import rallrec

from .captions import CAPTIONS
from .links import Links
from .places import Place

OPEN_LINES = 8  # longer code is folded
_KEPT = re.compile(r"run\.(figure|table)\(\s*\"([^\"]+)\"")
_RECORDS = re.compile(r"^run\.(record|keep)\(", re.M)
_ATTRIBUTE = re.compile(r' (?:id|class|scope)="[^"]*"')


def page(place: Place, name: str, links: Links, cards: dict[str, str]) -> NotebookNode:
    """A notebook as Sphinx reads it; its cells and outputs stay as they were recorded.

    Args:
        cards: rows of the place's tables, and the anchor of each row's card.
    """
    notebook = nbformat.read(place.runs / f"{name}.ipynb", 4)
    docname = f"runs/{place.name}/{name}"
    imported = _imported(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = links.relinked(cell.source, docname)
            continue
        if _folded(cell):
            cell.metadata["tags"] = list(dict.fromkeys([*cell.metadata.get("tags", []), "hide-input"]))
            cell.metadata["mystnb"] = {"code_prompt_show": _prompt(cell), "code_prompt_hide": "Hide the code"}
        cell.outputs = list(_outputs(cell, Made(place, name, docname, links, imported), cards))
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(_head(place, name, docname, links, bool(cards))))
    return notebook


def _folded(cell: NotebookNode) -> bool:
    """Whether a cell helps to tell the story rather than tells it: parameters, drawing, bookkeeping, long code."""
    tags = {"hide-input", "parameters", "injected-parameters"} & set(cell.metadata.get("tags", []))
    helps = re.match(r"run\.(say|figure|show)\(|figure = ", cell.source)
    return bool(tags or helps or _RECORDS.search(cell.source)) or len(cell.source.splitlines()) > OPEN_LINES


def _prompt(cell: NotebookNode) -> str:
    tags = cell.metadata.get("tags", [])
    if "injected-parameters" in tags:
        return "Show the parameters of this run"
    if "parameters" in tags:
        return "Show the parameters and their defaults"
    return "Show what is recorded" if _RECORDS.search(cell.source) else "Show the code"


def _imported(notebook: NotebookNode) -> dict[str, str]:
    """Names that the notebook's code imports from the package, and what each is: ``rr`` is ``rallrec``."""
    named = {}
    for cell in notebook.cells:
        for node in _nodes(cell.source) if cell.cell_type == "code" else ():
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rallrec"):
                named |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return named


def _defined(path: str) -> tuple[str, str] | None:
    """The module of the package and the function or class in it that a path names: ``rallrec.runs.figures.forest``."""
    home, parts = Path(rallrec.__file__).parent, path.split(".")[1:]
    for end in range(len(parts) - 1, 0, -1):
        module, name = home.joinpath(*parts[:end]).with_suffix(".py"), parts[end]
        if module.is_file():
            written = re.search(rf"^(def|class) {name}\b", module.read_text(encoding="utf-8"), re.M)
            return (".".join(parts[:end]), name) if written else None
    return None


def _nodes(source: str) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(source)))
    except SyntaxError:  # a magic command, in a notebook of one's own
        return []


@dataclass(frozen=True)
class Made:
    """Where a notebook's outputs come from: the cell, the code, the numbers."""

    place: Place
    name: str
    docname: str
    links: Links
    imported: dict[str, str]

    def caption(self, kind: str, kept: str, cell: NotebookNode) -> NotebookNode:
        """What stands below a figure or a table of the cell."""
        figures = f"figures/{self.place.name}/{kept}"
        files = [f"{figures}.csv"] + [f"{figures}.pdf"] * (kind == "figure") + [f"{figures}.tex"] * (kind == "table")
        numbers = [self.links.html(path, self.docname) for path in files if self.links.file(path, self.docname)]
        metrics = f"papermill_runs/{self.place.name}/metrics.json"
        numbers += [self.links.html(metrics, self.docname)]
        code = "".join(f"{link} · " for link in self._code(cell.source))
        said = CAPTIONS.get(kept, "")
        return _html(
            f'<div class="made" id="{kind}-{kept}"><p><b>{kind.capitalize()} {kept}.</b> {said}</p>'
            f'<p class="made-by"><a href="#{kind}-{kept}" class="to-cell">cell {cell.get("id", "")}</a> of '
            f"<code>notebooks/{self.name}.ipynb</code> · {code}{', '.join(numbers)}</p></div>"
        )

    def _code(self, source: str) -> list[str]:
        """Links to the functions and classes of the package that the cell calls."""
        called = dict.fromkeys(ast.unparse(node.func) for node in _nodes(source) if isinstance(node, ast.Call))
        found = {}
        for name in called:
            first, _, rest = name.partition(".")
            if first == "rr" and rest in rallrec.__all__:
                found[rallrec._HOME[rest], rest] = None
            elif first in self.imported and re.fullmatch(r"[\w.]*", rest):  # not what a call gave
                found[_defined(f"{self.imported[first]}.{rest}".rstrip("."))] = None
        return [self._code_link(f"rallrec.{module}", name) for module, name in filter(None, found)]

    def _code_link(self, module: str, function: str) -> str:
        page = self.links.page("_modules/" + module.replace(".", "/"), self.docname, function)
        return f'<a href="{page}"><code>{module.replace(".", "/")}.py: {function}</code></a>'


def _outputs(cell: NotebookNode, made: Made, cards: dict[str, str]):
    """The outputs of a cell, each figure and table followed by its caption."""
    names = {kind: [kept for k, kept in _KEPT.findall(cell.source) if k == kind] for kind in ("figure", "table")}
    tables = sum("text/html" in output.get("data", {}) for output in cell.outputs)
    of_figures = iter(names["figure"])
    of_tables = iter([""] * (tables - len(names["table"])) + names["table"])
    for output in cell.outputs:
        data, kept = output.get("data", {}), ""
        if "image/png" in data:
            kind, kept = "figure", next(of_figures, "")
            sharp = made.place.figures / f"{kept}.png"
            if kept and sharp.exists():  # of the same run, with more dots to an inch
                data["image/png"] = b64encode(sharp.read_bytes()).decode()
            output.metadata["image/png"] = {"alt": CAPTIONS.get(kept, "figure")}
        elif "text/html" in data:
            kind, kept = "table", next(of_tables, "")
            data["text/html"] = table(data["text/html"], cards if kept else {})
        yield output
        if kept:
            yield made.caption(kind, kept, cell)
    for kept in of_tables:
        if (made.place.figures / f"{kept}.csv").exists():  # kept, and not shown
            yield made.caption("table", kept, cell)


def table(html: str, cards: dict[str, str]) -> str:
    """A table as pandas writes it without its own style; a row's name leads to its card."""
    wrap = " wrap" * ("white-space: normal" in html)
    html = _ATTRIBUTE.sub("", re.sub(r"<style.*?</style>", "", html, flags=re.S))
    for label, address in cards.items():
        cell = f">{escape(label, quote=False)}</td>"
        html = html.replace(f"<td {cell}", f'<td><a href="{address}">{escape(label)}</a></td>', 1)
    html = re.sub(r"<(t[dh]) +>", r"<\1>", html)
    return f'<div class="table-scroll">{html.replace("<table", f"""<table class="dataframe{wrap}" """, 1)}</div>'


def _head(place: Place, name: str, docname: str, links: Links, with_cards: bool) -> str:
    """Of which run the page is, and the way to its other files."""
    made = place.metrics.get("notebooks", {}).get(name, {}).get("made", {})
    seconds = f", {made['seconds']:,} s on {made['hardware']}" if made else ""
    notebook = links.html(f"papermill_runs/{place.name}/{name}.ipynb", docname, "the executed notebook")
    rows = f' · <a href="{links.page(f"runs/{place.name}/rows", docname)}">how each row was made</a>' * with_cards
    return (
        f'<p class="run">{escape(place.title)} · LLM {escape(str(place.metrics.get("llm")))}, '
        f"read by {escape(place.reader)}, profile {place.metrics.get('profile')}, seed {place.metrics.get('seed')}"
        f'{seconds} · {notebook}{rows} <button type="button" class="fold-all">Show all code</button></p>'
    )


def _html(text: str) -> NotebookNode:
    return nbformat.v4.new_output("display_data", {"text/html": text})
