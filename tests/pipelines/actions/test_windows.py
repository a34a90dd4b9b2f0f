"""A ring keeps each frame once, at its own rate, and a window is what was there at the window's moments."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.actions.windows import MAX_OVERSAMPLING, SLACK, Clock, Ring, resample


def line(time_s: float) -> np.ndarray:
    return np.array([time_s, 2 * time_s], np.float32)


@pytest.mark.parametrize("fps", [6.0, 8.0, 10.0, 25.0, 60.0])
def test_a_window_shows_the_same_movement_at_every_frame_rate(fps: float) -> None:
    ring = Ring((2,), 16, 8.0)
    for time_s in np.arange(0, 4, 1 / fps):
        if ring.wants(time_s):
            ring.add(time_s, line(time_s))
    values, moments_s = ring.take()
    assert ring.ready()
    assert np.allclose(values[:, 0], moments_s, atol=1e-5)
    assert np.allclose(np.diff(moments_s), 1 / 8)


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_what_is_embedded_is_embedded_at_the_models_rate_and_not_at_the_cameras(fps: float) -> None:
    ring = Ring((2,), 16, 8.0, interpolate=False)
    taken = 0
    for time_s in np.arange(0, 10, 1 / fps):
        if ring.wants(time_s):
            taken += 1
            ring.add(time_s, line(time_s))
    assert 78 <= taken <= 82


def test_a_ring_has_a_bound_however_long_a_track_lives() -> None:
    ring = Ring((2,), 16, 8.0)
    for i in range(5000):
        ring.add(i / 100, line(i / 100))
    assert len(ring) == 16 * MAX_OVERSAMPLING + SLACK


def test_half_a_window_must_have_been_seen_and_its_beginning_stands_still() -> None:
    ring = Ring((2,), 16, 8.0)
    ring.add(0.0, line(0.0))
    ring.add(0.5, line(0.5))
    assert not ring.ready()
    ring.add(1.0, line(1.0))
    assert ring.ready()
    values, _ = ring.take()
    assert values[0].tolist() == [0, 0]
    assert values[-1].tolist() == [1, 2]


@pytest.mark.parametrize(("fill", "expected"), [(0.5, 9), (1.0, 16)])
def test_a_model_says_how_much_of_a_window_must_have_been_seen(fill: float, expected: int) -> None:
    """At a rate whose steps are no round numbers."""
    ring = Ring((2,), 16, 12.5, interpolate=False, fill=fill)
    ready = []
    for number in range(1, 20):
        ring.add((number - 1) * 0.08, line(number * 0.08))
        ready.append(ring.ready())
    assert ready.index(True) + 1 == expected
    assert all(ready[expected - 1 :])


def test_a_track_that_was_away_for_long_begins_a_new_window() -> None:
    ring = Ring((2,), 8, 8.0)
    for i in range(10):
        ring.add(i / 8, line(i / 8))
    ring.add(9.0, line(9.0))
    assert len(ring) == 1
    assert not ring.ready()


def test_a_ring_goes_on_from_its_checkpoint() -> None:
    ring = Ring((2,), 8, 8.0)
    for i in range(20):
        ring.add(i / 10, line(i / 10))
    other = Ring((2,), 8, 8.0)
    other.restore(ring.save())
    for each in (ring, other):
        each.add(2.0, line(2.0))
    assert np.array_equal(ring.take()[0], other.take()[0])
    with pytest.raises(ValueError, match="holds"):
        Ring((2,), 2, 8.0).restore({**(ring.save() or {})})


def test_rings_of_embeddings_are_too_large_to_keep() -> None:
    ring = Ring((512,), 16, 8.0, interpolate=False)
    for i in range(16):
        ring.add(i / 8, np.zeros(512, np.float32))
    assert ring.save() is None


def test_before_the_first_sample_is_the_first_and_after_the_last_the_last() -> None:
    times_s, values = np.array([1.0, 2.0]), np.array([[10.0], [20.0]], np.float32)
    assert resample(times_s, values, np.array([0.0, 1.25, 3.0]))[:, 0].tolist() == [10, 12.5, 20]
    assert resample(times_s, values, np.array([1.4, 1.6]), interpolate=False)[:, 0].tolist() == [10, 20]


def ticks(times_s: list[float], rate_hz: float) -> list[float | None]:
    clock = Clock(rate_hz)
    return [clock.tick(t) for t in times_s]


@pytest.mark.parametrize(("fps", "rate_hz"), [(25, 8), (12.5, 12.5), (10, 8), (30, 12.5), (29.97, 8)])
def test_a_clock_takes_the_frame_nearest_to_each_moment_of_its_grid(fps: float, rate_hz: float) -> None:
    times_s = [i / fps for i in range(200)]
    found = [
        (t, moment) for t, moment in zip(times_s, ticks(times_s, rate_hz), strict=True) if moment is not None
    ]
    assert [m for _, m in found] == pytest.approx([i / rate_hz for i in range(len(found))])
    assert len(found) == pytest.approx(times_s[-1] * rate_hz, abs=1.5)
    assert max(abs(t - m) for t, m in found) <= 0.5 / fps + 1e-6


def test_after_missing_frames_a_clock_goes_on_at_the_moment_that_is_now() -> None:
    assert ticks([0, 0.08, 0.32, 0.40], 12.5) == pytest.approx([0, 0.08, 0.32, 0.40])
    slow = [i / 5 for i in range(20)]
    assert all(m is not None and abs(t - m) <= 0.0626 for t, m in zip(slow, ticks(slow, 8), strict=True))


def test_a_clock_begins_anew_where_time_falls_back() -> None:
    assert ticks([50.0, 50.1, 3.0, 3.1], 10) == pytest.approx([50.0, 50.1, 3.0, 3.1])


def test_between_two_poses_a_joint_that_one_of_them_lacks_is_where_the_other_has_it() -> None:
    poses = np.array([[[0.4, 0.2, 0.8], [0.1, 0.1, 0.9]], [[0.0, 0.0, 0.0], [0.3, 0.1, 0.9]]], np.float32)
    mixed = resample(np.array([0.0, 1.0]), poses, np.array([0.5]))
    assert mixed[0].tolist() == [pytest.approx([0.4, 0.2, 0.4]), pytest.approx([0.2, 0.1, 0.9])]
