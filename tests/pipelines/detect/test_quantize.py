"""Static int8 on small nets of known weights: what is rounded, what is left alone, and that engines agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipelines.detect.errors import ModelRefused
from pipelines.detect.quantize import RANGES, Quantizer
from pipelines.registry import create_detector
from pipelines.values import Frame, Image, Stamp
from tests.pipelines.detect import tiny_models as tiny

SIZE, CLASSES = 64, 3


def net(path: Path, *, opset: int = 13, half: bool = False) -> Path:
    """Strides 8, 16 and 32 by two convolutions each, the second of which gives boxes and scores."""
    random = np.random.default_rng(3)
    constants: dict[str, np.ndarray] = {}  # type: ignore[type-arg]
    nodes = []
    for stride in (8, 16, 32):
        first = random.normal(0, 0.2 / stride, (16, 3, stride, stride)).astype(np.float32)
        constants[f"a{stride}"] = first.astype(np.float16) if half else first
        constants[f"b{stride}"] = random.normal(0, 1, (4 + CLASSES, 16, 1, 1)).astype(np.float32)
        constants[f"s{stride}"] = np.array([1, 4 + CLASSES, -1], np.int64)
        weight = f"a{stride}"
        if half:
            nodes.append(helper.make_node("Cast", [weight], [f"{weight}/32"], to=TensorProto.FLOAT))
            weight += "/32"
        nodes.append(helper.make_node("Conv", ["images", weight], [f"c{stride}"], strides=[stride, stride]))
        nodes.append(helper.make_node("Relu", [f"c{stride}"], [f"r{stride}"]))
        nodes.append(helper.make_node("Conv", [f"r{stride}", f"b{stride}"], [f"d{stride}"]))
        nodes.append(helper.make_node("Reshape", [f"d{stride}", f"s{stride}"], [f"e{stride}"]))
    nodes.append(helper.make_node("Concat", ["e8", "e16", "e32"], ["all"], axis=2))
    nodes.append(helper.make_node("Sigmoid", ["all"], ["shares"]))
    constants["units"] = np.array([SIZE] * 4 + [1] * CLASSES, np.float32).reshape(1, -1, 1)
    nodes.append(helper.make_node("Mul", ["shares", "units"], ["output0"]))
    names = str({i: f"thing{i}" for i in range(CLASSES)})
    tiny.save(path, nodes, constants, {"output0": [1, 4 + CLASSES, tiny.CELLS]}, metadata={"names": names})
    if opset != 13:
        model = onnx.load(str(path))
        model.opset_import[0].version = opset
        onnx.save(model, str(path))
    return path


def pictures(count: int = 6) -> list[Image]:
    random = np.random.default_rng(8)
    return [random.integers(0, 255, (SIZE, SIZE, 3), np.uint8) for _ in range(count)]


def quantised(source: Path, ranges: str = "full") -> Path:
    quantizer = Quantizer(source, threads=1)
    assert list(quantizer.watch(pictures())) == [1, 2, 3, 4, 5, 6]
    target = source.with_name("int8.onnx")
    quantizer.write(target, quantizer.spans(), ranges)
    return target


@pytest.mark.parametrize("ranges", RANGES)
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_the_int8_model_answers_nearly_as_the_float_model_on_both_engines(
    engine: str, ranges: str, tmp_path: Path
) -> None:
    source = net(tmp_path / "float.onnx")
    exact, small = (create_detector(engine, p, score=0.01) for p in (source, quantised(source, ranges)))
    for image in pictures():
        frame = Frame(Stamp("door", 1, 0, 0, 0, 0), image)
        one, other = (d.collect(d.submit([frame]))[0] for d in (exact, small))
        assert len(one) > 0
        assert abs(len(one) - len(other)) <= 3
        assert abs(float(one.scores.max()) - float(other.scores.max())) < 0.05
    assert small.labels == exact.labels


def test_the_first_convolutions_become_int8_and_the_last_stay_as_they_were(tmp_path: Path) -> None:
    model = onnx.load(str(quantised(net(tmp_path / "float.onnx"))))
    stored = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    for stride in (8, 16, 32):
        assert f"a{stride}" not in stored
        assert stored[f"a{stride}/int8/values"].dtype == np.int8
        assert stored[f"a{stride}/int8/scale"].shape == (16,)
        assert stored[f"b{stride}"].dtype == np.float32
    assert stored["images/int8/zero"] == 0
    assert sum(node.op_type == "QuantizeLinear" for node in model.graph.node) == 1  # one input for all three
    assert {p.key for p in model.metadata_props} == {"names", "quantization"}


def test_weights_are_rounded_by_channel_to_half_a_step(tmp_path: Path) -> None:
    source = net(tmp_path / "float.onnx")
    stored = {c.name: numpy_helper.to_array(c) for c in onnx.load(str(quantised(source))).graph.initializer}
    exact = {c.name: numpy_helper.to_array(c) for c in onnx.load(str(source)).graph.initializer}
    step = stored["a8/int8/scale"][:, None, None, None]
    back = stored["a8/int8/values"] * step
    assert (np.abs(back - exact["a8"]) <= step / 2 + 1e-7).all()
    assert np.abs(stored["a8/int8/values"].reshape(16, -1)).max(1).tolist() == [127] * 16


def test_weights_stored_as_float16_and_old_operator_sets_are_taken_too(tmp_path: Path) -> None:
    for name, source in (
        ("half", net(tmp_path / "half.onnx", half=True)),
        ("old", net(tmp_path / "old.onnx", opset=11)),
    ):
        model = onnx.load(str(quantised(source)))
        assert model.opset_import[0].version >= 13, name
        assert not any(node.op_type == "Cast" for node in model.graph.node), name
        create_detector("openvino", source.with_name("int8.onnx"))


def test_what_cannot_be_quantised_is_refused(tmp_path: Path) -> None:
    source = net(tmp_path / "float.onnx")
    with pytest.raises(ModelRefused, match="is quantised already"):
        Quantizer(quantised(source))
    with pytest.raises(ModelRefused, match="no convolution"):
        Quantizer(tiny.yolov8(tmp_path / "flat.onnx", [(10, 10, 8, 8, 0, 0.9)]))
    with pytest.raises(ModelRefused, match="no picture to calibrate"):
        Quantizer(source).spans()
