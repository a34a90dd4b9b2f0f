"""YOLOX: one output [B, cells, 5 + classes], objectness times class score, boxes raw or decoded by the graph.

Rows are x, y, w, h, objectness, then the classes. Raw: centre = (x, y + cell index) * stride, size =
exp(w, h) * stride. Source: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from pipelines.detect.heads.base import Candidates, Head, Signature, centres, check_scores
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats, Ints, Longs


class YoloX(Head):
    """Its boxes are raw. A graph that decodes them itself has the exponential among its operators."""

    name = "yolox"
    pixels = Pixels(rgb=False, centred=False)

    def __init__(self, classes: int, width: int, height: int) -> None:
        self.classes = classes
        self._x, self._y, self._stride = centres(width, height)

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        return None if "Exp" in model.operators else cls.match_named(model)

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        classes = _classes(model)
        return cls(classes, model.width, model.height) if classes else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer = outputs[0]  # (cells, 5 + classes)
        cells, scores, class_ids = self._best(answer, min_score)
        middle, size = self._places(answer[cells], cells)
        half = size / np.float32(2)
        boxes = np.concatenate((middle - half, middle + half), axis=1)
        return Candidates(boxes, scores, class_ids)

    def _best(self, answer: Floats, min_score: float) -> tuple[Longs, Floats, Ints]:
        """The cells whose best score reaches `min_score`, those scores, and their classes."""
        objectness = answer[:, 4]
        check_scores(float(objectness.max()))
        candidates = np.flatnonzero(objectness >= min_score)  # a class score is at most 1
        rows = answer[candidates]
        scores = rows[:, 5:] * rows[:, 4:5]
        best = scores.max(axis=1)
        check_scores(float(best.max(initial=0.0)))
        good = best >= min_score
        return candidates[good], best[good], scores[good].argmax(axis=1).astype(np.int32)

    def _places(self, rows: Floats, cells: Longs) -> tuple[Floats, Floats]:
        """Centres and sizes, (N, 2) each in pixels of the input, of the rows of these cells."""
        stride = self._stride[cells, None]
        middle = (rows[:, 0:2] + np.stack((self._x[cells], self._y[cells]), axis=1)) * stride
        return middle, np.exp(rows[:, 2:4]) * stride


class YoloXDecoded(YoloX):
    """Its boxes are decoded by the graph, to pixels of the input."""

    name = "yolox-decoded"

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        return cls.match_named(model) if "Exp" in model.operators else None

    def _places(self, rows: Floats, cells: Longs) -> tuple[Floats, Floats]:  # noqa: ARG002
        return rows[:, 0:2], rows[:, 2:4]


def _classes(model: Signature) -> int:
    """How many classes a model of this form has; 0 if it has another form."""
    if len(model.outputs) != 1 or len(model.outputs[0]) != 3:
        return 0
    _, cells, columns = model.outputs[0]
    return columns - 5 if cells == model.cells() and columns is not None and columns > 5 else 0
