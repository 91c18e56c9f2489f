"""The page (`make site`): executed notebooks, figures, tables, guides and reference as HTML that needs no server.

`build.build` writes a Sphinx source from what the runs left (`papermill_runs/`, `figures/`, `published/`) and from
`docs/`, and makes HTML of it. No notebook is executed, no address outside the page is asked for anything.
"""
