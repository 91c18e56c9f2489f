"""Links of the repository's Markdown as links of the page, so that they work wherever the page is published."""

import os
import re
import shutil
from html import escape
from pathlib import Path
from urllib.parse import quote, unquote

from ..infra.files import ROOT
from ..runs.context import output_root

FILES = "files"  # the folder of the page with what can be downloaded, under its path in the repository
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.S)


class Links:
    """What a link of a Markdown file leads to on the page.

    Args:
        source: the folder of the Sphinx source. files: the folder that becomes `FILES`.
        pages: paths in the repository and the page's source that shows each.
    """

    def __init__(self, source: Path, files: Path, pages: dict[str, str]):
        self.source, self.files, self.pages = source, files, pages

    def file(self, path: str, docname: str) -> str:
        """The address of a file of the repository from a page; the file is kept beside the page.

        Returns:
            An empty text where there is no such file.
        """
        if not (found := self._found(path)):
            return ""
        copy = self.files / path
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, copy)
        return f"{self.up(docname)}{FILES}/{quote(path)}"

    def image(self, path: str) -> str:
        """The address of a figure for Markdown's ``![]()``; an empty text where there is none."""
        if not (found := self._found(path)):
            return ""
        copy = self.source / "images" / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, copy)
        return f"/images/{quote(path, safe='/+')}"

    def html(self, path: str, docname: str, text: str = "") -> str:
        """A link to a file in HTML; the text alone where there is none."""
        text = text or escape(Path(path).name)
        address = self.file(path, docname)
        return f'<a href="{address}">{text}</a>' if address else text

    def page(self, of: str, docname: str, anchor: str = "") -> str:
        """The address in HTML of one page from another."""
        return f"{self.up(docname)}{quote(of)}.html{'#' * bool(anchor)}{quote(anchor)}"

    def up(self, docname: str) -> str:
        return "../" * docname.count("/")

    def relinked(self, markdown: str, docname: str, base: str = "") -> str:
        """Markdown with its links to the repository's files turned into links of the page.

        Args:
            docname: of the page that shows it. base: the folder that its links are seen from, then the repository.
        """
        parts = _CODE.split(markdown)
        whole = "\0".join(parts[::2])  # without code, which may hold what looks like a link
        code = iter(parts[1::2])
        whole = _LINK.sub(lambda match: self._relinked(match, docname, base), whole)
        return re.sub("\0", lambda _: next(code), whole)

    def _relinked(self, match: re.Match, docname: str, base: str) -> str:
        image, text, target = match.groups()
        if re.match(r"[a-z]+:|#|/", target):
            return match[0]
        path, _, anchor = unquote(target).partition("#")
        candidates = [os.path.normpath(os.path.join(base, path)), os.path.normpath(path)]
        path = next((p for p in candidates if p in self.pages or self._found(p)), "")
        if path in self.pages:
            return f"[{text}](/{quote(self.pages[path], safe='/+')}{'#' * bool(anchor)}{anchor})"
        if image:
            return f"![{text}]({self.image(path)})" if path else text
        if path and self._found(path):
            return f'<a href="{self.file(path, docname)}">{text}</a>'
        return text  # a folder, or what is not there

    def text(self, path: str) -> str:
        """What a text file holds; nothing where there is none."""
        found = self._found(path)
        return found.read_text(encoding="utf-8") if found else ""

    def _found(self, path: str) -> Path | None:
        """A file of the outputs that the page is of, or else of the repository; nothing outside of them."""
        if os.path.isabs(path) or path.startswith(".."):
            return None
        root = output_root() if path.startswith(("figures/", "papermill_runs/")) else ROOT
        return root / path if (root / path).is_file() else None
