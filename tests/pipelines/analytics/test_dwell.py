"""Dwell alarms: once per visit and time, while the visit lasts."""

from __future__ import annotations

import pytest

from tests.pipelines.count.walks import Walk, of, play, rules, still, through

RULES = rules(dwells=[{"name": "long", "zone": "left", "after_s": [2, 5]}])

CASES: list[tuple[str, Walk, list[float]]] = [
    ("stays for 8 s: both times are told", still(0.2, end_s=8), [2, 5]),
    ("stays for 3 s: the first alone", still(0.2, end_s=3), [2]),
    ("leaves before the first time", still(0.2, end_s=1.5), []),
    ("stands outside the zone all the time", still(0.5, end_s=10), []),
    (
        "two visits of 3 s each: each is a visit of its own",
        through(
            (0, 0.2, 0.5), (3, 0.2, 0.5), (3.2, 0.5, 0.5), (5, 0.5, 0.5), (5.2, 0.2, 0.5), (8.2, 0.2, 0.5)
        ),
        [2, 2],
    ),
]


@pytest.mark.parametrize(("comment", "walk", "expected"), CASES, ids=[c[0] for c in CASES])
def test_long_visits_are_told(comment: str, walk: Walk, expected: list[float]) -> None:  # noqa: ARG001
    assert [d["after_s"] for d in of(play(RULES, {1: walk}, 12), "dwell.exceeded")] == expected


def test_a_restart_tells_nothing_twice() -> None:
    found = of(play(RULES, {1: still(0.2)}, 12, save_every=3), "dwell.exceeded")
    assert [d["after_s"] for d in found] == [2, 5]
    assert [d["entered_media_ns"] for d in found] == [0, 0]


def test_classes_that_were_not_asked_for_are_not_told() -> None:
    only_cars = rules(dwells=[{"name": "long", "zone": "left", "after_s": [2], "classes": ["car"]}])
    events = play(only_cars, {1: still(0.2), 2: still(0.3)}, 5, classes={2: 1})
    assert [d["track_id"] for d in of(events, "dwell.exceeded")] == [2]
