"""How many are inside behind an entrance: those who went in less those who came out.

Every miscount stays in such a sum until it is reset, so it is never trusted blindly: an exit when nobody is
inside is not counted below zero but put down in `below_zero`, and the rule may reset the sum at an hour
(UTC, by the box's clock) or after a time without any crossing. An epoch's end (a camera that reconnects)
resets nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipelines.analytics.base import Chosen, Heard, Sight, Told
from pipelines.spec_analytics import OccupancySpec
from pipelines.values import Labels

OCCUPANCY_CHANGED = "streamer.occupancy.changed.v1"
DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000


class EntranceOccupancy:
    """The sum of one rule. It goes by tracks: who goes in as one track and out as another is 1 in, 1 out."""

    def __init__(self, spec: OccupancySpec, labels: Labels) -> None:
        self.spec = spec
        self._chosen = Chosen(labels, spec.classes)
        self._quiet_since_s: float | None = None
        self._day: int | None = None
        self._reset()

    def _reset(self) -> None:
        self._in: Counter[int] = Counter()
        self._out: Counter[int] = Counter()
        self._count = self.spec.start
        self._below_zero = 0

    def hear(self, heard: Heard) -> list[Told]:
        if heard.kind == "crossed":
            if heard.name not in self.spec.lines:
                return []
            inward = heard.direction == self.spec.inward
        elif heard.name in self.spec.zones:
            inward = heard.kind == "entered"
        else:
            return []
        if not self._chosen.wanted[heard.class_id]:
            return []
        if inward:
            self._in[heard.class_id] += 1
            self._count += 1
        else:
            self._out[heard.class_id] += 1
            if self._count:
                self._count -= 1
            else:
                self._below_zero += 1
        self._quiet_since_s = heard.time_s
        return [self._told("in" if inward else "out", heard.time_s)]

    def see(self, sight: Sight) -> list[Told]:
        cause = self._time_to_reset(sight)
        if cause is None:
            return []
        changed = self._count != self.spec.start or bool(self._in or self._out)
        self._reset()
        return [self._told(cause, sight.time_s)] if changed else []

    def _time_to_reset(self, sight: Sight) -> str | None:
        cause = None
        if self.spec.reset_idle_s is not None:
            if self._quiet_since_s is None:
                self._quiet_since_s = sight.time_s
            elif sight.time_s - self._quiet_since_s >= self.spec.reset_idle_s:
                self._quiet_since_s = sight.time_s
                cause = "reset_idle"
        if self.spec.reset_at_utc is not None:
            hours, minutes = self.spec.reset_at_utc.split(":")
            day = (sight.captured_ns - (int(hours) * 60 + int(minutes)) * MINUTE_NS) // DAY_NS
            if self._day is not None and day > self._day:
                cause = "reset_at"
            self._day = day
        return cause

    def _told(self, cause: str, time_s: float) -> Told:
        data = {
            "occupancy": self.spec.name,
            "count": self._count,
            "in": self._chosen.counted(self._in),
            "out": self._chosen.counted(self._out),
            "below_zero": self._below_zero,
            "cause": cause,
        }
        return Told(OCCUPANCY_CHANGED, data, {"changed": time_s})

    def forget(self, track_ids: list[int]) -> list[Told]:  # noqa: ARG002
        return []

    def close(self, time_s: float) -> list[Told]:  # noqa: ARG002
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
