"""A detector's own maps: the same by both engines, what is pooled from them, and who may use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from pipelines.actions.action_frame import ActionFrame
from pipelines.actions.factory import create_engine
from pipelines.actions.full_frame_features import FullFrameEmbedder
from pipelines.actions.roi_pooling import roi_pool
from pipelines.camera_rules import CameraRules
from pipelines.detect.card import ModelCard, read_card
from pipelines.detect.detector import Detector
from pipelines.detect.errors import ModelRefused
from pipelines.detect.model import sha256_of
from pipelines.pipeline import Pipeline
from pipelines.registry import PACKAGED_MODEL, create_detector
from pipelines.spec import ActionsSpec
from pipelines.values import FeatureMaps, Floats, Frame, Image, Stamp, Tracks
from tests.pipelines.actions.tiny_graph import write_tiny
from tests.pipelines.detect import tiny_models

CHANNELS = (3, 2)  # of write_branching() at strides 16 and 32
ENGINES = ["openvino", "onnx"]


def maps_of(*maps: Floats, strides: tuple[int, ...] = (16,)) -> FeatureMaps:
    return FeatureMaps(strides, maps, (0.0, 0.0), (1.0, 1.0))


def write_branching(path: Path, strides: tuple[int, ...] = (16, 32)) -> Path:
    """A detector of the YOLOv8 shape that sees a person in the left half, and has maps that two convolutions
    read: the mean of each cell in red, green and blue (and only the first two at stride 32)."""
    answer = np.zeros((1, 5, tiny_models.CELLS), np.float32)
    answer[0, :, 0] = 16, 32, 32, 48, 0.9
    constants = {"answer": answer, "none": np.zeros((1,), np.float32)}
    nodes, weighed = [], []
    for stride, channels in zip((16, 32), CHANNELS, strict=True):
        if stride not in strides:
            continue
        grid = np.zeros((channels, 3, stride, stride), np.float32)
        for channel in range(channels):
            grid[channel, channel] = 1 / stride**2
        constants[f"grid{stride}"] = grid
        constants[f"one{stride}"] = np.ones((1, channels, 1, 1), np.float32)
        nodes.append(
            helper.make_node("Conv", ["images", f"grid{stride}"], [f"map{stride}"], strides=[stride, stride])
        )
        for branch in "ab":
            name = f"{branch}{stride}"
            nodes.append(helper.make_node("Conv", [f"map{stride}", f"one{stride}"], [name]))
            nodes.append(helper.make_node("ReduceMean", [name], [f"mean{name}"], axes=[1, 2, 3], keepdims=0))
            weighed.append(f"mean{name}")
    nodes += [
        helper.make_node("Sum", weighed, ["sum"]),
        helper.make_node("Mul", ["sum", "none"], ["nothing"]),
        helper.make_node("Add", ["answer", "nothing"], ["output0"]),
    ]
    shape = [1, 5, tiny_models.CELLS]
    return tiny_models.save(path, nodes, constants, {"output0": shape}, metadata={"names": "{0: 'person'}"})


def write_features(path: Path, detector: Path, *, size: int = 10, **card: object) -> Path:
    """A model that says "rise" the more, the less green (value 1) the newest frame is than the oldest."""
    embedder = {"sha256": sha256_of(detector), "strides": [16, 32], "moved": False}
    return write_tiny(path, kind="features", size=size, **{"embedder": embedder, **card})


def picture(red: int, green: int, blue: int) -> Image:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:] = blue, green, red
    return image


def open_detector(path: Path, engine: str = "openvino") -> Detector:
    return create_detector(engine, path, sidecar=ModelCard(precision="f32"), threads=1)


def test_a_box_is_the_mean_of_the_cells_that_it_covers() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.25, 0.25], [0.5, 0.5, 1, 1], [0.9, 0.9, 0.9, 0.9]], np.float32)
    found = roi_pool(maps_of(values), maps_of(values * 0), boxes, (16,))
    assert found[:, 0].tolist() == [7.5, 0, 12.5, 15]
    assert found[:, 1].tolist() == [15, 0, 15, 15]  # the most that changed since a frame of zeros
    assert roi_pool(maps_of(values), None, boxes, (16,))[:, 1].tolist() == [0, 0, 0, 0]
    assert (
        roi_pool(maps_of(values), maps_of(values * 0), boxes, (16,), moved=True).tolist()
        == found[:, 1:].tolist()
    )


def test_the_border_around_a_picture_is_no_part_of_it() -> None:
    values = np.zeros((4, 4, 1), np.float32)
    values[:1], values[3:] = 100, 100
    wide = FeatureMaps((16,), (values,), (0.0, 0.25), (1.0, 0.5))
    assert roi_pool(wide, None, np.array([[0, 0, 1, 1]], np.float32), (16,))[0, 0] == 0


def test_no_boxes_give_no_values() -> None:
    values = np.ones((4, 4, 3), np.float32)
    assert roi_pool(maps_of(values), None, np.zeros((0, 4), np.float32), (16,)).shape == (0, 6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_detector_gives_maps_with_the_frames_of_which_they_are_wanted(engine: str, tmp_path: Path) -> None:
    detector = open_detector(write_branching(tmp_path / "d.onnx"), engine)
    early = detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), picture(255, 0, 0))])
    assert detector.enable_feature_maps((16, 32)) == sum(CHANNELS)
    assert detector.enable_feature_maps((32,)) == CHANNELS[1]
    early.maps = True
    assert len(detector.collect(early)[0]) == 1  # of a frame from before there may be none: no failure
    tickets = [detector.submit([Frame(Stamp("a", 1, i, i, 0, 0), picture(255, 51 * i, 0))]) for i in range(2)]
    tickets[1].maps = True
    plain, (found,) = detector.collect(tickets[0])[0], detector.collect(tickets[1])
    assert plain.maps is None
    assert plain.boxes_xyxyn.tolist() == found.boxes_xyxyn.tolist()
    assert found.maps is not None
    assert [m.shape for m in found.maps.maps] == [(4, 4, 3), (2, 2, 2)]
    assert np.allclose(found.maps.maps[0].mean(axis=(0, 1)), [1, 0.2, 0], atol=0.01)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_detector_without_such_a_map_is_refused(engine: str, tmp_path: Path) -> None:
    detector = open_detector(write_branching(tmp_path / "d.onnx", strides=(16,)), engine)
    with pytest.raises(ModelRefused, match=r"d\.onnx: has no feature map of stride 32"):
        detector.enable_feature_maps((16, 32))
    assert (
        len(detector.collect(detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), picture(0, 0, 0))]))[0]) == 1
    )


def test_live_values_are_those_of_training(tmp_path: Path) -> None:
    """Frames of 25 a second at the model's 8: the same ones are taken, and they hold the same."""
    path = write_branching(tmp_path / "d.onnx")
    random = np.random.default_rng(5)
    images = [random.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(60)]
    detector = create_detector("openvino", path, threads=1)
    model = write_features(tmp_path / "m.onnx", path, whole_picture=True)
    engine = create_engine(ActionsSpec(model=str(model)), detector)
    given: list[Floats] = []
    classify = engine.model.classify
    engine.model.classify = lambda windows: given.append(windows) or classify(windows)  # type: ignore
    pipeline = Pipeline(detector, engine)
    pipeline.open_camera("a", CameraRules())
    for i, image in enumerate(images):
        pipeline.step([Frame(Stamp("a", 1, i, i * 40_000_000, 0, 0), image)])
    chosen = [images[round(k * 25 / 8 - 1e-9)] for k in range(20)]  # nearest to the grid
    trained = FullFrameEmbedder(path).embed_clip(chosen)
    newest = np.stack([windows[0, -1] for windows in given])
    assert len(newest) >= 14
    assert np.allclose(newest, trained[20 - len(newest) :][: len(newest)], atol=1e-5)
    assert np.allclose(given[-1][0], trained[-8:], atol=1e-5)


