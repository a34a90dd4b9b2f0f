"""What is done to a model's OpenVINO graph before it is compiled.

The preprocessing becomes part of it. A YOLOv8 or YOLO11 graph ends where its last convolutions end: to
decode all 8400 boxes and 672,000 scores and throw most away costs more than to decode the few that count;
the result is the same. Where the card asks for it, a graph takes the shape of the picture instead of a
square, of which a 16:9 picture leaves 40 % grey.
"""

from __future__ import annotations

import sys
from typing import Any

# OpenVINO's conversion tools report each import to a web server. We have no use for them, and OpenVINO does
# without: it takes this for "not installed". It also makes the import four times as fast.
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]

import numpy as np  # noqa: E402
import openvino as ov  # noqa: E402
from openvino import opset13 as ops  # noqa: E402
from openvino.preprocess import PrePostProcessor  # noqa: E402

from pipelines.detect.heads.base import Shape  # noqa: E402
from pipelines.detect.heads.yolov8 import BINS  # noqa: E402
from pipelines.detect.letterbox import Pixels  # noqa: E402

__all__ = [
    "Graph",
    "add_maps",
    "branching_ports",
    "cut_decoder",
    "fold_preprocessing",
    "keep_output",
    "name_nodes",
    "ops",
    "ov",
    "resize",
    "shape_of",
]

Graph = ov.Model
_CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution"})
_LOOK_BACK = 240  # nodes; a decoder of boxes has about 20, one that works at any size of picture 150


def shape_of(port: Any) -> Shape:
    """The shape of an input or output, None for free axes."""
    return tuple(None if n.is_dynamic else n.get_length() for n in port.partial_shape)


def fold_preprocessing(graph: ov.Model, pixels: Pixels) -> None:
    """Make the graph take (B, H, W, 3) uint8 in the model's channel order."""
    steps = PrePostProcessor(graph)
    picture = steps.input()
    picture.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    picture.model().set_layout(ov.Layout("NCHW"))
    todo = picture.preprocess().convert_element_type(ov.Type.f32)
    if any(pixels.mean):
        todo.mean(list(pixels.mean))
    if pixels.std != (1.0, 1.0, 1.0):
        todo.scale(list(pixels.std))
    todo.convert_layout(ov.Layout("NCHW"))  # last: the first convolution wants NHWC inside again
    for i in range(len(graph.outputs)):
        steps.output(i).tensor().set_element_type(ov.Type.f32)
    steps.build()


def cut_decoder(graph: ov.Model) -> ov.Model | None:
    """A YOLOv8 graph with outputs best logit (B, 1, cells), its class (B, 1, cells) and distances (B, cells,
    4 * bins), as heads.yolov8.YoloV8Cut reads them.

    None if the graph does not end in Concat(boxes, Sigmoid(logits)) with a distribution (Softmax over the
    bins) behind the boxes, as Ultralytics exports it.
    """
    joined = graph.outputs[0].get_node().input_value(0).get_node()
    if joined.get_type_name() != "Concat" or joined.get_input_size() != 2:
        return None
    boxes, scores = joined.input_value(0).get_node(), joined.input_value(1).get_node()
    if scores.get_type_name() != "Sigmoid":
        return None
    distances = _distances(boxes)
    if distances is None:
        return None
    answers = [*_best_classes(scores.input_value(0)), _by_cell(distances)]
    return ov.Model(
        [ops.result(answer) for answer in answers], graph.get_parameters(), graph.get_friendly_name()
    )


def _best_classes(logits: Any) -> tuple[Any, Any]:
    """Of logits (B, classes, cells) the highest of each cell and its class, of equal ones the first, both
    (B, 1, cells). Taken level by level: to join the levels of all classes first means to copy 3 MB.
    A class that is not a number is passed over where others of the cell are."""
    tops = [ops.topk(_flat(part), 1, 1, "max", "value", stable=True) for part in _levels(logits)]
    return ops.concat([t.output(0) for t in tops], 2).output(0), ops.concat([t.output(1) for t in tops], 2)


