"""A card for each row of a place's main tables: the command that makes it, settings, seeds, seconds, hashes."""

import json
import re
import shlex
from dataclasses import dataclass
from html import escape

import pandas as pd

from ..infra.downloads import sha256_of
from ..infra.files import published_dir
from ..pipeline import Choice
from ..profiles import PROFILES
from ..runs.place import READS, Parameters
from ..study import ablations, experiments
from .links import Links
from .places import Place

Rows = dict[str, Choice]


@dataclass(frozen=True)
class Group:
    """Tables of a notebook whose rows have the same names.

    Attributes:
        tables: each with the column of its row's names. rows: the choice behind each name.
    """

    heading: str
    notebook: str
    tables: tuple[str, ...]
    rows: Rows


GROUPS = (
    Group("Readers", "05_recommendation", ("05_main", "05_fast_readers"), ablations.FAST | ablations.ASKED),
    Group("One part changed, read by the vote", "06_ablations", ("06_parts_vote",), ablations.VARIANTS),
    Group(
        "One part changed, read by the LLM",
        "06_ablations",
        ("06_parts_llm",),
        {"RALLRec": experiments.RALLREC} | experiments.TABLE_4,
    ),
)


def anchors(place: Place, links: Links, docname: str, name: str) -> dict[str, str]:
    """Rows of a notebook's tables, and the address of each row's card from the page ``docname``."""
    to = links.page(f"runs/{place.name}/rows", docname)
    return {
        label: f"{to}#{_slug(group, label)}"
        for group in GROUPS
        if group.notebook == name
        for label in _values(place, group)
    }


def page(place: Place, links: Links) -> str:
    """The page of a place's cards, in Markdown; empty where no notebook has left a table with rows."""
    docname = f"runs/{place.name}/rows"
    parts = []
    for group in GROUPS:
        cards = [_card(place, group, label, values, links, docname) for label, values in _values(place, group).items()]
        if cards:
            parts.append("\n".join([f"## {group.heading}\n", *cards, ""]))
    if not parts:
        return ""
    return "\n\n".join([f"# {place.title}: how each row was made", _common(place, links, docname), *parts]) + "\n"


def _values(place: Place, group: Group) -> dict[str, list[tuple[str, pd.Series]]]:
    """By a row's name: the tables that have it, with its values."""
    found: dict[str, list[tuple[str, pd.Series]]] = {}
    for table in group.tables:
        path = place.figures / f"{table}.csv"
        if path.exists():
            for _, row in pd.read_csv(path).iterrows():
                found.setdefault(row["method"], []).append((table, row))
    return found


def _common(place: Place, links: Links, docname: str) -> str:
    """What all rows of a place share."""
    metrics, provenance = place.metrics, place.provenance
    weights = [f"{metrics.get('llm')}: {provenance['weights']}"] if "weights" in provenance else []
    weights += [f"{place.reader}: {provenance['reader_weights']}"] if "reader_weights" in provenance else []
    predictions = place.runs / "predictions.parquet"
    sizes = PROFILES[metrics["profile"]] if metrics.get("profile") in PROFILES else None
    facts = {
        "data set": f"{place.title} (<code>{place.dataset}</code>), hash <code>{metrics.get('data_hash')}</code>",
        "LLM that describes and embeds": f"<code>{escape(str(metrics.get('llm')))}</code>",
        "LLM that reads": f"<code>{escape(place.reader)}</code>",
        "weights": "; ".join(f"<code>{escape(w)}</code>" for w in weights),
        "adapters": _adapters(place),
        "profile": sizes
        and f"<code>{metrics['profile']}</code>: K = {sizes.k}, in prompts {sizes.llm_k}; "
        f"{sizes.llm_samples:,} test samples for the LLM, {sizes.ablation_samples:,} in its ablations",
        "seed": str(metrics.get("seed")),
        "other parameters": ", ".join(f"{k} = {v}" for k, v in metrics.get("other_parameters", {}).items()),
        "rallrec": str(metrics.get("version", "")),
        "answers of the LLM made on": provenance.get("answers_made_on") or provenance.get("hardware", ""),
        "P(like) of every row": links.html(f"papermill_runs/{place.name}/predictions.parquet", docname)
        + f", sha256 <code>{sha256_of(predictions)[:16]}…</code>"
        if predictions.exists()
        else "",
        "all recorded values": links.html(f"papermill_runs/{place.name}/metrics.json", docname),
    }
    return f'<dl class="facts">{_facts(facts)}</dl>'


