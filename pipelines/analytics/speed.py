"""Speed over the ground where a line is crossed, or the mean over a zone.

The feet of the boxes (bottom centre) are mapped to metres (geometry.Homography). At a line the speed is the
slope of a straight line fitted by least squares to the places within `HALF_S` of the crossing, before and
after; through a zone it is the way along the places over the time. What cannot be measured is told with
null and the reason.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from pipelines.analytics.base import (
    RULE_REV,
    TRACK,
    Analytic,
    AnalyticEvent,
    AnalyticSpec,
    ClassFilter,
    CountingEvent,
    EventType,
    RuleContext,
    RunningRule,
    TrackSnapshot,
)
from pipelines.rules import CalibrationSpec, Name

if TYPE_CHECKING:
    from pipelines.geometry import Array, Homography
    from pipelines.values import Labels

HALF_S = 0.5
MIN_SPAN_S = 0.3  # a shorter time says nothing
MIN_POINTS = 3
EVERY_S = 0.04  # places kept of a track,
MAX_POINTS = 64  # for about 2.5 s; a line's crossing is decided within about 1 s
ZONE_EVERY_S = 0.5  # through a zone: legs of so long, lest noise adds to the way
PER_UNIT = {"km/h": 3.6, "m/s": 1.0}
Place = tuple[float, float, float]  # time_s, x and y in metres

MEASURED = EventType(
    "streamer.speed.measured.v1",
    "A track's speed",
    "How fast an object crossed a line, or went through a zone on the mean, over the calibrated ground.",
    {
        "rule": {"type": "string", "description": "the rule's name"},
        "line": {"type": "string", "description": "the line's name, at a line"},
        "zone": {"type": "string", "description": "the zone's name, through a zone"},
        **TRACK,
        "direction": {"type": "string", "description": "the name the line gives the direction"},
        "speed": {
            "type": ["number", "null"],
            "description": "in `unit`; null where it could not be measured",
            "minimum": 0,
        },
        "unit": {"type": "string", "description": "of `speed` and `limit`", "enum": ["km/h", "m/s"]},
        "over_s": {
            "type": "number",
            "description": "the time that the speed rests on, in seconds",
            "minimum": 0,
        },
        "limit": {"type": "number", "description": "the limit of the rule"},
        "over_limit": {"type": "boolean", "description": "whether `speed` is above it"},
        "reason": {"type": "string", "description": "why it could not be measured"},
        "measured_media_ns": {
            "type": "integer",
            "description": "the stream's time of the crossing, or of the exit from the zone, in nanoseconds",
        },
        **RULE_REV,
    },
    optional=(
        "line",
        "zone",
        "direction",
        "limit",
        "over_limit",
        "reason",
    ),
)


class SpeedSpec(AnalyticSpec):
    """Speed over the ground where a line is crossed, or the mean through a zone. Needs `calibration`."""

    line: Name | None = None
    zone: Name | None = None
    unit: Literal["km/h", "m/s"] = "km/h"
    limit: float | None = Field(default=None, gt=0, le=1000)

    @model_validator(mode="after")
    def _one_place(self) -> SpeedSpec:
        if (self.line is None) == (self.zone is None):
            raise ValueError("name a line or a zone (one of them) at which speed is measured")
        return self


class SpeedAtLine(RunningRule):
    """The speed of each crossing of a line."""

    def __init__(self, spec: SpeedSpec, calibration: CalibrationSpec, labels: Labels) -> None:
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        self._ground = _ground(calibration)
        self._places: dict[int, deque[Place]] = {}
        self._pending: list[CountingEvent] = []  # crossings that wait for the places after them

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        if snapshot.ids:
            record_places(self._places, snapshot, self._ground, self._classes, EVERY_S, MAX_POINTS)
        ready = [h for h in self._pending if snapshot.time_s >= h.time_s + HALF_S]
        self._pending = [h for h in self._pending if snapshot.time_s < h.time_s + HALF_S]
        return [self._event(event) for event in ready]

    def on_event(self, event: CountingEvent) -> list[AnalyticEvent]:
        if (
            event.kind == "crossed"
            and event.name == self.spec.line
            and self._classes.includes[event.class_id]
        ):
            self._pending.append(event)
        return []

    def _event(self, event: CountingEvent) -> AnalyticEvent:
        near = [p for p in self._places.get(event.track_id, ()) if abs(p[0] - event.time_s) <= HALF_S]
        return speed_event(self.spec, self._classes, event, *fit_speed(near))

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        gone = set(track_ids)
        events = [self._event(h) for h in self._pending if h.track_id in gone]
        self._pending = [h for h in self._pending if h.track_id not in gone]
        for track_id in track_ids:
            self._places.pop(track_id, None)
        return events

    def close(self, time_s: float) -> list[AnalyticEvent]:  # noqa: ARG002
        events = [self._event(h) for h in self._pending]
        self._pending = []
        self._places.clear()
        return events

    def save(self) -> Any:
        due = [[h.track_id, h.class_id, h.time_s, h.direction] for h in self._pending]
        return [places_as_data(self._places), due]

    def restore(self, saved: Any) -> None:
        self._places = places_from_data(saved[0], MAX_POINTS)
        name = self.spec.line or ""
        self._pending = [
            CountingEvent("crossed", name, int(k), int(c), float(t), str(d)) for k, c, t, d in saved[1]
        ]


class SpeedThroughZone(RunningRule):
    """The mean speed of each visit of a zone, told when it is over."""

    def __init__(self, spec: SpeedSpec, calibration: CalibrationSpec, labels: Labels) -> None:
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        self._ground = _ground(calibration)
        self._last: dict[int, deque[Place]] = {}
        self._way: dict[int, list[float]] = {}  # track id -> metres, seconds so far

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        inside = snapshot.inside[self.spec.zone or ""]
        there = [row for k in inside if (row := snapshot.row_of.get(k)) is not None]
        if not there:
            return []
        ground = _metres(self._ground, snapshot.boxes_xyxyn[there])
        for row, (x, y) in zip(there, ground, strict=True):
            if x != x or not self._classes.includes[snapshot.class_ids[row]]:
                continue
            track_id = snapshot.ids[row]
            last = self._last.setdefault(track_id, deque(maxlen=1))
            if last and snapshot.time_s - last[0][0] < ZONE_EVERY_S:
                continue
            if last:
                way = self._way.setdefault(track_id, [0.0, 0.0])
                way[0] += math.hypot(x - last[0][1], y - last[0][2])
                way[1] += snapshot.time_s - last[0][0]
            last.append((snapshot.time_s, x, y))
        return []

    def on_event(self, event: CountingEvent) -> list[AnalyticEvent]:
        if (
            event.kind != "exited"
            or event.name != self.spec.zone
            or not self._classes.includes[event.class_id]
        ):
            return []
        metres, over_s = self._way.pop(event.track_id, [0.0, 0.0])
        self._last.pop(event.track_id, None)
        speed = metres / over_s if over_s >= MIN_SPAN_S else None
        return [speed_event(self.spec, self._classes, event, speed, over_s)]

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        for track_id in track_ids:
            self._last.pop(track_id, None)
            self._way.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:  # noqa: ARG002
        self._last.clear()
        self._way.clear()
        return []

    def save(self) -> Any:
        return [places_as_data(self._last), [[k, *way] for k, way in self._way.items()]]

    def restore(self, saved: Any) -> None:
        self._last = places_from_data(saved[0], 1)
        self._way = {int(k): [float(metres), float(over_s)] for k, metres, over_s in saved[1]}


def _ground(calibration: CalibrationSpec) -> Homography:
    from pipelines.geometry import Homography

    return Homography(calibration.points, calibration.ground)


def _metres(ground: Homography, boxes_xyxyn: Array) -> list[tuple[float, float]]:
    """Where the feet of boxes (N, 4) stand; NaN beyond the ground's horizon."""
    from pipelines.geometry import anchor_points

    metres: list[tuple[float, float]] = ground.to_ground(anchor_points(boxes_xyxyn, "foot")).tolist()
    return metres


