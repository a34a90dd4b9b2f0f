"""The rows of what was counted and seen, under the names that they were written with: by minutes and closed
buckets, and where those are kept by quarters of an hour.

The functions take any connection. They raise what it raises.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from pipelines.count.confidence import Tally
from streamer.ledger import quarter_sums
from streamer.ledger.buckets import Coverage, coverage_of
from streamer.ledger.quarter_sums import Span
from streamer.ledger.quarters import QUARTER_NS, QUARTER_S

NS_PER_S = 1_000_000_000
S_PER_MINUTE = 60
MAX_BUCKET_NS = 86_400 * NS_PER_S  # no bucket is longer


class Count(NamedTuple):
    """How often something happened in one minute. `kind` is "line" or "zone"."""

    camera: str
    start_s: int  # Unix time of the minute
    kind: str
    name: str
    direction: str
    rule_rev: int
    class_name: str
    n: int
    tally: Tally = Tally()  # of those that have a confidence: of lines, not of older versions
    corrected: int = 0  # by people, beside `n`


def counts(db: sqlite3.Connection, since_s: int, until_s: int, camera: str | None) -> Iterator[Count]:
    """Counts by minute, from the rollups: they outlive pruned events. A minute
    that was corrected and has no count of its own comes after the others.
    """
    corrected = _corrected(db, since_s, until_s, camera)
    rows = db.execute(
        "SELECT c.name, r.minute * 60 AS start_s, r.key, sum(r.n), sum(t.crossings),"
        " sum(t.right_sum), sum(t.stands_for_sum), sum(t.moving)"
        " FROM rollups r JOIN cameras c ON c.id=r.camera"
        " LEFT JOIN tallies t ON t.camera=r.camera AND t.minute=r.minute AND t.key=r.key"
        " WHERE r.minute>=?1 AND r.minute*60<?2 AND (?3 IS NULL OR c.name=?3)"
        " GROUP BY c.name, start_s, r.key ORDER BY c.name, start_s, r.key",
        (since_s // S_PER_MINUTE, until_s, camera),
    )
    for name, start_s, key, n, crossings, right, stands_for, moving in rows:
        tally = Tally(crossings, right / 1e3, stands_for / 1e3, moving) if crossings else Tally()
        yield _count(name, start_s, key, n, tally, corrected.pop((name, start_s, key), 0))
    for (name, start_s, key), amount in corrected.items():
        yield _count(name, start_s, key, 0, Tally(), amount)


def _corrected(
    db: sqlite3.Connection, since_s: int, until_s: int, camera: str | None
) -> dict[tuple[str, int, str], int]:
    """By camera, the Unix second of the minute, and total's key."""
    rows = db.execute(
        "SELECT c.name, x.minute * 60, x.key, sum(x.amount) FROM corrections x"
        " JOIN cameras c ON c.id=x.camera WHERE x.minute>=?1 AND x.minute*60<?2"
        " AND (?3 IS NULL OR c.name=?3) GROUP BY 1, 2, 3",
        (since_s // S_PER_MINUTE, until_s, camera),
    )
    return {(name, start_s, key): amount for name, start_s, key, amount in rows}


def counts_by(
    db: sqlite3.Connection, spans: Sequence[Span], since_s: int, until_s: int, camera: str | None
) -> Iterator[Count]:
    """Counts from `since_s` to before `until_s`, of the periods of `spans`; what lies before the first
    and after the last of these by minute.
    """
    if not spans:
        yield from counts(db, since_s, until_s, camera)
        return
    begin_s, end_s = spans[0].first * QUARTER_S, spans[-1].end * QUARTER_S
    yield from counts(db, since_s, begin_s, camera)
    rows = quarter_sums.counts(db, spans, camera)
    for name, start_s, key, n, crossings, right, stands_for, moving, corrected in rows:
        tally = Tally(crossings, right / 1e3, stands_for / 1e3, moving) if crossings else Tally()
        yield _count(name, start_s, key, n, tally, corrected)
    yield from counts(db, end_s, until_s, camera)


def coverage(db: sqlite3.Connection, since_ns: int, until_ns: int, camera: str | None) -> Iterator[Coverage]:
    """What was seen of each closed bucket that ends after `since_ns` and begins before `until_ns`."""
    rows = db.execute(
        "SELECT c.name, v.start_ns, v.end_ns, v.json FROM coverage v JOIN cameras c ON c.id=v.camera"
        " WHERE v.start_ns>? AND v.end_ns>? AND v.start_ns<? AND (?4 IS NULL OR c.name=?4)"
        " ORDER BY c.name, v.start_ns",
        (since_ns - MAX_BUCKET_NS, since_ns, until_ns, camera),
    )
    for name, start_ns, end_ns, text in rows:
        yield coverage_of(name, start_ns, end_ns, msgspec.json.decode(text))


def coverage_by(
    db: sqlite3.Connection, spans: Sequence[Span], since_ns: int, until_ns: int, camera: str | None
) -> Iterator[Coverage]:
    """What was seen, camera by camera in the order of time: of the periods of `spans`, and before and
    after these of each closed bucket, as coverage() has them."""
    if not spans:
        yield from coverage(db, since_ns, until_ns, camera)
        return
    begin_ns, end_ns = spans[0].first * QUARTER_NS, spans[-1].end * QUARTER_NS
    before = list(coverage(db, since_ns, begin_ns, camera))
    found = quarter_sums.coverage(db, spans, camera)
    after = list(coverage(db, end_ns, until_ns, camera))
    after = [bucket for bucket in after if bucket.start_ns >= end_ns]
    for name in sorted({*found, *(bucket.camera for bucket in (*before, *after))}):
        yield from (bucket for bucket in before if bucket.camera == name)
        yield from found.get(name, ())
        yield from (bucket for bucket in after if bucket.camera == name)


def _count(camera: str, start_s: int, key: str, n: int, tally: Tally, corrected: int) -> Count:
    kind, name, direction, rev, class_name = key.split("/", 4)
    return Count(camera, start_s, kind, name, direction, int(rev), class_name, n, tally, corrected)
