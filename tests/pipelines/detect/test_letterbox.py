"""Pictures into a canvas, and boxes back."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.detect.letterbox import Letterbox, Pixels, fit

GREY = 114


def canvas(width: int, height: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.zeros((height, width, 3), np.uint8)


def blue(width: int, height: int) -> np.ndarray:  # type: ignore[type-arg]
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = (250, 20, 10)
    return image


def test_a_picture_that_fits_is_copied_between_grey_borders() -> None:
    target = canvas(64, 64)
    place = Letterbox(target, Pixels(rgb=False)).put(blue(64, 36))
    assert (place.left, place.top, place.width, place.height) == (0, 14, 64, 36)
    assert (target[:14] == GREY).all()
    assert (target[50:] == GREY).all()
    assert (target[14:50] == (250, 20, 10)).all()


def test_an_rgb_model_gets_its_channels_in_its_order() -> None:
    target = canvas(64, 64)
    Letterbox(target, Pixels(rgb=True)).put(blue(64, 64))
    assert (target == (10, 20, 250)).all()


def test_a_larger_picture_is_scaled_in_both_channel_orders() -> None:
    for rgb, colour in ((False, (250, 20, 10)), (True, (10, 20, 250))):
        target = canvas(64, 64)
        place = Letterbox(target, Pixels(rgb=rgb)).put(blue(1280, 720))
        assert (place.width, place.height) == (64, 36)
        assert (target[place.top : place.top + place.height] == colour).all()
        assert (target[: place.top] == GREY).all()


def test_top_left_padding_leaves_the_picture_at_the_origin() -> None:
    target = canvas(64, 64)
    place = Letterbox(target, Pixels(rgb=False, centred=False)).put(blue(32, 18))
    assert (place.left, place.top, place.width, place.height) == (0, 0, 64, 36)
    assert (target[36:] == GREY).all()


def test_a_picture_of_another_shape_leaves_nothing_of_the_last_one() -> None:
    target = canvas(64, 64)
    box = Letterbox(target, Pixels(rgb=False))
    box.put(blue(64, 64))
    box.put(blue(64, 20))
    assert (target[:22] == GREY).all()
    assert (target[42:] == GREY).all()


def test_a_read_only_picture_with_padded_rows_is_taken() -> None:
    wide = np.zeros((36, 100, 3), np.uint8)
    wide[:] = (250, 20, 10)
    image = wide[:, :64]
    image.flags.writeable = False
    target = canvas(64, 64)
    Letterbox(target, Pixels(rgb=True)).put(image)
    assert (target[14:50] == (10, 20, 250)).all()


@pytest.mark.parametrize(
    ("width", "height"), [(640, 360), (1920, 1080), (352, 640), (33, 500), (1, 1), (640, 640), (4000, 3)]
)
@pytest.mark.parametrize("centred", [True, False])
def test_boxes_come_back_to_where_they_were_in_the_picture(width: int, height: int, centred: bool) -> None:
    place = Letterbox(canvas(320, 256), Pixels(rgb=True, centred=centred)).put(blue(width, height))
    units = np.array([[0.0, 0.0, 1.0, 1.0], [0.25, 0.5, 0.5, 0.75]], np.float32)
    size = np.array([place.width, place.height] * 2, np.float32)
    offset = np.array([place.left, place.top] * 2, np.float32)
    assert np.allclose(place.to_unit(units * size + offset), units, atol=1e-5)


def test_a_box_in_the_border_is_clipped_to_the_picture() -> None:
    place = Letterbox(canvas(64, 64), Pixels(rgb=True)).put(blue(64, 32))
    assert place.to_unit(np.array([[-9.0, 0.0, 80.0, 64.0]], np.float32)).tolist() == [[0.0, 0.0, 1.0, 1.0]]


def test_no_picture_is_scaled_to_nothing() -> None:
    assert fit(10_000, 1, 64, 64) == (64, 1)
