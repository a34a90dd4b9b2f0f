"""Who goes against the allowed direction.

At a line: a crossing the other way, told once the object is `min_distance` beyond the line; who turns back
before is none. In a zone: who has gone back by `min_distance` along the arrow `towards` from the farthest it
had come, in a direction within `WITHIN_DEG` of the arrow's opposite; once a visit.
Distances are shares of the picture (of its width across, of its height down).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

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
from pipelines.rules import LineSpec, Name, Point, Unit, check_direction

if TYPE_CHECKING:
    from pipelines.values import Labels

WITHIN_DEG = 60.0
COSINE = math.cos(math.radians(WITHIN_DEG))

DETECTED = EventType(
    "streamer.wrongway.detected.v1",
    "A track goes the wrong way",
    "An object goes against the allowed direction of a line or zone and has gone farther than the "
    "rule tolerates.",
    {
        "rule": {"type": "string", "description": "the rule's name"},
        "line": {"type": "string", "description": "the line's name, at a line"},
        "zone": {"type": "string", "description": "the zone's name, in a zone"},
        "direction": {"type": "string", "description": "the direction in which it crossed, at a line"},
        **TRACK,
        "distance": {
            "type": "number",
            "description": "how far it has gone so, as a share of the picture",
            "minimum": 0,
        },
        "point_xyn": {
            "type": "array",
            "description": "where it was then, x and y normalised to the picture",
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
        },
        "since_media_ns": {
            "type": "integer",
            "description": (
                "the stream's time of the crossing, or of the moment at which it began to go "
                "back, in nanoseconds"
            ),
        },
        **RULE_REV,
    },
    optional=(
        "line",
        "zone",
        "direction",
    ),
)


class WrongWaySpec(AnalyticSpec):
    """Who goes against the allowed direction: of a line by its name, of a zone by two points."""

    line: Name | None = None
    allowed: Name | None = None
    zone: Name | None = None
    towards: tuple[Point, Point] | None = None
    min_distance: Unit = 0.05

    @model_validator(mode="after")
    def _line_or_zone(self) -> WrongWaySpec:
        of_line = self.line is not None and self.allowed is not None
        of_zone = self.zone is not None and self.towards is not None
        stray = (self.line or self.allowed) if of_zone else (self.zone or self.towards)
        if of_line == of_zone or stray:
            raise ValueError("give line and allowed (a direction's name), or zone and towards (two points)")
        if self.towards is not None and math.dist(*self.towards) < 0.005:
            raise ValueError("towards: the two points are (almost) the same: an arrow needs a length")
        if of_zone and self.min_distance < 0.01:
            raise ValueError("min_distance: in a zone at least 0.01 of the picture")
        return self

    def check_lines(self, lines: Mapping[str, LineSpec]) -> None:
        if self.line is not None:
            check_direction(f"wrong way {self.name!r}: allowed", str(self.allowed), lines[self.line])


class WrongWayLine(RunningRule):
    """Crossings of a line against its allowed direction."""

    def __init__(self, spec: WrongWaySpec, line: LineSpec, labels: Labels) -> None:
        from pipelines.geometry import Polyline

        self.spec = spec
        self._line = Polyline(line.points)
        self._classes = ClassFilter(labels, spec.classes)
        self._crossed: dict[int, tuple[int, float, str]] = {}  # track id -> side, time_s, direction

    def on_event(self, event: CountingEvent) -> list[AnalyticEvent]:
        if (
            event.kind != "crossed"
            or event.name != self.spec.line
            or not self._classes.includes[event.class_id]
        ):
            return []
        if event.direction == self.spec.allowed:
            self._crossed.pop(event.track_id, None)
        else:
            self._crossed[event.track_id] = (event.side, event.time_s, event.direction)
        return []

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        rows = [(k, row) for k in self._crossed if (row := snapshot.row_of.get(k)) is not None]
        if not rows:
            return []
        beyond, _ = self._line.locate(snapshot.points_xyn[[row for _, row in rows]])
        events = []
        for (track_id, row), distance in zip(rows, beyond.tolist(), strict=True):
            side, time_s, direction = self._crossed[track_id]
            if time_s <= snapshot.time_s and distance * side >= self.spec.min_distance:
                del self._crossed[track_id]
                data = {
                    "rule": self.spec.name,
                    "line": self.spec.line,
                    "direction": direction,
                    **self._classes.names(snapshot.class_ids[row]),
                    "track_id": track_id,
                    "distance": round(distance * side, 4),
                    "point_xyn": [round(v, 5) for v in snapshot.points_xyn[row].tolist()],
                }
                events.append(AnalyticEvent(DETECTED.name, data, {"since": time_s}))
        return events

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        for track_id in track_ids:
            self._crossed.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:  # noqa: ARG002
        self._crossed.clear()
        return []

    def save(self) -> Any:
        return [[k, *crossed] for k, crossed in self._crossed.items()]

    def restore(self, saved: Any) -> None:
        self._crossed = {int(k): (int(side), float(t), str(d)) for k, side, t, d in saved}


class WrongWayZone(RunningRule):
    """Movement in a zone against its arrow."""

    def __init__(self, spec: WrongWaySpec, labels: Labels) -> None:
        import numpy as np

        assert spec.towards is not None
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        arrow = np.subtract(spec.towards[1], spec.towards[0])
        self._arrow = arrow / np.hypot(*arrow)
        # track id -> farthest along the arrow, the point and the time there; None once it was told
        self._farthest: dict[int, tuple[float, float, float, float] | None] = {}

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        inside = snapshot.inside[self.spec.zone or ""]
        for track_id in [k for k in self._farthest if k not in inside]:
            del self._farthest[track_id]
        rows = [row for k in inside if (row := snapshot.row_of.get(k)) is not None]
        if not rows:
            return []
        points = snapshot.points_xyn[rows]
        events = []
        for row, (x, y), along in zip(rows, points.tolist(), (points @ self._arrow).tolist(), strict=True):
            if self._classes.includes[snapshot.class_ids[row]]:
                events.extend(self._step(snapshot, row, x, y, along))
        return events

    def _step(
        self, snapshot: TrackSnapshot, row: int, x: float, y: float, along: float
    ) -> list[AnalyticEvent]:
        track_id = snapshot.ids[row]
        farthest = self._farthest.get(track_id, (-math.inf, 0.0, 0.0, 0.0))
        if farthest is None:
            return []
        if along >= farthest[0]:
            self._farthest[track_id] = (along, x, y, snapshot.time_s)
            return []
        back = farthest[0] - along
        if back < self.spec.min_distance or back < COSINE * math.hypot(x - farthest[1], y - farthest[2]):
            return []
        self._farthest[track_id] = None
        data = {
            "rule": self.spec.name,
            "zone": self.spec.zone,
            **self._classes.names(snapshot.class_ids[row]),
            "track_id": track_id,
            "distance": round(back, 4),
            "point_xyn": [round(x, 5), round(y, 5)],
        }
        return [AnalyticEvent(DETECTED.name, data, {"since": farthest[3]})]

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        for track_id in track_ids:
            self._farthest.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:  # noqa: ARG002
        self._farthest.clear()
        return []

    def save(self) -> Any:
        return [[k, None if f is None else list(f)] for k, f in self._farthest.items()]

    def restore(self, saved: Any) -> None:
        self._farthest = {int(k): None if f is None else (f[0], f[1], f[2], f[3]) for k, f in saved}


def _summary(_kind: str, data: Mapping[str, Any]) -> str:
    return f"{data.get('line', data.get('zone'))}: {data['class']} {data['track_id']}"


def _start(spec: WrongWaySpec, context: RuleContext) -> RunningRule:
    if spec.line is not None:
        return WrongWayLine(spec, context.lines[spec.line], context.labels)
    return WrongWayZone(spec, context.labels)


ANALYTIC = Analytic(
    "wrong way",
    "wrong_ways",
    WrongWaySpec,
    _start,
    events=(DETECTED,),
    summary=_summary,
)
