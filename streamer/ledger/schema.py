"""The ledger's file: its tables, the migrations between versions, and how it is opened.

Reference: https://www.sqlite.org/wal.html. With synchronous=FULL a commit is on the disk when it returns.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from streamer.errors import StorageError
from streamer.ledger import cursors, quarters, renames, revisions
from streamer.ledger.refusals import LedgerLocked, refusal

PAGE_BYTES = 4096
WRITE_WAIT_S = 0.25  # for another program's lock: the writer's heart beats between its attempts
READ_WAIT_S = 5.0

# One entry a version; entry i leads from version i to i + 1. Entries are only ever added.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE lineages (lineage INTEGER PRIMARY KEY, reason TEXT NOT NULL);
    CREATE TABLE lineage_starts (                  -- where in a camera's sequence a lineage begins
        camera INTEGER NOT NULL, lineage INTEGER NOT NULL, first_seq INTEGER NOT NULL,
        PRIMARY KEY (camera, lineage)
    ) WITHOUT ROWID;
    CREATE TABLE cameras (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        last_seq INTEGER NOT NULL DEFAULT 0,
        delivered INTEGER NOT NULL DEFAULT 0,      -- every sink has all up to this seq (cursors.py)
        bucket_seq INTEGER NOT NULL DEFAULT 0,     -- seq of the last counts event
        bucket_end_ns INTEGER NOT NULL DEFAULT 0   -- where that bucket ended
    );
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,                    -- order of commit
        camera INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        lineage INTEGER NOT NULL,
        type TEXT NOT NULL,
        captured_ns INTEGER NOT NULL,
        total_key TEXT,                            -- the running total this event raised ...
        total_value INTEGER,                       -- ... to this value
        body TEXT NOT NULL,                        -- the CloudEvent
        UNIQUE (camera, seq)
    );
    CREATE TABLE totals (
        camera INTEGER NOT NULL, key TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (camera, key)
    ) WITHOUT ROWID;
    CREATE TABLE rollups (                         -- the same counts by minute, kept longer than events
        camera INTEGER NOT NULL, minute INTEGER NOT NULL, key TEXT NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (camera, minute, key)
    ) WITHOUT ROWID;
    CREATE TABLE coverage (                        -- of each closed bucket: how much of it was seen
        camera INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, json TEXT NOT NULL,
        PRIMARY KEY (camera, start_ns)
    ) WITHOUT ROWID;
    CREATE TABLE config_revisions (rev INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, json TEXT NOT NULL);
    """,
    """
    CREATE TABLE paths (                           -- of tracks that ended (trajectory_codec.py)
        camera INTEGER NOT NULL,
        seq INTEGER NOT NULL,                      -- of the track's event, with which it is pruned
        epoch INTEGER NOT NULL,
        track_id INTEGER NOT NULL,
        first_ns INTEGER NOT NULL,                 -- of its first and last place, by the box's clock
        last_ns INTEGER NOT NULL,
        trace BLOB NOT NULL,
        PRIMARY KEY (camera, seq)
    );
    CREATE INDEX paths_by_time ON paths (camera, last_ns);
    """,
    """
    CREATE TABLE revision_starts (                 -- from which event of a camera on a revision was in force
        camera INTEGER NOT NULL, first_seq INTEGER NOT NULL, config_rev INTEGER NOT NULL,
        PRIMARY KEY (camera, first_seq)
    ) WITHOUT ROWID;
    """,
    f"""
    CREATE TABLE sinks (name TEXT PRIMARY KEY) WITHOUT ROWID;  -- those that events are kept for
    CREATE TABLE cursors (                         -- how far a sink has a camera
        sink TEXT NOT NULL, camera INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (sink, camera)
    ) WITHOUT ROWID;
    {cursors.UPGRADE}
    """,
    """
    CREATE TABLE tallies (                         -- of the rollups' crossings that have a confidence
        camera INTEGER NOT NULL, minute INTEGER NOT NULL, key TEXT NOT NULL,
        crossings INTEGER NOT NULL,
        right_sum INTEGER NOT NULL,                -- sum of the confidences, in thousandths,
        stands_for_sum INTEGER NOT NULL,           -- and of what they stand for, likewise
        moving INTEGER NOT NULL,                   -- of the crossings: while the view had moved
        PRIMARY KEY (camera, minute, key)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE digests (                         -- of each event's row (digests.py)
        event INTEGER PRIMARY KEY, digest INTEGER NOT NULL
    );
    """,
    """
    CREATE TABLE corrections (                     -- by a person, beside the counts by minute
        camera INTEGER NOT NULL,
        seq INTEGER NOT NULL,                      -- of the correction's event
        minute INTEGER NOT NULL,                   -- that is corrected
        key TEXT NOT NULL,
        amount INTEGER NOT NULL,
        PRIMARY KEY (camera, seq)
    ) WITHOUT ROWID;
    """,
    """
    CREATE INDEX alerts ON events (camera, seq) WHERE type='streamer.alert.v1';
    """,
    quarters.TABLES,
    renames.TABLE,
)
# What a step needs beside its statements, by the version that it leads to. Tables keep their columns, so that
# the rows of a damaged file of any version fit (recovery.py).
_FURTHER: dict[int, Callable[[sqlite3.Connection], None]] = {3: revisions.upgrade, 9: quarters.fill}
SCHEMA_VERSION = len(MIGRATIONS)


