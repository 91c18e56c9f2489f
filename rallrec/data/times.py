"""Times as other people write them, in microseconds since 1970."""

import re

import numpy as np
import pandas as pd

from ..infra.errors import InputError
from .rows import MOST, LeftOut

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
EARLIEST = pd.Timestamp("1990-01-01").timestamp()  # seconds; of times written as numbers
FIRST = 86_400  # seconds; of times written as dates: 1970-01-01 is what programs make of none
EXCEL = 25_569  # 1970-01-01, counted in days as spreadsheets do
UNITS = {"seconds": (SECOND, 1), "milliseconds": (1_000, 1), "microseconds": (1, 1), "nanoseconds": (1, 1_000)}
COMPACT = {  # by the number of digits
    8: ("%Y%m%d", "dates such as 20240517"),
    12: ("%Y%m%d%H%M", "times such as 202405170930"),
    14: ("%Y%m%d%H%M%S", "times such as 20240517093000"),
}
DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d.%m.%Y", "%d %m %Y"),
    *("%m %d %Y", "%d %b %Y", "%d %B %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%B-%Y", "%d-%b-%y"),
    *("%d/%m/%y", "%m/%d/%y", "%y/%m/%d", "%d-%m-%y", "%m-%d-%y", "%d.%m.%y"),
)
CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
FORMATS = (
    *DATES,
    *(f"{date} {clock}{zone}" for date in DATES for clock in CLOCKS for zone in ("", " %z")),
    *("%b %d %H:%M:%S %Y", "%b %d %H:%M:%S %z %Y"),  # C's and Twitter's
)
TRIED = (
    "seconds, milliseconds, microseconds and nanoseconds since 1970, 20240517, 20240517093000, days as spreadsheets "
    "count them, 2024-05-17T09:30, 17/05/2024, 05/17/2024, 17.05.2024, 17 May 2024"
)
_DAY, _MONTH = "(0[1-9]|[12][0-9]|3[01])", "(0[1-9]|1[0-2])"
NO_COUNTS = {  # numbers that are dates, in an order that is not that of time, where more than a share are such
    r"(19|20)[0-9]{6}": 0.5,  # 20241705
    rf"({_DAY}|[1-9])({_MONTH}|{_DAY})(19|20)[0-9]{{2}}": 1 - MOST,  # 17052024, 5172024
    rf"({_DAY}{_MONTH}|{_MONTH}{_DAY})[0-9]{{2}}": 1 - MOST,  # 170524
}
MISSING = np.iinfo(np.int64).min
SMALL = "small numbers, taken for seconds of which the order is all that matters"


def microseconds(column: pd.Series, where: str, left_out: LeftOut) -> tuple[pd.Series, str]:
    """Read a column of times in the one way that fits all of it.

    A time lies between 2 January 1970 (the first is what programs write for none; written as a number: 1990) and the
    end of next year. Numbers that are all smaller, and no dates, are taken for seconds.

    Args:
        column: text; its index is the line of each row.
        where: the file, for messages.
        left_out: takes the rows whose time is missing or can't be read.

    Returns:
        int64, without the rows left out; and how it was read, empty for seconds and ISO dates.

    Raises:
        InputError: no way fits 95 % of the times, or several fit and differ.
    """
    column = column.str.strip()
    given = column[column != ""]
    code, texts = pd.factorize(given)  # each spelling is read once
    texts = pd.Series(np.asarray(texts, dtype=object))
    rows = np.bincount(code, minlength=len(texts))

    def line_of(text: int) -> int:
        return int(given.index[np.argmax(code == text)])

    numbers = pd.to_numeric(texts, errors="coerce")
    numbers = numbers.where(np.isfinite(numbers.astype(float)))
    as_numbers = rows[numbers.notna()].sum() * 2 > len(given)
    readings = _of_numbers(texts, numbers.dropna()) if as_numbers else _of_dates(texts)
    share = {how: rows[values != MISSING].sum() / len(given) for how, values in readings.items()}
    fitting = sorted((how for how in readings if share[how] >= 1 - MOST), key=share.get, reverse=True)
    if not fitting:
        best = max(share, key=share.get, default=None)
        bad = int(np.argmax(readings[best] == MISSING)) if best and share[best] else 0
        said = f"; {share[best]:.0%} of the column are {_in_words(best)}" if best and share[best] else ""
        raise InputError(f"{where}:{line_of(bad)}: {column.name} {texts[bad][:60]!r} is no time; tried: {TRIED}{said}")
    how, *others = fitting
    values = readings[how]
    for other in others:
        differs = (readings[other] != values) & (readings[other] != MISSING)
        if differs.any() and (share[other] == share[how] or (values[differs] == MISSING).any()):
            said = " or ".join(_in_words(name) for name in (how, other))
            raise InputError(
                f"{where}:{line_of(int(np.argmax(differs)))}: {column.name} {texts[int(np.argmax(differs))]!r} may be "
                f"{said}, and the column does not decide; write dates as 2024-05-17"
            )
    for line in column.index[column == ""]:
        left_out.add(int(line), f"{column.name} is missing")
    read = values[code]
    for line in given.index[read == MISSING]:
        left_out.add(int(line), f"{column.name} {given[line][:60]!r} is no time ({_in_words(how)})")
    read = pd.Series(read, index=given.index, name=column.name)[read != MISSING]
    return read, "" if how in ("seconds since 1970", "ISO dates") else _in_words(how)


