"""How long a queue is and how long its people wait.

In the queue is who is in the zone and has stood, or moved slowly, for `join_s`; who leaves the zone is out of
it at once, who moves on faster is out after `leave_s`. Slow is a speed of the box's centre over about a
second in the object's own heights a second, so that it means the same near and far: a person walks at about
0.8, and shuffles at less than 0.3.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipelines.analytics.base import (
    RULE_REV,
    Analytic,
    AnalyticEvent,
    AnalyticSpec,
    ClassFilter,
    EventType,
    RunningRule,
    TrackSnapshot,
    counted_members,
    mean_max,
    seconds,
)
from pipelines.rules import Name, Seconds

if TYPE_CHECKING:
    from pipelines.values import Labels

OVER_S = 1.0  # speed is measured over this time,
MIN_SPAN_S = 0.4  # and never over less
EVERY_S = 0.1  # places kept
LOST_S = 4.0  # who is not seen for longer (a jump of the stream's time) has not been waiting meanwhile

CHANGED = EventType(
    "streamer.queue.changed.v1",
    "A queue changed",
    "How many stand in a queue and how long they wait, told when its length changed or someone left it.",
    {
        "queue": {"type": "string", "description": "the rule's name"},
        "zone": {"type": "string", "description": "the zone's name"},
        **counted_members("in the queue now", "the same by class", "the same by group"),
        "waiting_s": {
            "type": "object",
            "description": "how long those in the queue have waited so far, in seconds",
            "properties": {
                "mean": {
                    "type": ["number", "null"],
                    "description": "mean; null where there is none",
                    "minimum": 0,
                },
                "max": {
                    "type": ["number", "null"],
                    "description": "the longest; null where there is none",
                    "minimum": 0,
                },
            },
            "required": ["mean", "max"],
        },
        "left": {
            "type": "integer",
            "description": "how many left it since the event before",
            "minimum": 0,
        },
        "waited_s": {
            "type": "object",
            "description": "how long those had waited, in seconds",
            "properties": {
                "mean": {
                    "type": ["number", "null"],
                    "description": "mean; null where there is none",
                    "minimum": 0,
                },
                "max": {
                    "type": ["number", "null"],
                    "description": "the longest; null where there is none",
                    "minimum": 0,
                },
            },
            "required": ["mean", "max"],
        },
        **RULE_REV,
    },
)


class QueueSpec(AnalyticSpec):
    """Who stands or moves slowly in a zone. Speeds are in the object's own heights a second."""

    zone: Name
    slow_heights_s: float = Field(default=0.3, gt=0, le=10)
    join_s: Seconds = 2.0
    leave_s: Seconds = 2.0
    settle_s: float = Field(default=2.0, ge=0, le=3600)


@dataclass(slots=True)
class _Person:
    class_id: int
    places: deque[tuple[float, float, float]] = field(default_factory=deque)  # time_s, x, y
    slow_s: float | None = None  # since when it has been slow
    fast_s: float | None = None  # since when it has been fast, while it waits
    waits_s: float | None = None  # since when it has waited: in the queue


