"""Line crossings of tiny trajectories, through tracks of one object; the line goes down the middle."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.events import LINE_CROSSED, TRACK_ENDED
from pipelines.rules import LineSpec
from pipelines.values import Event, Labels, Stamp, Tracks

LABELS = Labels(("person",), ("person",))
FPS = 10.0
MIDDLE = LineSpec(name="middle", points=((0.5, 0.2), (0.5, 0.8)))


def still(x: float, n: int) -> list[float | None]:
    return [x] * n


def walk(a: float, b: float, n: int) -> list[float | None]:
    return [float(x) for x in np.linspace(a, b, n)]


def tracks(x: float | None, y: float = 0.5, track_id: int = 1) -> Tracks:
    """One box of 0.1 x 0.2 with its foot at (x, y), jittering by a twentieth of its width; None: unseen."""
    if x is None:
        return Tracks.empty()
    box = np.array([[x - 0.05, y - 0.2, x + 0.05, y]], np.float32)
    return Tracks(
        np.array([track_id], np.int64),
        box,
        np.array([0.9], np.float32),
        np.zeros(1, np.int32),
        np.ones(1, np.bool_),
        np.full((1, 2), 0.005, np.float32),
    )


def stamp(frame: int, epoch: int = 1) -> Stamp:
    ns = round(frame / FPS * 1e9)
    return Stamp("door", epoch, frame, ns, ns, 0)


def crossings(path: list[float | None], y: float = 0.5, line: LineSpec = MIDDLE) -> list[Event]:
    analytics = CameraCounts(CameraRules(lines=(line,)), LABELS)
    events = [e for f, x in enumerate(path) for e in analytics.update(stamp(f), tracks(x, y))]
    events += analytics.close(stamp(len(path)))
    return [e for e in events if e.type == LINE_CROSSED]


RIGHT, LEFT = "right_to_left", "left_to_right"  # walking down the picture, its right edge is on the left


@pytest.mark.parametrize(
    ("path", "sides"),
    [
        (walk(0.3, 0.7, 20), [RIGHT]),  # straight over
        (walk(0.7, 0.3, 20), [LEFT]),  # and the other way
        (walk(0.3, 0.7, 20) + walk(0.7, 0.3, 20), [RIGHT, LEFT]),  # there and back
        (walk(0.3, 0.5, 10) + still(0.5, 50), []),  # stops on the line
        ([0.499 + 0.002 * (i % 2) for i in range(60)], []),  # stands on it and jitters
        (walk(0.3, 0.49, 15) + walk(0.49, 0.3, 15), []),  # turns before it
        (walk(0.1, 0.3, 4) + walk(0.7, 0.9, 4), [RIGHT]),  # leaps over it between two frames
        (walk(0.3, 0.45, 8) + [None] * 12 + walk(0.6, 0.7, 8), [RIGHT]),  # hidden while it crosses
        (walk(0.6, 0.9, 15), []),  # born behind it
        (walk(0.3, 0.51, 20), []),  # ends just beyond it: nobody knows
    ],
)
def test_a_path_crosses(path: list[float | None], sides: list[str]) -> None:
    assert [e.data["side"] for e in crossings(path)] == sides


def test_a_path_beside_the_end_of_the_line_does_not_cross_it() -> None:
    assert crossings(walk(0.3, 0.7, 20), y=0.9) == []


def test_a_line_to_the_edge_of_the_picture_goes_on_beyond_it() -> None:
    """The feet of someone near may be below the picture."""
    to_the_edge = MIDDLE.model_copy(update={"points": ((0.5, 0.2), (0.5, 1.0))})
    assert len(crossings(walk(0.3, 0.7, 20), y=1.1, line=to_the_edge)) == 1


def test_the_crossing_has_its_own_time_and_place() -> None:
    (event,) = crossings(walk(0.3, 0.7, 21))  # at x = 0.5 in frame 10
    assert event.data["crossed_media_ns"] == pytest.approx(1.0e9, abs=2e7)
    assert event.data["point_xyn"] == pytest.approx([0.5, 0.5], abs=0.005)
    assert 0 < event.stamp.media_ns - event.data["crossed_media_ns"] < 0.8e9


def test_a_poly_line_is_crossed_once_on_a_way_around_its_corner() -> None:
    corner = LineSpec(name="corner", points=((0.5, 0.1), (0.5, 0.6), (0.9, 0.6)))
    analytics = CameraCounts(CameraRules(lines=(corner,)), LABELS)
    events: list[Event] = []
    for frame, (x, y) in enumerate(zip(np.linspace(0.3, 0.7, 30), np.linspace(0.8, 0.4, 30), strict=True)):
        events += analytics.update(stamp(frame), tracks(float(x), float(y)))
    events += analytics.close(stamp(30))
    assert [e.data["side"] for e in events if e.type == LINE_CROSSED] == [RIGHT]


def test_a_track_that_was_long_in_doubt_is_counted_for_what_it_did_meanwhile() -> None:
    analytics = CameraCounts(CameraRules(lines=(MIDDLE,)), LABELS)
    events: list[Event] = []
    for frame in range(15):  # on its way over the line, not shown
        events += analytics.update(stamp(frame), Tracks.empty())
    path = walk(0.35, 0.65, 15)
    past = [[(15 - f) / FPS, x - 0.05, 0.3, x + 0.05, 0.5, 1.0] for f, x in enumerate(path) if x is not None]
    now = tracks(0.67)
    known = Tracks(
        now.track_ids, now.boxes_xyxyn, now.scores, now.class_ids, now.observed, now.jitter_xyn,
        history={1: np.array(past)},
    )  # fmt: skip
    events += analytics.update(stamp(15), known)
    for frame in range(16, 30):
        events += analytics.update(stamp(frame), tracks(0.67 + 0.01 * (frame - 15)))
    assert [e.data["side"] for e in events if e.type == LINE_CROSSED] == [RIGHT]


@pytest.mark.parametrize(("sure_before", "sure_after"), [(True, True), (True, False), (False, True)])
def test_who_was_surely_seen_on_one_side_only_is_not_counted(sure_before: bool, sure_after: bool) -> None:
    analytics = CameraCounts(CameraRules(lines=(MIDDLE,)), LABELS)
    events: list[Event] = []
    for frame, x in enumerate(walk(0.3, 0.7, 40)):
        assert x is not None
        seen = tracks(x)
        evidence = np.full(1, 2.0 if (sure_before if x < 0.5 else sure_after) else -1.0, np.float32)
        events += analytics.update(
            stamp(frame), dataclasses.replace(seen, measured_xyxyn=seen.boxes_xyxyn, evidence=evidence)
        )
    events += analytics.close(stamp(40))
    assert [e.data["side"] for e in events if e.type == LINE_CROSSED] == [RIGHT] * (
        sure_before and sure_after
    )


@pytest.mark.parametrize(("y", "counted"), [(0.5, False), (0.21, True)])
def test_whom_the_border_cuts_needs_to_be_surely_seen_on_one_side_only(y: float, counted: bool) -> None:
    analytics = CameraCounts(CameraRules(lines=(MIDDLE,)), LABELS)
    events: list[Event] = []
    for frame, x in enumerate(walk(0.3, 0.7, 40)):
        assert x is not None
        seen = tracks(x, y=y)
        evidence = np.full(1, 2.0 if x > 0.5 else -1.0, np.float32)
        events += analytics.update(
            stamp(frame), dataclasses.replace(seen, measured_xyxyn=seen.boxes_xyxyn, evidence=evidence)
        )
    events += analytics.close(stamp(40))
    assert any(e.type == LINE_CROSSED for e in events) is counted


@pytest.mark.parametrize("at", range(2, 36, 3))
def test_a_restart_at_any_frame_neither_loses_nor_repeats_a_crossing(at: int) -> None:
    path = walk(0.3, 0.7, 30) + walk(0.7, 0.75, 6)
    rules = CameraRules(lines=(MIDDLE,))
    analytics = CameraCounts(rules, LABELS)
    events: list[Event] = []
    for frame, x in enumerate(path):
        if frame == at:
            saved = json.loads(json.dumps(analytics.save()))
            analytics = CameraCounts(rules, LABELS)
            analytics.restore(saved)
        events += analytics.update(stamp(frame), tracks(x))
    events += analytics.close(stamp(len(path)))
    assert len([e for e in events if e.type == LINE_CROSSED]) == 1


@pytest.mark.parametrize("save_at", [None, 20])
def test_what_is_told_when_the_camera_opens_anew_is_of_the_epoch_before(save_at: int | None) -> None:
    """Media time begins anew, and the wall clock went on for a minute meanwhile."""
    rules = CameraRules(lines=(MIDDLE,))
    analytics = CameraCounts(rules, LABELS)
    path = walk(0.34, 0.55, 20)
    captured_ns, away_ns = 1_700_000_000_000_000_000, 60_000_000_000
    frames = [Stamp("door", 1, f, f * 100_000_000, captured_ns + f * 100_000_000, f + 1) for f in range(20)]
    for at, x in zip(frames, path, strict=True):
        early = analytics.update(at, tracks(x))
    assert [e for e in early if e.type == TRACK_ENDED] == []
    if save_at is not None:
        saved = json.loads(json.dumps(analytics.save()))
        analytics = CameraCounts(rules, LABELS)
        analytics.restore(saved)
    again = Stamp("door", 2, 0, 0, frames[-1].captured_ns + away_ns, 99)
    told = analytics.update(again, tracks(0.3))
    assert [(e.type, e.stamp) for e in told] == [(LINE_CROSSED, frames[-1]), (TRACK_ENDED, frames[-1])]
    crossed_ns = told[0].data["crossed_captured_ns"]
    assert crossed_ns == captured_ns + told[0].data["crossed_media_ns"] < frames[-1].captured_ns


def test_time_that_falls_back_ends_the_tracks_and_counts_nothing_twice() -> None:
    analytics = CameraCounts(CameraRules(lines=(MIDDLE,)), LABELS)
    events: list[Event] = []
    for start in (36_000, 0):
        for frame, x in enumerate(walk(0.3, 0.45, 15)):
            events += analytics.update(stamp(start + frame), tracks(x))
    events += analytics.close(stamp(20))
    assert [e for e in events if e.type == LINE_CROSSED] == []


def test_a_changed_line_starts_anew_and_an_unchanged_one_goes_on() -> None:
    other = LineSpec(name="other", points=((0.5, 0.2), (0.5, 0.8)))
    analytics = CameraCounts(CameraRules(lines=(MIDDLE, other)), LABELS)
    events: list[Event] = []
    moved = other.model_copy(update={"points": ((0.9, 0.2), (0.9, 0.8)), "rev": 2})
    for frame, x in enumerate(walk(0.3, 0.7, 30) + still(0.7, 10)):
        if frame == 10:
            analytics.with_rules(CameraRules(lines=(MIDDLE, moved)))
        events += analytics.update(stamp(frame), tracks(x))
    assert [e.subject for e in events if e.type == LINE_CROSSED] == ["middle"]
