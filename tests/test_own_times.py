"""Times as other people write them: read in the one way that fits the whole column, or refused."""

import numpy as np
import pandas as pd
import pytest

import rallrec as rr
from rallrec.data.rows import LeftOut
from rallrec.data.times import SECOND, microseconds

from .test_own_spellings import read, said

START = pd.Timestamp("2024-05-05 09:30:15")
TIMES = pd.Series([START + pd.Timedelta(days=k, minutes=7 * k) for k in range(40)])
EPOCH = (TIMES - pd.Timestamp(0)) // pd.Timedelta(seconds=1)


def seconds(texts) -> tuple[list[float], str, dict[int, str]]:
    """Times in seconds, how they were read, and what was left out."""
    texts, left_out = list(map(str, texts)), LeftOut("ratings.csv")
    column = pd.Series(texts, index=range(2, len(texts) + 2), name="time", dtype=str)
    values, how = microseconds(column, "ratings.csv", left_out)
    return (values / SECOND).tolist(), how, left_out.rows


@pytest.mark.parametrize(
    ("texts", "resolution", "how"),
    [
        (EPOCH, 1, ""),
        (EPOCH.astype(float), 1, ""),
        (EPOCH.map("{:.9e}".format), 1, ""),
        (EPOCH * 10**3, 1, "milliseconds since 1970"),
        (EPOCH * 10**6, 1, "microseconds since 1970"),
        (EPOCH * 10**9, 1, "nanoseconds since 1970"),
        (TIMES.dt.strftime("%Y%m%d"), 86_400, "dates such as 20240517"),
        (TIMES.dt.strftime("%Y%m%d.0"), 86_400, "dates such as 20240517"),
        (TIMES.dt.strftime("%Y%m%d%H%M"), 60, "times such as 202405170930"),
        (TIMES.dt.strftime("%Y%m%d%H%M%S"), 1, "times such as 20240517093000"),
        (EPOCH // 86_400 + 25_569, 86_400, "days as spreadsheets count them"),
        ((EPOCH / 86_400 + 25_569).map("{:.8f}".format), 1, "days as spreadsheets count them"),
        (TIMES.dt.strftime("%Y-%m-%d"), 86_400, ""),
        (TIMES.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), 1, ""),
        (TIMES.dt.strftime("%Y-%m-%d %H:%M"), 60, ""),
        ((TIMES + pd.Timedelta(hours=2)).dt.strftime("%Y-%m-%dT%H:%M:%S+02:00"), 1, ""),
        ((TIMES - pd.Timedelta(hours=7)).dt.strftime("%a %b %d %H:%M:%S -0700 %Y"), 1, "month day hour:minute"),
        (TIMES.dt.strftime("%d/%m/%Y"), 86_400, "day/month/year"),
        (TIMES.dt.strftime("%m/%d/%Y"), 86_400, "month/day/year"),
        (TIMES.dt.strftime("%d.%m.%Y %H:%M"), 60, "day.month.year hour:minute"),
        (TIMES.dt.strftime("%m-%d-%Y %H:%M:%S"), 1, "month-day-year hour:minute:second"),
        (TIMES.dt.strftime("%m/%d/%Y, %I:%M:%S %p"), 1, "month/day/year hour:minute:second AM/PM"),
        (TIMES.dt.strftime("%b %d, %Y"), 86_400, "month day year"),
        (TIMES.dt.strftime("%d %B %Y"), 86_400, "day month year"),
        (TIMES.dt.strftime("%m %d, %Y"), 86_400, "month day year"),
        (TIMES.dt.strftime("%a, %d %b %Y %H:%M:%S GMT"), 1, "day month year hour:minute:second zone"),
        (TIMES.dt.strftime("%Y/%m/%d"), 86_400, ""),
    ],
)
def test_readings(texts, resolution, how):
    read_as = seconds(texts)
    assert np.allclose(read_as[0], EPOCH // resolution * resolution, atol=0.5)
    assert read_as[1].startswith(how) if how else read_as[1] in ("", "year/month/day")
    assert not read_as[2]


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        (["01/02/2024", "05/06/2024"], "2: time '01/02/2024' may be day/month/year or month/day/year, and the column"),
        (["05/05/2024", "05/06/2024"], "3: time '05/06/2024' may be day/month/year or month/day/year"),
        (["01/02/2003 10:30", "04/05/2006 11:30"], "may be day/month/year hour:minute or month/day/year hour:minute"),
        (["01/02/03", "04/05/06"], "2: time '01/02/03' may be"),
        (["13/01/2024", "01/13/2024"] * 9, "is no time; tried: seconds, milliseconds"),
        (["yesterday", "today"], "2: time 'yesterday' is no time; tried: seconds"),
        (["-5", "7"], "2: time '-5' is no time"),
        (["2924-05-05"], "is no time"),
        (["17000000000000000000"], "is no time"),
        (["17052024", "01062024"], "2: time '17052024' is no time"),
        (["5172024", "11302023"], "2: time '5172024' is no time"),
        (["170524", "010624"], "2: time '170524' is no time"),
        (["1970-01-01 01:00:00", "2024-05-05 10:00:00"], "2: time '1970-01-01 01:00:00' is no time"),
        ([*["1714521600000"] * 3, "1714521600"], "5: time '1714521600' .*; 75% of the column are milliseconds since"),
        (["20241705", "20241806", "20240102"], "is no time"),
        (["2024-05-05", "1714521600"], "is no time"),
        (["0", "1714521600"], "2: time '0' is no time"),
        (["1714521600", "1714521600000"], "is no time"),
    ],
)
def test_what_has_no_reading_or_several_is_refused(texts, error):
    with pytest.raises(rr.InputError, match=f"^ratings.csv:.*{error}"):
        seconds(texts)


