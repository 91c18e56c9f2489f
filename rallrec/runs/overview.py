"""Tables and figures across data sets and readers, made of the tables that their notebooks wrote."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..data.loading import LOADERS
from ..infra.errors import InputError
from . import figures, findings, paper_overview
from .context import output_root
from .place import OVERVIEW, Parameters, reference
from .run import read_metrics, write_json
from .side_by_side import by_reader, dataset_of, in_lines, labelled, read, said, save, sizes

NEEDED = "05_recommendation"  # of each place
ABLATIONS = "06_ablations"  # of one reader at least; what a place lacks of it stands there as not measured


@dataclass(frozen=True)
class Across:
    """A table of the overview, made of the table ``source`` that the notebooks of each data set wrote.

    Attributes:
        rows: its columns that name a row. value: the column compared.
        heading: of the figure's axis; of what is a table alone, empty. series: the column that sets markers.
    """

    source: str
    rows: tuple[str, ...]
    value: str
    heading: str = ""
    series: str = "read_by"


TABLES = {
    "main": Across("05_main", ("method",), "auc"),  # its figure: `paper_overview`
    "fast_readers": Across("05_fast_readers", ("method",), "auc"),
    "comparisons": Across("05_claims", ("claim",), "difference", "difference of AUC"),
    "released": Across("06_released", ("reader", "protocol"), "difference", "change of AUC against strict", "reader"),
}


def folder_of(name: str = "") -> Path:
    """``figures/overview``, of the reference runs; with a name, the folder of another overview."""
    return output_root() / "figures" / (f"{OVERVIEW}+{name}" if name else OVERVIEW)


def comparable(of: list[Parameters]) -> tuple[list[str], str]:
    """Places whose runs can be compared with those just made, and the name of their overview (see `folder_of`).

    Of reference runs these are the reference runs, and no name; otherwise all with the same settings (LLM, profile,
    seed, K, the user's own file by its content), the reference runs, too, if these have them. Runs through other
    readers stand beside each other. In the order of `LOADERS`, a user's own last. Left out are ``tiny``, places without
    the notebook `NEEDED`, and data sets of which no reader has `ABLATIONS`.
    """
    mine = [parameters.place() for parameters in of if parameters.name != "tiny"]
    ours = all(reference(place) for place in mine)
    made = {p.parent.name: read_metrics(p.parent.name) for p in (output_root() / "papermill_runs").glob("*/*.json")}
    wanted = [_settings(made[place]) for place in mine if place in made]
    order = {name: number for number, name in enumerate(LOADERS)}
    places = sorted(
        made, key=lambda p: (order.get(made[p]["dataset"], len(order)), dataset_of(p), p != dataset_of(p), p)
    )
    same = [p for p in places if _settings(made[p]) in wanted and (reference(p) or not ours)]
    whole = {dataset_of(p) for p in same if ABLATIONS in made[p]["notebooks"]} - {"tiny"}
    shown = [p for p in same if dataset_of(p) in whole and NEEDED in made[p]["notebooks"]]
    return shown, "" if ours else of[0].suffix.lstrip("+") or "own"


def _settings(metrics: dict) -> dict:
    """What has to be the same for runs to be compared; who reads may differ."""
    named = {name: metrics.get(name) for name in ("llm", "profile", "seed", "other_parameters")}
    return {name: value for name, value in named.items() if value != {}}


def across(places: list[str], table: Across) -> pd.DataFrame:
    """One table of all places, whose data sets are called by the places' names.

    Returns:
        The row's columns, ``row`` (these in one text, with the reader where it makes a difference), the value with its
        interval, ``dataset``, ``place``, ``read_by``, ``n``, and a verdict if it has one.
    """
    value = table.value
    long = read(places, table.source).dropna(subset=value).reset_index(drop=True)
    long = by_reader(long, table.rows, (value, f"{value}_low", f"{value}_high", "n"))
    row = long[list(table.rows)].agg(": ".join, axis=1)
    extra = [name for name in ("adjusted_p", "verdict") if name in long]
    kept = [*table.rows, value, f"{value}_low", f"{value}_high", "n", *extra, "dataset", "place", "read_by"]
    return long[kept].assign(row=list(map(labelled, row, long["read_by"])))


def made_by(place: str) -> pd.DataFrame:
    """The rows of a place's `ABLATIONS` with the command that makes each, its seconds and hardware.

    Of a row whose answers of the LLM were all in the cache no seconds are known.
    """
    made = read_metrics(place)["notebooks"][ABLATIONS]["made"]
    tables = {"no LLM": "06_parts_vote", "LLM": "06_parts_llm"}
    folder = output_root() / "figures" / place
    parts = [pd.read_csv(folder / f"{table}.csv").assign(reader=reader) for reader, table in tables.items()]
    rows = pd.concat(parts, ignore_index=True)
    seconds = [str(made.get("rows", {}).get(command, "cached")) for command in rows.command]
    named = dict(reader=rows.reader, row=rows.method, samples=rows.n, AUC=rows.auc, command=rows.command)
    return pd.DataFrame(named | dict(seconds=seconds, hardware=made["hardware"]))


def write_comparisons(comparisons: pd.DataFrame, folder: Path) -> None:
    """Our comparisons as one figure, a panel a data set, and ``comparisons_in_words.md``, a line each."""
    lines = []
    for claim, rows in comparisons.groupby("claim", sort=False):
        by_who = [(who, of.set_index("dataset")["verdict"]) for who, of in rows.groupby("read_by", sort=False)]
        sentence = ". ".join(f"{who}: {said(verdicts)}" if who else said(verdicts) for who, verdicts in by_who)
        lines.append(f"- *{claim}*: {sentence}.\n")
    (folder / "comparisons_in_words.md").write_text("".join(lines), encoding="utf-8")


def write_overview(places: list[str], name: str = "") -> Path:
    """Write an overview: each of `TABLES` with a column a data set, and as a figure; all that is said of the paper.

    Args:
        places: folders of ``papermill_runs/``. name: of the overview, see `folder_of`.

    Raises:
        InputError: there are no places, or one of them lacks a table.
    """
    folder = folder_of(name)
    if not places:
        raise InputError("no data set but tiny was run whole with these settings; run `make all` first")
    made = {place: read_metrics(place) for place in places}
    if unknown := [place for place in places if NEEDED not in made[place].get("notebooks", {})]:
        raise InputError(f"papermill_runs/{unknown[0]} has no {NEEDED}; run `make all` first")
    # all is read before anything is written
    tables = {name: across(places, table) for name, table in TABLES.items()}
    of_paper = paper_overview.read_all(places)
    commands = {place: made_by(place) for place in places if ABLATIONS in made[place]["notebooks"]}
    folder.mkdir(parents=True, exist_ok=True)
    earlier = ("claim-*", "comparison-*", "commands-*", "fast_readers.p*")
    for left in (path for pattern in earlier for path in folder.glob(pattern)):
        left.unlink()  # of rows and places of an earlier one, and figures of an earlier version
    figures.use_style()
    for title, table in TABLES.items():
        _write_across(tables[title], table, folder / title)
    write_comparisons(tables["comparisons"], folder)
    paper_overview.write(of_paper, tables["comparisons"], folder)
    if not name:
        lacking = [place for place in places if place not in commands]
        write_what_is_run(of_paper[paper_overview.CLAIMS], places, lacking, folder)
    for place, rows in commands.items():
        shown = rows.assign(AUC=rows.AUC.map("{:.3f}".format), command="`" + rows.command + "`")
        figures.save_table(rows, shown, folder / f"commands-{place}")
    settings = _settings(made[places[0]])
    if any(_settings(metrics) != settings for metrics in made.values()):  # side by side: each has its own
        settings = {"settings": {place: _settings(metrics) for place, metrics in made.items()}}
    write_json(folder / "settings.json", settings | {"data": {d: metrics["data_hash"] for d, metrics in made.items()}})
    return folder


def write_what_is_run(claims: pd.DataFrame, places: list[str], lacking: list[str], folder: Path) -> None:
    """Of the reference runs: what is not run yet, how long they took, and where their notebooks are.

    Args:
        lacking: those without `ABLATIONS`.
    """
    (folder / "not_run.md").write_text(findings.not_run(claims, lacking=lacking) + "\n", encoding="utf-8")
    (folder / "times.md").write_text(findings.times(places) + "\n", encoding="utf-8")
    (folder / "notebooks.md").write_text(figures.markdown(findings.notebooks()), encoding="utf-8")


def _sizes(rows: pd.DataFrame) -> str:
    """Numbers of samples of one data set's rows, for a heading; of rows with an LLM and others each, where they differ.

    Args:
        rows: ``n`` and ``read_by``, which is empty without an LLM, and where all places have one reader.
    """
    of = sizes(rows["n"], rows["read_by"].ne("").map({True: "LLM", False: "else"}))
    if len(of) == 1:
        return f" ({of[0]})"
    least, most = rows["n"].min(), rows["n"].max()
    return "\n" + ("\n".join(of) or f"({least:,.0f} {'to' if rows['n'].nunique() > 2 else 'or'} {most:,.0f})")


def _write_across(long: pd.DataFrame, table: Across, path: Path) -> None:
    label, value = table.rows[-1], table.value
    shown = long.assign(**{label: long["row"]})
    cells = figures.with_intervals(shown, {value: "cell"}, label).assign(dataset=long["dataset"])
    wide = cells.pivot_table(index=label, columns="dataset", values="cell", aggfunc="first", sort=False)
    sizes = long.groupby("dataset")["n"].max()
    present = list(dict.fromkeys(long["dataset"]))
    wide = wide[present].fillna("–")
    if value == "auc":
        wide = wide.rename(columns={d: f"{d} ({sizes[d]:,})" for d in present})
    figures.save_table(long.drop(columns="row"), wide.rename_axis(None, axis=1).reset_index(), path)
    if table.heading:
        drawn = in_lines(long).assign(series=long[table.series].replace("", "no LLM"))
        named = {name: f"{name}{_sizes(of)}" for name, of in drawn.groupby("dataset", sort=False)}
        figure = figures.by_panel(drawn, label, value, table.heading, series="series", names=named)
        save(figure, path, 0)
