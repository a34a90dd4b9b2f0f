"""The way from ledger to sink: what is sent when the sink forgets, fails, or belongs to another ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from streamer.events.cloudevents import EventId, StoredEvent
from streamer.ledger import Ledger
from streamer.sinks.base import SinkError
from streamer.workers.deliver.publisher import Publisher, _Failure
from tests.memory_sink import MemorySink
from tests.patience import patient
from tests.streamer.test_ledger import NOW_NS, Clock, crossing


class Setting:
    """A ledger, a sink in memory and the publisher between them."""

    def __init__(self, path: Path, max_events: int | None = None) -> None:
        self.clock = Clock()
        self.ledger = Ledger(path, "n", max_bytes=1 << 26, retention_days=30, now_ns=self.clock)
        self.ledger.replace_sinks(["memory"])
        self.sink = MemorySink(max_events)
        self.publisher = self.start()

    def start(self) -> Publisher:
        self.publisher = Publisher(self.ledger.path, "memory", self.sink)
        self.publisher.start()
        return self.publisher

    def commit(self, first: int, last: int, camera: str = "gate") -> None:
        self.ledger.commit([crossing(n, camera) for n in range(first, last + 1)])
        self.publisher.wake()

    def sent(self, camera: str = "gate") -> list[int]:
        return [event.id.seq for event in self.sink.events.get(camera, [])]

    def until(self, true: Callable[[], bool], timeout_s: float = 15.0) -> None:
        end_s = time.monotonic() + patient(timeout_s)
        while not true():
            assert time.monotonic() < end_s, self.publisher.status()
            time.sleep(0.01)

    def until_sent(self, last: int, camera: str = "gate") -> None:
        self.until(lambda: self.sent(camera)[-1:] == [last])


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    setting = Setting(tmp_path / "ledger.sqlite")
    yield setting
    assert setting.publisher.stop(5.0)
    setting.ledger.close()


def test_what_is_committed_is_sent_and_marked(setting: Setting) -> None:
    setting.commit(1, 450)
    setting.commit(1, 3, "yard")
    setting.until_sent(450)
    setting.until_sent(3, "yard")
    setting.until(lambda: setting.publisher.positions() == {"gate": 450, "yard": 3})
    assert setting.sent() == list(range(1, 451))
    assert setting.sink.totals["gate"] == {"line/door/in/1/person": 450}


def test_a_sink_that_was_emptied_is_filled_again_though_nothing_new_comes(setting: Setting) -> None:
    setting.commit(1, 30)
    setting.until_sent(30)
    setting.sink.events.clear()
    setting.sink.totals.clear()
    setting.until_sent(30)
    assert setting.sent() == list(range(1, 31))
    assert setting.sink.totals["gate"] == {"line/door/in/1/person": 30}


def test_an_older_copy_gets_what_it_lacks(setting: Setting) -> None:
    setting.commit(1, 30)
    setting.until_sent(30)
    setting.sink.events["gate"] = setting.sink.events["gate"][:12]  # a replica that was behind took over
    setting.commit(31, 31)
    setting.until_sent(31)
    assert setting.sent() == list(range(1, 32))


def test_totals_are_right_where_the_events_behind_them_are_pruned(setting: Setting) -> None:
    setting.commit(1, 30)
    setting.until_sent(30)
    setting.ledger.mark({"memory": {"gate": 20}})
    setting.clock.now_ns = NOW_NS + 40 * 86_400_000_000_000
    setting.ledger.tick()
    setting.sink.events.clear()
    setting.sink.totals.clear()
    setting.until_sent(30)
    assert setting.sent() == list(range(21, 31))  # the gap is arithmetic
    assert setting.sink.totals["gate"] == {"line/door/in/1/person": 30}


def test_of_more_than_the_stream_may_hold_the_newest_are_sent(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "l", max_events=100)
    setting.publisher.stop(5.0)
    setting.ledger.commit([crossing(n) for n in range(1, 1001)])
    setting.start()
    setting.until_sent(1000)
    assert setting.sent() == list(range(901, 1001))
    assert setting.sink.totals["gate"] == {"line/door/in/1/person": 1000}
    setting.publisher.stop(5.0)
    setting.ledger.close()


def test_a_failing_sink_is_told_by_its_kind_and_gets_all_when_it_is_back(setting: Setting) -> None:
    setting.sink.failure = SinkError("readonly", "a replica")
    setting.commit(1, 5)
    setting.until(lambda: setting.publisher.status()["state"] == "readonly")
    assert setting.publisher.status()["last_error"] == "a replica"
    setting.commit(6, 9)
    setting.sink.failure = None
    setting.until_sent(9)
    assert setting.sent() == list(range(1, 10))
    setting.until(lambda: setting.publisher.status()["state"] == "up")


def test_a_trouble_of_one_camera_holds_up_no_other(setting: Setting) -> None:
    setting.commit(1, 1)
    setting.until_sent(1)
    stream = setting.sink.events["gate"]
    stream[-1] = stream[-1]._replace(id=EventId(setting.ledger.lineage, 99))  # another ledger wrote here
    setting.commit(2, 2)
    setting.commit(1, 2, "yard")
    setting.until_sent(2, "yard")
    setting.until(lambda: "gate" in setting.publisher.status()["blocked"])
    assert "another ledger" in setting.publisher.status()["blocked"]["gate"]
    assert len(stream) == 1
    assert setting.publisher.status()["state"] == "up"


def test_after_a_restored_ledger_a_new_lineage_goes_on_in_the_stream(setting: Setting) -> None:
    setting.commit(1, 5)
    setting.until_sent(5)
    assert setting.publisher.stop(5.0)
    stream = setting.sink.events["gate"]
    stream.append(stream[-1]._replace(id=EventId(setting.ledger.lineage, 9)))  # 6 to 9: lost with the disk
    setting.ledger.mark({"memory": {"gate": 5}})
    setting.ledger.commit([crossing(6)])
    setting.clock.now_ns += 1_000_000_000
    lineage = setting.ledger.new_lineage("restored")
    setting.start()
    setting.commit(7, 7)
    setting.until(lambda: setting.sent()[-2:] == [6, 7])
    assert [e.id.lineage for e in setting.sink.events["gate"][-2:]] == [lineage, lineage]


def test_states_are_published_and_kept_over_a_failure(setting: Setting) -> None:
    setting.sink.failure = SinkError("down", "away")
    setting.publisher.show("gate", {"state": "live"})
    setting.until(lambda: setting.publisher.status()["state"] == "down")
    setting.sink.failure = None
    setting.until(lambda: setting.sink.states == {"gate": {"state": "live"}})


class SmallBites(MemorySink):
    """Takes three events a write, and each write takes long."""

    def write(self, camera: str, after: EventId | None, events: Sequence[StoredEvent]) -> EventId:
        time.sleep(0.05)
        return super().write(camera, after, events[:3])


def test_a_sink_may_take_a_part_and_is_asked_for_its_place_once(setting: Setting) -> None:
    assert setting.publisher.stop(5.0)
    setting.sink = SmallBites()
    setting.start()
    setting.commit(1, 31)
    setting.until_sent(31)
    assert setting.sent() == list(range(1, 32))
    setting.until(lambda: setting.publisher.positions() == {"gate": 31})
    assert (setting.publisher.status()["resyncs"], setting.publisher.status()["written"]) == (1, 31)


def test_states_are_told_to_a_sink_that_is_far_behind(setting: Setting) -> None:
    assert setting.publisher.stop(5.0)
    setting.sink = SmallBites()
    setting.start()
    setting.publisher.configure(["gate"])
    setting.commit(1, 3)
    setting.until_sent(3)
    setting.commit(4, 900)  # 300 writes
    setting.until(lambda: len(setting.sent()) > 6)
    setting.publisher.show("gate", {"state": "live"})
    setting.until(lambda: "gate" in setting.sink.states)
    assert len(setting.sent()) < 900


def test_a_pause_that_the_other_side_asks_for_is_kept_up_to_an_hour() -> None:
    failure = _Failure("hook")
    failure.note(SinkError("down", "busy", pause_s=30.0), now_s=100.0)
    assert 130.0 <= failure.until_s < 134.0
    failure.note(SinkError("down", "busy", pause_s=1e9), now_s=100.0)
    assert 3700.0 <= failure.until_s < 4061.0
