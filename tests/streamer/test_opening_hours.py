"""Opening hours: weekdays, nights, dates, and the two days a year that are not 24 hours long."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config.opening_hours import DAYS, Hours, Week
from streamer.config.store import ConfigStore
from streamer.errors import ConfigError

BERLIN = "Europe/Berlin"


def opened(entry: dict[str, tuple[str, ...]], text: str, timezone: str = BERLIN, fold: int = 0) -> bool:
    """Whether it is open when the clock on the wall shows `text`."""
    at = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold)
    return Hours({"shop": entry}, timezone).is_open("shop", int(at.timestamp()) * 10**9)


def test_a_shop_is_open_from_its_first_minute_to_the_one_before_it_closes() -> None:
    week = {"mon-fri": ("08:00-20:00",), "sat": ("09:00-13:00", "14:00-18:00")}
    wall = ("2026-11-27T07:59", "2026-11-27T08:00", "2026-11-27T19:59", "2026-11-27T20:00")
    assert [opened(week, text) for text in wall] == [False, True, True, False]
    assert [opened(week, f"2026-11-28T{hour}:30") for hour in ("12", "13", "14")] == [True, False, True]
    assert not opened(week, "2026-11-29T12:00")  # Sunday is not named


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    week = {"thu-sat": ("18:00-02:00",)}
    assert opened(week, "2026-11-29T01:59")  # Sunday, of Saturday's night
    assert not opened(week, "2026-11-29T02:00")
    assert not opened(week, "2026-11-26T01:00")  # Thursday before it opens


def test_a_date_stands_in_place_of_its_weekday_and_the_night_before_goes_on() -> None:
    week = {"mon-sun": ("18:00-02:00",), "2026-12-25": ()}
    assert opened(week, "2026-12-25T01:00")
    assert not opened(week, "2026-12-25T19:00")
    assert not opened(week, "2026-12-26T01:00")
    assert opened(week, "2026-12-26T19:00")


def test_where_the_clock_is_put_back_an_hour_both_hours_of_that_name_count() -> None:
    week = {"sun": ("02:00-03:00",)}
    assert [opened(week, "2026-10-25T02:30", fold=fold) for fold in (0, 1)] == [True, True]
    at = datetime(2026, 10, 25, tzinfo=ZoneInfo(BERLIN)).timestamp()
    hours = Hours({"shop": week}, BERLIN)
    assert sum(hours.is_open("shop", int(at + 60 * i) * 10**9) for i in range(25 * 60)) == 120


def test_where_the_clock_is_put_forward_the_missing_hour_is_not_there() -> None:
    hours = Hours({"shop": {"sat": ("22:00-04:00",)}}, BERLIN)
    at = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo(BERLIN)).timestamp()
    assert sum(hours.is_open("shop", int(at + 60 * i) * 10**9) for i in range(24 * 60)) == 5 * 60


def test_hours_that_are_not_there_are_closed_and_it_is_said() -> None:
    hours = Hours({"shop": {"mon-sun": ("00:00-24:00",)}}, BERLIN)
    assert (hours.is_open("shop", 0), hours.is_open("bar", 0)) == (True, False)
    assert hours.unknown(["shop"]) == ""
    assert "no 'bar'; it has shop" in hours.unknown(["shop", "bar"])


minutes = st.integers(0, 24 * 60 - 1)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1))


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


@given(st.sampled_from(DAYS), minutes, minutes, moments)
def test_a_night_is_its_evening_and_the_next_days_morning(
    day: str, begin: int, end: int, at: datetime
) -> None:
    if end >= begin:
        begin, end = end, begin
    if begin == end or end == 0:
        return
    after = DAYS[(DAYS.index(day) + 1) % 7]
    night = Week({day: (f"{clock(begin)}-{clock(end)}",)})
    parts = Week({day: (f"{clock(begin)}-24:00",), after: (f"00:00-{clock(end)}",)})
    assert night.is_open(at) == parts.is_open(at)


@given(st.lists(st.tuples(minutes, minutes), max_size=4), moments)
def test_being_open_is_being_within_a_span_of_today_or_of_yesterdays_night(
    spans: list[tuple[int, int]], at: datetime
) -> None:
    spans = [(a, b) for a, b in spans if a != b]
    week = Week({"mon-sun": tuple(f"{clock(a)}-{clock(b)}" for a, b in spans)})
    now = at.hour * 60 + at.minute
    expected = any(a <= now < b if a < b else now >= a or now < b for a, b in spans)
    assert week.is_open(at) == expected


@given(st.integers(0, 6), st.integers(0, 6), moments)
def test_a_range_of_weekdays_holds_its_days_also_over_the_weeks_end(
    first: int, last: int, at: datetime
) -> None:
    week = Week({f"{DAYS[first]}-{DAYS[last]}": ("00:00-24:00",)})
    days = {(first + i) % 7 for i in range((last - first) % 7 + 1)}
    assert week.is_open(at) == (at.weekday() in days)
    assert week.is_open(at) == week.is_open(at + timedelta(days=7))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("monday: ['08:00-20:00']", "'monday' is no day"),
        ("mon: ['8-20']", "'8-20' is no span of time"),
        ("mon: ['08:00-25:00']", "is no span of time"),
        ("mon: ['08:00-08:00']", "begins when it ends"),
        ("{mon-wed: [], tue: []}", "tue is given twice"),
        ("2026-02-30: []", "day"),
        ("mon: 08:00-20:00", "should be a list"),
    ],
)
def test_what_are_no_hours_is_refused_with_file_line_and_key(line: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "streamer.yaml").write_text(f"timezone: UTC\nopening_hours:\n  shop:\n    {line}\n")
    with pytest.raises(ConfigError) as refused:
        ConfigStore(tmp_path).load()
    text = str(refused.value)
    assert text.startswith((f"{tmp_path}/streamer.yaml:3: ", f"{tmp_path}/streamer.yaml:4: "))
    assert "opening_hours.shop" in text
    assert why in text
