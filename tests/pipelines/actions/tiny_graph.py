"""A small action graph made without torch: softmax(W x mean over time), and even attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.actions.card import ActionCard, write_action_card
from pipelines.detect.model import sha256_of


def write_tiny(
    path: Path,
    *,
    window: int = 8,
    labels: tuple[str, ...] = ("rest", "rise"),
    watched: int = 0,
    **card: Any,
) -> Path:
    """A model of boxes: says the last label the more, the higher the box's relative place in the window ends
    above where it began. Of poses it is the place of the joint `watched`, of other kinds value 1."""
    kind, size = card.get("kind", "boxes"), card.get("size", 4)
    shape = {"boxes": (9,), "pose": (size, 3)}.get(kind, (size,))
    axes = list(range(2, 2 + len(shape)))
    features, classes = int(np.prod(shape)), len(labels)
    weights = np.zeros((window * features, classes), np.float32)
    value = 1 + 3 * watched
    weights[value, -1], weights[(window - 1) * features + value, -1] = 5.0, -5.0  # y, first and last
    nodes = [
        helper.make_node("Flatten", ["windows"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["raw"]),
        helper.make_node("Add", ["raw", "usual"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["action"], axis=1),
        helper.make_node("ReduceMean", ["windows"], ["each"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["each", "zero"], ["none"]),
        helper.make_node("Add", ["none", "even"], ["attention"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.eye(1, classes, dtype=np.float32) * 2, "usual"),  # the first, if in doubt
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        numpy_helper.from_array(np.full(1, 1 / window, np.float32), "even"),
    ]
    inputs = [helper.make_tensor_value_info("windows", TensorProto.FLOAT, ["b", window, *shape])]
    outputs = [
        helper.make_tensor_value_info("action", TensorProto.FLOAT, ["b", classes]),
        helper.make_tensor_value_info("attention", TensorProto.FLOAT, ["b", window]),
    ]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    given = {
        "kind": "boxes",
        "size": 4,
        "window": window,
        "rate_hz": 8.0,
        "heads": [{"name": "action", "labels": list(labels), "silent": [labels[0]]}],
        "sha256": sha256_of(path),
        **card,
    }
    write_action_card(path.with_suffix(".yaml"), ActionCard.model_validate(given))
    return path


def write_brightness(path: Path) -> Path:
    """A backbone: a crop's mean colour, (N, 3, h, w) -> (N, 3)."""
    nodes = [helper.make_node("ReduceMean", ["pictures"], ["embedding"], axes=[2, 3], keepdims=0)]
    inputs = [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, 32, 32])]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph(nodes, "brightness", inputs, outputs, [])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
