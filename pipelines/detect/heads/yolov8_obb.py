"""YOLOv8-obb, YOLO11-obb and YOLO26-obb: boxes that stand at an angle, [B, 4 + classes + 1, cells].

Rows are centre x, centre y, width, height in input pixels, the class scores, and the angle in radians. They
are suppressed as they stand; what is given on is the upright box around each, since all that follows works
on upright ones. The shape is that of a detector of one class more: the file's `task` tells, or the card's
`head`. Source: Ultralytics YOLOv8 (2023), `OBB` with export.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from pipelines.detect.heads.base import Candidates, Head, Signature, best_of
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.values import Floats


class YoloV8Obb(Head):
    name = "yolov8-obb"
    pixels = YoloV8.pixels

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        return cls.match_named(model) if model.task == "obb" else None

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        table = model.table()
        fits = len(model.outputs) == 1 and table is not None and model.levels(table[2]) is not None
        return cls(table[1] - 5) if fits and table is not None and table[1] > 5 else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer = outputs[0]  # (4 + classes + 1, cells)
        cells, scores, class_ids = best_of(answer[4 : 4 + self.classes].T, min_score)
        rotated = answer[[0, 1, 2, 3, 4 + self.classes]][:, cells].T
        return Candidates(upright(rotated), scores, class_ids, rotated=rotated)


def upright(rotated: Floats) -> Floats:
    """(N, 5) centre x, y, width, height, angle -> (N, 4) corners of the upright boxes around them."""
    half, cos, sin = rotated[:, 2:4] / 2, np.cos(rotated[:, 4]), np.sin(rotated[:, 4])
    wide = np.abs(half[:, 0] * cos) + np.abs(half[:, 1] * sin)
    high = np.abs(half[:, 0] * sin) + np.abs(half[:, 1] * cos)
    reach = np.stack((wide, high), axis=1)
    around: Floats = np.concatenate((rotated[:, :2] - reach, rotated[:, :2] + reach), axis=1)
    return around
