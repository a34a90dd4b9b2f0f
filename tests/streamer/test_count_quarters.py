"""Counts and coverage that are added up from quarters of an hour are those of minutes and buckets, in every
column and timezone."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streamer.api.counts.query import NO_END_S, Counted, CountQuery, columns_of
from streamer.api.moments import LocalTime, spans_of_offset
from streamer.ledger import Ledger, LedgerReader, quarters
from streamer.ledger.verification import verify
from tests.streamer.test_ledger import NODE

BEGIN_MINUTE = int(datetime(2026, 10, 24, 21, 5, tzinfo=UTC).timestamp()) // 60  # Berlin's clocks go back
BEGIN_S = BEGIN_MINUTE * 60
MINUTES = 2000
S = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Ledger(tmp_path / "l.db", NODE, max_bytes=64 << 20, retention_days=30).close()
    with closing(sqlite3.connect(tmp_path / "l.db")) as db, db:
        db.executemany("INSERT INTO cameras (id, name) VALUES (?,?)", [(1, "gate"), (2, "yard")])
        fill_minutes(db, random.Random(7))
        quarters.fill(db)
    return tmp_path / "l.db"


@pytest.fixture
def reader(path: Path) -> Iterator[LedgerReader]:
    with closing(LedgerReader(path)) as opened:
        yield opened


def fill_minutes(db: sqlite3.Connection, chance: random.Random) -> None:
    for n in range(MINUTES):
        camera, key = chance.choice((1, 2)), f"line/door/{chance.choice(('in', 'out'))}/1/person"
        place = (camera, BEGIN_MINUTE + n, key)
        db.execute("INSERT INTO rollups VALUES (?,?,?,?)", (*place, count := chance.randrange(1, 9)))
        tally = (count, 900 * count, 1100 * count, 0)
        db.execute("INSERT INTO tallies VALUES (?,?,?,?,?,?,?)", (*place, *tally))
        if n % 50 == 0:
            db.execute("INSERT INTO corrections VALUES (?,?,?,?,?)", (camera, n, *place[1:], n % 4 - 2 or 1))
        for of in (1, 2):
            if chance.random() < 0.97 and not 700 < n < 1000 + 100 * of:
                end_s = BEGIN_S + 60 * n + chance.choice((60, 60, 60, 41))
                bucket = (of, (BEGIN_S + 60 * n) * S, end_s * S, json.dumps(seen(chance)))
                db.execute("INSERT INTO coverage VALUES (?,?,?,?)", bucket)


def seen(chance: random.Random) -> dict[str, Any]:
    frozen = chance.choice((0.0, 0.0, 0.0, 7.25))
    return {
        **dict.fromkeys(("offline_s", "dropped_s", "unknown_s"), 0.0),
        "seen_s": 40.5,
        "gated_s": 1.125,
        "moved_s": chance.choice((0.0, 3.0)),
        "blind": {"frozen": frozen} if frozen else {},
        "frames": {"decoded": 1500, "inferred": 600, "gated": 10, "dropped": {"not_due": 880, "busy": 10}},
    }


def by_minutes(reader: LedgerReader, query: CountQuery) -> dict[str, Any]:
    since_ns, until_ns = query.since_s * S, min(query.until_s * S, (1 << 63) - 1)
    found = reader.counts(since_s=query.since_s, until_s=query.until_s)
    return rounded(
        Counted(query, found, reader.coverage(since_ns=since_ns, until_ns=until_ns), {}).document()
    )


def by_quarters(reader: LedgerReader, query: CountQuery) -> dict[str, Any]:
    return rounded(Counted(query, query.counts(reader), query.buckets(reader), {}).document())


def rounded(value: Any) -> Any:
    """Sums of seconds in another order differ in the last of the three places that are printed."""
    if isinstance(value, dict):
        return {key: rounded(of) for key, of in value.items()}
    if isinstance(value, list):
        return [rounded(of) for of in value]
    return round(value, 2) if isinstance(value, float) else value


@pytest.mark.parametrize(
    "zone", ["Asia/Kathmandu", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]
)
@pytest.mark.parametrize(
    "by", ["camera", "camera,hour,direction", "day,class", "camera,week", "hour,day", "name,direction,rev"]
)
def test_rows_are_the_same_by_quarters_and_by_minutes(reader: LedgerReader, by: str, zone: str) -> None:
    spans = ((0, NO_END_S), (BEGIN_S + 7 * 60, BEGIN_S + 1001 * 60), (BEGIN_S + 61, BEGIN_S + 600))
    for since_s, until_s in spans:
        query = CountQuery(columns_of(by), ZoneInfo(zone), since_s, until_s)
        answer = by_quarters(reader, query)
        assert answer == by_minutes(reader, query)
        assert answer["counts"]
        assert answer["cameras"]["gate"]["seen_s"] > 0


def test_a_time_of_which_nothing_is_kept_has_no_rows(reader: LedgerReader) -> None:
    query = CountQuery(columns_of("hour"), ZoneInfo("UTC"), BEGIN_S - 7200, BEGIN_S - 3600)
    assert by_quarters(reader, query)["counts"] == []


def test_a_bucket_that_is_written_anew_counts_once(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        start_ns, text = db.execute("SELECT start_ns, json FROM coverage WHERE camera=1 LIMIT 1").fetchone()
        doubled = json.loads(text) | {"seen_s": 1.0, "blind": {"black": 2.0}}
        db.execute(
            "UPDATE coverage SET json=? WHERE camera=1 AND start_ns=?", (json.dumps(doubled), start_ns)
        )
        quarters.close(db, 1, start_ns)
    with closing(LedgerReader(path)) as reader:
        query = CountQuery(columns_of("camera,hour"), ZoneInfo("UTC"), 0)
        assert by_quarters(reader, query) == by_minutes(reader, query)
        assert "black" in str(by_quarters(reader, query))


def test_a_ledger_of_version_8_gets_its_quarters(path: Path) -> None:
    with closing(LedgerReader(path)) as reader:
        query = CountQuery(columns_of("camera,hour,direction"), ZoneInfo("UTC"), 0)
        before = by_quarters(reader, query)
    with closing(sqlite3.connect(path)) as db, db:
        for table in ("quarters", "quarter_blind", "quarter_counts", "renames"):
            db.execute(f"DROP TABLE {table}")
        db.execute("PRAGMA user_version=8")
    Ledger(path, NODE, max_bytes=64 << 20, retention_days=400).close()
    with closing(LedgerReader(path)) as reader:
        assert by_quarters(reader, query) == before


def test_verify_finds_a_quarter_that_its_minutes_do_not_add_up_to(path: Path) -> None:
    assert not [text for text in findings(path) if "quarter" in text]
    with closing(sqlite3.connect(path)) as db, db:
        (middle,) = db.execute("SELECT avg(quarter) FROM quarter_counts").fetchone()
        db.execute("UPDATE quarter_counts SET n=n+3 WHERE camera=1 AND quarter=?", (int(middle),))
    assert [text for text in findings(path) if "quarter of an hour" in text and "by its minutes" in text]


def findings(path: Path) -> list[str]:
    return [str(found) for found in verify(path).findings]


def test_quarters_go_with_their_age(path: Path) -> None:
    now_ns = (BEGIN_S + 60 * MINUTES) * S
    with closing(
        Ledger(path, NODE, max_bytes=64 << 20, retention_days=0.25, now_ns=lambda: now_ns)
    ) as ledger:
        ledger.tick()
    with closing(LedgerReader(path)) as reader:
        first, end = reader.quarters() or (0, 0)
    assert (first, end - first) == (now_ns // S // 900 - 24, 25)


def test_a_quarter_has_the_label_of_each_of_its_minutes() -> None:
    for name in ("Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Berlin", "America/St_Johns"):
        zone = ZoneInfo(name)
        for at_s in range(1_761_436_800, 1_761_436_800 + 30 * 3600, 60):  # the clocks go back in Berlin
            for period in ("hour", "day", "week"):
                assert LocalTime.of(at_s, zone, period) == LocalTime._made(at_s, zone, period)


def test_the_parts_of_a_year_by_the_clock_are_those_between_its_changes() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    begin_s, end_s = (int(datetime(year, 1, 1, tzinfo=berlin).timestamp()) for year in (2026, 2027))
    parts = list(spans_of_offset(berlin, begin_s, end_s))
    assert [offset for _, _, offset in parts] == [3600, 7200, 3600]
    changes = [datetime.fromtimestamp(begin, UTC).isoformat() for begin, _, _ in parts[1:]]
    assert changes == ["2026-03-29T01:00:00+00:00", "2026-10-25T01:00:00+00:00"]
    assert (parts[0][0], parts[-1][1]) == (begin_s, end_s)
    assert all(before[1] == after[0] for before, after in pairwise(parts))
