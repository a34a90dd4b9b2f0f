"""What encodes AV1 as root takes the processor from nobody, though the encoder makes real-time threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.values import Image
from streamer.setup import decode_bench
from streamer.setup.real_time import TASKS, end_real_time
from tests.clips import make_clip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: others get no real-time threads")


def policies() -> set[int]:
    return {os.sched_getscheduler(int(task.name)) for task in TASKS.iterdir()}


def test_clips_of_av1_leave_no_real_time_threads(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", frames=3, codec="libsvtav1", options={"preset": "12"})
    assert policies() == {os.SCHED_OTHER}


def test_the_doctor_s_bench_of_av1_encodes_by_ordinary_threads(tmp_path: Path) -> None:
    """While it does so too: a daemon may be running."""
    seen: list[set[int]] = []

    class Street(list[Image]):
        def __iter__(self) -> Iterator[Image]:
            for picture in super().__iter__():
                seen.append(policies())
                yield picture

    shape = (decode_bench.HEIGHT, decode_bench.WIDTH, 3)
    street = Street(np.full(shape, 40 * number, np.uint8) for number in range(3))
    _, encoder, options = next(each for each in decode_bench.ENCODERS if each[0] == "AV1")
    decode_bench._write(tmp_path / "a.mkv", encoder, options, street)
    assert seen == [{os.SCHED_OTHER}] * 3
    assert policies() == {os.SCHED_OTHER}


def test_threads_that_are_real_time_ones_become_ordinary() -> None:
    ready, ending = threading.Event(), threading.Event()

    def run() -> None:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        ready.set()
        ending.wait(60)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60)
        assert os.SCHED_RR in policies()
        end_real_time()
        assert policies() == {os.SCHED_OTHER}
    finally:
        ending.set()
        thread.join()
