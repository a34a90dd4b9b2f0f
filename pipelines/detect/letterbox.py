"""Fits pictures of any size into a model's input, and boxes back out of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipelines.values import Floats, Image

CELL = 32  # pixels; inputs are multiples of the widest stride


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a model wants its picture: value = (pixel - mean) / std, in the model's own channel order."""

    rgb: bool  # else BGR
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pad: int = 114  # grey level around the picture
    centred: bool = True  # else the picture lies at the top left
    stretched: bool = False  # the picture fills the whole input, whatever its shape

    def as_bytes(self) -> Pixels:
        """Of values that are the pixels themselves."""
        return replace(self, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class LetterboxPlacement:
    """Where a picture lies in the canvas: `left`, `top`, `width`, `height` in canvas pixels."""

    left: int
    top: int
    width: int
    height: int
    offset: Floats  # (4,)
    per_pixel: Floats  # (4,)

    def to_unit(self, boxes_xyxy: Floats) -> Floats:
        """(N, 4) canvas pixels -> (N, 4) normalised to the picture and clipped to it."""
        boxes = (boxes_xyxy - self.offset) * self.per_pixel
        clipped: Floats = boxes.clip(0.0, 1.0, out=boxes)
        return clipped


class Letterbox:
    """Writes pictures into one canvas of (height, width, 3) uint8; the grey border is drawn once a shape."""

    def __init__(self, canvas: Image, pixels: Pixels) -> None:
        self._canvas = canvas
        self._pixels = pixels
        self._shape: tuple[int, ...] = ()
        self._window = canvas
        self._placement = _place(canvas.shape[1], canvas.shape[0], canvas.shape[1], canvas.shape[0], False)

    def put(self, image: Image) -> LetterboxPlacement:
        """Scale `image` (H, W, 3) BGR to fit with its aspect kept, in the model's channel order."""
        import cv2  # here: who only reads the cards of models needs none

        if image.shape != self._shape:
            self._measure(image)
        window = self._window
        if window.shape == image.shape:
            if self._pixels.rgb:
                cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=window)
            else:
                np.copyto(window, image)
            return self._placement
        place = self._placement
        shrinks = place.width * 2 < image.shape[1]  # area: bilinear would skip pixels
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        cv2.resize(image, (place.width, place.height), dst=window, interpolation=how)
        if self._pixels.rgb:
            cv2.cvtColor(window, cv2.COLOR_BGR2RGB, dst=window)
        return place

    def _measure(self, image: Image) -> None:
        high, wide = self._canvas.shape[:2]
        width, height = (wide, high) if self._pixels.stretched else (image.shape[1], image.shape[0])
        place = _place(width, height, wide, high, self._pixels.centred)
        self._canvas[:] = self._pixels.pad
        self._window = self._canvas[
            place.top : place.top + place.height, place.left : place.left + place.width
        ]
        self._placement, self._shape = place, image.shape


def fit(width: int, height: int, canvas_width: int, canvas_height: int) -> tuple[int, int]:
    """(width, height) of a picture scaled to fit a canvas with its aspect kept."""
    scale = min(canvas_width / width, canvas_height / height)
    return min(canvas_width, max(1, round(width * scale))), min(canvas_height, max(1, round(height * scale)))


def input_shape(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the smallest input, in whole cells, that holds a picture at the scale at which it
    fits into `size`, a model's own input."""
    return in_cells(*fit(width, height, *size), size)


def in_cells(wide: int, high: int, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the smallest input, in whole cells and no larger than `size`, that holds so much."""
    return min(-(-wide // CELL) * CELL, size[0]), min(-(-high // CELL) * CELL, size[1])


def _place(
    width: int, height: int, canvas_width: int, canvas_height: int, centred: bool
) -> LetterboxPlacement:
    wide, high = fit(width, height, canvas_width, canvas_height)
    left = (canvas_width - wide) // 2 if centred else 0
    top = (canvas_height - high) // 2 if centred else 0
    return LetterboxPlacement(
        left,
        top,
        wide,
        high,
        np.array([left, top, left, top], np.float32),
        np.array([1 / wide, 1 / high, 1 / wide, 1 / high], np.float32),
    )
