"""RT-DETR, RT-DETRv2, D-FINE and DEIM as their own projects export them: labels, boxes and scores, batched.

labels [B, boxes] of whole numbers, boxes [B, boxes, 4] as left, top, right, bottom, scores [B, boxes]. A
second input `orig_target_sizes` (width, height) says in which pixels the boxes are wanted: those of the
input. Nothing is suppressed. How many classes there are stands nowhere: as many as are named.
Source: Zhao et al., RT-DETR, arXiv 2304.08069; Peng et al., D-FINE, arXiv 2410.13842 (`export_onnx.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from pipelines.detect.heads.base import Candidates, Head, Signature, check_class_ids, check_scores
from pipelines.detect.labels import COCO_80
from pipelines.detect.letterbox import Pixels
from pipelines.values import Floats


class Dfine(Head):
    """Positions of `labels`, `boxes` and `scores` among the outputs."""

    name = "dfine"
    pixels = Pixels(rgb=True, std=(255.0, 255.0, 255.0), stretched=True)
    classes_in_shape = False
    suppressed = True
    exact = True

    def __init__(self, classes: int, labels: int, boxes: int, scores: int) -> None:
        self.classes = classes
        self._labels, self._boxes, self._scores = labels, boxes, scores

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        places = boxes_labels_scores(model, batched=True)
        return None if places is None else cls(model.classes or len(COCO_80), *places)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        boxes, scores, class_ids = outputs[self._boxes], outputs[self._scores], outputs[self._labels]
        check_scores(float(scores.max(initial=0.0)))
        rows = np.flatnonzero(scores >= min_score)
        return Candidates(boxes[rows], scores[rows], check_class_ids(class_ids[rows], self.classes))


def boxes_labels_scores(model: Signature, *, batched: bool) -> tuple[int, int, int] | None:
    """Positions of labels, boxes and scores, of the first of each kind; None where one is missing."""
    axes = 2 if batched else 1
    kinds = list(zip(model.outputs, model.integers, strict=True)) if model.integers else []
    labels = [i for i, (shape, whole) in enumerate(kinds) if whole and len(shape) == axes]
    scores = [i for i, (shape, whole) in enumerate(kinds) if not whole and len(shape) == axes]
    boxes = [i for i, (s, whole) in enumerate(kinds) if not whole and len(s) == axes + 1 and s[-1] == 4]
    return (labels[0], boxes[0], scores[0]) if labels and boxes and scores else None
