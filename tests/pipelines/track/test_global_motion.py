"""How the view moved, seen in pictures whose motion is known, and what the tracker makes of it."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipelines.track import Tracker, create_tracker
from pipelines.track.global_motion import WIDTH, CameraMotion, Shift, small_grey
from pipelines.values import Detections, Image, Labels, Stamp
from tests import moving

HEIGHT, WIDE = 360, 640
NOBODY = np.zeros((0, 4), np.float32)
LABELS = Labels(("person",), ("person",))


def scenery(seed: int = 1) -> Image:
    """A textured wall much larger than the picture."""
    random = np.random.default_rng(seed)
    rough = random.integers(0, 256, (180, 240), np.uint8)
    wall = cv2.resize(rough, (2400, 1800), interpolation=cv2.INTER_CUBIC)
    return np.stack([wall] * 3, axis=2).astype(np.uint8)


WALL = scenery()


def view(x: float, y: float, scale: float = 1.0, angle: float = 0.0, noise: int = 0) -> Image:
    """What a camera at (x, y) of the wall sees, `scale` times as large; `noise` seeds the sensor's."""
    turn = cv2.getRotationMatrix2D((WIDE / 2, HEIGHT / 2), angle, scale)
    shift = np.array([[1, 0, -x - 600], [0, 1, -y - 600], [0, 0, 1]])
    picture = cv2.warpAffine(WALL, turn @ shift, (WIDE, HEIGHT))
    grain = np.random.default_rng(noise).normal(0, 3, picture.shape)
    noisy: Image = np.clip(picture + grain, 0, 255).astype(np.uint8)
    return noisy


def between(before: Image, after: Image) -> Shift | None:
    motion = CameraMotion()
    assert motion.follow(before, NOBODY) is None
    return motion.follow(after, NOBODY)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (6.0, -3.0),  # pixels of the picture
        (-25.0, 10.0),  # a fast pan
        (0.8, 0.0),  # hardly a pixel
    ],
)
def test_a_shift_of_the_view_is_measured(x: float, y: float) -> None:
    shift = between(view(0, 0), view(x, y, noise=1))
    assert shift is not None
    assert shift.offset * (WIDE, HEIGHT) == pytest.approx((-x, -y), abs=0.3)
    assert shift.scale == pytest.approx(1.0, abs=0.003)


def test_a_camera_that_turns_and_zooms_is_followed() -> None:
    shift = between(view(0, 0), view(0, 0, scale=1.03, angle=1.0, noise=1))
    assert shift is not None
    assert shift.scale == pytest.approx(1.03, abs=0.003)
    middle = shift.linear @ (0.5, 0.5) + shift.offset
    assert middle == pytest.approx((0.5, 0.5), abs=0.001)


def test_a_camera_that_stands_still_is_left_alone_whatever_moves_in_front_of_it() -> None:
    motion = CameraMotion()
    for frame in range(20):
        picture = view(0, 0, noise=frame)
        lorry = scenery(2)[:200, :250]
        picture[80:280, 15 * frame : 15 * frame + 250] = lorry
        box = np.array(
            [[15 * frame / WIDE, 80 / HEIGHT, (15 * frame + 250) / WIDE, 280 / HEIGHT]], np.float32
        )
        assert motion.follow(picture, box if frame % 2 else NOBODY) is None  # seen or missed by the detector
    assert (motion.frames, motion.moving_frames, motion.travelled) == (19, 0, 0.0)


def test_light_that_changes_is_no_motion() -> None:
    dark = (view(0, 0) * 0.8).astype(np.uint8)
    assert between(view(0, 0), dark) is None


def test_of_a_picture_without_structure_nothing_is_said() -> None:
    flat = np.full((HEIGHT, WIDE, 3), 90, np.uint8)
    assert between(flat, flat + 3) is None


def test_a_cut_to_another_scene_is_no_motion() -> None:
    assert between(view(0, 0), view(900, 600)) is None


def test_a_drift_too_slow_to_see_between_two_frames_adds_up() -> None:
    motion = CameraMotion()
    for frame in range(40):
        motion.follow(view(0.15 * frame, 0, noise=frame), NOBODY)
    assert -motion.offset_xyn[0] * WIDE == pytest.approx(0.15 * 39, rel=0.25)


def test_the_small_grey_copy_is_as_good_as_the_frame_and_shares_no_memory_with_it() -> None:
    pictures = view(0, 0), view(9, 4, noise=1)
    whole = between(*pictures)
    copies = [small_grey(picture) for picture in pictures]
    for picture in pictures:
        picture[:] = 0  # the ring's slot is used again
    small = between(*copies)
    assert copies[0].shape == (WIDTH * HEIGHT // WIDE, WIDTH)
    assert whole is not None
    assert small is not None
    assert small.offset == pytest.approx(whole.offset)
    already = small_grey(copies[0])
    assert not np.shares_memory(already, copies[0])


def ids_in_a_jerking_view(tracker: Tracker, pictures: bool) -> list[set[int]]:
    """The ids of three who walk slowly beside one another while the view jerks by their distance."""
    seen: list[set[int]] = [set(), set(), set()]
    at = 0.0
    for frame in range(40):
        at += 40.0 if frame in (15, 25) else 0.0
        feet = np.array([200 + 40 * i + 0.5 * frame - at for i in range(3)]) / WIDE
        boxes = np.column_stack([feet - 0.025, np.full(3, 0.4), feet + 0.025, np.full(3, 0.7)])
        ns = frame * 100_000_000
        found = Detections(boxes.astype(np.float32), np.full(3, 0.9, np.float32), np.zeros(3, np.int32))
        image = view(at, 0, noise=frame) if pictures else None
        tracks = tracker.update(Stamp("pole", 1, frame, ns, ns, 0), found, LABELS, image)
        order = np.argsort(tracks.boxes_xyxyn[:, 0])
        for person, track_id in zip(seen, tracks.track_ids[order].tolist(), strict=False):
            person.add(track_id)
    return seen


def test_ids_stay_when_the_view_jerks_and_the_tracker_sees_it() -> None:
    assert [len(ids) for ids in ids_in_a_jerking_view(create_tracker(), pictures=True)] == [1, 1, 1]
    assert max(len(ids) for ids in ids_in_a_jerking_view(create_tracker(), pictures=False)) > 1


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("clip", "moves"),
    [("drifting-camera.mp4", True), ("overpass-cars.mp4", False), ("pets09-s2l1.avi", False)],
)
def test_real_cameras_that_move_are_told_from_those_that_do_not(clip: str, moves: bool, corpus: Path) -> None:
    motion = CameraMotion()
    with av.open(str(corpus / "videos" / clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 90:
                break
            motion.follow(small_grey(frame.to_ndarray(format="bgr24").astype(np.uint8, copy=False)), NOBODY)
    assert (motion.travelled > 0.01) is moves, (motion.travelled, motion.moving_frames)


def test_things_that_all_move_alike_over_a_plain_floor_are_not_the_view() -> None:
    motion = CameraMotion()
    for number in range(150):
        picture = moving.draw(number, moving.WIDTH, moving.HEIGHT)
        assert motion.follow(picture, NOBODY) is None  # no detector has found the squares
    assert motion.travelled == 0.0
