"""Writes events into the ledger's tables, within the transaction of who calls: each itself, and what is
counted, kept or closed by it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from pipelines.count.trajectory_text import TrajectoryError, unpack
from pipelines.events import TRACK_ENDED
from streamer.events import cloudevents
from streamer.ipc.messages import EventRecord
from streamer.ledger import digests, quarters
from streamer.ledger.renames import Renames
from streamer.ledger.retention import NS_PER_MINUTE

BESIDE = ("blind", "moved_s", "frames")  # of a closed bucket, kept with its coverage
STANDS_FOR = "stands_for"  # in the data of a crossing, but for those of older versions

log = logging.getLogger(__name__)


class CameraRow:
    """Where a camera stands."""

    __slots__ = ("config_rev", "id", "last_seq", "lineage")

    def __init__(self, row_id: int, last_seq: int = 0, lineage: int = 0, config_rev: int = -1) -> None:
        self.id, self.last_seq = row_id, last_seq
        self.lineage, self.config_rev = lineage, config_rev  # of the last event


class Entries:
    """Of one node's ledger."""

    def __init__(self, db: sqlite3.Connection, node: str) -> None:
        self.renames = Renames()  # that what is inserted may be older than
        self._db = db
        self._node = node

    def insert(self, camera: CameraRow, record: EventRecord, lineage: int) -> None:
        """The next event of its camera, with its total, its path or its bucket. Raises sqlite3.Error."""
        if camera.lineage != lineage:
            camera.lineage = lineage
            self._db.execute("INSERT INTO lineage_starts VALUES (?,?,?)", (camera.id, lineage, record.seq))
        if camera.config_rev != record.config_rev:
            camera.config_rev = record.config_rev
            start = (camera.id, record.seq, record.config_rev)
            self._db.execute("INSERT INTO revision_starts VALUES (?,?,?)", start)
        key = cloudevents.total_key(record.type, record.data)
        correction = record.type == cloudevents.COUNT_CORRECTED
        value = None
        if key is not None:
            value = self._correct(camera, key, record) if correction else self._count(camera, key, record)
            if self.renames:
                self._raise_renamed(record, key, int(record.data["amount"]) if correction else 1)
        body = cloudevents.body(record, self._node, lineage)
        row = (camera.id, record.seq, lineage, record.type, record.captured_ns, key, value, body)
        cursor = self._db.execute(
            f"INSERT INTO events ({digests.EVENT_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)", row
        )
        digests.store(self._db, int(cursor.lastrowid or 0), row)
        camera.last_seq = record.seq
        if record.type == TRACK_ENDED and cloudevents.TRACE in record.data:
            self._insert_path(camera, record)
        if record.type == cloudevents.COUNTS:
            self._close_bucket(camera, record)

    def _insert_path(self, camera: CameraRow, record: EventRecord) -> None:
        data = record.data
        captured_ns = record.captured_ns - record.media_ns
        first_ns, last_ns = captured_ns + data["first_media_ns"], captured_ns + data["last_media_ns"]
        try:
            trace = unpack(data[cloudevents.TRACE])
        except TrajectoryError as error:
            log.warning("camera %s: the path of track %s is lost: %s", record.camera, data["track_id"], error)
            return
        self._db.execute(
            "INSERT INTO paths VALUES (?,?,?,?,?,?,?)",
            (camera.id, record.seq, record.epoch, data["track_id"], first_ns, last_ns, trace),
        )

    def _count(self, camera: CameraRow, key: str, record: EventRecord) -> int:
        """Raise the running total and the minute's rollup by one; return the total."""
        # A line is crossed a little before that is decided.
        counted_ns = record.data.get("crossed_captured_ns", record.captured_ns)
        minute = counted_ns // NS_PER_MINUTE
        self._db.execute(
            "INSERT INTO rollups VALUES (?,?,?,1) ON CONFLICT DO UPDATE SET n=n+1", (camera.id, minute, key)
        )
        tally = _tally(record.data) if STANDS_FOR in record.data else None
        if tally is not None:
            self._add_tally(camera, minute, key, tally)
        quarters.count(self._db, camera.id, minute, key, tally)
        return self._raise_total(camera, key, 1)

    def _correct(self, camera: CameraRow, key: str, record: EventRecord) -> int:
        """What was counted stays; the correction stands beside it. Return the total with it."""
        minute, amount = int(record.data["at_ns"]) // NS_PER_MINUTE, int(record.data["amount"])
        self._db.execute(
            "INSERT INTO corrections VALUES (?,?,?,?,?)", (camera.id, record.seq, minute, key, amount)
        )
        quarters.correct(self._db, camera.id, minute, key, amount)
        return self._raise_total(camera, key, amount)

    def _raise_total(self, camera: CameraRow, key: str, amount: int) -> int:
        row = self._db.execute(
            "INSERT INTO totals VALUES (?1,?2,?3) ON CONFLICT DO UPDATE SET value=value+?3 RETURNING value",
            (camera.id, key, amount),
        ).fetchall()
        return int(row[0][0])

    def _raise_renamed(self, record: EventRecord, key: str, amount: int) -> None:
        """What was still told under an old name counts in the total that goes on under the new one."""
        kind, name, rest = key.split("/", 2)
        camera, now = self.renames.rule(record.camera, kind, name, int(rest.split("/", 2)[1]))
        if (camera, now) != (record.camera, name):
            self._db.execute(
                "INSERT INTO totals SELECT id, ?2, ?3 FROM cameras WHERE name=?1"
                " ON CONFLICT DO UPDATE SET value=value+?3",
                (camera, f"{kind}/{now}/{rest}", amount),
            )

    def _add_tally(self, camera: CameraRow, minute: int, key: str, tally: tuple[int, int, int]) -> None:
        self._db.execute(
            "INSERT INTO tallies VALUES (?,?,?,1,?,?,?) ON CONFLICT DO UPDATE SET crossings=crossings+1,"
            " right_sum=right_sum+excluded.right_sum, stands_for_sum=stands_for_sum+excluded.stands_for_sum,"
            " moving=moving+excluded.moving",
            (camera.id, minute, key, *tally),
        )

    def _close_bucket(self, camera: CameraRow, record: EventRecord) -> None:
        end_ns = int(record.data.get("end_ns", record.captured_ns))
        start_ns = int(record.data.get("start_ns", end_ns))
        self._db.execute(
            "UPDATE cameras SET bucket_seq=?, bucket_end_ns=? WHERE id=?", (record.seq, end_ns, camera.id)
        )
        kept = {**record.data.get("coverage", {}), **{k: record.data[k] for k in BESIDE if k in record.data}}
        self._db.execute(
            "INSERT OR REPLACE INTO coverage VALUES (?,?,?,?)",
            (camera.id, start_ns, end_ns, msgspec.json.encode(kept).decode()),
        )
        quarters.close(self._db, camera.id, start_ns)

    def differs(self, camera: CameraRow, record: EventRecord) -> bool:
        """Whether the stored event of this number is another one. One that was pruned cannot be told."""
        row = self._db.execute(
            "SELECT lineage, body, type FROM events WHERE camera=? AND seq=?", (camera.id, record.seq)
        ).fetchone()
        if row is None or row[2] == cloudevents.ERASED:
            return False
        return bool(row[1] != cloudevents.body(record, self._node, row[0]))


def _tally(data: Mapping[str, Any]) -> tuple[int, int, int]:
    """What a crossing adds to right_sum, stands_for_sum and moving. Whole numbers: a sum of them is the same
    in any order."""
    right, stands_for = (round(1000 * float(data[name])) for name in ("confidence", STANDS_FOR))
    return right, stands_for, int(bool(data.get("view_moved")))
