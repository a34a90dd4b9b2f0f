"""What one camera keeps of a detector's boxes: wanted classes, minimum score and size, masks."""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.spec import CameraRules
from pipelines.values import Bools, Detections, Floats, Labels

MASK_SIDE = 256  # cells of a mask's raster along each side: 0.4 % of the picture


class DetectionFilter:
    """Built once a change of rules, applied to every frame.

    Raises ValueError when the rules name a class or group that the model does not have.
    """

    def __init__(self, rules: CameraRules, labels: Labels) -> None:
        self._wanted = class_mask(rules.classes, labels)
        known = len(labels.names)
        self._min_score = np.zeros(known, np.float32)
        self._min_size: Floats = np.zeros((known, 2), np.float32)
        for name, limit in rules.limits.items():
            chosen = class_mask((name,), labels)
            if limit.min_score is not None:
                self._min_score[chosen] = limit.min_score
            self._min_size[chosen] = (limit.min_width, limit.min_height)
        self._masks = [(class_mask(m.classes, labels), _raster(m.points)) for m in rules.masks]
        self._plain = bool(self._wanted.all()) and not rules.limits and not rules.masks

    def apply(self, found: Detections) -> Detections:
        if self._plain or not len(found):
            return found
        ids = found.class_ids
        boxes = found.boxes_xyxyn
        size = boxes[:, 2:] - boxes[:, :2]
        keep = self._wanted[ids] & (found.scores >= self._min_score[ids])
        keep &= (size >= self._min_size[ids]).all(axis=1)
        if self._masks:
            cells = ((boxes[:, :2] + boxes[:, 2:]) * (0.5 * MASK_SIDE)).astype(np.int32)
            cells = cells.clip(0, MASK_SIDE - 1)
            for chosen, raster in self._masks:
                keep &= ~(chosen[ids] & raster[cells[:, 1], cells[:, 0]])
        return found if keep.all() else found.take(keep)


def class_mask(wanted: tuple[str, ...], labels: Labels) -> Bools:
    """(C,) bool: the class ids that `wanted` names by class or group; all when it names none.

    Raises ValueError for a name that is neither, with what there is.
    """
    if not wanted:
        return np.ones(len(labels.names), np.bool_)
    mask = np.zeros(len(labels.names), np.bool_)
    for name in wanted:
        hit = [i for i, pair in enumerate(zip(labels.names, labels.groups, strict=True)) if name in pair]
        if not hit:
            groups = ", ".join(dict.fromkeys(labels.groups))
            shown = groups if len(groups) < 200 else groups[:200] + "…"
            raise ValueError(f"class {name!r} is not one of this model's classes or groups ({shown})")
        mask[hit] = True
    return mask


def _raster(points: tuple[tuple[float, float], ...]) -> Bools:
    canvas = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    corners = np.round(np.array(points) * (MASK_SIDE - 1)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 1)
    return canvas.astype(np.bool_)
