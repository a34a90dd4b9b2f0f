"""How many are inside behind an entrance: those who went in less those who came out.

Every miscount stays in such a sum until it is reset, so it is never trusted blindly: an exit when nobody is
inside is not counted below zero but put down in `below_zero`, the rule may reset the sum at an hour (UTC, by
the box's clock) or after a time without any crossing, and a person may set it. An epoch's end (a camera that
reconnects) resets nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from pipelines.analytics.base import (
    COUNTED,
    RULE_REV,
    Analytic,
    AnalyticEvent,
    AnalyticSpec,
    ClassFilter,
    CountingEvent,
    EventType,
    RunningRule,
    TrackSnapshot,
)
from pipelines.analytics.local_days import LocalDays, Timezone
from pipelines.rules import TIME_OF_DAY, LineSpec, Name, Seconds, check_direction

if TYPE_CHECKING:
    from pipelines.values import Labels


CHANGED = EventType(
    "streamer.occupancy.changed.v1",
    "An entrance's occupancy changed",
    "How many are inside behind an entrance: those who went in less those who came out, since the "
    "last reset. Never below zero: an exit when nobody is inside raises `below_zero` instead.",
    {
        "occupancy": {"type": "string", "description": "the rule's name"},
        "count": {"type": "integer", "description": "inside now", "minimum": 0},
        "in": {
            **COUNTED,
            "description": "went in since the last reset",
        },
        "out": {
            **COUNTED,
            "description": "came out since the last reset",
        },
        "below_zero": {
            "type": "integer",
            "description": (
                "of those who came out, how many did so when nobody was known to be inside: each "
                "is a miscount"
            ),
            "minimum": 0,
        },
        "cause": {
            "type": "string",
            "description": "what changed it",
            "enum": ["in", "out", "reset_idle", "reset_at", "set"],
        },
        "reason": {"type": "string", "description": "of a count that a person has `set`: why"},
        "by": {"type": "string", "description": "of a count that a person has `set`: the name of who did"},
        "uid": {
            "type": ["integer", "null"],
            "description": "and the user id as the kernel tells; null over HTTP",
        },
        "changed_media_ns": {
            "type": "integer",
            "description": "the stream's time of the change, in nanoseconds",
        },
        **RULE_REV,
    },
    optional=("reason", "by", "uid"),
)


class OccupancySpec(AnalyticSpec):
    """How many are inside: crossings `inward` of lines less those the other way; zones entered less left."""

    lines: tuple[Name, ...] = Field(default=(), max_length=32)
    inward: Name = "in"
    zones: tuple[Name, ...] = Field(default=(), max_length=32)
    start: int = Field(default=0, ge=0, le=1_000_000)
    reset_idle_s: Seconds | None = None
    reset_at: str | None = Field(default=None, pattern=TIME_OF_DAY)
    timezone: Timezone | None = None
    reset_at_utc: str | None = Field(default=None, pattern=TIME_OF_DAY)

    @model_validator(mode="after")
    def _of_something(self) -> OccupancySpec:
        if self.reset_at is not None and self.reset_at_utc is not None:
            raise ValueError("reset_at and reset_at_utc are two ways of one thing: keep one")
        if self.timezone is not None and self.reset_at is None:
            raise ValueError("timezone is that of reset_at: give a time such as 03:00")
        if not self.lines and not self.zones:
            raise ValueError("name the lines (or zones) over which people come in and go out")
        return self

    def check_lines(self, lines: Mapping[str, LineSpec]) -> None:
        for name in self.lines:
            check_direction(f"occupancy {self.name!r}: inward", self.inward, lines[name])


class EntranceOccupancy(RunningRule):
    """The sum of one rule. It goes by tracks: who goes in as one track and out as another is 1 in, 1 out."""

    def __init__(self, spec: OccupancySpec, labels: Labels) -> None:
        self.spec = spec
        self._classes = ClassFilter(labels, spec.classes)
        self._quiet_since_s: float | None = None
        self._day: int | None = None
        self._days = _days_of(spec)
        self._reset()

    def set_count(self, count: int, told: Mapping[str, Any], time_s: float) -> AnalyticEvent:
        """A person says how many are inside from now on; `told` is what the event says of who and why."""
        self._reset()
        self._count = count
        self._quiet_since_s = time_s
        changed = self._event("set", time_s)
        return AnalyticEvent(changed.type, {**changed.data, **told}, changed.times_s)

    def _reset(self) -> None:
        self._in: Counter[int] = Counter()
        self._out: Counter[int] = Counter()
        self._count = self.spec.start
        self._below_zero = 0

    def on_event(self, event: CountingEvent) -> list[AnalyticEvent]:
        if event.kind == "crossed":
            if event.name not in self.spec.lines:
                return []
            inward = event.direction == self.spec.inward
        elif event.name in self.spec.zones:
            inward = event.kind == "entered"
        else:
            return []
        if not self._classes.includes[event.class_id]:
            return []
        if inward:
            self._in[event.class_id] += 1
            self._count += 1
        else:
            self._out[event.class_id] += 1
            if self._count:
                self._count -= 1
            else:
                self._below_zero += 1
        self._quiet_since_s = event.time_s
        return [self._event("in" if inward else "out", event.time_s)]

    def on_frame(self, snapshot: TrackSnapshot) -> list[AnalyticEvent]:
        cause = self._time_to_reset(snapshot)
        if cause is None:
            return []
        changed = self._count != self.spec.start or bool(self._in or self._out)
        self._reset()
        return [self._event(cause, snapshot.time_s)] if changed else []

    def _time_to_reset(self, snapshot: TrackSnapshot) -> str | None:
        cause = None
        if self.spec.reset_idle_s is not None:
            if self._quiet_since_s is None:
                self._quiet_since_s = snapshot.time_s
            elif snapshot.time_s - self._quiet_since_s >= self.spec.reset_idle_s:
                self._quiet_since_s = snapshot.time_s
                cause = "reset_idle"
        if self._days is not None:
            day = self._days.of(snapshot.captured_ns)
            if self._day is not None and day > self._day:
                cause = "reset_at"
            self._day = day
        return cause

    def _event(self, cause: str, time_s: float) -> AnalyticEvent:
        data = {
            "occupancy": self.spec.name,
            "count": self._count,
            "in": self._classes.counted(self._in),
            "out": self._classes.counted(self._out),
            "below_zero": self._below_zero,
            "cause": cause,
        }
        return AnalyticEvent(CHANGED.name, data, {"changed": time_s})

    def close(self, time_s: float) -> list[AnalyticEvent]:  # noqa: ARG002
        self._quiet_since_s = None  # the time starts anew
        return []

    def save(self) -> Any:
        counters = [[[c, n] for c, n in counter.items()] for counter in (self._in, self._out)]
        return [*counters, self._count, self._below_zero, self._quiet_since_s, self._day]

    def restore(self, saved: Any) -> None:
        inward, outward, count, below_zero, quiet_since_s, day = saved
        self._in = Counter({int(c): int(n) for c, n in inward})
        self._out = Counter({int(c): int(n) for c, n in outward})
        self._count, self._below_zero = int(count), int(below_zero)
        self._quiet_since_s = None if quiet_since_s is None else float(quiet_since_s)
        self._day = None if day is None else int(day)


def _days_of(spec: OccupancySpec) -> LocalDays | None:
    """The days that its count is of; None where no time of day ends it."""
    if spec.reset_at is not None:
        return LocalDays(spec.reset_at, spec.timezone or "UTC")
    return LocalDays(spec.reset_at_utc, "UTC") if spec.reset_at_utc is not None else None


def _summary(_kind: str, data: Mapping[str, Any]) -> str:
    below = f", {data['below_zero']} below zero" if data["below_zero"] else ""
    return f"{data['count']} inside ({data['in']['count']} in, {data['out']['count']} out{below})"


ANALYTIC = Analytic(
    "occupancy",
    "occupancies",
    OccupancySpec,
    lambda spec, context: EntranceOccupancy(spec, context.labels),
    events=(CHANGED,),
    summary=_summary,
)
