"""Objects cut out of pictures along their outline, and how they are pasted into others at other sizes.

Outlines come from GrabCut (Rother et al., 2004) started with the labelled box. People of a few hundred
pixels, shrunk to a few dozen, are how a camera on a mast sees them, which no training picture shows.

FILE.npz: pixels (flat BGRA bytes), starts (N + 1,), shapes (N, 2) height and width, classes (N,)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipelines.train.detector.dataset import DatasetError, Labelled
from pipelines.values import Bools, Floats, Image, Ints

Random = np.random.Generator
MAX_HEIGHT = 320  # pixels of a cut-out
MAX_OUTLINED = 150  # pixels of its longer side at which the outline is sought
MIN_BOX = 40  # pixels of a box's longer side worth cutting
FILL = (0.3, 0.93)  # share of the box that an outline fills
TOUCH = 0.08  # of the box: how near to all its four sides an outline must come
PERSON = 0
NEAR = 0.3  # share of the pictures with pasted people in which they stand near
MIN_SEEN = 0.5  # share of a box that must remain in the picture; less is ignored
HEAD_SEEN = 0.25  # the same of a person who is cut from below alone: head and shoulders tell enough


def cut_out(image: Image, box: Floats, rounds: int = 2) -> Image | None:
    """The object in `box` (xyxy, pixels) as BGRA of its box, or None where no sound outline was found."""
    image, box = _shrunk(image, box, MAX_HEIGHT)
    small = _outlined(*_shrunk(image, box, MAX_OUTLINED), rounds)
    if small is None:
        return None
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    piece = image[y1:y2, x1:x2]
    alpha = cv2.resize(small, (piece.shape[1], piece.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.dstack((piece, alpha))


def _shrunk(image: Image, box: Floats, most: int) -> tuple[Image, Floats]:
    """Both at the scale at which the box's longer side has at most `most` pixels."""
    longer = float((box[2:] - box[:2]).max())
    if longer <= most:
        return image, box
    share = most / longer
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), box * np.float32(share)


def _outlined(image: Image, box: Floats, rounds: int) -> Image | None:
    """How much of each pixel of the box (h, w) is the object's, 0 to 255."""
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    wide, high = x2 - x1, y2 - y1
    margin_x, margin_y = max(4, wide // 4), max(4, high // 4)
    left, top = max(0, x1 - margin_x), max(0, y1 - margin_y)
    part = np.ascontiguousarray(image[top : y2 + margin_y, left : x2 + margin_x])
    mask = np.zeros(part.shape[:2], np.uint8)
    inner = (x1 - left, y1 - top, wide, high)
    if inner[2] + 2 >= part.shape[1] and inner[3] + 2 >= part.shape[0]:
        return None  # the box fills the picture: nothing is known to be background
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(part, mask, inner, *models, rounds, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # too few pixels of one kind for its mixture
        return None
    foreground = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
    shape = _largest(foreground)[inner[1] : inner[1] + high, inner[0] : inner[0] + wide]
    if not _sound(shape):
        return None
    return np.asarray(cv2.GaussianBlur(shape.astype(np.uint8) * 255, (3, 3), 0), np.uint8)


def _largest(foreground: Bools) -> Bools:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground.astype(np.uint8))
    if count < 2:
        return foreground
    mine: Bools = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return mine


def _sound(shape: Bools) -> bool:
    if shape.size == 0 or not FILL[0] <= shape.mean() <= FILL[1]:
        return False
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    high, wide = shape.shape
    gaps = (rows[0] / high, 1 - (rows[-1] + 1) / high, columns[0] / wide, 1 - (columns[-1] + 1) / wide)
    return bool(max(gaps) <= TOUCH)


def worth_cutting(labels: Labelled, width: int, height: int) -> list[int]:
    """Rows that are large, whole and not overlapped by another object."""
    rows = []
    objects = labels.objects()
    for i, (box, kind) in enumerate(zip(labels.boxes, labels.ignore, strict=True)):
        x1, y1, x2, y2 = box
        inside = x1 > 1 and y1 > 1 and x2 < width - 1 and y2 < height - 1
        if kind or not inside or max(x2 - x1, y2 - y1) < MIN_BOX or min(x2 - x1, y2 - y1) < 12:
            continue
        low, high = np.maximum(box[:2], objects.boxes[:, :2]), np.minimum(box[2:], objects.boxes[:, 2:])
        shared = (high - low).clip(0).prod(axis=1) / ((x2 - x1) * (y2 - y1))
        if (shared > 0.15).sum() <= 1:  # itself
            rows.append(i)
    return rows


def write_cutouts(path: Path, pieces: Sequence[Image], classes: Sequence[int]) -> None:
    """`pieces` are BGRA, as cut_out() gives them."""
    np.savez(
        path,
        pixels=np.concatenate([p.ravel() for p in pieces]) if pieces else np.zeros(0, np.uint8),
        starts=np.cumsum([0, *(p.size for p in pieces)]),
        shapes=np.array([p.shape[:2] for p in pieces], np.int32).reshape(-1, 2),
        classes=np.array(classes, np.int32),
    )


class Cutouts:
    """Reads what write_cutouts wrote. Raises DatasetError where there is none."""

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path) as stored:
                self._pixels: Image = stored["pixels"]
                self._starts, self._shapes = stored["starts"], stored["shapes"]
                self.classes: Ints = stored["classes"]
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{path}: no cut-outs ({error}): make the data set again") from error
        self.people = np.flatnonzero(self.classes == PERSON)
        self.others = np.flatnonzero(self.classes != PERSON)

    def __len__(self) -> int:
        return len(self.classes)

    def piece(self, i: int) -> Image:
        """(h, w, 4) BGRA."""
        high, wide = self._shapes[i]
        part: Image = self._pixels[self._starts[i] : self._starts[i + 1]].reshape(high, wide, 4)
        return part


