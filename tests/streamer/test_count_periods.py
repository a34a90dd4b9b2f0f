"""The periods of an answer: one for each hour, day or week of the range, also where nothing is known."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from streamer.api.counts.periods import MAX_PERIODS, periods_of
from streamer.api.counts.query import NO_END_S, Counted, CountQuery
from streamer.api.moments import LocalTime
from streamer.ledger.buckets import Coverage
from streamer.ledger.count_rows import NS_PER_S

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp())


def counted(by: str, since: str, until: str, buckets: list[Coverage] | None = None) -> Counted:
    since_s = at(since) if since else 0
    query = CountQuery(by.split(","), BERLIN, since_s, at(until) if until else NO_END_S)
    return Counted(query, [], buckets or [], {})


@pytest.mark.parametrize(
    ("by", "since", "until", "labels"),
    [
        (
            "hour",
            "2026-05-01T22:00",
            "2026-05-02T01:00",
            ["2026-05-01 22:00", "2026-05-01 23:00", "2026-05-02 00:00"],
        ),
        ("day,name", "2026-04-30T00:00", "2026-05-02T00:00", ["2026-04-30", "2026-05-01"]),
        ("week", "2025-12-22T00:00", "2026-01-06T00:00", ["2025-W52", "2026-W01", "2026-W02"]),
        ("day", "2026-05-01T18:00", "2026-05-01T19:00", ["2026-05-01"]),
    ],
)
def test_every_period_of_the_range_is_there_once(by: str, since: str, until: str, labels: list[str]) -> None:
    assert [one["label"] for one in periods_of(counted(by, since, until))] == labels


def test_a_period_begins_where_its_label_says() -> None:
    first, second = periods_of(counted("day", "2026-05-01T00:00", "2026-05-03T00:00"))
    assert (first["start_s"], second["start_s"]) == (at("2026-05-01T00:00"), at("2026-05-02T00:00"))


def test_the_hour_that_comes_twice_is_two_periods_and_the_day_it_is_in_is_one() -> None:
    night = ("2026-10-25T00:00", "2026-10-25T05:00")
    assert len(periods_of(counted("hour", *night))) == 6
    assert len(periods_of(counted("day", *night))) == 1
    assert len(periods_of(counted("week", *night))) == 1


def test_without_a_beginning_they_begin_with_the_record() -> None:
    begun, ended = (at(f"2026-05-01T{hour}:00") * NS_PER_S for hour in ("08", "09"))
    found = counted("hour", "", "2026-05-01T11:00", [Coverage("a", begun, ended, {"seen_s": 3600.0})])
    assert [one["label"][-5:] for one in periods_of(found)] == ["08:00", "09:00", "10:00"]
    assert found.recorded_s == {"a": (begun // NS_PER_S, ended // NS_PER_S)}


@pytest.mark.parametrize("by", ["name", "minute", "camera,direction"])
def test_rows_by_no_such_period_have_none(by: str) -> None:
    assert periods_of(counted(by, "2026-05-01T00:00", "2026-05-02T00:00")) == []


def test_a_range_without_end_has_a_limit() -> None:
    assert periods_of(counted("hour", "1990-01-01T00:00", "")) == []
    assert MAX_PERIODS * 3600 > 366 * 86400


def test_a_week_is_that_of_iso_8601() -> None:
    """2027 begins on a Friday: its first days are of the last week of 2026."""
    assert LocalTime.of(at("2027-01-03T23:00"), BERLIN, "week") == "2026-W53"
    assert LocalTime.of(at("2027-01-04T00:00"), BERLIN, "week") == "2027-W01"
