"""From runs to pages: the Sphinx source is written, then built."""

import io
import os
import re
import shutil
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import nbformat

from ..infra.errors import InputError
from ..infra.files import ROOT, data_dir, workplace
from ..runs.context import output_root
from ..runs.place import OVERVIEW
from . import cards, contents
from .links import FILES, Links
from .notebook import page as notebook_page
from .places import Place, places, studies

HERE = Path(__file__).parent
MATHJAX = ("tex-chtml.js", "output/chtml/fonts", "input/tex/extensions")  # all that our pages load


@dataclass(frozen=True)
class Built:
    """A page that was built.

    Attributes:
        folder: its folder; ``index.html`` is the front page. pages: how many. warnings: Sphinx's, a line each.
    """

    folder: Path
    pages: int
    megabytes: float
    seconds: float
    warnings: list[str]

    def __str__(self) -> str:
        return f"{self.folder / 'index.html'}: {self.pages} pages, {self.megabytes:.0f} MB, in {self.seconds:.0f} s"


def build(folder: Path | None = None, reference: bool = True) -> Built:
    """Build the page of all runs that are here.

    Args:
        folder: where to; by default ``site/`` beside ``papermill_runs/``. What is there is replaced when all is built.
        reference: with the package's reference, which takes half of the time.

    Raises:
        InputError: Sphinx is not installed; no notebook has run.
    """
    for module in ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_design", "sphinx-mathjax-offline"):
        if find_spec(module) is None:
            raise InputError(f"the page needs {module}, which is not installed; `make site` installs requirements.lock")
    of = places()
    if not of:
        raise InputError(f"{output_root() / 'papermill_runs'} has no executed notebook; run `make all` first")
    began, folder = time.monotonic(), folder or output_root() / "site"
    with workplace(data_dir() / "site") as work:
        of_pages = write_source(of, work / "source", work / FILES, reference)
        warnings = _sphinx(work / "source", work / "html", work / "doctrees")
        shutil.copytree(work / FILES, work / "html" / FILES, dirs_exist_ok=True)
        if "explorer" in of_pages:
            from .explorer_files import write as write_explorer

            # example users of data that may not be handed on are for the user's own machine
            write_explorer(work / "html" / "_static" / "explorer", users=not os.environ.get("REPOSITORY"))
        _copy_mathjax(work / "html" / "_static" / "mathjax")
        (work / "html" / ".nojekyll").touch()  # GitHub Pages leaves folders out whose name begins with _
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / "html", folder)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 2**20
    return Built(folder, len(of_pages), size, time.monotonic() - began, warnings)


def write_source(of: list[Place], source: Path, files: Path, reference: bool) -> set[str]:
    """Write Sphinx's source of places.

    Args:
        files: the folder that is to become `FILES` of the page.

    Returns:
        Docnames of its pages.
    """
    guides = {p.relative_to(ROOT).as_posix(): p for p in sorted((ROOT / "docs").rglob("*.md"))}
    guides.pop("docs/index.md", None)  # the front page has its place
    known = {path: path for path in guides} | {"README.md": "index.md", "docs/index.md": "index.md"}
    overviews = sorted(p.name for p in (output_root() / "figures").glob(f"{OVERVIEW}*/"))
    known |= {f"figures/{name}": f"{contents.results_page(name)}.md" for name in overviews}
    with_contents = {place.name for place in studies(of)}
    for place in of:
        home = f"runs/{place.name if place.name in with_contents else place.first}/index.md"
        known |= {f"{kind}/{place.name}": home for kind in ("figures", "papermill_runs")}
        known |= {f"papermill_runs/{place.name}/{n}.ipynb": f"runs/{place.name}/{n}.ipynb" for n in place.notebooks}
    links = Links(source, files, known)
    texts: dict[str, str] = {}
    for path, guide in guides.items():
        name = path.removesuffix(".md")
        texts[name] = links.relinked(guide.read_text(encoding="utf-8"), name, str(Path(path).parent))
    texts |= {f"runs/{p.name}/rows": text for p in of if (text := cards.page(p, links))}
    with_cards = {p.name for p in of if f"runs/{p.name}/rows" in texts}
    texts |= {f"runs/{p.name}/index": contents.of_place(p, of, links, with_cards) for p in studies(of)}
    texts |= {contents.results_page(name): contents.results(links, name) for name in overviews}
    texts |= {page.stem: page.read_text(encoding="utf-8") for page in (HERE / "pages").glob("*.md")}
    texts |= contents.reference() if reference else {}
    texts["index"] = contents.front(of, links, overviews, {*texts})
    for name, text in texts.items():
        path = source / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    notebooks = set()
    for place in of:
        for name in place.notebooks:
            docname = f"runs/{place.name}/{name}"
            made = notebook_page(place, name, links, cards.anchors(place, links, docname, name))
            nbformat.write(made, source / f"{docname}.ipynb")
            notebooks.add(docname)
    return {*texts} | notebooks


def _sphinx(source: Path, html: Path, doctrees: Path) -> list[str]:
    """Build the source; returns warnings, without the folder's path."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    said = io.StringIO()
    with patch_docutils(HERE), docutils_namespace():
        app = Sphinx(source, HERE, html, doctrees, "html", status=None, warning=said, parallel=1)
        app.build(force_all=True)
    plain = re.sub(r"\x1b\[[\d;]*m", "", said.getvalue()).replace(f"{source}/", "")
    return [line for line in plain.splitlines() if line.strip()]


def _copy_mathjax(to: Path) -> None:
    """MathJax beside the page, from its package; only what the pages load."""
    (home,) = find_spec("sphinx-mathjax-offline").submodule_search_locations
    for name in MATHJAX:
        path = Path(home) / "static" / "mathjax" / name
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, to / name, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, to / name)
