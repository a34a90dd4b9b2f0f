"""Events of the ledger from any place in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamer.events.cloudevents import EventId
from streamer.ledger import Ledger
from streamer.ledger.event_feed import LATE_NS, EventFeed, EventFilter
from tests.streamer.test_ledger import NOW_NS, crossing

HOUR_NS = 3_600 * 1_000_000_000
COUNT = 2500


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[EventFeed]:
    """An event an hour, of two cameras in turn."""
    ledger = Ledger(tmp_path / "ledger.sqlite", "node", max_bytes=64 << 20, retention_days=1e4)
    records = [crossing(i // 2 + 1, ("gate", "yard")[i % 2]) for i in range(COUNT)]
    with closing(ledger):
        ledger.commit([replace(r, captured_ns=hour(i + 1)) for i, r in enumerate(records)])
        with closing(EventFeed(ledger.path)) as feed:
            yield feed


def hour(number: int) -> int:
    return NOW_NS + number * HOUR_NS


def walk(feed: EventFeed, wanted: EventFilter, row: int, limit: int) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    while True:
        page = feed.page(row, wanted, limit)
        assert len(page.events) <= limit
        found += [(event.camera, event.id.seq) for event in page.events]
        if page.done:
            return found
        assert page.row > row, "it goes on"
        row = page.row


@pytest.mark.parametrize("limit", [1, 7, 1000, 5000])
def test_pages_hold_all_that_is_wanted_once_and_in_order(feed: EventFeed, limit: int) -> None:
    everything = walk(feed, EventFilter(), 0, limit) if limit > 1 else []
    if everything:
        assert everything == [(("gate", "yard")[i % 2], i // 2 + 1) for i in range(COUNT)]
    late = walk(feed, EventFilter(cameras={"yard"}, since_ns=hour(COUNT - 99)), COUNT - 500, limit)
    assert late == [("yard", seq) for seq in range(COUNT // 2 - 49, COUNT // 2 + 1)]


def test_nothing_wanted_is_behind_the_row_that_a_time_begins_at(feed: EventFeed) -> None:
    for number in (0, 1, 50, 1000, COUNT, COUNT + 1000):
        row = feed.row_before(hour(number))
        skipped = EventFilter(since_ns=hour(number))
        assert walk(feed, skipped, 0, 1000) == walk(feed, skipped, row, 1000)
        assert row <= max(0, number - LATE_NS // HOUR_NS), "events that came a day late are still before it"
        assert row >= min(COUNT, number - LATE_NS // HOUR_NS - 1) - 1, "and not much more is gone through"


def test_an_event_s_row_is_found_by_its_id_alone(feed: EventFeed) -> None:
    event = feed.page(0, EventFilter(cameras={"yard"}), 3).events[-1]
    row = feed.row_of("yard", event.id)
    assert row is not None
    assert feed.page(row - 1, EventFilter(), 1).events == [event]
    assert feed.row_of("gate", EventId(event.id.lineage, 999_999)) is None
    assert feed.row_of("yard", EventId(event.id.lineage + 1, event.id.seq)) is None
    assert feed.row_of("nobody", event.id) is None
