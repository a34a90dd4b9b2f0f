"""What moves as one between two frames: parked cars beside a road, seen from a car that drives or turns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.track import create_tracker
from pipelines.track import state as t
from pipelines.track.association import iou_matrix
from pipelines.track.scene_motion import SceneMotion, moved
from pipelines.values import Detections, Labels, Stamp

Array = npt.NDArray[np.float64]

LABELS = Labels(("car",), ("vehicle",))
FRAME_S = 0.4
FOCAL = 0.6  # of a camera whose picture is 1 wide and 1 high
# Parked cars, metres: to the side and ahead. Their gaps differ, as those of parked cars do.
PARKED = [(-4.0, 9.0), (-4.2, 15.0), (-4.0, 21.7), (4.0, 12.0), (4.3, 18.5), (4.0, 25.2), (-4.1, 28.0)]
MIN_FOLLOWED = 5  # some leave before they are shown


def seen(driven_m: float, turned: float = 0.0) -> tuple[Array, list[int]]:
    """(4, N) centres and extents of the parked cars in the picture, and which they are."""
    boxes, who = [], []
    for number, (side, ahead) in enumerate(PARKED):
        far = ahead - driven_m
        if far < 4.0:
            continue
        x = 0.5 + FOCAL * side / far + turned
        box = (x, 0.5 + FOCAL * 0.9 / far, FOCAL * 1.8 / far, FOCAL * 1.5 / far)
        if 0.0 < x < 1.0:
            boxes.append(box)
            who.append(number)
    return np.array(boxes).T.reshape(4, -1), who


def detections(boxes: Array) -> Detections:
    n = boxes.shape[1]
    sides = t.TO_SIDES.dot(boxes).T.astype(np.float32)
    return Detections(sides, np.full(n, 0.9, np.float32), np.zeros(n, np.int32))


def ids_of(ways: list[tuple[float, float]]) -> dict[int, Counter[int]]:
    """Which ids each parked car had, the camera having driven and turned so far at each frame."""
    tracker = create_tracker()
    ids: dict[int, Counter[int]] = {}
    for frame, (driven_m, turned) in enumerate(ways):
        boxes, who = seen(driven_m, turned)
        stamp = Stamp("car", 1, frame, round(frame * FRAME_S * 1e9), 0, 0)
        tracks = tracker.update(stamp, detections(boxes), LABELS)
        shown = () if tracks.measured_xyxyn is None else tracks.measured_xyxyn
        for track_id, box in zip(tracks.track_ids.tolist(), shown, strict=True):
            middle = t.FROM_SIDES.dot(box.astype(np.float64))
            number = who[int(np.abs(boxes - middle[:, None]).sum(axis=0).argmin())]
            ids.setdefault(number, Counter())[track_id] += 1
    return ids


def test_cars_past_which_one_drives_keep_their_ids_though_each_lies_where_its_neighbour_was() -> None:
    """4.5 m from frame to frame, where cars stand 6 m apart."""
    ids = ids_of([(4.5 * frame, 0.0) for frame in range(6)])
    assert len(ids) >= MIN_FOLLOWED
    assert all(len(of_one) == 1 for of_one in ids.values())
    assert len({track_id for of_one in ids.values() for track_id in of_one}) == len(ids)


def test_cars_keep_their_ids_when_the_camera_begins_to_turn() -> None:
    turned = np.concatenate((np.zeros(4), 0.09 * np.arange(1, 5)))
    ids = ids_of([(0.0, float(angle)) for angle in turned])
    assert len(ids) >= MIN_FOLLOWED
    assert all(len(of_one) == 1 for of_one in ids.values())


@pytest.mark.parametrize("motion", [(0.09, 0.01, 0.0, 0.0, 0.0), (0.02, 0.0, 2.5, 0.1, 0.0)])
def test_a_shift_and_an_expansion_are_found(motion: tuple[float, ...]) -> None:
    old, _ = seen(0.0)
    new = moved(old, np.array([motion]))[0]
    found = SceneMotion().find(old, new[:, ::-1], FRAME_S)
    assert found is not None
    assert np.diag(iou_matrix(moved(old, found[None])[0], new)).min() > 0.8


@pytest.mark.parametrize("n", [8, 16])
def test_people_who_walk_each_their_own_way_are_hardly_ever_taken_for_a_scene_that_moves(n: int) -> None:
    """A motion of five numbers brings some of them together by chance; it must bring half of them."""
    random = np.random.default_rng(5)
    taken = 0
    for _ in range(30):
        place = random.uniform(0.1, 0.9, (2, n))
        old = np.concatenate((place, np.full((1, n), 0.03), np.full((1, n), 0.12)))
        new = old.copy()
        new[:2] += random.normal(0.0, 0.04, (2, n))
        taken += SceneMotion().find(old, new, 0.2) is not None
    assert taken <= 2  # without the test of agreement 23 and 26


def test_one_car_alone_is_followed_by_the_motion_of_a_moment_ago_and_else_not() -> None:
    scene = SceneMotion()
    assert scene.find(seen(0.0)[0], seen(4.5)[0], FRAME_S) is not None
    old, new = np.array([[0.8, 0.6, 0.1, 0.09]]).T, np.array([[0.95, 0.65, 0.15, 0.13]]).T
    assert SceneMotion().find(old, new, FRAME_S) is None
    assert scene.find(old, moved(old, scene._speed[None] * FRAME_S)[0], FRAME_S) is not None


def test_many_boxes_are_cut_to_those_that_tell_most() -> None:
    random = np.random.default_rng(6)
    n = 500
    boxes = np.concatenate((random.uniform(0, 1, (2, n)), random.uniform(0.01, 0.2, (2, n))))
    tracker = create_tracker()
    for frame in range(3):
        shuffled = boxes.copy()
        shuffled[:2] = random.uniform(0, 1, (2, n))
        stamp = Stamp("car", 1, frame, round(frame * FRAME_S * 1e9), 0, 0)
        tracker.update(stamp, detections(shuffled), LABELS)


def test_who_is_lost_or_missed_once_sets_off_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[object] = []
    tracker = create_tracker()
    boxes = np.array([[0.1 * n, 0.5, 0.05, 0.2] for n in range(1, 10)]).T
    present = [*(range(9) for _ in range(6)), *(range(7) for _ in range(6))]  # two of nine go
    for frame, who in enumerate(present):
        if frame == 2:  # until then all are new
            monkeypatch.setattr(SceneMotion, "find", lambda *boxes: searches.append(boxes))
        stamp = Stamp("gate", 1, frame, round(frame * 0.04 * 1e9), 0, 0)
        tracker.update(stamp, detections(boxes[:, list(who)]), LABELS)
    assert not searches
