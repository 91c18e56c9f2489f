"""Which column is what, by the spellings of the field's files; and which columns are no attribute for a prompt."""

import re
from pathlib import Path

import pandas as pd

from ..infra.errors import InputError
from .tables import NUMBER
from .times import is_times

# by the documented name, other spellings in letters and digits, likelier ones first
SPELLINGS = {
    "user_id": (
        "userid uid useridx reviewerid customerid memberid accountid profileid readerid listenerid viewerid playerid "
        "steamid raterid personid useruuid",
        "user username reviewer customer member reader listener viewer player rater reviewername profilename",
    ),
    "item_id": (
        "itemid iid movieid filmid bookid isbn asin parentasin productid articleid trackid songid artistid albumid "
        "recordid gameid appid animeid showid seriesid businessid recipeid restaurantid beerid wineid jokeid newsid "
        "courseid podcastid",
        "item movie film book product article track song artist album record game app anime show business recipe",
    ),
    "rating": (
        "rating ratings score scores stars star overall bookrating movierating itemrating userrating userscore "
        "reviewscore reviewrating reviewoverall ratingscore ratingvalue starrating starsrating rate myrating "
        "myscore grade",
    ),
    "title": (
        "title",
        "movietitle filmtitle booktitle itemtitle producttitle tracktitle songtitle albumtitle gametitle recipetitle",
        "name itemname moviename filmname bookname productname trackname songname artistname albumname gamename "
        "animename businessname recipename beername coursename",
        "originaltitle label",
    ),
}
# names of item columns that have a part in prompts unless dataset.toml says otherwise, the likeliest first
YEARS = "year releaseyear yearofpublication publicationyear originalpublicationyear yearpublished"
KINDS = "genres genre categories category styles class"
TIMES = (
    "time times timestamp timestamps ts date dates datetime epoch unixtime when datum reviewtime unixreviewtime "
    "ratingtime ratingdate reviewdate unixtimestamp createdat ratedat reviewedat ratedon reviewedon"
)
SUMS = (  # words of columns that sum up ratings, by all users and of all times
    "rating ratings vote votes voted review reviews popularity popular score scores stars rank ranking likes dislikes "
    "plays playcount listens listeners readers watchers followers favorites members owners metascore metacritic sales "
    "downloads helpful fans"
)
GLUED = r"(avg|average|mean|num|total)?(rating|vote|review|play|listener|like|user)s?(avg|average|mean|count|num)?"
IDENTITY = "id ids uuid isbn asin ean upc url uri"
PERSONAL = (
    "name firstname lastname surname fullname username nickname displayname realname email mail phone telephone "
    "address street password ip birthday birthdate dateofbirth dob"
)
OTHER_DATES = (  # words of columns that hold a date of an item or a user, not of a rating
    "release released publish published publication premiere premiered aired launch launched birth birthday born "
    "joined registered registration member since signup"
)
LONG = 300  # characters; a mean above it makes a text too long for a line of a prompt


def key(name: str) -> str:
    """A column's name as it is compared: its letters and digits, in lower case."""
    return "".join(c for c in name.lower() if c.isalnum())


