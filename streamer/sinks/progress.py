"""How far a sink is whose other side cannot be asked: a small SQLite file on this machine, one a sink.

An event counts as delivered when the other side has acknowledged it and that is written here, in this order:
a crash in between sends the events of one write again, under the same ids, and loses none. A file that was
lost has everything sent again that the ledger has.

Beside the places it holds what a sink must not forget: dead letters, running totals, what it has retained on
a broker. The file is used by the sink's thread and by commands; each holds it for a moment.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.sinks.base import Behind, Kind, SinkError

FILE_MODE = 0o640
BUSY_S = 2.0

# No write-ahead log: a command of another user would leave files that the daemon cannot open.
_SCHEMA = """
PRAGMA journal_mode=DELETE;
PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS positions (camera TEXT PRIMARY KEY, lineage INTEGER, seq INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
    camera TEXT, key TEXT, value INTEGER, PRIMARY KEY (camera, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retained (topic TEXT PRIMARY KEY, camera TEXT, payload TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    camera TEXT PRIMARY KEY, lineage INTEGER, seq INTEGER, tries INTEGER, first_ns INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
    camera TEXT, lineage INTEGER, seq INTEGER, type TEXT, body TEXT, reason TEXT, tries INTEGER,
    first_ns INTEGER, died_ns INTEGER, retry INTEGER DEFAULT 0, PRIMARY KEY (camera, lineage, seq));
"""
_OF_A_CAMERA = ("positions", "totals", "retained", "attempts")


class Progress:
    """One sink's file. Opened when it is used, by the thread that uses it. Raises SinkError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._places: dict[str, EventId] = {}

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which a failure takes back."""
        with self._failures():
            db = self._opened()
            with db:
                yield db

    # ---- places

    def positions(self, cameras: Sequence[str]) -> dict[str, EventId | None]:
        with self._failures():
            self._opened()
        return {camera: self._places.get(camera) for camera in cameras}

    def admit(
        self, camera: str, after: EventId | None, events: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent]:
        """Those of `events` that are new, as base.Sink.write() wants it. Raises Behind, SinkError."""
        at = self.positions([camera])[camera]
        if after is not None and (at is None or at < after):
            raise Behind(at)
        if at is not None and at.lineage > events[0].id.lineage:
            raise SinkError("ahead", f"camera {camera}: {at} was sent, a later lineage than this ledger's")
        return [event for event in events if at is None or event.id > at]

    def advance(self, camera: str, at: EventId, totals: Mapping[str, int] | None = None) -> None:
        """The other side has all up to `at`, with which the running totals are these."""
        with self.changing() as db:
            db.execute("INSERT OR REPLACE INTO positions VALUES (?,?,?)", (camera, *at))
            db.execute("DELETE FROM attempts WHERE camera=? AND (lineage, seq)<=(?,?)", (camera, *at))
            rows = [(camera, key, value) for key, value in (totals or {}).items()]
            db.executemany("INSERT OR REPLACE INTO totals VALUES (?,?,?)", rows)
        self._places[camera] = at

    def forget(self, cameras: Sequence[str]) -> None:
        """All but dead letters, which a person decides about."""
        with self.changing() as db:
            for table in _OF_A_CAMERA:
                db.executemany(f"DELETE FROM {table} WHERE camera=?", [(camera,) for camera in cameras])
        for camera in cameras:
            self._places.pop(camera, None)

    # ---- totals, and what is retained on a broker

    def set_totals(self, camera: str, totals: Mapping[str, int]) -> None:
        with self.changing() as db:
            rows = [(camera, key, value) for key, value in totals.items()]
            db.executemany("INSERT OR REPLACE INTO totals VALUES (?,?,?)", rows)

    def totals(self, camera: str) -> dict[str, int]:
        with self._failures():
            rows = self._opened().execute("SELECT key, value FROM totals WHERE camera=?", (camera,))
            return dict(rows.fetchall())

    def retain(self, camera: str, payloads: Mapping[str, str]) -> None:
        """These are the payloads of topics of `camera`; an empty one is none."""
        with self.changing() as db:
            rows = [(topic, camera, payload) for topic, payload in payloads.items() if payload]
            db.executemany("INSERT OR REPLACE INTO retained VALUES (?,?,?)", rows)
            gone = [(topic,) for topic, payload in payloads.items() if not payload]
            db.executemany("DELETE FROM retained WHERE topic=?", gone)

    def retained(self, camera: str | None = None) -> dict[str, str]:
        """Payloads by topic, of one camera or of all."""
        with self._failures():
            rows = self._opened().execute(
                "SELECT topic, payload FROM retained WHERE ?1 IS NULL OR camera=?1", (camera,)
            )
            return dict(rows.fetchall())

    def retained_cameras(self) -> set[str]:
        with self._failures():
            return {name for (name,) in self._opened().execute("SELECT DISTINCT camera FROM retained")}

    # ---- the file

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self.path.parent.mkdir(mode=0o750, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))
            db = sqlite3.connect(self.path, timeout=BUSY_S)
            try:
                db.executescript(_SCHEMA)
                rows = db.execute("SELECT camera, lineage, seq FROM positions").fetchall()
            except sqlite3.Error:
                db.close()
                raise
            self._db, self._places = db, {camera: EventId(*at) for camera, *at in rows}
        return self._db

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """After any the file is opened and read anew."""
        try:
            yield
        except OSError as error:
            self.close()
            raise SinkError("down", f"{self.path} cannot be opened: {error.strerror or error}") from error
        except sqlite3.Error as error:
            self.close()
            raise SinkError(_kind_of(error), _said(self.path, error)) from error


def _kind_of(error: sqlite3.Error) -> Kind:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    kinds: dict[int, Kind] = {
        sqlite3.SQLITE_FULL: "full",
        sqlite3.SQLITE_READONLY: "readonly",
        sqlite3.SQLITE_CORRUPT: "refused",
        sqlite3.SQLITE_NOTADB: "refused",
    }
    return kinds.get(code, "down")


def _said(path: Path, error: sqlite3.Error) -> str:
    if _kind_of(error) == "refused":
        return f"{path} is damaged: move it away, and what the ledger has is sent again under the same ids"
    return f"{path} cannot be written: {error}"