def is_times(column: pd.Series) -> bool:
    """Whether a column holds what can only be times: dates, or numbers that are seconds … nanoseconds since 1990."""
    if not (column.str.strip() != "").any():
        return False
    try:
        _, how = microseconds(column, "", LeftOut(""))
    except InputError as e:
        return "may be" in str(e)
    return how != SMALL and "spreadsheets" not in how


def _latest() -> float:
    return pd.Timestamp(pd.Timestamp.now().year + 2, 1, 1).timestamp()


def _of_numbers(texts: pd.Series, known: pd.Series) -> dict[str, np.ndarray]:
    """Readings of texts as numbers: int64, `MISSING` where one does not fit."""
    latest, out = _latest(), {}
    exact = pd.to_numeric(texts[known.index])  # whole numbers stay exact: a float would round nanoseconds

    def reading(fits: np.ndarray, values) -> np.ndarray:
        read = np.full(len(texts), MISSING)
        read[exact.index[fits]] = np.asarray(values, dtype=np.int64)
        return read

    for unit, (times, over) in UNITS.items():
        about = exact.astype(float) * times / over  # int64 would overflow
        fits = (about >= EARLIEST * SECOND) & (about < latest * SECOND)
        out[f"{unit} since 1970"] = reading(fits, exact[fits] * times // over)
    plain = texts[known.index].str.replace(r"\.0+$", "", regex=True)
    for digits, (form, how) in COMPACT.items():
        dates = _parsed(plain.where(plain.str.fullmatch(rf"[12]\d{{{digits - 1}}}"), ""), form, EARLIEST)
        out[how] = reading(dates != MISSING, dates[dates != MISSING])
    days = exact - EXCEL
    fits = (days >= EARLIEST / 86_400) & (days < latest / 86_400)
    out["days as spreadsheets count them"] = reading(fits, np.rint(days[fits].astype(float) * 86_400) * SECOND)
    dates = any(plain.str.fullmatch(form).mean() > share for form, share in NO_COUNTS.items())
    if not dates and max((values != MISSING).sum() for values in out.values()) < (1 - MOST) * len(texts):
        fits = (exact >= 0) & (exact < EARLIEST)
        out[SMALL] = reading(fits, exact[fits] * SECOND)
    return out


def _of_dates(texts: pd.Series) -> dict[str, np.ndarray]:
    """Readings of texts as dates: int64, `MISSING` where one does not fit."""
    iso = _parsed(texts, "ISO8601", FIRST)
    zoned = texts[iso != MISSING].str.contains(r":.*(?:Z|[+-][0-9:]+)$")
    out = {"ISO dates" if zoned.all() or not zoned.any() else "ISO dates, in UTC where no zone is given": iso}
    if (iso != MISSING).mean() >= 1 - MOST:
        return out
    plain = (
        texts.str.replace(",", " ")
        .str.replace(r"^(mon|tue|wed|thu|fri|sat|sun)[a-z]*\.? ", "", regex=True, flags=re.IGNORECASE)
        .str.replace(r" *(GMT|UTC)$", " +0000", regex=True)
        .str.replace(r"\s+", " ", regex=True)
        .str.strip()
    )
    some = plain.sample(min(len(plain), 100), random_state=0)
    for form in FORMATS:
        if (_parsed(some, form, FIRST) != MISSING).mean() > 0.5:
            out[form] = _parsed(plain, form, FIRST)
    return out


def _parsed(texts: pd.Series, form: str, earliest: float) -> np.ndarray:
    """Dates of one form, int64; `MISSING` for other texts and what lies outside ``earliest`` to next year."""
    dates = pd.to_datetime(texts, format=form, errors="coerce", utc=True).dt.as_unit("us")
    sound = dates.notna() & (dates >= pd.Timestamp(earliest, unit="s", tz="UTC"))
    sound &= dates < pd.Timestamp(_latest(), unit="s", tz="UTC")
    read = np.full(len(texts), MISSING)
    read[sound] = dates[sound].astype(np.int64)
    return read


def _in_words(form: str) -> str:
    """``%d/%m/%Y %H:%M`` as day/month/year hour:minute."""
    names = dict(Y="year", y="year", m="month", d="day", b="month", B="month", H="hour", I="hour", M="minute")
    names |= dict(S="second", f="fraction", p="AM/PM", z="zone")
    return re.sub(r"%(\w)", lambda m: names[m[1]], form)
