"""YOLOv8 and YOLO11 detection: one output [B, 4 + classes, cells], boxes decoded by the graph.

Anchor-free; rows are centre x, centre y, width, height in input pixels, then a score a class, 0 to 1.
Source: Ultralytics YOLOv8 (2023), `Detect` with export.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.detect.heads.base import Candidates, Signature, check_scores
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats


class YoloV8:
    name = "yolov8"
    pixels = Pixels(rgb=True, std=(255.0, 255.0, 255.0))

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @classmethod
    def match(cls, model: Signature) -> YoloV8 | None:
        if len(model.outputs) != 1 or len(model.outputs[0]) != 3:
            return None
        _, rows, cells = model.outputs[0]
        if rows is None or rows < 5 or cells != model.cells():
            return None
        return cls(rows - 4)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer = outputs[0]  # (4 + classes, cells)
        best = answer[4:].max(axis=0)
        check_scores(float(best.max()))
        found = np.flatnonzero(best >= min_score)
        columns = answer[:, found]  # (4 + classes, N)
        x, y, half_w, half_h = columns[0], columns[1], columns[2] / 2, columns[3] / 2
        boxes = np.stack((x - half_w, y - half_h, x + half_w, y + half_h), axis=1)
        return Candidates(boxes, best[found], columns[4:].argmax(axis=0).astype(np.int32))
