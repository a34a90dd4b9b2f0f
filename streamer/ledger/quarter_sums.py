"""Counts and coverage of long times, added up by SQLite from the quarters of an hour of `quarters.py`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from streamer.ledger.buckets import Coverage
from streamer.ledger.quarters import KINDS, QUARTER_NS, QUARTER_S

_MS_PER_S = 1000
Counts = tuple[str, int, str, int, int, int, int, int, int]  # camera, start_s, key and the sums


class Span(NamedTuple):
    """Quarters from `first` to before `end` in which local time is `offset_s` ahead of UTC, to be added up by
    periods of `period_s` that begin at local midnight or at Monday's (0: all together)."""

    first: int
    end: int
    offset_s: int
    period_s: int

    @property
    def _group(self) -> str:
        if not self.period_s:
            return "'all'"  # no number: that would be a column's
        since_monday_s = 3 * 86_400  # 1970 began on a Thursday
        return f"(quarter * {QUARTER_S} + {self.offset_s + since_monday_s}) / {self.period_s}"


def parted(spans: Sequence[Span], times_ns: Sequence[int]) -> list[Span]:
    """The same quarters, none of the spans going on after a quarter that one of the times lies in."""
    ends = [at_ns // QUARTER_NS + 1 for at_ns in times_ns]
    found = []
    for span in spans:
        edges = sorted({span.first, span.end, *(end for end in ends if span.first < end < span.end)})
        found += [span._replace(first=a, end=b) for a, b in pairwise(edges)]
    return found


def ends(db: sqlite3.Connection) -> tuple[int, int] | None:
    """The first quarter and the one after the last that anything is kept of; None where nothing is."""
    kept: list[int] = []
    for (camera,) in db.execute("SELECT id FROM cameras").fetchall():
        for table in ("quarters", "quarter_counts"):
            for end in ("min", "max"):  # one a question, which the key answers at once
                kept += db.execute(f"SELECT {end}(quarter) FROM {table} WHERE camera=?", (camera,)).fetchone()
    known = [quarter for quarter in kept if quarter is not None]
    return (min(known), max(known) + 1) if known else None


def counts(db: sqlite3.Connection, spans: Sequence[Span], camera: str | None) -> Iterator[Counts]:
    """By camera, period and key, span after span: n, crossings, right_sum, stands_for_sum, moving and
    corrected of `queries.Count`."""
    for span in spans:
        yield from db.execute(
            "SELECT c.name, min(quarter) * ?4, key, sum(n), sum(crossings), sum(right_sum),"
            " sum(stands_for_sum), sum(moving), sum(corrected)"
            " FROM cameras c CROSS JOIN quarter_counts q ON q.camera=c.id"
            " WHERE (?3 IS NULL OR c.name=?3) AND quarter>=?1 AND quarter<?2"
            f" GROUP BY c.name, {span._group}, key",
            (span.first, span.end, camera, QUARTER_S),
        ).fetchall()


def coverage(db: sqlite3.Connection, spans: Sequence[Span], camera: str | None) -> dict[str, list[Coverage]]:
    """By camera, its periods in the order of their times."""
    found: dict[str, list[Coverage]] = {}
    for span in spans:
        blind = _blind(db, span, camera)
        for row in _covered(db, span, camera):
            found.setdefault(row[0], []).append(_coverage(row, blind.get((row[0], row[1]), {})))
    return found


def seconds(db: sqlite3.Connection, first: int, end: int) -> dict[str, dict[str, float]]:
    """By camera and kind, of the quarters from `first` to before `end`."""
    rows = db.execute(
        f"SELECT c.name, {', '.join(f'sum({kind}_ms)' for kind in KINDS)} FROM cameras c"
        " CROSS JOIN quarters q ON q.camera=c.id WHERE quarter>=? AND quarter<? GROUP BY c.name",
        (first, end),
    )
    return {
        name: {kind: ms / _MS_PER_S for kind, ms in zip(KINDS, sums, strict=True)} for name, *sums in rows
    }


def _covered(db: sqlite3.Connection, span: Span, camera: str | None) -> list[tuple[str, ...]]:
    return db.execute(
        f"SELECT c.name, {span._group} AS period, min(first_ns), max(last_ns), sum(covered_ms),"
        f" sum(moved_ms), sum(looked_at), sum(wanted), {', '.join(f'sum({kind}_ms)' for kind in KINDS)}"
        " FROM cameras c CROSS JOIN quarters q ON q.camera=c.id"
        " WHERE (?3 IS NULL OR c.name=?3) AND quarter>=?1 AND quarter<?2"
        " GROUP BY c.name, period ORDER BY c.name, period",
        (span.first, span.end, camera),
    ).fetchall()


def _blind(db: sqlite3.Connection, span: Span, camera: str | None) -> dict[tuple[str, str], dict[str, float]]:
    """Seconds by camera and period, and by reason."""
    sums: dict[tuple[str, str], dict[str, float]] = {}
    for name, period, reason, ms in db.execute(
        f"SELECT c.name, {span._group} AS period, reason, sum(ms)"
        " FROM cameras c CROSS JOIN quarter_blind q ON q.camera=c.id"
        " WHERE (?3 IS NULL OR c.name=?3) AND quarter>=?1 AND quarter<?2 GROUP BY c.name, period, reason",
        (span.first, span.end, camera),
    ).fetchall():
        sums.setdefault((name, period), {})[reason] = ms / _MS_PER_S
    return sums


def _coverage(row: Sequence[str], blind: dict[str, float]) -> Coverage:
    name, _, *numbers = row
    first_ns, last_ns, covered_ms, moved_ms, looked_at, wanted, *kinds = map(int, numbers)
    seconds = {f"{kind}_s": ms / _MS_PER_S for kind, ms in zip(KINDS, kinds, strict=True)}
    gap_s = max(0.0, (last_ns - first_ns) / 1e9 - covered_ms / _MS_PER_S)
    return Coverage(
        name, first_ns, last_ns, seconds, blind, moved_ms / _MS_PER_S, looked_at, wanted, round(gap_s, 3)
    )
