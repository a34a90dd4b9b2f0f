"""What counts by minute and closed buckets add up to by quarters of an hour, kept as they are written.

A month of many cameras is a million minutes, and no timezone's hour, day or week begins within a quarter: so
whoever asks by these adds up quarters (`quarter_sums.py`). A bucket is of the quarter in which it begins.
Runs within the transaction of who calls. Raises sqlite3.Error.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec

from streamer.ledger.buckets import Coverage, coverage_of

QUARTER_S = 900  # no timezone's hour, day or week begins within one
MINUTES = QUARTER_S // 60
QUARTER_NS = QUARTER_S * 1_000_000_000
KINDS = ("seen", "gated", "dropped", "offline", "unknown")  # of a bucket's seconds
_MS_PER_S = 1000

TABLES = """
    CREATE TABLE quarters (                        -- what was seen, by quarters of an hour (quarters.py)
        camera INTEGER NOT NULL,
        quarter INTEGER NOT NULL,                  -- Unix time in quarters of an hour
        first_ns INTEGER NOT NULL,                 -- where its first bucket begins and its last one ends,
        last_ns INTEGER NOT NULL,
        covered_ms INTEGER NOT NULL,               -- and how long they are together
        seen_ms INTEGER NOT NULL, gated_ms INTEGER NOT NULL, dropped_ms INTEGER NOT NULL,
        offline_ms INTEGER NOT NULL, unknown_ms INTEGER NOT NULL, moved_ms INTEGER NOT NULL,
        looked_at INTEGER NOT NULL, wanted INTEGER NOT NULL,
        PRIMARY KEY (camera, quarter)
    ) WITHOUT ROWID;
    CREATE TABLE quarter_blind (                   -- and why not the rest
        camera INTEGER NOT NULL, quarter INTEGER NOT NULL, reason TEXT NOT NULL, ms INTEGER NOT NULL,
        PRIMARY KEY (camera, quarter, reason)
    ) WITHOUT ROWID;
    CREATE TABLE quarter_counts (                  -- counts, tallies and corrections by minute, likewise
        camera INTEGER NOT NULL, quarter INTEGER NOT NULL, key TEXT NOT NULL,
        n INTEGER NOT NULL, crossings INTEGER NOT NULL, right_sum INTEGER NOT NULL,
        stands_for_sum INTEGER NOT NULL, moving INTEGER NOT NULL,
        corrected INTEGER NOT NULL,
        PRIMARY KEY (camera, quarter, key)
    ) WITHOUT ROWID;
"""
_OF_MINUTES = f"""
    SELECT camera, minute / {MINUTES} AS quarter, key, sum(n), sum(crossings), sum(right_sum),
        sum(stands_for_sum), sum(moving), sum(corrected) FROM (
            SELECT camera, minute, key, n, 0 AS crossings, 0 AS right_sum, 0 AS stands_for_sum,
                0 AS moving, 0 AS corrected FROM rollups
            UNION ALL SELECT camera, minute, key, 0, crossings, right_sum, stands_for_sum, moving, 0
                FROM tallies
            UNION ALL SELECT camera, minute, key, 0, 0, 0, 0, 0, amount FROM corrections)
    GROUP BY camera, quarter, key
