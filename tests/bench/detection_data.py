"""Pedestrians with true boxes (PETS09-S2L1 of the corpus), and how detections are scored against them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pipelines.values import Detections, Floats, Frame, Image, Stamp

CLIP = "videos/pets09-s2l1.avi"
TRUTH = "mot/MOT15/PETS09-S2L1/gt.txt"
FRAME_NS = 100_000_000  # 10 fps
SCALE = 0.625  # truth was drawn at 768x576, the clip has 480x360
MATCH_IOU = 0.5


def images(clip: Path, every: int = 1, first: int = 0) -> Iterator[tuple[int, Image]]:
    """(index from 0, picture) of every n-th frame from `first`, below n, on."""
    capture = cv2.VideoCapture(str(clip))
    index = 0
    while capture.grab():
        if index % every == first:
            good, image = capture.retrieve()
            if not good:
                raise ValueError(f"{clip}: frame {index} cannot be decoded")
            yield index, np.asarray(image, np.uint8)
        index += 1
    capture.release()


def frame(image: Image, index: int = 0, camera: str = "bench") -> Frame:
    return Frame(Stamp(camera, 1, index, index * FRAME_NS, 0, 0), image)


def truth_xyxy(path: Path) -> dict[int, Floats]:
    """Frame index from 0 -> (N, 4) boxes in pixels of the clip."""
    rows = np.loadtxt(path, delimiter=",")
    boxes: dict[int, Floats] = {}
    for number in np.unique(rows[:, 0]).astype(int):
        left, top, wide, high = (rows[rows[:, 0] == number, 2:6] * SCALE).T
        boxes[number - 1] = np.stack((left, top, left + wide, top + high), axis=1).astype(np.float32)
    return boxes


class Score:
    """Hits, misses and false boxes, matched greedily by score at IoU 0.5, each true box once."""

    def __init__(self) -> None:
        self.hits = self.false = self.missed = 0

    def add(self, found: Detections, true_xyxy: Floats, width: int, height: int) -> None:
        boxes = found.boxes_xyxyn * np.array([width, height, width, height], np.float32)
        free = np.ones(len(true_xyxy), np.bool_)
        for i in np.argsort(-found.scores, kind="stable"):
            overlap = np.where(free, _iou(boxes[i], true_xyxy), 0.0)
            best = int(overlap.argmax()) if len(overlap) else -1
            if best >= 0 and overlap[best] >= MATCH_IOU:
                free[best] = False
                self.hits += 1
            else:
                self.false += 1
        self.missed += int(free.sum())

    @property
    def precision(self) -> float:
        return self.hits / max(1, self.hits + self.false)

    @property
    def recall(self) -> float:
        return self.hits / max(1, self.hits + self.missed)


def _iou(box: Floats, others: Floats) -> Floats:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    inner = (high - low).clip(0.0).prod(axis=1)
    area = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    overlap: Floats = inner / (area - inner)
    return overlap
