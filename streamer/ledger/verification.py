"""Whether a ledger is sound: its file, each camera's sequence, and every count against the events it sums.

Reads the whole file once, in one snapshot beside the writer, with memory that does not grow with it. Events
that were pruned are not missed: a sequence is whole from its first event that is kept.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipelines.count.trajectory_codec import TrajectoryError, decode
from streamer.errors import StorageError
from streamer.events import cloudevents
from streamer.ledger import digests, quarters, row_check, schema
from streamer.ledger.count_sums import SETTLED_NS, BucketSums, MinuteSums
from streamer.ledger.queries import LedgerReader

MAX_FINDINGS = 200  # kept in words; all are counted
MAX_FILE_FINDINGS = 20


class Finding(NamedTuple):
    """One thing that is wrong; `camera` is "" for the file as a whole."""

    camera: str
    text: str


@dataclass
class Verdict:
    """What was looked at, and what is wrong; `unsure` are buckets that say themselves that they differ."""

    cameras: int = 0
    events: int = 0
    paths: int = 0
    minutes: int = 0
    buckets: int = 0
    unsure: int = 0
    faults: int = 0
    findings: list[Finding] = field(default_factory=list)

    def tell(self, camera: str, text: str) -> None:
        self.faults += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(camera, text))


class _Data(msgspec.Struct):
    camera: str = ""
    seq: int = 0
    crossed_captured_ns: int | None = None
    amount: int = 1  # of a correction
    start_ns: int = 0
    end_ns: int = 0
    lines: Any = None
    zones: Any = None
    flags: Any = None
    marks: Any = None


class _Body(msgspec.Struct):
    id: str
    type: str
    data: _Data


_decode = msgspec.json.Decoder(_Body).decode


def verify(path: Path) -> Verdict:
    """Look through the ledger at `path`. Raise StorageError where there is none, or it is of another version
    or locked; what is damaged is a finding.
    """
    LedgerReader(path).close()
    verdict = Verdict()
    with closing(schema.connect_readonly(path)) as db:
        db.execute("BEGIN")
        _file(db, verdict)
        try:
            (node,) = db.execute("SELECT value FROM meta WHERE key='node'").fetchone() or ("",)
            cameras = db.execute("SELECT id, name, last_seq, delivered FROM cameras ORDER BY name").fetchall()
        except StorageError as error:
            verdict.tell("", str(error))
            return verdict
        for row in cameras:
            verdict.cameras += 1
            _camera(db, node, row, verdict)
    return verdict


def _file(db: sqlite3.Connection, verdict: Verdict) -> None:
    try:
        lines = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({MAX_FILE_FINDINGS})")]
    except StorageError as error:
        lines = [str(error)]
    for line in lines:
        if line != "ok":
            verdict.tell("", " ".join(line.split()))


def _camera(db: sqlite3.Connection, node: str, row: tuple[int, str, int, int], verdict: Verdict) -> None:
    """All of one camera; where a part cannot be read, the rest is looked at all the same."""
    for look in (_cursors, _events, _quarters, _paths):
        try:
            look(db, node, row, verdict)
        except StorageError as error:
            verdict.tell(row[1], str(error))


def _cursors(db: sqlite3.Connection, _node: str, row: tuple[int, str, int, int], verdict: Verdict) -> None:
    camera, name, last_seq, delivered = row
    rows = db.execute("SELECT sink, seq FROM cursors WHERE camera=? AND seq>?", (camera, last_seq)).fetchall()
    for sink, seq in [("any sink", delivered)] * (delivered > last_seq) + rows:
        verdict.tell(name, f"{sink} is said to have event {seq}, and the last one is {last_seq}")


def _events(db: sqlite3.Connection, node: str, row: tuple[int, str, int, int], verdict: Verdict) -> None:
    camera, name, last_seq, _ = row
    checked = _Sequence(db, node, camera, name, verdict)
    for stored, *columns in db.execute(
        f"SELECT d.digest, {digests.EVENT_COLUMNS} FROM events e LEFT JOIN digests d ON d.event=e.id"
        " WHERE camera=? ORDER BY seq",
        (camera,),
    ):
        _, *event = columns
        if text := row_check.fault_of_event(stored, columns):
            verdict.tell(name, f"event {event[0]} {text}")
        checked.add(*event)
    checked.finish(last_seq)


def _quarters(db: sqlite3.Connection, _node: str, row: tuple[int, str, int, int], verdict: Verdict) -> None:
    camera, name, _, _ = row
    for quarter, key, kept, summed in quarters.differing(db, camera):
        at = cloudevents.rfc3339(quarter * quarters.QUARTER_NS)[:16]
        verdict.tell(name, f"quarter of an hour {at}Z of {key}: {kept} counted, and {summed} by its minutes")


def _paths(db: sqlite3.Connection, _node: str, row: tuple[int, str, int, int], verdict: Verdict) -> None:
    camera, name, _, _ = row
    for seq, trace in db.execute("SELECT seq, trace FROM paths WHERE camera=? ORDER BY seq", (camera,)):
        verdict.paths += 1
        try:
            decode(trace)
        except TrajectoryError as error:
            verdict.tell(name, f"the path of track event {seq} cannot be read: {error}")


class _Sequence:
    """One camera's events, in the order of their numbers."""

    def __init__(self, db: sqlite3.Connection, node: str, camera: int, name: str, verdict: Verdict) -> None:
        self._db, self._node, self._camera, self._name, self._verdict = db, node, camera, name, verdict
        self._last_seq = self._last_lineage = 0
        self._totals: dict[str, int] = {}
        self._minutes: MinuteSums | None = None
        self._buckets: BucketSums | None = None
        self._corrections = {
            seq: (key, amount)
            for seq, key, amount in db.execute(
                "SELECT seq, key, amount FROM corrections WHERE camera=?", (camera,)
            )
        }
        self._starts = dict(
            db.execute("SELECT lineage, first_seq FROM lineage_starts WHERE camera=?", (camera,)).fetchall()
        )

    def add(
        self,
        seq: int,
        lineage: int,
        type_: str,
        captured_ns: int,
        total_key: str | None,
        total_value: int | None,
        text: str,
    ) -> None:
        self._verdict.events += 1
        self._order(seq, lineage)
        if self._minutes is None or self._buckets is None:  # the first that is kept
            complete_ns = 0 if seq == 1 else captured_ns + SETTLED_NS
            self._minutes = MinuteSums(self._db, self._camera, complete_ns, self._tell)
            self._buckets = BucketSums(complete_ns, self._tell)
        body = self._read(seq, lineage, type_, text)
        counted_ns = captured_ns if body is None else body.data.crossed_captured_ns or captured_ns
        if type_ == cloudevents.COUNT_CORRECTED and total_key is not None:
            self._correct(seq, total_key, total_value or 0, body.data.amount if body is not None else 0)
        elif total_key is not None:
            self._count(seq, total_key, total_value or 0, 1)
            self._minutes.add(total_key, counted_ns)
            self._buckets.add(total_key, counted_ns)
        if type_ == cloudevents.COUNTS and body is not None:
            self._buckets.close(seq, msgspec.structs.asdict(body.data))

    def finish(self, last_seq: int) -> None:
        if self._last_seq != last_seq and (self._last_seq or last_seq == 0):
            self._tell(f"the last event is said to be {last_seq}, and the last one here is {self._last_seq}")
        kept = dict(
            self._db.execute("SELECT key, value FROM totals WHERE camera=?", (self._camera,)).fetchall()
        )
        for key, value in self._totals.items():
            if kept.get(key) != value:
                self._tell(f"total {key} is {kept.get(key, 'gone')}, and its last event says {value}")
        if self._minutes is not None and self._buckets is not None:
            self._minutes.finish()
            self._buckets.finish()
            self._verdict.minutes += self._minutes.compared
            self._verdict.buckets += self._buckets.compared
            self._verdict.unsure += self._buckets.unsure

    def _tell(self, text: str) -> None:
        self._verdict.tell(self._name, text)

    def _order(self, seq: int, lineage: int) -> None:
        if self._last_seq and seq != self._last_seq + 1:
            first, last = self._last_seq + 1, seq - 1
            self._tell(
                f"event {first} is missing" if first == last else f"events {first} to {last} are missing"
            )
        if lineage < self._last_lineage:
            self._tell(f"event {seq} is of incarnation {lineage}, after one of {self._last_lineage}")
        elif lineage > self._last_lineage and self._starts.get(lineage, seq + 1) > seq:
            self._tell(f"event {seq} is of incarnation {lineage}, which is said to begin elsewhere")
        self._last_seq, self._last_lineage = seq, lineage

    def _read(self, seq: int, lineage: int, type_: str, text: str) -> _Body | None:
        """The event itself, if it is what the ledger says of it. A track that was erased has none."""
        if type_ == cloudevents.ERASED:
            return None
        try:
            body = _decode(text)
        except (msgspec.MsgspecError, TypeError, UnicodeError) as error:
            self._tell(f"event {seq} cannot be read: {error}")
            return None
        wanted = f"{self._node}/{self._name}/{lineage}/{seq}"
        if body.id != wanted or body.type != type_:
            self._tell(f"event {seq} holds another one: {body.type} {body.id}")
        return body

    def _correct(self, seq: int, key: str, value: int, amount: int) -> None:
        if self._corrections.get(seq) != (key, amount):
            self._tell(f"correction {seq} of {key} by {amount} is not what the counts are corrected by")
        self._count(seq, key, value, amount)

    def _count(self, seq: int, key: str, value: int, amount: int) -> None:
        before = self._totals.get(key)
        if before is not None and value != before + amount:
            self._tell(f"event {seq} raises {key} from {before} to {value}")
        self._totals[key] = value
