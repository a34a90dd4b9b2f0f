"""Bright squares that cross a dark picture from left to right when told, and a detector that finds them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.detect.detector import Ticket
from pipelines.values import Detections, Frame, Image, Labels
from tests.clips import make_clip

WIDTH, HEIGHT, FPS, SIDE = 320, 180, 25, 30


@dataclass(frozen=True)
class Walker:
    """A square that is at `x` (pixels, of its middle) from `at_s` on, and goes at `speed` pixels a second."""

    at_s: float
    speed: float
    x: float = -SIDE
    y: int = 90

    def place(self, t_s: float) -> float:
        return self.x + self.speed * (t_s - self.at_s)


def write_squares(path: Path, walkers: Sequence[Walker], seconds: float, **options: Any) -> Path:
    """A clip of them; `options` as make_clip() takes them."""

    def draw(number: int, width: int, height: int) -> Image:
        picture: Image = np.full((height, width, 3), 60, np.uint8)
        for walker in walkers:
            middle = walker.place(number / FPS)
            if number / FPS >= walker.at_s and -SIDE < middle < width + SIDE:
                left, right = (max(0, round(middle + d)) for d in (-SIDE / 2, SIDE / 2))
                picture[walker.y - SIDE // 2 : walker.y + SIDE // 2, left:right] = 230
        return picture

    frames = round(seconds * FPS)
    return make_clip(path, frames=frames, width=WIDTH, height=HEIGHT, fps=FPS, draw=draw, **options)


@dataclass
class SquareDetector:
    """Finds bright patches; `seen` are the numbers of the frames that it was given, in order."""

    depth: int = 6
    parallel: int = 2
    max_batch: int = 1
    labels: Labels = field(default_factory=lambda: Labels(("person",), ("person",)))
    joints: tuple[str, ...] = ()
    seen: list[int] = field(default_factory=list)
    open: int = 0
    _waiting: deque[Ticket] = field(default_factory=deque)

    def submit(self, frames: Sequence[Frame], notify: Callable[[], None] | None = None) -> Ticket:
        assert self.open < self.depth, "more tickets than it takes"
        self.open += 1
        (frame,) = frames
        self.seen.append(frame.stamp.frame_id)
        if notify is not None:
            notify()
        ticket = _Found((frame.stamp.camera,))
        ticket.boxes = patches(frame.image)
        return ticket

    def collect(self, ticket: Ticket) -> list[Detections]:
        assert isinstance(ticket, _Found)
        assert ticket.boxes is not None, "a ticket is good for one answer"
        self.open -= 1
        boxes, ticket.boxes = ticket.boxes, None
        n = len(boxes)
        return [Detections(boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), high_threshold=0.5)]

    def enable_feature_maps(self, strides: Sequence[int]) -> int:
        raise NotImplementedError(f"it has no maps of strides {strides}")

    def forget(self, camera: str) -> None:
        """Nothing is kept."""

    def describe(self) -> dict[str, Any]:
        return {"engine": "squares"}


class _Found(Ticket):
    __slots__ = ("boxes",)
    boxes: Any


def patches(image: Image) -> Any:
    """Boxes (N, 4) float32 of bright patches, in shares of the picture."""
    bright = (image[:, :, 1] > 150).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    height, width = bright.shape
    rows = [
        (x / width, y / height, (x + w) / width, (y + h) / height)
        for x, y, w, h, area in stats[1:].tolist()
        if area > 50
    ]
    return np.array(rows, np.float32).reshape(-1, 4).clip(0, 1)