class Queue(RunningRule):
    """The queue of one zone. That its length changed or someone left is told `settle_s` later, all at once; a
    length that is the same again by then is no change."""

    def __init__(self, spec: QueueSpec, labels: Labels) -> None:
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        self._people: dict[int, _Person] = {}
        self._length = 0  # as told
        self._other_s: float | None = None  # since when there is something to tell
        self._waited: list[float] = []  # of those who left since it was told

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        inside = snapshot.inside[self.spec.zone]
        for track_id in [k for k in self._people if k not in inside]:
            self._leave(track_id, snapshot.time_s)
        for track_id in inside:
            row = snapshot.row_of.get(track_id)
            if row is not None and self._classes.includes[snapshot.class_ids[row]]:
                person = self._people.get(track_id)
                if person is not None and snapshot.time_s - person.places[-1][0] > LOST_S:
                    self._leave(track_id, snapshot.time_s)
                    person = None
                if person is None:
                    person = self._people[track_id] = _Person(snapshot.class_ids[row])
                person.class_id = snapshot.class_ids[row]
                self._follow(person, snapshot.time_s, snapshot.boxes_xyxyn[row].tolist())
        return self._settle(snapshot.time_s)

    def _follow(self, person: _Person, time_s: float, box: list[float]) -> None:
        x1, y1, x2, y2 = box
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        places = person.places
        while len(places) > 1 and time_s - places[1][0] >= OVER_S:
            places.popleft()
        if not places or time_s - places[-1][0] >= EVERY_S - 1e-6:
            places.append((time_s, x, y))
        then_s, then_x, then_y = places[0]
        if time_s - then_s < MIN_SPAN_S:
            return
        way = math.hypot(x - then_x, y - then_y)
        slow = way <= self.spec.slow_heights_s * max(y2 - y1, 1e-6) * (time_s - then_s)
        if slow:
            person.fast_s = None
            if person.slow_s is None:
                person.slow_s = then_s
            if person.waits_s is None and time_s - person.slow_s >= self.spec.join_s - 1e-6:
                person.waits_s = person.slow_s
            return
        person.slow_s = None
        if person.waits_s is not None:
            if person.fast_s is None:
                person.fast_s = time_s
            elif time_s - person.fast_s >= self.spec.leave_s - 1e-6:
                self._waited.append(person.fast_s - person.waits_s)
                person.waits_s = person.fast_s = None

    def _leave(self, track_id: int, time_s: float) -> None:
        person = self._people.pop(track_id)
        if person.waits_s is not None:
            # Who is lost in the zone was there until the last place of it, not until the zone gave it up.
            gone_s = person.fast_s or (person.places[-1][0] if person.places else time_s)
            self._waited.append(max(0.0, gone_s - person.waits_s))

    def _settle(self, time_s: float) -> list[AnalyticEvent]:
        waiting = [p for p in self._people.values() if p.waits_s is not None]
        if len(waiting) == self._length and not self._waited:
            self._other_s = None
            return []
        if self._other_s is None:
            self._other_s = time_s
        if time_s - self._other_s < self.spec.settle_s - 1e-6:
            return []
        return [self._event(waiting, time_s)]

    def _event(self, waiting: list[_Person], time_s: float) -> AnalyticEvent:
        self._length, self._other_s = len(waiting), None
        data = {
            "queue": self.spec.name,
            "zone": self.spec.zone,
            **self._classes.counted(Counter(p.class_id for p in waiting)),
            "waiting_s": mean_max([time_s - p.waits_s for p in waiting if p.waits_s is not None]),
            "left": len(self._waited),
            "waited_s": mean_max(self._waited),
        }
        self._waited = []
        return AnalyticEvent(CHANGED.name, data)

    def forget(self, track_ids: list[int]) -> list[AnalyticEvent]:
        for track_id in track_ids:
            if track_id in self._people:
                self._leave(track_id, 0.0)
        return []

    def close(self, time_s: float) -> list[AnalyticEvent]:
        """The queue was there to the end; what is told now says that nobody is known to be in it."""
        for track_id in list(self._people):
            self._leave(track_id, time_s)
        events = [self._event([], time_s)] if self._length or self._waited else []
        self._other_s = None
        return events

    def save(self) -> Any:
        people = [
            [k, p.class_id, [list(place) for place in p.places], p.slow_s, p.fast_s, p.waits_s]
            for k, p in self._people.items()
        ]
        return [people, self._length, self._other_s, self._waited]

    def restore(self, saved: Any) -> None:
        people, self._length, self._other_s, waited = saved
        self._waited = [float(v) for v in waited]
        self._people = {
            int(k): _Person(int(c), deque((t, x, y) for t, x, y in places), slow_s, fast_s, waits_s)
            for k, c, places, slow_s, fast_s, waits_s in people
        }


def _summary(_kind: str, data: Mapping[str, Any]) -> str:
    left = f", {data['left']} left after {seconds(data['waited_s']['mean'])}" if data["left"] else ""
    return f"{data['count']} waiting, the longest {seconds(data['waiting_s']['max'])}{left}"


ANALYTIC = Analytic(
    "queue",
    "queues",
    QueueSpec,
    lambda spec, context: Queue(spec, context.labels),
    events=(CHANGED,),
    summary=_summary,
)
