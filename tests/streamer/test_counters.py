"""The frame counters: what one process writes another reads whole, also when the writer dies in the midst."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from streamer.errors import CapacityError, StorageError
from streamer.ipc.counters import CAPTURE, MAX_ROWS, Block, FrameCounters
from streamer.ipc.messages import CaptureCamera
from streamer.workers.capture.camera_thread import CameraThread
from tests.frame_balance import unaccounted
from tests.patience import patient

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def counters(tmp_path: Path) -> FrameCounters:
    return FrameCounters.create(tmp_path / "counters")


def busy_writer(path: str, row: int) -> None:
    """Decodes, hands over and answers for frames for ever, as fast as it can."""
    counters = FrameCounters.attach(Path(path))
    capture, infer = counters.capture(row), counters.infer(row)
    while True:
        capture.add(decoded=1, held=1)
        capture.add(held=-1, handed=1)
        infer.add(inferred=1)
        capture.add(decoded=1, drop_not_due=1)


def start(target: object, counters: FrameCounters) -> multiprocessing.process.BaseProcess:
    process = SPAWN.Process(target=target, args=(str(counters.path), 0))  # type: ignore[arg-type]
    process.start()
    deadline_s = time.monotonic() + patient(20)
    while counters.balance(0).decoded == 0 and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return process


def test_the_file_is_private_and_an_alien_one_is_refused(counters: FrameCounters, tmp_path: Path) -> None:
    assert counters.path.stat().st_mode & 0o777 == 0o600
    alien = tmp_path / "alien"
    alien.write_bytes(b"x")
    with pytest.raises(StorageError, match="no counter file of this version"):
        FrameCounters.attach(alien)
    with pytest.raises(StorageError, match="cannot map"):
        FrameCounters.attach(tmp_path / "none")


def test_a_reader_never_sees_a_frame_in_two_places_or_in_none(counters: FrameCounters) -> None:
    writer = start(busy_writer, counters)
    try:
        for _ in range(3000):
            balance = counters.balance(0)
            assert unaccounted(balance) == 0
            assert 0 <= balance.in_flight <= 1
    finally:
        writer.kill()
        writer.join()


def test_a_writer_killed_at_any_moment_leaves_counters_that_can_be_closed(counters: FrameCounters) -> None:
    for _ in range(5):
        writer = start(busy_writer, counters)
        time.sleep(0.02)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        counters.release_capture(0)
        counters.release_handed(0)
        balance = counters.balance(0)
        assert unaccounted(balance) == 0
        assert balance.in_flight == 0


def test_a_held_frame_of_a_dead_capture_worker_counts_as_lost_with_it(counters: FrameCounters) -> None:
    capture = counters.capture(0)
    capture.add(decoded=1, held=1)
    assert counters.balance(0).in_flight == 1
    counters.release_capture(0)
    balance = counters.balance(0)
    assert balance.dropped == {"worker_died": 1}
    assert (balance.in_flight, unaccounted(balance)) == (0, 0)


def test_frames_in_the_hands_of_a_dead_inference_worker_count_as_lost_with_it(
    counters: FrameCounters,
) -> None:
    capture, infer = counters.capture(0), counters.infer(0)
    capture.add(decoded=3, handed=3)
    infer.add(inferred=1)
    assert counters.release_handed(0) == 2
    balance = counters.balance(0)
    assert balance.inferred == 1
    assert balance.dropped == {"worker_died": 2}
    assert (balance.in_flight, unaccounted(balance)) == (0, 0)


def test_a_frame_that_a_dead_capture_worker_had_sent_and_not_noted_counts_once(
    counters: FrameCounters,
) -> None:
    counters.capture(0).add(decoded=2, held=2)
    counters.release_capture(0)  # it died before it could note that one of the two was handed over
    counters.infer(0).add(inferred=1)
    assert counters.take_back_lost(0, counters.capture(0)) == 1
    balance = counters.balance(0)
    assert balance.dropped == {"worker_died": 1}
    assert (balance.in_flight, unaccounted(balance)) == (0, 0)


def test_slots_that_are_taken_back_leave_the_new_inference_worker_s_block_alone(
    counters: FrameCounters,
) -> None:
    counters.capture(0).add(decoded=1, handed=1)
    with counters.infer(0).writing() as words:  # the successor is inside
        before = int(words[0])
        counters.release_handed(0)
        assert int(words[0]) == before


class Switching(Block):
    """A block in which threads change places as it is opened and closed."""

    @contextmanager
    def writing(self) -> Iterator[npt.NDArray[np.int64]]:
        self._next_version()
        yield self._words
        self._next_version()

    def _next_version(self) -> None:
        now = int(self._words[0])
        time.sleep(0)
        self._words[0] = now + 1


def test_a_camera_s_thread_and_the_main_thread_never_write_its_block_at_once(counters: FrameCounters) -> None:
    block = Switching(counters._row(0), CAPTURE, 0)
    camera = CaptureCamera("gate", 0, "none", "infer-0", 64, 0.0, False, True, 5.0, 5.0)
    thread = CameraThread(camera, block, lambda: None)
    held = threading.Event()

    def decodes() -> None:
        held.set()
        for _ in range(2000):
            with thread._lock:
                block.add(decoded=1, drop_not_due=1)

    other = threading.Thread(target=decodes)
    other.start()
    held.wait(patient(5))
    for _ in range(500):
        with thread._lock:
            block.add(decoded=1, handed=1)
        thread.release_handed(counters)
    other.join()
    balance = counters.balance(0)
    assert balance.dropped == {"not_due": 2000, "worker_died": 500}
    assert (balance.in_flight, unaccounted(balance)) == (0, 0)
    assert block.get("version") == 2 * (2000 + 2 * 500)


def test_notes_that_are_no_counts_do_not_unbalance_the_counters(counters: FrameCounters) -> None:
    counters.capture(0).add(decoded=3, handed=3)
    infer = counters.infer(0)
    infer.add(inferred=2)
    infer.put(epoch=7, next_track_id=41)
    assert (counters.balance(0).in_flight, unaccounted(counters.balance(0))) == (1, 0)
    assert counters.release_handed(0) == 1
    assert (infer.get("epoch"), infer.get("next_track_id")) == (7, 41)


def test_a_row_beyond_the_last_is_refused(counters: FrameCounters) -> None:
    with pytest.raises(CapacityError, match="at most"):
        counters.capture(MAX_ROWS)


def test_a_cleared_row_starts_from_nothing(counters: FrameCounters) -> None:
    counters.capture(3).add(decoded=7, drop_busy=7)
    counters.clear(3)
    assert counters.balance(3).decoded == 0
    assert counters.balance(3).dropped == {}
