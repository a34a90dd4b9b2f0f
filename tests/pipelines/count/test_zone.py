"""The zone counter by itself: tracks that stand in, walk through and leave the left zone of walks.py."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from pipelines.count import CameraCounts
from pipelines.rules import ZoneSpec
from tests.pipelines.count.walks import (
    CAR,
    LABELS,
    Place,
    Walk,
    of,
    play,
    rules,
    still,
    straight,
    through,
)

ENTERED, EXITED, OCCUPANCY = "zone.entered", "zone.exited", "zone.occupancy"


def test_a_walk_through_the_zone_enters_and_leaves_with_its_dwell() -> None:
    """In at x = 0.4 after 1 s, out again there after 5 s."""
    events = play(rules(), {7: through((0, 0.5, 0.5), (3, 0.2, 0.5), (6, 0.5, 0.5), (8, 0.55, 0.5))}, 8)
    (entered,), (exited,) = of(events, ENTERED), of(events, EXITED)
    assert (entered["zone"], entered["track_id"], entered["class"]) == ("left", 7, "person")
    assert entered["changed_media_ns"] == pytest.approx(1.0e9, abs=2e8)
    assert exited["changed_media_ns"] == pytest.approx(5.0e9, abs=2e8)
    assert exited["dwell_s"] == pytest.approx(4.0, abs=0.3)


def test_who_is_there_from_the_first_moment_entered_then() -> None:
    (entered,) = of(play(rules(), {1: still(0.2)}, 3, close=False), ENTERED)
    assert entered["changed_media_ns"] == pytest.approx(0, abs=1e6)


def test_who_is_lost_inside_has_left_when_last_seen() -> None:
    events = play(rules(), {1: still(0.2, end_s=3.0), 2: still(0.5)}, 9, close=False)
    (exited,) = of(events, EXITED)
    assert exited["dwell_s"] == pytest.approx(2.9, abs=0.01)  # the last box
    assert of(events, OCCUPANCY)[-1]["count"] == 0


def jitters(x: float, by: float) -> Walk:
    """Stands at x and is seen by turns to the left and right of it."""

    def place(t: float) -> Place:
        return (x + by * (1 if round(t * 10) % 2 else -1), 0.5)

    return place


def test_who_stands_on_the_edge_enters_and_leaves_at_most_once() -> None:
    events = play(rules(), {1: jitters(0.4, 0.01)}, 20, close=False)
    assert len(of(events, ENTERED)) + len(of(events, EXITED)) <= 1


def test_a_glimpse_inside_is_no_visit() -> None:
    """Less than SETTLE_S beyond the edge."""
    events = play(rules(), {1: through((0, 0.5, 0.5), (1, 0.41, 0.5), (1.1, 0.405, 0.5), (2, 0.5, 0.5))}, 3)
    assert of(events, ENTERED) == []


def test_occupancy_is_told_by_class_whenever_it_changes() -> None:
    walks = {1: still(0.1), 2: still(0.2, begin_s=2.0), 3: straight(0.1, 0.55, 4.0)}
    told = of(play(rules(), walks, 6, classes={2: CAR}, close=False), OCCUPANCY)
    assert [t["count"] for t in told] == [2, 3, 2]
    assert told[-1]["by_class"] == {"person": 1, "car": 1}


def test_a_zone_of_some_classes_does_not_see_the_others() -> None:
    cars = rules(zones=[{"name": "left", "points": [[0, 0], [0.4, 0], [0.4, 1], [0, 1]], "classes": ["car"]}])
    events = play(cars, {1: still(0.2), 2: still(0.3)}, 3, classes={2: CAR}, close=False)
    assert [e["track_id"] for e in of(events, ENTERED)] == [2]


@pytest.mark.parametrize("save_every", [1, 7])
def test_restarts_change_no_visit(save_every: int) -> None:
    walks = {1: straight(0.5, 0.1, 4.0), 2: still(0.2), 3: through((0, 0.2, 0.5), (4, 0.55, 0.5))}
    whole, parts = (play(rules(), walks, 7, save_every=n) for n in (0, save_every))
    for kind in (ENTERED, EXITED, OCCUPANCY):
        assert of(parts, kind) == of(whole, kind)


def test_a_zone_whose_edges_cross_is_refused() -> None:
    with pytest.raises(ValidationError, match="cross"):
        ZoneSpec(name="bow", points=((0.1, 0.1), (0.9, 0.9), (0.9, 0.2), (0.1, 0.7)))


@pytest.mark.parametrize("part", ["smoother", "paths", "lines", "zones"])
def test_a_damaged_checkpoint_is_refused(part: str) -> None:
    analytics = CameraCounts(rules(), LABELS)
    play(analytics, {1: still(0.2), 2: straight(0.3, 0.7, 3.0)}, 3, close=False)
    saved = json.loads(json.dumps(analytics.save()))
    text = json.dumps(saved[part])
    longest = max((word for word in text.split('"') if len(word) > 40), key=len)
    saved[part] = json.loads(text.replace(longest, longest[:-8]))
    with pytest.raises(ValueError, match="damaged"):
        CameraCounts(rules(), LABELS).restore(saved)
