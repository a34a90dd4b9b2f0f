"""What one camera keeps of a detector's boxes: wanted classes, minimum score and size, masks."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.camera_rules import CameraRules
from pipelines.values import Bools, Detections, Floats, Labels

MASK_SIDE = 256  # cells of a mask's raster along each side: 0.4 % of the picture


class DetectionFilter:
    """Built once a change of rules, applied to every frame.

    Raises ValueError when the rules name a class or group that the model does not have.
    """

    def __init__(self, rules: CameraRules, labels: Labels) -> None:
        class_count = len(labels.names)
        self._min_score: Floats = np.zeros(
            class_count, np.float32
        )  # by class id; infinite where none is wanted
        self._min_size: Floats = np.zeros((class_count, 2), np.float32)
        for name, limit in rules.limits.items():
            chosen = labels.mask((name,))
            if limit.min_score is not None:
                self._min_score[chosen] = limit.min_score
            self._min_size[chosen] = (limit.min_width, limit.min_height)
        self._min_score[~labels.mask(rules.classes)] = np.inf
        self._by_score = bool(self._min_score.any())
        self._by_size = bool(self._min_size.any())
        self._masks = [(labels.mask(m.classes), _raster(m.points)) for m in rules.masks]

    def apply(self, detections: Detections) -> Detections:
        return self._apply(detections, self._min_score)

    def apply_to_low_confidence(self, low_confidence: Detections) -> Detections:
        """Likewise to boxes whose score and class are not believed."""
        return self._apply(low_confidence, np.zeros_like(self._min_score))

    def _apply(self, detections: Detections, min_score: Floats) -> Detections:
        if not (self._by_score or self._by_size or self._masks) or not len(detections):
            return detections
        ids = detections.class_ids
        boxes = detections.boxes_xyxyn
        keep = detections.scores >= min_score[ids]
        if self._by_size:
            keep &= (boxes[:, 2:] - boxes[:, :2] >= self._min_size[ids]).all(axis=1)
        if self._masks:
            cells = ((boxes[:, :2] + boxes[:, 2:]) * (0.5 * MASK_SIDE)).astype(np.int32)
            cells = cells.clip(0, MASK_SIDE - 1)
            for chosen, raster in self._masks:
                keep &= ~(chosen[ids] & raster[cells[:, 1], cells[:, 0]])
        return detections if keep.all() else detections.take(keep)


def _raster(points: tuple[tuple[float, float], ...]) -> Bools:
    canvas = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    corners = np.round(np.array(points) * (MASK_SIDE - 1)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 1)
    return canvas.astype(np.bool_)
