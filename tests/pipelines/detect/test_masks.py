"""Masks of segmentation models: given where they are asked for, at their place, and at no cost elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from pipelines.camera_rules import CameraRules
from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.errors import ModelRefused
from pipelines.detect.filter import DetectionFilter
from pipelines.detect.letterbox import Letterbox, Pixels
from pipelines.detect.mask_placement import masks_in_picture
from pipelines.instance_masks import InstanceMasks
from pipelines.pipeline import Pipeline
from pipelines.region.crop import Crop
from pipelines.registry import create_detector
from pipelines.rules import ClassLimit
from pipelines.values import Detections, Floats, Frame, Labels, Stamp
from tests.pipelines.detect.mask_models import Family, halves, seg_model
from tests.pipelines.detect.tiny_models import SIZE, yolov8

ENGINES = ("openvino", "onnx")
FAMILIES = get_args(Family)
CARD = ModelCard(precision="f32", masks=True, low_score=0.1)
# The whole input, the left top quarter, and one of a low score at the right.
BOXES = [(32.0, 32.0, 64.0, 64.0, 0, 0.9), (16.0, 16.0, 32.0, 32.0, 1, 0.8), (48.0, 40.0, 20.0, 20.0, 2, 0.2)]
LEFT, TOP = [1.0, 0.0], [0.0, 1.0]
COEFFICIENTS = [LEFT, TOP, [-1.0, 0.0]]


def frame(width: int = SIZE, height: int = SIZE, grey: int = 200) -> Frame:
    return Frame(Stamp("door", 1, 0, 0, 0, 0), np.full((height, width, 3), grey, np.uint8))


def found_by(path: Path, engine: str, picture: Frame, card: ModelCard = CARD) -> Detections:
    detector = create_detector(engine, path, sidecar=card)
    return detector.collect(detector.submit([picture]))[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("masks")
    return {name: seg_model(folder / f"{name}.onnx", name, BOXES, COEFFICIENTS) for name in FAMILIES}


# ---- what is given


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_each_box_has_its_own_mask_within_itself(
    models: dict[str, Path], family: Family, engine: str
) -> None:
    found = found_by(models[family], engine, frame())
    assert found.class_ids.tolist() == [0, 1, 2]
    assert found.masks is not None
    whole, quarter, right = (found.masks.raster(i, SIZE, SIZE) for i in range(3))
    assert whole.mean() == 0.5
    assert whole[:, : SIZE // 2].all()
    assert quarter[: SIZE // 2, : SIZE // 2].all()
    assert quarter.mean() == 0.25
    assert right[30:50, 38:58].all()
    assert right.sum() == 20 * 20


@pytest.mark.parametrize("engine", ENGINES)
def test_a_mask_lies_in_the_picture_and_not_in_the_letterbox_around_it(
    models: dict[str, Path], engine: str
) -> None:
    found = found_by(models["yolov8-seg"], engine, frame(640, 320))  # rows 16 to 48 of the input
    assert found.masks is not None
    assert found.masks.prototypes.shape == (2, 8, 16), "without the border"
    quarter = found.masks.raster(1, 640, 320)  # of the input its upper left quarter
    assert quarter[:155, :320].all()
    assert not quarter[165:].any()
    assert not quarter[:, 320:].any()
    assert found.masks.cell_pixels(640, 320) == pytest.approx(40.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_masks_of_a_frame_outlive_the_next_frame(models: dict[str, Path], engine: str) -> None:
    detector = create_detector(engine, models["yolov8-seg"], sidecar=CARD)
    first = detector.collect(detector.submit([frame()]))[0]
    assert first.masks is not None
    before = first.masks.raster(0, SIZE, SIZE)
    for _ in range(detector.depth):
        dark = detector.collect(detector.submit([frame(grey=0)]))[0]
    assert dark.masks is not None
    assert not dark.masks.raster(0, SIZE, SIZE).any()
    assert (first.masks.raster(0, SIZE, SIZE) == before).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_in_a_batch_each_picture_has_its_own_masks(tmp_path: Path, engine: str) -> None:
    path = seg_model(tmp_path / "m.onnx", "yolov8-seg", BOXES, COEFFICIENTS, batch="n")
    detector = create_detector(engine, path, sidecar=CARD)
    lit, dark = detector.collect(detector.submit([frame(), frame(grey=0)]))
    assert lit.masks is not None
    assert dark.masks is not None
    assert lit.masks.raster(0, SIZE, SIZE).any()
    assert not dark.masks.raster(0, SIZE, SIZE).any()


def test_boxes_of_low_confidence_have_masks_too(models: dict[str, Path]) -> None:
    detector = create_detector("onnx", models["yolov8-seg"], sidecar=ModelCard(masks=True, score=0.5))
    ticket = detector.submit([frame()])
    ticket.low_confidence = True
    found = detector.collect(ticket)[0]
    low = found.low_confidence
    assert low is not None
    assert low.masks is not None
    assert len(found) == 2
    assert low.masks.raster(0, SIZE, SIZE).sum() == 20 * 20


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_without_boxes_is_no_fault(tmp_path: Path, family: Family) -> None:
    path = seg_model(tmp_path / "m.onnx", family, [], [])
    assert len(found_by(path, "openvino", frame())) == 0


# ---- who does not ask pays nothing


@pytest.mark.parametrize("family", FAMILIES)
def test_openvino_leaves_the_prototypes_out_unless_the_card_asks_for_masks(
    models: dict[str, Path], family: Family
) -> None:
    outputs = {}
    for masks in (False, True):
        card = ModelCard(precision="f32", masks=masks)
        detector = create_detector("openvino", models[family], sidecar=card)
        (graph,) = detector._graphs.values()  # type: ignore[attr-defined]
        outputs[masks] = len(graph.take().finish(1)[0])
        assert detector.describe()["masks"] is masks
    assert outputs == {False: 1, True: 2}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_card_s_word_the_boxes_are_the_same_and_there_are_no_masks(
    models: dict[str, Path], family: Family, engine: str
) -> None:
    with_masks = found_by(models[family], engine, frame())
    plain = found_by(models[family], engine, frame(), ModelCard(precision="f32", low_score=0.1))
    assert plain.masks is None
    assert np.array_equal(plain.boxes_xyxyn, with_masks.boxes_xyxyn)
    assert np.array_equal(plain.scores, with_masks.scores)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_without_masks_is_refused_where_the_card_asks_for_them(tmp_path: Path, engine: str) -> None:
    path = yolov8(tmp_path / "m.onnx", [(32, 32, 20, 20, 0, 0.9)])
    with pytest.raises(ModelRefused, match=r"head yolov8.* none that are read: take `masks` out of its"):
        create_detector(engine, path, sidecar=ModelCard(masks=True))
    assert "masks" not in create_detector(engine, path, sidecar=ModelCard()).describe()


def test_a_card_says_masks_by_true_or_false(tmp_path: Path) -> None:
    sidecar = tmp_path / "m.yaml"
    sidecar.write_text("masks: true\n")
    assert read_card(sidecar).masks
    sidecar.write_text("masks: [7]\n")
    with pytest.raises(ModelRefused, match=r"m\.yaml: masks: "):
        read_card(sidecar)


# ---- numbers that are none


def test_an_object_whose_coefficients_are_no_numbers_has_no_mask_and_the_others_have(tmp_path: Path) -> None:
    sick = [[np.nan, 0.0], TOP, [np.inf, 1.0]]
    path = seg_model(tmp_path / "m.onnx", "yolov8-seg", BOXES, sick)
    found = found_by(path, "onnx", frame())
    assert len(found) == 3
    assert found.masks is not None
    assert [found.masks.is_known(i) for i in range(3)] == [False, True, False]
    assert [bool(found.masks.raster(i, 64, 64).any()) for i in range(3)] == [False, True, False]


def test_absurd_coefficients_give_a_mask_of_something_and_no_warning() -> None:
    masks = InstanceMasks(np.full((1, 2), 3e38, np.float32), halves() * 9, WHOLE, (0, 0), (16, 16))
    assert masks.raster(0, 64, 64).shape == (64, 64)


def test_prototypes_that_are_no_numbers_leave_boxes_without_masks() -> None:
    prototypes = halves()
    prototypes[0, 3, 3] = np.nan
    placement = Letterbox(np.zeros((64, 64, 3), np.uint8), Pixels(rgb=True)).put(frame().image)
    masks = masks_in_picture(np.ones((1, 2), np.float32), prototypes, WHOLE, placement, (64, 64))
    assert not masks.is_known(0)
    assert not masks.raster(0, 64, 64).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_whose_prototypes_are_no_numbers_is_refused_when_it_is_loaded(
    tmp_path: Path, engine: str
) -> None:
    sick = np.full((2, 16, 16), np.nan, np.float32)
    path = seg_model(tmp_path / "m.onnx", "yolov8-seg", BOXES, COEFFICIENTS, sick)
    with pytest.raises(ModelRefused, match="masks that are infinite or not numbers"):
        create_detector(engine, path, sidecar=CARD)


# ---- masks are carried


WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)


def made(boxes: Floats, coefficients: list[list[float]]) -> Detections:
    n = len(boxes)
    masks = InstanceMasks(np.array(coefficients, np.float32), halves(), boxes, (0.0, 0.0), (16.0, 16.0))
    ids = np.arange(n, dtype=np.int32)
    return Detections(boxes, np.linspace(0.9, 0.5, n, dtype=np.float32), ids, masks=masks)


def test_boxes_that_are_taken_take_their_masks_along() -> None:
    both = made(np.tile(WHOLE, (2, 1)), [LEFT, TOP])
    for kept in (both.take(np.array([1])), both.take(np.array([False, True]))):
        assert kept.masks is not None
        assert kept.masks.raster(0, 8, 8)[:4].all()
        assert not kept.masks.raster(0, 8, 8)[4:].any()


def test_a_camera_s_filter_keeps_the_masks_of_the_boxes_that_it_keeps() -> None:
    both = made(np.array([[0, 0, 0.1, 0.1], [0, 0, 1, 1]], np.float32), [LEFT, TOP])
    rules = CameraRules(limits={"a": ClassLimit(min_width=0.5)})
    kept = DetectionFilter(rules, Labels(("a", "b"), ("a", "b"))).apply(both)
    assert len(kept) == 1
    assert kept.masks is not None
    assert kept.masks.raster(0, 8, 8)[:4].all()


def test_results_keep_masks_for_who_draws_them_alone(models: dict[str, Path]) -> None:
    pipeline = Pipeline(create_detector("onnx", models["yolov8-seg"], sidecar=CARD))
    pipeline.open_camera("door", CameraRules())
    kept = []
    for pipeline.keeps_masks in (False, True):
        (result,) = pipeline.step([frame()])
        kept.append(result.detections.masks)
    assert kept[0] is None
    assert kept[1] is not None
    assert len(kept[1]) == 3


def test_what_is_found_in_a_region_has_its_mask_at_the_region_s_place() -> None:
    crop = Crop.sized((0.5, 0.25, 1.0, 0.75), 80, 80)
    placed = crop.place(made(WHOLE, [LEFT])).masks
    assert placed is not None
    picture = placed.raster(0, 80, 80)
    assert picture[20:60, 40:60].all()
    assert picture.sum() == 40 * 20
    assert placed.cell_pixels(80, 80) == pytest.approx(40 / 16)


def test_as_many_masks_as_boxes_are_wanted() -> None:
    masks = made(WHOLE, [LEFT]).masks
    with pytest.raises(ValueError, match="masks: expected 2, one a box, got 1"):
        Detections(np.tile(WHOLE, (2, 1)), np.ones(2, np.float32), np.zeros(2, np.int32), masks=masks)


@pytest.mark.parametrize(
    ("coefficients", "prototypes", "boxes", "why"),
    [
        ((1, 3), (2, 4, 4), (1, 4), "coefficients"),
        ((1, 2), (2, 0, 4), (1, 4), "prototypes"),
        ((1, 2), (2, 4), (1, 4), "prototypes"),
        ((1, 2), (2, 4, 4), (2, 4), "1 of them, but boxes"),
    ],
)
def test_masks_whose_parts_do_not_fit_are_refused_at_birth(
    coefficients: tuple[int, ...], prototypes: tuple[int, ...], boxes: tuple[int, ...], why: str
) -> None:
    parts = [np.zeros(shape, np.float32) for shape in (coefficients, prototypes, boxes)]
    with pytest.raises(ValueError, match=why):
        InstanceMasks(*parts, (0.0, 0.0), (4.0, 4.0))


def test_a_box_without_a_pixel_or_beyond_the_picture_has_an_empty_mask() -> None:
    boxes = np.array([[0.5, 0.5, 0.5, 0.5], [1.2, 0.1, 1.4, 0.3], [-0.5, 0.0, 2.0, 1.0]], np.float32)
    masks = made(boxes, [LEFT, LEFT, LEFT]).masks
    assert masks is not None
    assert [int(masks.raster(i, 10, 10).sum()) for i in range(3)] == [0, 0, 50]


def test_a_patch_is_the_same_mask_within_its_box() -> None:
    random = np.random.default_rng(4)
    boxes = np.array([[0.13, 0.22, 0.71, 0.9]], np.float32)
    prototypes = random.normal(0, 1, (5, 9, 16)).astype(np.float32)
    numbers = random.normal(0, 1, (1, 5)).astype(np.float32)
    masks = InstanceMasks(numbers, prototypes, boxes, (-1.3, 0.4), (17.0, 8.2))
    left, top, inside = masks.patch(0, 200, 120)
    whole = InstanceMasks(numbers, prototypes, WHOLE, (-1.3, 0.4), (17.0, 8.2)).raster(0, 200, 120)
    assert 0.1 < inside.mean() < 0.9
    assert (whole[top : top + inside.shape[0], left : left + inside.shape[1]] == inside).all()
