"""Where a camera stands in the ledger, for the inference worker that goes on with it."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from pipelines.events import ALERT
from streamer.events import cloudevents
from streamer.ipc.messages import CameraResume, EventRecord
from streamer.ledger.refusals import LedgerDamaged
from streamer.ledger.row_check import BAD_VALUE

MAX_ALERT_EVENTS = 10_000  # of a camera that are looked through: of older ones nothing is raised any more
MAX_EARLY_EVENTS = 5000  # told before a bucket closed, and of the one after it


def resume(db: sqlite3.Connection, camera: str) -> CameraResume:
    """Where `camera` stands, with the counting events that its last closed bucket does not hold: those after
    it, and those told before it closed that happened after its end. Raise LedgerDamaged where one is none.
    """
    row = db.execute(
        "SELECT id, last_seq, bucket_seq, bucket_end_ns FROM cameras WHERE name=?", (camera,)
    ).fetchone()
    if row is None:
        return CameraResume(camera, 0, 0, ())
    camera_id, last_seq, bucket_seq, bucket_end_ns = row
    early = max(0, bucket_seq - MAX_EARLY_EVENTS)
    types = ",".join("?" * len(cloudevents.COUNTING_TYPES))
    bodies = db.execute(
        "SELECT body FROM events WHERE camera=? AND (seq>? OR (seq>? AND captured_ns>=?))"
        f" AND seq>? AND type IN ({types}) ORDER BY seq",
        (camera_id, bucket_seq, early, bucket_end_ns, early, *cloudevents.COUNTING_TYPES),
    )
    try:
        records = (cloudevents.record_of(body) for (body,) in bodies)
        events = tuple(r for r in records if r.seq > bucket_seq or _counted_ns(r) >= bucket_end_ns)
        alerts = _raised_alerts(db, camera_id)
    except BAD_VALUE as error:
        raise LedgerDamaged(
            f"the ledger is damaged (an event of camera {camera} cannot be read: {error}): "
            "it is salvaged at the next start"
        ) from error
    return CameraResume(camera, last_seq, bucket_end_ns, events, alerts)


def _raised_alerts(db: sqlite3.Connection, camera_id: int) -> tuple[dict[str, Any], ...]:
    """The data of each alert's last event, of those that are raised. The index of alerts makes it cheap."""
    last: dict[str, dict[str, Any]] = {}
    rows = db.execute(
        f"SELECT body FROM events WHERE camera=? AND type='{ALERT}' ORDER BY seq DESC LIMIT ?",
        (camera_id, MAX_ALERT_EVENTS),
    )
    for (body,) in rows:
        data = msgspec.json.decode(body)["data"]
        last.setdefault(data["alert"], data)
    return tuple(data for data in last.values() if data["state"] == "raised")


def _counted_ns(record: EventRecord) -> int:
    return int(record.data.get("crossed_captured_ns", record.captured_ns))