def test_a_track_is_told_by_what_is_in_its_box(tmp_path: Path) -> None:
    path = write_branching(tmp_path / "d.onnx")
    model = write_features(tmp_path / "m.onnx", path)
    detector = open_detector(path)
    pipeline = Pipeline(detector, create_engine(ActionsSpec(model=str(model)), detector))
    pipeline.open_camera("a", CameraRules())
    events = []
    for i in range(60):
        image = picture(0, 255, 0)
        image[:, :32] = picture(0, max(0, 255 - 25 * max(i - 30, 0)), 0)[:, :32]  # where the person is
        events += pipeline.step([Frame(Stamp("a", 1, i, i * 100_000_000, 0, 0), image)])[0].events
    assert [e.data["action"] for e in events if e.type == "streamer.action.detected.v1"] == ["rise"]


def test_a_result_keeps_no_maps(tmp_path: Path) -> None:
    path = write_branching(tmp_path / "d.onnx")
    detector = open_detector(path)
    model = write_features(tmp_path / "m.onnx", path, whole_picture=True)
    pipeline = Pipeline(detector, create_engine(ActionsSpec(model=str(model)), detector))
    pipeline.open_camera("a", CameraRules())
    (result,) = pipeline.step([Frame(Stamp("a", 1, 0, 0, 0, 0), picture(1, 2, 3))])
    assert result.detections.maps is None


def test_frames_without_maps_are_no_failure(tmp_path: Path) -> None:
    path = write_branching(tmp_path / "d.onnx")
    model = write_features(tmp_path / "m.onnx", path, whole_picture=True)
    engine = create_engine(ActionsSpec(model=str(model)), open_detector(path))
    engine.open_camera("a")
    assert engine.update([ActionFrame(Stamp("a", 1, 0, 0, 0, 0), Tracks.empty(), 1.0)]) == [[]]


