"""Edges lie where they lay, whichever side of them is the brighter one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipelines.scene.health import HealthMonitor, small_grey
from pipelines.scene.structure import Structure
from pipelines.scene.view import View
from pipelines.values import Image
from tests.blind_scenes import HEIGHT, WIDTH, infrared, noisy, street


def learnt(pictures: list[Image]) -> Structure:
    structure = Structure()
    for picture in pictures:
        structure.learn(small_grey(picture))
    return structure


@pytest.mark.parametrize("light", [lambda p: 255 - p, lambda p: infrared(p, 1), lambda p: infrared(p, 6)])
def test_a_view_in_another_light_stands(light) -> None:  # type: ignore[no-untyped-def]
    assert learnt(street()[:3]).stands_in(small_grey(light(street()[20])))


@pytest.mark.parametrize(
    ("dx", "dy", "degrees", "scale"),
    [(0.03, 0, 0, 1), (0.07, 0.03, 0, 1), (0, 0, 6, 1), (0, 0, 0, 1.15)],
)
@pytest.mark.parametrize("light", [lambda p: p, lambda p: infrared(p, 1)])
def test_a_view_that_has_moved_does_not(light, dx: float, dy: float, degrees: float, scale: float) -> None:  # type: ignore[no-untyped-def]
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, scale)
    matrix[:, 2] += (dx * WIDTH, dy * HEIGHT)
    now = cv2.warpAffine(street()[20], matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    assert not learnt(street()[:3]).stands_in(small_grey(light(now)))


def test_of_a_picture_without_edges_and_of_another_size_nothing_is_said() -> None:
    structure = learnt(street()[:3])
    assert not structure.stands_in(np.full((180, 320), 90, np.uint8))
    assert not structure.stands_in(np.zeros((90, 160), np.uint8))
    assert not Structure().stands_in(small_grey(street()[0]))


def test_a_registration_by_chance_moves_no_view_whose_edges_lie_where_they_lay() -> None:
    """The descriptors of another light may agree on anything: here on those of a shifted view."""
    dice = np.random.default_rng(1)
    first, night = street()[0], [noisy(255 - p, dice) for p in street()[20:50]]
    monitor = HealthMonitor(reference=View.of(small_grey(first)))
    for at_s, picture in enumerate(street()[:20]):
        monitor.look(small_grey(noisy(picture, dice)), float(at_s), float(at_s))
    shifted = np.roll(night[0], 45, axis=1)
    monitor.reference = View.of(small_grey(shifted))
    told = [monitor.look(small_grey(p), 20.0 + n, 20.0 + n) for n, p in enumerate(night)]
    assert [health.state for health in told if health is not None] == []
