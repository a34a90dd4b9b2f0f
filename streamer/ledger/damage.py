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
from streamer.ledger import database

log = logging.getLogger(__name__)

ALWAYS_CHECKED_BYTES = 256 << 20
_TABLES = (
    *("meta", "lineages", "lineage_starts", "cameras", "events"),
    *("totals", "rollups", "coverage", "config_revisions"),
)


def check_and_salvage(path: Path, now_ms: int) -> str:
    """Check the file at `path`; return one line that says what was damaged and saved, or "".

    Raise StorageError if the folder does not allow it.
    """
    asked = _asked(path)
    if not path.exists() or path.stat().st_size == 0:
        return ""
    if path.stat().st_size > ALWAYS_CHECKED_BYTES and not asked.exists():
        return ""
    found = fault(path)
    if not found:
        asked.unlink(missing_ok=True)
        return ""
    kept = path.with_name(f"{path.name}.damaged-{now_ms}")
    try:
        for suffix in ("", "-wal", "-shm"):
            if (part := Path(f"{path}{suffix}")).exists():
                os.rename(part, f"{kept}{suffix}")
        saved = _salvage(kept, path, now_ms)
        asked.unlink(missing_ok=True)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"the ledger {path} is damaged ({found}) and cannot be salvaged: {error}; "
            f"restore a backup over it (the damaged file is {kept})"
        ) from error
    text = f"damaged ({found}): {saved} events saved, the damaged file kept as {kept.name}"
    log.error("the ledger was %s", text)
    return text


def fault(path: Path) -> str:
    """What is wrong with the database at `path`, in one line, or "" if it is sound."""
    try:
        db = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        return str(error)
    try:
        lines = [str(row[0]) for row in db.execute("PRAGMA quick_check(5)")]
    except sqlite3.Error as error:
        if database.code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
            return ""  # not damage: the open that follows says it better
        return str(error)
    finally:
        db.close()
    return "" if lines == ["ok"] else " ".join("; ".join(lines).split())[:200]


def ask_for_check(path: Path) -> None:
    """Let the next open check the file, however large it is."""
    _asked(path).touch(mode=0o600)


def backup(path: Path, target: Path) -> int:
    """Copy the ledger at `path`, also while it is written to, and verify the copy; return its bytes.

    Raise StorageError; nothing is left at `target` then, and an existing file is never overwritten.
    """
    if target.exists():
        raise StorageError(f"{target} exists: name a file that does not")
    partial = target.with_name(target.name + ".partial")
    source = database.connect_readonly(path)
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        copy = sqlite3.connect(partial)
        try:
            source.backup(copy)
            (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
        finally:
            copy.close()
        if verdict != "ok":
            raise StorageError(f"the copy of {path} is not sound ({verdict}): the ledger itself is damaged")
        os.rename(partial, target)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"cannot back up {path} to {target}: {error}") from error
    finally:
        source.close()
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def _asked(path: Path) -> Path:
    return path.with_name(f"{path.name}.check")


def _salvage(damaged: Path, path: Path, now_ms: int) -> int:
    """Copy what can be read of `damaged` into a new ledger at `path`; return the number of events."""
    fresh = database.connect(path)
    old = sqlite3.connect(damaged, isolation_level=None)
    try:
        database.migrate(fresh)
        fresh.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            for row in _readable(old, table):
                marks = ",".join("?" * len(row))
                fresh.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
        _mend(fresh, now_ms)
        fresh.execute("COMMIT")
        return int(fresh.execute("SELECT count(*) FROM events").fetchone()[0])
    finally:
        old.close()
        fresh.close()


def _readable(db: sqlite3.Connection, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `table` from both ends up to the first page that cannot be read."""
    for order in ("ASC", "DESC"):
        key = "rowid" if table in ("lineages", "cameras", "events", "config_revisions") else "1"
        try:
            yield from db.execute(f"SELECT * FROM {table} ORDER BY {key} {order}")
            return
        except sqlite3.Error as error:
            log.error("ledger table %s, read %s: %s", table, order, error)


def _mend(db: sqlite3.Connection, now_ms: int) -> None:
    """Make the tables agree with the events that were saved, and begin a new lineage."""
    (newest,) = db.execute("SELECT coalesce(max(lineage), 0) FROM lineages").fetchone()
    db.execute("INSERT INTO lineages VALUES (?, 'salvaged')", (max(now_ms, newest + 1),))
    db.execute(
        "UPDATE cameras SET last_seq = max(last_seq,"
        " coalesce((SELECT max(seq) FROM events e WHERE e.camera = cameras.id), 0))"
    )
    db.execute(
        "INSERT INTO totals SELECT camera, total_key, max(total_value) FROM events"
        " WHERE total_key IS NOT NULL GROUP BY camera, total_key"
        " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
    )
