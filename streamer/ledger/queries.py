"""Questions to the ledger: what comes after a place in it, how it stands, what was counted.

The functions take any connection, so that the writer and a read-only reader ask alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from streamer.errors import StorageError
from streamer.events import cloudevents
from streamer.events.cloudevents import ERASED, EventId, StoredEvent
from streamer.ipc.messages import CameraResume
from streamer.ledger import (
    count_rows,
    cursors,
    pruning,
    quarter_sums,
    recovery,
    renames,
    resume,
    revisions,
    schema,
)
from streamer.ledger.buckets import Coverage
from streamer.ledger.count_rows import Count
from streamer.ledger.quarter_sums import Span, parted
from streamer.ledger.renames import Renames, Stretch

MAX_NS = (1 << 63) - 1
_KEPT = f"e.type<>'{ERASED}'"


class StoredPath(NamedTuple):
    """The path of a track that ended; `seq` is its event's, the times are Unix time in nanoseconds."""

    seq: int
    epoch: int
    track_id: int
    first_ns: int
    last_ns: int
    trace: bytes  # pipelines.count.trajectory_codec.decode


_PATHS = "SELECT p.seq, p.epoch, p.track_id, p.first_ns, p.last_ns, p.trace FROM paths p WHERE"


class LedgerReader:
    """The ledger, read-only, beside its writer. For one thread. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = schema.connect_readonly(path)
        try:
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        except StorageError:
            self._db.close()
            raise
        if version != schema.SCHEMA_VERSION:
            self._db.close()
            raise StorageError(
                f"the ledger {path} has schema version {version}, this program reads "
                f"{schema.SCHEMA_VERSION}: start the daemon of this version once"
            )

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """What is read within it is all of the same moment, whatever is committed meanwhile. Raise
        StorageError."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def cameras(self) -> dict[str, int]:
        """Every camera that the ledger knows and its last sequence number."""
        return dict(self._db.execute("SELECT name, last_seq FROM cameras ORDER BY name").fetchall())

    def emptied(self) -> set[str]:
        """The cameras of which nothing is kept any more but their place in the sequence."""
        tables = ("events", "totals", "rollups", "coverage", "corrections", "quarters", "quarter_counts")
        kept = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {t} WHERE {t}.camera=cameras.id)" for t in tables)
        return {name for (name,) in self._db.execute(f"SELECT name FROM cameras WHERE {kept}")}

    def after(self, camera: str, after: EventId | None, limit: int) -> list[StoredEvent]:
        """Up to `limit` events of `camera` that come after the place `after` (None: from the first)."""
        row, floor = self._place(camera, after)
        lineage, seq = after or EventId(0, 0)
        rows = self._db.execute(
            "SELECT e.lineage, e.seq, e.type, e.body, e.total_key, e.total_value FROM events e"
            " WHERE e.camera=?1 AND e.seq>?2 AND (e.lineage>?3 OR (e.lineage=?3 AND e.seq>?4))"
            f" AND {_KEPT} ORDER BY e.seq LIMIT ?5",
            (row, floor, lineage, seq, limit),
        )
        return [StoredEvent(camera, EventId(r[0], r[1]), *r[2:]) for r in rows]

    def before(self, camera: str, at: EventId) -> EventId | None:
        """The place of the event just before `at`, or None where that one is not kept."""
        row = self._db.execute(
            "SELECT lineage, seq FROM events WHERE camera=(SELECT id FROM cameras WHERE name=?) AND seq<?"
            " ORDER BY seq DESC LIMIT 1",
            (camera, at.seq),
        ).fetchone()
        return EventId(*row) if row else None

    def last_before(self, camera: str, since_ns: int) -> int:
        """The number just before the camera's first event captured from `since_ns` on; without such a one
        its last number.
        """
        row = self._db.execute(
            "SELECT e.seq - 1 FROM events e WHERE e.camera=(SELECT id FROM cameras WHERE name=?)"
            " AND e.captured_ns>=? ORDER BY e.seq LIMIT 1",
            (camera, since_ns),
        ).fetchone()
        return int(row[0]) if row else self.cameras().get(camera, 0)

    def lineage(self) -> int:
        """The lineage that new events get."""
        return int(self._db.execute("SELECT max(lineage) FROM lineages").fetchone()[0])

    def totals_at(self, camera: str, at: EventId | None) -> dict[str, int]:
        """The running totals as they stood just after the event at `at` (None: before the first kept one)."""
        row, floor = self._place(camera, at)
        lineage, seq = at or EventId(0, 0)
        totals = self.totals(camera)
        later = self._db.execute(
            "SELECT e.total_key, e.total_value - coalesce(x.amount, 1) FROM events e"
            " LEFT JOIN corrections x ON x.camera=e.camera AND x.seq=e.seq WHERE e.camera=?1 AND e.seq>?2"
            " AND (e.lineage>?3 OR (e.lineage=?3 AND e.seq>?4)) AND e.total_key IS NOT NULL ORDER BY e.seq",
            (row, floor, lineage, seq),
        )
        unseen = set(totals)
        for key, before in later:  # the first later event of a total tells what it was
            if key in unseen:
                totals[key] = before
                unseen.discard(key)
                if not unseen:
                    break
        later.close()
        return {key: value for key, value in totals.items() if value}

    def _place(self, camera: str, at: EventId | None) -> tuple[int, int]:
        """The camera's row, and a number so that all that comes after `at` has a higher one: that of `at`, or
        where a later lineage begins before it. Asked apart, so that the index finds the place at once.
        """
        lineage, seq = at or EventId(0, 0)
        found = self._db.execute(
            "SELECT c.id, (SELECT min(first_seq) - 1 FROM lineage_starts l"
            " WHERE l.camera=c.id AND l.lineage>?) FROM cameras c WHERE c.name=?",
            (lineage, camera),
        ).fetchone()
        row, begins = found or (-1, None)
        return row, seq if begins is None else min(seq, begins)

    def totals(self, camera: str) -> dict[str, int]:
        """The running totals of `camera` now; those that go on under another name are not among them."""
        rows = self._db.execute(
            "SELECT key, value FROM totals WHERE camera=(SELECT id FROM cameras WHERE name=?)", (camera,)
        ).fetchall()
        known = self.renames()
        return {key: value for key, value in rows if not known or not known.left(camera, key)}

    def tail(self, after_row: int, limit: int) -> list[tuple[int, StoredEvent]]:
        """Events of all cameras in the order of commit, with the row number to go on from."""
        rows = self._db.execute(
            "SELECT e.id, c.name, e.lineage, e.seq, e.type, e.body, e.total_key, e.total_value"
            f" FROM events e JOIN cameras c ON c.id=e.camera WHERE e.id>? AND {_KEPT} ORDER BY e.id LIMIT ?",
            (after_row, limit),
        )
        return [(r[0], StoredEvent(r[1], EventId(r[2], r[3]), *r[4:])) for r in rows]

    def last_events(self, count: int, camera: str | None, event_type: str | None = None) -> list[StoredEvent]:
        """The newest `count` events (of `camera`, of one type), in the order of commit."""
        of_camera, values = self._of_camera("+e", camera)  # "+": backwards by the row, not by an index
        rows = self._db.execute(
            "SELECT c.name, e.lineage, e.seq, e.type, e.body, e.total_key, e.total_value"
            f" FROM events e JOIN cameras c ON c.id=e.camera WHERE {of_camera}"
            f" AND (? IS NULL OR e.type=?) AND {_KEPT} ORDER BY e.id DESC LIMIT ?",
            (*values, event_type, event_type, count),
        ).fetchall()
        return [StoredEvent(r[0], EventId(r[1], r[2]), *r[3:]) for r in reversed(rows)]

    def _of_camera(self, table: str, camera: str | None) -> tuple[str, tuple[Any, ...]]:
        """A condition on the `camera` and `seq` of rows of `table`, and its values: that they are of what is
        called `camera` now (None: all are)."""
        if camera is None:
            return "1", ()
        found = self.stretches(camera)
        one = f"({table}.camera=(SELECT id FROM cameras WHERE name=?) AND {table}.seq BETWEEN ? AND ?)"
        return f"({' OR '.join([one] * len(found)) or '0'})", tuple(v for stretch in found for v in stretch)

    def last_row(self) -> int:
        """The row number of the newest event, for `tail`."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])

    def counts(
        self, *, since_s: int = 0, until_s: int = 1 << 40, camera: str | None = None
    ) -> Iterator[Count]:
        """Counts by minute, from the rollups: they outlive pruned events. A minute
        that was corrected and has no count of its own comes after the others.

        What is counted is under the names of now, as in all that is asked by a camera's name.
        """
        return self._counts_now(camera, lambda name: count_rows.counts(self._db, since_s, until_s, name))

    def counts_by(
        self, spans: Sequence[Span], since_s: int, until_s: int, camera: str | None
    ) -> Iterator[Count]:
        """Counts from `since_s` to before `until_s`, of the periods of `spans`; what lies before the first
        and after the last of these by minute.
        """
        return self._counts_now(
            camera, lambda name: count_rows.counts_by(self._db, spans, since_s, until_s, name)
        )

    def _counts_now(
        self, camera: str | None, read: Callable[[str | None], Iterator[Count]]
    ) -> Iterator[Count]:
        known = self.renames()
        if not known:
            yield from read(camera)
            return
        for source in (None,) if camera is None else known.sources(camera):
            for count in read(source):
                now, name = known.rule(count.camera, count.kind, count.name, count.rule_rev)
                if camera in (None, now):
                    yield count._replace(camera=now, name=name)

    def renames(self) -> Renames:
        """What was called otherwise before."""
        return renames.read(self._db)

    def stretches(self, camera: str) -> list[Stretch]:
        """Where the events of what is `camera` now lie, whatever it was called."""
        return renames.stretches(self._db, self.renames(), camera)

    def quarters(self) -> tuple[int, int] | None:
        """From which quarter of an hour (Unix time / 900 s) to before which one anything is kept by
        quarters; None where nothing is."""
        return quarter_sums.ends(self._db)

    def coverage(
        self, *, since_ns: int = 0, until_ns: int = MAX_NS, camera: str | None = None
    ) -> Iterator[Coverage]:
        """What was seen of each closed bucket that ends after `since_ns` and begins before `until_ns`."""
        return self._coverage_now(
            camera, lambda name, _: count_rows.coverage(self._db, since_ns, until_ns, name)
        )

    def coverage_by(
        self, spans: Sequence[Span], since_ns: int, until_ns: int, camera: str | None
    ) -> Iterator[Coverage]:
        """What was seen, camera by camera in the order of time: of the periods of `spans`, and before and
        after these of each closed bucket, as coverage() has them."""
        return self._coverage_now(
            camera,
            lambda name, known: count_rows.coverage_by(
                self._db, parted(spans, known.times_ns()), since_ns, until_ns, name
            ),
        )

    def _coverage_now(
        self, camera: str | None, read: Callable[[str | None, Renames], Iterator[Coverage]]
    ) -> Iterator[Coverage]:
        known = self.renames()
        if not known:
            yield from read(camera, known)
            return
        found = []
        for source in (None,) if camera is None else known.sources(camera):
            for bucket in read(source, known):
                now = known.camera_at(bucket.camera, bucket.start_ns)
                if camera in (None, now):
                    found.append(bucket._replace(camera=now))
        yield from sorted(found, key=lambda bucket: (bucket.camera, bucket.start_ns))

    def seconds(self, first: int, end: int) -> dict[str, dict[str, float]]:
        """By camera and kind (seen, gated, offline, ...), of the quarters from `first` to before `end`."""
        return quarter_sums.seconds(self._db, first, end)

    def event(self, camera: str, seq: int) -> StoredEvent | None:
        """The event of that number, or None where it is not kept."""
        row = self._db.execute(
            "SELECT e.lineage, e.seq, e.type, e.body, e.total_key, e.total_value FROM events e"
            f" WHERE e.camera=(SELECT id FROM cameras WHERE name=?) AND e.seq=? AND {_KEPT}",
            (camera, seq),
        ).fetchone()
        return StoredEvent(camera, EventId(row[0], row[1]), *row[2:]) if row else None

    def first_of(self, stretch: Stretch) -> StoredEvent | None:
        """The oldest event in it that is kept."""
        row = self._db.execute(
            "SELECT e.seq FROM events e WHERE e.camera=(SELECT id FROM cameras WHERE name=?)"
            f" AND e.seq BETWEEN ? AND ? AND {_KEPT} ORDER BY e.seq LIMIT 1",
            stretch,
        ).fetchone()
        return self.event(stretch.name, row[0]) if row else None

    def first_seq(self, camera: str) -> int | None:
        """The number of the oldest event of `camera` that is kept."""
        row = self._db.execute(
            "SELECT min(seq) FROM events WHERE camera=(SELECT id FROM cameras WHERE name=?)", (camera,)
        ).fetchone()
        return int(row[0]) if row[0] is not None else None

    def revision(self, rev: int) -> tuple[int, dict[str, Any]] | None:
        """When a configuration revision came into force (Unix ns), and its document."""
        row = self._db.execute("SELECT at_ns, json FROM config_revisions WHERE rev=?", (rev,)).fetchone()
        return (row[0], revisions.unpacked(row[1])) if row else None

    def of_track(self, camera: str, event_type: str, epoch: int, track_id: int) -> list[StoredEvent]:
        """The events of one type that are about one track, in their order."""
        rows = self._db.execute(
            "SELECT e.lineage, e.seq, e.type, e.body, e.total_key, e.total_value FROM events e"
            " WHERE e.camera=(SELECT id FROM cameras WHERE name=?) AND e.type=?"
            " AND json_extract(e.body, '$.data.track_id')=? AND json_extract(e.body, '$.data.epoch')=?"
            " ORDER BY e.seq",
            (camera, event_type, track_id, epoch),
        )
        return [StoredEvent(camera, EventId(r[0], r[1]), *r[2:]) for r in rows]

    def path_of(self, camera: str, epoch: int, track_id: int) -> StoredPath | None:
        """The path of a track that has ended, or None."""
        row = self._db.execute(
            f"{_PATHS} p.camera=(SELECT id FROM cameras WHERE name=?)"
            " AND p.epoch=? AND p.track_id=? ORDER BY p.seq DESC LIMIT 1",
            (camera, epoch, track_id),
        ).fetchone()
        return StoredPath(*row) if row else None

    def paths(
        self, camera: str, since_ns: int, until_ns: int, newest_first: bool = False
    ) -> Iterator[StoredPath]:
        """The paths of tracks that were there in that time, by the end of them."""
        order = "DESC" if newest_first else "ASC"
        of_camera, values = self._of_camera("p", camera)
        rows = self._db.execute(
            f"{_PATHS} {of_camera} AND p.last_ns>=? AND p.first_ns<? ORDER BY p.last_ns {order}",
            (*values, since_ns, until_ns),
        )
        return (StoredPath(*row) for row in rows)

    def count_paths(self, camera: str, since_ns: int, until_ns: int) -> int:
        """How many paths there are whose track's event is of that time."""
        of_camera, values = self._of_camera("p", camera)
        row = self._db.execute(
            "SELECT count(*) FROM paths p JOIN events e ON e.camera=p.camera AND e.seq=p.seq"
            f" WHERE {of_camera} AND e.captured_ns>=? AND e.captured_ns<?",
            (*values, since_ns, until_ns),
        ).fetchone()
        return int(row[0])

    def count_events(self, camera: str, event_type: str, since_ns: int, until_ns: int) -> int:
        """How many events of one type there are of that time."""
        of_camera, values = self._of_camera("e", camera)
        row = self._db.execute(
            f"SELECT count(*) FROM events e WHERE {of_camera} AND type=?"
            " AND captured_ns>=? AND captured_ns<?",
            (*values, event_type, since_ns, until_ns),
        ).fetchone()
        return int(row[0])

    def status(self) -> dict[str, Any]:
        return status(self._db, self.path)

    def resume(self, camera: str) -> CameraResume:
        return resume.resume(self._db, camera)

    def close(self) -> None:
        self._db.close()


