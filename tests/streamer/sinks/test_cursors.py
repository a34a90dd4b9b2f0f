"""Each sink's own cursor in the ledger: what it keeps back, what frees it, and where it comes from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamer.ledger import Ledger, LedgerReader, schema
from tests.streamer.test_ledger import NODE, NS_PER_DAY, Clock, crossing, read


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_at(path: Path, clock: Clock) -> Ledger:
    return Ledger(path, NODE, max_bytes=1 << 26, retention_days=1, now_ns=clock)


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Ten events of the gate and two of the yard, for the sinks a and b."""
    with closing(open_at(tmp_path / "ledger.sqlite", clock)) as ledger:
        ledger.replace_sinks(["a", "b"])
        ledger.commit([*(crossing(n) for n in range(1, 11)), crossing(1, "yard"), crossing(2, "yard")])
        yield ledger


def delivered(ledger: Ledger) -> dict[str, int]:
    return {name: camera["delivered"] for name, camera in ledger.status()["cameras"].items()}


def lag(ledger: Ledger) -> dict[str, int]:
    return {name: sink["undelivered"] for name, sink in ledger.status()["sinks"].items()}


def test_an_event_goes_only_when_every_sink_has_it(ledger: Ledger, clock: Clock) -> None:
    ledger.mark({"a": {"gate": 10, "yard": 2}})
    assert (delivered(ledger), lag(ledger)) == ({"gate": 0, "yard": 0}, {"a": 0, "b": 12})
    ledger.mark({"b": {"gate": 4}})
    assert (delivered(ledger), lag(ledger)) == ({"gate": 4, "yard": 0}, {"a": 0, "b": 8})
    clock.now_ns += 2 * NS_PER_DAY
    for _ in range(3):
        ledger.tick()
    assert (read(ledger), read(ledger, "yard")) == (list(range(5, 11)), [1, 2])


def test_a_cursor_may_go_back(ledger: Ledger) -> None:
    ledger.mark({"a": {"gate": 10}, "b": {"gate": 10}})
    ledger.mark({"a": {"gate": 3}})  # it was emptied
    assert delivered(ledger)["gate"] == 3


def test_a_sink_that_is_gone_keeps_nothing_back_and_one_that_is_new_lacks_all(ledger: Ledger) -> None:
    ledger.mark({"a": {"gate": 10, "yard": 2}, "b": {"gate": 4}})
    ledger.replace_sinks(["a"])
    assert (delivered(ledger), lag(ledger)) == ({"gate": 10, "yard": 2}, {"a": 0})
    ledger.mark({"b": {"gate": 1}})  # what a sink that is no more is said to have
    assert lag(ledger) == {"a": 0}
    ledger.replace_sinks(["a", "b"])
    assert (delivered(ledger), lag(ledger)) == ({"gate": 0, "yard": 0}, {"a": 0, "b": 12})


def test_without_a_sink_all_counts_as_delivered(ledger: Ledger) -> None:
    ledger.replace_sinks([])
    assert delivered(ledger) == {"gate": 10, "yard": 2}
    ledger.commit([crossing(11)])
    ledger.mark({})
    assert delivered(ledger)["gate"] == 11
    assert ledger.status()["undelivered"] == 0


def test_cursors_are_there_after_a_restart(ledger: Ledger, clock: Clock) -> None:
    ledger.mark({"a": {"gate": 7}, "b": {"gate": 5}})
    ledger.close()
    with closing(open_at(ledger.path, clock)) as again:
        assert (delivered(again)["gate"], lag(again)) == (5, {"a": 5, "b": 7})


def test_a_new_lineage_takes_along_what_any_sink_lacks(ledger: Ledger, clock: Clock) -> None:
    ledger.mark({"a": {"gate": 10, "yard": 2}, "b": {"gate": 8, "yard": 2}})
    clock.now_ns += 5_000_000
    lineage = ledger.new_lineage("test")
    with closing(LedgerReader(ledger.path)) as reader:
        events = reader.after("gate", None, 100)
    assert [event.id.seq for event in events if event.id.lineage == lineage] == [9, 10]


def test_the_marks_of_version_3_become_the_cursor_of_redis(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "ledger.sqlite"
    write_version_3(path)
    with closing(open_at(path, clock)) as ledger:
        assert (delivered(ledger), lag(ledger)) == ({"gate": 40, "yard": 0}, {"redis": 67})
        ledger.replace_sinks(["redis"])
        assert lag(ledger) == {"redis": 67}
        ledger.replace_sinks(["elsewhere"])
        assert lag(ledger) == {"elsewhere": 107}


def test_a_damaged_ledger_keeps_its_cursors(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([crossing(n, note="x" * 300) for n in range(11, 2001)])
    ledger.mark({"a": {"gate": 1000, "yard": 2}, "b": {"gate": 900, "yard": 2}})
    ledger.close()
    raw = bytearray(ledger.path.read_bytes())
    middle = len(raw) // 2 // 4096 * 4096
    raw[middle : middle + 4096] = b"\xff" * 4096
    ledger.path.write_bytes(raw)
    with closing(open_at(ledger.path, clock)) as saved:
        assert "events saved" in saved.damage
        assert lag(saved) == {"a": 1000, "b": 1100}


def write_version_3(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        for script in schema.MIGRATIONS[:3]:
            db.executescript(script)
        db.execute("PRAGMA user_version=3")
        db.execute("INSERT INTO meta VALUES ('node', ?)", (NODE,))
        db.execute("INSERT INTO lineages VALUES (1, 'created')")
        db.execute("INSERT INTO cameras VALUES (1, 'gate', 100, 40, 0, 0)")
        db.execute("INSERT INTO cameras VALUES (2, 'yard', 7, 0, 0, 0)")
