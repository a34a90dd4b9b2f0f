"""`streamer ledger verify`: a sound ledger has no fault, and every kind of damage is one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import StorageError
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger
from streamer.ledger.verification import verify

NODE = "node-1"
MINUTE_NS = 60_000_000_000
BEGIN_NS = 28_333_333 * MINUTE_NS
NOW_NS = BEGIN_NS + 10 * MINUTE_NS


def event(seq: int, type_: str, at_ns: int, data: dict[str, Any]) -> EventRecord:
    return EventRecord("gate", seq, f"streamer.{type_}.v1", "door", 1, seq, seq, at_ns, 1.0, 1, data)


def crossing(seq: int, at_ns: int, crossed_ns: int | None = None) -> EventRecord:
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq}
    data["crossed_captured_ns"] = at_ns if crossed_ns is None else crossed_ns
    return event(seq, "line.crossed", at_ns, data)


def bucket(seq: int, minute: int, count: int, flags: tuple[str, ...] = ()) -> EventRecord:
    start_ns = BEGIN_NS + minute * MINUTE_NS
    lines = {"door": {"in": {"person": count}}} if count else {}
    data = {"start_ns": start_ns, "end_ns": start_ns + MINUTE_NS, "lines": lines, "flags": list(flags)}
    return event(seq, "counts", start_ns + MINUTE_NS, data)


def three_minutes() -> list[EventRecord]:
    """Two crossings in the first minute, one in the second that is told before the first bucket closes, and
    one in the third that is told so late that the fourth bucket has it."""
    second, third = BEGIN_NS + MINUTE_NS, BEGIN_NS + 2 * MINUTE_NS
    return [
        crossing(1, BEGIN_NS + 5),
        crossing(2, BEGIN_NS + 9),
        crossing(3, second + 7),
        bucket(4, 0, 2),
        bucket(5, 1, 1),
        bucket(6, 2, 0),
        crossing(7, third + MINUTE_NS + 7, third + 7),
        bucket(8, 3, 1),
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "l.sqlite", NODE, max_bytes=64 << 20, retention_days=30, now_ns=lambda: NOW_NS)
    yield opened
    opened.close()


def damage(ledger: Ledger, statement: str) -> None:
    with sqlite3.connect(ledger.path) as db:
        db.execute(statement)
    db.close()


def faults(ledger: Ledger) -> list[str]:
    return [f"{camera or 'file'}: {text}" for camera, text in verify(ledger.path).findings]


def test_every_number_and_count_of_a_sound_ledger_is_looked_at_and_none_is_wrong(ledger: Ledger) -> None:
    ledger.commit(three_minutes())
    verdict = verify(ledger.path)
    assert (verdict.faults, verdict.events, verdict.buckets, verdict.minutes) == (0, 8, 4, 3)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM events WHERE seq IN (2, 3)", "gate: events 2 to 3 are missing"),
        ("UPDATE events SET body='{' WHERE seq=2", "gate: event 2 cannot be read"),
        ("UPDATE events SET body=replace(body, '/3\"', '/9\"') WHERE seq=3", "event 3 holds another one"),
        ("UPDATE rollups SET n=n+5", "7 counted, and 2 events"),
        ("DELETE FROM rollups", "0 counted, and 2 events"),
        ("UPDATE totals SET value=9", "is 9, and its last event says 4"),
        ("UPDATE events SET total_value=7 WHERE seq=3", "gate: event 3 raises"),
        ("UPDATE events SET lineage=5 WHERE seq=3", "event 3 is of incarnation 5"),
        ("UPDATE cameras SET last_seq=11", "the last event is said to be 11"),
        ("UPDATE cameras SET delivered=12", "any sink is said to have event 12"),
        (
            "UPDATE events SET body=json_set(body, '$.data.lines.door.in.person', 3) WHERE seq=4",
            "bucket 4 from 2023-11-14T22:13:00Z: line/door/in/person 3 counted, and 2 events",
        ),
        (
            "UPDATE events SET body=json_set(body, '$.data.track_id', 9) WHERE seq=2",
            "gate: event 2 is not what was written: its row differs from its digest",
        ),
        (
            "UPDATE events SET captured_ns=captured_ns+1 WHERE seq=7",
            "gate: event 7 is not what was written",
        ),
        (
            "UPDATE digests SET digest=digest+1 WHERE event=3",
            "gate: event 3 has a damaged digest, and is itself",
        ),
        ("UPDATE digests SET digest=digest+(5<<40)+5 WHERE event=3", "gate: event 3 has a damaged digest: "),
    ],
)
def test_what_was_changed_behind_the_ledgers_back_is_named(ledger: Ledger, statement: str, said: str) -> None:
    ledger.commit(three_minutes())
    damage(ledger, statement)
    assert any(said in line for line in faults(ledger)), faults(ledger)


def test_an_event_of_a_version_without_digests_is_taken_as_it_is(ledger: Ledger) -> None:
    ledger.commit(three_minutes())
    damage(ledger, "DELETE FROM digests WHERE event < 5")
    assert faults(ledger) == []


def test_a_bucket_that_says_itself_that_events_are_lost_is_no_fault(ledger: Ledger) -> None:
    records = three_minutes()
    records[4] = bucket(5, 1, 8, ("events_lost",))
    ledger.commit(records)
    verdict = verify(ledger.path)
    assert (verdict.faults, verdict.unsure) == (0, 1)


def test_a_loss_that_the_next_bucket_tells_of_explains_the_one_before(ledger: Ledger) -> None:
    records = three_minutes()
    records[3], records[4] = bucket(4, 0, 9), bucket(5, 1, 1, ("events_lost",))
    ledger.commit(records)
    assert faults(ledger) == []


def test_what_was_pruned_is_not_missed(ledger: Ledger) -> None:
    ledger.commit(three_minutes())
    damage(ledger, "DELETE FROM events WHERE seq < 3")
    assert faults(ledger) == []


def test_a_page_that_was_overwritten_is_a_fault_and_not_a_crash(ledger: Ledger) -> None:
    ledger.commit(three_minutes())
    for first in range(9, 4009, 200):
        ledger.commit([crossing(seq, BEGIN_NS + 6 * MINUTE_NS + seq) for seq in range(first, first + 200)])
    ledger.close()
    size = ledger.path.stat().st_size
    with ledger.path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * 4096)
    assert verify(ledger.path).faults > 0


def test_where_there_is_no_ledger_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no ledger at"):
        verify(tmp_path / "none")


def test_a_successor_is_told_of_crossings_that_were_told_before_the_bucket_closed_and_happened_after_it(
    ledger: Ledger,
) -> None:
    ledger.commit(three_minutes()[:4])
    assert [record.seq for record in ledger.resume("gate").bucket_events] == [3]
