"""How events leave the ledger, with the paths of tracks: from the front of a camera's sequence, and counted.

Numbers are never given out again, and none is missing between two that are kept: an event goes only after
those before it. A track whose own time is over before that leaves its number behind and nothing else.
Runs within the transaction of who calls.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from pipelines.events import TRACK_ENDED
from streamer.errors import StorageError
from streamer.events.cloudevents import ERASED
from streamer.ledger import digests, revisions, schema
from streamer.ledger.refusals import refusal

Reason = Literal["age", "room", "asked", "undelivered", "tracks"]
REASONS: tuple[Reason, ...] = get_args(Reason)
_MAX_NS = (1 << 63) - 1
_CHUNK_ROWS = 500
_COUNTED = "pruned_for."  # keys of the table meta


class Pruned(NamedTuple):
    """Events of one camera: all that go, and how many of them a sink has not got."""

    camera: str
    events: int
    undelivered: int


def pruned_for(db: sqlite3.Connection) -> dict[Reason, int]:
    """How many events went since the ledger was made, by reason; "undelivered" are part of "asked"."""
    kept = dict(db.execute("SELECT key, value FROM meta WHERE key GLOB ?", (_COUNTED + "*",)).fetchall())
    return {reason: int(kept.get(_COUNTED + reason, 0)) for reason in REASONS}


def note(db: sqlite3.Connection, reason: Reason, count: int) -> None:
    """Count events that went."""
    if count:
        db.execute(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value=CAST(value AS INTEGER)+?2",
            (_COUNTED + reason, count),
        )


def last_old(db: sqlite3.Connection, camera: int, count: int, before_ns: int, now_ns: int) -> int:
    """The number up to which the camera's first `count` events are older than `before_ns` (0: none is). One
    that claims to be of after now was made by a clock that stood wrong, and holds up no other.
    """
    rows = db.execute(
        "SELECT seq, captured_ns FROM events WHERE camera=? ORDER BY seq LIMIT ?", (camera, count)
    ).fetchall()
    last = 0
    for seq, captured_ns in rows:
        if before_ns <= captured_ns <= now_ns:
            break
        last = seq
    return int(last)


def delete(db: sqlite3.Connection, camera: int, last_seq: int, count: int, reason: Reason) -> int:
    """Delete the camera's first `count` events, none after `last_seq`; return how many went."""
    rows = db.execute(
        "SELECT id FROM events WHERE camera=? AND seq<=? ORDER BY seq LIMIT ?", (camera, last_seq, count)
    ).fetchall()
    gone = len(rows)
    db.executemany("DELETE FROM events WHERE id=?", rows)
    db.executemany("DELETE FROM digests WHERE event=?", rows)
    db.execute(  # a track's path goes with its event
        "DELETE FROM paths WHERE camera=?1 AND seq <"
        " coalesce((SELECT min(seq) FROM events WHERE camera=?1), 1 << 62)",
        (camera,),
    )
    note(db, reason, gone)
    return gone


def old_tracks(db: sqlite3.Connection, before_ns: int, count: int) -> list[tuple[int, int]]:
    """(camera's row, seq) of up to `count` delivered tracks that ended before."""
    found: list[tuple[int, int]] = []
    for camera, delivered in db.execute("SELECT id, delivered FROM cameras").fetchall():
        found += db.execute(
            "SELECT camera, seq FROM paths WHERE camera=? AND last_ns<? AND seq<=? ORDER BY last_ns LIMIT ?",
            (camera, before_ns, delivered, count - len(found)),
        ).fetchall()
    return found


def erase(db: sqlite3.Connection, tracks: list[tuple[int, int]]) -> None:
    """Of these tracks keep the number alone, with the revision that `explain` of others may need."""
    db.executemany("DELETE FROM paths WHERE camera=? AND seq=?", tracks)
    cursor = db.executemany(
        f"UPDATE events SET type='{ERASED}', body=json_object('data', json_object('camera',"
        " json_extract(body, '$.data.camera'), 'config_rev', json_extract(body, '$.data.config_rev')))"
        f" WHERE camera=? AND seq=? AND type='{TRACK_ENDED}'",
        tracks,
    )
    for track in tracks:
        _seal_anew(db, *track)
    note(db, "tracks", cursor.rowcount)


def _seal_anew(db: sqlite3.Connection, camera: int, seq: int) -> None:
    row = db.execute(
        f"SELECT id, {digests.EVENT_COLUMNS} FROM events WHERE camera=? AND seq=?", (camera, seq)
    ).fetchone()
    if row is not None:
        digests.store(db, row[0], row[1:])


def prune(
    path: Path, before_ns: int, *, undelivered: bool = False, dry_run: bool = False, now_ns: int = _MAX_NS
) -> list[Pruned]:
    """Prune what is older than `before_ns` from the ledger at `path`, also beside the daemon that writes it,
    a bounded piece at a time; with `undelivered` also what a sink has not got. Raise StorageError.

    Counts by minute and running totals stay, which go by the retention alone.
    """
    with closing(schema.connect_readonly(path)) as reader:
        (version,) = reader.execute("PRAGMA user_version").fetchone()
        if version != schema.SCHEMA_VERSION:
            raise StorageError(f"the ledger {path} is of another version: start this version's daemon once")
        cameras = reader.execute("SELECT id, name, delivered FROM cameras ORDER BY name").fetchall()
        due = [(row, _due(reader, row, before_ns, now_ns, undelivered)) for row in cameras]
    found = [pruned for _, (_, pruned) in due if pruned.events]
    if found and not dry_run:
        try:
            with closing(schema.connect(path)) as db:
                for (camera, _, _), (last_seq, pruned) in due:
                    _delete_all(db, camera, last_seq, pruned)
        except sqlite3.Error as error:
            raise refusal(path, error, "be pruned") from error
    return found


def _due(
    db: sqlite3.Connection, row: tuple[int, str, int], before_ns: int, now_ns: int, undelivered: bool
) -> tuple[int, Pruned]:
    """Up to which number the camera's events go, and how many that are."""
    camera, name, delivered = row
    (first_kept,) = db.execute(
        "SELECT min(seq) FROM (SELECT seq FROM events WHERE camera=? AND captured_ns BETWEEN ? AND ?"
        " ORDER BY seq LIMIT 1)",
        (camera, before_ns, now_ns),
    ).fetchone()
    last = _MAX_NS if first_kept is None else first_kept - 1
    last = last if undelivered else min(last, delivered)
    events, lacking = db.execute(
        "SELECT count(*), coalesce(sum(seq>?), 0) FROM events WHERE camera=? AND seq<=?",
        (delivered, camera, last),
    ).fetchone()
    return last, Pruned(name, events, lacking)


def _delete_all(db: sqlite3.Connection, camera: int, last_seq: int, pruned: Pruned) -> None:
    left, lacking = pruned.events, pruned.undelivered
    while left > 0:
        db.execute("BEGIN IMMEDIATE")
        note(db, "undelivered", lacking)
        lacking = 0
        gone = delete(db, camera, last_seq, min(left, _CHUNK_ROWS), "asked")
        if gone and revisions.release(db):
            revisions.prune(db)
        db.execute("COMMIT")
        left = left - gone if gone else 0
