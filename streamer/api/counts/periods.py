"""All periods of a range by their labels: also those in which nothing was counted, or nothing recorded, which
have no row. A chart has a place for each."""

from __future__ import annotations

import time
from typing import Any

from streamer.api.counts.query import NO_END_S, Counted
from streamer.api.moments import PERIODS, LocalTime
from streamer.ledger.quarters import QUARTER_S

MAX_PERIODS = 20_000


def periods_of(counted: Counted) -> list[dict[str, Any]]:
    """Of rows by hour, day or week: `label` as in the rows, and `start_s` (Unix time).

    Empty for rows that are by none of these, or that reach over more than MAX_PERIODS hours.
    """
    column = next((c for c in counted.query.columns if c in PERIODS and c != "minute"), None)
    begin_s, end_s = _range(counted)
    if column is None or not 0 < end_s - begin_s <= MAX_PERIODS * 3600:
        return []
    starts: dict[str, int] = {}
    for at_s in range(begin_s, end_s, QUARTER_S):
        starts.setdefault(LocalTime.of(at_s, counted.query.zone, column), at_s)
    return [{"label": str(label), "start_s": start} for label, start in starts.items()]


def _range(counted: Counted) -> tuple[int, int]:
    """From what was asked for, or where that is all, from where the record begins; to now at the latest."""
    query, now_s = counted.query, int(time.time())
    begin_s = query.since_s or min((begun for begun, _ in counted.recorded_s.values()), default=0)
    return begin_s - begin_s % QUARTER_S, now_s if query.until_s == NO_END_S else min(query.until_s, now_s)
