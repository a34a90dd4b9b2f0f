"""Whether the rows of a ledger are what was written, as far as the rows themselves tell.

SQLite's own check looks at the form of the file. A byte that was flipped in a value leaves that form sound:
so each value must be of its column's type, each text one that can be read, each key one of ours, and each
event the one that its digest was made of. What the check refuses a salvage leaves behind.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any

import msgspec

from streamer.ledger import digests, revisions, schema

Row = tuple[Any, ...]
MAX_LINEAGE = 1 << 43  # milliseconds: the year 2248
BAD_VALUE = (ValueError, TypeError, LookupError, OverflowError, msgspec.MsgspecError, zlib.error)
_TYPES: Mapping[str, tuple[type, ...]] = {"INTEGER": (int,), "TEXT": (str,), "BLOB": (bytes,)}
_PACKED = ("config_revisions", "json")  # text up to schema version 2, then bytes


# Where the damage is in a name of the schema, not even SQLite's message can be read.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)


@cache
def _columns(table: str) -> list[Row]:
    """PRAGMA table_info as this version makes the table, whatever a damaged file says of itself."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db)
        return db.execute(f"PRAGMA table_info({table})").fetchall()


class RowCheck:
    """Of the database `db`, whose digests are read at the start. Raises sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._digests = _readable_digests(db)

    def first_fault(self, tables: Collection[str]) -> str:
        """What is wrong with the first row that is not as it was written; "" where all are."""
        for table in tables:
            try:
                fits = self.of(table)
                for row in self._db.execute(f"SELECT * FROM {table}"):
                    if not fits(row):
                        return f"a row of {table} is not what was written"
            except UNREADABLE as error:
                return f"{table}: {error}"
        return ""

    def of(self, table: str) -> Callable[[Row], bool]:
        """Whether a row of `table` is what was written."""
        columns = _columns(table)
        types = [_TYPES[kind] for _, _, kind, *_ in columns]
        types = [
            (str, bytes) if (table, column[1]) == _PACKED else kind
            for column, kind in zip(columns, types, strict=True)
        ]
        may_lack = [not column[3] and not column[5] for column in columns]
        look = self._event if table == "events" else _LOOKS.get(table)

        def fits(row: Row) -> bool:
            for value, kind, optional in zip(row, types, may_lack, strict=True):
                if not isinstance(value, kind) and not (value is None and optional):
                    return False
            try:
                return look is None or bool(look(row))
            except BAD_VALUE:
                return False

        return fits

    def _event(self, row: Row) -> bool:
        stored = self._digests.get(row[0])
        if stored is not None and digests.agrees(stored, row[1:]):
            return True
        if stored is not None and digests.is_sound(stored):
            return False
        return isinstance(msgspec.json.decode(row[8])["data"], dict)


def fault_of_event(stored: int | None, columns: Sequence[Any]) -> str:
    """What its digest `stored` says against the event of the values `columns` (digests.EVENT_COLUMNS), in
    words that follow its number; "" where it is what was written, or is of a version without digests.
    """
    if stored is None or (isinstance(stored, int) and stored == digests.digest(columns)):
        return ""
    if isinstance(stored, int) and digests.agrees(stored, columns):
        return "has a damaged digest, and is itself what was written"
    if not isinstance(stored, int) or not digests.is_sound(stored):
        return "has a damaged digest: whether it is what was written is not known"
    return "is not what was written: its row differs from its digest"


def _readable_digests(db: sqlite3.Connection) -> dict[int, int]:
    """From both ends up to a damage. None where the ledger is of a version without."""
    found: dict[int, int] = {}
    for order in ("ASC", "DESC"):
        try:
            for event, stored in db.execute(f"SELECT event, digest FROM digests ORDER BY event {order}"):
                found[event] = stored
            break
        except UNREADABLE:
            continue
    return {event: stored for event, stored in found.items() if isinstance(stored, int)}


def _key(row: Row) -> bool:
    """KIND/NAME/DIRECTION/RULE_REV/CLASS, in a rollup after its minute."""
    kind, _, _, rev, _ = next(value for value in row if isinstance(value, str)).split("/", 4)
    return kind in ("line", "zone") and int(rev) >= 0


def _coverage(row: Row) -> bool:
    return _all_numbers(msgspec.json.decode(row[3]))


def _all_numbers(kept: dict[str, Any]) -> bool:
    """Of seconds and frames, some of them by their reasons."""
    return all(
        _all_numbers(value) if isinstance(value, dict) else isinstance(value, int | float)
        for value in kept.values()
    )


def _revision(row: Row) -> bool:
    return isinstance(revisions.unpacked(row[2]), dict)


_LOOKS: Mapping[str, Callable[[Row], bool]] = {
    "lineages": lambda row: 0 < row[0] < MAX_LINEAGE,
    "totals": _key,
    "rollups": _key,
    "tallies": _key,
    "corrections": _key,
    "coverage": _coverage,
    "quarter_counts": _key,
    "config_revisions": _revision,
}


def disagreeing_totals(db: sqlite3.Connection) -> Iterator[tuple[int, str, int, int]]:
    """(camera's row, key, total, what it is by two other records) of totals that one flipped value has moved.

    A total is told three times: by itself, by the newest event that changed it, and, where no minute was
    pruned, by the sum of the counts by minute and what people corrected. The middle one of the three is right
    where one is not.
    """
    rows = db.execute(
        "SELECT t.camera, t.key, t.value,"
        " (SELECT total_value FROM events e WHERE e.camera=t.camera AND e.total_key=t.key"
        " ORDER BY seq DESC LIMIT 1),"
        " (SELECT sum(n) FROM rollups r WHERE r.camera=t.camera AND r.key=t.key)"
        " + coalesce((SELECT sum(amount) FROM corrections x WHERE x.camera=t.camera AND x.key=t.key), 0)"
        " FROM totals t"
    )
    for camera, key, value, by_events, by_minutes in rows.fetchall():
        if by_events is None or by_minutes is None:
            continue
        middle = sorted((value, by_events, by_minutes))[1]
        if middle != value:
            yield camera, key, value, middle
