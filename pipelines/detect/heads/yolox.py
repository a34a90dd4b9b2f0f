"""YOLOX: one output [B, cells, 5 + classes], objectness times class score, boxes raw or decoded by the graph.

Rows are x, y, w, h, objectness, then the classes. Raw: centre = (x, y + cell index) * stride, size =
exp(w, h) * stride. Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.detect.heads.base import Candidates, Signature, centres, check_scores
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats


class YoloX:
    """`decoded` says that the graph itself decodes its boxes to input pixels."""

    joints = 0
    pixels = Pixels(rgb=False, centred=False)

    def __init__(self, classes: int, width: int, height: int, decoded: bool) -> None:
        self.name = "yolox-decoded" if decoded else "yolox"
        self.classes = classes
        self._decoded = decoded
        self._x, self._y, self._stride = centres(width, height)

    @classmethod
    def match(cls, model: Signature) -> YoloX | None:
        """A graph that decodes its boxes has the exponential in it."""
        return cls.decoded(model) if "Exp" in model.operators else cls.raw(model)

    @classmethod
    def raw(cls, model: Signature) -> YoloX | None:
        classes = _classes(model)
        return cls(classes, model.width, model.height, False) if classes else None

    @classmethod
    def decoded(cls, model: Signature) -> YoloX | None:
        classes = _classes(model)
        return cls(classes, model.width, model.height, True) if classes else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer = outputs[0]  # (cells, 5 + classes)
        objectness = answer[:, 4]
        check_scores(float(objectness.max()))
        hopeful = np.flatnonzero(objectness >= min_score)  # a class score is at most 1
        rows = answer[hopeful]
        scores = rows[:, 5:] * rows[:, 4:5]
        best = scores.max(axis=1)
        check_scores(float(best.max(initial=0.0)))
        good = best >= min_score
        found, rows = hopeful[good], rows[good]
        middle, size = rows[:, 0:2], rows[:, 2:4]
        if not self._decoded:
            stride = self._stride[found, None]
            middle = (middle + np.stack((self._x[found], self._y[found]), axis=1)) * stride
            size = np.exp(size) * stride
        boxes = np.concatenate((middle - size / 2, middle + size / 2), axis=1)
        return Candidates(boxes, best[good], scores[good].argmax(axis=1).astype(np.int32))


def _classes(model: Signature) -> int:
    """How many classes a model of this form has; 0 if it has another form."""
    if len(model.outputs) != 1 or len(model.outputs[0]) != 3:
        return 0
    _, cells, columns = model.outputs[0]
    return columns - 5 if cells == model.cells() and columns is not None and columns > 5 else 0
