"""What a picture of the synthetic scene is drawn from: a few flat shapes in pixels, each with its own extent.

The same shapes are painted, measured for the truth's box, and rasterised for the visible share, so that
the truth cannot part from the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image

Colour = tuple[int, int, int]  # B, G, R
Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels, not clipped to the picture

SHIFT = 3  # fractional bits of the coordinates given to cv2
ONE = 1 << SHIFT
LIMIT = 30_000.0  # pixels; cv2's fixed point must not overflow on what is nearly behind the lens


@dataclass(frozen=True, slots=True)
class Poly:
    """A filled polygon; points (N, 2) in pixels. `convex` ones are drawn by the faster routine."""

    points: npt.NDArray[np.float64]
    colour: Colour
    convex: bool = True


@dataclass(frozen=True, slots=True)
class Limb:
    """A thick line with round ends from a to b; `width` in pixels."""

    ax: float
    ay: float
    bx: float
    by: float
    width: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Oval:
    """A filled ellipse with half axes rx, ry in pixels, turned by `angle_deg`."""

    x: float
    y: float
    rx: float
    ry: float
    angle_deg: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Wire:
    """An open or closed outline through points (N, 2), `width` pixels thick."""

    points: npt.NDArray[np.float64]
    width: float
    colour: Colour
    closed: bool = False


Shape = Poly | Limb | Oval | Wire


def paint(image: Image, shapes: Iterable[Shape]) -> None:
    """Draw `shapes` in order, with smooth edges."""
    for shape in shapes:
        _draw(image, shape, shape.colour, cv2.LINE_AA)


def stamp(mask: Image, shapes: Iterable[Shape], value: int) -> None:
    """Fill the silhouettes of `shapes` with `value` in a (H, W) uint8 picture, without smooth edges."""
    for shape in shapes:
        _draw(mask, shape, (value, value, value), cv2.LINE_8)


def box_of(shapes: Sequence[Shape]) -> Box:
    """The extent of all `shapes`, in pixels; it may reach outside of the picture."""
    xs: list[float] = []
    ys: list[float] = []
    corners: list[npt.NDArray[np.float64]] = []  # of polygons, which are most of what there is: asked at once
    for shape in shapes:
        if isinstance(shape, Limb):
            half = max(1, round(shape.width)) / 2
            xs += (shape.ax - half, shape.ax + half, shape.bx - half, shape.bx + half)
            ys += (shape.ay - half, shape.ay + half, shape.by - half, shape.by + half)
        elif isinstance(shape, Oval):
            turn = math.radians(shape.angle_deg)
            dx = math.hypot(shape.rx * math.cos(turn), shape.ry * math.sin(turn))
            dy = math.hypot(shape.rx * math.sin(turn), shape.ry * math.cos(turn))
            xs += (shape.x - dx, shape.x + dx)
            ys += (shape.y - dy, shape.y + dy)
        elif isinstance(shape, Wire):
            half = max(1, round(shape.width)) / 2
            corners += (shape.points - half, shape.points + half)
        else:
            corners.append(shape.points)
    if corners:
        all_corners = np.concatenate(corners)
        xs += (float(all_corners[:, 0].min()), float(all_corners[:, 0].max()))
        ys += (float(all_corners[:, 1].min()), float(all_corners[:, 1].max()))
    return min(xs), min(ys), max(xs), max(ys)


def _draw(image: Image, shape: Shape, colour: Colour, line_type: int) -> None:
    if isinstance(shape, Poly):
        fixed = _fixed_points(shape.points)
        if shape.convex:
            cv2.fillConvexPoly(image, fixed, colour, line_type, SHIFT)
        else:
            cv2.fillPoly(image, [fixed], colour, line_type, SHIFT)
    elif isinstance(shape, Wire):
        width = max(1, round(shape.width))
        cv2.polylines(image, [_fixed_points(shape.points)], shape.closed, colour, width, line_type, SHIFT)
    elif isinstance(shape, Limb):
        a, b = _fixed(shape.ax, shape.ay), _fixed(shape.bx, shape.by)
        cv2.line(image, a, b, colour, max(1, round(shape.width)), line_type, SHIFT)
    else:
        axes = (max(1, round(shape.rx * ONE)), max(1, round(shape.ry * ONE)))
        cv2.ellipse(
            image, _fixed(shape.x, shape.y), axes, shape.angle_deg, 0, 360, colour, -1, line_type, SHIFT
        )


def _fixed(x: float, y: float) -> tuple[int, int]:
    return round(min(max(x - 0.5, -LIMIT), LIMIT) * ONE), round(min(max(y - 0.5, -LIMIT), LIMIT) * ONE)


def _fixed_points(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """The ufuncs themselves: np.clip and np.round would take most of the time of so few points."""
    inside = np.minimum(np.maximum(points - 0.5, -LIMIT), LIMIT)
    return np.asarray(np.rint(inside * ONE), np.int32)
