"""How people stand to each other in a picture, as a few values: of a detector's boxes, without tracks."""

from __future__ import annotations

import numpy as np

from pipelines.geometry import iou
from pipelines.values import Bools, Detections, Floats

GROUP = "person"
VALUES = 4
MAX_PEOPLE = 8  # people that are told apart; more are a crowd
MAX_DISTANCE = 4.0  # body heights; people further apart have nothing to do with each other


def layout_features(detections: Detections, persons: Bools, aspect: float) -> Floats:
    """(VALUES,). `aspect`: the image's width over height; `persons` (classes,): which class ids are of GROUP.

    | column | unit           | meaning                                                 |
    |--------|----------------|---------------------------------------------------------|
    | 0      |                | how many people there are, at most MAX_PEOPLE           |
    | 1      | IoU            | of the two that overlap most; 0 of fewer than two       |
    | 2      | body heights   | between the two nearest, at most MAX_DISTANCE           |
    | 3      | of the image   | height of the tallest                                   |
    """
    boxes = detections.boxes_xyxyn[
        persons[detections.class_ids] & (detections.scores >= detections.high_threshold)
    ]
    out: Floats = np.array([min(len(boxes), MAX_PEOPLE), 0.0, MAX_DISTANCE, 0.0], np.float32)
    if not len(boxes):
        return out
    high = boxes[:, 3] - boxes[:, 1]
    out[3] = high.max()
    if len(boxes) < 2:
        return out
    first, second = np.triu_indices(len(boxes), 1)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 * np.array([aspect, 1.0], np.float32)
    apart = np.hypot(*(middle[first] - middle[second]).T)
    out[1] = iou(boxes, boxes)[first, second].max()
    out[2] = min(MAX_DISTANCE, float((apart / ((high[first] + high[second]) / 2).clip(1e-3)).min()))
    return out
