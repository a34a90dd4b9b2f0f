"""NanoDet: for each stride 8, 16, 32 an output of class scores and one of distance distributions.

[cells, classes] (scores 0 to 1) and [cells, 4 * bins]: for left, top, right and bottom a distribution over
`bins` whole strides whose mean is the distance from the cell's centre to that side. With a batch axis of
one or without; outputs are told apart by their shapes, in any order. Source: RangiLyu, NanoDet (2020);
distances: Li et al., "Generalized Focal Loss", arXiv 2006.04388.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Self

import numpy as np

from pipelines.detect.heads.base import (
    STRIDES,
    Candidates,
    Head,
    Shape,
    Signature,
    centres,
    check_scores,
    distances,
)
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats, Longs

BINS = 8  # reg_max 7, as in all published weights


class NanoDet(Head):
    name = "nanodet"
    # At the top left: centred in its border the same weights give 20 % more false boxes at 0.3 on PETS09.
    pixels = Pixels(rgb=False, centred=False, mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))

    def __init__(self, model: Signature, classes: int, scores: list[int], distances: list[int]) -> None:
        """`scores` and `distances`: positions of the outputs, by rising stride."""
        self.classes = classes
        self.batched = len(model.outputs[0]) == 3
        self._scores, self._distances = scores, distances
        x, y, self._stride = centres(model.width, model.height)
        self._x, self._y = (x + 0.5) * self._stride, (y + 0.5) * self._stride

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        shapes = [_plain(shape) for shape in model.outputs]
        if len(shapes) != 2 * len(STRIDES) or any(len(shape) != 2 for shape in shapes):
            return None
        cells = [model.cells((stride,)) for stride in STRIDES]
        columns = {shape[1] for shape in shapes}
        if len(columns) != 2 or 4 * BINS not in columns:
            return None
        classes = next(n for n in columns if n != 4 * BINS)
        scores = _positions(shapes, cells, classes)
        distances = _positions(shapes, cells, 4 * BINS)
        if classes is None or scores is None or distances is None:
            return None
        return cls(model, classes, scores, distances)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        flat = [output.reshape(-1, output.shape[-1]) for output in outputs]
        scores = np.concatenate([flat[i] for i in self._scores])  # (cells, classes)
        best = scores.max(axis=1)
        check_scores(float(best.max()))
        cells = np.flatnonzero(best >= min_score)
        sides = distances(self._gather(flat, cells).T.reshape(4, BINS, -1))
        left, top, right, bottom = sides * self._stride[cells]
        x, y = self._x[cells], self._y[cells]
        boxes = np.stack((x - left, y - top, x + right, y + bottom), axis=1)
        return Candidates(boxes, best[cells], scores[cells].argmax(axis=1).astype(np.int32))

    def _gather(self, flat: Sequence[Floats], cells: Longs) -> Floats:
        """The distance rows of `cells`, which rise: level by level, without joining them all."""
        parts, start = [], 0
        for i in self._distances:
            end = start + len(flat[i])
            parts.append(flat[i][cells[(cells >= start) & (cells < end)] - start])
            start = end
        return np.concatenate(parts)


def _plain(shape: Shape) -> Shape:
    return shape[1:] if len(shape) == 3 and shape[0] == 1 else shape


def _positions(shapes: Sequence[Shape], cells: Sequence[int], columns: int | None) -> list[int] | None:
    """Where the outputs of `columns` columns with these numbers of rows stand, or None."""
    mine = [i for i, shape in enumerate(shapes) if shape[1] == columns]
    for order in permutations(mine, len(cells)):
        if [shapes[i][0] for i in order] == list(cells):
            return list(order)
    return None
