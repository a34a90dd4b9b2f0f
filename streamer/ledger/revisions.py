"""Configuration revisions in the ledger: which of them something kept still refers to, and what goes.

An event names the revision that was in force (`config_rev`), and a total the one that last moved its line or
zone. Revisions only rise along a camera's sequence, so a row a change says which events are of which
(`revision_starts`). What nothing refers to any more goes with the events (docs/decisions/017).
"""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

import msgspec

from streamer.ledger import renames

KEPT_NEWEST = 16  # revisions kept in any case: events of the last ones may be on their way
_RULES = {"lines": "line", "zones": "zone"}  # where a configuration has them -> how a total's key begins


def packed(config_json: str) -> bytes:
    return zlib.compress(config_json.encode(), 9)


def unpacked(stored: bytes | str) -> dict[str, Any]:
    """The document; up to schema version 2 it was kept as text."""
    text = zlib.decompress(stored) if isinstance(stored, bytes) else stored
    document: dict[str, Any] = msgspec.json.decode(text)
    return document


def release(db: sqlite3.Connection) -> int:
    """Let go of revisions and lineages that no kept event of a camera is of; return how many."""
    gone = 0
    for table in ("revision_starts", "lineage_starts"):
        gone += db.execute(
            f"DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM {table} later"
            f" WHERE later.camera={table}.camera AND later.first_seq>{table}.first_seq"
            "  AND later.first_seq<=coalesce((SELECT min(seq) FROM events WHERE events.camera=later.camera),"
            "   later.first_seq))"
        ).rowcount
    return gone


def prune(db: sqlite3.Connection) -> None:
    """Delete the revisions that neither a kept event nor a total refers to, but never the newest."""
    kept = {
        rev
        for (rev,) in db.execute(
            "SELECT DISTINCT config_rev FROM revision_starts"
            " WHERE EXISTS (SELECT 1 FROM events WHERE events.camera=revision_starts.camera)"
        )
    }
    kept |= {_rule_rev(key) for (key,) in db.execute("SELECT DISTINCT key FROM totals")}
    newest_first = [
        rev for (rev,) in db.execute("SELECT rev FROM config_revisions ORDER BY at_ns DESC, rev DESC")
    ]
    gone = [(rev,) for rev in newest_first[KEPT_NEWEST:] if rev not in kept]
    db.executemany("DELETE FROM config_revisions WHERE rev=?", gone)


def prune_totals(db: sqlite3.Connection) -> int:
    """Delete the totals of rules that are not in force any more, once the counts by minute behind them have
    gone by age, and every sink has all of their camera. Return how many went. Of what was renamed the counts
    by minute stand under the name that they were told under.
    """
    in_force = _in_force(db)
    if in_force is None:
        return 0
    gone, known = 0, renames.read(db)
    for camera, name in db.execute("SELECT id, name FROM cameras WHERE delivered>=last_seq").fetchall():
        keys = [key for (key,) in db.execute("SELECT key FROM totals WHERE camera=?", (camera,))]
        old = [key for key in keys if (name, *_rule(key)) not in in_force]
        if not old:
            continue
        counted = _counted(db, name) | _counted_before(db, known, name)
        rows = [(camera, key) for key in old if key not in counted]
        db.executemany("DELETE FROM totals WHERE camera=? AND key=?", rows)
        gone += len(rows)
    return gone


def _counted(db: sqlite3.Connection, camera: str) -> set[str]:
    """The keys of the counts by minute under this name."""
    rows = db.execute(
        "WITH it AS (SELECT id FROM cameras WHERE name=?1)"
        " SELECT key FROM rollups WHERE camera=(SELECT id FROM it)"
        " UNION SELECT key FROM corrections WHERE camera=(SELECT id FROM it)",
        (camera,),
    )
    return {key for (key,) in rows}


def _counted_before(db: sqlite3.Connection, known: renames.Renames, camera: str) -> set[str]:
    """The keys, as they are now, of counts under earlier names of the camera, its lines and its zones."""
    found = (known.total(source, was) for source in known.sources(camera) for was in _counted(db, source))
    return {key for now, key in found if now == camera}


def upgrade(db: sqlite3.Connection) -> None:
    """Of a ledger of schema version 2: find where revisions begin, and pack the documents."""
    fill(db)
    for rev, text in db.execute("SELECT rev, json FROM config_revisions").fetchall():
        if isinstance(text, str):
            db.execute("UPDATE config_revisions SET json=? WHERE rev=?", (packed(text), rev))


def fill(db: sqlite3.Connection) -> None:
    """Write `revision_starts` from the events, without reading them all: between two of one revision lie
    only more of it."""
    for (camera,) in db.execute("SELECT id FROM cameras").fetchall():
        ends = [_event(db, camera, order) for order in ("ASC", "DESC")]
        if ends[0] is None or ends[1] is None:
            continue
        starts = [ends[0], *_changes(db, camera, ends[0], ends[1])]
        db.executemany(
            "INSERT OR REPLACE INTO revision_starts VALUES (?,?,?)",
            [(camera, seq, rev) for seq, rev in starts],
        )


def _changes(
    db: sqlite3.Connection, camera: int, first: tuple[int, int], last: tuple[int, int]
) -> list[tuple[int, int]]:
    """(seq, revision) of each event after `first`, up to `last`, that is of another one than that before."""
    if first[1] == last[1]:
        return []
    middle = _event(db, camera, "ASC", (first[0] + last[0]) // 2 + 1)
    if middle is None or middle[0] >= last[0]:
        before = _event(db, camera, "DESC", last[0] - 1)
        if before is None or before[0] <= first[0]:
            return [last]
        middle = before
    return _changes(db, camera, first, middle) + _changes(db, camera, middle, last)


def _event(db: sqlite3.Connection, camera: int, order: str, seq: int | None = None) -> tuple[int, int] | None:
    """(seq, revision) of the camera's first or last event, or of the first from `seq` on or last up to it.

    A body that was damaged is of revision 0.
    """
    way = ">=" if order == "ASC" else "<="
    row = db.execute(
        "SELECT seq, coalesce(iif(json_valid(body), json_extract(body, '$.data.config_rev'), 0), 0)"
        f" FROM events WHERE camera=?1 AND (?2 IS NULL OR seq{way}?2) ORDER BY seq {order} LIMIT 1",
        (camera, seq),
    ).fetchone()
    return (row[0], row[1]) if row else None


def _in_force(db: sqlite3.Connection) -> set[tuple[str, str, str, int]] | None:
    """(camera, "line" or "zone", name, rule_rev) of the newest configuration; None where none is kept."""
    row = db.execute("SELECT json FROM config_revisions ORDER BY at_ns DESC, rev DESC LIMIT 1").fetchone()
    if row is None:
        return None
    return {
        (camera["name"], kind, rule["name"], int(rule.get("rev", 0)))
        for camera in unpacked(row[0]).get("cameras", ())
        for plural, kind in _RULES.items()
        for rule in camera.get("rules", {}).get(plural, ())
    }


def _rule(key: str) -> tuple[str, str, int]:
    """("line" or "zone", name, rule_rev) of a total's key (cloudevents.total_key)."""
    kind, name, _, rev, _ = key.split("/", 4)
    return kind, name, int(rev)


def _rule_rev(key: str) -> int:
    return _rule(key)[2]
