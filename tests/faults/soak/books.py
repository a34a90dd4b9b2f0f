"""The books of events at the end: made = in the ledger = in each Redis, none lost, none twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ipc.redis_keys import events_key, totals_key
from streamer.ledger import LedgerReader
from tests.faults.soak.box import Box

CROSSED = "streamer.line.crossed.v1"
MANY = 10**9


@dataclass(slots=True)
class Books:
    """Of one camera. `faults` says in a line each what does not add up."""

    camera: str
    made: int  # the highest number that was given
    in_ledger: int
    crossings: int
    in_redis: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def balance(box: Box) -> list[Books]:
    """To be called when no camera runs and everything is delivered."""
    node = box.daemon.status()["node"]
    reader = LedgerReader(box.copy_ledger())
    try:
        return [_of_camera(box, reader, node, name) for name in sorted(reader.cameras())]
    finally:
        reader.close()


def _of_camera(box: Box, reader: LedgerReader, node: str, camera: str) -> Books:
    events = reader.after(camera, None, MANY)
    crossed = [json.loads(event.body)["data"] for event in events if event.type == CROSSED]
    books = Books(camera, max((e.id.seq for e in events), default=0), len(events), len(crossed))
    books.faults += [f"{camera}: {fault}" for fault in (*_numbered(events), *_twice(crossed))]
    totals = reader.totals(camera)
    lines = sum(n for key, n in totals.items() if key.startswith("line/"))
    if lines != len(crossed):
        books.faults.append(f"{camera}: its totals say {lines} crossings, its events {len(crossed)}")
    for sink, client in (("redis", box.daemon.redis()), ("office", box.office())):
        with client:
            books.in_redis[sink] = _compare(box, books, sink, client, node, events, totals)
    return books


def _numbered(events: list[StoredEvent]) -> Iterator[str]:
    """Numbers rise by one from the first: a gap is an event that was made and is lost."""
    numbers = [event.id.seq for event in events]
    wanted = list(range(1, len(numbers) + 1))
    if numbers != wanted:
        lost = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
        twice = len(numbers) - len(set(numbers))
        yield f"the ledger lacks {len(lost)} events ({lost[:5]}) and has {twice} twice"


def _twice(crossed: list[dict[str, Any]]) -> Iterator[str]:
    keys = ("epoch", "track_id", "line", "direction", "crossed_media_ns")
    again = [key for key, n in Counter(tuple(d[k] for k in keys) for d in crossed).items() if n > 1]
    if again:
        yield f"{len(again)} crossings are counted twice, the first {again[0]}"


def _compare(
    box: Box,
    books: Books,
    sink: str,
    client: Any,
    node: str,
    events: list[StoredEvent],
    totals: dict[str, int],
) -> int:
    entries = [EventId.parse(_text(entry)) for entry, _ in client.xrange(events_key(node, books.camera))]
    ids = [event.id for event in events]
    wanted = kept(ids, len(entries), box.stream_max_len)
    if entries != wanted:
        lost, more = len(set(wanted) - set(entries)), len(entries) - len(set(entries) & set(ids))
        books.faults.append(f"{books.camera}: {sink} lacks {lost} events and has {more} that nobody made")
    fields = {_text(k): _text(v) for k, v in client.hgetall(totals_key(node, books.camera)).items()}
    wrong = {key: (fields.get(key), n) for key, n in totals.items() if fields.get(key) != str(n)}
    if wrong:
        books.faults.append(f"{books.camera}: {sink} has other totals: {wrong}")
    return len(entries)


def kept(ids: list[EventId], found: int, max_len: int) -> list[EventId]:
    """What a Redis should have, that has `found`: it may keep some more than it was told to, never fewer."""
    return ids[max(0, len(ids) - max(found, max_len)) :]


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
