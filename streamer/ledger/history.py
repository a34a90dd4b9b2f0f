"""The events of a span of time, read in pages, so that neither memory nor the writer's WAL grows with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from streamer.events.cloudevents import ERASED, EventId, StoredEvent
from streamer.ledger import schema
from streamer.ledger.queries import MAX_NS, LedgerReader

PAGE_ROWS = 1000


def history(
    path: Path,
    since_ns: int = 0,
    until_ns: int = MAX_NS,
    cameras: Collection[str] = (),
    types: Collection[str] = (),
) -> Iterator[StoredEvent]:
    """The events captured from `since_ns` up to before `until_ns` (Unix time), in the order of their commit;
    of `cameras` and `types` alone where some are given. What is committed meanwhile is not among them.
    Raises StorageError.
    """
    LedgerReader(path).close()  # which says of another version what to do
    named = ",".join("?" * len(cameras)) if cameras else ""
    typed = ",".join("?" * len(types)) if types else ""
    statement = (
        "SELECT e.id, c.name, e.lineage, e.seq, e.type, e.body, e.total_key, e.total_value"
        " FROM events e JOIN cameras c ON c.id=e.camera"
        " WHERE e.id>? AND e.id<=? AND e.captured_ns>=? AND e.captured_ns<? AND e.type<>?"
        + (f" AND c.name IN ({named})" if named else "")
        + (f" AND e.type IN ({typed})" if typed else "")
        + " ORDER BY e.id LIMIT ?"
    )
    with closing(schema.connect_readonly(path)) as db:
        after, (last,) = 0, db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
        while True:
            span = (after, last, since_ns, until_ns, ERASED)
            rows = db.execute(statement, (*span, *cameras, *types, PAGE_ROWS)).fetchall()
            for row in rows:
                yield StoredEvent(row[1], EventId(row[2], row[3]), *row[4:])
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1][0]
