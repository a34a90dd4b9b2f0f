"""YOLOv8, YOLO11 and their like, also with a P2 or P6 level: one output [B, 4 + classes, cells].

Boxes are decoded by the graph. Anchor-free; rows are centre x, centre y, width, height in input pixels, then
a score a class, 0 to 1.
Source: Ultralytics YOLOv8 (2023), `Detect` with export; distances: Li et al., "Generalized Focal Loss",
arXiv 2006.04388.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from pipelines.detect.errors import InvalidOutput
from pipelines.detect.heads.base import (
    STRIDES,
    Candidates,
    Head,
    Signature,
    centres,
    check_scores,
    distances,
)
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats

BINS = 16  # reg_max in all published weights


class YoloV8(Head):
    name = "yolov8"
    pixels = Pixels(rgb=True, std=(255.0, 255.0, 255.0))

    def __init__(self, classes: int, strides: Sequence[int] = STRIDES) -> None:
        self.classes, self._strides = classes, strides

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        if len(model.outputs) != 1 or len(model.outputs[0]) != 3:
            return None
        _, rows, cells = model.outputs[0]
        strides = model.levels(cells)
        return None if rows is None or rows < 5 or strides is None else cls(rows - 4, strides)

    def prepare(self, graph: Any, size: tuple[int, int]) -> tuple[Any, Head] | None:
        """Without its decoder: most of what that decodes is thrown away."""
        from pipelines.detect.graph import cut_decoder  # other engines do without OpenVINO

        cut = cut_decoder(graph)
        return None if cut is None else (cut, YoloV8Cut(self.classes, *size, self._strides))

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer = outputs[0]  # (4 + classes, cells)
        best = answer[4:].max(axis=0)
        check_scores(float(best.max()))
        cells = np.flatnonzero(best >= min_score)
        columns = answer[:, cells]  # (4 + classes, N)
        x, y, half_w, half_h = columns[0], columns[1], columns[2] / 2, columns[3] / 2
        boxes = np.stack((x - half_w, y - half_h, x + half_w, y + half_h), axis=1)
        return Candidates(boxes, best[cells], columns[4:].argmax(axis=0).astype(np.int32))


class YoloV8Cut(Head):
    """The same model without its decoder: a cell's best logit (1, cells), its class (1, cells) and distances
    (cells, 4 * BINS).

    Only what passes the score is decoded: sigmoid of the logit; the mean of each side's distribution
    over the bins is its distance from the cell's centre in strides.
    """

    name = "yolov8"
    pixels = YoloV8.pixels

    def __init__(self, classes: int, width: int, height: int, strides: Sequence[int] = STRIDES) -> None:
        self.classes = classes
        x, y, self._stride = centres(width, height, strides)
        self._x, self._y = (x + 0.5) * self._stride, (y + 0.5) * self._stride

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        (best,), (class_ids,), distributions = outputs
        if not np.isfinite(best.max()):
            raise InvalidOutput("a score that is infinite or not a number")
        cells = np.flatnonzero(best >= _logit(min_score))
        scores = 1.0 / (1.0 + np.exp(-best[cells]))
        bins = np.ascontiguousarray(distributions[cells].T)
        sides = distances(bins.reshape(4, BINS, -1))
        left, top, right, bottom = sides * self._stride[cells]
        x, y = self._x[cells], self._y[cells]
        boxes = np.stack((x - left, y - top, x + right, y + bottom), axis=1)
        return Candidates(boxes, scores, class_ids[cells].astype(np.int32))


def _logit(score: float) -> float:
    """The inverse of the sigmoid."""
    if not 0.0 < score < 1.0:
        return -math.inf if score <= 0.0 else math.inf
    return math.log(score / (1.0 - score))
