"""Drawing: the arrows of a line point to the sides that its directions mean; any picture can be drawn on."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.instance_masks import InstanceMasks
from pipelines.rules import LineSpec, MaskSpec, ZoneSpec
from pipelines.values import Detections, FrameResult, Image, Labels, Stamp, Tracks
from streamer.clips.drawing import (
    LEFT_TO_RIGHT,
    RIGHT_TO_LEFT,
    Flash,
    draw_line,
    draw_result,
    draw_rules,
)

LABELS = Labels(("person", "car"), ("person", "vehicle"))


def blank(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), 128, np.uint8)


def where(image: Image, colour: tuple[int, int, int]) -> tuple[float, float]:
    """The mean (x, y) of the pixels of exactly this colour."""
    rows, columns = np.nonzero((image == colour).all(axis=2))
    assert len(rows) > 20
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize(
    ("points", "right_hand"),
    [
        (((0.2, 0.5), (0.8, 0.5)), (0, 1)),  # walking to the right, the right hand is below
        (((0.8, 0.5), (0.2, 0.5)), (0, -1)),
        (((0.5, 0.2), (0.5, 0.8)), (-1, 0)),  # walking down, the right hand is the picture's left
        (((0.5, 0.8), (0.5, 0.2)), (1, 0)),
    ],
)
def test_left_to_right_points_to_the_right_hand_of_who_walks_the_line(
    points: tuple[tuple[float, float], tuple[float, float]], right_hand: tuple[int, int]
) -> None:
    image = blank()
    draw_line(image, LineSpec(name="l", points=points))
    to_right, to_left = np.array(where(image, LEFT_TO_RIGHT)), np.array(where(image, RIGHT_TO_LEFT))
    assert (to_right - (320, 180)) @ right_hand > 5
    assert (to_left - (320, 180)) @ right_hand < -5


def test_rules_are_drawn_in_place_and_masks_darken() -> None:
    image = blank()
    corners = ((0.6, 0.6), (0.9, 0.6), (0.9, 0.9), (0.6, 0.9))
    rules = CameraRules(masks=(MaskSpec(name="sky", points=corners),))
    assert draw_rules(image, rules, grid=False) is image
    assert image[300, 400].max() < 100
    assert (image[20, 20] == 128).all()


@pytest.mark.parametrize(("width", "height"), [(64, 48), (640, 360), (3840, 2160)])
def test_anything_at_the_edge_of_any_picture_is_drawn(width: int, height: int) -> None:
    name = "a-name-of-sixty-three-letters-is-allowed-and-so-it-must-be-drawn"[:63]
    rules = CameraRules(
        lines=(LineSpec(name=name, points=((0, 0), (1, 0), (1, 1)), left_to_right=name),),
        zones=(ZoneSpec(name=name, points=((0, 0), (1, 0), (1, 1))),),
    )
    image = draw_rules(blank(width, height), rules)
    assert image.shape == (height, width, 3)
    boxes = np.array([[-0.5, -0.5, 0.1, 0.1], [0.9, 0.9, 1.5, 1.5], [0.5, 0.5, 0.5, 0.5]], np.float32)
    n = len(boxes)
    tracks = Tracks(
        np.arange(1, n + 1, dtype=np.int64),
        boxes,
        np.ones(n, np.float32),
        np.array([0, 1, 0], np.int32),
        np.array([True, True, False]),
        np.zeros((n, 2), np.float32),
    )
    result = FrameResult(Stamp("c", 0, 0, 0, 0, 0), Detections.empty(), tracks, ())
    before = image.copy()
    draw_result(
        image,
        result,
        LABELS,
        rules=rules,
        totals={name: (7, 1_000_000)},
        trails={1: [(-0.2, 0.5), (0.5, 0.5)], 2: [(0.1, 0.1)], 3: []},
        flashes=[Flash((1.0, 0.0), "+1 in: car 12, margin 3.1", True, 0.5)],
    )
    assert (image != before).any()


def test_a_predicted_box_shows_its_corners_alone() -> None:
    def middle_of_the_upper_edge(observed: bool) -> Image:
        image = blank()
        tracks = Tracks(
            np.array([1], np.int64),
            np.array([[0.25, 0.5, 0.75, 0.9]], np.float32),
            np.ones(1, np.float32),
            np.zeros(1, np.int32),
            np.array([observed]),
            np.zeros((1, 2), np.float32),
        )
        draw_result(image, FrameResult(Stamp("c", 0, 0, 0, 0, 0), Detections.empty(), tracks, ()), LABELS)
        return np.asarray(image[180, 400], np.uint8)

    assert (middle_of_the_upper_edge(observed=True) != 128).any()
    assert (middle_of_the_upper_edge(observed=False) == 128).all()


def drawn(box: list[float]) -> Image:
    image = blank()
    tracks = Tracks(
        np.array([1], np.int64),
        np.array([box], np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int32),
        np.array([False]),
        np.zeros((1, 2), np.float32),
    )
    return draw_result(image, FrameResult(Stamp("c", 0, 0, 0, 0, 0), Detections.empty(), tracks, ()), LABELS)


@pytest.mark.parametrize(
    "box", [[1.0, 0.3, 1.2, 0.6], [-0.3, 0.3, 0.0, 0.6], [0.4, -0.5, 0.6, -0.1], [0.4, 1.1, 0.6, 1.4]]
)
def test_a_track_that_is_predicted_out_of_the_picture_has_no_label_in_it(box: list[float]) -> None:
    assert (drawn(box) == 128).all()


def test_the_label_of_a_box_at_the_edge_is_as_whole_as_any_other() -> None:
    def plate(image: Image) -> tuple[int, int]:
        rows, columns = np.nonzero((image == image.min()).all(axis=2))  # the plate, darker than all else
        return int(rows.max() - rows.min()), int(columns.max() - columns.min())

    wanted = plate(drawn([0.4, 0.4, 0.6, 0.8]))
    for box in ([0.97, 0.4, 1.1, 0.8], [-0.1, -0.2, 0.03, 0.3], [0.4, 0.97, 0.6, 1.4]):
        assert plate(drawn(box)) == wanted


def test_the_edge_of_a_mask_is_drawn_and_nothing_within_it() -> None:
    box = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32)
    masks = InstanceMasks(
        np.ones((1, 1), np.float32), np.ones((1, 2, 2), np.float32), box, (0.0, 0.0), (2.0, 2.0)
    )
    found = Detections(box, np.ones(1, np.float32), np.zeros(1, np.int32), masks=masks)
    image = blank()
    draw_result(image, FrameResult(Stamp("c", 0, 0, 0, 0, 0), found, Tracks.empty(), ()), LABELS)
    height, width = image.shape[:2]
    assert (image[height // 4, width // 2] != 128).any()
    assert (image[height // 2, width // 4] != 128).any()
    assert (image[height // 2, width // 2] == 128).all()
    assert (image[: height // 5] == 128).all()


def test_bones_are_drawn_between_joints_that_are_known() -> None:
    joints = np.zeros((1, 17, 3), np.float32)
    joints[0, 5], joints[0, 7], joints[0, 9] = (0.2, 0.5, 0.9), (0.5, 0.5, 0.9), (0.8, 0.5, 0.0)
    found = Detections(
        np.array([[0.1, 0.1, 0.9, 0.9]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int32),
        keypoints=joints,
    )  # fmt: skip
    image = blank()
    draw_result(image, FrameResult(Stamp("c", 0, 0, 0, 0, 0), found, Tracks.empty(), ()), LABELS)
    assert (image[180, 224] != 128).any()  # between the shoulder and the elbow
    assert (image[180, 400:] == 128).all()  # the wrist was not seen
    assert (image[:3, :3] == 128).all()  # nor is a joint at the corner
