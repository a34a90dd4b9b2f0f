"""The sending end: numbers without gaps, and every batch again until it is acknowledged."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streamer.ipc.messages import Ack, Batch, CameraResume, EventRecord, Message, Resume, ResumeRequest
from streamer.workers.infer import event_sequencer as module
from streamer.workers.infer.event_sequencer import EventSequencer


class Link:
    """Stands for the client socket; `up` False: what is sent is lost."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.up = True
        self.endpoint = "deliver"

    def send(self, message: Message) -> bool:
        if self.up:
            self.sent.append(message)
        return True

    def batches(self) -> list[Batch]:
        return [m for m in self.sent if isinstance(m, Batch)]


def record(camera: str = "door") -> EventRecord:
    return EventRecord(camera, 0, "streamer.track.ended.v1", "1", 1, 1, 0, 0, 0.0, 1, {})


def opened(runtime_dir: Path, link: Link, last_seq: int = 0) -> EventSequencer:
    sequencer = EventSequencer("infer-0", link, runtime_dir)  # type: ignore[arg-type]
    sequencer.request_positions(["door"])
    sequencer.tick(time.monotonic())
    sequencer.on_resume(Resume((CameraResume("door", last_seq, 0, ()),)))
    return sequencer


def test_numbers_go_on_where_the_ledger_stands(runtime_dir: Path) -> None:
    link = Link()
    sequencer = opened(runtime_dir, link, last_seq=41)
    assert any(isinstance(m, ResumeRequest) for m in link.sent)
    sequencer.send([record(), record()])
    assert [e.seq for b in link.batches() for e in b.events] == [42, 43]


def test_an_unacknowledged_batch_is_sent_again_and_an_acknowledged_one_is_not(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESEND_AFTER_S", 0.0)
    link = Link()
    sequencer = opened(runtime_dir, link)
    link.up = False
    sequencer.send([record()])
    sequencer.send([record()])
    link.up = True
    sequencer.tick(time.monotonic() + 1)
    assert [b.number for b in link.batches()] == [1, 2]
    sequencer.on_ack(Ack(1))
    link.sent.clear()
    sequencer.tick(time.monotonic() + 2)
    assert [b.number for b in link.batches()] == [2]
    sequencer.on_ack(Ack(2))
    link.sent.clear()
    sequencer.tick(time.monotonic() + 3)
    assert link.batches() == []


def test_a_successor_sends_what_was_left_before_it_asks_and_never_gives_a_number_twice(
    runtime_dir: Path,
) -> None:
    dead = opened(runtime_dir, Link(), last_seq=10)
    dead.send([record()])
    dead.send([record()])
    link = Link()
    heir = opened(runtime_dir, link, last_seq=10)  # the ledger had neither of them yet
    kinds = [type(m) for m in link.sent]
    assert kinds.index(Batch) < kinds.index(ResumeRequest)
    heir.send([record()])
    assert [e.seq for b in link.batches() for e in b.events] == [11, 12, 13]


def test_a_full_window_loses_events_but_no_numbers(
    runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW_BYTES", 400)
    link = Link()
    sequencer = opened(runtime_dir, link)
    written = [sequencer.send([record()]) for _ in range(20)]
    assert True in written
    assert False in written
    assert sequencer.lost_events == written.count(False)
    sequencer.on_ack(Ack(link.batches()[-1].number))
    assert sequencer.send([record()])
    assert [e.seq for b in link.batches() for e in b.events] == list(range(1, written.count(True) + 2))


def test_a_camera_whose_place_is_not_known_is_asked_for_again(runtime_dir: Path) -> None:
    link = Link()
    sequencer = EventSequencer("infer-0", link, runtime_dir)  # type: ignore[arg-type]
    sequencer.request_positions(["door"])
    now_s = time.monotonic()
    sequencer.tick(now_s)
    sequencer.tick(now_s + 0.1)
    sequencer.tick(now_s + 0.7)
    assert [m for m in link.sent if isinstance(m, ResumeRequest)] == [ResumeRequest("infer-0", ("door",))] * 2
    assert not sequencer.can_number("door")
