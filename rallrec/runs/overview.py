"""Tables and figures across data sets, made of the tables that their notebooks wrote."""

import json
import textwrap
from pathlib import Path

import pandas as pd

from ..data.loading import LOADERS
from ..infra.errors import InputError
from . import figures
from .run import output_root, read_metrics

# name of the overview: table of the notebooks, label column, value, its heading
TABLES = {
    "main": ("05_main", "method", "auc", "AUC of every reader, the LLM's on a sample"),
    "fast_readers": ("05_fast_readers", "method", "auc", "AUC without an LLM, all test samples"),
    "claims": ("05_claims", "claim", "difference", "difference of AUC"),
    "released": ("06_released", "protocol", "difference", "change of AUC against strict"),
}


def overview_folder() -> Path:
    return output_root() / "figures" / "overview"


def comparable(llm: str, profile: str, seed: int) -> list[str]:
    """Data sets whose last run had these settings, in the order of `LOADERS`, a user's own last; not ``tiny``."""
    names = sorted(p.parent.name for p in (output_root() / "papermill_runs").glob("*/metrics.json"))
    order = {name: place for place, name in enumerate(LOADERS)}
    names = sorted(names, key=lambda name: order.get(name, len(order)))
    wanted = dict(llm=llm, profile=profile, seed=seed, other_parameters={})
    return [n for n in names if n != "tiny" and all(read_metrics(n).get(k) == v for k, v in wanted.items())]


def across(datasets: list[str], table: str, label: str, value: str) -> pd.DataFrame:
    """One table of all data sets: ``label``, the value with its interval, ``dataset``, ``n``, a verdict if it has one.

    A table with a column ``reader`` has it in the label.
    """
    parts = []
    for name in datasets:
        path = output_root() / "figures" / name / f"{table}.csv"
        if not path.exists():
            continue
        part = pd.read_csv(path).dropna(subset=value)
        if "reader" in part and label != "method":
            part[label] = part["reader"] + ": " + part[label]
        verdict = ["verdict"] if "verdict" in part else []
        parts.append(part[[label, value, f"{value}_low", f"{value}_high", "n", *verdict]].assign(dataset=name))
    if not parts:
        raise InputError(f"no data set has the table {table}; run `make all` first")
    return pd.concat(parts, ignore_index=True)


def made_by(dataset: str) -> pd.DataFrame:
    """The rows of a data set's main ablations with the command that makes each, its seconds and hardware.

    Of a row whose answers of the LLM were all in the cache no seconds are known.
    """
    made = read_metrics(dataset)["notebooks"]["06_ablations"]["made"]
    parts = []
    for table, reader in (("06_parts_vote", ""), ("06_parts_llm", "LLM, ")):
        rows = pd.read_csv(output_root() / "figures" / dataset / f"{table}.csv")
        seconds = [str(made["rows"].get(reader + row, "cached")) for row in rows.method]
        named = dict(row=reader + rows.method, samples=rows.n, AUC=rows.auc, command=rows.command, seconds=seconds)
        parts.append(pd.DataFrame(named | {"hardware": made["hardware"]}))
    return pd.concat(parts, ignore_index=True)


def said(verdicts: pd.Series) -> str:
    """A claim's verdicts, by data set, as a sentence: ``holds on a and b; can't be told … on c``."""
    parts = []
    for verdict in figures.VERDICTS:
        if names := verdicts.index[verdicts == verdict].tolist():
            where = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
            size = " at this sample size" if verdict == "can't be told" else ""
            parts.append(f"{verdict}{size} on {where}")
    return "; ".join(parts)


def write_claims(claims: pd.DataFrame, folder: Path) -> None:
    """A figure and a sentence for each claim: ``claim-01.png`` …, ``claims_in_words.md``."""
    lines = []
    for number, (claim, rows) in enumerate(claims.groupby("claim", sort=False), 1):
        sentence = said(rows.set_index("dataset")["verdict"])
        figure = figures.forest(rows, "difference", "difference of AUC", "dataset", "verdict", 0, figures.VERDICTS)
        figure.axes[0].set_title(f"{claim}:\n{textwrap.fill(sentence, 76, break_on_hyphens=False)}", fontsize="small")
        figures.save(figure, folder / f"claim-{number:02}")
        lines.append(f"- [{claim}](figures/overview/claim-{number:02}.png): {sentence}.\n")
    (folder / "claims_in_words.md").write_text("".join(lines), encoding="utf-8")


def write_overview(llm: str, profile: str, seed: int) -> Path:
    """Write ``figures/overview/``: each of `TABLES` with a column a data set, and as a figure; a figure a claim."""
    datasets = comparable(llm, profile, seed)
    folder = overview_folder()
    folder.mkdir(parents=True, exist_ok=True)
    figures.use_style()
    for name, (table, label, value, heading) in TABLES.items():
        long = across(datasets, table, label, value)
        cells = figures.with_intervals(long, {value: "cell"}, label).assign(dataset=long["dataset"])
        wide = cells.pivot_table(index=label, columns="dataset", values="cell", aggfunc="first", sort=False)
        sizes = long.groupby("dataset")["n"].max()
        present = [d for d in datasets if d in wide]
        wide = wide[present].fillna("–")
        if value == "auc":
            wide = wide.rename(columns={d: f"{d} ({sizes[d]:,})" for d in present})
        wide = wide.rename_axis(None, axis=1).reset_index()
        figures.save_table(long, wide, folder / name)
        figures.save(figures.across(long, label, value, heading), folder / name)
        if name == "claims":
            write_claims(long, folder)
    for name in datasets:
        rows = made_by(name)
        shown = rows.assign(AUC=rows.AUC.map("{:.3f}".format), command="`" + rows.command + "`")
        figures.save_table(rows, shown, folder / f"commands-{name}")
    made = {d: read_metrics(d)["data_hash"] for d in datasets}
    settings = dict(llm=llm, profile=profile, seed=seed, data=made)
    (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return folder