def connect(path: Path) -> sqlite3.Connection:
    """Open `path` for writing, making it (0600, in a folder of 0700) if it is not there.

    Raise OSError or sqlite3.Error.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.chmod(path, 0o600)  # SQLite gives -wal and -shm the mode of the file
    db = sqlite3.connect(path, isolation_level=None, timeout=WRITE_WAIT_S)
    try:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA temp_store=MEMORY")
    except sqlite3.Error:
        db.close()
        raise
    return db


class Reading(sqlite3.Connection):
    """A connection whose errors are ours: StorageError, in one line that says what to do."""

    path: Path

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor(_ReadingCursor).execute(sql, parameters)


class _ReadingCursor(sqlite3.Cursor):
    connection: Reading

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        with self._ours():
            return super().execute(sql, parameters)

    def fetchone(self) -> Any:
        with self._ours():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with self._ours():
            return super().fetchall()

    def __next__(self) -> Any:
        with self._ours():
            return super().__next__()

    @contextmanager
    def _ours(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise refusal(self.connection.path, error, "be read") from error


def connect_readonly(path: Path) -> Reading:
    """Open `path` without being able to change it. Raise StorageError, as everything asked of it does."""
    if not path.exists():
        raise StorageError(f"no ledger at {path}: it is made when the daemon runs for the first time")
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=READ_WAIT_S,
            factory=Reading,
        )
    except sqlite3.Error as error:
        raise refusal(path, error, "be read") from error
    db.path = path
    return db


def refuse_locked(path: Path) -> None:
    """Raise LedgerLocked if another program holds the lock of the file at `path`. Other errors are for the
    open that follows, which says them better.
    """
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=WRITE_WAIT_S)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
    except sqlite3.Error as error:
        if isinstance(refused := refusal(path, error, "be opened"), LedgerLocked):
            raise refused from error


def migrate(db: sqlite3.Connection) -> None:
    """Bring the tables to this version. Raise StorageError if they are of a later one."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"the ledger has schema version {version} and this program knows {SCHEMA_VERSION}: "
            "install the newer version again, or restore a backup made before it"
        )
    for number in range(version, SCHEMA_VERSION):
        db.executescript(f"BEGIN IMMEDIATE;{MIGRATIONS[number]}")
        if further := _FURTHER.get(number + 1):
            further(db)
        db.execute(f"PRAGMA user_version={number + 1}")
        db.execute("COMMIT")