def _by_cell(distances: Any) -> Any:
    """(B, 4 * bins, cells) -> (B, cells, 4 * bins). A level's convolution has its answer in this order in
    memory, so that it is the other one that costs a copy."""
    parts = []
    for part in _levels(distances):
        before = part.get_node().input_value(0) if part.get_node().get_type_name() == "Reshape" else part
        if len(shape_of(before)) == 4:  # (B, 4 * bins, H, W)
            cells = ops.transpose(before, np.array([0, 2, 3, 1]))
            parts.append(ops.reshape(cells, np.array([0, -1, 4 * BINS]), special_zero=True))
        else:
            parts.append(ops.transpose(part, np.array([0, 2, 1])))
    return ops.concat(parts, 1)


def _flat(part: Any) -> Any:
    """(B, rows, cells) of a level, by a Reshape of ours where the file's holds a fixed batch."""
    before = part.get_node().input_value(0) if part.get_node().get_type_name() == "Reshape" else part
    if len(shape_of(before)) != 4 or shape_of(before)[0] in (1, None):
        return part
    return ops.reshape(before, np.array([0, 0, -1]), special_zero=True)


def _levels(answer: Any) -> list[Any]:
    """The parts that (B, rows, cells) is joined from, itself where it is not."""
    node = answer.get_node()
    if node.get_type_name() == "Concat" and node.get_attributes()["axis"] in (2, -1):
        return list(node.input_values())
    return [answer]


def _distances(boxes: Any) -> Any | None:
    """The nearest Concat of 4 * bins rows before `boxes`, if a Softmax lies between."""
    seen: set[str] = set()
    todo, softmax = [boxes], False
    while todo and len(seen) < _LOOK_BACK:
        node = todo.pop(0)
        if node.get_friendly_name() in seen:
            continue
        seen.add(node.get_friendly_name())
        kind = node.get_type_name()
        softmax = softmax or kind == "Softmax"
        if kind == "Concat":
            shape = shape_of(node.output(0))
            if len(shape) == 3 and shape[1] == 4 * BINS:
                return node.output(0) if softmax else None
        todo.extend(port.get_source_output().get_node() for port in node.inputs())
    return None


def keep_output(graph: ov.Model, position: int) -> ov.Model:
    """The graph with this output alone, and without what computes the others."""
    kept = ops.result(graph.outputs[position].get_node().input_value(0))
    return ov.Model([kept], graph.get_parameters(), graph.get_friendly_name())


def branching_ports(graph: ov.Model) -> list[Any]:
    """The graph's tensors that at least two convolutions read, in its order."""
    return [
        port
        for node in graph.get_ordered_ops()
        for port in node.outputs()
        if sum(reader.get_node().get_type_name() in _CONVOLUTIONS for reader in port.get_target_inputs()) > 1
    ]


def add_maps(graph: ov.Model, ports: list[Any]) -> None:
    """Give these tensors (B, C, h, w) as further outputs (B, h, w, C): boxes are pooled faster so, and it is
    the order in which a convolution has its answer in memory."""
    last = np.array([0, 2, 3, 1])
    graph.add_outputs([ops.transpose(port, last).output(0) for port in ports])


def resize(graph: ov.Model, batch: int | None, size: tuple[int, int]) -> bool:
    """Give the graph an input of `size` (width, height); False if its inner shapes are fixed."""
    try:
        graph.reshape([-1 if batch is None else batch, 3, size[1], size[0]])
    except RuntimeError:  # what OpenVINO raises for a Reshape to a constant that no longer fits
        return False
    return True


def name_nodes(graph: ov.Model) -> None:
    """Give every node and output the name of its place, so that the engine's cache knows the graph again.

    Nodes that we add are named by a counter of the process otherwise: each load would be another graph to the
    cache, to be compiled and stored anew.
    """
    for place, node in enumerate(graph.get_ordered_ops()):
        node.set_friendly_name(f"node{place}")
    for place, output in enumerate(graph.outputs):
        output.get_tensor().set_names({f"output{place}"})
