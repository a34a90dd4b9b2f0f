"""YOLOv8-seg, YOLO11-seg and YOLO26-seg: as their detectors, with coefficients of masks below the scores.

Outputs [B, 4 + classes + masks, cells] and prototypes [B, masks, h, w]. Where nobody asked for masks, boxes
alone are read, and OpenVINO leaves out what computes the prototypes. Source: Ultralytics YOLOv8 (2023),
`Segment` with export; prototypes: Bolya et al., "YOLACT", arXiv 1904.02689.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from pipelines.detect.heads.base import Candidates, Head, Signature
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.values import Floats


class YoloV8Seg(Head):
    """`position` of its output among all, `prototypes` that of theirs; `masks`: whether it gives them."""

    name = "yolov8-seg"
    pixels = YoloV8.pixels

    def __init__(self, classes: int, position: int, prototypes: int | None, masks: bool = False) -> None:
        self.classes, self._position, self._prototypes = classes, position, prototypes
        self.masks = masks
        self._boxes = YoloV8(classes)

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        table, masks = model.table(), model.prototypes
        if table is None or masks is None or model.levels(table[2]) is None:
            return None
        classes = table[1] - 4 - masks[1]
        return cls(classes, table[0], masks[0]) if classes > 0 else None

    def with_masks(self) -> Head | None:
        if self._prototypes is None:
            return None
        return YoloV8Seg(self.classes, self._position, self._prototypes, masks=True)

    def prepare(self, graph: Any, size: tuple[int, int]) -> tuple[Any, Head] | None:  # noqa: ARG002
        if self.masks:
            return None
        from pipelines.detect.graph import keep_output  # other engines do without OpenVINO

        return keep_output(graph, self._position), YoloV8Seg(self.classes, 0, None)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer, last = outputs[self._position], 4 + self.classes
        found = self._boxes.decode([answer[:last]], min_score)
        if not self.masks or self._prototypes is None:
            return found
        cells = np.flatnonzero(answer[4:last].max(axis=0) >= min_score)
        return found._replace(coefficients=answer[last:, cells].T, prototypes=outputs[self._prototypes])
