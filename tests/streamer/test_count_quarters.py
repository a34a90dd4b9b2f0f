"""Counts that are summed by quarter hours in the ledger are the sums of those by minute, in every column."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streamer.api.counts.query import Counted, CountQuery, columns_of
from streamer.api.moments import LocalTime
from streamer.ledger import Ledger, LedgerReader

BEGIN_MINUTE = 29_600_000  # of Unix time, not on a quarter: 29_600_000 % 15 == 5
MINUTES = 2000


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[LedgerReader]:
    Ledger(tmp_path / "l.db", "n", max_bytes=64 << 20, retention_days=30).close()
    chance = random.Random(7)
    with sqlite3.connect(tmp_path / "l.db") as db:
        db.executemany("INSERT INTO cameras (id, name) VALUES (?,?)", [(1, "gate"), (2, "yard")])
        for n in range(MINUTES):
            camera, key = chance.choice((1, 2)), f"line/door/{chance.choice(('in', 'out'))}/1/person"
            place = (camera, BEGIN_MINUTE + n, key)
            db.execute("INSERT INTO rollups VALUES (?,?,?,?)", (*place, count := chance.randrange(1, 9)))
            db.execute(
                "INSERT INTO tallies VALUES (?,?,?,?,?,?,?)", (*place, count, 900 * count, 1100 * count, 0)
            )
            if n % 50 == 0:
                db.execute(
                    "INSERT INTO corrections (camera, seq, minute, key, amount) VALUES (?,?,?,?,?)",
                    (camera, n, *place[1:], chance.choice((-1, 2))),
                )
    opened = LedgerReader(tmp_path / "l.db")
    yield opened
    opened.close()


def answer(
    reader: LedgerReader, by: str, since_s: int, until_s: int, minutes: int
) -> list[dict[str, object]]:
    query = CountQuery(columns_of(by), ZoneInfo("Asia/Kathmandu"), since_s, until_s)  # UTC+5:45
    found = reader.counts(since_s=since_s, until_s=until_s, minutes=minutes)
    return Counted(query, found, (), {}).rows()


@pytest.mark.parametrize("by", ["camera", "camera,hour,direction", "day,class", "week", "name,direction,rev"])
def test_rows_are_the_same_by_minutes_and_by_quarters(reader: LedgerReader, by: str) -> None:
    begin_s = BEGIN_MINUTE * 60
    for since_s, until_s in ((0, 1 << 40), (begin_s + 7 * 60, begin_s + 1001 * 60)):
        rows = answer(reader, by, since_s, until_s, 15)
        assert rows == answer(reader, by, since_s, until_s, 1)
        assert rows


def test_a_quarter_has_the_label_of_each_of_its_minutes() -> None:
    for name in ("Asia/Kathmandu", "Australia/Lord_Howe", "Europe/Berlin", "America/St_Johns"):
        zone = ZoneInfo(name)
        for at_s in range(1_761_436_800, 1_761_436_800 + 30 * 3600, 60):  # the clocks go back in Berlin
            for period in ("hour", "day", "week"):
                assert LocalTime.of(at_s, zone, period) == LocalTime._made(at_s, zone, period)