def record_places(
    places: dict[int, deque[Place]],
    snapshot: TrackSnapshot,
    ground: Homography,
    classes: ClassFilter,
    every_s: float,
    max_points: int,
) -> None:
    """Put down where the tracks are on the ground, at most every `every_s`."""
    metres = _metres(ground, snapshot.boxes_xyxyn)
    for track_id, class_id, (x, y) in zip(snapshot.ids, snapshot.class_ids, metres, strict=True):
        if x != x or not classes.includes[class_id]:
            continue
        way = places.get(track_id)
        if way is None:
            way = places[track_id] = deque(maxlen=max_points)
        if not way or snapshot.time_s - way[-1][0] >= every_s - 1e-6:
            way.append((snapshot.time_s, x, y))


def fit_speed(places: list[Place]) -> tuple[float | None, float]:
    """Metres a second along the places, or None, and the seconds that it rests on."""
    import numpy as np

    if len(places) < MIN_POINTS or places[-1][0] - places[0][0] < MIN_SPAN_S:
        return None, places[-1][0] - places[0][0] if places else 0.0
    table = np.array(places)
    t = table[:, 0] - table[:, 0].mean()
    slope = (t @ table[:, 1:]) / (t @ t)
    return float(np.hypot(*slope)), float(table[-1, 0] - table[0, 0])


def speed_event(
    spec: SpeedSpec, classes: ClassFilter, event: CountingEvent, speed_mps: float | None, over_s: float
) -> AnalyticEvent:
    speed = None if speed_mps is None else speed_mps * PER_UNIT[spec.unit]
    data: dict[str, Any] = {
        "rule": spec.name,
        "line" if spec.line is not None else "zone": event.name,
        **classes.names(event.class_id),
        "track_id": event.track_id,
        "speed": None if speed is None else round(speed, 2),
        "unit": spec.unit,
        "over_s": round(over_s, 3),
    }
    if event.direction:
        data["direction"] = event.direction
    if spec.limit is not None:
        data["limit"] = spec.limit
        data["over_limit"] = speed is not None and speed > spec.limit
    if speed is None:
        data["reason"] = "seen on the calibrated ground for too short a time"
    return AnalyticEvent(MEASURED.name, data, {"measured": event.time_s})


def places_as_data(places: dict[int, deque[Place]]) -> list[Any]:
    return [[k, [[round(v, 4) for v in place] for place in way]] for k, way in places.items()]


def places_from_data(saved: list[Any], max_points: int) -> dict[int, deque[Place]]:
    return {int(k): deque(((t, x, y) for t, x, y in way), maxlen=max_points) for k, way in saved}


def _summary(_kind: str, data: Mapping[str, Any]) -> str:
    speed = "not measured" if data["speed"] is None else f"{data['speed']:.1f} {data['unit']}"
    over = ", over the limit" if data.get("over_limit") else ""
    return f"{data.get('line', data.get('zone'))}: {data['class']} {data['track_id']} {speed}{over}"


def _start(spec: SpeedSpec, context: RuleContext) -> RunningRule:
    assert context.calibration is not None  # CameraRules has seen to it
    kind = SpeedAtLine if spec.line is not None else SpeedThroughZone
    return kind(spec, context.calibration, context.labels)


ANALYTIC = Analytic(
    "speed",
    "speeds",
    SpeedSpec,
    _start,
    events=(MEASURED,),
    summary=_summary,
    calibrated=True,
)
