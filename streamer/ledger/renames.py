"""What was called otherwise before: cameras, and their lines and zones.

What was told stays as it was told, under the name that it had then. A rename is a row of its own beside it,
and who asks for the past by a name of today is led along the chain of names. The revision of the
configuration says which past is meant, since it stands in every event and every total's key: what was of the
old name up to the rename's revision belongs to the new one, and whoever takes the old name later has a later
revision. The times of coverage have none: there the moment of the rename decides, by quarters of an hour the
quarter that it lies in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from streamer.ipc.rename import Rename

TABLE = """
    CREATE TABLE renames (                         -- what was called otherwise before (renames.py)
        rev INTEGER NOT NULL,                      -- the configuration's, that brought the new name
        kind TEXT NOT NULL,                        -- camera, line or zone
        camera TEXT NOT NULL,                      -- its name just before that
        old TEXT NOT NULL, new TEXT NOT NULL, at_ns INTEGER NOT NULL,
        PRIMARY KEY (rev, kind, camera, old)
    ) WITHOUT ROWID;
"""
CAMERA = "camera"
MAX_SEQ = (1 << 63) - 1


class Stretch(NamedTuple):
    """A part of a sequence: of the camera that was called `name`, from event `first` to event `last`."""

    name: str
    first: int
    last: int


class Renames:
    """All that a ledger knows of, in their order."""

    def __init__(self, known: Iterable[Rename] = ()) -> None:
        self._known = sorted(known)

    def __bool__(self) -> bool:
        return bool(self._known)

    def camera(self, name: str, rev: int) -> str:
        """What the camera is called now that was `name` under configuration `rev`."""
        return _follow(name, (r for r in self._cameras() if r.rev >= rev))

    def camera_at(self, name: str, at_ns: int) -> str:
        """Likewise of the one that was `name` at a time of the box's clock (Unix ns)."""
        return _follow(name, (r for r in self._cameras() if r.at_ns > at_ns))

    def rule(self, camera: str, kind: str, name: str, rev: int) -> tuple[str, str]:
        """What the camera and its line or zone are called now that were so with a rule of revision `rev`."""
        for rename in self._known:
            if rename.rev < rev:
                continue
            if rename.kind == CAMERA and rename.old == camera:
                camera = rename.new
            elif (rename.kind, rename.camera, rename.old) == (kind, camera, name):
                name = rename.new
        return camera, name

    def sources(self, camera: str) -> tuple[str, ...]:
        """The names under which there may be a past of what is `camera` now, its own first."""
        found = [camera]
        for name in found:  # grows as it is walked
            found += [r.old for r in self._cameras() if r.new == name and r.old not in found]
        return tuple(found)

    def since(self, camera: str) -> Rename | None:
        """The last rename that took the name `camera` away; None where nobody did."""
        return next((r for r in reversed(self._cameras()) if r.old == camera), None)

    def left(self, camera: str, key: str) -> bool:
        """Whether the running total `key` of `camera` goes on under another name."""
        kind, name, _, rev, _ = key.split("/", 4)
        return self.rule(camera, kind, name, int(rev)) != (camera, name)

    def times_ns(self) -> list[int]:
        """When cameras were renamed (Unix ns), in order."""
        return sorted(rename.at_ns for rename in self._cameras())

    def _cameras(self) -> list[Rename]:
        return [rename for rename in self._known if rename.kind == CAMERA]


def _follow(name: str, later: Iterable[Rename]) -> str:
    for rename in later:
        if rename.old == name:
            name = rename.new
    return name


def read(db: sqlite3.Connection) -> Renames:
    """Raises what the connection raises."""
    rows = db.execute("SELECT rev, kind, camera, old, new, at_ns FROM renames").fetchall()
    return Renames(Rename(*row) for row in rows)


def stretches(db: sqlite3.Connection, renames: Renames, camera: str) -> list[Stretch]:
    """Where the events of what is `camera` now lie, whatever it was called."""
    if not renames:
        return [Stretch(camera, 0, MAX_SEQ)]
    return [stretch for name in renames.sources(camera) for stretch in _of_name(db, renames, name, camera)]


def _of_name(db: sqlite3.Connection, renames: Renames, name: str, camera: str) -> list[Stretch]:
    rows = db.execute(
        "SELECT first_seq, config_rev FROM revision_starts"
        " WHERE camera=(SELECT id FROM cameras WHERE name=?) ORDER BY first_seq",
        (name,),
    ).fetchall()
    firsts = [0, *(first for first, _ in rows[1:]), MAX_SEQ]
    return [
        Stretch(name, firsts[i], firsts[i + 1] - 1)
        for i, (_, rev) in enumerate(rows)
        if renames.camera(name, rev) == camera
    ]


def record(db: sqlite3.Connection, renames: Iterable[Rename]) -> bool:
    """Put down those that are news, within the transaction of who calls, and let running totals go on under
    the new name. Return whether there was one."""
    known = {tuple(row) for row in db.execute("SELECT rev, kind, camera, old FROM renames").fetchall()}
    news = [r for r in sorted(renames) if (r.rev, r.kind, r.camera, r.old) not in known]
    for rename in news:
        db.execute("INSERT INTO renames VALUES (?,?,?,?,?,?)", tuple(rename))
        if rename.kind == CAMERA:
            _copy_totals(db, rename)
        else:
            _copy_rule_totals(db, rename)
    return bool(news)


def _copy_totals(db: sqlite3.Connection, rename: Rename) -> None:
    """The old one's stay, since its events tell them."""
    db.execute("INSERT OR IGNORE INTO cameras (name) VALUES (?)", (rename.new,))
    rows = db.execute(
        "SELECT key, value FROM totals WHERE camera=(SELECT id FROM cameras WHERE name=?)", (rename.old,)
    ).fetchall()
    _add(db, rename.new, [(key, value) for key, value in rows if _rev(key) <= rename.rev])


def _copy_rule_totals(db: sqlite3.Connection, rename: Rename) -> None:
    start = f"{rename.kind}/{rename.old}/"
    rows = db.execute(
        "SELECT key, value FROM totals WHERE camera=(SELECT id FROM cameras WHERE name=?)", (rename.camera,)
    ).fetchall()
    named = [(key, value) for key, value in rows if key.startswith(start) and _rev(key) <= rename.rev]
    new = f"{rename.kind}/{rename.new}/"
    _add(db, rename.camera, [(new + key.removeprefix(start), value) for key, value in named])


def _add(db: sqlite3.Connection, camera: str, totals: list[tuple[str, int]]) -> None:
    db.executemany(
        "INSERT INTO totals SELECT id, ?2, ?3 FROM cameras WHERE name=?1"
        " ON CONFLICT DO UPDATE SET value=value+excluded.value",
        [(camera, key, value) for key, value in totals],
    )


def _rev(key: str) -> int:
    return int(key.split("/", 4)[3])
