"""The writer of the ledger: events once each, totals and rollups in the same transaction.

When the disk or the budget is full, or another program has locked the file, commit() raises LedgerRefused
(refusals.py) and nothing of it is kept: the sender is not acknowledged and offers the batch again, so it
recovers by itself. Delivered events make room, oldest first (retention.py); an event that a sink has not got
yet is never pruned. No call waits longer for another's lock than schema.WRITE_WAIT_S a statement.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from streamer.errors import StorageError
from streamer.events import cloudevents
from streamer.ipc.messages import CameraResume, EventRecord
from streamer.ipc.rename import Rename
from streamer.ledger import (
    digests,
    high_water,
    queries,
    recovery,
    renames,
    resume,
    revisions,
    schema,
    schema_copy,
)
from streamer.ledger.cursors import Cursors
from streamer.ledger.high_water import HighWater
from streamer.ledger.insert import CameraRow, Entries
from streamer.ledger.refusals import LedgerDamaged, code, refusal
from streamer.ledger.retention import Retention

log = logging.getLogger(__name__)

NS_PER_MS = 1_000_000


class Committed(NamedTuple):
    """What one commit did.

    `conflicts` are repeats of a sequence number with other content, `missing` the numbers that were jumped
    over: both are alarms.
    """

    stored: int
    repeated: int
    conflicts: int
    missing: int
    cameras: tuple[str, ...]  # those that have something new


class Ledger:
    """One per node. Not for use by two threads or two processes at once."""

    def __init__(
        self,
        path: Path,
        node: str,
        *,
        max_bytes: int,
        retention_days: float,
        tracks_days: float | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Open or make the ledger at `path`; raise StorageError, LedgerLocked while another program holds
        the file. A damaged file is salvaged first.
        """
        self.path = path
        self._now_ns = now_ns
        schema.refuse_locked(path)
        self.damage = recovery.check_and_salvage(path, now_ns() // NS_PER_MS)
        self._cameras: dict[str, CameraRow] = {}
        try:
            with closing(schema.connect(path)) as db:
                schema.migrate(db)
            schema_copy.keep(path)
            self._db = schema.connect(path)
            try:
                self.retention = Retention(self._db, max_bytes, retention_days, tracks_days)
                if self.damage:
                    recovery.record_damage(self._db, now_ns() // NS_PER_MS, self.damage)
                self.node, self.lineage = self._identity(node)
                self._go_on_after_mark()
                self._high_water = HighWater(path)
                self._entries = Entries(self._db, self.node)
                self._entries.renames = renames.read(self._db)
                self._cursors = Cursors(self._db)
                self._load_cameras()
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise refusal(path, error, "be opened") from error
        except OSError as error:
            raise StorageError(
                f"cannot open the ledger {path}: {error}; check its folder and space"
            ) from error

    # ---- events

    def commit(self, records: Iterable[EventRecord]) -> Committed:
        """Write `records` in one transaction, each (camera, seq) once; it is on the disk on return.

        Raise LedgerRefused if that cannot be now, StorageError if the file is damaged.
        """
        records = list(records)
        try:
            return self._commit(records)
        except sqlite3.Error as error:
            refused = self._undo(error)
            if code(error) != sqlite3.SQLITE_FULL or not self._make_room():
                raise refused from error
        try:
            return self._commit(records)
        except sqlite3.Error as error:
            raise self._undo(error) from error

    def _commit(self, records: list[EventRecord]) -> Committed:
        self._db.execute("BEGIN IMMEDIATE")
        if self._stale:
            self._load_cameras()
        self.retention.prune_ahead(len(records))
        repeated = conflicts = missing = 0
        touched: dict[str, None] = {}
        for record in records:
            camera = self._camera(record.camera)
            if record.seq <= camera.last_seq:
                repeated += 1
                conflicts += self._entries.differs(camera, record)
                continue
            missing += record.seq - camera.last_seq - 1
            self._entries.insert(camera, record, self.lineage)
            touched[record.camera] = None
        for name in touched:
            camera = self._cameras[name]
            self._db.execute("UPDATE cameras SET last_seq=? WHERE id=?", (camera.last_seq, camera.id))
        self._db.execute("COMMIT")
        if touched:
            self._write_mark()
        return Committed(len(records) - repeated, repeated, conflicts, missing, tuple(touched))

    # ---- where each camera stands

    def last_seq(self, camera: str) -> int:
        known = self._cameras.get(camera)
        return known.last_seq if known else 0

    def resume(self, camera: str) -> CameraResume:
        """Where `camera` stands, with the counting events of its open bucket. Raise as commit()."""
        with self._our_errors():
            try:
                return resume.resume(self._db, camera)
            except LedgerDamaged:
                recovery.ask_for_check(self.path)
                raise

    def probe(self) -> None:
        """Raise LedgerLocked while another program has locked the file."""
        with self._our_errors():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("ROLLBACK")

    def set_limits(self, max_bytes: int, retention_days: float, tracks_days: float | None = None) -> None:
        """The budget for the file and its WAL together, the age of events, and that of tracks where it is
        another one. Raise as commit().
        """
        with self._our_errors():
            self.retention.set_limits(max_bytes, retention_days, tracks_days)

    def replace_sinks(self, names: Collection[str]) -> None:
        """These are all the sinks: events are kept until each of them has got them. Raise as commit().

        A ledger that was never told has none, and keeps nothing back; one from before keeps its own.
        """
        with self._our_errors():
            if self._cursors.sinks() == set(names):
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._cursors.replace_sinks(names)
            self._db.execute("COMMIT")

    def mark(self, positions: Mapping[str, Mapping[str, int]]) -> None:
        """Note how far each sink has each camera (sink -> camera -> seq); it may go back, as when a sink was
        emptied. Without sinks all counts as delivered, so that it may be pruned.

        Losing a mark costs nothing but a look at the sink. Raise as commit().
        """
        with self._our_errors():
            moved = self._cursors.moved(positions)
            if not moved and not self._cursors.lag_without_sinks():
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._cursors.move(moved)
            self._db.execute("COMMIT")

    def record_config(self, rev: int, config_json: str) -> None:
        """Keep a configuration revision, so that an event's rule can be quoted as it was. Raise as commit().

        Those that nothing refers to any more make room for it.
        """
        row = (rev, self._now_ns(), revisions.packed(config_json))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            revisions.release(self._db)
            revisions.prune(self._db)
            self._db.execute("INSERT OR IGNORE INTO config_revisions VALUES (?,?,?)", row)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            refused = self._undo(error)
            if code(error) == sqlite3.SQLITE_FULL:
                self._make_room()  # for the next attempt
            raise refused from error

    def record_renames(self, known: Collection[Rename]) -> bool:
        """Put down what is called otherwise now; True where that was news: running totals are under other
        names then. Raise as commit()."""
        with self._our_errors():
            self._db.execute("BEGIN IMMEDIATE")
            news = renames.record(self._db, known)
            self._db.execute("COMMIT")
            if news:
                self._load_cameras()
            self._entries.renames = renames.read(self._db)
        return news

    def tick(self) -> bool:
        """Prune what is past its retention, a bounded piece at a time; call it about once a second.

        Return whether running totals are among it. Raise as commit().
        """
        with self._our_errors():
            return self.retention.prune_old(self._now_ns())

    def status(self) -> dict[str, Any]:
        """Plain JSON for `streamer status` and `streamer ledger status`. Raise as commit()."""
        with self._our_errors():
            status = queries.status(self._db, self.path)
        status["max_bytes"] = self.retention.max_bytes
        status["retention_days"] = self.retention.retention_days
        status["tracks_days"] = self.retention.tracks_days
        status["pruned"] = self.retention.pruned
        return status

    def new_lineage(self, reason: str) -> int:
        """Give all events from now on a new lineage, and those that a sink has not got yet as well.

        The way out when a sink holds ids ahead of this ledger (an older copy was put in its place, or the
        clock stood wrong when it was made). With several sinks the one that is behind decides: another may
        get events a second time, with new ids, and none is lost. Raise as commit().
        """
        lineage = max(self.lineage + 1, self._now_ns() // NS_PER_MS)
        with self._our_errors():
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO lineages VALUES (?,?)", (lineage, reason))
            rows = self._db.execute(
                "SELECT e.id, e.body FROM events e JOIN cameras c ON c.id=e.camera AND e.seq>c.delivered"
                " WHERE e.type<>?",
                (cloudevents.ERASED,),
            ).fetchall()
            for row_id, text in rows:
                body = cloudevents.body(cloudevents.record_of(text), self.node, lineage)
                columns = self._db.execute(
                    f"UPDATE events SET lineage=?, body=? WHERE id=? RETURNING {digests.EVENT_COLUMNS}",
                    (lineage, body, row_id),
                ).fetchall()[0]
                digests.store(self._db, row_id, columns)
            self._db.execute(
                "INSERT INTO lineage_starts SELECT camera, lineage, min(seq) FROM events"
                " WHERE lineage=? GROUP BY camera",
                (lineage,),
            )
            self._db.execute("COMMIT")
        self.lineage = lineage
        self._load_cameras()
        self._write_mark()
        return lineage

    def close(self) -> None:
        """Write the WAL back and close."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log.warning("the ledger's WAL is left for the next start: %s", error)
        self._db.close()
        self._high_water.close()

    # ---- inside

    def _identity(self, node: str) -> tuple[str, int]:
        """The node this ledger belongs to and its newest lineage, made where it is new."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('node', ?)", (node,))
            made = self._db.execute("SELECT max(lineage) FROM lineages").fetchone()[0]
            if made is None:
                made = self._now_ns() // NS_PER_MS
                self._db.execute("INSERT INTO lineages VALUES (?, 'created')", (made,))
        (owner,) = self._db.execute("SELECT value FROM meta WHERE key='node'").fetchone()
        mark = high_water.read(self.path)
        if owner != node and mark is not None and recovery.is_of_this(self._db, mark, node):
            owner = self._mend_node(node)
        if owner != node:
            raise StorageError(
                f"the ledger {self.path} belongs to node {owner}, not {node}: "
                "move it away to begin a new one, or put back its node file"
            )
        return owner, int(made)

    def _mend_node(self, node: str) -> str:
        """The ledger is ours, and what it says of whose it is was damaged."""
        text = "was damaged: the name of its node, which is put back"
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("UPDATE meta SET value=? WHERE key='node'", (node,))
        recovery.record_damage(self._db, self._now_ns() // NS_PER_MS, text)
        self._db.execute("COMMIT")
        log.error("the ledger %s", text)
        self.damage = self.damage or text
        return node

    def _go_on_after_mark(self) -> None:
        """Where the end of the ledger is missing, or it is an older copy: no number is given out twice."""
        mark = high_water.read(self.path)
        back = recovery.went_back(self._db, mark, self.node, self.lineage)
        if mark is None or not (back or (self.node == mark.node and mark.lineage > self.lineage)):
            return
        self._db.execute("BEGIN IMMEDIATE")
        text = recovery.begin_after(self._db, mark, back, self._now_ns() // NS_PER_MS)
        (self.lineage,) = self._db.execute("SELECT max(lineage) FROM lineages").fetchone()
        self._db.execute("COMMIT")
        log.error("the ledger %s", text)
        self.damage = self.damage or text

    def _write_mark(self) -> None:
        last = {name: camera.last_seq for name, camera in self._cameras.items()}
        self._high_water.write(self.node, self.lineage, last)

    def _camera(self, name: str) -> CameraRow:
        camera = self._cameras.get(name)
        if camera is None:
            cursor = self._db.execute("INSERT INTO cameras (name) VALUES (?)", (name,))
            camera = self._cameras[name] = CameraRow(int(cursor.lastrowid or 0))
        return camera

    def _load_cameras(self) -> None:
        rows = self._db.execute(
            "SELECT name, id, last_seq, coalesce((SELECT max(lineage) FROM lineage_starts l"
            " WHERE l.camera=cameras.id), 0), coalesce((SELECT config_rev FROM revision_starts r"
            " WHERE r.camera=cameras.id ORDER BY first_seq DESC LIMIT 1), -1) FROM cameras"
        ).fetchall()
        self._cameras = {name: CameraRow(*row) for name, *row in rows}
        self._stale = False

    def _make_room(self) -> bool:
        try:
            return self.retention.prune_now()
        except sqlite3.Error as error:
            self._undo(error)
            return False

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        """What SQLite raises within becomes an error of ours, and nothing of the transaction is kept."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._undo(error) from error

    def _undo(self, error: sqlite3.Error) -> StorageError:
        """Forget the transaction in hand; return what to raise. Raise LedgerDamaged itself."""
        refused = refusal(self.path, error, "take more")
        self._stale = True  # what was forgotten has moved the cameras on
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._load_cameras()
        except sqlite3.Error as again:
            log.warning("the ledger: after %s: %s", error, again)
        if isinstance(refused, LedgerDamaged):
            recovery.ask_for_check(self.path)
            raise refused from error
        return refused