"""


def count(
    db: sqlite3.Connection, camera: int, minute: int, key: str, tally: tuple[int, int, int] | None
) -> None:
    """One more; `tally`: what it adds to right_sum, stands_for_sum and moving, where it has a confidence."""
    row = (1, 1, *tally) if tally is not None else (1, 0, 0, 0, 0)
    _add(db, (camera, minute // MINUTES, key, *row, 0))


def correct(db: sqlite3.Connection, camera: int, minute: int, key: str, amount: int) -> None:
    """A person's correction of a minute."""
    _add(db, (camera, minute // MINUTES, key, 0, 0, 0, 0, 0, amount))


def _add(db: sqlite3.Connection, row: tuple[int | str, ...]) -> None:
    db.execute(
        "INSERT INTO quarter_counts VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n,"
        " crossings=crossings+excluded.crossings, right_sum=right_sum+excluded.right_sum,"
        " stands_for_sum=stands_for_sum+excluded.stands_for_sum, moving=moving+excluded.moving,"
        " corrected=corrected+excluded.corrected",
        row,
    )


def close(db: sqlite3.Connection, camera: int, start_ns: int) -> None:
    """The bucket that begins then was written, or written anew."""
    quarter = start_ns // QUARTER_NS
    rows = db.execute(
        "SELECT start_ns, end_ns, json FROM coverage WHERE camera=? AND start_ns>=? AND start_ns<?",
        (camera, quarter * QUARTER_NS, (quarter + 1) * QUARTER_NS),
    )
    buckets = [coverage_of("", start, end, msgspec.json.decode(text)) for start, end, text in rows]
    _store(db, "REPLACE", camera, quarter, buckets)


def fill(db: sqlite3.Connection) -> None:
    """Make what is missing from what is kept by minute: of a ledger of an older version, or of a salvaged
    one."""
    db.execute(f"INSERT OR IGNORE INTO quarter_counts {_OF_MINUTES}")
    for camera, quarter, buckets in _buckets(db):
        _store(db, "IGNORE", camera, quarter, buckets)


def differing(db: sqlite3.Connection, camera: int) -> Iterator[tuple[int, str, int, int]]:
    """(quarter, key, n, what the minutes add up to) where these differ, of quarters whose minutes are all
    kept."""
    yield from db.execute(
        "WITH minutes AS (SELECT minute / ?2 AS quarter, key, sum(n) AS n FROM rollups WHERE camera=?1"
        " GROUP BY 1, 2), begin AS (SELECT min(minute) / ?2 + 1 AS quarter FROM rollups)"
        " SELECT quarter, key, sum(kept), sum(summed) FROM"
        " (SELECT quarter, key, n AS kept, 0 AS summed FROM quarter_counts WHERE camera=?1"
        "  UNION ALL SELECT quarter, key, 0, n FROM minutes)"
        " WHERE quarter >= (SELECT quarter FROM begin) GROUP BY quarter, key HAVING sum(kept)<>sum(summed)",
        (camera, MINUTES),
    )


def _buckets(db: sqlite3.Connection) -> Iterator[tuple[int, int, list[Coverage]]]:
    """(camera, quarter, its buckets) of all that are kept, read as they come."""
    rows = db.execute("SELECT camera, start_ns, end_ns, json FROM coverage ORDER BY camera, start_ns")
    for (camera, quarter), found in groupby(rows, lambda row: (row[0], row[1] // QUARTER_NS)):
        yield (
            camera,
            quarter,
            [coverage_of("", start, end, msgspec.json.decode(text)) for _, start, end, text in found],
        )


def _store(
    db: sqlite3.Connection, where_there: str, camera: int, quarter: int, buckets: list[Coverage]
) -> None:
    row = (
        *(camera, quarter),
        *(min(b.start_ns for b in buckets), max(b.end_ns for b in buckets)),
        sum(b.end_ns - b.start_ns for b in buckets) // 1_000_000,
        *(_total_ms(b.seconds.get(f"{kind}_s", 0.0) for b in buckets) for kind in KINDS),
        _total_ms(b.moved_s for b in buckets),
        *(sum(b.looked_at for b in buckets), sum(b.wanted for b in buckets)),
    )
    db.execute(f"INSERT OR {where_there} INTO quarters VALUES ({','.join('?' * len(row))})", row)
    if where_there == "REPLACE":
        db.execute("DELETE FROM quarter_blind WHERE camera=? AND quarter=?", (camera, quarter))
    db.executemany(
        f"INSERT OR {where_there} INTO quarter_blind VALUES (?,?,?,?)",
        [(camera, quarter, reason, ms) for reason, ms in _blind_ms(buckets).items()],
    )


def _blind_ms(buckets: list[Coverage]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for bucket in buckets:
        for reason, seconds in bucket.blind.items():
            if seconds:
                sums[reason] = sums.get(reason, 0) + _ms(seconds)
    return sums


def _total_ms(seconds: Iterable[float]) -> int:
    return sum(map(_ms, seconds))


def _ms(seconds: float) -> int:
    return round(_MS_PER_S * seconds)
