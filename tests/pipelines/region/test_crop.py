"""A part of a picture and what is found in it, in places of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.region.crop import Crop
from pipelines.values import Detections, FeatureMaps, Frame, Image, Stamp

WIDTH, HEIGHT = 640, 360
STAMP = Stamp("gate", 1, 1, 1, 1, 1)


def picture() -> Image:
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.full(count, 0.9, np.float32), np.zeros(count, np.int32)
    )


def test_a_part_is_a_view_of_the_frame_and_no_copy() -> None:
    image = picture()
    part = Crop.of((0.25, 0.5, 0.75, 1.0), image).cut(Frame(STAMP, image))
    assert part.image.shape == (180, 320, 3)
    image[180, 160] = 77
    assert part.image[0, 0].tolist() == [77, 77, 77]


@pytest.mark.parametrize("width", [640, 641, 333, 7])
@pytest.mark.parametrize("box", [(0.1, 0.2, 0.7, 0.9), (0.0, 0.0, 1.0, 1.0), (1 / 3, 0.05, 0.999, 0.1)])
def test_a_place_comes_back_where_it_was_whatever_the_pictures_size(
    box: tuple[float, float, float, float], width: int
) -> None:
    crop = Crop.of(box, np.zeros((HEIGHT, width, 3), np.uint8))
    left, top, right, bottom = crop.left, crop.top, crop.right, crop.bottom
    assert left / width <= box[0] + 1e-6
    assert right / width >= box[2] - 1e-6
    assert crop.left >= 0
    assert crop.right <= width
    assert crop.bottom <= HEIGHT
    whole = crop.place(found((0.0, 0.0, 1.0, 1.0))).boxes_xyxyn[0]
    assert whole == pytest.approx([left / width, top / HEIGHT, right / width, bottom / HEIGHT], abs=1e-6)
    middle = crop.place(found((0.5, 0.5, 0.5, 0.5))).boxes_xyxyn[0]
    assert middle[:2] == pytest.approx([(left + right) / 2 / width, (top + bottom) / 2 / HEIGHT], abs=1e-6)


def test_joints_and_doubtful_boxes_are_placed_like_the_boxes() -> None:
    boxes = found((0.0, 0.0, 1.0, 1.0))
    joints = np.array([[[0.5, 0.5, 0.8]]], np.float32)
    answer = Detections(
        boxes.boxes_xyxyn,
        boxes.scores,
        boxes.class_ids,
        keypoints=joints,
        low_confidence=found((0.0, 0.0, 0.5, 0.5)),
    )
    placed = Crop.of((0.5, 0.5, 1.0, 1.0), picture()).place(answer)
    assert placed.keypoints is not None
    assert placed.low_confidence is not None
    assert placed.keypoints[0, 0] == pytest.approx([0.75, 0.75, 0.8])
    assert placed.low_confidence.boxes_xyxyn[0] == pytest.approx([0.5, 0.5, 0.75, 0.75])
    assert joints[0, 0, 0] == 0.5  # the detector's own answer is left as it was


def test_feature_maps_say_where_the_whole_picture_would_lie() -> None:
    maps = FeatureMaps((16,), (np.zeros((2, 2, 1), np.float32),), (0.0, 0.25), (1.0, 0.5))
    answer = Detections(*(getattr(found(), key) for key in ("boxes_xyxyn", "scores", "class_ids")), maps=maps)
    placed = Crop.of((0.5, 0.0, 1.0, 0.5), picture()).place(answer)
    assert placed.maps is not None
    assert placed.maps.scale == pytest.approx((2.0, 1.0))
    assert placed.maps.offset == pytest.approx((-1.0, 0.25))  # the picture's left edge, left of the input


def test_a_part_says_of_what_picture_it_is_unless_it_is_to_be_enlarged() -> None:
    frame = Frame(STAMP, picture())
    box = (0.25, 0.5, 0.75, 1.0)
    assert Crop.of(box, frame.image).cut(frame).whole == (WIDTH, HEIGHT)
    assert Crop.of(box, frame.image, zoom=True).cut(frame).whole is None
