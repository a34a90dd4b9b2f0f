"""Graphs that give the final boxes themselves: YOLOv10 and YOLO26, and Ultralytics' exports with nms=True.

One output [B, boxes, 6 + more]: left, top, right, bottom in input pixels, score, class; the rest are zeros.
More are coefficients of masks (with prototypes as another output, which OpenVINO leaves out where nobody
asked for masks), the joints of a pose (x and y in input pixels, and how sure each is to be seen), or an angle
in radians: the first four are then centre x, y, width and height. Their number tells no classes: these are as
many as are named.
Source: Wang et al., "YOLOv10: Real-Time End-to-End Object Detection", arXiv 2405.14458; Ultralytics (2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np

from pipelines.detect.errors import InvalidOutput
from pipelines.detect.heads.base import (
    Candidates,
    Head,
    Signature,
    check_class_ids,
    check_scores,
)
from pipelines.detect.heads.yolov8 import YoloV8
from pipelines.detect.heads.yolov8_obb import upright
from pipelines.detect.heads.yolov8_pose import exported_joints
from pipelines.detect.labels import COCO_80
from pipelines.skeleton import MAX_JOINTS, MIN_JOINTS
from pipelines.values import Floats

PLAIN = 6  # columns of a box
USUAL_JOINTS = 17
LEAST_PIXELS = 2.0  # boxes of a whole table that reach no further are no pixels


class EndToEnd(Head):
    """`values` a joint: 3, or 2 where the model says of none how sure it is."""

    name = "end-to-end"
    pixels = YoloV8.pixels
    classes_in_shape = False
    suppressed = True

    def __init__(self, model: Signature, position: int, joints: int = 0, values: int = 3) -> None:
        self.joints, self._values, self._position = joints, values, position
        self.classes = model.classes or (1 if joints else len(COCO_80))
        self._prototypes = model.prototypes[0] if model.prototypes else None

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        table = model.table()
        if table is None or model.task == "obb" or model.says("rtdetr"):
            return None
        if not model.end_to_end and ("end2end" in model.metadata or table[1] == model.cells()):
            return None  # said not to be one; or rather a YOLOX of one class
        return cls.match_named(model)

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        table = model.table()
        if table is None:
            return None
        position, _, columns = table
        more = columns - PLAIN - (model.prototypes[1] if model.prototypes else 0)
        if more == 0:
            return cls(model, position)
        joints, values = exported_joints(model) or (more // 3 if model.joints else USUAL_JOINTS, 3)
        fits = more == joints * values and MIN_JOINTS <= joints <= MAX_JOINTS
        return cls(model, position, joints, values) if fits else None

    def with_masks(self) -> Head | None:
        if self._prototypes is None:
            return None
        head = copy(self)
        head.masks = True
        return head

    def prepare(self, graph: Any, size: tuple[int, int]) -> tuple[Any, Head] | None:  # noqa: ARG002
        if self.masks or self._prototypes is None:
            return None
        from pipelines.detect.graph import keep_output  # other engines do without OpenVINO

        head = copy(self)
        head._position, head._prototypes = 0, None
        return keep_output(graph, self._position), head

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        rows = outputs[self._position]
        check_scores(float(rows[:, 4].max(initial=0.0)))
        rows = rows[rows[:, 4] >= min_score]
        class_ids = check_class_ids(rows[:, 5], self.classes)
        found = Candidates(rows[:, :4], rows[:, 4], class_ids, self._joints(rows))
        if not self.masks or self._prototypes is None:
            return found
        coefficients = rows[:, PLAIN + self.joints * self._values :]
        return found._replace(coefficients=coefficients, prototypes=outputs[self._prototypes])

    def check(self, outputs: Sequence[Floats]) -> None:
        """Raises InvalidOutput where the table holds boxes, and none of them could be in pixels."""
        reach = float(np.abs(outputs[self._position][:, :4]).max(initial=0.0))
        if 0.0 < reach < LEAST_PIXELS:
            raise InvalidOutput("boxes in shares of the picture, not in pixels (head: rtdetr?)")

    def _joints(self, rows: Floats) -> Floats | None:
        if not self.joints:
            return None
        joints: Floats = np.ones((len(rows), self.joints, 3), np.float32)
        columns = rows[:, PLAIN : PLAIN + self.joints * self._values]
        joints[..., : self._values] = columns.reshape(len(rows), self.joints, self._values)
        return joints


class EndToEndObb(Head):
    """Of boxes at an angle."""

    name = "end-to-end-obb"
    pixels = YoloV8.pixels
    classes_in_shape = False
    suppressed = True

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @classmethod
    def match(cls, model: Signature) -> Self | None:
        return cls.match_named(model) if model.task == "obb" else None

    @classmethod
    def match_named(cls, model: Signature) -> Self | None:
        table = model.table()
        fits = table is not None and len(model.outputs) == 1 and table[2] == PLAIN + 1
        return cls(model.classes or len(COCO_80)) if fits else None

    def decode(self, outputs: Sequence[Floats], min_score: float) -> Candidates:
        rows = outputs[0]
        check_scores(float(rows[:, 4].max(initial=0.0)))
        rows = rows[rows[:, 4] >= min_score]
        class_ids = check_class_ids(rows[:, 5], self.classes)
        rotated = rows[:, [0, 1, 2, 3, 6]]
        return Candidates(upright(rotated), rows[:, 4], class_ids, rotated=rotated)
