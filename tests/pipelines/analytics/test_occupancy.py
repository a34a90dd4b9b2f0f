"""Occupancy of an entrance: in less out, never silently negative, reset by its rule alone."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from pipelines.analytics.local_days import LocalDays
from pipelines.camera_rules import in_timezone
from pipelines.count import CameraCounts
from tests.pipelines.count.walks import (
    LABELS,
    START_NS,
    Walk,
    of,
    play,
    rules,
    stamp,
    straight,
    through,
    tracks,
)

IN = (0.3, 0.7)
OUT = (0.7, 0.3)


def walkers(*ways: tuple[float, float]) -> dict[int, Walk]:
    """One after the other, 3 s apart."""
    return {k + 1: straight(a, b, 2, begin_s=3 * k) for k, (a, b) in enumerate(ways)}


CASES: list[tuple[str, list[tuple[float, float]], list[tuple[int, int]]]] = [
    ("one in", [IN], [(1, 0)]),
    ("two in, one out", [IN, IN, OUT], [(1, 0), (2, 0), (1, 0)]),
    ("out of the empty room: a miscount, put down as such", [OUT], [(0, 1)]),
    ("a miscount does not eat the next one in", [OUT, IN], [(0, 1), (1, 1)]),
]


@pytest.mark.parametrize(("comment", "ways", "expected"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("save_every", [0, 5])
def test_the_sum_and_what_fell_below_zero(
    comment: str,  # noqa: ARG001
    ways: list[tuple[float, float]],
    expected: list[tuple[int, int]],
    save_every: int,
) -> None:
    found = of(
        play(
            rules(occupancies=[{"name": "shop", "lines": ["middle"]}]),
            walkers(*ways),
            3 * len(ways) + 2,
            save_every=save_every,
        ),
        "occupancy.changed",
    )
    assert [(d["count"], d["below_zero"]) for d in found] == expected


def test_zones_count_who_enters_and_who_leaves() -> None:
    both = rules(occupancies=[{"name": "ends", "zones": ["left", "right"]}])
    found = of(play(both, {1: straight(0.2, 0.8, 6)}, 12), "occupancy.changed")
    assert [d["count"] for d in found] == [1, 0, 1, 0]


def test_an_epochs_end_keeps_who_is_inside() -> None:
    analytics = CameraCounts(rules(occupancies=[{"name": "shop", "lines": ["middle"]}]), LABELS)
    play(analytics, walkers(IN, IN), 8)
    found = of(play(analytics, walkers(OUT), 5), "occupancy.changed")
    assert [d["count"] for d in found] == [1]


def test_a_quiet_time_resets_to_the_start() -> None:
    quiet = rules(occupancies=[{"name": "shop", "lines": ["middle"], "reset_idle_s": 5, "start": 3}])
    found = of(play(quiet, walkers(IN), 14), "occupancy.changed")
    assert [(d["cause"], d["count"]) for d in found] == [("in", 4), ("reset_idle", 3)]


def test_the_hour_resets_once_a_day() -> None:
    minutes = START_NS // 60_000_000_000 % 1440 + 1  # the next full minute of the day
    at = f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"
    daily = rules(occupancies=[{"name": "shop", "lines": ["middle"], "reset_at_utc": at}])
    analytics = CameraCounts(daily, LABELS)
    events = play(analytics, walkers(IN), 6, close=False)
    for n in range(60, 1300):  # two minutes with nobody
        events += analytics.update(stamp(n / 10), tracks({}))
    found = of(events, "occupancy.changed")
    assert [(d["cause"], d["count"]) for d in found] == [("in", 1), ("reset_at", 0)]


def ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("begins", "since", "hours"),
    [
        ("03:00", "2026-03-28T12:00:00+01:00", 72),  # put forward from 02:00 to 03:00 on the 29th
        ("02:30", "2026-03-28T12:00:00+01:00", 72),  # which the clock does not show that day
        ("03:00", "2026-10-24T12:00:00+02:00", 72),  # put back from 03:00 to 02:00 on the 25th
        ("02:30", "2026-10-24T12:00:00+02:00", 72),  # which the clock shows twice that day
        ("00:00", "2026-10-24T12:00:00+02:00", 72),
    ],
)
def test_a_day_by_the_site_s_clock_begins_once_also_when_the_clock_is_changed(
    begins: str, since: str, hours: int
) -> None:
    days = LocalDays(begins, "Europe/Berlin")
    minute_ns = 60 * 1_000_000_000
    found = [days.of(ns(since) + n * minute_ns) for n in range(hours * 60)]
    steps = [b - a for a, b in pairwise(found)]
    assert set(steps) == {0, 1}
    assert sum(steps) == 3


def test_a_day_begins_when_the_clock_on_the_wall_says_so() -> None:
    days = LocalDays("03:00", "Europe/Berlin")
    for date, offset in (("2026-01-15", "+01:00"), ("2026-07-15", "+02:00"), ("2026-10-25", "+01:00")):
        assert days.of(ns(f"{date}T03:00:00{offset}")) - days.of(ns(f"{date}T02:59:59{offset}")) == 1
    assert days.of(ns("2026-10-25T02:59:00+02:00")) == days.of(ns("2026-10-25T02:01:00+01:00"))
    skipped = LocalDays("02:30", "Europe/Berlin")
    assert skipped.of(ns("2026-03-29T03:30:00+02:00")) - skipped.of(ns("2026-03-29T03:29:59+02:00")) == 1


def test_a_count_is_set_back_by_the_site_s_timezone() -> None:
    local = datetime.fromtimestamp(START_NS // 1_000_000_000 + 60, ZoneInfo("Asia/Kolkata"))
    rule = {"name": "shop", "lines": ["middle"], "reset_at": f"{local:%H:%M}"}
    daily = in_timezone(rules(occupancies=[rule]), "Asia/Kolkata")
    analytics = CameraCounts(daily, LABELS)
    events = play(analytics, walkers(IN), 6, close=False)
    for n in range(60, 1300):
        events += analytics.update(stamp(n / 10), tracks({}))
    assert [d["cause"] for d in of(events, "occupancy.changed")] == ["in", "reset_at"]


def test_who_turns_back_at_the_door_changes_nothing() -> None:
    turns = through((0, 0.3, 0.5), (2, 0.49, 0.5), (4, 0.3, 0.5))
    events = play(rules(occupancies=[{"name": "shop", "lines": ["middle"]}]), {1: turns}, 8)
    assert of(events, "occupancy.changed") == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"name": "x"}, "name the lines"),
        ({"name": "x", "lines": ["dor"]}, "there is no line 'dor'; known: middle"),
        (
            {"name": "x", "lines": ["middle"], "inward": "upwards"},
            "no direction 'upwards'; it has in and out",
        ),
        ({"name": "x", "lines": ["middle"], "reset_at_utc": "25:00"}, "pattern"),
        ({"name": "x", "lines": ["middle"], "reset_at": "03:00", "reset_at_utc": "03:00"}, "keep one"),
        (
            {"name": "x", "lines": ["middle"], "reset_at": "03:00", "timezone": "Mars"},
            "not a timezone",
        ),
        ({"name": "x", "lines": ["middle"], "timezone": "UTC"}, "that of reset_at"),
    ],
)
def test_a_rule_that_cannot_count_is_refused(given: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rules(occupancies=[given])


def test_a_person_sets_it_and_the_sum_goes_on_from_there() -> None:
    counts = CameraCounts(rules(occupancies=[{"name": "shop", "lines": ["middle"]}]), LABELS)
    told = {"reason": "counted by hand", "by": "ann", "uid": 1000}
    (event,) = counts.set_occupancy(stamp(0), "shop", 7, told)
    assert {key: event.data[key] for key in ("count", "cause", "by", "reason", "below_zero")} == {
        "count": 7,
        "cause": "set",
        "by": "ann",
        "reason": "counted by hand",
        "below_zero": 0,
    }
    assert event.data["in"]["count"] == event.data["out"]["count"] == 0
    again = CameraCounts(rules(occupancies=[{"name": "shop", "lines": ["middle"]}]), LABELS)
    again.restore(counts.save())
    assert [e.data["count"] for e in again.set_occupancy(stamp(1), "shop", 3, told)] == [3]
    assert counts.set_occupancy(stamp(0), "another", 7, told) == []
