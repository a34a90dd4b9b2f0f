"""Who comes in over the picture's border between two frames far apart has crossed the line near it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.events import LINE_CROSSED
from pipelines.rules import LineSpec
from pipelines.track import create_tracker
from pipelines.values import Detections, Event, Labels, Stamp

LABELS = Labels(("person",), ("person",))
NEAR_BORDER = LineSpec(
    name="door", points=((0.05, 0.0), (0.05, 1.0)), left_to_right="out", right_to_left="in", anchor="center"
)
Place = tuple[float, float] | None  # of the centre; None where there is no box
EMPTY: list[Place] = [None]


def crossings(places: list[Place], fps: float, save_at: int | None = None) -> list[Event]:
    """Boxes of 0.1 x 0.2, as far as they lie in the picture."""
    rules = CameraRules(lines=(NEAR_BORDER,))
    tracker, analytics = create_tracker(), CameraCounts(rules, LABELS)
    events: list[Event] = []
    stamp = Stamp("door", 1, 0, 0, 0, 0)
    for number, place in enumerate(places):
        if number == save_at:
            saved = json.loads(json.dumps([tracker.save(), analytics.save()]))
            tracker, analytics = create_tracker(), CameraCounts(rules, LABELS)
            tracker.restore(saved[0])
            analytics.restore(saved[1])
        ns = round(number * 1e9 / fps)
        stamp = Stamp("door", 1, number, ns, ns, 0)
        n = 0 if place is None else 1
        x, y = place or (0.5, 0.5)
        box = np.clip(np.array([[x - 0.05, y - 0.1, x + 0.05, y + 0.1]], np.float32), 0, 1)
        found = Detections(box[:n], np.full(n, 0.9, np.float32), np.zeros(n, np.int32))
        events += analytics.update(stamp, tracker.update(stamp, found, LABELS))
    events += analytics.close(stamp)
    return [e for e in events if e.type == LINE_CROSSED]


def walk(x: float, step_x: float, y: float = 0.5, step_y: float = 0.0) -> list[Place]:
    return [(x + step_x * n, y + step_y * n) for n in range(8)]


def test_who_comes_in_is_counted_though_never_seen_before_the_line() -> None:
    (crossing,) = crossings([*EMPTY * 3, *walk(0.06, 0.07)], fps=2.5)
    assert crossing.data["direction"] == "in"
    assert 0.8e9 <= crossing.data["crossed_media_ns"] <= 1.2e9  # between the empty frame and the first box


@pytest.mark.parametrize(
    ("places", "fps"),
    [
        (walk(0.06, 0.07), 2.5),  # there when the camera began: who knows where from
        ([*EMPTY * 3, *walk(0.075, 0.07)], 2.5),  # not cut: was hidden behind something
        ([*EMPTY * 3, *walk(0.06, 0.0, 0.3, 0.05)], 2.5),  # along the border
        ([*EMPTY * 3, *walk(0.06, 0.07)], 12.5),  # frames so near that it would have been seen
    ],
)
def test_who_may_have_been_there_is_not(places: list[Place], fps: float) -> None:
    assert crossings(places, fps) == []


def test_a_stream_that_stood_still_tells_nothing_about_the_frame_before() -> None:
    places = [*EMPTY * 3, *walk(0.06, 0.07)]
    assert len(crossings(places, fps=1.1)) == 1
    assert crossings(places, fps=0.8) == []


@pytest.mark.parametrize("save_at", range(2, 8))
def test_a_restart_changes_nothing(save_at: int) -> None:
    places = [*EMPTY * 3, *walk(0.06, 0.07)]
    whole, again = (crossings(places, 2.5, at) for at in (None, save_at))
    assert [e.data["crossed_media_ns"] for e in again] == pytest.approx(
        [e.data["crossed_media_ns"] for e in whole], abs=1e6
    )
