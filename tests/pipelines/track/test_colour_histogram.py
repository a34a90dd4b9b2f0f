"""Looks from colours: what tells two people apart, what does not, and what says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.track.appearance import FULL, LENGTH, colour_histograms, small_colours
from pipelines.values import Floats, Image

WHOLE, PLACE = (0.4, 0.2, 0.5, 0.8), (0.7, 0.3, 0.78, 0.75)


def street(
    *people: tuple[tuple[float, float, float, float], tuple[int, int, int], tuple[int, int, int]],
) -> Image:
    """A grey picture with people in it: a box, and the colours (BGR) of its upper and lower half."""
    picture: Image = np.full((360, 640, 3), 120, np.uint8)
    for (x1, y1, x2, y2), upper, lower in people:
        rows = [round(y * 360) for y in (y1, (y1 + y2) / 2, y2)]
        left, right = round(x1 * 640), round(x2 * 640)
        picture[rows[0] : rows[1], left:right] = upper
        picture[rows[1] : rows[2], left:right] = lower
    return picture


def look(picture: Image, *boxes: tuple[float, ...]) -> Floats:
    small = small_colours(picture)
    assert small is not None
    return colour_histograms(small, np.array(boxes, np.float32).reshape(-1, 4))


def alike(a: Floats, b: Floats) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


RED, BLUE, BLACK, WHITE = (40, 30, 200), (200, 60, 30), (15, 15, 15), (235, 235, 235)


def test_who_wears_the_same_looks_the_same_elsewhere_and_smaller() -> None:
    picture = street((WHOLE, RED, BLACK), (PLACE, RED, BLACK))
    first, second = look(picture, WHOLE, PLACE)
    assert alike(first, second) > 0.98


@pytest.mark.parametrize(
    ("upper", "lower"), [(BLUE, BLACK), (RED, BLUE), (BLACK, RED), (WHITE, BLACK), (BLACK, BLACK)]
)
def test_who_wears_something_else_looks_different(
    upper: tuple[int, int, int], lower: tuple[int, int, int]
) -> None:
    picture = street((WHOLE, RED, BLACK), (PLACE, upper, lower))
    first, second = look(picture, WHOLE, PLACE)
    assert alike(first, second) < 0.85


def test_light_that_fades_a_little_changes_little() -> None:
    bright, dim = street((WHOLE, RED, WHITE)), (street((WHOLE, RED, WHITE)) * 0.85).astype(np.uint8)
    assert alike(look(bright, WHOLE)[0], look(dim, WHOLE)[0]) > 0.88


@pytest.mark.parametrize(
    "box",
    [
        (0.0, 0.2, 0.1, 0.8),
        (0.4, 0.5, 0.5, 0.995),
        (0.95, 0.2, 1.1, 0.8),
        (np.nan, 0.2, 0.5, 0.8),
        (0.4, 0.2, np.inf, 0.8),
    ],
)
def test_a_box_that_is_cut_or_none_says_nothing(box: tuple[float, ...]) -> None:
    found = look(street((WHOLE, RED, BLACK)), box, WHOLE)
    assert not found[0].any()
    assert found[1].any()


def test_numbers_are_whole_and_fit_a_byte() -> None:
    found = look(street((WHOLE, RED, BLACK)), WHOLE, PLACE, (0.5, 0.5, 0.5, 0.5), (0.6, 0.8, 0.5, 0.3))
    assert found.shape == (4, LENGTH)
    assert found.dtype == np.float32
    assert (found == found.astype(np.uint8)).all()
    assert 0 < found.max() <= FULL


def test_no_boxes_have_no_looks_and_a_grey_picture_has_no_colours() -> None:
    assert look(street()).shape == (0, LENGTH)
    assert small_colours(np.zeros((90, 160), np.uint8)) is None


@pytest.mark.parametrize(
    ("shape", "small"), [((1080, 1920), (270, 480)), ((360, 480), (360, 480)), ((9, 4000), (1, 480))]
)
def test_the_copy_is_small_and_a_copy(shape: tuple[int, int], small: tuple[int, int]) -> None:
    picture: Image = np.full((*shape, 3), 7, np.uint8)
    copy = small_colours(picture)
    assert copy is not None
    assert copy.shape[:2] == small
    picture[:] = 9
    assert (copy == 7).all()
