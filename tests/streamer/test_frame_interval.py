"""When a camera's next frame comes, from those that have come."""

import pytest

from streamer.ipc.messages import FrameReady
from streamer.workers.infer.camera import MIN_STALE_NS, FrameIntervalEstimator

STEP_NS = 40_000_000


def frame(number: int, received_ns: int, epoch: int = 1) -> FrameReady:
    return FrameReady("door", "/r", 1, 0, epoch, number, 64, 36, 0, 0, received_ns, "pts", number)


def test_the_age_of_the_newest_frame_is_told_from_frames_that_are_not_next_to_each_other() -> None:
    interval = FrameIntervalEstimator()
    for number in (0, 3, 4, 9):
        interval.add(frame(number, 1_000 + number * STEP_NS))
    assert interval.age(1_000 + 9 * STEP_NS) == pytest.approx(0.0, abs=1e-6)
    assert interval.age(1_000 + 12 * STEP_NS + STEP_NS // 4) == pytest.approx(0.25, abs=1e-6)


def test_a_frame_is_over_when_there_is_a_newer_one() -> None:
    interval = FrameIntervalEstimator()
    interval.add(frame(0, 1_000))
    assert not interval.is_stale(frame(0, 1_000), 10 * STEP_NS)  # nothing is known of its pace yet
    last = frame(1, 1_000 + STEP_NS)
    interval.add(last)
    assert not interval.is_stale(last, 1_000 + STEP_NS + STEP_NS * 9 // 10)
    assert interval.is_stale(last, 1_000 + STEP_NS + STEP_NS * 11 // 10)


def test_a_frame_of_a_fast_camera_is_not_over_at_once() -> None:
    interval = FrameIntervalEstimator()
    for number in range(3):
        interval.add(frame(number, 1_000 + number * STEP_NS // 4))
    last = frame(3, 1_000)
    assert not interval.is_stale(last, 1_000 + MIN_STALE_NS * 9 // 10)
    assert interval.is_stale(last, 1_000 + MIN_STALE_NS * 11 // 10)


def test_a_frame_of_a_camera_that_is_looked_at_seldom_is_over_when_the_next_is_due() -> None:
    interval = FrameIntervalEstimator()
    interval.add(frame(0, 1_000))
    last = frame(1, 1_000 + STEP_NS)
    interval.add(last)
    every_third, at_every = 1e9 / (3 * STEP_NS), 2e9 / STEP_NS
    assert not interval.is_stale(last, 1_000 + STEP_NS + STEP_NS * 29 // 10, every_third)
    assert interval.is_stale(last, 1_000 + STEP_NS + STEP_NS * 31 // 10, every_third)
    assert not interval.is_stale(last, 1_000 + STEP_NS + STEP_NS * 9 // 10, at_every)
    assert interval.is_stale(last, 1_000 + STEP_NS + STEP_NS * 11 // 10, at_every)


def test_a_new_epoch_says_nothing_about_the_pace() -> None:
    interval = FrameIntervalEstimator()
    interval.add(frame(0, 1_000))
    interval.add(frame(1, 1_000 + STEP_NS))
    interval.add(frame(0, 1_000 + 500 * STEP_NS, epoch=2))
    interval.add(frame(1, 1_000 + 501 * STEP_NS, epoch=2))
    assert interval.age(1_000 + 501 * STEP_NS + STEP_NS // 2) == pytest.approx(0.5, abs=1e-6)
