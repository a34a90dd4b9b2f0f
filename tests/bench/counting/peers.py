"""The peers of the counting bench: trackers of `trackers`, and `norfair`, with the line counter of
`supervision`.

All are optional (`pip install trackers supervision norfair`). Each peer gets the same detections in pixels,
its defaults and the true frame rate where it takes one; ids of -1 (not confirmed yet) are left out.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.evaluate.crossings import Crossing
from tests.bench.counting.data import Sequence, run_crossings

Array = npt.NDArray[np.float64]
Frames = list[tuple[int, npt.NDArray[np.int64], Array]]  # frame, ids (N,), boxes (N, 4)

TRACKERS = ("ByteTrackTracker", "OCSORTTracker", "CBIoUTracker", "BoTSORTTracker", "SORTTracker")
NORFAIR = "norfair"
NORFAIR_DISTANCE = 0.7  # 1 - IoU, as in the examples that come with it
PACKAGES = ("trackers", "supervision", NORFAIR)
THRESHOLDS = (1, 3, 5)  # frames that LineZone wants on the other side
NO_PIXELS = {"BoTSORTTracker": {"enable_cmc": False}}  # its camera motion needs pictures; there are none


def installed() -> bool:
    """Whether `trackers` and `supervision` are here."""
    return all(importlib.util.find_spec(package) for package in PACKAGES[:2])


def names() -> tuple[str, ...]:
    """The trackers that are installed."""
    return (*TRACKERS, NORFAIR) if importlib.util.find_spec(NORFAIR) else TRACKERS


def make(name: str, fps: float) -> Any:
    """A peer's tracker with its defaults."""
    import trackers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(trackers, name)(frame_rate=fps, **NO_PIXELS.get(name, {}))


def detections(boxes: npt.NDArray[Any], scores: npt.NDArray[Any]) -> Any:
    """Boxes (N, 4) in pixels and their scores, as the peers take them."""
    import supervision as sv

    return sv.Detections(
        xyxy=boxes.astype(np.float32).reshape(-1, 4),
        confidence=scores.astype(np.float32),
        class_id=np.zeros(len(boxes), int),
    )


def feed(tracker: Any, boxes: Array, scores: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """One frame through a peer: ids (N,) and boxes (N, 4) of its confirmed tracks."""
    tracked = tracker.update(detections(boxes, scores))
    if tracked.tracker_id is None or not len(tracked):
        return np.zeros(0, np.int64), np.zeros((0, 4))
    sure = tracked.tracker_id >= 0
    return tracked.tracker_id[sure].astype(np.int64), tracked.xyxy[sure].astype(np.float64)


def track(name: str, sequence: Sequence, step: int = 1) -> Frames:
    """All frames of a sequence through a peer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == NORFAIR:
            return _norfair(sequence, step)
        tracker = make(name, sequence.fps / step)
        return [(frame, *feed(tracker, found[:, :4], found[:, 4])) for frame, found in sequence.frames(step)]


def _norfair(sequence: Sequence, step: int) -> Frames:
    """Boxes without area are left out: it refuses them."""
    import norfair

    tracker = norfair.Tracker(distance_function="iou", distance_threshold=NORFAIR_DISTANCE)
    frames: Frames = []
    for frame, found in sequence.frames(step):
        given = [
            norfair.Detection(points=row[:4].reshape(2, 2), scores=np.repeat(row[4], 2))
            for row in found[_with_area(found[:, :4])]
        ]
        tracked = tracker.update(given)
        boxes = np.array([o.estimate.ravel() for o in tracked], np.float64).reshape(-1, 4)
        ids, good = np.array([o.id for o in tracked], np.int64), _with_area(boxes)
        frames.append((frame, ids[good], boxes[good]))
    return frames


def _with_area(boxes: Array) -> npt.NDArray[np.bool_]:
    return np.asarray((boxes[:, 2:4] > boxes[:, :2]).all(axis=1))


def count(sequence: Sequence, frames: Frames, threshold: int) -> list[Crossing]:
    """The crossings that LineZone finds, by the foot point, in the bench's directions."""
    import supervision as sv

    width, height = sequence.width, sequence.height
    ends = {
        "V": (sv.Point(width / 2, 0), sv.Point(width / 2, height)),
        "H": (sv.Point(0, 0.6 * height), sv.Point(width, 0.6 * height)),
    }
    anchors = [sv.Position.BOTTOM_CENTER]
    found: list[Crossing] = []
    for line, (start, end) in ends.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zone = sv.LineZone(start, end, triggering_anchors=anchors, minimum_crossing_threshold=threshold)
        for frame, ids, boxes in frames:
            tracked = sv.Detections(
                xyxy=boxes.astype(np.float32).reshape(-1, 4),
                tracker_id=ids.astype(int),
                class_id=np.zeros(len(ids), int),
            )
            inward, outward = zone.trigger(tracked)
            for flags, greater in ((inward, line == "V"), (outward, line == "H")):
                found += [Crossing(line, "greater" if greater else "lesser", sequence.time_s(frame))] * int(
                    np.count_nonzero(flags)
                )
    return found


def two_frame_rule(sequence: Sequence, frames: Frames) -> list[Crossing]:
    """The crossings by the rule that the truth is made with, on a peer's tracks."""
    paths: dict[int, list[tuple[int, float, float]]] = {}
    for frame, ids, boxes in frames:
        for track_id, (x1, _, x2, y2) in zip(ids.tolist(), boxes.tolist(), strict=True):
            paths.setdefault(track_id, []).append((frame, (x1 + x2) / 2, y2))
    found = []
    for path in paths.values():
        table = np.array(path)
        places = (("V", table[:, 1], sequence.width / 2), ("H", table[:, 2], 0.6 * sequence.height))
        for line, place, at in places:
            for index, direction in run_crossings(place >= at):
                name = "greater" if direction > 0 else "lesser"
                found.append(Crossing(line, name, sequence.time_s(table[index, 0])))
    return found
