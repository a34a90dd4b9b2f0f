"""The ledger's events in the order of their commit, from any place in it: for who pages through them, or
goes on where it was cut off.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from streamer.events.cloudevents import ERASED, EventId, StoredEvent
from streamer.ledger.queries import LedgerReader
from streamer.ledger.renames import Renames

LATE_NS = 86_400 * 1_000_000_000  # an event is found by its time if it was committed within a day of it
MAX_EVENTS_A_CALL = 1000


@dataclass(frozen=True)
class EventFilter:
    """Which events are wanted; None: all. Cameras are meant by their names of now. Times are of the events'
    frames, Unix ns, from `since_ns` to before `until_ns`."""

    cameras: Collection[str] | None = None
    type: str | None = None
    since_ns: int = 0
    until_ns: int = (1 << 63) - 1


class Page(NamedTuple):
    """Events, and the row from which to go on: `done` where there is no more now."""

    events: list[StoredEvent]
    row: int
    done: bool


def _config_rev(body: str) -> int:
    """Of an event; 0 of what is none any more."""
    try:
        return int(msgspec.json.decode(body)["data"]["config_rev"])
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
        return 0


class EventFeed(LedgerReader):
    """As LedgerReader."""

    def first_row(self) -> int:
        """The row of the oldest event that is kept; 0: there is none."""
        return int(self._db.execute("SELECT coalesce(min(id), 0) FROM events").fetchone()[0])

    def row_of(self, camera: str, at: EventId) -> int | None:
        """The row of an event; None where it is not kept (an older one, or of another ledger)."""
        row = self._db.execute(
            "SELECT id FROM events WHERE camera=(SELECT id FROM cameras WHERE name=?)"
            " AND seq=? AND lineage=?",
            (camera, at.seq, at.lineage),
        ).fetchone()
        return int(row[0]) if row else None

    def page(self, after_row: int, wanted: EventFilter, limit: int) -> Page:
        """Up to `limit` (at most MAX_EVENTS_A_CALL) wanted events after a row. What is looked at in one
        call is bounded: a page may be short, or empty, and not be the last.
        """
        limit = min(limit, MAX_EVENTS_A_CALL)
        rows = self._db.execute(
            "SELECT e.id, c.name, e.lineage, e.seq, e.type, e.body, e.total_key, e.total_value, e.captured_ns"
            " FROM events e JOIN cameras c ON c.id=e.camera WHERE e.id>? ORDER BY e.id LIMIT ?",
            (after_row, MAX_EVENTS_A_CALL),
        )
        found: list[StoredEvent] = []
        seen, known = 0, self.renames()
        for row in rows:
            seen, after_row = seen + 1, row[0]
            if self._is(wanted, row, known):
                found.append(StoredEvent(row[1], EventId(row[2], row[3]), *row[4:8]))
                if len(found) == limit:
                    break
        rows.close()
        return Page(found, after_row, len(found) < limit and seen < MAX_EVENTS_A_CALL)

    @staticmethod
    def _is(
        wanted: EventFilter, row: tuple[int, str, int, int, str, str, str, int, int], known: Renames
    ) -> bool:
        camera, event_type, captured_ns = row[1], row[4], row[8]
        if wanted.cameras is not None and known.since(camera) is not None:
            camera = known.camera(camera, _config_rev(row[5]))
        return (
            event_type != ERASED
            and (wanted.cameras is None or camera in wanted.cameras)
            and wanted.type in (None, event_type)
            and wanted.since_ns <= captured_ns < wanted.until_ns
        )

    def row_before(self, at_ns: int) -> int:
        """A row before the first event of that time: events lie nearly in the order of their times."""
        low, high = self.first_row(), self.last_row() + 1
        while low < high:
            middle = (low + high) // 2
            row = self._db.execute(
                "SELECT id, captured_ns FROM events WHERE id>=? ORDER BY id LIMIT 1", (middle,)
            ).fetchone()
            if row is None or row[1] >= at_ns - LATE_NS:
                high = middle
            else:
                low = row[0] + 1
        return low - 1
