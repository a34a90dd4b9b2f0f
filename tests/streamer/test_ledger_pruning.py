"""What leaves the ledger, by whose word, and that it is counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerReader
from streamer.ledger.pruning import Pruned, prune
from streamer.ledger.verification import verify
from tests.conftest import REPO
from tests.streamer.test_ledger import Clock

NS_PER_DAY = 86_400_000_000_000
NOW_NS = 20_000 * NS_PER_DAY


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW_NS)


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    opened = Ledger(
        tmp_path / "l.sqlite",
        "node-1",
        max_bytes=64 << 20,
        retention_days=100,
        tracks_days=10,
        now_ns=clock,
    )
    opened.replace_sinks(["redis"])
    yield opened
    opened.close()


def crossing(seq: int, days_ago: float) -> EventRecord:
    at_ns = NOW_NS - int(days_ago * NS_PER_DAY)
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq}
    return EventRecord("gate", seq, "streamer.line.crossed.v1", "door", 1, seq, seq, at_ns, 1.0, 1, data)


def track(seq: int, days_ago: float) -> EventRecord:
    at_ns = NOW_NS - int(days_ago * NS_PER_DAY)
    data = {"track_id": seq, "first_media_ns": 0, "last_media_ns": 5, "path": [[0, 1, 2, 3, 4]]}
    return EventRecord("gate", seq, "streamer.track.ended.v1", "", 1, seq, 5, at_ns, 1.0, 1, data)


def kept(ledger: Ledger) -> list[int]:
    reader = LedgerReader(ledger.path)
    events = reader.after("gate", None, 1000)
    reader.close()
    return [event.id.seq for event in events]


def test_only_what_every_sink_has_is_pruned_unless_told(ledger: Ledger) -> None:
    ledger.commit([crossing(1, 9), crossing(2, 8), crossing(3, 7), crossing(4, 1)])
    ledger.mark({"redis": {"gate": 2}})
    before_ns = NOW_NS - 5 * NS_PER_DAY
    assert prune(ledger.path, before_ns, dry_run=True, now_ns=NOW_NS) == [Pruned("gate", 2, 0)]
    assert kept(ledger) == [1, 2, 3, 4]
    prune(ledger.path, before_ns, now_ns=NOW_NS)
    assert kept(ledger) == [3, 4]
    assert prune(ledger.path, before_ns, undelivered=True, now_ns=NOW_NS) == [Pruned("gate", 1, 1)]
    assert kept(ledger) == [4]
    counted = ledger.status()["pruned_for"]
    assert (counted["asked"], counted["undelivered"], counted["age"]) == (3, 1, 0)
    assert verify(ledger.path).findings == []


def test_numbers_and_totals_go_on_after_a_pruning_beside_the_writer(ledger: Ledger) -> None:
    ledger.commit([crossing(n, 9) for n in range(1, 1201)])
    ledger.mark({"redis": {"gate": 1200}})
    prune(ledger.path, NOW_NS, now_ns=NOW_NS)
    ledger.commit([crossing(1201, 0)])
    assert kept(ledger) == [1201]
    reader = LedgerReader(ledger.path)
    assert reader.totals("gate") == {"line/door/in/1/person": 1201}
    reader.close()
    assert verify(ledger.path).findings == []


def test_an_event_goes_only_after_those_before_it_and_none_of_a_wrong_clock_holds_up_the_rest(
    ledger: Ledger,
) -> None:
    ledger.commit([crossing(1, -9000), crossing(2, 200), crossing(3, 50), crossing(4, 200), crossing(5, 1)])
    ledger.mark({"redis": {"gate": 5}})
    ledger.tick()
    assert kept(ledger) == [3, 4, 5]
    assert ledger.status()["pruned_for"]["age"] == 2


def test_a_tracks_own_age_leaves_its_number_and_nothing_that_says_where_somebody_went(
    ledger: Ledger, with_path: Callable[[EventRecord], EventRecord]
) -> None:
    ledger.commit([crossing(1, 20), with_path(track(2, 20)), with_path(track(3, 5)), crossing(4, 1)])
    ledger.tick()
    assert kept(ledger) == [1, 2, 3, 4]  # the sink has not got it
    ledger.mark({"redis": {"gate": 4}})
    ledger.tick()
    assert kept(ledger) == [1, 3, 4]
    reader = LedgerReader(ledger.path)
    assert [path.seq for path in reader.paths("gate", 0, NOW_NS)] == [3]
    assert [event.id.seq for event in reader.last_events(9, "gate")] == [1, 3, 4]
    assert reader.event("gate", 2) is None
    reader.close()
    assert ledger.status()["pruned_for"]["tracks"] == 1
    assert verify(ledger.path).findings == []


@pytest.fixture
def with_path() -> Callable[[EventRecord], EventRecord]:
    """Gives a track's event a whole path, as a pipeline does."""
    recorded = [
        json.loads(line) for line in (REPO / "tests/replay/street.events.jsonl").read_text().splitlines()
    ]
    trace = next(event["data"]["trace"] for event in recorded if "trace" in event["data"])

    def give(record: EventRecord) -> EventRecord:
        record.data["trace"] = trace
        return record

    return give
