"""Who goes from which zone to which: turning movements, and their origin-destination matrix.

A movement is counted when a track enters a zone of the rule after it left another one of it, at most
`within_s` ago. The zones lie where the ways into and out of the place are (the arms of a crossing, the doors
of a hall); one that is passed on the way parts a movement in two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from pipelines.analytics.base import (
    COUNTED,
    PERIOD,
    RULE_REV,
    TRACK,
    Analytic,
    AnalyticEvent,
    AnalyticSpec,
    ClassFilter,
    CountingEvent,
    EventType,
    Period,
    RunningRule,
    TrackSnapshot,
)
from pipelines.rules import Name, Seconds

if TYPE_CHECKING:
    from pipelines.values import Labels

MOVED = EventType(
    "streamer.flow.moved.v1",
    "A track went from one zone to another",
    "An object entered a zone of a flow rule after it had left another one: a turning movement.",
    {
        "flow": {"type": "string", "description": "the rule's name"},
        "origin": {"type": "string", "description": "the zone it came from"},
        "destination": {"type": "string", "description": "the zone it came to"},
        **TRACK,
        "travel_s": {
            "type": "number",
            "description": "from leaving the one to entering the other, in seconds; 0 where they overlap",
            "minimum": 0,
        },
        "arrived_media_ns": {
            "type": "integer",
            "description": "the stream's time at which it came to the destination, in nanoseconds",
        },
        **RULE_REV,
    },
)
MATRIX = EventType(
    "streamer.flow.matrix.v1",
    "An origin-destination matrix",
    "The movements of a flow rule in a period.",
    {
        "flow": {"type": "string", "description": "the rule's name"},
        "count": {"type": "integer", "description": "all movements", "minimum": 0},
        "matrix": {
            "type": "object",
            "description": (
                "origin -> destination -> count, by_class, by_group; pairs without a movement are left out"
            ),
            "additionalProperties": {
                "type": "object",
                "additionalProperties": {
                    **COUNTED,
                },
            },
        },
        **PERIOD,
        **RULE_REV,
    },
)


class FlowSpec(AnalyticSpec):
    """Who goes from which zone to which."""

    zones: tuple[Name, ...] = Field(min_length=2, max_length=32)
    every_s: Seconds = 900.0
    within_s: Seconds = 300.0

    @field_validator("zones")
    @classmethod
    def _different(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(zones)) < len(zones):
            raise ValueError("a zone is named twice")
        return zones


class Flow(RunningRule):
    """One rule's movements, and the matrix of the present period."""

    def __init__(self, spec: FlowSpec, labels: Labels) -> None:
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        self._left: dict[int, tuple[str, float]] = {}  # track id -> the zone it was in last, until when
        self._matrix: Counter[tuple[str, str, int]] = Counter()
        self._period = Period(spec.every_s)

    def on_event(self, event: CountingEvent) -> list[AnalyticEvent]:
        if event.name not in self.spec.zones or event.kind == "crossed":
            return []
        if not self._classes.includes[event.class_id]:
            return []
        origin, left_s = self._left.get(event.track_id, ("", 0.0))
        self._left[event.track_id] = (event.name, event.time_s)
        if event.kind == "exited" or origin in ("", event.name):
            return []
        travel_s = max(0.0, event.time_s - left_s)  # zones that overlap: entered before the other is left
        if travel_s > self.spec.within_s:
            return []
        self._matrix[origin, event.name, event.class_id] += 1
        data = {
            "flow": self.spec.name,
            "origin": origin,
            "destination": event.name,
            **self._classes.names(event.class_id),
            "track_id": event.track_id,
            "travel_s": round(travel_s, 3),
        }
        return [AnalyticEvent(MOVED.name, data, {"arrived": event.time_s})]

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        ended = self._period.over(snapshot.time_s)
        return [] if ended is None else [self._matrix_event(ended, True)]

    def _matrix_event(self, ended: dict[str, float], complete: bool) -> AnalyticEvent:
        matrix: dict[str, dict[str, Any]] = {}
        for origin in self.spec.zones:
            for destination in self.spec.zones:
                cell = Counter(
                    {c: n for (o, d, c), n in self._matrix.items() if (o, d) == (origin, destination)}
                )
                if cell:
                    matrix.setdefault(origin, {})[destination] = self._classes.counted(cell)
        total = sum(self._matrix.values())
        self._matrix = Counter()
        data = {"flow": self.spec.name, "count": total, "matrix": matrix, "complete": complete}
        return AnalyticEvent(MATRIX.name, data, ended)

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        for track_id in track_ids:
            self._left.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:
        self._left.clear()
        ended = self._period.cut(time_s)
        return [] if ended is None else [self._matrix_event(ended, False)]

    def save(self) -> Any:
        left = [[k, zone, time_s] for k, (zone, time_s) in self._left.items()]
        return [left, [[*key, n] for key, n in self._matrix.items()], self._period.start_s]

    def restore(self, saved: Any) -> None:
        left, matrix, self._period.start_s = saved
        self._left = {int(k): (str(zone), float(time_s)) for k, zone, time_s in left}
        self._matrix = Counter({(str(o), str(d), int(c)): int(n) for o, d, c, n in matrix})


def _summary(kind: str, data: Mapping[str, Any]) -> str:
    if kind == MOVED.name:
        way = f"{data['origin']} to {data['destination']}"
        return f"{way}: {data['class']} {data['track_id']} in {data['travel_s']:.1f} s"
    cells = (
        f"{origin} to {destination} {cell['count']}"
        for origin, row in data["matrix"].items()
        for destination, cell in row.items()
    )
    return ", ".join(cells) or "no movement"


ANALYTIC = Analytic(
    "flow",
    "flows",
    FlowSpec,
    lambda spec, context: Flow(spec, context.labels),
    events=(
        MOVED,
        MATRIX,
    ),
    summary=_summary,
)
