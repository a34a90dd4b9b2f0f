"""Objects that move or grow by much of their own size between two frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.track import create_tracker
from pipelines.track import state as t
from pipelines.track.large_displacement import coming, straight
from pipelines.values import Detections, Labels, Stamp, Tracks

Array = npt.NDArray[np.float64]

LABELS = Labels(("person", "car"), ("person", "vehicle"))
FOCAL = 0.6  # of a camera whose picture is 1 wide and 1 high


def box(far_m: float, side_m: float = 2.0) -> list[float]:
    """Centre and extent of a car so far ahead and to the side."""
    return [0.5 + FOCAL * side_m / far_m, 0.5 + FOCAL * 0.8 / far_m, FOCAL * 1.8 / far_m, FOCAL * 1.5 / far_m]


def run(frames: list[list[list[float]]], frame_s: float, classes: list[int] | None = None) -> list[Tracks]:
    """The tracks at each frame of boxes (centre and extent)."""
    tracker = create_tracker()
    shown = []
    for number, boxes in enumerate(frames):
        sides = t.TO_SIDES.dot(np.array(boxes).reshape(-1, 4).T).T.astype(np.float32)
        n = len(sides)
        ids = np.full(n, 1 if classes is None else classes[number], np.int32)
        stamp = Stamp("road", 1, number, round(number * frame_s * 1e9), 0, 0)
        shown.append(tracker.update(stamp, Detections(sides, np.full(n, 0.95, np.float32), ids), LABELS))
    return shown


def passing(frames: int) -> list[list[list[float]]]:
    """A car that goes by, by twice its length from frame to frame."""
    return [[[0.05 + 0.16 * n, 0.5, 0.08, 0.06]] for n in range(frames)]


def approaching(frames: int) -> list[list[list[float]]]:
    """A parked car that is driven past: it grows by a fifth, a fourth, a third, a half, and to twice its
    size."""
    return [[box(36.0 - 6.0 * n, 3.0)] for n in range(frames)]


def test_straight_on_is_exact_in_the_picture() -> None:
    old, new = np.array([[0.1, 0.5, 0.08, 0.06]]).T, np.array([[0.3, 0.52, 0.09, 0.07]]).T
    assert straight(old, new, np.array([0.5]))[:, 0] == pytest.approx([0.4, 0.53, 0.095, 0.075])


def test_what_comes_at_a_constant_speed_is_foretold_exactly() -> None:
    old, new = np.array([box(20.0)]).T, np.array([box(15.0)]).T
    assert coming(old, new, np.array([1.0]))[:, 0] == pytest.approx(box(10.0))
    assert coming(old, new, np.array([0.5]))[:, 0] == pytest.approx(box(12.5))


@pytest.mark.parametrize("way", [passing, approaching], ids=["passing", "approaching"])
def test_a_car_that_leaps_is_one_track(way: object) -> None:
    assert callable(way)
    shown = run(way(6), 0.4)
    assert [len(tracks) for tracks in shown[3:]] == [1, 1, 1]
    assert len({int(k) for tracks in shown for k in tracks.track_ids}) == 1


def test_its_first_boxes_are_its_history() -> None:
    shown = run(passing(5), 0.4)
    first = next(tracks for tracks in shown if len(tracks))
    assert first.history[int(first.track_ids[0])][:, 1] == pytest.approx([0.01, 0.17], abs=1e-4)


def test_nothing_leaps_between_frames_that_are_near() -> None:
    assert all(len(tracks) == 0 for tracks in run(passing(6), 0.04))


def test_two_classes_are_not_one_object() -> None:
    shown = run(passing(5), 0.4, [0, 1, 1, 1, 1])
    assert [len(tracks) for tracks in shown] == [0, 0, 0, 1, 1]  # without its first box


def test_a_box_that_its_own_track_meets_is_left_to_it() -> None:
    """A car stands where the leaps of a passing one would go on."""
    parked = [0.53, 0.5, 0.08, 0.06]
    frames = [[parked] for _ in range(4)]
    frames += [[parked, [at, 0.5, 0.08, 0.06]] for at in (0.21, 0.37)]
    frames += [[parked] for _ in range(3)]
    shown = run(frames, 0.4)
    assert all(tracks.track_ids.tolist() == [1] for tracks in shown[3:])


def test_very_many_boxes_that_all_leap_are_no_trouble() -> None:
    chance = np.random.default_rng(3)
    frames = [
        [[x, y, 0.02, 0.02] for x, y in chance.uniform(0.05, 0.95, (400, 2)).tolist()] for _ in range(6)
    ]
    assert all(np.isfinite(tracks.boxes_xyxyn).all() for tracks in run(frames, 0.4))


def test_a_box_of_the_second_of_two_frames_of_one_moment_is_not_its_own_beginning() -> None:
    """Damaged streams have such times: a way that took no time leads nowhere."""
    tracker, parked = create_tracker(), [0.8, 0.2, 0.1, 0.1]
    frames = [(0, [parked]), (10**9, [parked]), (10**9 + 1, [parked, [0.2, 0.5, 0.08, 0.06]])]
    for number, (media_ns, boxes) in enumerate([*frames, (13 * 10**8, [parked, [0.5, 0.5, 0.08, 0.06]])]):
        sides = t.TO_SIDES.dot(np.array(boxes).T).T.astype(np.float32)
        n = len(sides)
        found = Detections(sides, np.full(n, 0.95, np.float32), np.ones(n, np.int32))
        shown = tracker.update(Stamp("road", 1, number, media_ns, 0, 0), found, LABELS)
    assert np.isfinite(shown.boxes_xyxyn).all()
