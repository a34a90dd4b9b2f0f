"""One small ONNX model of every head's family, sound or with a fault: of 64x64 pixels and three classes.

Sound ones see nothing. A new head without a row here fails the tests that go through all heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.values import Floats
from tests.pipelines.detect.tiny_models import CELLS, LEVELS, SIZE

# nan: all it answers; sick: NaN wherever the picture is not of one colour; outputs: two too many, or, where
# those of other kinds are passed over, one too few; classes: more than it names, in its shapes or, where they
# do not tell, in what it answers.
Fault = Literal["", "nan", "sick", "outputs", "classes"]
CLASSES = ("person", "car", "dog")
BEYOND = 7  # a class that it does not have
PROTOTYPES = (1, 32, 16, 16)


@dataclass(frozen=True)
class Family:
    """Its outputs: their shapes, where a column a class stands as 0, by axis. `final`: rows with a class
    in column 5, and `labels`: an output of classes, whose number no shape tells."""

    outputs: Mapping[str, tuple[int, ...]]
    further: int = 0  # columns beside the classes, in the output with a 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    final: bool = False
    labels: str = ""
    operators: tuple[str, ...] = ()


def _nanodet() -> dict[str, tuple[int, ...]]:
    cells = enumerate(LEVELS)
    return {f"{kind}{i}": (n, 32 if kind == "bins" else 0) for i, n in cells for kind in ("scores", "bins")}


FINAL = {"end2end": "True"}
FAMILIES: dict[str, Family] = {
    "end-to-end-obb": Family({"o": (1, 300, 7)}, metadata={**FINAL, "task": "obb"}, final=True),
    "yolov8-obb": Family({"o": (1, 0, CELLS)}, 5, {"task": "obb"}),
    "rtdetr": Family({"o": (1, 300, 0)}, 4, {"description": "Ultralytics RT-DETR-l model"}),
    "end-to-end": Family({"o": (1, 300, 6)}, metadata=FINAL, final=True),
    "yolov8-pose": Family({"o": (1, 0, CELLS)}, 4 + 51, {"kpt_shape": "[17, 3]"}),
    "yolov8": Family({"o": (1, 0, CELLS)}, 4),
    "yolov8-seg": Family({"o": (1, 0, CELLS), "masks": PROTOTYPES}, 4 + 32),
    "yolov5": Family({"o": (1, 3 * CELLS, 0)}, 5),
    "yolox": Family({"o": (1, CELLS, 0)}, 5),
    "yolox-decoded": Family({"o": (1, CELLS, 0)}, 5, operators=("Exp",)),
    "nanodet": Family(_nanodet()),
    "detr-sigmoid": Family({"logits": (1, 9, 0), "pred_boxes": (1, 9, 4)}),
    "rf-detr": Family({"dets": (1, 9, 4), "labels": (1, 9, 0)}, 1),
    "detr": Family({"logits": (1, 9, 0), "pred_boxes": (1, 9, 4)}, 1),
    "dfine": Family({"labels": (1, 9), "boxes": (1, 9, 4), "scores": (1, 9)}, labels="labels"),
    "torchvision": Family({"boxes": (9, 4), "labels": (9,), "scores": (9,)}, labels="labels"),
}


def family_model(path: Path, name: str, fault: Fault = "") -> Path:
    """A model of the family of head `name`, at `path`."""
    family = FAMILIES[name]
    shapes = {key: _whole(shape, family, fault) for key, shape in family.outputs.items()}
    if fault == "outputs" and family.labels:
        shapes.popitem()
    elif fault == "outputs":
        shapes = {"more0": (1, 11, 13), **shapes, "more1": (1, 17, 19)}
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["lightest"], axes=[2, 3]),
        helper.make_node("ReduceMin", ["images"], ["darkest"], axes=[2, 3]),
        helper.make_node("Sub", ["lightest", "darkest"], ["contrasts"]),
        helper.make_node("ReduceMax", ["contrasts"], ["contrast"], keepdims=0),
        *_shift(fault),
        *(helper.make_node(kind, ["shift"], [f"unused{i}"]) for i, kind in enumerate(family.operators)),
    ]
    constants = {"zero": np.zeros((), np.float32), "tiny": np.full((), 1e-9, np.float32)}
    values = []
    for key, shape in shapes.items():
        whole = key == family.labels
        constants[f"{key}_c"] = _answer(key, shape, family, fault)
        nodes.append(helper.make_node("Add", [f"{key}_c", "shift"], [f"{key}_f" if whole else key]))
        if whole:
            nodes.append(helper.make_node("Cast", [f"{key}_f"], [key], to=TensorProto.INT64))
        kind = TensorProto.INT64 if whole else TensorProto.FLOAT
        values.append(helper.make_tensor_value_info(key, kind, shape))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    tensors = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [image], values, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    names = str(dict(enumerate(CLASSES)))
    helper.set_model_props(model, {**family.metadata, "names": names})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def _shift(fault: Fault) -> list[onnx.NodeProto]:
    """What is added to all that it answers."""
    if fault != "sick":
        return [helper.make_node("Mul", ["contrast", "zero"], ["shift"])]
    return [
        helper.make_node("Sub", ["tiny", "contrast"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["shift"]),
    ]


def _whole(shape: tuple[int, ...], family: Family, fault: Fault) -> tuple[int, ...]:
    classes = len(CLASSES) + (2 if fault == "classes" else 0)
    return tuple(size or classes + family.further for size in shape)


def _answer(key: str, shape: tuple[int, ...], family: Family, fault: Fault) -> Floats:
    answer = np.full(shape, np.nan if fault == "nan" else 0.0, np.float32)
    if key == "logits" or (key == "labels" and not family.labels):
        answer -= 9.0  # of a DETR: before the sigmoid
    if family.final and fault != "nan":
        answer[..., :4] = [8, 8, 24, 24]  # pixels, as no share of the picture could be
    if fault == "classes" and family.final:
        answer[..., :6] = [8, 8, 24, 24, 0.9, BEYOND]
    if fault == "classes" and family.labels:
        answer[...] = {"labels": BEYOND, "scores": 0.9}.get(key, 0.0)
    return answer
