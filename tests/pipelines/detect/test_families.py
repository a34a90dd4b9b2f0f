"""Which head reads which family's answer, and what each makes of made-up tensors."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.detect.card import ScoreLimits
from pipelines.detect.errors import InferenceRejected, InvalidOutput, ModelRefused
from pipelines.detect.heads import Head, Signature, find_head
from pipelines.detect.labels import COCO_80, COCO_91, labels_of
from pipelines.detect.letterbox import Letterbox, Pixels
from pipelines.detect.model import Postprocessor
from pipelines.detect.nms import suppress_rotated
from pipelines.values import Detections, Floats

SAID = {"end2end": "True"}
PROTO = (1, 32, 160, 160)
LOGITS, SHARES = ("logits", "pred_boxes"), ("dets", "labels")


def model(
    *outputs: tuple[int | None, ...],
    size: int = 640,
    names: tuple[str, ...] = (),
    whole: tuple[bool, ...] = (),
    classes: int = 0,
    **metadata: str,
) -> Signature:
    return Signature(size, size, outputs, metadata, classes=classes, names=names, integers=whole)


@pytest.mark.parametrize(
    ("signature", "head", "classes"),
    [
        (model((1, 25200, 85)), "yolov5", 80),
        (model((1, 6300, 7), size=320), "yolov5", 2),
        (model((1, 102000, 85), size=1280), "yolov5", 80),  # P6
        (model((1, 25200, 117), PROTO), "yolov5", 80),
        (model((1, 25200, 85), (1, 3, 80, 80, 85), (1, 3, 40, 40, 85), (1, 3, 20, 20, 85)), "yolov5", 80),
        (model((1, 2535, 85), size=416), "yolov5", 80),  # tiny: strides 16 and 32
        (model((1, 84, 34000)), "yolov8", 80),  # P2
        (model((1, 84, 8500)), "yolov8", 80),  # P6
        (model((1, 84, 34100)), "yolov8", 80),  # both
        (model((1, 116, 8400), PROTO), "yolov8-seg", 80),
        (model((1, 116, 8400), PROTO, classes=80), "yolov8-seg", 80),
        (model((1, 20, 8400), task="obb"), "yolov8-obb", 15),
        (model((1, 20, 8400)), "yolov8", 16),  # nothing tells of an angle
        (model((1, 300, 6)), "end-to-end", 80),
        (model((None, 300, 6), classes=3), "end-to-end", 3),
        (model((1, 84, 6), size=64, **SAID), "end-to-end", 80),
        (model((1, 84, 6), size=64), "yolox", 1),
        (model((1, 300, 6), classes=2, **SAID), "end-to-end", 2),
        (model((1, 300, 6), classes=2, args="{'nms': True}", end2end="False"), "end-to-end", 2),
        (model((1, 300, 38), PROTO), "end-to-end", 80),
        (model((1, 300, 57), classes=1, task="pose", kpt_shape="[17, 3]"), "end-to-end", 1),
        (model((1, 300, 7), classes=15, task="obb", **SAID), "end-to-end-obb", 15),
        (model((1, 300, 84)), "rtdetr", 80),
        (model((1, 300, 9), classes=5), "rtdetr", 5),
        (model((1, 300, 6), description="Ultralytics RT-DETR-l model", end2end="False"), "rtdetr", 80),
        (model((1, 300, 6), classes=2, end2end="False"), "rtdetr", 2),
        (model((1, 300, 80), (1, 300, 4), names=LOGITS), "detr-sigmoid", 80),
        (model((1, 300, 4), (1, 300, 3), names=LOGITS[::-1], classes=3), "detr-sigmoid", 3),
        (model((1, 300, 4), (1, 300, 4), names=LOGITS, classes=4), "detr-sigmoid", 4),
        (model((1, 100, 92), (1, 100, 4), names=LOGITS), "detr", 91),
        (model((1, 100, 4), (1, 100, 4), names=LOGITS, classes=3), "detr", 3),
        (model((1, 300, 91), (1, 300, 4), names=LOGITS), "rf-detr", 91),
        (model((1, 300, 4), (1, 300, 91), names=SHARES), "rf-detr", 91),
        (model((1, 300, 4), (1, 300, 3), names=SHARES, classes=2), "rf-detr", 2),
        (model((1, 300), (1, 300, 4), (1, 300), whole=(True, False, False)), "dfine", 80),
        (model((None, 4), (None,), (None,), whole=(False, False, True)), "torchvision", 90),
        (model((0, 4), (0,), (0,), whole=(False, True, False), classes=2), "torchvision", 2),
    ],
)
def test_a_family_is_found_by_shapes_names_and_its_own_words(
    signature: Signature, head: str, classes: int
) -> None:
    found = find_head(signature)
    assert (found.name, found.classes) == (head, classes)


@pytest.mark.parametrize(
    ("signature", "heads"),
    [
        (model((1, 300, 6), classes=2), ("end-to-end", "rtdetr")),
        (model((1, 100, 20), (1, 100, 4), names=LOGITS), ("detr", "detr-sigmoid", "rf-detr")),
    ],
)
def test_where_nothing_settles_it_the_heads_to_choose_from_are_named(
    signature: Signature, heads: tuple[str, ...]
) -> None:
    with pytest.raises(ModelRefused) as refused:
        find_head(signature)
    for head in heads:
        assert f"head: {head}" in str(refused.value)
        assert find_head(signature, head).name == head


def test_classes_of_coco_keep_the_numbers_of_its_annotations() -> None:
    assert len(set(COCO_91)) == 91
    assert [COCO_91[i] for i in (1, 3, 13, 44, 90)] == ["person", "car", "stop sign", "bottle", "toothbrush"]
    assert tuple(name for name in COCO_91 if not name.startswith("unused")) == COCO_80


def found_by(signature: Signature, *answer: Floats, score: float = 0.3) -> list[list[float]]:
    """Left, top, right, bottom, score, class of each box."""
    given = find_head(signature).decode(answer, score)
    return [
        [*map(float, box), round(float(s), 4), int(c)]
        for box, s, c in zip(given.boxes_xyxy, given.scores, given.class_ids, strict=True)
    ]


def rows(*values: list[float]) -> Floats:
    return np.array(values, np.float32)


def test_yolov5_multiplies_objectness_and_class() -> None:
    answer = np.zeros((252, 5 + 2 + 3), np.float32)
    answer[9] = [30, 20, 10, 8, 0.8, 0.1, 0.9, 9, 9, 9]  # and coefficients of masks
    answer[10] = [30, 20, 10, 8, 0.4, 0.1, 0.7, 9, 9, 9]
    signature = model((1, 252, 10), (1, 3, 16, 16), size=64)
    assert found_by(signature, answer) == [[25, 16, 35, 24, 0.72, 1]]


def test_yolov8_seg_reads_no_coefficient_as_a_class() -> None:
    answer = np.zeros((4 + 2 + 3, 84), np.float32)
    answer[:, 5] = [30, 20, 10, 8, 0.1, 0.9, 50, 60, 70]
    assert found_by(model((1, 9, 84), (1, 3, 16, 16), size=64), answer) == [[25, 16, 35, 24, 0.9, 1]]


def test_a_box_at_an_angle_becomes_the_upright_box_around_it() -> None:
    answer = np.zeros((4 + 2 + 1, 84), np.float32)
    answer[:, 5] = [30, 20, 10, 4, 0.1, 0.9, np.pi / 2]
    answer[:, 6] = [30, 40, 10, 10, 0.8, 0.1, np.pi / 4]
    first, second = found_by(model((1, 7, 84), size=64, task="obb"), answer)
    assert np.allclose(first, [28, 15, 32, 25, 0.9, 1], atol=1e-4)
    reach = 5 * np.sqrt(2)
    assert np.allclose(second, [30 - reach, 40 - reach, 30 + reach, 40 + reach, 0.8, 0], atol=1e-4)


def test_cars_parked_at_an_angle_side_by_side_are_all_kept() -> None:
    """Their upright boxes overlap by more than half."""
    step = 10 / np.sqrt(2)
    cars = rows(*[[100 + i * step, 100 + i * step, 60, 9, -np.pi / 4] for i in range(4)])
    scores, groups = np.linspace(0.9, 0.6, 4).astype(np.float32), np.zeros(4, np.int32)
    assert suppress_rotated(cars, scores, groups, 0.5).tolist() == [0, 1, 2, 3]
    twice = np.concatenate((cars, cars[:1] + rows([1, 1, 0, 0, 0])))
    kept = suppress_rotated(twice, np.append(scores, np.float32(0.5)), np.zeros(5, np.int32), 0.5)
    assert kept.tolist() == [0, 1, 2, 3]


def test_an_end_to_end_row_is_a_box_as_it_stands() -> None:
    answer = rows([10, 20, 30, 40, 0.9, 2], [1, 2, 3, 4, 0.2, 0], [0, 0, 0, 0, 0, 0])
    assert found_by(model((1, 3, 6)), answer) == [[10, 20, 30, 40, 0.9, 2]]


def test_an_end_to_end_pose_has_its_joints() -> None:
    answer = np.zeros((2, 6 + 51), np.float32)
    answer[0, :6] = [10, 20, 30, 40, 0.9, 0]
    answer[0, 6:12] = [11, 21, 0.5, 12, 22, 0.6]
    given = find_head(model((1, 2, 57), task="pose", kpt_shape="[17, 3]", classes=1)).decode([answer], 0.3)
    assert given.keypoints is not None
    assert given.keypoints.shape == (1, 17, 3)
    assert np.allclose(given.keypoints[0, :2], [[11, 21, 0.5], [12, 22, 0.6]])


def test_rtdetr_gives_shares_of_the_input_in_both_its_forms() -> None:
    every = rows([0.5, 0.25, 0.5, 0.25, 0.1, 0.8, 0.3], [0.5, 0.5, 0.1, 0.1, 0.1, 0.2, 0.1])
    assert found_by(model((1, 2, 7), classes=3), every) == [[160, 80, 480, 240, 0.8, 1]]
    chosen = rows([0.5, 0.25, 0.5, 0.25, 0.8, 1])
    assert found_by(model((1, 1, 6), description="rtdetr-l"), chosen) == [[160, 80, 480, 240, 0.8, 1]]


def test_detr_takes_the_softmax_and_its_last_class_is_no_object() -> None:
    logits = np.log(rows([0.7, 0.1, 0.2], [0.05, 0.05, 0.9]))
    boxes = rows([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.1, 0.1])
    signature = model((1, 2, 3), (1, 2, 4), names=LOGITS, classes=2)
    assert found_by(signature, logits, boxes) == [[160, 160, 480, 480, 0.7, 0]]


def test_a_query_may_be_two_classes_and_there_are_no_more_boxes_than_queries() -> None:
    logits, boxes = rows([2.0, 3.0, -9.0], [-9.0, 1.0, 4.0]), rows([0.5] * 4, [0.5] * 4)
    signature = model((1, 2, 3), (1, 2, 4), names=LOGITS, classes=3)
    assert [each[4:] for each in found_by(signature, logits, boxes)] == [[0.982, 2], [0.9526, 1]]


def test_rf_detr_leaves_its_last_logit_out_where_that_names_no_class() -> None:
    boxes, logits = rows([0.5, 0.5, 0.5, 0.5]), rows([-9.0, 0.0, 9.0])
    signature = model((1, 1, 4), (1, 1, 3), names=SHARES, classes=2)
    assert found_by(signature, boxes, logits) == [[160, 160, 480, 480, 0.5, 1]]


def test_labels_boxes_and_scores_are_told_apart_by_their_kinds() -> None:
    labels, boxes, scores = (
        np.array([2.0, 1.0], np.float32),
        rows([1, 2, 3, 4], [5, 6, 7, 8]),
        rows([0.9, 0.1]),
    )
    batched = model((1, 2), (1, 2), (1, 2, 4), whole=(False, True, False))
    assert found_by(batched, scores[0], labels, boxes) == [[1, 2, 3, 4, 0.9, 2]]
    single = model((2,), (2,), (2, 4), whole=(False, True, False))
    assert found_by(single, scores[0], labels, boxes) == [[1, 2, 3, 4, 0.9, 1]]  # 0 is the background


def detections(head: Head, answer: list[Floats], names: list[str]) -> Detections:
    limits = ScoreLimits(0.3, 0.3)
    place = Letterbox(np.zeros((640, 640, 3), np.uint8), Pixels(rgb=True)).put(
        np.zeros((640, 640, 3), np.uint8)
    )
    return Postprocessor(head, labels_of(names), (640, 640), limits, 0.5).run([answer], [place])[0]


def test_final_boxes_are_not_suppressed_but_a_van_seen_as_car_and_truck_is_one() -> None:
    answer = rows(
        [100, 100, 200, 200, 0.9, 0],
        [102, 100, 200, 200, 0.8, 0],  # the model says two people
        [300, 100, 400, 200, 0.6, 1],
        [302, 100, 400, 200, 0.7, 2],
    )
    found = detections(find_head(model((1, 4, 6), classes=3)), [answer], ["person", "car", "truck"])
    assert found.class_ids.tolist() == [0, 0, 2]


SICK = [
    (model((1, 252, 7), size=64), [np.zeros((252, 7), np.float32)], (3, slice(4, 6))),
    (model((1, 9, 84), (1, 3, 16, 16), size=64), [np.zeros((9, 84), np.float32)], (4, 3)),
    (model((1, 7, 84), size=64, task="obb"), [np.zeros((7, 84), np.float32)], (4, 3)),
    (model((1, 300, 6)), [np.zeros((300, 6), np.float32)], (7, 4)),
    (model((1, 300, 7), task="obb"), [np.zeros((300, 7), np.float32)], (7, 4)),
    (model((1, 300, 84)), [np.zeros((300, 84), np.float32)], (7, 9)),
    (
        model((1, 9, 80), (1, 9, 4), names=LOGITS),
        [np.zeros((9, 80), np.float32), np.zeros((9, 4), np.float32)],
        (7, 9),
    ),
    (
        model((1, 9, 92), (1, 9, 4), names=LOGITS),
        [np.zeros((9, 92), np.float32), np.zeros((9, 4), np.float32)],
        (7, 9),
    ),
    (
        model((1, 9), (1, 9, 4), (1, 9), whole=(False, False, True)),
        [np.zeros(9, np.float32), np.zeros((9, 4), np.float32), np.zeros(9, np.float32)],
        (7,),
    ),
    (
        model((9,), (9, 4), (9,), whole=(False, False, True)),
        [np.zeros(9, np.float32), np.zeros((9, 4), np.float32), np.ones(9, np.float32)],
        (7,),
    ),
]


@pytest.mark.parametrize(("signature", "answer", "at"), SICK)
def test_a_score_that_is_no_number_is_refused_in_every_family(
    signature: Signature, answer: list[Floats], at: tuple[int, ...]
) -> None:
    head = find_head(signature)
    head.decode(answer, 0.6)
    sick = [answer[0].copy(), *answer[1:]]
    sick[0][at] = np.nan
    with pytest.raises(InvalidOutput, match="score"):
        head.decode(sick, 0.6)


def test_a_class_that_the_model_does_not_have_is_refused() -> None:
    for class_id in (80.0, -1.0, np.nan):
        with pytest.raises(InvalidOutput, match="where the model has 0 to 79"):
            find_head(model((1, 1, 6))).decode([rows([1, 2, 3, 4, 0.9, class_id])], 0.3)


@pytest.mark.parametrize("box", [[np.nan, 2, 3, 4], [1, 2, np.inf, 4], [9, 9, 3, 4], [1, 2, 1e6, 4]])
def test_a_final_box_that_is_none_refuses_its_frame(box: list[float]) -> None:
    with pytest.raises(InferenceRejected, match="a box"):
        detections(find_head(model((1, 1, 6))), [rows([*box, 0.9, 0])], list(COCO_80))


def test_a_grey_picture_shows_which_unit_the_boxes_have() -> None:
    pixels, shares = rows([10, 20, 30, 40, 0.01, 2]), rows([0.5, 0.5, 0.1, 0.2, 0.01, 2])
    final, detr = find_head(model((1, 1, 6))), find_head(model((1, 1, 6), description="rtdetr-l"))
    final.check([pixels])
    detr.check([shares])
    with pytest.raises(InvalidOutput, match="head: rtdetr"):
        final.check([shares])
    with pytest.raises(InvalidOutput, match="head: end-to-end"):
        detr.check([pixels])
