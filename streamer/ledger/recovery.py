"""A damaged ledger: how it is noticed, what is saved of it, and the verified copy that spares all this.

Noticed at open by SQLite's quick_check: always for a file that is small, for a large one only when a read
or write has stumbled over damage before (a check of gigabytes at every start would cost its own outage).
Every row that can still be read is copied to a new file; the damaged one is kept beside it. What is saved
gets a new lineage, since numbers of lost events may be on the stream already and are given out again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamer.errors import StorageError
from streamer.events.cloudevents import COUNTS
from streamer.ledger import cursors, revisions, schema
from streamer.ledger.refusals import LedgerLocked, code, refusal

log = logging.getLogger(__name__)

ALWAYS_CHECKED_BYTES = 256 << 20
_MAX_PADDED_BYTES = 1 << 40  # a header that states more than this is damaged itself
_PIECE_ROWS = 64
_MAX_EMPTY_PIECES = 50  # pieces in a row without a readable row: the end, where nothing tells it better
_TABLES = (
    *("meta", "lineages", "lineage_starts", "cameras", "events"),
    *("totals", "rollups", "tallies", "coverage", "config_revisions", "paths", "sinks", "cursors"),
    "corrections",
)


def check_and_salvage(path: Path, now_ms: int) -> str:
    """Check the file at `path`; return one line that says what was damaged and saved, or "".

    Raise StorageError if the folder does not allow it.
    """
    asked, salvaged = _beside(path, "check"), _beside(path, "salvaged")
    set_aside = _beside(path, f"damaged-{now_ms}")
    if salvaged.exists():  # killed between the two renames
        _swap(path, salvaged, set_aside)
    if not path.exists() or path.stat().st_size == 0:
        return ""
    if path.stat().st_size > ALWAYS_CHECKED_BYTES and not asked.exists():
        return ""
    damage = fault(path)
    if not damage:
        asked.unlink(missing_ok=True)
        return ""
    try:
        partial = _beside(path, "salvaging")
        for leftover in path.parent.glob(f"{partial.name}*"):
            leftover.unlink()  # by a predecessor that was killed: begun anew
        _pad(path)
        saved = _salvage(path, partial, now_ms)
        os.rename(partial, salvaged)
        _swap(path, salvaged, set_aside)
        asked.unlink(missing_ok=True)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"the ledger {path} is damaged ({damage}) and cannot be salvaged: {error}; "
            "move it away and restore a backup, or begin a new one"
        ) from error
    text = f"damaged ({damage}): {saved} events saved, the damaged file kept as {set_aside.name}"
    log.error("the ledger was %s", text)
    return text


def _swap(path: Path, salvaged: Path, set_aside: Path) -> None:
    """Put `salvaged` in the place of `path`, which becomes `set_aside` with its -wal and -shm."""
    for suffix in ("", "-wal", "-shm"):
        if (part := Path(f"{path}{suffix}")).exists():
            os.rename(part, f"{set_aside}{suffix}")
    os.rename(salvaged, path)


def fault(path: Path) -> str:
    """What is wrong with the database at `path`, in one line, or "" if it is sound."""
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=schema.WRITE_WAIT_S)
    except sqlite3.Error as error:
        return str(error)
    try:
        lines = [str(row[0]) for row in db.execute("PRAGMA quick_check(5)")]
    except sqlite3.Error as error:
        if code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
            return ""  # not damage: the open that follows says it better
        return str(error)
    finally:
        db.close()
    return "" if lines == ["ok"] else " ".join("; ".join(lines).split())[:200]


def ask_for_check(path: Path) -> None:
    """Let the next open check the file, however large it is."""
    _beside(path, "check").touch(mode=0o600)


def backup(path: Path, target: Path) -> int:
    """Copy the ledger at `path`, also while it is written to, and verify the copy; return its bytes.

    Raise StorageError; nothing is left at `target` then, and an existing file is never overwritten.
    """
    if target.exists():
        raise StorageError(f"{target} exists: name a file that does not")
    partial = target.with_name(target.name + ".partial")
    source = schema.connect_readonly(path)
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        copy = sqlite3.connect(partial)
        try:
            source.backup(copy, progress=_while_it_can_be_read)
            (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        finally:
            copy.close()
        if verdict != "ok":
            raise StorageError(f"the copy of {path} is not sound ({verdict}): the ledger itself is damaged")
        os.rename(partial, target)
    except sqlite3.OperationalError as error:
        if isinstance(refused := refusal(path, error, "be read"), LedgerLocked):
            raise refused from error
        raise StorageError(f"cannot back up {path} to {target}: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"cannot back up {path} to {target}: {error}") from error
    finally:
        source.close()
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def _while_it_can_be_read(status: int, _remaining: int, _total: int) -> None:
    """SQLite has waited for the lock as long as the connection says: not once more, without end."""
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        locked = sqlite3.OperationalError("database is locked")
        locked.sqlite_errorcode = status
        raise locked


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _salvage(damaged: Path, target: Path, now_ms: int) -> int:
    """Copy what can be read of `damaged` into a new ledger at `target`; return the number of events."""
    fresh = schema.connect(target)
    old = sqlite3.connect(damaged, isolation_level=None)
    try:
        schema.migrate(fresh)
        fresh.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            for row in _readable(old, table):
                marks = ",".join("?" * len(row))
                fresh.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
        _repair(fresh, now_ms)
        fresh.execute("COMMIT")
        return int(fresh.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        old.close()
        fresh.close()


def _readable(db: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `table` that can be read: of events all, of others from both ends up to the damage."""
    if table == "events":
        yield from _readable_events(db)
        return
    key = "rowid" if table in ("lineages", "cameras", "config_revisions") else "1"
    for order in ("ASC", "DESC"):
        try:
            yield from db.execute(f"SELECT * FROM {table} ORDER BY {key} {order}")
            return
        except sqlite3.Error as error:
            log.error("ledger table %s, read %s: %s", table, order, error)


