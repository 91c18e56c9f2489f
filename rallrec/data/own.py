"""A data set of the user's own: a folder of CSV files, or of RecBole's atomic files."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from . import columns
from .damage import UNKNOWN, mended, split_kinds, tidy
from .dataset import Dataset, Words, build
from .ids import cleaned, numbered, refuse_doubles
from .own_files import read_files
from .own_settings import SETTINGS, read_settings
from .rows import LeftOut
from .text import one_line
from .times import SECOND, microseconds

ZEROS = 0.3  # share of ratings of 0 above which a note asks whether they are ratings
FAR = 3  # how often the range of all other ratings a rating may lie apart from them, unless a scale is set
FEW = 0.05  # share of likes, or of dislikes, below which a note asks whether the threshold is right


def own_data(folder: Path, like_above: float | None = None) -> Dataset:
    """Read a folder's ratings, items and, where there are, users and settings, in any usual spelling.

    ``ratings.csv`` has the columns ``user_id, item_id, rating`` and, if times are known, ``time`` (see
    `times.microseconds`); ``items.csv`` has ``item_id, title`` and any attributes; ``users.csv`` has ``user_id``
    and any attributes. Rows come in any order. Other names of the files, such as MovieLens's ``movies.csv``, are in
    `own_files.NAMES`; other names of columns, such as ``movieId`` or ``unixReviewTime``, in `columns.SPELLINGS` and
    `columns.TIMES`. A folder with a file ``….inter`` holds RecBole's tables instead (see `atomic.read_atomic`).

    ``dataset.toml`` may set:

    - ``scale = [1, 5]``: the lowest and the highest rating possible; by default those of the ratings.
    - ``like_above = 3``: ratings above it are likes; by default the middle of the scale.
    - ``item_attributes``, ``user_attributes``: lists of the columns that prompts show; by default all but those of
      `columns.unfit` (links, identifiers, long texts, averages and counts of ratings, personal data).
    - ``beside_title``: a column shown in brackets after the title; by default the year.
    - ``category``: a column that says what kind of item it is; by default the genres.
    - ``category_separator = "|"``: what separates several kinds in a cell; by default ``|`` or ``;`` where many
      cells have it, else a comma and a blank.
    - a table ``[words]`` with fields of `Words`.

    Ratings that can't be right (no id, no number, off the scale that is set, no time) are left out where they are
    few (see `rows.LeftOut`). A pair rated twice keeps its latest rating, a rating of an unknown item is left out,
    and a user without a row gets an empty profile. `Dataset.notes` says what was understood, mended or left out.

    Raises:
        InputError: names file, line and mend for anything else that is wrong.
    """
    folder = Path(folder)
    settings = read_settings(folder / SETTINGS)
    ratings, items, users, notes = read_files(folder)
    ratings, timed, said = _ratings(ratings, settings.get("scale"))
    notes += said
    ratings, items, users, said = _comparable(ratings, items, users)
    notes += said
    ratings, said = _known_once(ratings, items, timed)
    notes += said
    items, users, settings, said = _attributes(items, users, settings, folder)
    notes += said
    users, said = _profiles(users, ratings)
    notes += said
    settings, said = _completed(settings, like_above, ratings, folder)
    tables = (table.map(lambda cell: one_line(cell) if isinstance(cell, str) else cell) for table in (items, users))
    return build(folder.resolve().name, ratings, *tables, timed=timed, notes=(*notes, *said), **settings)


# --- ratings ------------------------------------------------------------------------------------


def _ratings(ratings: pd.DataFrame, scale: tuple[float, float] | None) -> tuple[pd.DataFrame, bool, list[str]]:
    """Ratings as numbers with cleaned ids, whether their times are known; what was left out or mended."""
    path = ratings.attrs["path"]
    if not len(ratings):
        raise InputError(f"{path} holds no rating")
    file, n_rows, notes, left_out = Path(path).name, len(ratings), [], LeftOut(path, f"rows of {Path(path).name}")
    out = pd.DataFrame(index=ratings.index)
    for column in ("user_id", "item_id"):
        out[column], said = cleaned(ratings[column], file)
        notes += said
        _leave_out(left_out, out[column] == "", ratings[column], f"{column} is empty")
    out["rating"], said = _numbers(ratings["rating"], path)
    notes += said
    _leave_out(left_out, ~np.isfinite(out["rating"].astype(float)), ratings["rating"], "rating {!r} is no number")
    if scale:
        off = ~out["rating"].between(*scale)
        _leave_out(left_out, off, ratings["rating"], f"rating {{}} is off the scale {scale[0]:g} to {scale[1]:g}")
    timed = "time" in ratings and bool((ratings["time"].str.strip() != "").any())
    if timed:
        times, how = microseconds(ratings["time"], path, left_out)
        if how:
            notes.append(f"{file}: times are read as {how}.")
        timed = bool((times != times.iloc[0]).any())
        out["time"], out["microsecond"] = times // SECOND, times % SECOND
    out = out[~out.index.isin(list(left_out.rows))] if left_out.rows else out
    notes += left_out.notes(n_rows)
    if not scale:
        notes += _no_codes(out["rating"], path)
    if timed:
        out = out.astype({"time": np.int64, "microsecond": np.int64})
        if (np.diff(out["time"] * SECOND + out["microsecond"]) < 0).any():
            notes.append("Ratings were not in the order of time; they are ordered by user and time.")
    else:
        why = "All times are equal, and none is used" if "time" in out else "These ratings have no timestamps"
        notes.append(f"{why}: each user's ratings are shuffled with a fixed seed, and the last is the target.")
        out = out[["user_id", "item_id", "rating"]]
    out.attrs["path"] = path
    return out, timed, notes


def _numbers(written: pd.Series, path: str) -> tuple[pd.Series, list[str]]:
    """Ratings as numbers, NaN for what is none; what was read differently."""
    file, numbers = Path(path).name, pd.to_numeric(written, errors="coerce")
    texts = written[numbers.isna()].str.strip()
    if (truth := texts.str.lower().map({"true": 1.0, "false": 0.0})).notna().all() and len(texts) == len(written):
        return truth, [f"{file}: ratings are True or False and are read as 1 and 0."]
    if (several := texts.str.fullmatch(r"-?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")).any():
        line = several.idxmax()
        raise InputError(
            f"{path}:{line}: rating {texts[line]!r} may have a decimal comma or one between thousands; write 1234.5"
        )
    if not (comma := texts.str.fullmatch(r"-?[0-9]+,[0-9]+")).any():
        return numbers, []
    numbers = numbers.fillna(pd.to_numeric(texts[comma].str.replace(",", "."), errors="coerce"))
    return numbers, [f"{file}: {comma.sum():,} ratings have a decimal comma and are read so."]


def _no_codes(rating: pd.Series, path: str) -> list[str]:
    """What to know of ratings of 0, which may stand for none.

    Raises:
        InputError: the lowest or the highest rating looks like a code for none, such as -1 or 99.
    """
    values = np.unique(rating)
    if len(values) < 3:
        return []
    sets = f"set scale = [{values[0]:g}, {values[-1]:g}] in {SETTINGS}"
    below, above = values[1] - values[0], values[-1] - values[-2]
    lone = values[0] == -1 and values[1] >= 0 and values[-1] > 1
    far = len(values) > 3 and (below > FAR * (values[-1] - values[1]) or above > FAR * (values[-2] - values[0]))
    if lone or far:
        code = values[-1] if above > below and not lone else values[0]
        others = values[values != code]
        raise InputError(
            f"{path}:{rating.eq(code).idxmax()}: rating {code:g} beside others from {others[0]:g} to {others[-1]:g} "
            f"may be a code for none; leave such rows out or, if it is a rating, {sets}"
        )
    zeros = float((rating == 0).mean())
    if values[0] == 0 and zeros > ZEROS:
        return [
            f"{zeros:.0%} of ratings are 0, which here is the lowest rating; if it stands for none, as in the files of "
            f"Goodreads and Book-Crossing, leave these rows out."
        ]
    return []


def _leave_out(left_out: LeftOut, bad: pd.Series, written: pd.Series, why: str) -> None:
    """Leave out the rows where ``bad``; ``why`` may have a place for what is written there."""
    for line, text in written[bad].items():
        left_out.add(int(line), why.format(text[:60]))


def _comparable(
    ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """The tables with ids that can be compared, and no id twice among items or users; what was mended."""
    notes, out = [], {"item_id": items, "user_id": users}
    for column, table in out.items():
        path = table.attrs["path"]
        file, raw = Path(path).name, table[column]
        if (doubled := table.duplicated()).any():
            notes.append(f"{file}: {doubled.sum():,} rows are there twice; one is kept (line {doubled.idxmax()}).")
            table, raw = table[~doubled], raw[~doubled]
        clean, said = cleaned(raw, file)
        left_out = LeftOut(path, f"rows of {file}")
        _leave_out(left_out, clean == "", raw, f"{column} is empty")
        if "title" in table:
            title = table["title"].map(one_line)
            unknown = title.isin(("", "nan", "NaN")) | (title.isin(UNKNOWN) & title.duplicated(keep=False))
            _leave_out(left_out, unknown, raw, "the title is empty")
        more = left_out.notes(len(table))
        table, clean, raw = (part[~part.index.isin(list(left_out.rows))] for part in (table, clean, raw))
        (clean, ids), same = numbered([clean, ratings[column]])
        refuse_doubles(clean, raw, path)
        notes += said + more + same
        out[column] = table.assign(**{column: clean})
        ratings = ratings.assign(**{column: ids})
    return ratings, out["item_id"], out["user_id"], notes


def _known_once(ratings: pd.DataFrame, items: pd.DataFrame, timed: bool) -> tuple[pd.DataFrame, list[str]]:
    """Ratings of items that are listed, the latest of each pair; what was left out."""
    path, file, notes = ratings.attrs["path"], Path(items.attrs["path"]).name, []
    unknown = ~ratings["item_id"].isin(items["item_id"])
    if unknown.all():
        raise InputError(
            f"{path}: no item_id is listed in {file}; the two must use the same ids "
            f"(here {ratings['item_id'].iloc[0]!r}, there {items['item_id'].iloc[0] if len(items) else 'none'!r})"
        )
    if unknown.any():
        line = unknown.idxmax()
        notes.append(
            f"{unknown.sum():,} ratings of items that {file} lacks are left out "
            f"(the first: line {line}, item {ratings['item_id'][line]})."
        )
        ratings = ratings[~unknown]
    n = len(ratings)
    if timed:
        ratings = ratings.sort_values(["time", "microsecond"], kind="stable")
    ratings = ratings.drop_duplicates(["user_id", "item_id"], keep="last")
    if len(ratings) < n:
        how = "later" if timed else "below"
        notes.append(f"{n - len(ratings):,} ratings of a pair that is rated again {how} are left out.")
    return ratings, notes


# --- items, users and settings ------------------------------------------------------------------


def _attributes(
    items: pd.DataFrame, users: pd.DataFrame, settings: dict, folder: Path
) -> tuple[pd.DataFrame, pd.DataFrame, dict, list[str]]:
    """Items and users with sound cells, and the settings that name columns; what was mended or is not shown."""
    beside, category = columns.first(items, columns.YEARS), columns.first(items, columns.KINDS)
    rest = {"beside_title": beside, "category": category} | settings
    separator = rest.pop("category_separator", None)
    items, rest["item_attributes"], notes = _shown(items, "item_attributes", rest, ("beside_title", "category"), folder)
    users, rest["user_attributes"], said = _shown(users, "user_attributes", rest, (), folder)
    notes += said
    if category := rest["category"]:
        blanks = items.attrs.get("types", {}).get(category) == "token_seq"
        if separator is None and blanks and not items[category].str.contains("[,|;]").any():
            separator = " "
        items[category], separator, said = split_kinds(items[category], separator, Path(items.attrs["path"]).name)
        rest["category"] = (category, separator)
        notes += said
    elif separator is not None:
        raise InputError(f"{folder / SETTINGS}: category_separator is set, but no category; name its column")
    return items, users, rest | {name: rest[name] or None for name in ("beside_title", "category")}, notes


def _shown(
    table: pd.DataFrame, key: str, settings: dict, single: tuple[str, ...], folder: Path
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """A table with sound cells, its columns that prompts show as attributes; what was mended or is not shown.

    ``key`` is the setting that lists these columns; ``single`` are those that name one column of the table, or none.
    """
    file, others = Path(table.attrs["path"]).name, [c for c in table if c not in ("user_id", "item_id", "title")]
    named = [(name, settings[name]) for name in single if settings[name]]
    named += [(key, column) for column in settings.get(key, ())]
    for name, column in named:
        if column not in table:
            raise InputError(f"{folder / SETTINGS}: {name} names {column!r}; {file} has {', '.join(table)}")
    table, notes = mended(table, [*others, *({"title"} & set(table))])
    table, said = tidy(table, others)
    if (year := columns.first(table, columns.YEARS)) in others and (none := table[year].isin(("0", "-1"))).any():
        said.append(f"{file}: {none.sum():,} cells of {year} say {table[year][none].iloc[0]!r} and are empty.")
        table[year] = table[year].mask(none, "")
    unfit = {} if key in settings else columns.unfit(table, others, key == "user_attributes")
    attributes = tuple(settings.get(key, (c for c in others if c not in unfit)))
    if unused := [c for c in others if c not in attributes and c not in [column for _, column in named]]:
        why = [f"{c} ({unfit[c]})" if c in unfit else c for c in unused]
        said.append(f"{file}: prompts do not show {', '.join(why)}; {key} in {SETTINGS} asks for columns.")
    return table, attributes, notes + said


def _profiles(users: pd.DataFrame, ratings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A row for every user who rates, empty where ``users`` has none; what was added."""
    new = sorted(set(ratings["user_id"]) - set(users["user_id"]))
    file = Path(users.attrs["path"]).name
    notes = [f"{len(new):,} users have no row in {file}: their profile is empty."] if new and len(users) else []
    added = pd.DataFrame({"user_id": pd.Series(new, dtype=users["user_id"].dtype)})
    return pd.concat([users, added], ignore_index=True).fillna(""), notes


