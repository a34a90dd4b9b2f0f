"""YOLOv8-seg, YOLO11-seg and YOLO26-seg: as their detectors, with coefficients of masks below the scores.

Outputs [B, 4 + classes + masks, cells] and prototypes [B, masks, h, w]. Boxes alone are read: nothing here
uses a mask, and OpenVINO leaves out what computes the prototypes. Source: Ultralytics YOLOv8 (2023),
`Segment` with export; prototypes: Bolya et al., "YOLACT", arXiv 1904.02689.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pipelines.detect.heads.base import Candidates, Head, Signature
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.values import Floats


class YoloV8Seg(Head):
    """`position` of its output among all."""

    name = "yolov8-seg"
    pixels = YoloV8.pixels

    def __init__(self, classes: int, position: int) -> None:
        self.classes, self._position = classes, position
        self._boxes = YoloV8(classes)

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        table, masks = model.table(), model.prototypes
        if table is None or masks is None or model.levels(table[2]) is None:
            return None
        classes = table[1] - 4 - masks[1]
        return cls(classes, table[0]) if classes > 0 else None

    def prepare(self, graph: Any, size: tuple[int, int]) -> tuple[Any, Head] | None:  # noqa: ARG002
        from pipelines.detect.graph import keep_output  # other engines do without OpenVINO

        return keep_output(graph, self._position), YoloV8Seg(self.classes, 0)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        return self._boxes.decode([outputs[self._position][: 4 + self.classes]], min_score)
