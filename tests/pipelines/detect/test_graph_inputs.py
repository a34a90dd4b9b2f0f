"""Graphs that want their picture otherwise: channels last, bytes, halves, no batch axis, sizes beside it, a
fixed batch; and what OpenVINO cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipelines.detect.card import ModelCard
from pipelines.detect.errors import EngineFailed, ModelRefused
from pipelines.detect.picture_input import GraphInput, picture_input
from pipelines.registry import create_detector
from pipelines.values import Detections, Frame, Stamp

ENGINES = ["openvino", "onnx"]
both = pytest.mark.parametrize("engine", ENGINES)
CARD = ModelCard(precision="f32", classes={"person": "person", "car": "vehicle", "dog": "dog"})
KINDS = {"f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "u8": TensorProto.UINT8}
BOX = [8, 16, 40, 48]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def save(
    path: Path,
    inputs: Sequence[tuple[str, int, Sequence[int | str]]],
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any],
    outputs: Sequence[tuple[str, int, Sequence[int | str]]],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def end_to_end(
    path: Path, layout: str = "NCHW", kind: str = "f32", batch: int | str = 1, divisor: float = 1.0
) -> Path:
    """One box for each picture, of class 1, whose score is the mean of the picture's reds."""
    sizes: dict[str, int | str] = {"N": batch, "C": 3, "H": 64, "W": 64}
    rows = 0 if "N" not in layout else batch
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=FLOAT),
        helper.make_node("Gather", ["floats", "red"], ["reds"], axis=layout.index("C")),
        helper.make_node("Reshape", ["reds", "flat"], ["values"]),
        helper.make_node("ReduceMean", ["values"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Div", ["mean", "divisor"], ["share"]),
        helper.make_node("Reshape", ["share", "each"], ["score"]),
        helper.make_node("Mul", ["score", "lit"], ["bright"]),
        helper.make_node("Add", ["bright", "unlit"], ["output0"]),
    ]
    constants = {
        "red": np.array([0], np.int64),
        "flat": np.array([-1 if isinstance(batch, str) else batch, 64 * 64], np.int64),
        "divisor": np.float32(divisor),
        "each": np.array([-1 if isinstance(batch, str) else batch, 1, 1], np.int64),
        "lit": np.array([[[0, 0, 0, 0, 1, 0]]], np.float32),
        "unlit": np.array([[[*BOX, 0, 1]]], np.float32),
    }
    shape = [sizes[axis] for axis in layout]
    return save(
        path, [("images", KINDS[kind], shape)], nodes, constants, [("output0", FLOAT, [rows or 1, 1, 6])]
    )


def frame(red: int = 255, width: int = 64, height: int = 64) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = red
    return Frame(Stamp("door", 1, 0, 0, 0, 0), image)


def look(engine: str, path: Path, *frames: Frame) -> list[Detections]:
    detector = create_detector(engine, path, sidecar=CARD)
    return detector.collect(detector.submit(frames or [frame()]))


@both
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "CHW", "HWC"])
def test_every_layout_and_kind_of_picture_is_seen_alike(
    engine: str, layout: str, kind: str, tmp_path: Path
) -> None:
    path = end_to_end(tmp_path / "m.onnx", layout, kind, divisor=255.0 if kind == "u8" else 1.0)
    (found,) = look(engine, path, frame(204))
    assert np.allclose(found.boxes_xyxyn * 64, [BOX], atol=1e-3)
    assert found.scores == pytest.approx([0.8], abs=2e-3)
    assert found.class_ids.tolist() == [1]


@both
def test_a_fixed_batch_takes_as_many_pictures_and_is_filled_up_with_what_counts_for_none(
    engine: str, tmp_path: Path
) -> None:
    detector = create_detector(engine, end_to_end(tmp_path / "m.onnx", batch=4), sidecar=CARD)
    assert detector.max_batch == 4
    assert "fixed batch of 4: filled up" in detector.describe()["runs"]
    for reds in ([204, 0, 255], [102], [255, 204, 153, 0], [0]):
        found = detector.collect(detector.submit([frame(red) for red in reds]))
        scores = [float(each.scores[0]) if len(each) else 0.0 for each in found]
        assert scores == pytest.approx([red / 255 for red in reds], abs=2e-3)


def test_a_fixed_batch_that_the_graph_does_not_hold_is_made_free(tmp_path: Path) -> None:
    path = end_to_end(tmp_path / "m.onnx", batch="batch")
    model = onnx.load(str(path))
    for port in (model.graph.input[0], model.graph.output[0]):
        port.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, str(path))
    detector = create_detector("openvino", path, sidecar=CARD)
    assert detector.max_batch == 8
    assert "could be made free" in detector.describe()["runs"]
    reds = [255, 204, 153, 102, 230]
    found = detector.collect(detector.submit([frame(red) for red in reds]))
    assert [float(each.scores[0]) for each in found] == pytest.approx([r / 255 for r in reds], abs=2e-3)