def _adapters(place: Place) -> str:
    """Digests of the adapters that answered, and what each was trained on."""
    if not place.provenance:
        return ""
    folder, reader = published_dir() / place.dataset, place.name.partition(f"+{READS}")[2]
    made = {}
    if reader and (folder / "adapters.json").exists():
        made = json.loads((folder / "adapters.json").read_text(encoding="utf-8"))
    elif not reader:
        files = sorted(folder.glob("adapter*/rallrec.json"))
        made = {f.parent.name: json.loads(f.read_text(encoding="utf-8")) for f in files}
    said = []
    for name, adapter in made.items():
        inputs = adapter["inputs"]
        if reader and reader not in inputs["model"]:
            continue
        orders = " + ".join(inputs.get("orders", []))
        said.append(f"<code>{adapter.get('digest', name)}</code> (trained on {orders}, seed {inputs.get('seed')})")
    return "; ".join(said)


def _card(place: Place, group: Group, label: str, values: list, links: Links, docname: str) -> str:
    """One row's card: a line, and when it is opened all that made it."""
    choice = group.rows.get(label)
    made = place.metrics["notebooks"].get(group.notebook, {}).get("made", {})
    rows = {}
    for notebook in place.metrics["notebooks"].values():
        rows |= notebook["made"].get("rows", {})
    _, row = values[0]
    recorded = row.get("command") if isinstance(row.get("command"), str) else None
    plain = recorded or (choice.command(place.dataset) if choice else "")
    alone = f"{rows[plain]:g} s" if plain in rows else "read from the cache" if recorded else "not timed alone"
    seeds = next((int(r["seeds"]) for _, r in values if pd.notna(r.get("seeds"))), 1)
    facts = {
        "command": f"<pre>{escape(_complete(plain, place))}</pre>" if plain else "",
        "gives": "<br>".join(_measured(place, table, r, links, docname) for table, r in values),
        "choice": _choice(choice) if choice else "",
        "seeds": f"mean of {seeds}; the command has one" if seeds > 1 else f"{place.metrics.get('seed')}",
        "seconds": f"{alone}; the whole notebook took {made.get('seconds', '–')} s",
        "hardware": escape(str(made.get("hardware", ""))),
        "notebook": f'<a href="{links.page(f"runs/{place.name}/{group.notebook}", docname)}">{group.notebook}</a>',
    }
    return (
        f'<details class="row-card" id="{_slug(group, label)}"><summary>{escape(label)} '
        f'<span>{_interval(row, "auc")}</span></summary><dl class="facts">{_facts(facts)}</dl></details>'
    )


def _complete(command: str, place: Place) -> str:
    """A row's command with what is not as in the reference runs: the reader, another LLM, profile or seed."""
    of, metrics = Parameters(), place.metrics
    for name in ("llm", "profile", "seed"):
        if metrics.get(name) not in (None, getattr(of, name)):
            command += f" --{name} {shlex.quote(str(metrics[name]))}"
    return command + (f" --reader-llm {shlex.quote(metrics['reader'])}" if metrics.get("reader") else "")


def _choice(choice: Choice) -> str:
    given = {f: getattr(choice, f) for f in choice.__dataclass_fields__}
    return ", ".join(f"{name} = {escape(str(value))}" for name, value in given.items() if value is not None)


def _measured(place: Place, table: str, row: pd.Series, links: Links, docname: str) -> str:
    """A row's values in one table, with a link to the table."""
    csv = links.html(f"figures/{place.name}/{table}.csv", docname)
    users = f", {int(row['users']):,} users" if pd.notna(row.get("users")) else ""
    difference = f", difference {_interval(row, 'difference')}" if pd.notna(row.get("difference")) else ""
    return f"AUC {_interval(row, 'auc')}{difference}, on {int(row['n']):,} samples{users} ({csv})"


def _interval(row: pd.Series, name: str) -> str:
    if pd.isna(row.get(name)):
        return "–"
    sign = "+" if name == "difference" else ""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    between = f" [{low:{sign}.3f}, {high:{sign}.3f}]" if pd.notna(low) and pd.notna(high) else ""
    return f"{row[name]:{sign}.3f}{between}"


def _facts(facts: dict[str, str]) -> str:
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value)


def _slug(group: Group, label: str) -> str:
    """A row's anchor: rows of two tables may have one name."""
    return f"{group.tables[0]}-{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}"
