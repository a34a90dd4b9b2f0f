"""Training pictures made from stored ones: mosaics, scale, pasted cut-outs, colour, blur, noise, compression.

Mosaic: Bochkovskiy et al., YOLOv4, arXiv 2004.10934. Copy-paste: Ghiasi et al., arXiv 2012.07177. Every
sample is a pure function of (seed, number), so that a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from pipelines.train.detector.copy_paste import HEAD_SEEN, MIN_SEEN, PERSON, Cutouts, paste_some
from pipelines.train.detector.dataset import Dataset, Labelled
from pipelines.values import Bools, Floats, Image

Random = np.random.Generator
Placed = tuple[Image, Labelled]
MIN_SIDE = 3.0  # pixels: what is smaller than this on either side is not taught
GREY = 114
CLOSE_SIDE = (0.35, 1.1)  # of the input: the longer side of an object that is brought near
CLOSE_FROM, CLOSE_MOST = 50.0, 3.0  # pixels it must have in its picture; how far it is enlarged
CLOSE_TRIES = 4  # pictures that are looked at for a person


@dataclass(frozen=True, slots=True)
class Recipe:
    """How strongly a training picture is changed; chances from 0 to 1."""

    mosaic: float = 0.6
    paste: float = 0.65
    degrade: float = 0.5
    close: float = 0.35  # of pictures that are no mosaic: one object, mostly a person, is brought near
    zoom: tuple[float, float] = (0.45, 2.0)  # of a picture that would fill the input
    tile_zoom: tuple[float, float] = (0.25, 1.3)


class TrainingSample(NamedTuple):
    """A picture (S, S, 3) uint8 BGR, its labels in its pixels, and the picture before colours and quality
    were changed: what a teacher is shown."""

    image: Image
    labels: Labelled
    clean: Image


class Augmenter:
    """Makes sample number i of a run with this seed, at any size."""

    def __init__(
        self,
        data: Dataset,
        cutouts: Cutouts | None,
        recipe: Recipe,
        seed: int,
        without: Sequence[str] = (),
    ) -> None:
        self._data, self._cutouts, self._recipe, self._seed = data, cutouts, recipe, seed
        self._sums = np.cumsum(data.chances(without))

    def sample(self, number: int, size: int) -> TrainingSample:
        random = np.random.default_rng((self._seed, number))
        mosaic = random.random() < self._recipe.mosaic
        image, labels = self._mosaic(random, size) if mosaic else self._single(random, size)
        if self._cutouts is not None and random.random() < self._recipe.paste:
            labels = paste_some(image, labels, self._cutouts, random)
        labels = tidy(labels, size)
        if random.random() < 0.5:
            image, labels = flip(image, labels)
        clean = image
        image = recolour(image, random)
        if random.random() < self._recipe.degrade:
            image = degrade(image, random)
        return TrainingSample(np.ascontiguousarray(image), labels, clean)

    def _pick(self, random: Random) -> tuple[Image, Labelled]:
        i = min(int(np.searchsorted(self._sums, random.random())), len(self._data) - 1)
        return self._data.image(i), self._data.labels(i)

    def _single(self, random: Random, size: int) -> Placed:
        canvas: Image = np.full((size, size, 3), GREY, np.uint8)
        window = (0, 0, size, size)
        if random.random() < self._recipe.close:
            image, labels, box = self._near(random)
            if box is not None:
                factor, at = _close_up(random, image, box, size)
                return canvas, place(canvas, image, labels, factor, at, window, random)
        else:
            image, labels = self._pick(random)
        factor = size / max(image.shape[:2]) * _between(random, self._recipe.zoom)
        wide, high = image.shape[1] * factor, image.shape[0] * factor
        left = random.uniform(min(0.0, size - wide), max(0.0, size - wide))
        top = random.uniform(min(0.0, size - high), max(0.0, size - high))
        return canvas, place(canvas, image, labels, factor, (left, top), window, random)

    def _near(self, random: Random) -> tuple[Image, Labelled, Floats | None]:
        """A picture and the box in it that is to be brought near: of a person, if one is soon found."""
        for _ in range(CLOSE_TRIES):
            image, labels = self._pick(random)
            objects = labels.objects()
            large = (objects.boxes[:, 2:] - objects.boxes[:, :2]).max(axis=1, initial=0.0) >= CLOSE_FROM
            people = np.flatnonzero(large & (objects.classes == PERSON))
            if len(people):
                return image, labels, objects.boxes[random.choice(people)]
        rows = np.flatnonzero(large)
        return image, labels, objects.boxes[random.choice(rows)] if len(rows) else None

    def _mosaic(self, random: Random, size: int) -> Placed:
        canvas: Image = np.full((size, size, 3), GREY, np.uint8)
        columns, rows = (_cuts(random, size) for _ in range(2))
        labels = Labelled.of()
        for y1, y2 in pairwise(rows):
            for x1, x2 in pairwise(columns):
                image, own = self._pick(random)
                cover = max((x2 - x1) / image.shape[1], (y2 - y1) / image.shape[0])
                factor = max(cover, size / max(image.shape[:2]) * _between(random, self._recipe.tile_zoom))
                left = x1 - random.uniform(0, max(0.0, image.shape[1] * factor - (x2 - x1)))
                top = y1 - random.uniform(0, max(0.0, image.shape[0] * factor - (y2 - y1)))
                window = (x1, y1, x2, y2)
                labels = labels.joined(place(canvas, image, own, factor, (left, top), window, random))
        return canvas, labels


def _close_up(random: Random, image: Image, box: Floats, size: int) -> tuple[float, tuple[float, float]]:
    """The factor and the corner (x, y) that bring `box` near, the picture filling the input if it can."""
    factor = min(CLOSE_MOST, size * _between(random, CLOSE_SIDE) / float((box[2:] - box[:2]).max()))
    corner = []
    for middle, side, far in zip((box[:2] + box[2:]) / 2, image.shape[1::-1], (0.85, 1.0), strict=True):
        wanted = random.uniform(0.15, far) * size - float(middle) * factor
        corner.append(min(max(wanted, min(0.0, size - side * factor)), max(0.0, size - side * factor)))
    return factor, (corner[0], corner[1])


def _cuts(random: Random, size: int) -> list[int]:
    """Where a mosaic is cut along one side: mostly in two, now and then in three for smaller objects."""
    if random.random() < 0.75:
        return [0, int(size * random.uniform(0.3, 0.7)), size]
    return [0, int(size * random.uniform(0.2, 0.45)), int(size * random.uniform(0.55, 0.8)), size]


def _between(random: Random, limits: tuple[float, float]) -> float:
    """Even on a logarithmic scale."""
    return float(np.exp(random.uniform(np.log(limits[0]), np.log(limits[1]))))


def place(
    canvas: Image,
    image: Image,
    labels: Labelled,
    factor: float,
    at: tuple[float, float],
    window: tuple[int, int, int, int],
    random: Random,
) -> Labelled:
    """Draw `image` times `factor` with its corner `at` (x, y), inside `window` only; gives labels there.

    What is cut by the window to less than MIN_SEEN (HEAD_SEEN from below) becomes an area to ignore.
    """
    x1, y1, x2, y2 = window
    aspect = float(np.exp(random.uniform(-0.12, 0.12)))
    matrix = np.array([[factor * aspect, 0, at[0] - x1], [0, factor / aspect, at[1] - y1]], np.float32)
    how = cv2.INTER_LINEAR
    if factor < 0.6:  # halve first: bilinear would skip pixels
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        scale = np.array([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0]], np.float32)
        drawn = cv2.warpAffine(small, matrix * np.append(scale, 1.0)[None], (x2 - x1, y2 - y1), flags=how,
                               borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY, GREY, GREY))  # fmt: skip
    else:
        drawn = cv2.warpAffine(image, matrix, (x2 - x1, y2 - y1), flags=how,
                               borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY, GREY, GREY))  # fmt: skip
    canvas[y1:y2, x1:x2] = drawn
    scale4 = np.array([matrix[0, 0], matrix[1, 1]] * 2, np.float32)
    boxes = labels.boxes * scale4 + np.array([at[0], at[1]] * 2, np.float32)
    return cut(Labelled(boxes, labels.classes, labels.ignore), window)


def cut(labels: Labelled, window: tuple[int, int, int, int]) -> Labelled:
    """Labels clipped to a window; an object of which too little is left becomes an area to ignore."""
    x1, y1, x2, y2 = window
    boxes = labels.boxes.copy()
    before = area(boxes)
    boxes[:, 0::2] = boxes[:, 0::2].clip(x1, x2)
    boxes[:, 1::2] = boxes[:, 1::2].clip(y1, y2)
    after = area(boxes)
    keep = after > 0
    visible_share = after / np.maximum(before, 1e-6)
    below = (labels.boxes[:, 0] >= x1) & (labels.boxes[:, 1] >= y1) & (labels.boxes[:, 2] <= x2)
    least = np.where((labels.classes == PERSON) & below, HEAD_SEEN, MIN_SEEN)
    hidden = (labels.ignore == 0) & (visible_share < least)
    ignore = np.where(hidden, 1 << labels.classes.clip(0), labels.ignore).astype(np.int32)
    classes = np.where(hidden, -1, labels.classes).astype(np.int32)
    return Labelled(boxes[keep], classes[keep], ignore[keep])


def tidy(labels: Labelled, size: int) -> Labelled:
    """What is too small to be seen is ignored, not taught."""
    labels = cut(labels, (0, 0, size, size))
    small: Bools = ((labels.boxes[:, 2:] - labels.boxes[:, :2]) < MIN_SIDE).any(1) & (labels.ignore == 0)
    ignore = np.where(small, 1 << labels.classes.clip(0), labels.ignore).astype(np.int32)
    boxes = labels.boxes.copy()
    boxes[small] += np.array([-4, -4, 4, 4], np.float32)
    return Labelled(boxes, np.where(small, -1, labels.classes).astype(np.int32), ignore)


def area(boxes: Floats) -> Floats:
    sides: Floats = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)
    return sides


def flip(image: Image, labels: Labelled) -> Placed:
    """Mirrored left to right."""
    boxes = labels.boxes.copy()
    boxes[:, [0, 2]] = image.shape[1] - labels.boxes[:, [2, 0]]
    return image[:, ::-1], Labelled(boxes, labels.classes, labels.ignore)


def recolour(image: Image, random: Random) -> Image:
    """Brightness, contrast, gamma and the balance of colours by one table a channel; now and then grey."""
    base = np.arange(256, dtype=np.float32) / 255
    gamma = float(np.exp(random.uniform(-0.35, 0.35)))
    contrast, light = random.uniform(0.7, 1.3), random.uniform(-0.12, 0.12)
    if random.random() < 0.06:  # low light
        contrast, light = random.uniform(0.15, 0.4), random.uniform(-0.02, 0.05)
        base = base * contrast + light
    else:
        base = (base**gamma - 0.5) * contrast + 0.5 + light
    tables = np.stack([base * random.uniform(0.88, 1.12) for _ in range(3)], axis=1)
    changed = cv2.LUT(np.ascontiguousarray(image), (tables.clip(0, 1) * 255).astype(np.uint8)[None])
    fade = random.uniform(0.0, 1.4)
    if random.random() < 0.08:
        fade = 0.0
    if abs(fade - 1) > 0.1:
        grey = cv2.cvtColor(cv2.cvtColor(changed, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        changed = cv2.addWeighted(changed, fade, grey, 1 - fade, 0)
    return np.asarray(changed, np.uint8)


def degrade(image: Image, random: Random) -> Image:
    """What cameras do: a smaller picture scaled up, blur, noise, block compression."""
    image = np.ascontiguousarray(image)
    size = image.shape[1], image.shape[0]
    if random.random() < 0.3:
        share = random.uniform(0.45, 0.9)
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    elif random.random() < 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.4, 1.3)), np.uint8)
    if random.random() < 0.4:
        spread = random.uniform(2, 14)
        noise = random.integers(0, 256, image.shape, np.uint8)
        noise = (noise.astype(np.float32) * (spread / 74) - spread * 1.72).astype(np.int8)
        image = np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)
    if random.random() < 0.6:
        quality = int(random.integers(18, 80))
        _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image