def paste_some(image: Image, labels: Labelled, cutouts: Cutouts, random: Random) -> Labelled:
    """Paste a few objects into `image` (in place): far ones small and high, as a camera above sees them, or
    a few people who stand before the camera."""
    size = image.shape[0]
    people = random.random() < 0.8 and len(cutouts.people) > 0
    pool = cutouts.people if people else cutouts.others
    if not len(pool):
        return labels
    if people and random.random() < NEAR:
        for _ in range(int(random.integers(1, 4))):
            tall = size * np.exp(random.uniform(np.log(0.4), np.log(1.1)))
            foot, which = random.uniform(0.7 * size, size + 0.7 * tall), int(random.choice(pool))
            labels = paste_one(image, labels, cutouts.piece(which), PERSON, foot, tall, random)
        return labels
    count = int(random.integers(1, 10 if people else 4))
    tallest = size * np.exp(random.uniform(np.log(0.09), np.log(0.45)))  # of one that stands at the bottom
    horizon = random.uniform(-0.6, 0.2) * size
    jobs = []
    for _ in range(count):
        foot = random.uniform(max(0.1 * size, horizon + 0.1 * size), 1.05 * size)
        depth = (foot - horizon) / (size - horizon)
        jobs.append((foot, max(10.0, tallest * depth * random.uniform(0.85, 1.15)), int(random.choice(pool))))
    for foot, tall, which in sorted(jobs):  # far ones first: near ones hide them
        labels = paste_one(
            image, labels, cutouts.piece(which), int(cutouts.classes[which]), foot, tall, random
        )
    return labels


def paste_one(
    image: Image, labels: Labelled, piece: Image, class_id: int, foot: float, tall: float, random: Random
) -> Labelled:
    """Draw one BGRA `piece` with its foot at height `foot`, `tall` pixels high (people) or long (others).

    What it hides by three quarters is forgotten; what it hides by a half, ignored.
    """
    share = tall / piece.shape[0] if class_id == PERSON else tall * 1.2 / max(piece.shape[:2])
    share = min(share, 1.5)
    size = max(3, round(piece.shape[1] * share)), max(6, round(piece.shape[0] * share))
    how = cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR
    small = cv2.resize(piece, size, interpolation=how)
    if random.random() < 0.5:
        small = small[:, ::-1]
    left = int(random.uniform(-0.3 * size[0], image.shape[1] - 0.7 * size[0]))
    top = round(foot) - size[1]
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(image.shape[1], left + size[0]), min(image.shape[0], top + size[1])
    least = HEAD_SEEN if class_id == PERSON and x2 - x1 == size[0] and y1 == top else MIN_SEEN
    if x2 - x1 < 3 or y2 - y1 < 6 or (x2 - x1) * (y2 - y1) < least * size[0] * size[1]:
        return labels
    part = small[y1 - top : y2 - top, x1 - left : x2 - left].astype(np.float32)
    light = random.uniform(0.65, 1.15)
    alpha = part[..., 3:] / 255
    below = image[y1:y2, x1:x2]
    below[:] = (part[..., :3] * light * alpha + below * (1 - alpha)).clip(0, 255).astype(np.uint8)
    new = np.array([x1, y1, x2, y2], np.float32)
    return hide(labels, new).joined(Labelled.of([new], [class_id]))


def hide(labels: Labelled, box: Floats) -> Labelled:
    """Labels behind a new object in `box`."""
    low, high = np.maximum(labels.boxes[:, :2], box[:2]), np.minimum(labels.boxes[:, 2:], box[2:])
    own = (labels.boxes[:, 2:] - labels.boxes[:, :2]).prod(axis=1)
    hidden = (high - low).clip(0).prod(axis=1) / np.maximum(own, 1e-6)
    objects = labels.ignore == 0
    half = objects & (hidden > 0.6)
    ignore = np.where(half, 1 << labels.classes.clip(0), labels.ignore).astype(np.int32)
    classes = np.where(half, -1, labels.classes).astype(np.int32)
    keep = ~(objects & (hidden > 0.85))
    return Labelled(labels.boxes[keep], classes[keep], ignore[keep])
