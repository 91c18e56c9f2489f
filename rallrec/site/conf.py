"""Sphinx's settings of the page; `build.build` runs it."""

import os

from pygments.lexers.special import TextLexer

project = "rallrec"
author = "The rallrec authors"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_design",
]

# notebooks, as they were recorded
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # from other hosts
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3

# docstrings: a name in single backquotes is a name of the package
default_role = "py:obj"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
viewcode_follow_imported_members = False  # its links back would be to where a name is used
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_book_theme"
html_context = {"default_mode": "auto"}
html_favicon = "static/favicon.svg"
html_title = "rallrec"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None  # the same bytes from the same runs
mathjax_path = "mathjax/tex-chtml.js"  # beside the page: build.build copies it
repository = os.environ.get("REPOSITORY", "").rstrip("/")  # https://github.com/OWNER/NAME, where it is published
html_theme_options = {
    "show_navbar_depth": 1,
    "navbar_persistent": [],  # the sidebar has the search
    "use_download_button": False,
    "use_fullscreen_button": False,
    "repository_url": repository,
    "use_repository_button": bool(repository),
    "use_issues_button": bool(repository),
    "repository_branch": os.environ.get("REPOSITORY_BRANCH", "main"),
}


def setup(app) -> None:
    app.add_lexer("csv", TextLexer)  # Pygments knows none
    app.connect("autodoc-process-signature", _without_factories)


def _without_factories(app, what, name, obj, options, signature, returns):
    """A field made by a factory is no Python that Sphinx can read, and the whole signature would stay without links."""
    return signature and signature.replace("<factory>", "..."), returns