def _readable_events(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Piece by piece, and row by row where a piece cannot be read."""
    first = nothing = lost = 0
    end = _max_row(db)
    while first <= end if end else nothing < _MAX_EMPTY_PIECES:
        rows, failed = _piece(db, first, first + _PIECE_ROWS)
        lost += failed
        nothing = 0 if rows else nothing + 1
        yield from rows
        if not rows and not failed:  # a stretch of numbers that were pruned: on to the next row
            first = _next_row(db, first) or first + _PIECE_ROWS
        else:
            first += _PIECE_ROWS
    if lost:
        log.error("the ledger's events: %d places could not be read", lost)


def _piece(db: sqlite3.Connection, first: int, end: int) -> tuple[list[tuple[Any, ...]], int]:
    """The rows numbered from `first` up to `end`, and how many of these numbers could not be read."""
    try:
        return db.execute("SELECT * FROM events WHERE id>=? AND id<? ORDER BY id", (first, end)).fetchall(), 0
    except sqlite3.Error:
        if end - first == 1:
            return [], 1
    middle = (first + end) // 2
    low, low_lost = _piece(db, first, middle)
    high, high_lost = _piece(db, middle, end)
    return low + high, low_lost + high_lost


def _max_row(db: sqlite3.Connection) -> int:
    """No row's number is above this: each event took one number of a camera's sequence. 0: not known."""
    try:
        return int(db.execute("SELECT coalesce(sum(last_seq), 0) FROM cameras").fetchone()[0])
    except sqlite3.Error:
        return 0


def _next_row(db: sqlite3.Connection, after: int) -> int | None:
    try:
        row = db.execute("SELECT id FROM events WHERE id>=? ORDER BY id LIMIT 1", (after,)).fetchone()
    except sqlite3.Error:
        return None
    return int(row[0]) if row else None


def _pad(path: Path) -> None:
    """Give a file that was cut off the size that its header states: SQLite reads nothing of a shorter one.

    https://www.sqlite.org/fileformat2.html: page size at byte 16, number of pages at byte 28, big-endian.
    """
    with open(path, "rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3"):
        return
    page_bytes = int.from_bytes(header[16:18], "big")
    stated = (65536 if page_bytes == 1 else page_bytes) * int.from_bytes(header[28:32], "big")
    if path.stat().st_size < stated <= _MAX_PADDED_BYTES:
        os.truncate(path, stated)


def _repair(db: sqlite3.Connection, now_ms: int) -> None:
    """Make the tables agree with the events that were saved, and begin a new lineage."""
    (newest,) = db.execute("SELECT coalesce(max(lineage), 0) FROM lineages").fetchone()
    db.execute("INSERT INTO lineages VALUES (?, 'salvaged')", (max(now_ms, newest + 1),))
    db.execute(  # cameras whose row was lost: their events know the name
        "INSERT OR IGNORE INTO cameras (id, name, bucket_seq)"
        " SELECT camera, json_extract(body, '$.data.camera'), max(iif(type = ?, seq, 0)) FROM events"
        " WHERE camera NOT IN (SELECT id FROM cameras) AND json_valid(body) GROUP BY camera",
        (COUNTS,),
    )
    db.execute(
        "UPDATE cameras SET last_seq = max(last_seq,"
        " coalesce((SELECT max(seq) FROM events e WHERE e.camera = cameras.id), 0))"
    )
    revisions.fill(db)
    if not db.execute("SELECT 1 FROM sinks").fetchone():  # the file was of version 3, or lost the table
        for statement in filter(str.strip, cursors.UPGRADE.split(";")):
            db.execute(statement)
    db.execute(
        "INSERT INTO totals SELECT camera, total_key, total_value FROM"
        " (SELECT camera, total_key, total_value, max(seq) FROM events"  # the row of the greatest seq
        "  WHERE total_key IS NOT NULL GROUP BY camera, total_key) WHERE true"
        " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
    )
