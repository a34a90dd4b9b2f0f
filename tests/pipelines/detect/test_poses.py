"""Poses of a detector: joints beside boxes, normalised to the picture, unknown where they are no numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.detect.card import ModelCard
from pipelines.detect.errors import ModelRefused
from pipelines.detect.filter import DetectionFilter
from pipelines.registry import create_detector
from pipelines.rules import MaskSpec
from pipelines.skeleton import COCO_17, columns_of
from pipelines.track import create_tracker
from pipelines.track.association import detection_index
from pipelines.values import Detections, Frame, Labels, Stamp
from tests.pipelines.detect import tiny_models as tiny

ENGINES = ["openvino", "onnx"]
F32 = ModelCard(precision="f32")
PEOPLE = Labels(("person",), ("person",))
FIVE = {"kpt_shape": "[5, 3]"}


def person(x: float, y: float, score: float, joints: list[tuple[float, float, float]]) -> list[float]:
    return [x, y, 16, 24, score, *(value for joint in joints for value in joint)]


def look(model: Path, engine: str = "onnx", *, wide: int = 64, high: int = 64) -> Detections:
    detector = create_detector(engine, model, sidecar=F32)
    image = np.full((high, wide, 3), 255, np.uint8)
    return detector.collect(detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), image)]))[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_joints_are_normalised_to_the_picture_and_not_to_the_canvas(engine: str, tmp_path: Path) -> None:
    joints = [(32.0, 32.0, 0.9), (0.0, 16.0, 0.8), (64.0, 48.0, 0.7), (32.0, 40.0, 0.6), (16.0, 24.0, 0.5)]
    model = tiny.yolov8_pose(tmp_path / "m.onnx", [person(32, 32, 0.9, joints)], metadata=FIVE)
    found = look(model, engine, wide=128, high=64)  # the picture is 64x32 at row 16 of the canvas
    expected = [[0.5, 0.5, 0.9], [0, 0, 0.8], [1, 1, 0.7], [0.5, 0.75, 0.6], [0.25, 0.25, 0.5]]
    assert found.keypoints is not None
    assert np.allclose(found.keypoints, [expected], atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_joint_that_is_no_number_is_unknown_and_the_others_stay(engine: str, tmp_path: Path) -> None:
    joints = [
        (math.nan, 32.0, 0.9), (32.0, math.inf, 0.8), (32.0, 32.0, math.nan), (9000.0, 32.0, 0.6),
        (32.0, 32.0, 1.5),
    ]  # fmt: skip
    model = tiny.yolov8_pose(tmp_path / "m.onnx", [person(32, 32, 0.9, joints)], metadata=FIVE)
    found = look(model, engine)
    assert found.keypoints is not None
    assert found.keypoints[0].tolist() == [[0, 0, 0]] * 4 + [[0.5, 0.5, 1.0]]


def test_the_joints_of_a_box_stay_with_it_when_others_are_suppressed_or_masked(tmp_path: Path) -> None:
    def five(x: float) -> list[tuple[float, float, float]]:
        return [(x, 32.0, 0.9)] * 5

    model = tiny.yolov8_pose(
        tmp_path / "m.onnx",
        [person(16, 32, 0.5, five(1)), person(17, 32, 0.8, five(16)), person(48, 32, 0.9, five(48))],
        metadata=FIVE,
    )
    found = look(model)
    assert found.keypoints is not None
    assert found.keypoints[:, 0, 0].tolist() == [0.75, 0.25]
    mask = MaskSpec(name="right", points=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    kept = DetectionFilter(CameraRules(masks=(mask,)), PEOPLE).apply(found)
    assert kept.keypoints is not None
    assert kept.keypoints[:, 0, 0].tolist() == [0.25]


def test_a_pose_model_that_names_nothing_finds_people_with_cocos_joints(tmp_path: Path) -> None:
    model = tiny.yolov8_pose(tmp_path / "m.onnx", [person(32, 32, 0.9, [(32.0, 32.0, 0.9)] * 17)])
    detector = create_detector("onnx", model)
    assert detector.labels == PEOPLE
    assert detector.joints == COCO_17
    assert detector.describe()["head"] == "yolov8-pose"


def test_names_of_joints_come_from_the_sidecar_or_the_file(tmp_path: Path) -> None:
    names = [f"leg_{i}" for i in range(5)]
    told = {**FIVE, "kpt_names": str({0: names})}
    joints = [(32.0, 32.0, 0.9)] * 5
    model = tiny.yolov8_pose(tmp_path / "m.onnx", [person(32, 32, 0.9, joints)], metadata=told)
    assert create_detector("onnx", model).joints == tuple(names)
    card = ModelCard(joints=("a", "b", "c", "d", "e"))
    assert create_detector("openvino", model, sidecar=card).joints == card.joints
    for wrong, why in (("ab", "5 keypoints, but 2 are named"), ("aabcd", "named twice")):
        with pytest.raises(ModelRefused, match=why):
            create_detector("onnx", model, sidecar=ModelCard(joints=tuple(wrong)))


def test_a_detector_of_boxes_has_no_joints(tmp_path: Path) -> None:
    model = tiny.yolov8(tmp_path / "m.onnx", [(32, 32, 16, 8, 0, 0.9)])
    assert create_detector("onnx", model).joints == ()
    assert look(model).keypoints is None


def test_keypoints_of_another_number_than_boxes_are_refused_at_birth() -> None:
    boxes, scores, ids = np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match=r"keypoints: expected shape \(2, N, 3\), got \(1, 17, 3\)"):
        Detections(boxes, scores, ids, keypoints=np.zeros((1, 17, 3), np.float32))


def test_joints_are_taken_by_their_names_whatever_their_order() -> None:
    assert columns_of(COCO_17, COCO_17, 17) == ()
    wanted = ("RWrist", "Nose", "left-ankle", "LHip", "r_hip")
    assert columns_of(COCO_17, wanted, 5) == (10, 0, 15, 11, 12)
    with pytest.raises(ValueError, match="takes the joint 'belly'"):
        columns_of(COCO_17, ("nose", "belly"), 2)


def test_joints_without_names_must_agree_in_number() -> None:
    nameless = tuple(f"joint_{i}" for i in range(13))
    assert columns_of(nameless, COCO_17[:13], 13) == ()
    assert columns_of(COCO_17, (), 17) == ()
    with pytest.raises(ValueError, match="poses of 17 joints, the detector gives 13"):
        columns_of(nameless, COCO_17, 17)


def test_each_track_knows_the_row_of_the_box_that_it_was_matched_with() -> None:
    tracker = create_tracker()
    random = np.random.default_rng(2)
    wrong = seen = 0
    for i in range(40):
        left = np.array([0.1 + 0.01 * i, 0.5 - 0.01 * i, 0.8])  # the first two meet
        boxes = np.stack([left, [0.2, 0.5, 0.2], left + 0.1, [0.4, 0.7, 0.4]], axis=1).astype(np.float32)
        boxes += random.normal(0, 0.002, boxes.shape).astype(np.float32)
        order = random.permutation(3)[: 3 - (i % 7 == 0)]
        found = Detections(boxes[order], np.full(len(order), 0.9, np.float32), np.zeros(len(order), np.int32))
        tracks = tracker.update(Stamp("a", 1, i, i * 100_000_000, 0, 0), found, PEOPLE)
        rows = detection_index(tracks, found)
        assert ((rows >= 0) == tracks.observed).all()
        for row, box in zip(rows[rows >= 0], tracks.boxes_xyxyn[rows >= 0], strict=True):
            seen += 1
            wrong += np.abs(found.boxes_xyxyn[row] - box).max() > 0.06
    assert seen > 90
    assert wrong == 0
