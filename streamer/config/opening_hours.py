"""Opening hours: weekdays and times of day in the site's timezone, by name.

    opening_hours:
      opening:
        mon-fri: ["08:00-20:00"]
        sat: ["09:00-13:00", "14:00-18:00"]
        2026-12-25: []

A day that is not named is closed. A span whose end is not after its begin goes on past midnight and is of the
day on which it begins. A date stands in place of its weekday. Times are what a clock on the wall shows:
in the night in which it is put back an hour comes twice, and both are meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from pipelines.rules import Name

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN = 24 * 60
MINUTE_NS = 60_000_000_000
MAX_SPANS = 16  # of a day
MAX_DAYS = 400  # weekdays and dates of one entry
MAX_HOURS = 64  # entries
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
Spans = tuple[tuple[int, int], ...]  # minutes since the day's begin; past midnight more than DAY_MIN


def _weekdays(key: str) -> tuple[int, ...]:
    """ "fri-mon" as (4, 5, 6, 0). Raises ValueError."""
    first, dash, last = key.partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        raise ValueError(
            f"{key[:40]!r} is no day: use {', '.join(DAYS)}, mon-fri, or a date such as 2026-12-25"
        )
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return tuple((begin + i) % 7 for i in range((end - begin) % 7 + 1))


def _span(text: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(
            f'{text[:40]!r} is no span of time such as "08:00-20:00", "22:00-02:00" or "18:00-24:00"'
        )
    hour, minute, end_hour, end_minute = match.groups()
    begin = int(hour) * 60 + int(minute)
    end = DAY_MIN if end_hour is None else int(end_hour) * 60 + int(end_minute)
    if begin == end:
        raise ValueError(f'{text!r} begins when it ends: a whole day is "00:00-24:00"')
    return begin, end if end > begin else end + DAY_MIN


class Week:
    """One entry, ready to be asked. Raises ValueError for what is no day, date or span."""

    def __init__(self, entry: Mapping[str, tuple[str, ...]]) -> None:
        self._dates: dict[date, Spans] = {}
        self._weekdays: dict[int, Spans] = {}
        for key, texts in entry.items():
            spans = tuple(map(_span, texts))
            if _DATE.fullmatch(key):
                self._dates[date.fromisoformat(key)] = spans
                continue
            for day in _weekdays(key):
                if day in self._weekdays:
                    raise ValueError(f"{DAYS[day]} is given twice, the second time in {key!r}: keep one")
                self._weekdays[day] = spans

    def is_open(self, local: datetime) -> bool:
        """Whether the clock on the wall, which shows `local`, is within the hours."""
        minute = local.hour * 60 + local.minute
        today = self._spans(local.date())
        before = self._spans(local.date() - timedelta(days=1))
        return any(a <= minute < b for a, b in today) or any(minute < b - DAY_MIN for _, b in before)

    def _spans(self, day: date) -> Spans:
        return self._dates.get(day, self._weekdays.get(day.weekday(), ()))


def _checked(entry: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    Week(entry)
    return entry


DaySpans = Annotated[tuple[str, ...], Field(max_length=MAX_SPANS)]
Entry = Annotated[dict[str, DaySpans], Field(max_length=MAX_DAYS), AfterValidator(_checked)]
OpeningHours = Annotated[dict[Name, Entry], Field(max_length=MAX_HOURS)]


class Hours:
    """All entries in one timezone (an IANA name)."""

    def __init__(self, entries: Mapping[str, Mapping[str, tuple[str, ...]]], timezone: str) -> None:
        self._weeks = {name: Week(entry) for name, entry in entries.items()}
        self._zone = ZoneInfo(timezone)
        self._minute = -1
        self._open: dict[str, bool] = {}  # of that minute: frames ask far more often than that

    def is_open(self, name: str, at_ns: int) -> bool:
        """Whether `name` is open at `at_ns` (Unix time). What is not there is never open: rather an alert too
        many than none."""
        if name not in self._weeks:
            return False
        minute = at_ns // MINUTE_NS
        if minute != self._minute:
            self._minute, self._open = minute, {}
        if name not in self._open:
            local = datetime.fromtimestamp(minute * 60, self._zone)
            self._open[name] = self._weeks[name].is_open(local)
        return self._open[name]

    def unknown(self, names: Iterable[str]) -> str:
        """What to say of those that are not there; "" where all are."""
        return "; ".join(unknown_hours(name, self._weeks) for name in names if name not in self._weeks)


def unknown_hours(name: str, known: Mapping[str, object]) -> str:
    """What to say of a name that opening_hours lacks."""
    there = ", ".join(known) or "none yet: write it into streamer.yaml"
    return f"opening_hours has no {name[:63]!r}; it has {there}"
