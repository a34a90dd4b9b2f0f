"""What makes room in the ledger: a budget of bytes, an age, and the order in which events go.

Only events that every sink has (cursors.py) are pruned, oldest first, and with them what they alone refer to
(revisions.py). Tracks may have a shorter life: of their events a number in the sequence is left (pruning.py).
Counts by minute and by quarters of an hour and totals go by age; only where hardly an event is left in a full
file do the oldest minutes go for want of room, and after these the oldest quarters. The file's size is capped
by SQLite itself (max_page_count); pages that pruning frees are used again, so the file never shrinks and
never passes it.
"""

from __future__ import annotations

import sqlite3

from streamer.ledger import pruning, quarter_sums, revisions
from streamer.ledger.quarters import MINUTES, QUARTER_NS
from streamer.ledger.schema import PAGE_BYTES

NS_PER_DAY = 86_400_000_000_000
NS_PER_MINUTE = 60_000_000_000
_WAL_BYTES = 8 << 20  # what the WAL may take of the budget ...
_WAL_SHARE = 4  # ... but at most this part of it
_HIGH_WATER = 0.90  # from this share of its pages on, each commit prunes about twice what it adds
_CHUNK_ROWS = 500  # rows pruned in one go, so that no commit waits long
_ROLLUP_EVERY_NS = 3_600_000_000_000
_MIN_EVENTS = 1000  # events that are left where it is not they that fill the file
_MIN_MINUTES = 1440  # of counts by minute, whatever fills the file


