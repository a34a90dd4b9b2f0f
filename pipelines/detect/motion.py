"""Detection without a model: what moves before a still camera is an `object`.

A mixture of Gaussians a pixel (Zivkovic, 2004; OpenCV's MOG2) learns the background of each camera on a
small grey picture. Light that changes everywhere at once is taken out before (the median ratio of picture
to background), so that a flickering lamp or a camera's exposure moves nothing; blobs are closed over the
gaps that clothes of the background's colour leave.

It knows no classes, joins people who walk side by side, and forgets what stands still for a while: it is
for lines with well separated passers-by, for things that no model knows, and for processors without AVX2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipelines.detect.detector import Ticket
from pipelines.detect.errors import ModelRefused
from pipelines.detect.labels import labels_of
from pipelines.values import Bools, Detections, Floats, Frame, Image

WIDTH = 320  # pixels of the picture that motion is looked for in; a person of 3 % height is 5 of them high
MEMORY_S = 20.0  # what stands still this long becomes background
LIGHT_EVERY = 10  # frames between two looks at the background's light
LEARN_FRAMES = 10  # frames of a new camera that only teach the background
MIN_AREA = 0.0008  # smallest blob as share of the picture; below is noise and leaves
MIN_INSIDE = 0.7  # a box with this share of itself in a larger one is a part of that
MAX_MOVING = 0.6  # more of the picture moving than this is a moved camera or a switched light, not objects
_SECOND = 1_000_000_000


@dataclass(slots=True)
class _Background:
    model: cv2.BackgroundSubtractorMOG2
    shape: tuple[int, ...]
    epoch: int
    media_ns: int
    frames: int = 0
    light: Image | None = None  # a sparse sample of the learnt background, renewed now and then


class MotionDetector:
    """Keeps a background per camera; a new epoch, size or time that runs backwards starts it anew."""

    def __init__(self, score: float | None = None) -> None:
        self.labels = labels_of(["object"])
        self.joints: tuple[str, ...] = ()
        self.max_batch = 8
        self.parallel = 1
        self.depth = 3
        self._score = 0.0 if score is None else score
        self._backgrounds: dict[str, _Background] = {}

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        """All the work is done here: the order of a camera's frames matters."""
        if not 1 <= len(frames) <= self.max_batch:
            raise ValueError(f"{len(frames)} frames, where one submit takes 1 to {self.max_batch}")
        detections = [self._detect(frame) for frame in frames]
        if notify is not None:
            notify()
        return _MotionTicket(tuple(frame.stamp.camera for frame in frames), detections)

    def collect(self, ticket: Ticket) -> list[Detections]:
        if not isinstance(ticket, _MotionTicket) or ticket.detections is None:
            raise ValueError("this ticket is spent or another detector's")
        detections, ticket.detections = ticket.detections, None
        return detections

    def enable_feature_maps(self, strides: Sequence[int]) -> int:  # noqa: ARG002
        raise ModelRefused("the motion detector has no feature maps: choose a model")

    def forget(self, camera: str) -> None:
        self._backgrounds.pop(camera, None)

    def describe(self) -> dict[str, Any]:
        return {
            "engine": "motion",
            "engine_version": cv2.__version__,
            "model": "",
            "sha256": "",
            "head": "",
            "input": [WIDTH, 0],
            "precision": "",
            "max_batch": self.max_batch,
            "score": self._score,
            "licence": "",
            "warnings": [
                "motion only: every moving thing is an `object`;"
                " the default detector knows people and vehicles"
            ],
        }

    def _detect(self, frame: Frame) -> Detections:
        small = _shrink(frame.image)
        background = self._background(frame)
        rate = _learning_rate(frame.stamp.media_ns - background.media_ns, background.frames)
        background.media_ns = frame.stamp.media_ns
        background.frames += 1
        if background.light is not None:
            small = _even_out(small, background.light)
        mask = np.asarray(background.model.apply(small, learningRate=rate), np.uint8)
        if background.light is None or background.frames % LIGHT_EVERY == 0:
            background.light = _sample(np.asarray(background.model.getBackgroundImage(), np.uint8))
        if background.frames <= LEARN_FRAMES:
            return Detections.empty()
        blobs = _blobs(mask)
        return blobs.take(blobs.scores >= self._score) if self._score else blobs

    def _background(self, frame: Frame) -> _Background:
        stamp = frame.stamp
        background = self._backgrounds.get(stamp.camera)
        if (
            background is None
            or background.shape != frame.image.shape
            or background.epoch != stamp.epoch
            or stamp.media_ns < background.media_ns
        ):
            model = cv2.createBackgroundSubtractorMOG2(history=500, varThreshold=20, detectShadows=True)
            model.setShadowThreshold(0.6)
            background = _Background(model, frame.image.shape, stamp.epoch, stamp.media_ns)
            self._backgrounds[stamp.camera] = background
        return background


