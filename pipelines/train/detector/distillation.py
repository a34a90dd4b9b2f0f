"""A teacher that answers for every cell of a training picture, while it is made.

A YOLOX has the cells of the detector that is trained (strides 8, 16, 32), so that its answer to the very
picture that the net will see can be taught cell by cell: also what no label says, and how sure it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.detect.errors import ModelRefused
from pipelines.detect.graph import ov
from pipelines.detect.heads.base import centres
from pipelines.train.detector.dataset import CLASSES
from pipelines.values import Floats, Image

COCO_IDS = (0, 1, 2, 3, 5, 7)  # of CLASSES among the 80 of COCO
COLUMNS = 85  # x, y, width, height, objectness, 80 classes
MIN_SCORE = 0.02  # scores below are nothing


class Taught(NamedTuple):
    """scores (classes, cells) from 0 to 1 and boxes (cells, 4) xyxy in pixels of the picture."""

    scores: Floats
    boxes: Floats


class Teacher:
    """A raw YOLOX of COCO's classes at any size. Raises ModelRefused where `path` is something else."""

    def __init__(self, path: Path, size: int) -> None:
        try:
            core = ov.Core()
            model = core.read_model(str(path))
            model.reshape({model.inputs[0].any_name: [1, 3, size, size]})
            settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise ModelRefused(f"{path}: cannot be a teacher: {error}") from error
        self._x, self._y, self._stride = centres(size, size)
        shape = list(self._request.get_output_tensor(0).shape)
        if shape != [1, len(self._stride), COLUMNS]:
            raise ModelRefused(
                f"{path}: answers {shape} where a teacher gives [1, {len(self._stride)}, {COLUMNS}]: "
                "give a YOLOX of COCO's 80 classes whose boxes are not decoded"
            )

    def answer(self, image: Image) -> Taught:
        """`image` (size, size, 3) BGR, without a border of its own."""
        self._request.infer([np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)])
        rows = self._request.get_output_tensor(0).data[0]
        scores = (rows[:, 5:][:, COCO_IDS] * rows[:, 4:5]).T
        middle = (rows[:, :2] + np.stack((self._x, self._y), 1)) * self._stride[:, None]
        half = np.exp(rows[:, 2:4].clip(-10, 10)) * self._stride[:, None] / 2
        boxes = np.concatenate((middle - half, middle + half), 1)
        return Taught(np.where(scores >= MIN_SCORE, scores, 0.0).astype(np.float32), boxes.astype(np.float32))


def no_answers(count: int) -> tuple[Floats, Floats]:
    """What stands for the answers to `count` pictures where there is no teacher."""
    return np.zeros((count, len(CLASSES), 0), np.float32), np.zeros((count, 0, 4), np.float32)
