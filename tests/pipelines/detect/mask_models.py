"""Made-up segmentation models: boxes with coefficients, and prototypes whose places are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from onnx import helper

from pipelines.values import Floats
from tests.pipelines.detect.tiny_models import CELLS, SIZE, save

Family = Literal["yolov8-seg", "end-to-end", "yolov5"]
SIDE = SIZE // 4  # cells of a prototype along each side
CLASSES = 3
Box = tuple[float, float, float, float, int, float]  # centre x, y, width, height in pixels, class, score


def halves() -> Floats:
    """(2, SIDE, SIDE): 1 in the left half of the input and -1 in the right one; the same from top to
    bottom."""
    across = np.where(np.arange(SIDE) < SIDE / 2, 1.0, -1.0)
    pair = np.stack((np.tile(across, (SIDE, 1)), np.tile(across[:, None], (1, SIDE))))
    return pair.astype(np.float32)


def seg_model(
    path: Path,
    family: Family,
    boxes: Sequence[Box],
    coefficients: Sequence[Sequence[float]],
    prototypes: Floats | None = None,
    batch: int | str = 1,
) -> Path:
    """Its prototypes are multiplied by the picture's mean value, so that a black picture has masks of 0; its
    boxes are the same in every picture."""
    shown = halves() if prototypes is None else prototypes
    table = _TABLES[family](boxes, np.array(coefficients, np.float32).reshape(len(boxes), len(shown)))
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "axis"], ["flat"]),
        helper.make_node("Mul", ["flat", "none"], ["zero"]),
        helper.make_node("Add", ["zero", "table"], ["output0"]),
        helper.make_node("Mul", ["mean", "prototypes"], ["output1"]),
    ]
    constants = {
        "axis": np.array([3], np.int64),
        "none": np.zeros((), np.float32),
        "table": table[None],
        "prototypes": shown[None],
    }
    outputs = {"output0": [batch, *table.shape], "output1": [batch, *shown.shape]}
    names = str({i: f"thing{i}" for i in range(CLASSES)})
    said = {"names": names, "task": "segment"} | ({"end2end": "True"} if family == "end-to-end" else {})
    return save(path, nodes, constants, outputs, batch=batch, metadata=said)


def _yolov8(boxes: Sequence[Box], coefficients: Floats) -> Floats:
    table = np.zeros((4 + CLASSES + coefficients.shape[1], CELLS), np.float32)
    for cell, (*place, class_id, score) in enumerate(boxes):
        table[:4, cell] = place
        table[4 + class_id, cell] = score
        table[4 + CLASSES :, cell] = coefficients[cell]
    return table


def _end_to_end(boxes: Sequence[Box], coefficients: Floats) -> Floats:
    table = np.zeros((9, 6 + coefficients.shape[1]), np.float32)
    for row, (x, y, wide, high, class_id, score) in enumerate(boxes):
        table[row, :6] = x - wide / 2, y - high / 2, x + wide / 2, y + high / 2, score, class_id
        table[row, 6:] = coefficients[row]
    return table


def _yolov5(boxes: Sequence[Box], coefficients: Floats) -> Floats:
    table = np.zeros((3 * CELLS, 5 + CLASSES + coefficients.shape[1]), np.float32)
    for row, (*place, class_id, score) in enumerate(boxes):
        table[row, :4], table[row, 4], table[row, 5 + class_id] = place, 1.0, score
        table[row, 5 + CLASSES :] = coefficients[row]
    return table


_TABLES = {"yolov8-seg": _yolov8, "end-to-end": _end_to_end, "yolov5": _yolov5}
