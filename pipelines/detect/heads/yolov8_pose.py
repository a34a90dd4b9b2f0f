"""YOLOv8-pose and YOLO11-pose: as their detectors, and below the class scores the joints of each box.

One output [B, 4 + classes + joints * values, cells]: of each joint x and y in input pixels and, with three
values, how sure it is to be seen, 0 to 1; all decoded by the graph. Source: Ultralytics YOLOv8 (2023),
`Pose` with export; the joints are COCO's (Lin et al., 2014) in the published weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from pipelines.detect.heads.base import Candidates, Head, Signature
from pipelines.detect.heads.signature import literal
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.skeleton import MAX_JOINTS, MIN_JOINTS
from pipelines.values import Floats

USUAL = (17, 15, 13)  # joints of a model that says nothing of itself


class YoloV8Pose(Head):
    """`values` a joint: 3, or 2 where the model says of none how sure it is."""

    name = "yolov8-pose"
    pixels = YoloV8.pixels

    def __init__(self, classes: int, joints: int, values: int = 3) -> None:
        self.classes, self.joints, self._values = classes, joints, values
        self._boxes = YoloV8(classes)

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        """By the model's own words where it has any; else a person's box with 17, 15 or 13 joints."""
        rows = _rows(model)
        if not rows:
            return None
        shape = exported_joints(model)
        if shape is not None:
            return cls._of(rows, rows - 4 - shape[0] * shape[1], *shape)
        if model.classes:
            return cls._of(rows, model.classes, (rows - 4 - model.classes) // 3)
        joints = next((n for n in (model.joints, *USUAL) if n and rows == 5 + 3 * n), 0)
        return cls._of(rows, 1, joints)

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        """Where the sidecar says that it is one: any number of joints."""
        matched, rows = cls.match(model), _rows(model)
        return matched or cls._of(rows, model.classes or 1, (rows - 4 - (model.classes or 1)) // 3)

    @classmethod
    def _of(cls, rows: int, classes: int, joints: int, values: int = 3) -> Self | None:
        if classes < 1 or not MIN_JOINTS <= joints <= MAX_JOINTS or rows != 4 + classes + joints * values:
            return None
        return cls(classes, joints, values)

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        answer = outputs[0]  # (4 + classes + joints * values, cells)
        last = 4 + self.classes
        best = answer[4:last].max(axis=0)
        found = self._boxes.decode([answer[:last]], min_score)
        cells = np.flatnonzero(best >= min_score)
        joints: Floats = np.ones((len(cells), self.joints, 3), np.float32)
        joints[..., : self._values] = answer[last:, cells].T.reshape(len(cells), self.joints, self._values)
        return found._replace(keypoints=joints)


def _rows(model: Signature) -> int:
    """Rows of the one output, 0 where the model has another form."""
    if len(model.outputs) != 1 or len(model.outputs[0]) != 3:
        return 0
    _, rows, cells = model.outputs[0]
    return rows if rows is not None and model.levels(cells) is not None else 0


def exported_joints(model: Signature) -> tuple[int, int] | None:
    """(joints, values) as Ultralytics writes them, "[17, 3]"."""
    shape = literal(model.metadata, "kpt_shape")
    if isinstance(shape, (list, tuple)) and len(shape) == 2 and shape[1] in (2, 3):
        return (int(shape[0]), int(shape[1])) if isinstance(shape[0], int) else None
    return None