def test_dates_that_read_the_same_either_way_are_no_doubt():
    assert seconds(["05/05/2024", "06/06/2024"])[0] == [1714867200, 1717632000]


def test_dates_with_and_without_a_zone_are_told():
    values, how, _ = seconds(["2024-05-05T10:00+02:00", "2024-05-05T10:00"])
    assert values == [1714896000, 1714903200]
    assert how == "ISO dates, in UTC where no zone is given"


def test_one_day_above_twelve_decides():
    assert seconds([*["01/02/2024"] * 30, "31/01/2024"])[0][0] == pd.Timestamp("2024-02-01").timestamp()
    assert seconds([*["01/02/2024"] * 30, "01/31/2024"])[0][0] == pd.Timestamp("2024-01-02").timestamp()


@pytest.mark.parametrize("bad", ["", "0", "-1", "soon", "1714521600000", "1e30", "9" * 30, "nan", "inf"])
def test_few_unreadable_times_are_left_out(bad):
    read_as = seconds([*EPOCH[:30], bad, *EPOCH[30:]])
    assert read_as[0] == EPOCH.tolist()
    assert list(read_as[2]) == [32]


@pytest.mark.parametrize("none", ["1970-01-01", "1970-01-01 00:00:00", "1970-01-01T01:00:00+01:00"])
def test_a_date_that_programs_write_for_none_is_none(none):
    dates = [f"2024-05-{day:02}" for day in range(1, 31)]
    values, _, left_out = seconds([*dates, none])
    assert min(values) == pd.Timestamp("2024-05-01").timestamp()
    assert list(left_out) == [32]


@pytest.mark.parametrize("texts", [range(10_100, 13_200), range(202301, 202313), range(28_500_000, 28_500_900, 10)])
def test_other_counts_are_an_order(texts):
    values, how, left_out = seconds(texts)
    assert values == list(texts)
    assert "small numbers" in how
    assert not left_out


def test_small_numbers_are_an_order():
    values, how, _ = seconds([3, 1, 2, 1999])
    assert values == [3, 1, 2, 1999]
    assert "small numbers" in how


def ratings(time, n: int = 12) -> str:
    rows = [f"u{u},i{k},{1 + (u + k) % 5},{time(u, k)}\n" for u in range(4) for k in range(n)]
    return "user_id,item_id,rating,time\n" + "".join(rows)


def test_milliseconds_order_ratings_within_a_second(tmp_path):
    data = read(tmp_path, ratings_csv=ratings(lambda u, k: 1714521600000 + 12 - k))
    assert data.items.item_id[data.item[:12]].tolist() == [f"i{k}" for k in range(11, -1, -1)]
    assert (data.time == 1714521600).all()
    assert "times are read as milliseconds since 1970" in said(data)
    assert "same time" not in said(data)


def test_a_pair_rated_twice_within_a_second_keeps_the_later(tmp_path):
    rows = ratings(lambda u, k: 1714521600000 + 12 * k)
    data = read(tmp_path, ratings_csv=rows + "u0,i3,1,1714521600037\nu0,i4,1,1714521600047\n")
    own = {data.items.item_id[i]: r for i, r in zip(data.item[:12], data.rating[:12], strict=True)}
    assert (own["i3"], own["i4"]) == (1, 5)


def test_times_that_are_all_equal_are_none(tmp_path):
    data = read(tmp_path, ratings_csv=ratings(lambda u, k: "2024-05-05"))
    assert not data.timed
    assert "All times are equal, and none is used: each user's ratings are shuffled" in said(data)
    untimed = read(tmp_path / "x", ratings_csv=ratings(lambda u, k: ""))
    assert untimed.hash == data.hash


def test_ratings_of_a_user_in_one_second(tmp_path):
    data = read(tmp_path, ratings_csv=ratings(lambda u, k: 1714521600 + 5 * u))
    assert data.timed
    assert "100 % of neighbouring ratings of a user have the same time; they are ordered by item id" in said(data)
    assert data.items.item_id[data.item[:12]].tolist() == sorted(data.items.item_id)
    days = read(tmp_path, ratings_csv=ratings(lambda u, k: f"2024-05-{1 + k // 6:02}"))
    assert "91 % of neighbouring ratings of a user have the same time (times are whole days)" in said(days)
