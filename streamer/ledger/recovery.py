"""A damaged ledger: how it is noticed, what is saved of it, and the verified copy that spares all this.

Noticed at open by SQLite's own check and by what the rows say themselves (row_check.py): always for a file
that is small, for a large one only when a read or write has stumbled over damage before (a check of gigabytes
at every start would cost its own outage). Every row that is still what was written is copied to a new file;
the damaged one is kept beside it. What is saved gets a new lineage, since numbers of lost events may be on
the stream already. An end that is missing is noticed by the high-water mark (high_water.py), whatever the
size. What was found is kept in the ledger, for `streamer ledger status` and `streamer doctor`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from streamer.errors import StorageError
from streamer.events.cloudevents import COUNTS, rfc3339
from streamer.ledger import (
    cursors,
    digests,
    high_water,
    quarters,
    revisions,
    row_check,
    schema,
    schema_copy,
    schema_mend,
)
from streamer.ledger.high_water import Mark
from streamer.ledger.refusals import LedgerLocked, code, refusal
from streamer.ledger.row_check import UNREADABLE

log = logging.getLogger(__name__)

ALWAYS_CHECKED_BYTES = 256 << 20
ALWAYS_READ_BYTES = 64 << 20  # up to this size also what the rows say is read, at some 50 MB a second
_MAX_PADDED_BYTES = 1 << 40  # a header that states more than this is damaged itself
_PIECE_ROWS = 64
_MAX_EMPTY_PIECES = 50  # pieces in a row without a readable row: the end, where nothing tells it better
_TABLES = (
    *("meta", "lineages", "lineage_starts", "cameras", "events"),
    *("totals", "rollups", "tallies", "coverage", "config_revisions", "paths", "sinks", "cursors"),
    *("corrections", "quarters", "quarter_blind", "quarter_counts", "renames"),
)
_DAMAGE = "damage"  # the key in `meta`


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
    mended = _mend_file(path)
    if path.stat().st_size > ALWAYS_CHECKED_BYTES and not asked.exists():
        return mended
    damage = fault(path, rows=asked.exists() or path.stat().st_size <= ALWAYS_READ_BYTES)
    if not damage:
        asked.unlink(missing_ok=True)
        return mended
    try:
        partial = _beside(path, "salvaging")
        for leftover in path.parent.glob(f"{partial.name}*"):
            leftover.unlink()  # by a predecessor that was killed: begun anew
        _pad(path)
        _mend_schema(path)
        saved = _salvage(path, partial, now_ms, damage)
        os.rename(partial, salvaged)
        _swap(path, salvaged, set_aside)
        asked.unlink(missing_ok=True)
    except (*UNREADABLE, OSError) as error:
        raise StorageError(
            f"the ledger {path} is damaged ({damage}) and cannot be salvaged: {error}; "
            "move it away and restore a backup, or begin a new one"
        ) from error
    text = f"was damaged ({damage}): {saved}, the damaged file kept as {set_aside.name}"
    log.error("the ledger %s", text)
    return text


def _mend_file(path: Path) -> str:
    """Put back what is known byte by byte: the file's header, the schema's pages; say it in a line."""
    try:
        known = {"its header": schema_mend.mend_header(path), "its schema": schema_copy.put_back(path)}
    except OSError as error:
        raise StorageError(f"cannot open the ledger {path}: {error}; check its folder and space") from error
    parts = " and ".join(part for part, mended in known.items() if mended)
    if not parts:
        return ""
    text = f"was damaged: {parts}, which is put back"
    log.error("the ledger %s %s", path, text)
    return text


def _mend_schema(path: Path) -> None:
    try:
        if schema_mend.mend(path):
            log.error("the ledger's schema was damaged and is put back")
    except UNREADABLE as error:
        log.error("the ledger's schema cannot be read: %s", error)


def _swap(path: Path, salvaged: Path, set_aside: Path) -> None:
    """Put `salvaged` in the place of `path`, which becomes `set_aside` with its -wal and -shm."""
    for suffix in ("", "-wal", "-shm"):
        if (part := Path(f"{path}{suffix}")).exists():
            os.rename(part, f"{set_aside}{suffix}")
    os.rename(salvaged, path)


def fault(path: Path, rows: bool = True) -> str:
    """What is wrong with the database at `path`, in one line, or "" if it is sound. `rows`: ask them too."""
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=schema.WRITE_WAIT_S)
    except sqlite3.Error as error:
        return str(error)
    try:
        lines = [str(row[0]) for row in db.execute("PRAGMA integrity_check(5)")]
        if lines == ["ok"] and rows and (unsound := _unsound(db)):
            lines = [unsound]
    except UnicodeDecodeError as error:
        return str(error)
    except sqlite3.Error as error:
        if code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY):
            return ""  # not damage: the open that follows says it better
        return str(error)
    finally:
        db.close()
    return "" if lines == ["ok"] else " ".join("; ".join(lines).split())[:200]


def _unsound(db: sqlite3.Connection) -> str:
    """What the rows of a file of sound form say against it, or ""."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if text := schema_mend.fault(db):
        return text
    if text := row_check.RowCheck(db).first_fault([table for table in _TABLES if table in there]):
        return text
    if {"totals", "rollups", "events", "corrections"} <= there:
        for _, key, value, right in row_check.disagreeing_totals(db):
            return f"the total of {key} is {value}, its events and minutes say {right}"
    return ""