class Retention:
    """Prunes on the writer's connection, inside its transactions where the caller has one open."""

    def __init__(
        self, db: sqlite3.Connection, max_bytes: int, retention_days: float, tracks_days: float | None = None
    ) -> None:
        self.pruned = 0
        self._db = db
        self._rollups_at_ns = 0
        self.set_limits(max_bytes, retention_days, tracks_days)

    def set_limits(self, max_bytes: int, retention_days: float, tracks_days: float | None = None) -> None:
        """`max_bytes` is for the file and its WAL together. A larger file stays and is pruned. `tracks_days`
        is for tracks and their paths, where they go before events do.
        """
        self.max_bytes = max_bytes
        self.retention_days = retention_days
        self.tracks_days = tracks_days
        wal_bytes = min(_WAL_BYTES, max_bytes // _WAL_SHARE)
        self._max_pages = max(64, (max_bytes - wal_bytes) // PAGE_BYTES)
        self._db.execute(f"PRAGMA max_page_count={self._max_pages}")
        self._db.execute(f"PRAGMA wal_autocheckpoint={max(16, wal_bytes // PAGE_BYTES // 2)}")
        self._db.execute(f"PRAGMA journal_size_limit={wal_bytes}")

    def prune_ahead(self, coming: int) -> None:
        """In the transaction that adds `coming` events: prune more than that if the file is nearly full."""
        if self._used_share() >= _HIGH_WATER:
            self._prune(min(_CHUNK_ROWS, 2 * coming + 16), "room")

    def prune_now(self) -> bool:
        """In a transaction of its own; return whether anything went."""
        self._db.execute("BEGIN IMMEDIATE")
        gone = self._prune(_CHUNK_ROWS, "room") or self._prune_minutes()
        self._db.execute("COMMIT")
        return gone > 0

    def prune_old(self, now_ns: int) -> bool:
        """Prune what is older than the retention, a chunk a call; rollups, coverage and what is left of rules
        that are gone once an hour. Return whether running totals went.
        """
        before_ns = now_ns - int(self.retention_days * NS_PER_DAY)
        oldest = self._oldest_delivered()
        if oldest is not None and not before_ns <= oldest[2] <= now_ns:
            self._db.execute("BEGIN IMMEDIATE")
            self._prune(_CHUNK_ROWS, "age", before_ns, now_ns)
            self._db.execute("COMMIT")
        if self.tracks_days is not None and self.tracks_days < self.retention_days:
            self._erase_tracks(now_ns - int(self.tracks_days * NS_PER_DAY))
        if now_ns - self._rollups_at_ns >= _ROLLUP_EVERY_NS:
            self._rollups_at_ns = now_ns
            self._db.execute("BEGIN IMMEDIATE")
            self._delete_minutes(before_ns // NS_PER_MINUTE)
            self._db.execute("DELETE FROM coverage WHERE start_ns < ?", (before_ns,))
            self._delete_quarters(before_ns // QUARTER_NS)
            gone = self._prune_rules()
            self._db.execute("COMMIT")
            return gone > 0
        return False

    def _used_share(self) -> float:
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return float((pages - free) / self._max_pages)

    def _oldest_delivered(self) -> tuple[int, int, int] | None:
        """(camera, delivered, captured_ns) of the delivered event that was committed first."""
        rows = []
        for camera, delivered in self._db.execute("SELECT id, delivered FROM cameras").fetchall():
            row = self._db.execute(
                "SELECT id, captured_ns FROM events WHERE camera=? AND seq<=? ORDER BY seq LIMIT 1",
                (camera, delivered),
            ).fetchone()
            if row:
                rows.append((row[0], (camera, delivered, row[1])))
        return min(rows)[1] if rows else None

    def _prune(
        self, count: int, reason: pruning.Reason, before_ns: int | None = None, now_ns: int = 0
    ) -> int:
        """Delete up to `count` delivered events of the camera whose are oldest; return how many went."""
        oldest = self._oldest_delivered()
        if oldest is None:
            return 0
        camera, delivered, _ = oldest
        last = (
            delivered if before_ns is None else pruning.last_old(self._db, camera, count, before_ns, now_ns)
        )
        gone = pruning.delete(self._db, camera, min(last, delivered), count, reason)
        if gone and revisions.release(self._db):
            revisions.prune(self._db)
        self.pruned += gone
        return gone

    def _erase_tracks(self, before_ns: int) -> None:
        due = pruning.old_tracks(self._db, before_ns, _CHUNK_ROWS)
        if due:
            self._db.execute("BEGIN IMMEDIATE")
            pruning.erase(self._db, due)
            self._db.execute("COMMIT")

    def _prune_rules(self) -> int:
        """Totals and revisions of what is not configured any more; return how many totals."""
        gone = revisions.prune_totals(self._db)
        revisions.release(self._db)
        revisions.prune(self._db)
        return gone

    def _delete_minutes(self, before: int) -> int:
        """The counts of the minutes before one; return how many rows of them."""
        self._db.execute("DELETE FROM tallies WHERE minute < ?", (before,))
        self._db.execute(  # its event tells by how much the total was raised
            "DELETE FROM corrections WHERE minute < ? AND NOT EXISTS"
            " (SELECT 1 FROM events e WHERE e.camera=corrections.camera AND e.seq=corrections.seq)",
            (before,),
        )
        return self._db.execute("DELETE FROM rollups WHERE minute < ?", (before,)).rowcount

    def _prune_minutes(self) -> int:
        """The oldest tenth of the counts by minute, where they and not events fill the file."""
        (left,) = self._db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM events LIMIT ?)", (_MIN_EVENTS,)
        ).fetchone()
        first, last = self._db.execute("SELECT min(minute), max(minute) FROM rollups").fetchone()
        if left >= _MIN_EVENTS or first is None:
            return 0
        if last - first <= _MIN_MINUTES:
            return self._prune_quarters()
        before = min(first + (last - first) // 10 + 1, last - _MIN_MINUTES)
        gone = self._delete_minutes(before)
        self._db.execute("DELETE FROM coverage WHERE start_ns < ?", (before * NS_PER_MINUTE,))
        self._prune_rules()
        return gone

    def _delete_quarters(self, before: int) -> int:
        """What is kept by quarters of an hour before one; return how many rows of it."""
        return sum(
            self._db.execute(f"DELETE FROM {table} WHERE quarter < ?", (before,)).rowcount
            for table in ("quarters", "quarter_blind", "quarter_counts")
        )

    def _prune_quarters(self) -> int:
        """The oldest tenth of them that are of before the last day, where they fill the file."""
        kept = quarter_sums.ends(self._db)
        if kept is None or kept[1] - kept[0] <= _MIN_MINUTES // MINUTES:
            return 0
        first, end = kept
        return self._delete_quarters(min(first + (end - first) // 10 + 1, end - _MIN_MINUTES // MINUTES))
