"""Suppression of boxes that show the same object, within groups of classes."""

from __future__ import annotations

import numpy as np

from pipelines.values import Floats, Ints, Longs

_MATRIX_LIMIT = 300  # boxes; beyond, a matrix of all pairs costs more than a row for each kept box


def suppress(boxes_xyxy: Floats, scores: Floats, group_ids: Ints, iou: float) -> Longs:
    """Greedy non-maximum suppression: positions of the kept boxes, highest score first.

    boxes_xyxy (N, 4), scores (N,), group_ids (N,): a box goes if it overlaps a kept one of its own group by
    more than `iou` (intersection over union). Equal scores: the earlier position wins.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order
    x1, y1, x2, y2 = _spread(boxes_xyxy[order], group_ids[order])
    area = (x2 - x1) * (y2 - y1)
    if len(order) <= _MATRIX_LIMIT:
        return order[_greedy_matrix(x1, y1, x2, y2, area, iou)]
    return order[_greedy_rows(x1, y1, x2, y2, area, iou)]


def _spread(boxes: Floats, group_ids: Ints) -> tuple[Floats, Floats, Floats, Floats]:
    """Move each group to a place of its own, so that boxes of two groups never overlap."""
    x1, y1, x2, y2 = boxes.astype(np.float64).T  # float64: an offset must not round a box
    shift = group_ids * (float(x2.max()) - float(x1.min()) + 1.0)
    return x1 + shift, y1, x2 + shift, y2


def _greedy_matrix(x1: Floats, y1: Floats, x2: Floats, y2: Floats, area: Floats, iou: float) -> list[int]:
    wide = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    high = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    inner = wide.clip(0.0, out=wide) * high.clip(0.0, out=high)
    over = inner > iou * (area[:, None] + area - inner)
    gone = np.zeros(len(area), np.bool_)
    kept = []
    for i in range(len(area)):
        if not gone[i]:
            kept.append(i)
            gone |= over[i]
    return kept


def _greedy_rows(x1: Floats, y1: Floats, x2: Floats, y2: Floats, area: Floats, iou: float) -> list[int]:
    left = np.arange(len(area))
    kept = []
    while len(left):
        i, left = left[0], left[1:]
        kept.append(int(i))
        wide = np.minimum(x2[i], x2[left]) - np.maximum(x1[i], x1[left])
        high = np.minimum(y2[i], y2[left]) - np.maximum(y1[i], y1[left])
        inner = wide.clip(0.0) * high.clip(0.0)
        left = left[inner <= iou * (area[i] + area[left] - inner)]
    return kept
