"""A month of counts of many cameras, as a ledger's tables hold it: 60 s buckets, two directions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from streamer.ledger import quarters

MINUTES = 30 * 24 * 60
KEYS = ("line/door/in/1/person", "line/door/out/1/person")
EVERY_MINUTES = 3  # has crossings
_KEPT = json.dumps(
    {
        "seen_s": 59.4,
        "gated_s": 0.4,
        "offline_s": 0.0,
        "dropped_s": 0.2,
        "unknown_s": 0.0,
        "blind": {"overloaded": 0.2},
        "frames": {"decoded": 1500, "inferred": 600, "gated": 10, "dropped": {"not_due": 880, "busy": 10}},
    }
)


def fill(ledger: Path, cameras: int) -> int:
    """Returns how many crossings there are. The ledger must not be in use."""
    now = int(time.time()) // 60
    first = now - MINUTES
    with sqlite3.connect(ledger) as db:
        (highest,) = db.execute("SELECT coalesce(max(id), 0) FROM cameras").fetchone()
        ids = range(highest + 1, highest + 1 + cameras)
        db.executemany("INSERT INTO cameras (id, name) VALUES (?,?)", ((n, f"month{n}") for n in ids))
        for n in ids:
            db.executemany("INSERT INTO coverage VALUES (?,?,?,?)", _coverage(n, first))
            db.executemany("INSERT INTO rollups VALUES (?,?,?,?)", _rollups(n, first))
        quarters.fill(db)
        (crossings,) = db.execute("SELECT sum(n) FROM rollups WHERE camera>?", (highest,)).fetchone()
    return int(crossings)


def _coverage(camera: int, first: int) -> Iterator[tuple[int, int, int, str]]:
    for minute in range(first, first + MINUTES):
        yield camera, minute * 60 * 10**9, (minute + 1) * 60 * 10**9, _KEPT


def _rollups(camera: int, first: int) -> Iterator[tuple[int, int, str, int]]:
    for minute in range(first, first + MINUTES, EVERY_MINUTES):
        for at, key in enumerate(KEYS):
            yield camera, minute, key, 1 + (minute + at) % 5
