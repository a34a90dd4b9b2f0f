"""Suppression of boxes that show the same object, within groups of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.values import Floats, Ints, Longs

_TINY = np.float32(1e-30)  # OpenCV wants scores above 0; any other score stays what it is


def suppress(boxes_xyxy: Floats, scores: Floats, group_ids: Ints, iou: float) -> Longs:
    """Greedy non-maximum suppression: positions of the kept boxes, highest score first.

    boxes_xyxy (N, 4), scores (N,) of 0 or more, group_ids (N,): a box goes if it overlaps a kept one of its
    own group by more than `iou` (intersection over union). Equal scores: the earlier position wins. A box
    without area suppresses none that has one, and may itself be kept or not.
    """
    if not len(scores):
        return np.zeros(0, np.int64)
    import cv2  # here: who only reads the cards of models needs none

    nms: Any = cv2.dnn.NMSBoxesBatched  # takes arrays too, and far faster, which its stubs do not say
    boxes = boxes_xyxy.astype(np.float64)  # OpenCV moves each group to a place of its own, right of all
    boxes -= boxes.min()  # others if x is 0 or more; in float64 that rounds no box
    boxes[:, 2:] -= boxes[:, :2]
    return np.asarray(nms(boxes, scores + _TINY, group_ids, 0.0, iou), np.int64)
