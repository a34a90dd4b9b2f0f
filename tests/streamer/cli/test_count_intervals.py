"""`312 ± 9` or `33 (32–54)`: from the confidence of crossings, by the ledger or a bucket, to what is told."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest

from pipelines.count.confidence import Judgement, Tally
from pipelines.values import Event, Stamp
from streamer.api.counts.sure_count import SureCount, sure_count
from streamer.config.schema import LEDGER_FILE
from streamer.config.store import ConfigStore
from streamer.ipc.counters import Balance
from streamer.ipc.messages import EventRecord
from streamer.ledger import Ledger, LedgerReader
from streamer.workers.infer.coverage import Coverage
from tests.streamer.cli.conftest import Run

NS_PER_S = 1_000_000_000
NOON_NS = 1_795_003_200 * NS_PER_S  # 2026-11-18 12:00 UTC
LINE = "streamer.line.crossed.v1"
EMPTY = Balance(0, 0, 0, {}, 0)
SURE = {"confidence": 0.97, "stands_for": 1.2}


def record(seq: int, at_s: float, **more: float | bool) -> EventRecord:
    data = {"line": "door", "direction": "in", "class": "person", "rule_rev": 1, "track_id": seq, **more}
    at_ns = NOON_NS + round(at_s * NS_PER_S)
    return EventRecord("gate", seq, LINE, "door", 1, seq, seq, at_ns, 3.0, 1, data)


@pytest.fixture
def ledger(store: ConfigStore) -> Iterator[Ledger]:
    path = store.load().state_path / LEDGER_FILE
    ledger = Ledger(path, "node-1", max_bytes=1 << 26, retention_days=9999, now_ns=lambda: NOON_NS)
    yield ledger
    ledger.close()


@pytest.fixture
def two_hours(ledger: Ledger) -> Ledger:
    """30 crossings of which how sure they are is known, and an hour later one of an older version."""
    ledger.commit([record(n, n, **SURE) for n in range(1, 31)])
    ledger.commit([record(31, 3600.0)])
    return ledger


@pytest.mark.usefixtures("two_hours")
def test_a_count_is_printed_with_how_sure_it_is_and_an_old_one_without(run: Run) -> None:
    shown = run("counts", "--since", "all", "--by", "hour").stdout.splitlines()
    assert [("(" in line, line.split()[2]) for line in shown[1:]] == [(True, "30"), (False, "1")]


@pytest.mark.usefixtures("two_hours")
def test_json_and_csv_have_both_ends_where_they_are_known(run: Run) -> None:
    args = ("counts", "--since", "all", "--by", "hour")
    document = json.loads(run(*args, "--json").stdout)
    sure, old = document["counts"]
    assert sure["low"] <= 30 <= sure["high"]
    assert "low" not in old
    assert document["total"] == {"count": 31}  # a part of it is of an older version
    rows = list(csv.DictReader(io.StringIO(run(*args, "--csv").stdout)))
    assert [(row["count"], row["low"], row["high"]) for row in rows] == [
        ("30", str(sure["low"]), str(sure["high"])),
        ("1", "", ""),
    ]


def test_the_total_of_lines_is_printed_below(ledger: Ledger, run: Run) -> None:
    ledger.commit([record(n, n, **SURE) for n in range(1, 31)])
    last = run("counts", "--since", "all", "--by", "hour").stdout.splitlines()[-1]
    assert last.startswith("30 (")
    assert last.endswith(" crossings of all lines")


def test_the_ledger_keeps_the_same_sums_whatever_the_order(ledger: Ledger) -> None:
    moved = {**SURE, "view_moved": True}
    ledger.commit([record(1, 1, **SURE), record(2, 2, **moved), record(3, 3, confidence=0.5, stands_for=1.0)])
    reader = LedgerReader(ledger.path)
    (count,) = reader.counts()
    reader.close()
    assert count.tally == Tally(3, 2.44, 3.4, 1)


def test_counts_by_minute_go_with_what_is_known_of_them(two_hours: Ledger) -> None:
    two_hours.retention.prune_old(NOON_NS + 10_000 * 86_400 * NS_PER_S)
    reader = LedgerReader(two_hours.path)
    assert list(reader.counts()) == []
    reader.close()
    two_hours.commit([record(32, 1.0)])
    reader = LedgerReader(two_hours.path)
    (count,) = reader.counts()
    reader.close()
    assert count.tally == Tally()


def test_a_bucket_holds_what_its_interval_needs() -> None:
    coverage = Coverage(60, NOON_NS, EMPTY)
    for more in (SURE, {**SURE, "view_moved": True}, {}):
        data = {"line": "door", "direction": "in", "class": "person", **more}
        coverage.add_event(Event(LINE, Stamp("gate", 1, 1, 0, NOON_NS + NS_PER_S, 0), "door", data))
    ((_, bucket),) = coverage.close_due(NOON_NS + 63 * NS_PER_S, EMPTY)
    assert bucket["lines"] == {"door": {"in": {"person": 3}}}
    tally = {"crossings": 2, "right": 1.94, "stands_for": 2.4, "moving": 1}
    assert bucket["confidence"] == {"door": {"in": tally}}


def test_ends_that_are_not_as_far_are_both_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    count = sure_count([Judgement(0.97, 1.4)] * 50)
    for ends, printed in (((41, 58), "50 ± 9"), ((49, 70), "50 (49–70)"), ((52, 70), "50 (52–70)")):
        monkeypatch.setattr(SureCount, "interval", ends)
        assert str(count) == printed


def test_a_count_of_which_a_part_is_not_known_has_no_interval() -> None:
    count = SureCount()
    count.add("gate", 5, Tally.of([Judgement(0.9, 1.0)] * 4))
    assert count.interval is None
    assert str(count) == "5"


def test_nothing_counted_has_no_interval() -> None:
    assert str(SureCount()) == "0"
