"""Counting with a detector on clips of which the true crossings are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.detect.detector import Detector
from pipelines.events import LINE_CROSSED
from pipelines.pipeline import Pipeline
from pipelines.rules import LineSpec
from pipelines.values import Event, Frame, Stamp


@dataclass(frozen=True, slots=True)
class CountedClip:
    """`true`: for each (line, direction) how many objects of `classes` cross."""

    name: str
    classes: tuple[str, ...]
    lines: tuple[LineSpec, ...]
    true: dict[tuple[str, str], int]


def _horizontal(name: str, y: float, left: float = 0.0) -> LineSpec:
    """Walked from left to right, its left side is above."""
    return LineSpec(
        name=name, points=((left, y), (1.0, y)), left_to_right="down", right_to_left="up", anchor="center"
    )


def _vertical(name: str, x: float) -> LineSpec:
    """Walked downwards, its left side is on the viewer's right."""
    return LineSpec(
        name=name,
        points=((x, 0.0), (x, 1.0)),
        left_to_right="leftwards",
        right_to_left="rightwards",
        anchor="center",
    )


CLIPS = (
    CountedClip(
        "overpass-cars.mp4",
        ("vehicle",),
        (_horizontal("road", 240 / 360, 120 / 640),),
        {("road", "up"): 33, ("road", "down"): 0},
    ),
    CountedClip(
        "street-cars.mp4",
        ("vehicle",),
        (_horizontal("road", 160 / 352),),
        {("road", "up"): 0, ("road", "down"): 8},
    ),
    CountedClip(
        "one-by-one-person.mp4",
        ("person",),
        (_horizontal("in", 330 / 432), _vertical("out", 600 / 768)),
        {("in", "up"): 6, ("in", "down"): 0, ("out", "rightwards"): 6, ("out", "leftwards"): 0},
    ),
)


def count_clip(clip: CountedClip, detector: Detector, folder: Path) -> dict[str, Any]:
    """Counted and true crossings by line and direction, and their gross error: the sum of differences."""
    pipeline = Pipeline(detector)
    pipeline.open_camera(clip.name, CameraRules(classes=clip.classes, lines=clip.lines))
    counted = dict.fromkeys(clip.true, 0)
    for event in _events(pipeline, clip.name, folder / clip.name):
        if event.type == LINE_CROSSED:
            key = (str(event.data["line"]), str(event.data["direction"]))
            counted[key] = counted.get(key, 0) + 1
    return {
        "counted": {" ".join(key): n for key, n in counted.items()},
        "true": {" ".join(key): n for key, n in clip.true.items()},
        "gross": sum(abs(n - clip.true.get(key, 0)) for key, n in counted.items()),
        "crossings": sum(clip.true.values()),
    }


def _events(pipeline: Pipeline, camera: str, path: Path) -> list[Event]:
    capture = cv2.VideoCapture(str(path))
    interval_ns = round(1e9 / max(1.0, capture.get(cv2.CAP_PROP_FPS)))
    events: list[Event] = []
    number = 0
    good, image = capture.read()
    stamp = Stamp(camera, 1, 0, 0, 0, 0)
    while good:
        stamp = Stamp(camera, 1, number, number * interval_ns, 0, 0)
        events += pipeline.step([Frame(stamp, np.asarray(image, np.uint8))])[0].events
        number += 1
        good, image = capture.read()
    capture.release()
    return events + pipeline.end_tracks(camera, stamp)
