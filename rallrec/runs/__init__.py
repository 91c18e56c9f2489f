"""Notebooks run, their outputs and figures, publishing, comparison with recorded values, the overview."""
