"""Flows: who went from which zone to which, one by one and as a matrix per period."""

from __future__ import annotations

import pytest

from tests.pipelines.count.walks import Walk, of, play, rules, straight, through

ARMS = [
    {"name": "west", "points": [[0.0, 0.4], [0.2, 0.4], [0.2, 0.6], [0.0, 0.6]]},
    {"name": "east", "points": [[0.8, 0.4], [1.0, 0.4], [1.0, 0.6], [0.8, 0.6]]},
    {"name": "south", "points": [[0.4, 0.8], [0.6, 0.8], [0.6, 1.0], [0.4, 1.0]]},
]
RULES = rules(zones=ARMS, flows=[{"name": "turns", "zones": ["west", "east", "south"], "every_s": 20}])
THROUGH = straight(0.05, 0.95, 6)
TURN = through((0, 0.05, 0.5), (3, 0.5, 0.5), (6, 0.5, 0.98))
U_TURN = through((0, 0.1, 0.5), (3, 0.5, 0.5), (6, 0.1, 0.5))
ALL = through((0, 0.05, 0.5), (3, 0.5, 0.95), (6, 0.95, 0.5), (7, 0.96, 0.5))

CASES: list[tuple[str, Walk, list[tuple[str, str]]]] = [
    ("straight on", THROUGH, [("west", "east")]),
    ("a turn to the right", TURN, [("west", "south")]),
    ("the other way", straight(0.95, 0.05, 6), [("east", "west")]),
    ("a U-turn into the zone it came from is no movement", U_TURN, []),
    ("it vanishes in the middle", straight(0.05, 0.5, 4), []),
    ("all three arms are two movements", ALL, [("west", "south"), ("south", "east")]),
]


@pytest.mark.parametrize(("comment", "walk", "expected"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("save_every", [0, 4])
def test_movements(
    comment: str,  # noqa: ARG001
    walk: Walk,
    expected: list[tuple[str, str]],
    save_every: int,
) -> None:
    found = of(play(RULES, {1: walk}, 12, save_every=save_every), "flow.moved")
    assert [(d["origin"], d["destination"]) for d in found] == expected


def test_the_matrix_of_a_period_counts_by_class_and_the_next_starts_empty() -> None:
    events = play(RULES, {1: THROUGH, 2: THROUGH, 3: TURN}, 45, classes={2: 1, 3: 2})
    first, second, last = of(events, "flow.matrix")
    assert first["matrix"]["west"]["east"]["by_class"] == {"person": 1, "car": 1}
    assert first["matrix"]["west"]["south"]["by_group"] == {"vehicle": 1}
    assert (first["count"], first["complete"]) == (3, True)
    assert (first["start_media_ns"], first["end_media_ns"]) == (0, 20_000_000_000)
    assert (second["count"], second["matrix"]) == (0, {})
    assert not last["complete"]


def test_a_way_that_takes_too_long_is_none() -> None:
    short = rules(zones=ARMS, flows=[{"name": "turns", "zones": ["west", "east"], "within_s": 2}])
    assert of(play(short, {1: THROUGH}, 10), "flow.moved") == []


@pytest.mark.parametrize(
    ("zones", "reason"),
    [(["west"], "at least 2"), (["west", "west"], "twice"), (["west", "north"], "no zone 'north'")],
)
def test_zones_that_make_no_flow_are_refused(zones: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rules(zones=ARMS, flows=[{"name": "turns", "zones": zones}])
