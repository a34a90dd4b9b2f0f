"""Whether what the ledger says was counted is what its events add up to: counts by minute and closed buckets.

Fed with one camera's events in the order of their numbers. Only what lies wholly among the events that are
kept is compared. What a bucket holds follows `workers/infer/coverage.py`: a crossing belongs to the bucket of
its own time, or where that is closed already, to the first open one.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from streamer.events.cloudevents import rfc3339

NS_PER_MINUTE = 60_000_000_000
SETTLED_NS = 10_000_000_000  # events this far apart come in the order of their time
OPEN_MINUTES = 120  # kept in memory behind the newest; what comes later still is added at the end
# of buckets that say themselves that they differ
UNSURE_FLAGS = frozenset({"clock_jumped", "events_lost", "term_changed"})

Told = Callable[[str], None]  # takes one line that says what is wrong
Sums = Counter[tuple[str, str, str, str]]  # line or zone, its name, direction, class ("" of a zone)


class MinuteSums:
    """The counts by minute of one camera against its events."""

    def __init__(self, db: sqlite3.Connection, camera: int, complete_from_ns: int, tell: Told) -> None:
        (oldest,) = db.execute("SELECT min(minute) FROM rollups").fetchone()
        self._db, self._camera, self._tell = db, camera, tell
        self._first = max(-(-complete_from_ns // NS_PER_MINUTE), oldest or 0)
        self._flushed_to = self._first
        self._sums: Counter[tuple[int, str]] = Counter()
        self._unequal: dict[tuple[int, str], tuple[int, int]] = {}  # kept, summed
        self._newest = 0
        self.compared = 0

    def add(self, key: str, counted_ns: int) -> None:
        minute = counted_ns // NS_PER_MINUTE
        if minute < self._first:
            return
        self._sums[minute, key] += 1
        if minute > self._newest:
            self._newest = minute
            if minute - self._flushed_to > 2 * OPEN_MINUTES:
                self._flush(minute - OPEN_MINUTES)

    def finish(self) -> None:
        self._flush(1 << 40)
        for (minute, key), (kept, summed) in self._unequal.items():
            summed += self._sums.pop((minute, key), 0)  # those that came late
            if kept != summed:
                self._say(minute, key, kept, summed)
        for (minute, key), late in self._sums.items():
            self._say(minute, key, 0, late)

    def _flush(self, until: int) -> None:
        due = {place: n for place, n in self._sums.items() if self._flushed_to <= place[0] < until}
        for place in due:
            del self._sums[place]
        rows = self._db.execute(
            "SELECT minute, key, n FROM rollups WHERE camera=? AND minute>=? AND minute<?",
            (self._camera, self._flushed_to, until),
        )
        for minute, key, kept in rows:
            self.compared += 1
            if (summed := due.pop((minute, key), 0)) != kept:
                self._unequal[minute, key] = (kept, summed)
        self._unequal |= {place: (0, summed) for place, summed in due.items()}
        self._flushed_to = until

    def _say(self, minute: int, key: str, kept: int, summed: int) -> None:
        at = rfc3339(minute * NS_PER_MINUTE)[:16]
        self._tell(f"minute {at}Z of {key}: {kept} counted, and {summed} events")


class BucketSums:
    """The closed buckets of one camera against its events."""

    def __init__(self, complete_from_ns: int, tell: Told) -> None:
        self._complete_from_ns, self._tell = complete_from_ns, tell
        self._open: list[tuple[int, tuple[str, str, str, str]]] = []
        self._closed_ns = 0
        self._held = ""  # what is wrong with the bucket before, unless the next one explains it
        self.compared = self.unsure = 0

    def add(self, key: str, counted_ns: int) -> None:
        kind, name, direction, _, class_name = key.split("/", 4)
        what = (kind, name, direction, class_name if kind == "line" else "")
        self._open.append((max(counted_ns, self._closed_ns), what))

    def close(self, seq: int, data: Mapping[str, Any]) -> None:
        """The bucket of a counts event; `data` has start_ns, end_ns, lines, zones and flags."""
        start_ns, end_ns = int(data["start_ns"]), int(data["end_ns"])
        summed: Sums = Counter(what for at_ns, what in self._open if at_ns < end_ns)
        self._open = [(at_ns, what) for at_ns, what in self._open if at_ns >= end_ns]
        self._closed_ns = max(self._closed_ns, end_ns)
        unsure = not UNSURE_FLAGS.isdisjoint(data.get("flags") or data.get("marks") or ())
        if unsure:
            self._held = ""
        self.finish()
        if unsure or start_ns < self._complete_from_ns:
            self.unsure += unsure
            return
        self.compared += 1
        if (counted := _counted(data)) != summed:
            self._held = f"bucket {seq} from {rfc3339(start_ns)[:19]}Z: {_difference(counted, summed)}"

    def finish(self) -> None:
        if self._held:
            self._tell(self._held)
        self._held = ""


def _counted(data: Mapping[str, Any]) -> Sums:
    counted: Sums = Counter()
    for line, directions in (data.get("lines") or {}).items():
        for direction, classes in directions.items():
            counted.update({("line", line, direction, name): int(n) for name, n in classes.items()})
    for zone, ways in (data.get("zones") or {}).items():
        counted.update({("zone", zone, way, ""): int(n) for way, n in ways.items() if n})
    return counted


def _difference(counted: Sums, summed: Sums) -> str:
    differing = sorted(what for what in counted.keys() | summed.keys() if counted[what] != summed[what])
    parts = [
        f"{'/'.join(filter(None, what))} {counted[what]} counted, and {summed[what]} events"
        for what in differing[:3]
    ]
    return "; ".join(parts) + ("; …" if len(differing) > 3 else "")
