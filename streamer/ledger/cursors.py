"""How far each sink has each camera, and with that which events may go.

Each configured sink has a row in `sinks` and, for each camera, a row in `cursors`. A camera's `delivered` is
the least of its cursors: what is at or before it every sink has, and retention may prune it. Without any
sink all that is committed counts as delivered. The cursors serve retention and status alone: where a sink
stands is asked of the sink itself, so that a cursor that was lost costs no more than a look.

Runs on the writer's connection, within its transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

# Of a ledger of schema version 3, in which cameras.delivered told how far the only sink, Redis, was.
UPGRADE = """
    INSERT INTO sinks SELECT 'redis' WHERE EXISTS (SELECT 1 FROM cameras);
    INSERT OR IGNORE INTO cursors SELECT 'redis', id, delivered FROM cameras;
"""
_MIN_DELIVERED = (
    "coalesce((SELECT min(coalesce(c.seq, 0)) FROM sinks s"
    " LEFT JOIN cursors c ON c.sink=s.name AND c.camera=cameras.id), last_seq)"
)


class Cursors:
    """Of all sinks. Raises sqlite3.Error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def sinks(self) -> set[str]:
        return {name for (name,) in self._db.execute("SELECT name FROM sinks")}

    def replace_sinks(self, names: Collection[str]) -> None:
        """These are all the sinks there are. One that is new lacks everything; one that is gone keeps back
        no event any more.
        """
        for gone in self.sinks() - set(names):
            self._db.execute("DELETE FROM sinks WHERE name=?", (gone,))
            self._db.execute("DELETE FROM cursors WHERE sink=?", (gone,))
        self._db.executemany("INSERT OR IGNORE INTO sinks VALUES (?)", [(name,) for name in names])
        self._settle()

    def moved(self, positions: Mapping[str, Mapping[str, int]]) -> list[tuple[str, int, int]]:
        """(sink, camera's row, seq) of those of `positions`, seq by sink and camera, that are news."""
        sinks, cursors = self.sinks(), self._cursors()
        cameras = dict(self._db.execute("SELECT name, id FROM cameras").fetchall())
        return [
            (sink, cameras[camera], seq)
            for sink in sinks & positions.keys()
            for camera, seq in positions[sink].items()
            if camera in cameras and cursors.get((sink, cameras[camera])) != seq
        ]

    def lag_without_sinks(self) -> bool:
        """Whether there is no sink, and an event that does not count as delivered yet."""
        row = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM cameras WHERE delivered<>last_seq)"
            " AND NOT EXISTS (SELECT 1 FROM sinks)"
        ).fetchone()
        return bool(row[0])

    def move(self, rows: list[tuple[str, int, int]]) -> None:
        """What moved() found becomes the state."""
        self._db.executemany("INSERT OR REPLACE INTO cursors VALUES (?,?,?)", rows)
        self._settle()

    def _cursors(self) -> dict[tuple[str, int], int]:
        rows = self._db.execute("SELECT sink, camera, seq FROM cursors").fetchall()
        return {(sink, camera): seq for sink, camera, seq in rows}

    def _settle(self) -> None:
        self._db.execute(f"UPDATE cameras SET delivered={_MIN_DELIVERED} WHERE delivered<>{_MIN_DELIVERED}")


def lag(db: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """By sink and camera the number of events that the sink has not got yet."""
    lags: dict[str, dict[str, int]] = {
        name: {} for (name,) in db.execute("SELECT name FROM sinks ORDER BY 1")
    }
    rows = db.execute(
        "SELECT s.name, cameras.name, max(0, last_seq - coalesce(c.seq, 0)) FROM sinks s, cameras"
        " LEFT JOIN cursors c ON c.sink=s.name AND c.camera=cameras.id ORDER BY s.name, cameras.name"
    )
    for sink, camera, missing in rows.fetchall():
        lags[sink][camera] = missing
    return lags
