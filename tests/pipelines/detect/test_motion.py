"""The motion detector on a drawn scene: a textured floor, and blocks that walk over it."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.detect.motion import MotionDetector
from pipelines.values import Detections, Frame, Image, Stamp

WIDTH, HEIGHT, FPS = 640, 360, 10
WARM_UP = 20  # frames


class Scene:
    """A floor with fixed texture; `gain` is its light, `noise` the sensor's standard deviation."""

    def __init__(self, noise: float = 2.0) -> None:
        self._random = np.random.default_rng(3)
        self._floor = self._random.uniform(80, 150, (HEIGHT // 8, WIDTH // 8, 3)).repeat(8, 0).repeat(8, 1)
        self._noise = noise

    def picture(self, boxes: list[tuple[int, int, int, int]], gain: float = 1.0) -> Image:
        picture = self._floor.copy()
        for left, top, right, bottom in boxes:
            picture[top:bottom, left:right] = (40, 30, 35)
        picture = picture * gain + self._random.normal(0, self._noise, picture.shape)
        return picture.clip(0, 255).astype(np.uint8)


def see(
    detector: MotionDetector, image: Image, index: int, camera: str = "door", epoch: int = 1
) -> Detections:
    stamp = Stamp(camera, epoch, index, index * 1_000_000_000 // FPS, 0, 0)
    return detector.collect(detector.submit([Frame(stamp, image)]))[0]


def warmed(scene: Scene, camera: str = "door") -> MotionDetector:
    detector = MotionDetector()
    for i in range(WARM_UP):
        see(detector, scene.picture([]), i, camera)
    return detector


def test_a_walking_block_is_one_object_where_it_is() -> None:
    scene = Scene()
    detector = warmed(scene)
    for step in range(20):
        left = 50 + 12 * step
        found = see(detector, scene.picture([(left, 120, left + 40, 240)]), WARM_UP + step)
        assert len(found) == 1
        true = np.array([left / WIDTH, 120 / HEIGHT, (left + 40) / WIDTH, 240 / HEIGHT])
        assert np.abs(found.boxes_xyxyn[0] - true).max() < 0.02
        assert found.scores[0] > 0.5
    assert detector.labels.names == detector.labels.groups == ("object",)


def test_two_blocks_apart_are_two_objects() -> None:
    scene = Scene()
    detector = warmed(scene)
    assert len(see(detector, scene.picture([(50, 100, 90, 220), (300, 60, 340, 180)]), WARM_UP)) == 2


@pytest.mark.parametrize("swing", [0.1, 0.3])
def test_flickering_light_moves_nothing_and_hides_nothing(swing: float) -> None:
    scene = Scene()
    detector = warmed(scene)
    for step in range(30):
        gain = 1.0 + swing * np.sin(step * 1.3)
        assert len(see(detector, scene.picture([], gain), WARM_UP + step)) == 0
    for step in range(30, 40):
        gain = 1.0 + swing * np.sin(step * 1.3)
        left = 12 * step
        found = see(detector, scene.picture([(left, 120, left + 40, 240)], gain), WARM_UP + step)
        assert len(found) == 1


def test_an_empty_noisy_scene_stays_empty() -> None:
    scene = Scene(noise=6.0)
    detector = warmed(scene)
    assert sum(len(see(detector, scene.picture([]), WARM_UP + i)) for i in range(50)) == 0


def test_a_jolt_of_the_whole_picture_is_not_an_object() -> None:
    scene = Scene()
    detector = warmed(scene)
    moved = np.roll(255 - scene.picture([]), 60, axis=1)
    assert len(see(detector, moved, WARM_UP)) == 0


def test_what_stands_still_becomes_background() -> None:
    scene = Scene()
    detector = warmed(scene)
    picture = scene.picture([(200, 100, 260, 240)])
    counts = [len(see(detector, picture, WARM_UP + i * FPS)) for i in range(60)]  # a frame a second
    assert counts[0] == 1
    assert counts[-1] == 0


def test_cameras_do_not_mix_and_a_forgotten_one_starts_anew() -> None:
    scene, other = Scene(), Scene()
    detector = warmed(scene)
    for i in range(WARM_UP):
        see(detector, 255 - other.picture([]), i, "gate")
    block = scene.picture([(50, 100, 90, 220)])
    assert len(see(detector, block, WARM_UP)) == 1
    detector.forget("door")
    detector.forget("never seen")
    assert len(see(detector, block, WARM_UP + 1)) == 0
    assert len(see(detector, 255 - other.picture([(50, 100, 90, 220)]), WARM_UP, "gate")) == 1


def test_a_new_epoch_or_another_size_starts_anew() -> None:
    scene = Scene()
    detector = warmed(scene)
    block = scene.picture([(50, 100, 90, 220)])
    assert len(see(detector, block, 0, epoch=2)) == 0
    detector = warmed(scene)
    assert len(see(detector, block[:300], WARM_UP)) == 0


def test_a_wrong_number_of_frames_and_a_spent_ticket_are_refused() -> None:
    detector = MotionDetector()
    with pytest.raises(ValueError, match="0 frames"):
        detector.submit([])
    ticket = detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), np.zeros((9, 9, 3), np.uint8))])
    detector.collect(ticket)
    with pytest.raises(ValueError, match="spent"):
        detector.collect(ticket)