def sized(path: Path, kind: int = INT64) -> Path:
    """As D-FINE is exported: a box of the picture's middle, in the pixels that are asked for."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["scores"], axes=[2, 3], keepdims=0),  # of each channel
        helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=FLOAT),
        helper.make_node("Concat", ["sizes", "sizes"], ["four"], axis=1),
        helper.make_node("Unsqueeze", ["four", "one"], ["each"]),
        helper.make_node("Mul", ["each", "shares"], ["boxes"]),
        helper.make_node("Identity", ["classes"], ["labels"]),
    ]
    constants = {
        "one": np.array([1], np.int64),
        "shares": np.array([[[0.25, 0.25, 0.75, 0.5]] * 3], np.float32),
        "classes": np.array([[1, 0, 0]], np.int64),
    }
    inputs = [("images", FLOAT, [1, 3, 64, 96]), ("orig_target_sizes", kind, [1, 2])]
    outputs = [("labels", INT64, [1, 3]), ("boxes", FLOAT, [1, 3, 4]), ("scores", FLOAT, [1, 3])]
    return save(path, inputs, nodes, constants, outputs)


@both
@pytest.mark.parametrize("kind", [INT64, FLOAT])
def test_a_graph_that_asks_for_the_size_is_told_that_of_its_input(
    engine: str, kind: int, tmp_path: Path
) -> None:
    (found,) = look(engine, sized(tmp_path / "m.onnx", kind), frame(255, width=200, height=50))
    assert np.allclose(found.boxes_xyxyn, [[0.25, 0.25, 0.75, 0.5]], atol=1e-3)  # the picture fills the input
    assert found.class_ids.tolist() == [1]


def single(path: Path) -> Path:
    """As torchvision's are exported: as many boxes as channels are lit, without a batch axis."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["means"], axes=[0, 2, 3], keepdims=0),
        helper.make_node("Greater", ["means", "half"], ["lit"]),
        helper.make_node("Compress", ["table", "lit"], ["boxes"], axis=0),
        helper.make_node("Compress", ["means", "lit"], ["scores"], axis=0),
        helper.make_node("Compress", ["numbers", "lit"], ["labels"], axis=0),
    ]
    constants = {
        "half": np.float32(0.4),
        "table": np.array([BOX, [0, 0, 8, 8], [8, 8, 16, 16]], np.float32),
        "numbers": np.array([2, 1, 1], np.int64),
    }
    outputs = [("boxes", FLOAT, ["n", 4]), ("labels", INT64, ["n"]), ("scores", FLOAT, ["n"])]
    return save(path, [("images", FLOAT, [1, 3, 64, 64])], nodes, constants, outputs)


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
def test_a_graph_of_as_many_boxes_as_there_are_is_read(engine: str, tmp_path: Path) -> None:
    path = single(tmp_path / "m.onnx")
    (found,) = look(engine, path)
    assert np.allclose(found.boxes_xyxyn * 64, [BOX], atol=1e-3)
    assert found.class_ids.tolist() == [1]  # label 2; 0 is the background
    (found,) = look(engine, path, frame(0))
    assert len(found) == 0


def test_where_nothing_names_the_classes_that_is_said(tmp_path: Path) -> None:
    path = end_to_end(tmp_path / "m.onnx")
    (warning,) = create_detector("onnx", path).describe()["warnings"]
    assert "taken to be COCO's 80" in warning
    assert create_detector("onnx", path, sidecar=CARD).describe()["warnings"] == []


def gathering(path: Path) -> Path:
    """Takes the first columns of more rows by GatherElements, which OpenVINO does not."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "axis"], ["each"]),
        helper.make_node("Mul", ["each", "wide"], ["rows"]),
        helper.make_node("GatherElements", ["rows", "which"], ["output0"], axis=1),
    ]
    constants = {
        "axis": np.array([3], np.int64),
        "wide": np.full((1, 40, 9), 1.5, np.float32),
        "which": np.zeros((1, 7, 6), np.int64),
    }
    return save(path, [("images", FLOAT, [1, 3, 64, 64])], nodes, constants, [("output0", FLOAT, [1, 7, 6])])


def test_what_openvino_cannot_load_is_run_by_the_portable_engine_and_said(tmp_path: Path) -> None:
    path = gathering(tmp_path / "m.onnx")
    card = CARD.model_copy(update={"head": "rtdetr"})
    with pytest.raises(EngineFailed, match="OpenVINO cannot load or run it"):
        create_detector("openvino", path, sidecar=card)
    description = create_detector("auto", path, sidecar=card).describe()
    assert description["engine"] == "onnx"
    assert "ONNX Runtime runs it, which is slower" in description["warnings"][0]


@both
def test_inputs_that_are_no_picture_are_refused_in_one_line(engine: str, tmp_path: Path) -> None:
    wrong = {
        "2 inputs (images, mask)": [("images", FLOAT, [1, 3, 8, 8]), ("mask", FLOAT, [1, 8, 8])],
        "input [1,5,8,8] is not a picture": [("images", FLOAT, [1, 5, 8, 8])],
        "input of i64": [("images", INT64, [1, 3, 8, 8])],
    }
    for why, inputs in wrong.items():
        nodes = [helper.make_node("Cast", ["images"], ["output0"], to=FLOAT)]
        path = save(tmp_path / "m.onnx", inputs, nodes, {}, [("output0", FLOAT, inputs[0][2])])
        with pytest.raises(ModelRefused) as refused:
            create_detector(engine, path)
        assert why in str(refused.value)
        assert "\n" not in str(refused.value)


def test_channels_are_first_where_both_could_be() -> None:
    assert picture_input([GraphInput("x", (1, 3, 8, 3), "f32")]).layout == "NCHW"
    assert picture_input([GraphInput("x", (None, None, None, 3), "f32")]).layout == "NHWC"
    assert picture_input([GraphInput("x", (None, None, None, None), "f32")]).layout == "NCHW"
