"""Batches for the training loop: samples in order of their number, collated and padded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from pipelines.train.detector.augment import Augmenter, TrainingSample
from pipelines.train.detector.distillation import Teacher, no_answers
from pipelines.train.detector.loss import BatchLabels
from pipelines.values import Floats

MAX_BOXES, MAX_IGNORED = 80, 60  # a picture; what is beyond is ignored, respectively forgotten
Arrays = tuple[Tensor, ...]  # pictures, then the arrays of a BatchLabels


class _Numbered(TorchDataset[Arrays]):
    """Batch k of `batch` samples from `first` on, all of `size` pixels; collated where it is made."""

    def __init__(
        self, augmenter: Augmenter, first: int, batch: int, size: int, count: int, teacher: Path | None
    ) -> None:
        self._augmenter, self._first, self._batch = augmenter, first, batch
        self._size, self._count, self._path = size, count, teacher
        self._teacher: Teacher | None = None  # opened by the process that asks it

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, k: int) -> Arrays:
        cv2.setNumThreads(1)
        if self._path is not None and self._teacher is None:
            self._teacher = Teacher(self._path, self._size)
        start = self._first + k * self._batch
        samples = [self._augmenter.sample(start + i, self._size) for i in range(self._batch)]
        return collate(samples, self._teacher)


def batches(
    augmenter: Augmenter,
    first: int,
    batch: int,
    size: int,
    count: int,
    workers: int,
    teacher: Path | None = None,
) -> Iterator[tuple[Tensor, BatchLabels]]:
    """`count` batches: pictures (B, 3, S, S) uint8 RGB and their truth, beginning with sample `first`."""
    loader = DataLoader(
        _Numbered(augmenter, first, batch, size, count, teacher),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    for pictures, *truth in loader:
        yield pictures, BatchLabels(*truth)


def collate(samples: list[TrainingSample], teacher: Teacher | None = None) -> Arrays:
    """Pictures (B, 3, S, S) uint8 RGB, then the arrays of a BatchLabels."""
    stack = np.stack([sample.image[..., ::-1].transpose(2, 0, 1) for sample in samples])
    objects = [sample.labels.objects() for sample in samples]
    areas = []
    for sample, own in zip(samples, objects, strict=True):
        keep = sample.labels.ignore != 0
        boxes, bits = sample.labels.boxes[keep], sample.labels.ignore[keep]
        if len(own) > MAX_BOXES:
            boxes = np.concatenate((own.boxes[MAX_BOXES:], boxes))
            bits = np.concatenate((1 << own.classes[MAX_BOXES:], bits))
        areas.append((boxes, bits))
    most = min(MAX_BOXES, max(len(x) for x in objects))
    widest = min(MAX_IGNORED, max(len(bits) for _, bits in areas))
    count = len(samples)
    boxes, classes = np.zeros((count, most, 4), np.float32), np.full((count, most), -1, np.int64)
    ignored, ignored_bits = np.zeros((count, widest, 4), np.float32), np.zeros((count, widest), np.int64)
    for i, (own, (area_boxes, bits)) in enumerate(zip(objects, areas, strict=True)):
        n, m = min(len(own), most), min(len(bits), widest)
        boxes[i, :n], classes[i, :n] = own.boxes[:n], own.classes[:n]
        ignored[i, :m], ignored_bits[i, :m] = area_boxes[:m], bits[:m]
    taught = _ask(teacher, samples) if teacher is not None else no_answers(count)
    arrays = (np.ascontiguousarray(stack), boxes, classes, ignored, ignored_bits, *taught)
    return tuple(torch.from_numpy(array) for array in arrays)


def _ask(teacher: Teacher, samples: list[TrainingSample]) -> tuple[Floats, Floats]:
    """(B, classes, cells) scores and (B, cells, 4) boxes."""
    answers = [teacher.answer(sample.clean) for sample in samples]
    return np.stack([a.scores for a in answers]), np.stack([a.boxes for a in answers])