def _completed(settings: dict, like_above: float | None, ratings: pd.DataFrame, folder: Path) -> tuple[dict, list[str]]:
    """The settings as fields of `Dataset`, with defaults for what is not set; what was assumed."""
    notes = []
    low, high = settings.get("scale", (float(ratings["rating"].min()), float(ratings["rating"].max())))
    if low == high:
        raise InputError(
            f"{ratings.attrs['path']}: every rating is {low:g}, so none can be a like and another a dislike; "
            f"ratings must differ"
        )
    if "scale" not in settings:
        notes.append(f"{SETTINGS} sets no scale: it goes from the lowest rating, {low:g}, to the highest, {high:g}.")
    above = settings.get("like_above") if like_above is None else like_above
    if above is None:
        above = (low + high) / 2
        likes = float((ratings["rating"] > above).mean())
        hint = f", {likes:.1%} of all; set like_above" if not FEW <= likes <= 1 - FEW else ""
        notes.append(
            f"{SETTINGS} sets no like_above: ratings above the middle of the scale, {above:g}, are likes{hint}."
        )
    if "words" not in settings:
        notes.append(
            f"{SETTINGS} sets no [words]: prompts speak of {Words.items} that a {Words.user} {Words.consumed}."
        )
    return settings | {"scale": (low, high), "like_above": above}, notes
