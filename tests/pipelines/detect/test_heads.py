"""How a model's head is found, and what each makes of a raw answer."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.detect.errors import InvalidOutput, ModelRefused
from pipelines.detect.heads import HEADS, Signature, find_head
from pipelines.detect.heads.nanodet import NanoDet
from pipelines.detect.heads.yolov8 import YoloV8, YoloV8Cut
from pipelines.detect.heads.yolox import YoloX, YoloXDecoded
from pipelines.values import Floats

NANODET = ((1600, 80), (400, 80), (100, 80), (1600, 32), (400, 32), (100, 32))


def model(size: int, *outputs: tuple[int | None, ...], operators: frozenset[str] = frozenset()) -> Signature:
    return Signature(size, size, outputs, {}, operators)


@pytest.mark.parametrize(
    ("signature", "head", "classes"),
    [
        (model(640, (1, 84, 8400)), "yolov8", 80),
        (model(320, (1, 84, 2100)), "yolov8", 80),
        (model(640, (None, 5, 8400)), "yolov8", 1),  # free batch, one class
        (model(640, (1, 56, 8400)), "yolov8-pose", 1),
        (model(320, (1, 50, 2100)), "yolov8-pose", 1),  # 15 joints
        (model(640, (1, 44, 8400)), "yolov8-pose", 1),
        (Signature(640, 640, ((1, 56, 8400),), {}, classes=52), "yolov8", 52),
        (Signature(640, 640, ((1, 20, 8400),), {}, classes=1), "yolov8-pose", 1),
        (Signature(640, 640, ((1, 20, 8400),), {"kpt_shape": "[5, 3]"}), "yolov8-pose", 1),
        (Signature(640, 640, ((1, 48, 8400),), {"kpt_shape": "[21, 2]"}), "yolov8-pose", 2),
        (Signature(640, 640, ((1, 26, 8400),), {}, joints=7), "yolov8-pose", 1),
        (model(416, (1, 3549, 85)), "yolox", 80),
        (model(416, (1, 3549, 85), operators=frozenset({"Exp"})), "yolox-decoded", 80),
        (model(640, (None, 8400, 7)), "yolox", 2),
        (model(320, *NANODET), "nanodet", 80),
        (model(320, *reversed(NANODET)), "nanodet", 80),
        (model(320, *((1, *shape) for shape in NANODET)), "nanodet", 80),
    ],
)
def test_a_head_is_found_by_its_shapes(signature: Signature, head: str, classes: int) -> None:
    found = find_head(signature)
    assert (found.name, found.classes) == (head, classes)


@pytest.mark.parametrize(
    "signature",
    [
        model(640, (1, 1000)),  # a classifier
        model(640, (1, 84, 2100)),  # cells of another size
        model(640, (1, 84, None)),
        model(640, (1, 25201, 85)),
        model(640, (1, 36, 8400), (1, 32, 160, 160)),  # masks and no class
        model(640, (1, 300, 4), (1, 300, 80)),  # a DETR's, without names
        model(320, *NANODET[:5]),
        model(320, *NANODET[:5], (100, 33)),
        model(640),
    ],
)
def test_an_unknown_head_is_refused_with_its_shapes_named(signature: Signature) -> None:
    with pytest.raises(ModelRefused) as refusal:
        find_head(signature)
    text = str(refusal.value)
    for shape in signature.outputs:
        assert "[" + ",".join("?" if n is None else str(n) for n in shape) + "]" in text
    assert all(known.name in text for known in HEADS)


def test_an_override_is_taken_where_it_fits_and_refused_where_not() -> None:
    raw = model(416, (1, 3549, 85))
    assert find_head(raw, "yolox-decoded").name == "yolox-decoded"
    with pytest.raises(ModelRefused, match=r"'nanodet' does not fit .*\[1,3549,85\]"):
        find_head(raw, "nanodet")
    with pytest.raises(ModelRefused, match="unknown head 'yolo99'"):
        find_head(raw, "yolo99")


def test_a_pose_model_of_any_number_of_joints_is_one_where_its_sidecar_says_so() -> None:
    assert find_head(model(640, (1, 35, 8400))).name == "yolov8"
    head = find_head(model(640, (1, 35, 8400)), "yolov8-pose")
    assert (head.name, head.joints) == ("yolov8-pose", 10)
    with pytest.raises(ModelRefused, match="'yolov8-pose' does not fit"):
        find_head(model(640, (1, 36, 8400)), "yolov8-pose")


def test_yolov8_decodes_centre_and_size() -> None:
    answer = np.zeros((7, 84), np.float32)
    answer[:, 10] = [30, 20, 10, 8, 0.1, 0.9, 0.2]
    answer[:, 11] = [30, 20, 10, 8, 0.1, 0.24, 0.2]
    found = YoloV8(3).decode([answer], 0.25)
    assert found.boxes_xyxy.tolist() == [[25, 16, 35, 24]]
    assert found.class_ids.tolist() == [1]
    assert found.scores == pytest.approx([0.9])


def cut_answer() -> list[Floats]:
    """Best logits, classes and distances of a cut YOLOv8 at 64x64 that sees nothing."""
    return [
        np.full((1, 84), -9.0, np.float32),
        np.zeros((1, 84), np.float32),
        np.zeros((84, 64), np.float32),
    ]


def test_the_cut_yolov8_decodes_what_the_whole_one_would() -> None:
    head = YoloV8Cut(2, 64, 64)
    cell = 64 + 5  # stride 16, row 1, column 1: centre (24, 24)
    best, class_ids, distances = cut_answer()
    best[0, cell], class_ids[0, cell] = 2.0, 1.0
    distances[cell, [0, 16 + 1, 32 + 2, 48 + 3]] = 99.0  # left 0, top 1, right 2, bottom 3 strides
    found = head.decode([best, class_ids, distances], 0.25)
    assert np.allclose(found.boxes_xyxy, [[24, 8, 56, 72]])
    assert found.scores == pytest.approx([1 / (1 + np.exp(-2.0))])
    assert found.class_ids.tolist() == [1]


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_cut_yolov8_takes_the_ends_of_the_score_scale(score: float) -> None:
    best, class_ids, distances = cut_answer()
    best[:] = 0.0
    found = YoloV8Cut(2, 64, 64).decode([best, class_ids, distances], score)
    assert len(found.scores) == (84 if score == 0.0 else 0)


def test_yolox_decodes_raw_and_decoded_rows() -> None:
    raw = np.zeros((84, 7), np.float32)
    raw[64 + 6] = [0.5, 0.25, np.log(2.0), 0.0, 0.8, 0.0, 0.9]  # stride 16, row 1, column 2
    decoded = raw.copy()
    decoded[64 + 6, :4] = [40, 20, 32, 16]
    signature = model(64, (1, 84, 7))
    for head, answer in ((YoloX.match_named(signature), raw), (YoloXDecoded.match_named(signature), decoded)):
        assert head is not None
        found = head.decode([answer], 0.3)
        assert np.allclose(found.boxes_xyxy, [[24, 12, 56, 28]])
        assert found.scores == pytest.approx([0.72])
        assert found.class_ids.tolist() == [1]


def test_yolox_drops_a_box_whose_class_makes_its_objectness_too_little() -> None:
    answer = np.zeros((84, 7), np.float32)
    answer[3, 4:] = [0.9, 0.2, 0.3]
    head = YoloX.match(model(64, (1, 84, 7)))
    assert head is not None
    assert len(head.decode([answer], 0.3).scores) == 0


def test_nanodet_takes_the_mean_of_each_sides_distribution() -> None:
    shapes = ((64, 3), (16, 3), (4, 3), (64, 32), (16, 32), (4, 32))
    head = NanoDet.match(model(64, *shapes))
    assert head is not None
    outputs = [np.zeros(shape, np.float32) for shape in shapes]
    outputs[1][6, 2] = 0.9  # stride 16, row 1, column 2: centre (40, 24)
    outputs[4][6] = -50.0
    outputs[4][6, [1, 8 + 2, 16 + 0, 24 + 1]] = 50.0
    outputs[4][6, 24 + 2] = 50.0  # bottom: 1 and 2 alike, so 1.5 strides
    found = head.decode(outputs, 0.3)
    assert np.allclose(found.boxes_xyxy, [[24, -8, 40, 48]])
    assert found.class_ids.tolist() == [2]


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0])
def test_a_score_that_is_none_is_refused(value: float) -> None:
    answer = np.zeros((7, 84), np.float32)
    answer[5, 40] = value
    with pytest.raises(InvalidOutput, match="score"):
        YoloV8(3).decode([answer], 0.25)
    rows = np.zeros((84, 7), np.float32)
    rows[40, 4] = value
    head = YoloX.match(model(64, (1, 84, 7)))
    assert head is not None
    with pytest.raises(InvalidOutput, match="score"):
        head.decode([rows], 0.25)


def test_a_logit_that_is_none_is_refused() -> None:
    best, class_ids, distances = cut_answer()
    best[0, 3] = np.nan
    with pytest.raises(InvalidOutput, match="score"):
        YoloV8Cut(2, 64, 64).decode([best, class_ids, distances], 0.25)
