"""Suppression of boxes that show the same object, within groups of classes.

Boxes that stand at an angle: Llerena et al., "Gaussian Bounding Boxes and Probabilistic Intersection-over-
Union for Object Detection", arXiv 2106.06072, and fast suppression of Bolya et al., "YOLACT", arXiv
1904.02689, both as Ultralytics has them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.values import Floats, Ints, Longs

_SMALL = 1e-7  # as Ultralytics has it: no division by zero, no logarithm of it
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


def suppress_other_classes(
    boxes_xyxy: Floats, scores: Floats, class_ids: Ints, group_ids: Ints, iou: float
) -> Longs:
    """Of boxes that are final within their classes: positions of those kept, highest score first.

    A box goes if it overlaps a kept one of another class of its group by more than `iou`: a van seen as car
    and as truck.
    """
    order: Longs = np.argsort(-scores, kind="stable")
    if len(np.unique(class_ids)) == len(np.unique(group_ids)):
        return order
    kept: list[int] = []
    for i in order:
        rivals = [k for k in kept if group_ids[k] == group_ids[i] and class_ids[k] != class_ids[i]]
        if not rivals or not (_overlaps(boxes_xyxy[i], boxes_xyxy[rivals]) > iou).any():
            kept.append(int(i))
    return np.array(kept, np.int64)


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box (4,) with others (N, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    overlap: Floats = shared / np.maximum(areas - shared, _TINY)
    return overlap


def suppress_rotated(rotated: Floats, scores: Floats, group_ids: Ints, iou: float) -> Longs:
    """Positions of the kept boxes (N, 5) of centre x, y, width, height, angle in radians, highest score
    first. A box goes if one of its group with a higher score, kept or not, overlaps it by more than `iou`.
    """
    order: Longs = np.argsort(-scores, kind="stable")
    boxes, groups = rotated[order].astype(np.float64), group_ids[order]
    gone = np.zeros(len(order), np.bool_)
    spread = _covariances(boxes)
    for i in range(len(order) - 1):
        same = groups[i + 1 :] == groups[i]
        alike = _probiou(boxes[i], spread[i], boxes[i + 1 :], spread[i + 1 :]) > iou
        gone[i + 1 :] |= same & alike
    return order[~gone]


def _covariances(boxes: Any) -> Any:
    """(N, 3) of each box as a Gaussian: variance along x, along y, and their covariance."""
    wide, high = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along_x, along_y = wide * cos**2 + high * sin**2, wide * sin**2 + high * cos**2
    return np.stack((along_x, along_y, (wide - high) * cos * sin), axis=1)


def _probiou(box: Any, spread: Any, others: Any, spreads: Any) -> Any:
    """1 less the Hellinger distance of one Gaussian to others."""
    a, b, c = (spread + spreads).T
    x, y = (others[:, :2] - box[:2]).T
    both = a * b - c**2 + _SMALL
    apart = (a * y**2 + b * x**2) / both / 4 - c * x * y / both / 2
    own = (spread[0] * spread[1] - spread[2] ** 2).clip(0)
    each = (spreads[:, 0] * spreads[:, 1] - spreads[:, 2] ** 2).clip(0)
    shape = np.log((a * b - c**2) / (4 * np.sqrt(own * each) + _SMALL) + _SMALL) / 2
    distance = (apart + shape).clip(_SMALL, 100.0)
    return 1.0 - np.sqrt(1.0 - np.exp(-distance) + _SMALL)
