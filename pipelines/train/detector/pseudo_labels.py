"""Labels by agreement: two models of different make look at a picture, and only what both see is an object.

Both see it (same group, IoU at least AGREE_IOU): an object. One alone does: unknown, an area to ignore.
Neither: background. This is distillation by pseudo-labels (Lee, 2013) with agreement in place of a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.detect.detector import Detector
from pipelines.detect.labels import group_of
from pipelines.detect.nms import suppress
from pipelines.train.detector.dataset import CLASSES, Labelled, bits_of
from pipelines.values import Floats, Frame, Image, Ints, Stamp

MIN_SCORE = 0.25  # score from which one teacher's box makes an area to ignore
SURE, SURE_SUM = 0.35, 0.85  # scores of each and of both together that make an object
AGREE_IOU, KNOWN_IOU = 0.5, 0.45
KNOWN_SHARE = 0.7  # of the smaller box inside the other: the same object, cut differently
TILED_FROM = 450  # pixels of the longer side: larger pictures are looked at in parts too
TILE = 0.6  # of the picture's sides
EDGE = 3.0  # pixels: a box this near to a tile's inner edge is cut by it
GROUPS = tuple(dict.fromkeys(group_of(name) for name in CLASSES))
GROUP_OF = np.array([GROUPS.index(group_of(name)) for name in CLASSES], np.int32)
GROUP_BITS = [bits_of(np.flatnonzero(g == GROUP_OF).tolist()) for g in range(len(GROUPS))]


class TeacherDetections(tuple[Floats, Floats, Ints]):
    """boxes (N, 4) in pixels, scores (N,), class_ids (N,) of CLASSES."""

    __slots__ = ()


def look(teacher: Detector, image: Image, tiled_from: int = TILED_FROM) -> TeacherDetections:
    """What a teacher sees in `image` and, where it is large, in four parts that overlap."""
    high, wide = image.shape[:2]
    parts = [_one(teacher, image)]
    if max(high, wide) >= tiled_from:
        h, w = round(high * TILE), round(wide * TILE)
        for top in (0, high - h):
            for left in (0, wide - w):
                boxes, scores, ids = _one(
                    teacher, np.ascontiguousarray(image[top : top + h, left : left + w])
                )
                keep = _whole(boxes, (left, top), (w, h), (wide, high))
                parts.append((boxes[keep] + np.array([left, top] * 2, np.float32), scores[keep], ids[keep]))
    boxes, scores, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
    best = suppress(boxes, scores, GROUP_OF[ids], 0.55)
    return TeacherDetections((boxes[best], scores[best], ids[best]))


def _one(teacher: Detector, image: Image) -> tuple[Floats, Floats, Ints]:
    frame = Frame(Stamp("still", 1, 0, 0, 0, 0), np.ascontiguousarray(image))
    detections = teacher.collect(teacher.submit([frame]))[0]
    class_of = {
        teacher.labels.names.index(name): i for i, name in enumerate(CLASSES) if name in teacher.labels.names
    }
    mine = np.array([class_of.get(int(c), -1) for c in detections.class_ids], np.int32)
    keep = mine >= 0
    size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    return detections.boxes_xyxyn[keep] * size, detections.scores[keep], mine[keep]


def _whole(
    boxes: Floats, at: tuple[int, int], tile: tuple[int, int], full: tuple[int, int]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Rows that no inner edge of the tile cuts."""
    keep = np.ones(len(boxes), np.bool_)
    for axis in (0, 1):
        if at[axis] > 0:
            keep &= boxes[:, axis] > EDGE
        if at[axis] + tile[axis] < full[axis]:
            keep &= boxes[:, axis + 2] < tile[axis] - EDGE
    return keep


def overlaps(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """(N, M) IoU and share of the smaller box, for boxes a (N, 4) and b (M, 4)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = (high - low).clip(0).prod(axis=2)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(axis=1), (b[:, 2:] - b[:, :2]).prod(axis=1)
    union = area_a[:, None] + area_b[None] - inner
    smaller = np.minimum(area_a[:, None], area_b[None])
    return inner / np.maximum(union, 1e-6), inner / np.maximum(smaller, 1e-6)


def agree(one: TeacherDetections, other: TeacherDetections) -> tuple[Labelled, Labelled]:
    """(objects that both see, areas that one alone sees)."""
    boxes_a, scores_a, ids_a = one
    boxes_b, scores_b, ids_b = other
    iou, _ = overlaps(boxes_a, boxes_b)
    iou = np.where(GROUP_OF[ids_a][:, None] == GROUP_OF[ids_b][None], iou, 0.0)
    sure: list[tuple[Floats, int]] = []
    doubt: list[tuple[Floats, int]] = []
    matched = np.zeros(len(ids_b), np.bool_)
    for i in np.argsort(-scores_a):
        row = np.where(matched, 0.0, iou[i])
        j = int(row.argmax()) if len(row) else -1
        if j < 0 or row[j] < AGREE_IOU:
            doubt.append((boxes_a[i], int(ids_a[i])))
            continue
        matched[j] = True
        both = np.array([scores_a[i], scores_b[j]])
        box = (boxes_a[i] * both[0] + boxes_b[j] * both[1]) / both.sum()
        kind = int(ids_a[i] if both[0] >= both[1] else ids_b[j])
        (sure if both.min() >= SURE and both.sum() >= SURE_SUM else doubt).append((box, kind))
    doubt += [(boxes_b[j], int(ids_b[j])) for j in np.flatnonzero(~matched)]
    return _labelled(sure), _areas(doubt)


def complete(
    labels: Labelled, objects: Labelled, areas: Labelled, trusted: frozenset[int], whole: bool
) -> Labelled:
    """`labels` with what the teachers add.

    `trusted`: classes that the labels name; `whole`: they name them all, so that what both teachers see
    beyond them is doubtful and no object, and what one alone sees is nothing.
    """
    result = labels
    for box, kind in zip(objects.boxes, objects.classes, strict=True):
        if has_object(box, int(kind), labels):
            continue
        if whole and int(kind) in trusted:
            result = result.joined(_areas([(box, int(kind))]))
        else:
            result = result.joined(_labelled([(box, int(kind))]))
    for box, bits in zip(areas.boxes, areas.ignore, strict=True):
        kind = int(np.flatnonzero([(int(bits) >> c) & 1 for c in range(len(CLASSES))])[0])
        if not has_object(box, kind, labels) and not (whole and kind in trusted):
            result = result.joined(Labelled.of([box], [-1], [int(bits)]))
    return result


def has_object(box: Floats, kind: int, labels: Labelled) -> bool:
    """Whether the labels have this object, perhaps under another class of its group."""
    same = (labels.ignore == 0) & (GROUP_OF[labels.classes.clip(0)] == GROUP_OF[kind])
    if not same.any():
        return False
    iou, share = overlaps(box[None], labels.boxes[same])
    return bool((iou >= KNOWN_IOU).any() or (share >= KNOWN_SHARE).any())


def _labelled(rows: Sequence[tuple[Floats, int]]) -> Labelled:
    return Labelled.of([box for box, _ in rows], [kind for _, kind in rows])


def _areas(rows: Sequence[tuple[Floats, int]]) -> Labelled:
    bits = [GROUP_BITS[GROUP_OF[kind]] for _, kind in rows]
    return Labelled.of([box for box, _ in rows], [-1] * len(rows), bits)