def test_maps_that_are_no_numbers_are_passed_over_and_what_comes_later_is_told(tmp_path: Path) -> None:
    path = write_branching(tmp_path / "d.onnx")
    model = write_features(tmp_path / "m.onnx", path, whole_picture=True)
    engine = create_engine(ActionsSpec(model=str(model)), open_detector(path))
    engine.open_camera("a")
    told = []
    for i in range(60):
        green = float("nan") if 10 <= i < 14 else 1.0 - 0.1 * min(max(i - 30, 0), 10)
        maps = [np.full((n, n, c), green, np.float32) for c, n in zip(CHANNELS, (4, 2), strict=True)]
        found = maps_of(*maps, strides=(16, 32))
        seen = ActionFrame(Stamp("a", 1, i, i * 100_000_000, 0, 0), Tracks.empty(), 1.0, maps=found)
        told += engine.update([seen])[0]
    assert [e.data["action"] for e in told] == ["rise"]


def test_a_model_of_another_detector_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_branching(tmp_path / "d.onnx")
    other = {"sha256": "0" * 64, "strides": [16, 32]}
    model = write_features(tmp_path / "m.onnx", path, embedder=other)
    with pytest.raises(ModelRefused, match="another detector") as refusal:
        create_engine(ActionsSpec(model=str(model)), open_detector(path))
    assert "\n" not in str(refusal.value)
    assert sha256_of(path)[:12] in str(refusal.value)


@pytest.mark.parametrize("size", [5, 8])
def test_an_export_edited_by_hand_is_refused(size: int, tmp_path: Path) -> None:
    """5 would be right where only the change was taken, which its sidecar does not say."""
    path = write_branching(tmp_path / "d.onnx")
    model = write_features(tmp_path / "m.onnx", path, size=size)
    with pytest.raises(ModelRefused, match=f"takes {size} values a frame.* give 10"):
        create_engine(ActionsSpec(model=str(model)), open_detector(path))


def test_actions_get_the_maps_of_the_square_whatever_shape_the_card_asks_for() -> None:
    path, image = PACKAGED_MODEL, np.random.default_rng(0).integers(0, 255, (180, 320, 3), dtype=np.uint8)
    given = []
    for shape in ("fixed", "picture"):
        card = read_card(path.with_suffix(".yaml")).model_copy(update={"input_shape": shape})
        detector = create_detector("openvino", path, threads=1, sidecar=card)
        early = detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), image)])
        early.maps = True
        detector.enable_feature_maps((16, 32))
        assert detector.collect(early)[0].maps is None
        assert detector.describe()["compiled"] == [[416, 416]]
        ticket = detector.submit([Frame(Stamp("a", 1, 1, 1, 0, 0), image)])
        ticket.maps = True
        given.append(detector.collect(ticket)[0].maps)
    fixed, picture_shaped = given
    assert fixed is not None
    assert picture_shaped is not None
    assert (fixed.offset, fixed.scale) == (picture_shaped.offset, picture_shaped.scale)
    assert all(np.array_equal(a, b) for a, b in zip(fixed.maps, picture_shaped.maps, strict=True))


def test_motion_has_no_maps(tmp_path: Path) -> None:
    path = write_branching(tmp_path / "d.onnx")
    model = write_features(tmp_path / "m.onnx", path)
    with pytest.raises(ModelRefused, match="the motion detector has none"):
        create_engine(ActionsSpec(model=str(model)), create_detector("motion"))


def check_both_engines(path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    found = []
    for engine in ENGINES:
        detector = open_detector(path, engine)
        detector.enable_feature_maps((16, 32))
        ticket = detector.submit([Frame(Stamp("a", 1, 0, 0, 0, 0), image)])
        ticket.maps = True
        found.append(detector.collect(ticket)[0].maps)
    one, other = found
    assert one is not None
    assert other is not None
    for a, b in zip(one.maps, other.maps, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b, atol=1e-3 * np.abs(a).max())


def test_both_engines_give_the_same_maps_of_the_detector_in_the_package() -> None:
    check_both_engines(PACKAGED_MODEL)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["yolo11n_320", "yolox_nano"])
def test_both_engines_give_the_same_maps_of_a_real_detector(corpus: Path, name: str) -> None:
    check_both_engines(corpus / f"weights/{name}.onnx")


@pytest.mark.corpus
def test_a_clip_that_stands_still_has_no_change(corpus: Path) -> None:
    embedder = FullFrameEmbedder(corpus / "weights/yolo11n_320.onnx")
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    values = embedder.embed_clip([image, image, image[:, ::-1].copy()])
    assert values.shape == (3, embedder.values)
    half = embedder.channels
    assert np.abs(values[1, half:]).max() < 1e-6
    assert values[2, half:].max() > 0.01
