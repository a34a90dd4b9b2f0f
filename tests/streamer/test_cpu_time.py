"""Whose CPU time is whose: shared out among cameras, and as cores over the last seconds."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from streamer.ipc.counters import FrameCounters
from streamer.ipc.cpu_time import Cores, share_out
from streamer.ipc.growth import WINDOW_S
from streamer.workers.capture.cpu_share import CpuShare as CaptureShare
from streamer.workers.infer.cpu_share import CameraCost, CpuShare

BURNT_S = 0.3
TOLERANCE = 0.1


def burn(seconds: float) -> None:
    """Take so much CPU time in this thread."""
    end_ns = time.thread_time_ns() + int(seconds * 1e9)
    while time.thread_time_ns() < end_ns:
        pass


def taken_elsewhere_s() -> float:
    """By the other threads of this process; some may be left by tests before."""
    return time.process_time() - time.thread_time()


def burn_elsewhere(seconds: float) -> None:
    thread = threading.Thread(target=burn, args=(seconds,))
    thread.start()
    thread.join()


@pytest.fixture
def counters(tmp_path: Path) -> FrameCounters:
    return FrameCounters.create(tmp_path / "counters")


def test_cores_are_of_the_last_seconds_and_begin_with_the_second_reading() -> None:
    cores = Cores()
    assert cores.read(500.0, 100.0) == 0.0  # what a worker finds in the counters of its predecessor
    assert cores.read(500.5, 101.0) == pytest.approx(0.5)
    for second in range(2, 40):
        now = cores.read(500.5, 100.0 + second)
    assert now == 0.0
    assert WINDOW_S < 40


def test_counters_that_begin_anew_are_no_negative_cores() -> None:
    cores = Cores()
    cores.read(500.0, 100.0)
    assert cores.read(0.0, 101.0) == 0.0
    assert cores.read(1.0, 102.0) == pytest.approx(1.0)


def test_what_is_shared_out_goes_by_weight_and_without_weights_to_all_alike() -> None:
    assert share_out(900, [1.0, 2.0]) == [300, 600]
    assert share_out(900, [0.0, 0.0, 0.0]) == [300, 300, 300]
    assert share_out(900, []) == []


def test_the_detector_s_threads_are_paid_for_by_how_long_each_camera_s_batches_were_in_it(
    counters: FrameCounters,
) -> None:
    costs, blocks = [CameraCost(), CameraCost()], [counters.infer(0), counters.infer(1)]
    share = CpuShare()
    pairs = list(zip(costs, blocks, strict=True))
    share.read(pairs, 0.0)
    before_s = taken_elsewhere_s()
    burn_elsewhere(BURNT_S)
    burn(BURNT_S)
    for cost, frames in zip(costs, (1, 3), strict=True):
        cost.detector_s, cost.frames = 0.01 * frames, frames
    costs[1].rest_ns = int(BURNT_S / 3 * 1e9)  # measured beside its own batches
    elsewhere_s = taken_elsewhere_s() - before_s
    share.read(pairs, 1.0)
    first, second = counters.cpu_s(0), counters.cpu_s(1)
    assert elsewhere_s > 0.9 * BURNT_S
    assert first["inference"] == pytest.approx(elsewhere_s / 4, abs=TOLERANCE)
    assert second["inference"] == pytest.approx(3 * elsewhere_s / 4, abs=TOLERANCE)
    assert second["inference"] == pytest.approx(3 * first["inference"], rel=0.01)
    assert first["rest"] + second["rest"] == pytest.approx(BURNT_S, abs=TOLERANCE)
    assert second["rest"] > first["rest"] + BURNT_S / 3 - TOLERANCE / 10
    assert costs[1].shown["inference"] == pytest.approx(second["inference"], abs=0.01)


def test_a_model_that_is_loaded_while_nothing_is_inferred_costs_no_camera(counters: FrameCounters) -> None:
    cost, share = CameraCost(), CpuShare()
    share.read([(cost, counters.infer(0))], 0.0)
    burn_elsewhere(BURNT_S)
    share.read([(cost, counters.infer(0))], 1.0)
    assert counters.cpu_s(0)["inference"] == 0.0


def test_what_no_camera_s_thread_has_put_down_is_borne_by_all_alike(counters: FrameCounters) -> None:
    class Charged:
        def __init__(self, row: int) -> None:
            self.block = counters.capture(row)

        def add_cpu(self, cpu_ns: int) -> None:
            self.block.add(cpu_decode=cpu_ns)

    share, cameras = CaptureShare(counters), {"a": (0, Charged(0)), "b": (1, Charged(1))}
    cameras["a"][1].add_cpu(50_000_000_000)  # before this process
    share.read(cameras, 0.0)
    burn(BURNT_S)
    cameras["b"][1].add_cpu(int(BURNT_S / 2 * 1e9))  # as its own thread would
    cores = share.read(cameras, 1.0)
    assert cores["a"] == pytest.approx(BURNT_S / 4, abs=TOLERANCE)
    assert cores["b"] == pytest.approx(BURNT_S * 3 / 4, abs=TOLERANCE)
    assert sum(cores.values()) == pytest.approx(BURNT_S, abs=TOLERANCE)
