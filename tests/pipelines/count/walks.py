"""Tiny trajectories through the analytics: each object is a function of time that says where its foot is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.count import CameraCounts
from pipelines.values import Event, Labels, Stamp, Tracks
from streamer.events import schemas

LABELS = Labels(("person", "car", "truck"), ("person", "vehicle", "vehicle"))
PERSON, CAR, TRUCK = 0, 1, 2
WIDTH, HEIGHT = 0.04, 0.1  # of every box
FPS = 10.0
START_NS = 1_795_000_000_000_000_000  # 2026-11-18 about 11:06 UTC
Place = tuple[float, float] | None  # the foot; None: not there
Walk = Callable[[float], Place]


def rules(**kinds: Any) -> CameraRules:
    """Rules with a left and a right zone, and a line up the middle whose right is on the right."""
    base = {
        "lines": [
            {
                "name": "middle",
                "points": [[0.5, 1.0], [0.5, 0.0]],
                "left_to_right": "in",
                "right_to_left": "out",
            }
        ],
        "zones": [
            {"name": "left", "points": [[0.0, 0.0], [0.4, 0.0], [0.4, 1.0], [0.0, 1.0]]},
            {"name": "right", "points": [[0.6, 0.0], [1.0, 0.0], [1.0, 1.0], [0.6, 1.0]]},
        ],
    }
    return CameraRules.model_validate({**base, **kinds})


def stamp(time_s: float, epoch: int = 0) -> Stamp:
    media_ns = round(time_s * 1e9)
    return Stamp("gate", epoch, round(time_s * FPS), media_ns, START_NS + media_ns, media_ns)


def tracks(feet: Mapping[int, tuple[float, float]], classes: Mapping[int, int] | None = None) -> Tracks:
    ids = sorted(feet)
    boxes = np.array(
        [[x - WIDTH / 2, y - HEIGHT, x + WIDTH / 2, y] for x, y in (feet[k] for k in ids)],
        np.float32,
    ).reshape(-1, 4)
    return Tracks(
        np.array(ids, np.int64),
        boxes,
        np.full(len(ids), 0.9, np.float32),
        np.array([(classes or {}).get(k, PERSON) for k in ids], np.int32),
        np.ones(len(ids), np.bool_),
        np.full((len(ids), 2), 0.001, np.float32),
    )


def play(
    rules: CameraRules | CameraCounts,
    walks: Mapping[int, Walk],
    seconds: float,
    *,
    classes: Mapping[int, int] | None = None,
    fps: float = FPS,
    close: bool = True,
    save_every: int = 0,
) -> list[Event]:
    """All events of some walks (by track id); each is checked against the schema of its type."""
    analytics = rules if isinstance(rules, CameraCounts) else CameraCounts(rules, LABELS)
    events: list[Event] = []
    count = round(seconds * fps)
    for n in range(count):
        if save_every and n % save_every == save_every - 1:
            saved = json.loads(json.dumps(analytics.save()))
            analytics = CameraCounts(analytics.rules, LABELS)
            analytics.restore(saved)
        feet = {k: place for k, walk in walks.items() if (place := walk(n / fps)) is not None}
        events += analytics.update(stamp(n / fps), tracks(feet, classes))
    if close:
        events += analytics.close(stamp(count / fps))
    for event in events:
        check(event)
    return events


def check(event: Event) -> None:
    """The data that the analytics give is what the schema says, but for what is added on the way out."""
    if event.type.startswith(("streamer.track.", "streamer.line.")):
        return  # tests/streamer/test_cloudevents.py has them
    schema = schemas.get(event.type)
    added = {
        *("camera", "seq", "config_rev", "epoch", "frame_id"),
        *("media_ns", "age_ms", "emitted_ns", "inference_ms", "taken_ms"),
    }
    wanted = {**schema, "required": [k for k in schema["required"] if k not in added]}
    data = json.loads(json.dumps(dict(event.data)))
    jsonschema.Draft202012Validator({**wanted, "additionalProperties": False}).validate(data)


def of(events: list[Event], kind: str) -> list[dict[str, Any]]:
    """The data of the events of `streamer.KIND.v1`, in order."""
    return [dict(e.data) for e in events if e.type == f"streamer.{kind}.v1"]


def still(x: float, y: float = 0.5, begin_s: float = 0.0, end_s: float = 1e9) -> Walk:
    return lambda t: (x, y) if begin_s <= t < end_s else None


def straight(x0: float, x1: float, seconds: float, y: float = 0.5, begin_s: float = 0.0) -> Walk:
    """From x0 to x1 in so many seconds; gone after that."""

    def place(t: float) -> Place:
        share = (t - begin_s) / seconds
        return (x0 + share * (x1 - x0), y) if 0 <= share <= 1 else None

    return place


def through(*points: tuple[float, float, float]) -> Walk:
    """Through (time_s, x, y) and gone after the last."""

    def place(t: float) -> Place:
        if not points[0][0] <= t <= points[-1][0]:
            return None
        times = [p[0] for p in points]
        return (
            float(np.interp(t, times, [p[1] for p in points])),
            float(np.interp(t, times, [p[2] for p in points])),
        )

    return place