class _MotionTicket(Ticket):
    __slots__ = ("detections",)

    def __init__(self, cameras: tuple[str, ...], detections: list[Detections]) -> None:
        super().__init__(cameras)
        self.detections: list[Detections] | None = detections


def _shrink(image: Image) -> Image:
    """(H, W, 3) BGR -> at most WIDTH wide, slightly blurred against sensor noise."""
    height, width = image.shape[:2]
    scale = min(1.0, WIDTH / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.uint8)


def _sample(picture: Image) -> Image:
    """Every fourth pixel's green, in both directions: enough for the light of the whole."""
    return picture[::4, ::4, 1].ravel()


def _even_out(picture: Image, base: Image) -> Image:
    """`picture` with the light of the background: scaled by the median ratio, which few objects can move.

    `base` is the background's `_sample`.
    """
    sample = _sample(picture)
    lit = (base > 16) & (base < 240) & (sample < 250)  # black and white do not follow the light
    if np.count_nonzero(lit) < 100:
        return picture
    gain = float(np.median(sample[lit].astype(np.float32) / base[lit]))
    if not 0.3 < gain < 3.0 or abs(gain - 1.0) < 0.01:
        return picture
    return np.asarray(cv2.convertScaleAbs(picture, alpha=1.0 / gain), np.uint8)


def _learning_rate(elapsed_ns: int, frames: int) -> float:
    """Weight of the newest frame: by time, alike at any frame rate; the first frames count most."""
    by_time = max(elapsed_ns, 0) / _SECOND / MEMORY_S
    return min(1.0, max(by_time, 1.0 / (frames + 1) if frames < LEARN_FRAMES else 0.0, 1e-4))


def _blobs(mask: Image) -> Detections:
    height, width = mask.shape
    moving: Any = (mask == 255).view(np.uint8)  # 127 is a shadow
    moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, _DOT)
    if cv2.countNonZero(moving) > MAX_MOVING * width * height:
        return Detections.empty()
    moving = cv2.morphologyEx(moving, cv2.MORPH_CLOSE, _UPRIGHT)
    _, _, stats, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
    stats = stats[1:]  # the first is the background
    stats = stats[stats[:, cv2.CC_STAT_AREA] >= MIN_AREA * width * height]
    left, top, wide, high, area = (stats[:, i].astype(np.float32) for i in range(5))
    boxes = np.stack((left / width, top / height, (left + wide) / width, (top + high) / height), axis=1)
    alone = ~_inside_another(boxes)
    boxes, area, wide, high = boxes[alone], area[alone], wide[alone], high[alone]
    filled = area / np.maximum(wide * high, 1.0)  # a blob that fills its box is one thing
    return Detections(
        boxes.astype(np.float32),
        (0.5 + 0.5 * filled).astype(np.float32),
        np.zeros(len(boxes), np.int32),
    )


def _inside_another(boxes: Floats) -> Bools:
    """Which boxes lie mostly within a larger one: parts of one thing that the closing did not join."""
    low, high = np.maximum(boxes[:, None, :2], boxes[:, :2]), np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clip(0.0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    inside: Bools = ((shared > MIN_INSIDE * area[:, None]) & (area[:, None] < area)).any(axis=1)
    return inside


_DOT = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_UPRIGHT = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 7))  # joins head, trunk and legs
