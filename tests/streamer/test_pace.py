"""Which frames are due, where not all are wanted, and where it changes how many are."""

from __future__ import annotations

from streamer.workers.capture.pace import Pace

FPS = 25


def taken(pace: Pace, wanted: float, begin_s: float, seconds: float) -> list[float]:
    """The times of the frames that are due, of a camera that sends FPS."""
    times = [begin_s + i / FPS for i in range(round(seconds * FPS))]
    return [at_s for at_s in times if pace.due(round(at_s * 1e9), wanted)]


def test_so_many_frames_are_due_as_are_wanted_and_all_where_all_are() -> None:
    for wanted, expected in ((0.0, 250), (2.0, 20), (5.0, 50), (10.0, 100), (25.0, 250), (100.0, 250)):
        assert abs(len(taken(Pace(3), wanted, 0.0, 10.0)) - expected) <= 2, wanted


def test_a_rate_that_rises_is_followed_from_the_last_frame_on() -> None:
    pace = Pace(1)
    last_s = taken(pace, 2.0, 0.0, 4.0)[-1]
    first_s = taken(pace, 10.0, last_s + 1 / FPS, 2.0)[0]
    assert first_s - last_s < 0.2, "and not half a second, as it was due"


def test_a_rate_that_falls_is_followed_too() -> None:
    pace = Pace(1)
    last_s = taken(pace, 10.0, 0.0, 4.0)[-1]
    times = taken(pace, 2.0, last_s + 1 / FPS, 4.0)
    assert times[0] - last_s > 0.4
    assert len(times) in (7, 8, 9)


def test_cameras_that_begin_together_take_turns() -> None:
    seconds = {round(taken(Pace(row), 2.0, 0.0, 3.0)[2] % 0.5, 2) for row in range(1, 5)}
    assert len(seconds) == 4
