"""Wrong way: against a line's allowed direction or a zone's arrow, and far enough to mean it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pipelines.count.walks import Walk, of, play, rules, still, straight, through

LINE = rules(wrong_ways=[{"name": "ramp", "line": "middle", "allowed": "in", "min_distance": 0.1}])
ZONE = rules(wrong_ways=[{"name": "ramp", "zone": "left", "towards": [[0, 0.5], [1, 0.5]]}])
STOPS = through((0, 0.8, 0.5), (3, 0.45, 0.5), (9, 0.45, 0.5))
AGAIN = through((0, 0.8, 0.5), (3, 0.45, 0.5), (6, 0.8, 0.5), (10, 0.2, 0.5))

AT_LINE: list[tuple[str, Walk, int]] = [
    ("the allowed way", straight(0.2, 0.8, 6), 0),
    ("the wrong way", straight(0.8, 0.2, 6), 1),
    ("over the line the wrong way, but it stops 0.05 beyond", STOPS, 0),
    ("it turns back 0.05 beyond", through((0, 0.8, 0.5), (3, 0.45, 0.5), (6, 0.8, 0.5)), 0),
    ("wrong, back, and wrong again for good", AGAIN, 1),
    ("it stands on the line", still(0.5), 0),
]
IN_ZONE: list[tuple[str, Walk, int]] = [
    ("along the arrow", straight(0.02, 0.38, 5), 0),
    ("against it", straight(0.38, 0.02, 5), 1),
    ("against it, twice as long: once a visit", through((0, 0.38, 0.5), (5, 0.2, 0.5), (10, 0.02, 0.5)), 1),
    ("forward, and then back", through((0, 0.05, 0.5), (3, 0.3, 0.5), (6, 0.1, 0.5)), 1),
    ("across the arrow", lambda t: (0.3 - 0.01 * t, 0.2 + 0.06 * t) if t < 10 else None, 0),
    ("it stands", still(0.2), 0),
    ("a step back of 0.03", through((0, 0.05, 0.5), (3, 0.3, 0.5), (4, 0.27, 0.5), (6, 0.38, 0.5)), 0),
]


@pytest.mark.parametrize(("comment", "walk", "count"), AT_LINE, ids=[c[0] for c in AT_LINE])
@pytest.mark.parametrize("save_every", [0, 6])
def test_at_a_line(comment: str, walk: Walk, count: int, save_every: int) -> None:  # noqa: ARG001
    found = of(play(LINE, {1: walk}, 15, save_every=save_every), "wrongway.detected")
    assert [d["direction"] for d in found] == ["out"] * count
    assert all(d["distance"] >= 0.1 for d in found)


@pytest.mark.parametrize(("comment", "walk", "count"), IN_ZONE, ids=[c[0] for c in IN_ZONE])
@pytest.mark.parametrize("save_every", [0, 6])
def test_in_a_zone(comment: str, walk: Walk, count: int, save_every: int) -> None:  # noqa: ARG001
    found = of(play(ZONE, {1: walk}, 15, save_every=save_every), "wrongway.detected")
    assert [d["zone"] for d in found] == ["left"] * count


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"line": "middle"}, "give line and allowed"),
        ({"line": "middle", "allowed": "up"}, "no direction 'up'; it has in and out"),
        ({"line": "middle", "allowed": "in", "zone": "left"}, "give line and allowed"),
        ({"zone": "left"}, "give line and allowed"),
        ({"zone": "left", "towards": [[0.5, 0.5], [0.5, 0.5]]}, "needs a length"),
        ({"zone": "left", "towards": [[0, 0], [1, 0]], "min_distance": 0}, "at least 0.01"),
    ],
)
def test_a_rule_without_a_direction_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rules(wrong_ways=[{"name": "ramp", **given}])
