"""All analytics together: what is broken about their input, what they forget, and what a change keeps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts, RuleError
from pipelines.track import create_tracker
from pipelines.values import Detections, Event, Tracks
from tests.pipelines.count.walks import (
    LABELS,
    Walk,
    check,
    of,
    play,
    rules,
    stamp,
    still,
    straight,
    through,
    tracks,
)

EVERY: dict[str, Any] = {
    "dwells": [{"name": "a", "zone": "left", "after_s": [1]}],
    "occupancies": [{"name": "a", "lines": ["middle"]}],
    "queues": [{"name": "a", "zone": "left"}],
    "flows": [{"name": "a", "zones": ["left", "right"], "every_s": 10}],
    "calibration": {
        "points": [[0.1, 0.9], [0.9, 0.9], [0.6, 0.3], [0.4, 0.3]],
        "metres": [[0, 0], [12, 0], [12, 60], [0, 60]],
    },
    "speeds": [{"name": "a", "line": "middle"}, {"name": "b", "zone": "left"}],
    "wrong_ways": [
        {"name": "a", "line": "middle", "allowed": "in"},
        {"name": "b", "zone": "left", "towards": [[0, 0], [1, 0]]},
    ],
    "heatmaps": [{"name": "a", "every_s": 10}],
    "uniques": [{"name": "a", "every_s": 10}],
}


def without_track_ends(events: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (e.type, e.subject, json.dumps(dict(e.data), sort_keys=True))
        for e in events
        if e.type != "streamer.track.ended.v1"
    ]


def size_of(saved: Any) -> int:
    return len(json.dumps(saved))


def test_without_such_rules_nothing_is_told_and_nothing_kept() -> None:
    analytics = CameraCounts(rules(), LABELS)
    events = play(analytics, {1: straight(0.1, 0.9, 8)}, 12)
    assert {e.type.split(".")[1] for e in events} == {"line", "zone", "track"}
    assert analytics.save()["further"] == {}


def test_the_dead_are_forgotten() -> None:
    """60 tracks one after another leave a state no larger than two of them do."""

    def passing(count: int) -> int:
        walks: dict[int, Walk] = {
            k: through((2 * k, 0.2, 0.6), (2 * k + 2, 0.8, 0.6)) for k in range(1, count + 1)
        }
        analytics = CameraCounts(rules(**EVERY), LABELS)
        play(analytics, walks, 2 * count + 12, close=False)
        further = analytics.save()["further"]
        for key in ("occupancy/a", "heatmap/a"):  # sums, bounded by themselves
            further.pop(key)
        return size_of(further)

    assert passing(60) <= passing(2) + 20


def test_time_that_runs_backwards_ends_the_tracks_and_goes_on() -> None:
    analytics = CameraCounts(rules(**EVERY), LABELS)
    events: list[Event] = []
    for n in (*range(100), *range(20, 150)):
        events += analytics.update(stamp(n / 10), tracks({1 if n < 100 else 2: (0.2, 0.5)}))
    for event in events:
        check(event)
        for name, value in event.data.items():
            if name.endswith("_s") and isinstance(value, float):
                assert value >= 0, (event.type, name)


def test_a_jump_of_an_hour_waits_for_nobody_who_was_not_seen() -> None:
    analytics = CameraCounts(rules(**EVERY), LABELS)
    events: list[Event] = []
    for at_s in (*np.arange(0, 5, 0.1), *np.arange(3600, 3605, 0.1)):
        events += analytics.update(stamp(float(at_s)), tracks({1: (0.2, 0.5)}))
    events += analytics.close(stamp(3606.0))
    waited = [d["waited_s"]["max"] for d in of(events, "queue.changed") if d["left"]]
    assert waited
    assert max(waited) < 10
    assert sum(d["total_s"] for d in of(events, "heatmap.measured")) < 12
    assert len(of(events, "unique.counted")) <= 3  # not one for each period that nobody saw


def test_boxes_that_are_not_numbers_are_left_out() -> None:
    analytics = CameraCounts(rules(**EVERY), LABELS)
    tracker = create_tracker()
    events: list[Event] = []
    for n in range(80):
        good = tracks({1: (0.2, 0.5), 2: (0.3, 0.6)})
        boxes = good.boxes_xyxyn.copy()
        boxes[1] = np.nan
        broken = Detections(boxes, good.scores, good.class_ids)
        events += analytics.update(stamp(n / 10), tracker.update(stamp(n / 10), broken, LABELS))
    events += analytics.close(stamp(8.0))
    for event in events:
        assert "NaN" not in json.dumps(dict(event.data))
    [told] = of(events, "heatmap.measured")
    assert told["total_s"] == pytest.approx(7.5, abs=0.6)  # the good one alone


def test_ten_thousand_tracks_in_a_frame_are_followed_and_forgotten() -> None:
    rng = np.random.default_rng(3)
    crowd = {k: (float(x), float(y)) for k, (x, y) in enumerate(rng.uniform(0.1, 0.9, (10_000, 2)), start=1)}
    analytics = CameraCounts(rules(**EVERY), LABELS)
    many = tracks(crowd)
    events: list[Event] = []
    for n in range(16):
        events += analytics.update(stamp(n / 10), many)
    for n in range(16, 160):
        events += analytics.update(stamp(n / 10), Tracks.empty())
    assert size_of(analytics.save()["further"]) < 10_000
    assert of(events, "unique.counted")[0]["count"] == 10_000


def test_cameras_side_by_side_know_nothing_of_each_other() -> None:
    alone = without_track_ends(play(rules(**EVERY), {1: straight(0.1, 0.9, 8)}, 14))
    one, other = CameraCounts(rules(**EVERY), LABELS), CameraCounts(rules(**EVERY), LABELS)
    walk, events = straight(0.1, 0.9, 8), []
    for n in range(140):
        place = walk(n / 10)
        events += one.update(stamp(n / 10), tracks({} if place is None else {1: place}))
        other.update(stamp(n / 10), tracks({1: (0.3, 0.4)}))
    events += one.close(stamp(14.0))
    assert without_track_ends(events) == alone


def test_an_analytic_added_later_knows_who_is_in_its_zone() -> None:
    analytics = CameraCounts(rules(), LABELS)
    play(analytics, {1: still(0.2)}, 5, close=False)
    analytics.with_rules(rules(queues=EVERY["queues"]))
    events: list[Event] = []
    for n in range(50, 120):
        events += analytics.update(stamp(n / 10), tracks({1: (0.2, 0.5)}))
    assert [d["count"] for d in of(events, "queue.changed")] == [1]


def test_a_changed_rule_starts_anew_and_its_neighbours_go_on() -> None:
    analytics = CameraCounts(rules(**EVERY), LABELS)
    play(analytics, {1: straight(0.3, 0.7, 2)}, 6, close=False)
    before = analytics.save()["further"]
    changed = {**EVERY, "uniques": [{"name": "a", "every_s": 20}]}
    analytics.with_rules(rules(**changed))
    after = analytics.save()["further"]
    assert after["occupancy/a"] == before["occupancy/a"]
    assert after["unique/a"][1] != before["unique/a"][1]


def test_a_state_of_rules_that_changed_meanwhile_is_not_taken_over() -> None:
    analytics = CameraCounts(rules(**EVERY), LABELS)
    play(analytics, {1: straight(0.3, 0.7, 2)}, 6, close=False)
    saved = json.loads(json.dumps(analytics.save()))
    moved = rules(**EVERY).model_dump()
    moved["lines"][0]["points"] = [[0.45, 1.0], [0.45, 0.0]]
    fresh = CameraCounts(CameraRules.model_validate(moved), LABELS)
    fresh.restore(saved)
    state = fresh.save()["further"]
    assert state["occupancy/a"][1][2] == 0
    assert state["flow/a"] == saved["further"]["flow/a"]


def test_a_class_that_the_model_does_not_have_is_refused_with_the_rule() -> None:
    made = rules(queues=[{"name": "till", "zone": "left", "classes": ["persn"]}])
    with pytest.raises(RuleError, match="queue till: the model has no class or group 'persn'"):
        CameraCounts(made, LABELS)


def test_the_revision_is_the_highest_of_the_rule_and_what_it_rests_on() -> None:
    given = rules(occupancies=[{"name": "a", "lines": ["middle"], "rev": 2}]).model_dump()
    given["lines"][0]["rev"] = 7
    events = play(CameraRules.model_validate(given), {1: straight(0.3, 0.7, 2)}, 6)
    assert [d["rule_rev"] for d in of(events, "occupancy.changed")] == [7]


# ---- lines of more than two points

BENT = {
    "name": "middle",
    "points": [[0.2, 0.5], [0.5, 0.5], [0.5, 0.95]],
    "left_to_right": "in",
    "right_to_left": "out",
}
BENDS: list[tuple[str, Walk, list[str]]] = [
    ("over the first piece, downwards", through((0, 0.3, 0.2), (4, 0.3, 0.8)), ["in"]),
    ("over the second piece, leftwards", through((0, 0.8, 0.75), (4, 0.2, 0.75)), ["in"]),
    ("over both: in and out again", through((0, 0.3, 0.2), (3, 0.35, 0.75), (6, 0.8, 0.75)), ["in", "out"]),
    ("over the corner", through((0, 0.8, 0.2), (4, 0.2, 0.8)), ["in"]),
    ("past the first end", through((0, 0.08, 0.2), (4, 0.08, 0.8)), []),
]


@pytest.mark.parametrize(("comment", "walk", "expected"), BENDS, ids=[c[0] for c in BENDS])
def test_a_poly_line_counts_at_each_of_its_pieces(comment: str, walk: Walk, expected: list[str]) -> None:  # noqa: ARG001
    events = play(rules(lines=[BENT], occupancies=EVERY["occupancies"]), {1: walk}, 12)
    assert [d["direction"] for d in of(events, "line.crossed")] == expected
    assert len(of(events, "occupancy.changed")) == len(expected)
