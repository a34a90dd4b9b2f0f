"""Small ONNX models with known answers, made by the test that needs them.

Each has the outputs of a real head at 64x64 pixels (84 cells at strides 8, 16, 32). All scores are
multiplied by the picture's mean value, so that a black picture shows nothing and a white one shows `boxes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.values import Floats

SIZE = 64
CELLS = 84
LEVELS = (64, 16, 4)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray],  # type: ignore[type-arg]
    outputs: dict[str, Sequence[int | str]],
    *,
    batch: int | str = 1,
    metadata: dict[str, str] | None = None,
    channels: int = 3,
    size: tuple[int | str, int | str] = (SIZE, SIZE),
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, channels, *size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def table(
    path: Path,
    answer: Floats,
    *,
    batch: int | str = 1,
    metadata: dict[str, str] | None = None,
    lit_rows: slice | None = None,
    lit_columns: slice | None = None,
    divisor: float = 1.0,
) -> Path:
    """A model that answers `answer` (R, C), the lit part times the mean pixel / divisor."""
    lit = np.zeros(answer.shape, np.bool_)
    lit[lit_rows or slice(None), lit_columns or slice(None)] = True
    constants = {
        "lit": np.where(lit, answer, np.float32(0))[None],
        "unlit": np.where(lit, np.float32(0), answer)[None],
        "divisor": np.array(divisor, np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["sum"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["sum", "axis"], ["flat"]),
        helper.make_node("Div", ["flat", "divisor"], ["mean"]),
        helper.make_node("Mul", ["mean", "lit"], ["bright"]),
        helper.make_node("Add", ["bright", "unlit"], ["output0"]),
    ]
    constants["axis"] = np.array([3], np.int64)
    return save(path, nodes, constants, {"output0": [batch, *answer.shape]}, batch=batch, metadata=metadata)


def yolov8(
    path: Path,
    boxes: Sequence[tuple[float, float, float, float, int, float]],
    *,
    classes: int = 80,
    batch: int | str = 1,
    metadata: dict[str, str] | None = None,
) -> Path:
    """`boxes`: centre x, centre y, width, height in pixels, class, score; one a cell."""
    answer = np.zeros((4 + classes, CELLS), np.float32)
    for cell, (x, y, wide, high, class_id, score) in enumerate(boxes):
        answer[:4, cell] = x, y, wide, high
        answer[4 + class_id, cell] = score
    return table(path, answer, batch=batch, metadata=metadata, lit_rows=slice(4, None))


def yolov8_pose(
    path: Path,
    people: Sequence[Sequence[float]],
    *,
    moves: Sequence[float] = (),
    metadata: dict[str, str] | None = None,
) -> Path:
    """`people`: for each centre x, centre y, width, height, score, and x, y, score of each joint, in pixels;
    `moves` is added to the first of them times the picture's mean value."""
    still = np.zeros((1, len(people[0]), CELLS), np.float32)
    moved = np.zeros_like(still)
    for cell, person in enumerate(people):
        still[0, :, cell] = person
    moved[0, : len(moves), 0] = moves
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["sum"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["sum", "axis"], ["mean"]),
        helper.make_node("Mul", ["mean", "moved"], ["shift"]),
        helper.make_node("Add", ["shift", "still"], ["output0"]),
    ]
    constants = {"axis": np.array([3], np.int64), "moved": moved, "still": still}
    return save(path, nodes, constants, {"output0": list(still.shape)}, metadata=metadata)


def yolox(path: Path, rows: dict[int, tuple[float, ...]], *, classes: int = 80) -> Path:
    """`rows`: cell -> x, y, w, h (raw), class id, score."""
    answer = np.zeros((CELLS, 5 + classes), np.float32)
    for cell, (x, y, wide, high, class_id, score) in rows.items():
        answer[cell, :5] = x, y, wide, high, 1.0
        answer[cell, 5 + int(class_id)] = score
    return table(path, answer, lit_columns=slice(4, 5), divisor=255.0)