def recorded_damage(db: sqlite3.Connection) -> dict[str, Any] | None:
    """`at` (RFC 3339) and `text` of the last damage that was found, or None. Raises what `db` raises."""
    row = db.execute("SELECT value FROM meta WHERE key=?", (_DAMAGE,)).fetchone()
    if row is None:
        return None
    at_ms, _, text = row[0].partition(" ")
    return {"at": rfc3339(int(at_ms) * 1_000_000), "text": text}


def record_damage(db: sqlite3.Connection, now_ms: int, text: str) -> None:
    """Keep one line for people to see. Raises sqlite3.Error."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DAMAGE, f"{now_ms} {text}"))


def went_back(db: sqlite3.Connection, mark: Mark | None, node: str, lineage: int) -> dict[str, int]:
    """By how many numbers each camera stands before the mark of the same ledger. A mark of another node's, or
    from before a ledger that has cameras of its own, says nothing.
    """
    last = dict(db.execute("SELECT name, last_seq FROM cameras").fetchall())
    if mark is None or mark.node != node or (last and mark.lineage < lineage):
        return {}
    return {name: seq - last.get(name, 0) for name, seq in mark.last_seq.items() if seq > last.get(name, 0)}


def is_of_this(db: sqlite3.Connection, mark: Mark, node: str) -> bool:
    """Whether `mark` says that the ledger is of `node`, whatever it says of itself."""
    known = db.execute("SELECT 1 FROM lineages WHERE lineage=?", (mark.lineage,)).fetchone()
    return mark.node == node and known is not None


def begin_after(db: sqlite3.Connection, mark: Mark, back: Mapping[str, int], now_ms: int) -> str:
    """Go on after the numbers of `mark`, in a new lineage; return one line for people. In the transaction of
    who calls. Raises sqlite3.Error.
    """
    _raise_numbers(db, mark)
    (newest,) = db.execute("SELECT max(lineage) FROM lineages").fetchone()
    lineage = max(now_ms, newest + 1, mark.lineage + 1)
    db.execute("INSERT INTO lineages VALUES (?, 'went back')", (lineage,))
    cameras = ", ".join(f"{name} {count}" for name, count in sorted(back.items()))
    text = (
        f"ended early: events that were committed are not in it ({cameras}); its end was lost, or an older "
        "copy was put in its place. Numbers go on after them, under a new incarnation"
    )
    record_damage(db, now_ms, text)
    return text


def _raise_numbers(db: sqlite3.Connection, mark: Mark) -> None:
    """No camera goes on before where it was."""
    for name, seq in mark.last_seq.items():
        db.execute("INSERT OR IGNORE INTO cameras (name) VALUES (?)", (name,))
        db.execute("UPDATE cameras SET last_seq=max(last_seq, ?) WHERE name=?", (seq, name))


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


def _salvage(damaged: Path, target: Path, now_ms: int, why: str) -> str:
    """Copy what can be read of `damaged` into a new ledger at `target`; return what was saved and lost."""
    fresh = schema.connect(target)
    old = sqlite3.connect(damaged, isolation_level=None)
    try:
        schema.migrate(fresh)
        fresh.execute("BEGIN IMMEDIATE")
        reader = _Salvage(old)
        for table in _TABLES:
            for row in reader.rows(table):
                marks = ",".join("?" * len(row))
                fresh.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
        _repair(fresh, now_ms, high_water.read(damaged), trust_totals=reader.lost > 0)
        _seal(fresh)
        (saved,) = fresh.execute("SELECT count(*) FROM events").fetchone()
        text = f"{saved} events saved" + (f", {reader.lost} lost" if reader.lost else "")
        record_damage(fresh, now_ms, f"was damaged ({why}): {text}; the damaged file is kept beside it")
        fresh.execute("COMMIT")
        return text
    finally:
        old.close()
        fresh.close()


class _Salvage:
    """Reads a damaged file. `lost` are the events that were there and are not what was written."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._check = row_check.RowCheck(db)
        self.lost = 0

    def rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """Those of `table` that are as they were: of events all, of others from both ends up to a damage."""
        fits = self._check.of(table)
        if table == "events":
            for row in _readable_events(self._db):
                if fits(row):
                    yield row
                else:
                    self.lost += 1
            return
        key = "rowid" if table in ("lineages", "cameras", "config_revisions") else "1"
        for order in ("ASC", "DESC"):
            try:
                yield from filter(fits, self._db.execute(f"SELECT * FROM {table} ORDER BY {key} {order}"))
                return
            except UNREADABLE as error:
                log.error("ledger table %s, read %s: %s", table, order, error)


