"""Checkpoints as Ultralytics saves them, made here: of random weights, or of those in an ONNX export.

Needs torch and ultralytics; the tests that use it ask for both first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from pipelines.detect.torch.ultralytics_net import ultralytics_tasks


def detector(config: str = "yolov8n.yaml", classes: int = 80, seed: int = 0) -> Any:
    """An Ultralytics detector of random weights whose norms have seen something, in eval mode."""
    torch.manual_seed(seed)
    net = ultralytics_tasks().DetectionModel(config, nc=classes, verbose=False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


def save(net: Any, path: Path, **further: Any) -> Path:
    """As its trainer does: the whole module as float16, beside what it was trained with."""
    net = net.half()
    kept = {
        "epoch": -1,
        "model": net,
        "ema": None,
        "optimizer": None,
        "train_args": {"imgsz": 640},
        **further,
    }
    torch.save(kept, path)
    net.float()
    return path


def with_weights_of(onnx_path: Path) -> Any:
    """Ultralytics' yolov8n, norms folded, with the convolutions' weights of an ONNX export of it.

    Weights and biases are named as the module names them; a scale may follow a convolution, since the file
    was int8 once.
    """
    model = onnx.load(str(onnx_path))
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    users = {name: node for node in model.graph.node for name in node.input}
    makers = {name: node for node in model.graph.node for name in node.output}
    net = ultralytics_tasks().DetectionModel("yolov8n.yaml", verbose=False).eval().fuse(verbose=False)
    state = net.state_dict()
    taken = {name for name in constants if name in state}
    for name in taken:
        state[name] = torch.from_numpy(constants[name].astype(np.float32))
    for conv in model.graph.node:
        if conv.op_type == "Conv":
            name = conv.input[1].removesuffix("_quantized_f32")
            weight = constants[conv.input[1]] * _scale_after(conv.output[0], users, makers, constants)
            state[name] = torch.from_numpy(weight.astype(np.float32))
            taken.add(name)
    assert taken == set(state), sorted(set(state) ^ taken)[:5]
    net.load_state_dict(state)
    net.names = dict(enumerate(_names(model)))
    return net


def _scale_after(
    output: str, users: dict[str, Any], makers: dict[str, Any], constants: dict[str, Any]
) -> Any:
    """What a convolution's output is multiplied with before its bias is added, as (channels, 1, 1, 1)."""
    node = users[output]
    while node.op_type == "Cast":
        output = node.output[0]
        node = users[output]
    if node.op_type != "Mul":
        return np.float32(1)
    (other,) = (name for name in node.input if name != output)
    return _constant(other, makers, constants).reshape(-1, 1, 1, 1)


def _constant(name: str, makers: dict[str, Any], constants: dict[str, Any]) -> Any:
    if name in constants:
        return constants[name]
    node = makers[name]
    assert node.op_type == "Mul", f"{name}: {node.op_type} is no constant"
    first, second = (_constant(each, makers, constants) for each in node.input)
    return first * second


def _names(model: Any) -> list[str]:
    import ast

    metadata = {prop.key: prop.value for prop in model.metadata_props}
    return list(ast.literal_eval(metadata["names"]).values())