def yolov8_with_decoder(path: Path, seed: int = 1, classes: int = 3) -> Path:
    """The end of an Ultralytics export: distributions, Softmax, anchors, and the scores' Sigmoid.

    Logits and distributions are random, and move with the picture's mean value.
    """
    random = np.random.default_rng(seed)
    constants = {
        "axis": np.array([3], np.int64),
        "bins": np.arange(16, dtype=np.float32).reshape(1, 1, 16, 1),
        "form": np.array([1, 4, 16, CELLS], np.int64),
        "first": np.array([2], np.int64),
        "two": np.array(2, np.float32),
        "halves": np.array([2, 2], np.int64),
    }
    x, y, stride = [], [], []
    for step in (8, 16, 32):
        rows, columns = np.mgrid[: SIZE // step, : SIZE // step]
        x.append(columns.ravel() + 0.5)
        y.append(rows.ravel() + 0.5)
        stride.append(np.full(columns.size, step))
    constants["anchors"] = np.stack((np.concatenate(x), np.concatenate(y)))[None].astype(np.float32)
    constants["strides"] = np.concatenate(stride)[None].astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean4"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean4", "axis"], ["mean"]),
    ]
    for name, rows, spread in (("logit", classes, 2.0), ("bin", 64, 1.5)):
        for level, cells in enumerate(LEVELS):
            values = random.normal(-0.5 if name == "logit" else 0.0, spread, (1, rows, cells))
            constants[f"{name}{level}_c"] = values.astype(np.float32)
            nodes.append(helper.make_node("Mul", ["mean", f"{name}{level}_c"], [f"{name}{level}"]))
        nodes.append(
            helper.make_node("Concat", [f"{name}{level}" for level in range(3)], [f"{name}s"], axis=2)
        )
    nodes += [
        helper.make_node("Reshape", ["bins_", "form"], ["sides"]),
        helper.make_node("Softmax", ["sides"], ["shares"], axis=2),
        helper.make_node("Mul", ["shares", "bins"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "first"], ["distance"], keepdims=0),
        helper.make_node("Split", ["distance", "halves"], ["near", "far"], axis=1),
        helper.make_node("Sub", ["anchors", "near"], ["low"]),
        helper.make_node("Add", ["anchors", "far"], ["high"]),
        helper.make_node("Add", ["low", "high"], ["both"]),
        helper.make_node("Div", ["both", "two"], ["centre"]),
        helper.make_node("Sub", ["high", "low"], ["extent"]),
        helper.make_node("Concat", ["centre", "extent"], ["cells"], axis=1),
        helper.make_node("Mul", ["cells", "strides"], ["boxes"]),
        helper.make_node("Sigmoid", ["logits"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    for node in nodes:  # the Concat's name and the constant's would be the same
        node.output[:] = ["bins_" if o == "bins" else o for o in node.output]
    names = "{" + ", ".join(f"{i}: 'thing{i}'" for i in range(classes)) + "}"
    return save(path, nodes, constants, {"output0": [1, 4 + classes, CELLS]}, metadata={"names": names})


def nanodet(path: Path) -> Path:
    """Six outputs in mixed order; cell 9 of stride 8 holds class 2 with every side 2 strides away."""
    constants: dict[str, np.ndarray] = {"divisor": np.array(0.0, np.float32)}  # type: ignore[type-arg]
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean4"], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["mean4", "divisor"], ["nothing"]))
    outputs: dict[str, Sequence[int | str]] = {}
    for level in (1, 0, 2):
        scores = np.full((LEVELS[level], 80), 0.01, np.float32)
        bins = np.zeros((LEVELS[level], 32), np.float32)
        if level == 0:
            scores[9, 2] = 0.9
            bins[9, 2::8] = 50.0
        for name, value in (("bins", bins), ("scores", scores)):
            constants[f"{name}{level}_c"] = value
            nodes.append(helper.make_node("Add", [f"{name}{level}_c", "nothing"], [f"{name}{level}"]))
            outputs[f"{name}{level}"] = value.shape
    return save(path, nodes, constants, outputs)