def words(name: str) -> list[str]:
    """The words of a column's name: of ``ratedAt``, ``rated`` and ``at``."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)]


def find(table: pd.DataFrame, what: str, like: str = "") -> str | None:
    """The column that is ``what``, a documented name, in any spelling; None if there is none.

    Args:
        like: what the id is called in the ratings, which decides between several here. A bare ``artist`` is then
            no id, but ``id`` is.

    Raises:
        InputError: two columns could be it.
    """
    tiers = (key(like), SPELLINGS[what][0], "id") if like else SPELLINGS[what]
    for spellings in tiers:
        found = [name for name in table.columns if key(name) in spellings.split()]
        if len(found) > 1:
            raise _several(table, what, found)
        if found:
            return found[0]
    return None


def first(table: pd.DataFrame, spellings: str) -> str | None:
    """The column with the first of some spellings, None if there is none."""
    by_key = {key(name): name for name in reversed(table.columns)}
    return next((by_key[spelling] for spelling in spellings.split() if spelling in by_key), None)


def find_time(table: pd.DataFrame) -> str | None:
    """The column of ratings that is called something like a time, None if there is none.

    Raises:
        InputError: two columns could be it, or what has a time in its name (``play_time``) holds none.
    """
    if found := [name for name in table.columns if key(name) in TIMES.split()]:
        if len(found) > 1:
            raise _several(table, "time", found)
        return found[0]
    found = [
        name
        for name in table.columns
        if (set(words(name)) & set(TIMES.split()) or words(name)[-1:] == ["at"])
        and not set(words(name)) & set(OTHER_DATES.split())
    ]
    if len(found) > 1:
        raise _several(table, "time", found)
    if found and not is_times(table[found[0]]):
        raise InputError(
            f"{table.attrs['path']}:1: column {found[0]!r} is called like a time, but its values are none that can be "
            f"read; rename it (to time, if it is the time of the rating), or remove it"
        )
    return found[0] if found else None


def _several(table: pd.DataFrame, what: str, found: list[str]) -> InputError:
    names = " and ".join(map(repr, found))
    return InputError(f"{table.attrs['path']}:1: columns {names} could each be the {what}; keep one of them")


def missing(table: pd.DataFrame, what: str) -> InputError:
    """What to say of a table that lacks a column."""
    names, path = list(table.columns), table.attrs["path"]
    if any(re.fullmatch(NUMBER, name.strip()) for name in names):
        return InputError(
            f"{path}:1: there is no header: the first line, {','.join(names)[:80]!r}, looks like a row; "
            f"put a line with the columns' names ({what}, …) above it"
        )
    return InputError(f"{path}:1: column {what!r} is missing in the first line; found {', '.join(names)}")


def renamed(table: pd.DataFrame, spelt: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """The table with documented names for columns found under another; what was understood."""
    other = {name: what for what, name in spelt.items() if name != what}
    taken = {what: f"{what} (as in the file)" for what in other.values() if what in table.columns}
    table = table.rename(columns=other | taken)
    file = Path(table.attrs["path"]).name
    if not other:
        return table, []
    return table, [f"{file}: " + ", ".join(f"{name} is read as {what}" for name, what in other.items()) + "."]


def unfit(table: pd.DataFrame, columns: list[str], of_users: bool) -> dict[str, str]:
    """Columns that no prompt should show unless asked to, and why.

    Links, identifiers, long texts and averages or counts of ratings (which know the future); of users, also
    who they are.
    """
    out = {}
    for name in columns:
        values = table[name][table[name] != ""]
        plain = values.str.replace(r"[,\s]|[%kKmM]$|/[0-9]+$", "", regex=True)  # 1,200 or 93% or 8.1/10 or 3.4K
        numeric = len(values) > 0 and pd.to_numeric(plain, errors="coerce").notna().all()
        named = set(words(name))
        if not len(values):
            out[name] = "empty"
        elif re.fullmatch(r"column \d+", name):
            out[name] = "no name"
        elif _share(values, r"(?i)(https?://|www\.|//)\S+|\S+\.(jpe?g|png|gif|webp|svg|bmp)") > 0.5:
            out[name] = "links"
        elif numeric and (named & set(SUMS.split()) or re.fullmatch(GLUED, key(name))):
            out[name] = "numbers that sum up ratings"
        elif named & set(IDENTITY.split()) or re.fullmatch(r"isbn1[03]|(imdb|tmdb|tvdb)(id)?", key(name)):
            out[name] = "identifiers"
        elif values.str.len().mean() > LONG:
            out[name] = "long texts"
        elif of_users and (
            key(name) in PERSONAL.split()
            or named & {"email", "phone", "password", "ip", "address"}
            or _share(values, r"\S+@\S+\.\w+") > 0.5
        ):
            out[name] = "personal data"
    return out


def _share(values: pd.Series, pattern: str) -> float:
    return float(values.str.fullmatch(pattern).mean())