def _seal(db: sqlite3.Connection) -> None:
    """Give every event that was saved its digest."""
    rows = db.execute(f"SELECT id, {digests.EVENT_COLUMNS} FROM events").fetchall()
    for row_id, *columns in rows:
        digests.store(db, row_id, columns)


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
    except UNREADABLE:
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
    except UNREADABLE:
        return 0


def _next_row(db: sqlite3.Connection, after: int) -> int | None:
    try:
        row = db.execute("SELECT id FROM events WHERE id>=? ORDER BY id LIMIT 1", (after,)).fetchone()
    except UNREADABLE:
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


def _repair(db: sqlite3.Connection, now_ms: int, mark: Mark | None, trust_totals: bool) -> None:
    """Make the tables agree with the events that were saved, and begin a new lineage. Totals are not lowered
    where `trust_totals`: the events behind them may be among those that were lost.
    """
    (newest,) = db.execute("SELECT coalesce(max(lineage), 0) FROM lineages").fetchone()
    if mark is not None and mark.lineage < newest:
        mark = None  # of the ledger before this one
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
    if mark is not None:
        _raise_numbers(db, mark)
        newest = max(newest, mark.lineage)
    db.execute("INSERT INTO lineages VALUES (?, 'salvaged')", (max(now_ms, newest + 1),))
    revisions.fill(db)
    quarters.fill(db)
    if not db.execute("SELECT 1 FROM sinks").fetchone():  # the file was of version 3, or lost the table
        for statement in filter(str.strip, cursors.UPGRADE.split(";")):
            db.execute(statement)
    db.execute(
        "INSERT INTO totals SELECT camera, total_key, total_value FROM"
        " (SELECT camera, total_key, total_value, max(seq) FROM events"  # the row of the greatest seq
        "  WHERE total_key IS NOT NULL GROUP BY camera, total_key) WHERE true"
        " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
    )
    for camera, key, value, right in () if trust_totals else row_check.disagreeing_totals(db):
        log.error("the total of %s was %d, and is %d by its events and minutes", key, value, right)
        db.execute("UPDATE totals SET value=? WHERE camera=? AND key=?", (right, camera, key))
