"""What the ledger keeps of configurations and of rules that are gone, and for how long."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from streamer.events import cloudevents
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerFull, LedgerReader
from streamer.ledger import schema as database
from streamer.ledger.revisions import KEPT_NEWEST
from tests.streamer.test_ledger import NODE, NOW_NS, NS_PER_DAY, Clock, crossing

BUDGET = 2 << 20


def configuration(door_rev: int, *cameras: str, padding: str = "") -> str:
    rules = {"lines": [{"name": "door", "rev": door_rev}], "zones": []}
    return json.dumps({"cameras": [{"name": name, "rules": rules, "note": padding} for name in cameras]})


def of_revision(seq: int, rev: int, camera: str = "gate", rule_rev: int = 1) -> EventRecord:
    record = crossing(seq, camera, rule_rev=rule_rev)
    return EventRecord(**{**{f: getattr(record, f) for f in record.__struct_fields__}, "config_rev": rev})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path, NODE, max_bytes=BUDGET, retention_days=30, now_ns=clock)) as ledger:
        ledger.replace_sinks(["redis"])
        yield ledger


def kept_revisions(ledger: Ledger) -> list[int]:
    with closing(sqlite3.connect(ledger.path)) as db:
        return [rev for (rev,) in db.execute("SELECT rev FROM config_revisions ORDER BY rev")]


def rows(ledger: Ledger, table: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(ledger.path)) as db:
        return db.execute(f"SELECT * FROM {table}").fetchall()


def test_changes_without_end_fill_no_ledger_and_every_kept_event_can_still_be_explained(
    ledger: Ledger, clock: Clock
) -> None:
    drawn = random.Random(1)
    for rev in range(1, 451):
        clock.now_ns += 1_000_000_000
        noise = "".join(drawn.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=8000))
        ledger.record_config(rev, configuration(1, "gate", padding=noise))
        if rev % 3 == 0:
            ledger.commit([of_revision(rev // 3, rev)])
            ledger.mark({"redis": {"gate": rev // 3}})
    with closing(LedgerReader(ledger.path)) as reader:
        events = reader.after("gate", None, 10_000)
        assert len(events) > 20
        for event in events:
            assert reader.revision(json.loads(event.body)["data"]["config_rev"]) is not None
        assert reader.revision(450) is not None
        assert reader.totals("gate") == {"line/door/in/1/person": 150}
    assert sum(f.stat().st_size for f in ledger.path.parent.glob("ledger.sqlite*")) <= BUDGET + (64 << 10)
    assert len(rows(ledger, "revision_starts")) == len(events)


def test_revisions_go_with_the_events_that_were_of_them(ledger: Ledger, clock: Clock) -> None:
    last = 3 * KEPT_NEWEST
    for rev in range(1, last + 1):
        clock.now_ns += 1
        ledger.record_config(rev, configuration(1, "gate"))
        ledger.commit([of_revision(rev, rev)])
    assert kept_revisions(ledger) == list(range(1, last + 1))
    ledger.mark({"redis": {"gate": last - 2}})
    clock.now_ns += 31 * NS_PER_DAY
    ledger.commit([of_revision(last + 1, last)])
    ledger.tick()
    # Revision 1 last moved the line, as its total says.
    assert kept_revisions(ledger) == [1, *range(last - KEPT_NEWEST + 1, last + 1)]
    assert [row[2] for row in rows(ledger, "revision_starts")] == [last - 1, last]


def test_starts_of_lineages_go_with_the_events_too(ledger: Ledger, clock: Clock) -> None:
    for seq in range(1, 6):
        ledger.commit([of_revision(seq, 1)])
        ledger.mark({"redis": {"gate": seq}})
        clock.now_ns += 1_000_000_000
        ledger.new_lineage("test")
    ledger.commit([of_revision(6, 1)])
    assert len(rows(ledger, "lineage_starts")) == 6
    clock.now_ns += 31 * NS_PER_DAY
    ledger.tick()
    assert [row[2] for row in rows(ledger, "lineage_starts")] == [6]
    with closing(LedgerReader(ledger.path)) as reader:
        assert [event.id.seq for event in reader.after("gate", None, 10)] == [6]


def test_totals_of_rules_that_are_gone_go_when_their_counts_by_minute_have_gone(
    ledger: Ledger, clock: Clock
) -> None:
    ledger.record_config(1, configuration(1, "gate", "yard"))
    ledger.commit([of_revision(1, 1), of_revision(2, 1), of_revision(1, 1, "yard")])
    clock.now_ns += 1
    ledger.record_config(2, configuration(2, "gate"))  # the line was moved, the yard removed
    ledger.commit([of_revision(3, 2, rule_rev=2)])
    ledger.mark({"redis": {"gate": 3, "yard": 1}})
    ledger.tick()
    with closing(LedgerReader(ledger.path)) as reader:
        assert reader.totals("gate") == {"line/door/in/1/person": 2, "line/door/in/2/person": 1}
        assert reader.emptied() == set()
        clock.now_ns += 31 * NS_PER_DAY
        while ledger.tick():
            pass
        # What is in force stays exact for ever, though its events have gone.
        assert reader.totals("gate") == {"line/door/in/2/person": 1}
        assert reader.totals("yard") == {}
        assert reader.cameras() == {"gate": 3, "yard": 1}  # a name that is used again goes on in its sequence
        clock.now_ns += NS_PER_DAY
        ledger.tick()
        assert reader.emptied() == {"yard"}


def test_totals_that_redis_has_not_got_stay(ledger: Ledger, clock: Clock) -> None:
    ledger.record_config(1, configuration(2, "gate"))
    ledger.commit([of_revision(1, 1)])
    clock.now_ns += 31 * NS_PER_DAY
    assert not ledger.tick()
    with closing(LedgerReader(ledger.path)) as reader:
        assert reader.totals("gate") == {"line/door/in/1/person": 1}


def offer(ledger: Ledger, records: list[EventRecord]) -> None:
    """As a sender does: again while it is refused."""
    for _ in range(10):
        with suppress(LedgerFull):
            ledger.commit(records)
            return
    raise AssertionError("refused ten times")


def test_counts_by_minute_make_room_where_they_alone_fill_the_ledger(ledger: Ledger) -> None:
    db = sqlite3.connect(ledger.path)
    ledger.commit([of_revision(1, 1)])
    ledger.mark({"redis": {"gate": 1}})
    minute = NOW_NS // 60_000_000_000
    key = "line/door/in/1/" + "x" * 100
    with db:
        db.executemany(
            "INSERT INTO rollups VALUES (1, ?, ?, 1)",
            [(minute - 14_000 + n, key) for n in range(14_000)],
        )
    db.close()
    for first in range(2, 1202, 20):
        offer(ledger, [of_revision(seq, 1) for seq in range(first, first + 20)])
        ledger.mark({"redis": {"gate": first + 19}})
    with closing(LedgerReader(ledger.path)) as reader:
        assert reader.totals("gate") == {"line/door/in/1/person": 1201}
        starts = [count.start_s // 60 for count in reader.counts()]
    assert minute - 14_000 < min(starts) < minute - 1440


def test_a_ledger_of_the_version_before_is_brought_up_to_date(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "ledger.sqlite"
    write_version_2(path)
    with closing(Ledger(path, NODE, max_bytes=BUDGET, retention_days=30, now_ns=clock)) as ledger:
        assert [row[1:] for row in rows(ledger, "revision_starts")] == [(3, 1), (11, 2), (12, 5), (61, 6)]
        with closing(LedgerReader(path)) as reader:
            for rev in range(1, 41):
                assert reader.revision(rev) == (NOW_NS + rev, {"cameras": [], "of": rev})
            assert len(reader.after("gate", None, 1000)) == 98
        ledger.commit([of_revision(101, 40)])
        ledger.record_config(41, configuration(1, "gate"))
        # Those of events, that of the total (1), and the newest.
        assert kept_revisions(ledger) == [1, 2, 5, 6, *range(25, 42)]


def write_version_2(path: Path) -> None:
    """Events 3 to 100 of the gate: of revisions 1 (up to 10), 2 (11), 5 (up to 60) and 6. Forty are kept."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        for script in database.MIGRATIONS[:2]:
            db.executescript(script)
        db.execute("PRAGMA user_version=2")
        db.execute("BEGIN")
        db.execute("INSERT INTO meta VALUES ('node', ?)", (NODE,))
        db.execute("INSERT INTO lineages VALUES (1, 'created')")
        db.execute("INSERT INTO cameras VALUES (1, 'gate', 100, 100, 0, 0)")
        db.execute("INSERT INTO cameras VALUES (2, 'yard', 7, 7, 0, 0)")  # nothing kept of it
        db.execute("INSERT INTO lineage_starts VALUES (1, 1, 1)")
        db.execute("INSERT INTO totals VALUES (1, 'line/door/in/1/person', 100)")
        for seq in range(3, 101):
            record = of_revision(seq, 1 if seq <= 10 else 2 if seq == 11 else 5 if seq <= 60 else 6)
            db.execute(
                "INSERT INTO events (camera, seq, lineage, type, captured_ns, total_key, total_value, body)"
                " VALUES (1,?,1,?,?,?,?,?)",
                (
                    *(seq, record.type, record.captured_ns, "line/door/in/1/person", seq),
                    cloudevents.body(record, NODE, 1),
                ),
            )
        for rev in range(1, 41):
            document = json.dumps({"cameras": [], "of": rev})
            db.execute("INSERT INTO config_revisions VALUES (?,?,?)", (rev, NOW_NS + rev, document))
        db.execute("COMMIT")
