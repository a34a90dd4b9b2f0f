"""SSD, RetinaNet, FCOS and Faster R-CNN as exported by torchvision: boxes, labels and scores of one picture.

boxes [N, 4] as left, top, right, bottom in input pixels, labels [N] of whole numbers, scores [N], in any
order; the graph normalises and suppresses by itself. Label 0 is the background: the first class named is
label 1. Masks and keypoints behind them are passed over. How many classes there are stands nowhere: as many
as are named, else the 90 of COCO's annotations.
Source: torchvision, `models.detection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from pipelines.detect.heads.base import Candidates, Head, Signature, check_class_ids, check_scores
from pipelines.detect.heads.dfine import boxes_labels_scores
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.detect.labels import COCO_91
from pipelines.values import Floats

BACKGROUND = 1  # labels before the first class


class TorchVision(Head):
    """Positions of `labels`, `boxes` and `scores` among the outputs."""

    name = "torchvision"
    pixels = YoloV8.pixels
    usual_names = COCO_91[BACKGROUND:]
    classes_in_shape = False
    suppressed = True
    exact = True
    batched = False

    def __init__(self, classes: int, labels: int, boxes: int, scores: int) -> None:
        self.classes = classes
        self._labels, self._boxes, self._scores = labels, boxes, scores

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        places = boxes_labels_scores(model, batched=False)
        return None if places is None else cls(model.classes or len(cls.usual_names), *places)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        boxes, scores, labels = outputs[self._boxes], outputs[self._scores], outputs[self._labels]
        check_scores(float(scores.max(initial=0.0)))
        rows = np.flatnonzero((scores >= min_score) & (labels >= BACKGROUND))
        class_ids = check_class_ids(labels[rows] - BACKGROUND, self.classes)
        return Candidates(boxes[rows], scores[rows], class_ids)
