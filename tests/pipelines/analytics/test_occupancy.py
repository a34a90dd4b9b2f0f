"""Occupancy of an entrance: in less out, never silently negative, reset by its rule alone."""

from __future__ import annotations

import pytest

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
