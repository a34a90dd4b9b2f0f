"""The tracker on tiny trajectories and on bad input."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from pipelines.track import Tracker, create_tracker
from pipelines.track.settings import TrackerSettings
from pipelines.values import Detections, Labels, Stamp, Tracks

LABELS = Labels(("person", "car", "truck"), ("person", "vehicle", "vehicle"))
FPS = 10.0


def stamp(frame: int, camera: str = "door", epoch: int = 1, media_ns: int | None = None) -> Stamp:
    ns = round(frame / FPS * 1e9) if media_ns is None else media_ns
    return Stamp(camera, epoch, frame, ns, ns, 0)


def found(*boxes: tuple[float, float], score: float = 0.9, class_id: int = 0) -> Detections:
    """Boxes of 0.1 x 0.2 around centres."""
    table = np.array([[x - 0.05, y - 0.1, x + 0.05, y + 0.1] for x, y in boxes], np.float32).reshape(-1, 4)
    n = len(table)
    return Detections(table, np.full(n, score, np.float32), np.full(n, class_id, np.int32))


def walk(tracker: Tracker, frames: range, x0: float = 0.1, step: float = 0.01) -> Tracks:
    tracks = Tracks.empty()
    for frame in frames:
        tracks = tracker.update(stamp(frame), found((x0 + step * frame, 0.5)), LABELS)
    return tracks


def test_a_walker_keeps_one_id_and_brings_the_boxes_before_it_was_shown() -> None:
    tracker = create_tracker()
    shown = [tracker.update(stamp(f), found((0.1 + 0.01 * f, 0.5)), LABELS) for f in range(10)]
    assert [len(t) for t in shown[:2]] == [0, 0]  # not sure yet
    assert {int(i) for t in shown for i in t.track_ids} == {1}
    assert shown[2].history[1][:, 0] == pytest.approx([0.2, 0.1])  # ages in seconds, oldest first


def test_a_newcomer_moves_as_a_crowd_that_agrees() -> None:
    """A view that turns: all shift by more than a box's width between two frames, so that a newcomer's second
    box lies nowhere near its first."""
    tracker = create_tracker()
    ids: set[int] = set()
    at = 0.0
    for frame in range(18):
        at += 0.005 * min(frame, 8)  # the view begins to turn
        crowd = [(0.05 + 0.1 * i + at, 0.5) for i in range(4)]
        newcomer = [(at - 0.42, 0.5)] if frame >= 12 else []
        thin = [[x - 0.015, y - 0.1, x + 0.015, y + 0.1] for x, y in crowd + newcomer]
        n = len(thin)
        boxes = Detections(np.array(thin, np.float32), np.full(n, 0.9, np.float32), np.zeros(n, np.int32))
        tracks = tracker.update(stamp(frame), boxes, LABELS)
        if frame >= 15:
            ids |= set(tracks.track_ids[tracks.boxes_xyxyn[:, 0] < at - 0.3].tolist())
    assert len(ids) == 1


def test_low_boxes_must_be_more_before_a_track_is_shown() -> None:
    tracker = create_tracker()
    shown = [tracker.update(stamp(f), found((0.1 + 0.01 * f, 0.5), score=0.6), LABELS) for f in range(10)]
    first = [len(t) for t in shown].index(1)
    assert 3 < first < 9
    ages = shown[first].history[1][:, 0]
    assert ages == pytest.approx([age / FPS for age in range(first, 0, -1)])  # oldest first


def low(frame: int) -> Detections:
    return replace(found((0.1 + 0.01 * frame, 0.5), score=0.8), high_threshold=0.85)


def test_boxes_below_the_high_threshold_prove_no_track() -> None:
    tracker = create_tracker()
    assert all(len(tracker.update(stamp(f), low(f), LABELS)) == 0 for f in range(20))


def test_a_track_begins_with_the_low_boxes_before_its_high_ones_and_goes_on_with_those_after() -> None:
    tracker = create_tracker()
    shown = [tracker.update(stamp(f), low(f), LABELS) for f in range(3)]
    shown += [walk(tracker, range(f, f + 1)) for f in range(3, 8)]
    shown += [tracker.update(stamp(f), low(f), LABELS) for f in range(8, 20)]
    first = [len(t) for t in shown].index(1)
    assert shown[first].history[1][:, 0] == pytest.approx([age / FPS for age in range(first, 0, -1)])
    assert all(t.track_ids.tolist() == [1] and t.observed.all() for t in shown[first:])


@pytest.mark.parametrize(
    ("missed", "same"),
    [
        (range(10, 12), True),  # two frames behind a post
        (range(10, 25), True),  # a second and a half behind a van, walking on
        (range(10, 40), False),  # three seconds: someone else
    ],
)
def test_a_lost_walker_is_found_again_on_its_path(missed: range, same: bool) -> None:
    tracker = create_tracker()
    walk(tracker, range(10))
    for frame in missed:
        tracker.update(stamp(frame), Detections.empty(), LABELS)
    after = walk(tracker, range(missed.stop, missed.stop + 5))
    assert (after.track_ids.tolist() == [1]) is same


@pytest.mark.parametrize(
    ("seen", "missed", "shown"),
    [
        (10, 1, True),  # its place is surely known
        (10, 2, False),  # for too long
        (3, 1, False),  # its speed is not known yet
    ],
)
def test_a_missed_box_is_shown_where_its_place_is_surely_known(seen: int, missed: int, shown: bool) -> None:
    tracker = create_tracker()
    assert len(walk(tracker, range(seen))) == 1
    for frame in range(seen, seen + missed):
        tracks = tracker.update(stamp(frame), Detections.empty(), LABELS)
    assert tracks.observed.tolist() == ([False] if shown else [])


def test_gaps_count_in_seconds_not_in_frames() -> None:
    """Every fifth frame of the same walk, at its true times, is the same walk."""
    tracker = create_tracker()
    tracks = Tracks.empty()
    for frame in range(0, 50, 5):
        tracks = tracker.update(stamp(frame), found((0.1 + 0.004 * frame, 0.5)), LABELS)
    assert tracks.track_ids.tolist() == [1]


def test_a_person_and_a_car_in_the_same_place_are_two_tracks() -> None:
    tracker = create_tracker()
    both = found((0.5, 0.5), (0.5, 0.5))
    both = Detections(both.boxes_xyxyn, both.scores, np.array([0, 1], np.int32))
    for frame in range(5):
        tracks = tracker.update(stamp(frame), both, LABELS)
    assert sorted(tracks.class_ids.tolist()) == [0, 1]


def test_a_van_seen_as_car_and_truck_is_one_track_of_the_class_with_most_votes() -> None:
    tracker = create_tracker()
    for frame in range(9):
        tracks = tracker.update(stamp(frame), found((0.5, 0.5), class_id=2 if frame % 3 == 0 else 1), LABELS)
    assert (tracks.track_ids.tolist(), tracks.class_ids.tolist()) == ([1], [1])


def test_a_new_epoch_starts_ids_at_one_again() -> None:
    tracker = create_tracker()
    walk(tracker, range(6))
    for frame in range(4):
        tracks = tracker.update(stamp(frame, epoch=2), found((0.8, 0.2)), LABELS)
    assert tracks.track_ids.tolist() == [1]


def test_another_cameras_frame_is_refused() -> None:
    tracker = create_tracker()
    tracker.update(stamp(0), Detections.empty(), LABELS)
    with pytest.raises(ValueError, match="'gate' was given to the tracker of 'door'"):
        tracker.update(stamp(1, camera="gate"), Detections.empty(), LABELS)


@pytest.mark.parametrize(
    "box",
    [
        (np.nan, 0.1, 0.2, 0.3),
        (0.1, 0.1, np.inf, 0.3),
        (0.5, 0.1, 0.2, 0.3),  # right of its own right side
        (0.1, 0.3, 0.2, 0.3),  # no height
    ],
)
def test_boxes_that_are_none_are_dropped_and_counted(box: tuple[float, ...]) -> None:
    tracker = create_tracker()
    walk(tracker, range(5))
    good = found((0.15, 0.5))
    bad = Detections(
        np.vstack([good.boxes_xyxyn, np.array([box], np.float32)]),
        np.array([0.9, 0.9], np.float32),
        np.zeros(2, np.int32),
    )
    assert tracker.update(stamp(5), bad, LABELS).track_ids.tolist() == [1]
    assert tracker.dropped == {"box not finite or without area": 1}


def test_ten_thousand_boxes_are_cut_to_the_best_and_counted() -> None:
    tracker = create_tracker()
    random = np.random.default_rng(1)
    at = random.uniform(0, 0.9, (10_000, 2))
    boxes = np.concatenate([at, at + 0.05], axis=1).astype(np.float32)
    many = Detections(boxes, random.uniform(0.3, 0.9, 10_000).astype(np.float32), np.zeros(10_000, np.int32))
    for frame in range(3):
        tracks = tracker.update(stamp(frame), many, LABELS)
    assert len(tracks) <= tracker.settings.max_tracks
    assert tracker.dropped["more boxes than a frame may have"] == 27_000


@pytest.mark.parametrize(
    ("media_s", "reason"),
    [
        (0.4, "media time did not advance"),  # the same frame again
        (0.1, "media time did not advance"),  # a little back
    ],
)
def test_a_frame_out_of_order_is_dropped_and_counted(media_s: float, reason: str) -> None:
    tracker = create_tracker()
    walk(tracker, range(5))
    assert len(tracker.update(stamp(5, media_ns=round(media_s * 1e9)), found((0.15, 0.5)), LABELS)) == 0
    assert tracker.dropped == {reason: 1}
    assert walk(tracker, range(5, 7)).track_ids.tolist() == [1]


def test_time_that_jumps_an_hour_ends_all_tracks_and_goes_on_with_new_ids() -> None:
    tracker = create_tracker()
    walk(tracker, range(5))
    hour = 36_000
    for direction in (1, -1):  # forwards, then back again
        for frame in range(4):
            at = hour * (direction > 0) + frame + 10
            tracks = tracker.update(stamp(at), found((0.5, 0.5)), LABELS)
        assert tracks.track_ids.tolist() != [1]
        assert len(tracks) == 1


def test_minutes_without_a_box_leave_nothing_behind() -> None:
    tracker = create_tracker()
    walk(tracker, range(10))
    for frame in range(10, 10 + 3 * 600):
        tracker.update(stamp(frame), Detections.empty(), LABELS)
    assert tracker.save()["tracks"] == []


def test_a_saved_tracker_goes_on_as_if_nothing_had_happened() -> None:
    whole, first = create_tracker(), create_tracker()
    walk(whole, range(12))
    walk(first, range(12))
    second = create_tracker()
    second.restore(json.loads(json.dumps(first.save())))
    for frame in range(12, 20):
        boxes = found((0.1 + 0.01 * frame, 0.5), (0.8, 0.3))
        a, b = (t.update(stamp(frame), boxes, LABELS) for t in (whole, second))
        assert a.track_ids.tolist() == b.track_ids.tolist()
        assert a.boxes_xyxyn == pytest.approx(b.boxes_xyxyn, abs=1e-4)


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="format 99"):
        create_tracker().restore({"format": 99})


def test_a_box_that_shrinks_while_it_is_not_seen_never_turns_inside_out() -> None:
    tracker = Tracker(TrackerSettings(coast_doubt=math.inf, lost_doubt=math.inf))
    one = np.ones(1, np.float32), np.zeros(1, np.int32)
    for frame in range(12):
        half = 0.105 - 0.009 * frame
        box = np.array([[0.5 - half, 0.4, 0.5 + half, 0.6]], np.float32)
        tracker.update(stamp(frame), Detections(box, *one), LABELS)
    for later_ms in range(20, 100, 20):
        shown = tracker.update(
            stamp(11 + later_ms, media_ns=(1100 + later_ms) * 1_000_000), Detections.empty(), LABELS
        )
        assert len(shown) == 1
        x1, _, x2, _ = shown.boxes_xyxyn[0]
        assert x2 > x1


def test_ids_go_on_where_the_tracks_are_forgotten_within_an_epoch() -> None:
    tracker = create_tracker()
    first = walk(tracker, range(5)).track_ids.tolist()
    tracker.reset()
    assert tracker.spent == (1, first[0] + 1)
    assert walk(tracker, range(5, 10)).track_ids.tolist() == [first[0] + 1]


def test_ids_that_another_tracker_gave_are_not_given_again_whatever_is_restored() -> None:
    before = create_tracker()
    walk(before, range(5))
    for epoch in (1, 2):  # the epoch that is restored, and one that has begun since
        tracker = create_tracker()
        tracker.restore(before.save())
        tracker.spend(epoch, 40)
        tracks = Tracks.empty()
        for frame in range(5, 10):
            tracks = tracker.update(stamp(frame, epoch=epoch), found((0.8, 0.5)), LABELS)
        assert max(tracks.track_ids.tolist()) == 40
