"""Whether a camera can be believed, over rendered minutes and where there is one over real footage."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from pipelines.scene.health import HealthMonitor, is_black, small_grey
from pipelines.scene.view import View, register
from tests.blind_scenes import BEGINS_S, HEIGHT, SCENES, WIDTH, BlindScene, noisy, street, told
from tests.conftest import CORPUS
from tests.moving import draw

FIXED = (
    *("pets09-s2l1.avi", "one-by-one-person.mp4", "overpass-cars.mp4", "street-cars.mp4", "highway.mp4"),
    *("towncentre-1080p.mp4", "shopping-street.mp4", "lowres-highway.avi"),
)


@pytest.mark.parametrize("scene", [s for s in SCENES if s.expect == "ok"], ids=lambda s: s.name)
def test_nothing_is_said_of_a_camera_that_sees(scene: BlindScene) -> None:
    assert told(scene) == []


@pytest.mark.parametrize("scene", [s for s in SCENES if s.expect != "ok"], ids=lambda s: s.name)
def test_a_camera_that_cannot_be_believed_is_said_to_be_so_in_time_and_once(scene: BlindScene) -> None:
    ((at_s, health),) = told(scene)
    assert health.state == scene.expect
    assert BEGINS_S <= health.since_s <= at_s <= BEGINS_S + scene.within_s
    assert health.detail


def looks(monitor: HealthMonitor, pictures: list[np.ndarray], start_s: float) -> list[str]:
    """The states that are told over these pictures, a second apart."""
    told = [monitor.look(small_grey(p), start_s + n, start_s + n) for n, p in enumerate(pictures)]
    return [health.state for health in told if health is not None]


def seeing(count: int, seed: int = 1) -> list[np.ndarray]:
    dice = np.random.default_rng(seed)
    return [noisy(picture, dice) for picture in street()[:count]]


def test_a_camera_that_sees_again_is_well_again() -> None:
    monitor = HealthMonitor()
    dark = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 10
    assert looks(monitor, [*seeing(20), *dark, *seeing(10, seed=2)], 0.0) == ["black", "ok"]


def test_the_flicker_of_a_second_is_no_state() -> None:
    monitor = HealthMonitor()
    dark = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 2
    assert looks(monitor, [*seeing(20), *dark, *seeing(10, seed=2)], 0.0) == []


def test_a_rendered_picture_without_noise_has_a_minute_before_it_is_called_frozen() -> None:
    monitor = HealthMonitor()
    still = [street(density=0.0)[0]] * 80
    assert looks(monitor, still[:59], 0.0) == []
    assert looks(monitor, still[59:], 59.0) == ["frozen"]


def test_a_clip_that_begins_anew_repeats_nothing() -> None:
    monitor = HealthMonitor()
    clip = seeing(12)
    for turn in range(6):
        monitor.restart()
        assert looks(monitor, clip, 12.0 * turn) == []


def test_a_clock_that_begins_anew_with_the_source_upsets_nothing() -> None:
    """As that of a clip that is read as fast as it is wanted, and repeats."""
    monitor = HealthMonitor()
    assert looks(monitor, seeing(60), 0.0) == []
    monitor.restart()
    assert looks(monitor, seeing(30, seed=2), 0.0) == []
    monitor.restart()
    dark = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 6
    assert looks(monitor, [*seeing(4, seed=3), *dark], 0.0) == ["black"]


def test_media_time_that_stands_is_a_frozen_camera() -> None:
    monitor = HealthMonitor()
    states = [monitor.look(small_grey(p), float(n), min(n, 10.0)) for n, p in enumerate(seeing(40))]
    assert [health.state for health in states if health is not None] == ["frozen"]


def test_a_state_that_is_ignored_is_not_told() -> None:
    dark = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 20
    assert looks(HealthMonitor(ignore=("black", "frozen", "covered")), [*seeing(10), *dark], 0.0) == []


def test_a_view_that_was_kept_is_the_one_that_counts() -> None:
    monitor = HealthMonitor(reference=View.of(small_grey(street()[0])))
    shifted = [np.roll(p, 45, axis=1) for p in seeing(30)]
    assert looks(monitor, shifted, 0.0) == ["moved"]


def test_where_all_that_has_an_edge_goes_by_no_view_has_moved() -> None:
    """Squares in step before an even wall: where they are says nothing of where the camera looks."""
    monitor = HealthMonitor()
    pictures = [cv2.resize(draw(n * 23, 320, 180), (WIDTH, HEIGHT)) for n in range(90)]
    assert looks(monitor, pictures, 0.0) == []


def test_headlights_at_night_are_something_and_a_covered_sensor_is_not() -> None:
    night = np.full((180, 320), 6, np.uint8)
    assert is_black(night)
    cv2.circle(night, (100, 90), 3, 240, -1)
    assert not is_black(night)


@pytest.mark.parametrize(
    ("dx", "dy", "degrees", "scale"),
    [(0.1, -0.05, 0.0, 1.0), (0.0, 0.0, 7.0, 1.0), (0.0, 0.0, 0.0, 0.88), (0.05, 0.04, -4.0, 1.1)],
)
def test_a_registration_takes_points_to_where_they_are_now(
    dx: float, dy: float, degrees: float, scale: float
) -> None:
    before = street()[0]
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, scale)
    matrix[:, 2] += (dx * WIDTH, dy * HEIGHT)
    now = cv2.warpAffine(street()[20], matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    found = register(View.of(small_grey(before)), View.of(small_grey(now)))
    assert found is not None
    assert found.sure
    points = np.array([[0.3, 0.4], [0.7, 0.6], [0.5, 0.5]])
    pixels = points * (WIDTH, HEIGHT)
    true = (pixels @ matrix[:, :2].T + matrix[:, 2]) / (WIDTH, HEIGHT)
    np.testing.assert_allclose(found.apply(points, HEIGHT / WIDTH), true, atol=0.012)


def test_two_places_are_not_registered_for_sure() -> None:
    here, there = small_grey(street()[0]), small_grey(cv2.flip(street(seed=11)[0], 1))
    found = register(View.of(here), View.of(there))
    assert found is None or not found.sure


def said_of(name: str) -> list[str]:
    """What is told of a clip of the corpus, in its own time."""
    monitor, states = HealthMonitor(), []
    with av.open(str(CORPUS / "videos" / name)) as clip:
        for frame in clip.decode(video=0):
            at_s = float(frame.time or 0.0)
            if monitor.due(at_s):
                grey = frame.reformat(640, 640 * frame.height // frame.width, "gray").to_ndarray()
                health = monitor.look(small_grey(grey), at_s, at_s)
                states += [health.state] if health is not None else []
    return states


@pytest.mark.corpus
@pytest.mark.parametrize("name", FIXED)
def test_nothing_is_said_of_a_fixed_camera(name: str) -> None:
    assert said_of(name) == []


@pytest.mark.corpus
def test_a_camera_that_drifts_is_said_to_have_moved() -> None:
    assert said_of("drifting-camera.mp4") == ["moved"]
