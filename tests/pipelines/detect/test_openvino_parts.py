"""A part of a picture goes through an input of its own size, at the scale of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.detect.detector import Detector
from pipelines.detect.openvino import MAX_GRAPHS
from pipelines.geometry import iou
from pipelines.region.crop import Crop
from pipelines.region.spec import Box
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.values import Frame, Image, Stamp
from streamer.sources.synthetic.scene import Scene
from tests.pipelines.detect import tiny_models as tiny

STAMP = Stamp("a", 1, 1, 1, 0, 0)
QUARTER: Box = (0.25, 0.25, 0.5, 0.5)


def picture() -> Image:
    return np.full((360, 640, 3), 90, np.uint8)


def sizes(detector: Detector, box: Box, zoom: bool = False) -> list[list[int]]:
    """The inputs that have a graph after a part of a picture went through."""
    frame = Frame(STAMP, picture())
    part = Crop.of(box, frame.image, zoom).cut(frame)
    detector.collect(detector.submit([part]))
    compiled: list[list[int]] = detector.describe()["compiled"]
    return compiled


@pytest.fixture
def detector() -> Detector:
    return create_detector("openvino", PACKAGED_MODEL, threads=1)


def test_a_part_goes_through_a_smaller_input_and_an_enlarged_one_through_the_usual(
    detector: Detector,
) -> None:
    assert sizes(detector, QUARTER, zoom=True) == [[416, 416]]
    assert sizes(detector, QUARTER) == [[416, 416], [128, 128]]  # 104 pixels, in steps of 32
    assert sizes(detector, (0.0, 0.0, 0.2, 1.0)) == [[416, 416], [128, 128], [256, 256]]  # 234 high


def test_of_many_parts_the_last_ones_go_through_inputs_that_are_there(detector: Detector) -> None:
    for side in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85):
        compiled = sizes(detector, (0.0, 0.0, side, side))
    assert len(compiled) == MAX_GRAPHS
    assert [416, 416] in compiled


def test_a_graph_that_knows_one_input_alone_takes_parts_through_that(tmp_path: Path) -> None:
    model = tiny.yolov8(tmp_path / "m.onnx", [(32, 32, 16, 8, 0, 0.9)])
    fixed = create_detector("openvino", model)
    for _ in range(2):
        assert sizes(fixed, QUARTER) == [[64, 64]]


def test_an_object_is_found_where_it_is_through_a_part_as_through_the_whole(detector: Detector) -> None:
    scene = Scene(seed=3, width=640, height=360, fps=1, people=0.0, vehicles=5.0, bicycles=0.0)
    frame = Frame(STAMP, scene.picture(scene.painter(), 20))
    (whole,) = detector.collect(detector.submit([frame]))
    box = whole.boxes_xyxyn[whole.scores.argmax()]
    wide, high = box[2:] - box[:2]
    around = (box + np.array([-wide, -high, wide, high])).clip(0, 1).tolist()
    x1, y1, x2, y2 = around
    for zoom in (False, True):
        crop = Crop.of((x1, y1, x2, y2), frame.image, zoom)
        part = crop.place(detector.collect(detector.submit([crop.cut(frame)]))[0])
        assert iou(part.boxes_xyxyn, box[None]).max() > 0.75
