"""Who has been in a zone for longer than the times that were asked about.

The zone itself says how long each visit was, when it is over (zone.py); this tells while it lasts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from pipelines.analytics.base import (
    RULE_REV,
    TRACK,
    Analytic,
    AnalyticEvent,
    AnalyticSpec,
    ClassFilter,
    EventType,
    RunningRule,
    TrackSnapshot,
)
from pipelines.rules import Name, Seconds

if TYPE_CHECKING:
    from pipelines.values import Labels

EXCEEDED = EventType(
    "streamer.dwell.exceeded.v1",
    "A track has been in a zone for long",
    "An object has been in a zone for one of the times that a dwell rule asks about, and is still "
    "there. Told once per visit and time.",
    {
        "dwell": {"type": "string", "description": "the rule's name"},
        "zone": {"type": "string", "description": "the zone's name"},
        **TRACK,
        "after_s": {
            "type": "number",
            "description": "the time that was asked about, in seconds",
            "exclusiveMinimum": 0,
        },
        "dwell_s": {
            "type": "number",
            "description": "how long it has been there, in seconds",
            "minimum": 0,
        },
        "entered_media_ns": {
            "type": "integer",
            "description": "the stream's time at which it came in, in nanoseconds",
        },
        **RULE_REV,
    },
)


class DwellSpec(AnalyticSpec):
    """Tell when an object has been in a zone for each of some times."""

    zone: Name
    after_s: tuple[Seconds, ...] = Field(min_length=1, max_length=8)

    @field_validator("after_s")
    @classmethod
    def _rising(cls, after_s: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in itertools.pairwise(after_s)):
            raise ValueError("give the times in rising order, each once")
        return after_s


class DwellAlarm(RunningRule):
    """Tells once per visit and threshold, of a track that is seen at that moment or later."""

    def __init__(self, spec: DwellSpec, labels: Labels) -> None:
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        self._visits: dict[int, tuple[float, int]] = {}  # track id -> its visit's begin, thresholds told

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        events: list[AnalyticEvent] = []
        inside = snapshot.inside[self.spec.zone]
        for track_id, since_s in inside.items():
            row = snapshot.row_of.get(track_id)
            if row is None or snapshot.time_s - since_s < self.spec.after_s[0]:
                continue
            class_id = snapshot.class_ids[row]
            if self._classes.includes[class_id]:
                events.extend(self._exceeded(track_id, class_id, since_s, snapshot.time_s - since_s))
        for track_id in [k for k in self._visits if k not in inside]:
            del self._visits[track_id]
        return events

    def _exceeded(self, track_id: int, class_id: int, since_s: float, dwell_s: float) -> list[AnalyticEvent]:
        begun_s, passed = self._visits.get(track_id, (since_s, 0))
        if begun_s != since_s:  # it has been outside meanwhile
            passed = 0
        events = []
        while passed < len(self.spec.after_s) and dwell_s >= self.spec.after_s[passed]:
            data = {
                "dwell": self.spec.name,
                "zone": self.spec.zone,
                **self._classes.names(class_id),
                "track_id": track_id,
                "after_s": self.spec.after_s[passed],
                "dwell_s": round(dwell_s, 3),
            }
            events.append(AnalyticEvent(EXCEEDED.name, data, {"entered": since_s}))
            passed += 1
        self._visits[track_id] = (since_s, passed)
        return events

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        for track_id in track_ids:
            self._visits.pop(track_id, None)
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:  # noqa: ARG002
        self._visits.clear()
        return []

    def save(self) -> Any:
        return [[k, since, passed] for k, (since, passed) in self._visits.items()]

    def restore(self, saved: Any) -> None:
        self._visits = {int(k): (float(since), int(passed)) for k, since, passed in saved}


def _summary(_kind: str, data: Mapping[str, Any]) -> str:
    return f"{data['zone']}: {data['class']} {data['track_id']} for more than {data['after_s']:g} s"


ANALYTIC = Analytic(
    "dwell",
    "dwells",
    DwellSpec,
    lambda spec, context: DwellAlarm(spec, context.labels),
    events=(EXCEEDED,),
    summary=_summary,
)