def status(db: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Plain JSON: what the ledger holds, how far every sink has each camera, and what each sink lacks."""
    first, last = db.execute("SELECT min(id), max(id) FROM events").fetchone()
    oldest = db.execute("SELECT captured_ns FROM events WHERE id=?", (first,)).fetchone() if first else None
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    cameras = {
        name: {"last_seq": last_seq, "delivered": delivered, "undelivered": max(0, last_seq - delivered)}
        for name, last_seq, delivered in db.execute(
            "SELECT name, last_seq, delivered FROM cameras ORDER BY name"
        )
    }
    report = {
        "path": str(path),
        "schema_version": schema.SCHEMA_VERSION,
        "node": db.execute("SELECT value FROM meta WHERE key='node'").fetchone()[0],
        "lineage": db.execute("SELECT max(lineage) FROM lineages").fetchone()[0],
        "committed": last or 0,
        "bytes": sum(f.stat().st_size for f in (path, Path(f"{path}-wal")) if f.exists()),
        "used_bytes": (pages - free) * schema.PAGE_BYTES,
        "oldest": cloudevents.rfc3339(oldest[0]) if oldest else None,
        "pruned_for": pruning.pruned_for(db),
        "undelivered": sum(camera["undelivered"] for camera in cameras.values()),
        "sinks": {
            sink: {"undelivered": sum(lag.values()), "cameras": lag} for sink, lag in cursors.lag(db).items()
        },
        "cameras": cameras,
    }
    damage = recovery.recorded_damage(db)
    return report | ({"damage": damage["text"], "damaged_at": damage["at"]} if damage else {})
