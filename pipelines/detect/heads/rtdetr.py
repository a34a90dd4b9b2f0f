"""RT-DETR as Ultralytics exports it: one output [B, queries, 4 + classes], or [B, boxes, 6] since 8.4.

Rows are centre x, centre y, width, height as shares of the input, then a score a class, 0 to 1; or the score
and the class of the best. A query is one object: nothing is suppressed. The picture fills the whole input, as
in training. Source: Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", arXiv 2304.08069.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from pipelines.detect.errors import InvalidOutput, ModelRefused
from pipelines.detect.heads.base import (
    Candidates,
    Head,
    Signature,
    best_of,
    check_class_ids,
    check_scores,
    corners,
)
from pipelines.detect.labels import COCO_80
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats, Ints

MAX_SHARE = 4.0  # of the picture, that a box reaches
CHOSEN = 6  # columns where the graph has chosen each box's class


class RtDetr(Head):
    """`chosen`: its rows hold the score and the class of a box, not the scores of all classes."""

    name = "rtdetr"
    pixels = Pixels(rgb=True, std=(255.0, 255.0, 255.0), stretched=True)
    suppressed = True
    exact = True

    def __init__(self, model: Signature, classes: int, chosen: bool = False) -> None:
        self.classes, self._chosen = classes, chosen
        self._scale = np.array([model.width, model.height] * 2, np.float32)

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        columns = _columns(model)
        if model.says("rtdetr") or (columns == CHOSEN and _says_not_final(model)):
            return cls.match_named(model)
        if model.end_to_end:
            return None
        if columns == CHOSEN and model.classes == CHOSEN - 4:
            raise ModelRefused(
                f"two heads fit this model ({model}): say `head: end-to-end` (boxes by their corners, in "
                "pixels) or `head: rtdetr` in its sidecar"
            )
        return cls(model, columns - 4) if columns - 4 == (model.classes or len(COCO_80)) else None

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        columns = _columns(model)
        if columns == CHOSEN and (model.classes != CHOSEN - 4 or _says_not_final(model)):
            return cls(model, model.classes or len(COCO_80), chosen=True)
        return cls(model, columns - 4) if columns > 4 else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer = outputs[0]
        rows, scores, class_ids = self._best(answer, min_score)
        return Candidates(corners(answer[rows, :4] * self._scale), scores, class_ids)

    def check(self, outputs: Sequence[Floats]) -> None:
        """Raises InvalidOutput where boxes are no shares of the picture."""
        if float(np.abs(outputs[0][:, :4]).max(initial=0.0)) > MAX_SHARE:
            raise InvalidOutput("boxes in pixels, not in shares of the picture (head: end-to-end?)")

    def _best(self, answer: Floats, min_score: float) -> tuple[Any, Floats, Ints]:
        if not self._chosen:
            return best_of(answer[:, 4:], min_score)
        check_scores(float(answer[:, 4].max(initial=0.0)))
        rows = np.flatnonzero(answer[:, 4] >= min_score)
        return rows, answer[rows, 4], check_class_ids(answer[rows, 5], self.classes)


def _columns(model: Signature) -> int:
    """Columns of the one output; 0 where the model has another form."""
    table = model.table()
    if table is None or len(model.outputs) != 1 or table[1] == model.cells():
        return 0
    if model.levels(table[2]) is not None and not model.says("rtdetr"):
        return 0  # cells of a YOLO
    return table[2]


def _says_not_final(model: Signature) -> bool:
    """Whether it is of an Ultralytics that tells (8.4), and says that its boxes are not final ones."""
    return "end2end" in model.metadata and not model.end_to_end
