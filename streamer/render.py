"""Drawing on pictures, and nothing else: the rules of a camera, and what a pipeline found in a frame.

Pictures are (H, W, 3) uint8 BGR and are drawn on in place; coordinates come normalised to the picture.
Sizes of strokes and letters follow the picture's height, so that 360p and 1080p read alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.spec import CameraRules, LineSpec, Point
from pipelines.values import Image

Colour = tuple[int, int, int]  # B, G, R
Pixels = npt.NDArray[np.int32]

INK: Colour = (20, 20, 20)
PAPER: Colour = (245, 245, 245)
LINE: Colour = (0, 200, 255)
LEFT_TO_RIGHT: Colour = (90, 220, 90)
RIGHT_TO_LEFT: Colour = (255, 150, 70)
ZONE: Colour = (230, 170, 40)
MASK: Colour = (60, 60, 60)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_rules(image: Image, rules: CameraRules, *, grid: bool = True) -> Image:
    """Draw masks, grid, zones and lines with their names and directions; returns `image`."""
    for mask in rules.masks:
        _shade(image, _pixels(image, mask.points), MASK, 0.75)
    if grid:
        draw_grid(image)
    for mask in rules.masks:
        points = _pixels(image, mask.points)
        cv2.polylines(image, [points], True, MASK, _stroke(image), cv2.LINE_AA)
        write(image, f"mask {mask.name}", tuple(points.mean(axis=0)), PAPER, centred=True)
    for zone in rules.zones:
        points = _pixels(image, zone.points)
        _shade(image, points, ZONE, 0.25)
        cv2.polylines(image, [points], True, ZONE, _stroke(image), cv2.LINE_AA)
        write(image, zone.name, tuple(points.mean(axis=0)), ZONE, centred=True)
    for line in rules.lines:
        draw_line(image, line)
    return image


def draw_grid(image: Image) -> None:
    """A line at every tenth of the picture, with its normalised coordinate at the edge."""
    height, width = image.shape[:2]
    overlay = image.copy()
    for tenth in range(1, 10):
        x, y = round(width * tenth / 10), round(height * tenth / 10)
        weight = 2 if tenth == 5 else 1
        cv2.line(overlay, (x, 0), (x, height), PAPER, weight)
        cv2.line(overlay, (0, y), (width, y), PAPER, weight)
    cv2.addWeighted(overlay, 0.35, image, 0.65, 0, dst=image)
    for tenth in range(1, 10):
        text = f".{tenth}"
        write(image, text, (width * tenth / 10, 0.022 * height), PAPER, size=0.75, centred=True)
        write(image, text, (0.022 * height, height * tenth / 10), PAPER, size=0.75, centred=True)


def draw_line(image: Image, line: LineSpec, totals: Sequence[int] | None = None) -> None:
    """Draw a counting line, its name at the first point, and an arrow for each of its two directions.

    `totals` are the counts (left to right, right to left), written behind the directions' names.
    """
    points = _pixels(image, line.points)
    stroke = _stroke(image)
    cv2.polylines(image, [points], False, INK, stroke + 2, cv2.LINE_AA)
    cv2.polylines(image, [points], False, LINE, stroke, cv2.LINE_AA)
    for x, y in points:
        cv2.circle(image, (int(x), int(y)), stroke + 2, LINE, -1, cv2.LINE_AA)
    middle, along = _middle(points.astype(np.float64))
    # Walking along (dx, dy) with y pointing down, the right hand is (-dy, dx).
    right = np.array([-along[1], along[0]])
    reach = 0.07 * min(image.shape[:2])
    both = ((1, line.left_to_right, LEFT_TO_RIGHT), (-1, line.right_to_left, RIGHT_TO_LEFT))
    for place, (sign, name, colour) in enumerate(both):
        start = middle + along * reach * 0.35 * sign
        tip = start + right * reach * sign
        _arrow(image, start, tip, colour)
        text = name if totals is None else f"{name} {totals[place]}"
        write(image, text, tuple(tip + right * sign * 0.32 * reach), colour, centred=True)
    corner = points[0] + np.array([0.6, -0.6]) * reach * 0.4
    write(image, line.name, (float(corner[0]), float(corner[1])), LINE)


def write(
    image: Image,
    text: str,
    at: tuple[float, ...],
    colour: Colour,
    *,
    size: float = 1.0,
    centred: bool = False,
) -> None:
    """Write `text` on a dark plate inside the picture; `at` is its lower left or its middle, in pixels."""
    height, width = image.shape[:2]
    scale = size * max(0.38, height / 1150)
    thick = 1 if height * size < 900 else 2
    (w, h), base = cv2.getTextSize(text, FONT, scale, thick)
    pad = max(2, h // 3)
    x = at[0] - w / 2 if centred else at[0]
    y = at[1] + h / 2 if centred else at[1]
    left = int(min(max(x, pad), max(pad, width - w - pad)))
    bottom = int(min(max(y, h + pad), max(h + pad, height - pad - base // 2)))
    plate = image[max(0, bottom - h - pad) : bottom + pad, max(0, left - pad) : left + w + pad]
    plate[:] = (plate * 0.3).astype(np.uint8)
    cv2.putText(image, text, (left, bottom), FONT, scale, colour, thick, cv2.LINE_AA)


def _pixels(image: Image, points: Sequence[Point]) -> Pixels:
    height, width = image.shape[:2]
    return np.round(np.array(points, np.float64) * (width, height)).astype(np.int32)


def _stroke(image: Image) -> int:
    return max(1, round(float(image.shape[0]) / 360))


def _shade(image: Image, points: Pixels, colour: Colour, share: float) -> None:
    overlay = image.copy()
    cv2.fillPoly(overlay, [points], colour)
    cv2.addWeighted(overlay, share, image, 1 - share, 0, dst=image)


def _arrow(
    image: Image, start: npt.NDArray[np.float64], tip: npt.NDArray[np.float64], colour: Colour
) -> None:
    a, b = (int(start[0]), int(start[1])), (int(tip[0]), int(tip[1]))
    stroke = _stroke(image)
    cv2.arrowedLine(image, a, b, INK, stroke + 3, cv2.LINE_AA, tipLength=0.3)
    cv2.arrowedLine(image, a, b, colour, stroke + 1, cv2.LINE_AA, tipLength=0.3)


def _middle(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The point halfway along the poly-line and the unit vector of its segment there."""
    steps = np.diff(points, axis=0)
    lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)
    half = lengths.sum() / 2
    index = int(np.searchsorted(np.cumsum(lengths), half))
    index = min(index, len(steps) - 1)
    rest = half - lengths[:index].sum()
    unit = steps[index] / lengths[index]
    return points[index] + unit * rest, unit
