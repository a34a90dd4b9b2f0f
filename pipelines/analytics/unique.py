"""How many different tracks were seen in each period, in the picture or in a zone.

Tracks, not persons: who leaves the picture and comes back is another track, and so is who was lost for longer
than the tracker bridges. A track that lives across the end of a period counts in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.analytics.base import (
    PERIOD,
    RULE_REV,
    Analytic,
    AnalyticEvent,
    AnalyticSpec,
    ClassFilter,
    EventType,
    Period,
    RunningRule,
    TrackSnapshot,
    counted_members,
)
from pipelines.rules import Name, Seconds

if TYPE_CHECKING:
    from pipelines.values import Labels

COUNTED = EventType(
    "streamer.unique.counted.v1",
    "Different tracks in a period",
    "How many different tracks were seen in a period. Tracks, not persons: who leaves and comes "
    "back is another one.",
    {
        "unique": {"type": "string", "description": "the rule's name"},
        "zone": {"type": ["string", "null"], "description": "the zone, or null: the whole picture"},
        **counted_members("tracks", "the same by class", "the same by group"),
        **PERIOD,
        **RULE_REV,
    },
)


class UniqueSpec(AnalyticSpec):
    """How many different tracks were seen in each period, in the picture or a zone."""

    zone: Name | None = None
    every_s: Seconds = 3600.0
    min_seen_s: float = Field(default=1.0, ge=0, le=3600)


class Unique(RunningRule):
    """One rule's count. A track counts once a period, when it has been seen for `min_seen_s` of its life, by
    its class at that moment."""

    def __init__(self, spec: UniqueSpec, labels: Labels) -> None:
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        self._first_s: dict[int, float] = {}  # of live tracks
        self._counted: set[int] = set()  # of those, in this period
        self._counts: Counter[int] = Counter()
        self._period = Period(spec.every_s)

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        ended = self._period.over(snapshot.time_s)
        events = [] if ended is None else [self._event(ended, True)]
        inside = None if self.spec.zone is None else snapshot.inside[self.spec.zone]
        if inside is not None and not inside:
            return events
        for track_id, class_id in zip(snapshot.ids, snapshot.class_ids, strict=True):
            if track_id in self._counted or not self._classes.includes[class_id]:
                continue
            if inside is not None and track_id not in inside:
                continue
            first_s = self._first_s.setdefault(track_id, snapshot.time_s)
            if snapshot.time_s - first_s >= self.spec.min_seen_s - 1e-6:
                self._counted.add(track_id)
                self._counts[class_id] += 1
        return events

    def _event(self, ended: dict[str, float], complete: bool) -> AnalyticEvent:
        data: dict[str, Any] = {
            "unique": self.spec.name,
            "zone": self.spec.zone,
            **self._classes.counted(self._counts),
            "complete": complete,
        }
        self._counts = Counter()
        self._counted.clear()
        return AnalyticEvent(COUNTED.name, data, ended)

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        for track_id in track_ids:
            self._first_s.pop(track_id, None)
            self._counted.discard(track_id)
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:
        ended = self._period.cut(time_s)
        events = [] if ended is None else [self._event(ended, False)]
        self._first_s.clear()
        self._counted.clear()
        return events

    def save(self) -> Any:
        first = [[k, v, k in self._counted] for k, v in self._first_s.items()]
        return [first, [[c, n] for c, n in self._counts.items()], self._period.start_s]

    def restore(self, saved: Any) -> None:
        first, counts, self._period.start_s = saved
        self._first_s = {int(k): float(v) for k, v, _ in first}
        self._counted = {int(k) for k, _, counted in first if counted}
        self._counts = Counter({int(c): int(n) for c, n in counts})


def _summary(_kind: str, data: Mapping[str, Any]) -> str:
    by_class = ", ".join(f"{name} {n}" for name, n in data["by_class"].items())
    return f"{data['count']} tracks" + (f" ({by_class})" if by_class else "")


ANALYTIC = Analytic(
    "unique",
    "uniques",
    UniqueSpec,
    lambda spec, context: Unique(spec, context.labels),
    events=(COUNTED,),
    summary=_summary,
)
