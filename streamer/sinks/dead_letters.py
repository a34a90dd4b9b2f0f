"""Events that the other side refused again and again: kept in the sink's file (progress.py) until a person
decides.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.sinks.base import SinkError
from streamer.sinks.progress import Progress

MAX_DEAD_LETTERS = 10_000
_COLUMNS = "camera, lineage, seq, type, body, reason, tries, first_ns, died_ns, retry"


class DeadLetter(NamedTuple):
    """`retry`: it is to be sent once more. Times are Unix times in nanoseconds."""

    camera: str
    lineage: int
    seq: int
    type: str
    body: str
    reason: str
    tries: int
    first_ns: int
    died_ns: int
    retry: int

    @property
    def event(self) -> StoredEvent:
        return StoredEvent(self.camera, EventId(self.lineage, self.seq), self.type, self.body, None, None)


class DeadLetters:
    """Those of one sink. Raises SinkError."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def count(self) -> int:
        with self._progress.changing() as db:
            return int(db.execute("SELECT count(*) FROM dead_letters").fetchone()[0])

    def all(self, retry_only: bool = False) -> list[DeadLetter]:
        """The oldest first."""
        where = "WHERE retry" if retry_only else ""
        with self._progress.changing() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM dead_letters {where} ORDER BY died_ns, camera, seq")
            return [DeadLetter(*row) for row in rows.fetchall()]

    def was_refused(self, event: StoredEvent) -> bool:
        """Whether this event was refused before, and is not buried yet."""
        place = (event.camera, *event.id)
        with self._progress.changing() as db:
            found = db.execute("SELECT 1 FROM attempts WHERE camera=? AND lineage=? AND seq=?", place)
            return found.fetchone() is not None

    def note_refusal(self, event: StoredEvent) -> tuple[int, int]:
        """(how often this event was refused by now, when first), also over a restart."""
        now_ns = time.time_ns()
        with self._progress.changing() as db:
            row = db.execute(
                "SELECT tries, first_ns FROM attempts WHERE camera=? AND lineage=? AND seq=?",
                (event.camera, *event.id),
            ).fetchone()
            tries, first_ns = (row[0] + 1, row[1]) if row else (1, now_ns)
            values = (event.camera, *event.id, tries, first_ns)
            db.execute("INSERT OR REPLACE INTO attempts VALUES (?,?,?,?,?)", values)
        return tries, first_ns

    def bury(self, event: StoredEvent, reason: str, tries: int, first_ns: int) -> None:
        """Keep it here. Raises SinkError where there are too many."""
        if self.count() >= MAX_DEAD_LETTERS:
            raise SinkError(
                "rejected",
                f"camera {event.camera}: {MAX_DEAD_LETTERS} dead letters are kept, and {event.id} is refused "
                f"({reason}): see streamer sink dead-letters list, then retry or drop them",
            )
        row = (event.camera, *event.id, event.type, event.body, reason, tries, first_ns, time.time_ns(), 0)
        with self._progress.changing() as db:
            db.execute("INSERT OR REPLACE INTO dead_letters VALUES (?,?,?,?,?,?,?,?,?,?)", row)

    def ask_retry(self, cameras: Sequence[str] = ()) -> int:
        """Have those of `cameras` (of all) sent once more; returns how many."""
        return self._change("UPDATE dead_letters SET retry=1", cameras)

    def drop(self, cameras: Sequence[str] = ()) -> int:
        """Forget those of `cameras` (of all); returns how many."""
        return self._change("DELETE FROM dead_letters", cameras)

    def delivered(self, letter: DeadLetter) -> None:
        with self._progress.changing() as db:
            db.execute("DELETE FROM dead_letters WHERE camera=? AND lineage=? AND seq=?", letter[:3])

    def refused_again(self, letter: DeadLetter, reason: str) -> None:
        with self._progress.changing() as db:
            db.execute(
                "UPDATE dead_letters SET retry=0, tries=tries+1, reason=?"
                " WHERE camera=? AND lineage=? AND seq=?",
                (reason, *letter[:3]),
            )

    def _change(self, statement: str, cameras: Sequence[str]) -> int:
        changed = 0
        with self._progress.changing() as db:
            if not cameras:
                return db.execute(statement).rowcount
            for camera in cameras:
                changed += db.execute(f"{statement} WHERE camera=?", (camera,)).rowcount
        return changed
