"""Our tracker and our lines on a sequence of the bench."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.evaluate.crossings import Crossing
from pipelines.events import LINE_CROSSED
from pipelines.rules import LineSpec
from pipelines.track import TrackerSettings, create_tracker
from pipelines.values import Detections, Event, Labels, Stamp, Tracks
from tests.bench.counting.data import HORIZONTAL_AT, VERTICAL_AT, Sequence, true_crossings
from tests.bench.counting.errors import Pairs, of_lines

LABELS = Labels(("object",), ("person",))
LINES = CameraRules(
    lines=(
        LineSpec(
            name="v",
            points=((VERTICAL_AT, 0), (VERTICAL_AT, 1)),
            left_to_right="lesser",  # as seen walking down the picture: to the viewer's left
            right_to_left="greater",
            anchor="foot",
        ),
        LineSpec(
            name="h",
            points=((0, HORIZONTAL_AT), (1, HORIZONTAL_AT)),
            left_to_right="greater",
            right_to_left="lesser",
            anchor="foot",
        ),
    )
)
Run = list[tuple[int, Stamp, Tracks]]


def track(sequence: Sequence, step: int = 1, settings: TrackerSettings | None = None) -> Run:
    """Each `step`-th frame of a sequence through our tracker."""
    tracker = create_tracker(settings)
    return [
        (stamp.frame_id, stamp, tracker.update(stamp, boxes, LABELS))
        for stamp, boxes in detections(sequence, step)
    ]


def detections(sequence: Sequence, step: int = 1) -> Iterator[tuple[Stamp, Detections]]:
    """Each `step`-th frame of a sequence as a detector would give it."""
    scale = np.array([sequence.width, sequence.height] * 2)
    for frame, rows in sequence.frames(step):
        boxes = Detections(
            (rows[:, :4] / scale).astype(np.float32),
            np.clip(rows[:, 4], 0, 1).astype(np.float32),
            np.zeros(len(rows), np.int32),
        )
        yield stamp_of(sequence.name, frame, sequence.time_s(frame)), boxes


def count(frames: Run, rules: CameraRules = LINES) -> list[tuple[Crossing, Crossing]]:
    """Our crossings of a run, each twice: at its own time and at the time it was decided."""
    return [
        (
            Crossing(e.subject.upper(), e.data["direction"], e.data["crossed_media_ns"] / 1e9),
            Crossing(e.subject.upper(), e.data["direction"], e.stamp.media_ns / 1e9),
        )
        for e in line_events(frames, rules)
    ]


def crossings(events: Iterable[Event]) -> list[Crossing]:
    """Those of the events of lines, at their own times."""
    return [
        Crossing(e.subject.upper(), e.data["direction"], e.data["crossed_media_ns"] / 1e9) for e in events
    ]


def line_events(frames: Run, rules: CameraRules = LINES) -> list[Event]:
    """The events of the crossings of a run."""
    analytics = CameraCounts(rules, LABELS)
    events = [event for _, stamp, tracks in frames for event in analytics.update(stamp, tracks)]
    events += analytics.close(frames[-1][1])
    return [e for e in events if e.type == LINE_CROSSED]


def stamp_of(camera: str, frame: int, time_s: float) -> Stamp:
    ns = round(time_s * 1e9)
    return Stamp(camera, 1, frame, ns, ns, 0)


def errors(sequence: Sequence, step: int = 1, settings: TrackerSettings | None = None) -> Pairs:
    """Our errors on each line of a sequence, by the crossings' own times."""
    counted = [at for at, _ in count(track(sequence, step, settings))]
    return of_lines(true_crossings(sequence), counted)
