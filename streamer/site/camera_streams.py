"""What all boxes of a site told of a camera, read from the streams of its terms in the site's Redis.

A stream is read backwards, from its end to a day before the time that is asked for: events lie nearly in the
order of their times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pipelines.count.confidence import Judgement, Tally
from streamer.errors import RedisError
from streamer.events.cloudevents import (
    COUNT_CORRECTED,
    COUNTING_TYPES,
    COUNTS,
    parse_rfc3339_ns,
    total_key,
)
from streamer.ipc.redis_keys import term_events_key
from streamer.ledger.buckets import coverage_of
from streamer.ledger.count_rows import NS_PER_S, S_PER_MINUTE, Count
from streamer.ledger.insert import BESIDE
from streamer.sinks.redis_connection import failures_for_people
from streamer.site.merge import Bucket, Made

PAGE_ENTRIES = 1000
LATE_NS = 86_400 * NS_PER_S  # an event is told within a day of its moment
_OURS = {*COUNTING_TYPES, COUNT_CORRECTED, COUNTS}


class CameraStreams:
    """Of one camera. Raises RedisError."""

    def __init__(self, redis: Any, site: str, camera: str) -> None:
        self._redis, self._site, self._camera = redis, site, camera
        self.made: list[Made] = []
        self.buckets: list[Bucket] = []
        self._began = False  # whether the reading came to the stream's begin

    def read(self, term: int, since_ns: int) -> None:
        """What was made in that term from `since_ns` on (Unix ns)."""
        key = term_events_key(self._site, self._camera, term)
        told_counts = counted = 0  # by the oldest bucket that is kept, and by events before it
        for event in self._backwards(key, since_ns):
            try:
                if event["type"] == COUNTS:
                    self.buckets.append(self._bucket(term, event["data"]))
                    told_counts, counted = _told(event["data"]), 0
                else:
                    self.made.append(self._made(term, event))
                    counted += event["type"] in COUNTING_TYPES
            except (KeyError, ValueError, TypeError) as error:
                raise RedisError(f"{key} holds an event that cannot be read: {error}") from error
        if told_counts > counted and self._began:
            self.buckets.pop()  # its first events were trimmed: its time is not recorded here

    def _backwards(self, key: str, since_ns: int) -> Iterator[dict[str, Any]]:
        up_to, self._began = "+", False
        while not self._began:
            with failures_for_people():
                page: Any = self._redis.xrevrange(key, max=up_to, count=PAGE_ENTRIES)
            self._began = len(page) < PAGE_ENTRIES
            for _, fields in page:
                if _text(fields[b"type"]) in _OURS:
                    yield msgspec.json.decode(fields[b"event"])
            if page and _moment(msgspec.json.decode(page[-1][1][b"event"])) < since_ns - LATE_NS:
                return
            up_to = f"({_text(page[-1][0])}" if page else up_to

    def _bucket(self, term: int, data: dict[str, Any]) -> Bucket:
        kept = {**data["coverage"], **{name: data[name] for name in BESIDE if name in data}}
        seen = coverage_of(self._camera, int(data["start_ns"]), int(data["end_ns"]), kept)
        return Bucket(term, seen, bool(data.get("unowned")))

    def _made(self, term: int, event: dict[str, Any]) -> Made:
        data, at_ns = event["data"], _moment(event)
        kind, name, direction, rev, class_name = str(total_key(event["type"], data)).split("/", 4)
        where = (kind, name, direction, int(rev), class_name)
        if event["type"] == COUNT_CORRECTED:  # it is of the minute that it says, and of whoever owned it then
            minute_s = _minute_s(int(data["at_ns"]))
            return Made(term, at_ns, Count(self._camera, minute_s, *where, 0, corrected=int(data["amount"])))
        counted_ns = int(data.get("crossed_captured_ns", at_ns))
        return Made(term, counted_ns, Count(self._camera, _minute_s(counted_ns), *where, 1, _tally(data)))


def _told(data: dict[str, Any]) -> int:
    """How many crossings, entries and exits a bucket says it has."""
    lines = [int(n) for line in data["lines"].values() for ways in line.values() for n in ways.values()]
    zones = [int(n) for zone in data["zones"].values() for n in zone.values()]
    return sum(lines) + sum(zones)


def _tally(data: dict[str, Any]) -> Tally:
    if "stands_for" not in data:
        return Tally()
    judgement = Judgement(float(data["confidence"]), float(data["stands_for"]))
    return Tally.of([judgement], bool(data.get("view_moved")))


def _minute_s(at_ns: int) -> int:
    return at_ns // (NS_PER_S * S_PER_MINUTE) * S_PER_MINUTE


def _moment(event: dict[str, Any]) -> int:
    return parse_rfc3339_ns(event["time"])


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
