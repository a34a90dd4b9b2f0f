"""YOLOv5, YOLOv7 and YOLOv3 with anchors: [B, 3 * cells, 5 + classes], objectness times class score.

Three boxes a cell, decoded by the graph: rows are centre x, centre y, width, height in input pixels,
objectness, then the classes. Segmentation has coefficients of masks behind the classes, and prototypes as
another output, which OpenVINO leaves out where nobody asked for masks. Older exports give the maps of each
level too, which are passed over.
Source: Ultralytics YOLOv5 (2020), `Detect` with export; Wang et al., "YOLOv7", arXiv 2207.02696.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pipelines.detect.heads.base import Candidates, Head, Signature
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.detect.heads.yolox import YoloXDecoded
from pipelines.values import Floats

ANCHORS = 3  # a cell, in all published weights


class YoloV5(YoloXDecoded):
    """`position` of its output among all, `prototypes` that of theirs, None where there are
    none; `masks`: whether it gives them."""

    name = "yolov5"
    pixels = YoloV8.pixels

    def __init__(self, classes: int, position: int, prototypes: int | None, masks: bool = False) -> None:
        self.classes, self._position, self._prototypes = classes, position, prototypes
        self.masks = masks

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
        if classes <= 0:
            return None
        return cls(classes, table[0], masks[0] if masks else None)

    def with_masks(self) -> Head | None:
        if self._prototypes is None:
            return None
        return YoloV5(self.classes, self._position, self._prototypes, masks=True)

    def prepare(self, graph: Any, size: tuple[int, int]) -> tuple[Any, Head] | None:  # noqa: ARG002
        if self.masks or self._prototypes is None:
            return None
        from pipelines.detect.graph import keep_output  # other engines do without OpenVINO

        return keep_output(graph, self._position), YoloV5(self.classes, 0, None)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer, last = outputs[self._position], 5 + self.classes
        found = super().decode([answer[:, :last]], min_score)
        if not self.masks or self._prototypes is None:
            return found
        cells, _, _ = self._best(answer[:, :last], min_score)
        return found._replace(coefficients=answer[cells, last:], prototypes=outputs[self._prototypes])
