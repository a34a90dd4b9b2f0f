"""The noise of a picture that is sent again and again stays as it is; that of a camera that sees does not."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from pipelines.scene.fingerprint import Fingerprint
from pipelines.values import Image
from tests.encoded_scenes import BEGINS_S, NEVER_S, Encoded, quiet, told

SIZE = (176, 320)
# Every look comes from another key frame, so that the picture never comes the same way twice.
SHORT_GOP = Encoded(
    *(1, "libx264", (("preset", "ultrafast"), ("crf", "28")), 0, 5, 5, 1.8, 0.0),
    *("white", (0.02, 0.07), 0.0),
)  # fmt: skip


def scene() -> np.ndarray:
    wall = np.random.default_rng(1).uniform(60, 180, (22, 40)).astype(np.float32)
    return cv2.resize(wall, SIZE[::-1])


def looks(seconds: int, noise: float = 2.0, gain: float = 1.0, seed: int = 2) -> Iterator[Image]:
    dice = np.random.default_rng(seed)
    for _ in range(seconds):
        yield np.clip(gain * scene() + dice.normal(0, noise, SIZE), 0, 255).astype(np.uint8)


def stood_s(pictures: list[Image]) -> float:
    """For how long the noise had been the same in the end."""
    fingerprint = Fingerprint()
    for at_s, picture in enumerate(pictures):
        since_s = fingerprint.update(picture, float(at_s))
    return at_s - since_s


def test_a_clock_that_does_not_begin_at_nought_makes_no_picture_stand() -> None:
    fingerprint = Fingerprint()
    assert [fingerprint.update(look, 5000.0 + n) - n for n, look in enumerate(looks(12))] == [5000.0] * 12


def test_a_camera_that_sees_has_other_noise_at_each_look() -> None:
    assert stood_s(list(looks(60))) == 0


def test_noise_that_only_becomes_less_is_other_noise_each_time() -> None:
    assert stood_s([*looks(30), *looks(30, noise=0.8, seed=3)]) == 0


def test_light_that_changes_while_there_is_less_noise_is_no_picture_that_stands() -> None:
    assert stood_s([*looks(30), *looks(30, noise=1.4, gain=1.1, seed=3)]) == 0


def test_a_picture_that_stands_is_known_by_its_noise_however_it_is_encoded_anew() -> None:
    live = list(looks(30))
    anew = [np.clip(live[-1] + q.astype(np.float32) - scene(), 0, 255) for q in looks(25, noise=1.2, seed=4)]
    assert stood_s([*live, *(picture.astype(np.uint8) for picture in anew)]) >= 24


@pytest.mark.slow
def test_a_picture_of_which_every_look_is_a_new_key_frame_is_found_and_a_quiet_view_is_not() -> None:
    ((at_s, health),) = told(SHORT_GOP)
    assert health.state == "frozen"
    assert at_s <= BEGINS_S + 30
    assert told(quiet(SHORT_GOP), NEVER_S) == []
