"""Tables and figures across data sets, made of the tables that their notebooks wrote."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..data.loading import LOADERS
from ..extensions import load_extra
from ..infra.errors import InputError
from . import figures
from .context import output_root
from .run import extra_path, read_metrics

NEEDED = ("05_recommendation", "06_ablations")  # notebooks whose tables it is made of


@dataclass(frozen=True)
class Across:
    """A table of the overview, made of the table ``source`` that the notebooks of each data set wrote.

    Attributes:
        rows: its columns that name a row. value: the column compared. heading: of the figure's axis.
    """

    source: str
    rows: tuple[str, ...]
    value: str
    heading: str


TABLES = {
    "main": Across("05_main", ("method",), "auc", "AUC of every reader, the LLM's on a sample"),
    "fast_readers": Across("05_fast_readers", ("method",), "auc", "AUC without an LLM, all test samples"),
    "claims": Across("05_claims", ("claim",), "difference", "difference of AUC"),
    "released": Across("06_released", ("reader", "protocol"), "difference", "change of AUC against strict"),
}


def overview_folder() -> Path:
    return output_root() / "figures" / "overview"


def comparable(llm: str, profile: str, seed: int, extra: str = "") -> list[str]:
    """Data sets of which notebooks 05 and 06 were last run with these settings; not ``tiny``.

    In the order of `LOADERS`, a user's own last. A data set whose tables are of several settings is left out: of
    the notebooks that ran with other settings than the last one `run.read_metrics` knows nothing.

    Args:
        extra: the file of one's own, which has to be the same, by its content.
    """
    names = sorted(p.parent.name for p in (output_root() / "papermill_runs").glob("*/metrics.json"))
    order = {name: place for place, name in enumerate(LOADERS)}
    names = sorted(names, key=lambda name: order.get(name, len(order)))
    other = {"EXTRA": load_extra(extra_path(extra))} if extra else {}
    wanted = dict(llm=llm, profile=profile, seed=seed, other_parameters=other)
    metrics = {name: read_metrics(name) for name in names if name != "tiny"}
    same = [name for name, made in metrics.items() if all(made.get(k) == v for k, v in wanted.items())]
    return [name for name in same if set(NEEDED) <= metrics[name]["notebooks"].keys()]


def across(datasets: list[str], table: Across) -> pd.DataFrame:
    """One table of all data sets: the row's columns, ``row`` (these in one text), the value with its interval,
    ``dataset``, ``n``, and a verdict if it has one.
    """
    value, parts = table.value, []
    for name in datasets:
        path = output_root() / "figures" / name / f"{table.source}.csv"
        if not path.exists():
            raise InputError(f"{path} is not there; run `make all DATASETS={name}` first")
        part = pd.read_csv(path).dropna(subset=value)
        row = part[list(table.rows)].agg(": ".join, axis=1)
        verdict = ["verdict"] if "verdict" in part else []
        kept = part[[*table.rows, value, f"{value}_low", f"{value}_high", "n", *verdict]]
        parts.append(kept.assign(row=row, dataset=name))
    return pd.concat(parts, ignore_index=True)


def made_by(dataset: str) -> pd.DataFrame:
    """The rows of a data set's main ablations with the command that makes each, its seconds and hardware.

    Of a row whose answers of the LLM were all in the cache no seconds are known.
    """
    made = read_metrics(dataset)["notebooks"]["06_ablations"]["made"]
    tables = {"no LLM": "06_parts_vote", "LLM": "06_parts_llm"}
    folder = output_root() / "figures" / dataset
    parts = [pd.read_csv(folder / f"{table}.csv").assign(reader=reader) for reader, table in tables.items()]
    rows = pd.concat(parts, ignore_index=True)
    seconds = [str(made.get("rows", {}).get(command, "cached")) for command in rows.command]
    named = dict(reader=rows.reader, row=rows.method, samples=rows.n, AUC=rows.auc, command=rows.command)
    return pd.DataFrame(named | dict(seconds=seconds, hardware=made["hardware"]))


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


def write_overview(llm: str, profile: str, seed: int, extra: str = "") -> Path:
    """Write ``figures/overview/``: each of `TABLES` with a column a data set, and as a figure; a figure a claim."""
    datasets, folder = comparable(llm, profile, seed, extra), overview_folder()
    if not datasets:
        raise InputError("no data set but tiny was run whole with these settings; run `make all` first")
    # all is read before anything is written
    tables = {name: across(datasets, table) for name, table in TABLES.items()}
    commands = {name: made_by(name) for name in datasets}
    folder.mkdir(parents=True, exist_ok=True)
    figures.use_style()
    for name, table in TABLES.items():
        long, label, value = tables[name], table.rows[-1], table.value
        shown = long.assign(**{label: long["row"]})
        cells = figures.with_intervals(shown, {value: "cell"}, label).assign(dataset=long["dataset"])
        wide = cells.pivot_table(index=label, columns="dataset", values="cell", aggfunc="first", sort=False)
        sizes = long.groupby("dataset")["n"].max()
        present = [d for d in datasets if d in wide]
        wide = wide[present].fillna("–")
        if value == "auc":
            wide = wide.rename(columns={d: f"{d} ({sizes[d]:,})" for d in present})
        wide = wide.rename_axis(None, axis=1).reset_index()
        figures.save_table(long.drop(columns="row"), wide, folder / name)
        figures.save(figures.across(shown, label, value, table.heading), folder / name)
        if name == "claims":
            write_claims(long, folder)
    for name, rows in commands.items():
        shown = rows.assign(AUC=rows.AUC.map("{:.3f}".format), command="`" + rows.command + "`")
        figures.save_table(rows, shown, folder / f"commands-{name}")
    made = {d: read_metrics(d)["data_hash"] for d in datasets}
    settings = dict(llm=llm, profile=profile, seed=seed, data=made) | ({"extra": extra} if extra else {})
    (folder / "settings.json").write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    return folder
