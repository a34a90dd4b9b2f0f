"""YOLOv5, YOLOv7 and YOLOv3 with anchors: [B, 3 * cells, 5 + classes], objectness times class score.

Three boxes a cell, decoded by the graph: rows are centre x, centre y, width, height in input pixels,
objectness, then the classes. Segmentation has coefficients of masks behind the classes, and prototypes as
another output: boxes alone are read. Older exports give the maps of each level too, which are passed over.
Source: Ultralytics YOLOv5 (2020), `Detect` with export; Wang et al., "YOLOv7", arXiv 2207.02696.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pipelines.detect.heads.base import Candidates, Signature
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.detect.heads.yolox import YoloXDecoded
from pipelines.values import Floats

ANCHORS = 3  # a cell, in all published weights


class YoloV5(YoloXDecoded):
    """`position` of its output among all."""

    name = "yolov5"
    pixels = YoloV8.pixels

    def __init__(self, classes: int, position: int) -> None:
        self.classes, self._position = classes, position

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        return cls.match_named(model)

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        table = model.table()
        if table is None or table[1] % ANCHORS or model.levels(table[1] // ANCHORS) is None:
            return None
        masks = model.prototypes
        classes = table[2] - 5 - (masks[1] if masks else 0)
        return cls(classes, table[0]) if classes > 0 else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        return super().decode([outputs[self._position][:, : 5 + self.classes]], min_score)
