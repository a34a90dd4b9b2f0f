"""Plane geometry on arrays: overlap of boxes, sides of lines, points in polygons, the map to the ground.

Pure functions of numpy arrays; coordinates are normalised (x right, y down) but any unit works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Points = Sequence[tuple[float, float]]
AnyFloats = npt.NDArray[np.floating[Any]]

GRID = 24
MAX_CONDITION = 1e8  # of a homography's equations: beyond, four points say nothing
BORDER = 0.02  # of the picture: a box this near to its border is cut by it, and a line goes on beyond it


def at_the_border(point: tuple[float, float]) -> bool:
    """Whether a normalised point lies at the picture's border, or beyond it."""
    return min(*point, 1 - point[0], 1 - point[1]) <= BORDER


def cut_by_border(box_xyxyn: Sequence[float]) -> bool:
    """Whether the picture's border cuts a normalised box x1, y1, x2, y2."""
    return min(box_xyxyn) < BORDER or max(box_xyxyn) > 1 - BORDER


def iou(first_xyxy: AnyFloats, second_xyxy: AnyFloats) -> Array:
    """Intersection over union of every pair: (N, 4) and (M, 4) boxes give (N, M); empty boxes give 0."""
    a = np.asarray(first_xyxy, np.float64)
    b = np.asarray(second_xyxy, np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    width = np.maximum(high - low, 0.0)
    shared = width[..., 0] * width[..., 1]
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    union = area_a[:, None] + area_b[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def good_boxes(boxes_xyxy: AnyFloats) -> npt.NDArray[np.bool_]:
    """(N,) which of (N, 4) boxes are finite and have a positive width and height."""
    boxes = np.asarray(boxes_xyxy)
    with np.errstate(invalid="ignore"):
        sized = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return np.asarray(sized & np.isfinite(boxes).all(axis=1))


def anchor_points(boxes_xyxyn: AnyFloats, anchor: str) -> Array:
    """(N, 2) the point that stands for each box: "foot" (bottom centre), "top" (top centre) or "center"."""
    boxes = np.asarray(boxes_xyxyn, np.float64)
    points = (boxes[:, :2] + boxes[:, 2:]) / 2
    if anchor == "foot":
        points[:, 1] = boxes[:, 3]
    elif anchor == "top":
        points[:, 1] = boxes[:, 1]
    elif anchor != "center":
        raise ValueError(f"anchor {anchor!r}: use foot, center or top")
    return np.asarray(points)


class Polygon:
    """A polygon (P, 2) that is asked again and again which points it holds."""

    def __init__(self, corners_xy: AnyFloats) -> None:
        corners = np.asarray(corners_xy, np.float64)
        (self._x, self._y), (following_x, self._following_y) = corners.T, np.roll(corners, -1, axis=0).T
        self._corners, self._steps = corners, np.roll(corners, -1, axis=0) - corners
        level = self._following_y == self._y
        self._rise = np.where(level, 1.0, self._following_y - self._y)
        self._run = following_x - self._x

    def holds(self, points_xy: AnyFloats) -> npt.NDArray[np.bool_]:
        """(N,) which of (N, 2) points lie in it, by the even-odd rule; an edge may be either."""
        x, y = points_xy[:, 0:1], points_xy[:, 1:2]
        spans = (self._y > y) != (self._following_y > y)
        at_x = self._x + (y - self._y) / self._rise * self._run
        return np.asarray(np.logical_xor.reduce(spans & (x < at_x), axis=1))

    def to_edge(self, points_xy: AnyFloats) -> Array:
        """(N, 2) the way from (N, 2) points to the nearest place of the edge."""
        offset = points_xy[:, None] - self._corners
        long = np.maximum((self._steps**2).sum(axis=1), 1e-18)
        share = np.clip((offset * self._steps).sum(axis=2) / long, 0.0, 1.0)
        ways = share[..., None] * self._steps - offset
        nearest = (ways**2).sum(axis=2).argmin(axis=1)
        return np.asarray(ways[np.arange(len(points_xy)), nearest])

    def inner_radius(self) -> float:
        """About how far the innermost place of it is from its edge: of GRID by GRID places the farthest."""
        low, high = self._corners.min(axis=0), self._corners.max(axis=0)
        share = (np.arange(GRID) + 0.5) / GRID
        places = low + np.stack(np.meshgrid(share, share), axis=-1).reshape(-1, 2) * (high - low)
        inside = places[self.holds(places)]
        return float(np.hypot(*self.to_edge(inside).T).max(initial=0.0))


def point_in_polygon(points_xy: AnyFloats, polygon_xy: AnyFloats) -> npt.NDArray[np.bool_]:
    """(N,) which of (N, 2) points lie in the polygon (P, 2), by the even-odd rule; an edge may be either."""
    return Polygon(polygon_xy).holds(np.asarray(points_xy, np.float64))


class Polyline:
    """A directed line of two or more points that parts the plane, its first and last piece going on forever.

    Left and right are as seen walking from the first point to the second, with y pointing down::

             first
               |      left is the greater x here (walking down the picture, the left hand
        right  |      points to the right edge), so the signed distance is positive
               v      on the right-hand side of the walker
             second

    A point's side is that of the nearest piece; where the nearest place is a corner, the mean of the two
    normals decides (Baerentzen and Aanaes, "Signed distance computation using the angle weighted
    pseudonormal", 2005, in the plane).
    """

    def __init__(self, points_xy: Sequence[tuple[float, float]]) -> None:
        self.points = np.asarray(points_xy, np.float64)
        if self.points.ndim != 2 or self.points.shape[1] != 2 or len(self.points) < 2:
            raise ValueError(f"a line needs two or more points (x, y), got shape {self.points.shape}")
        steps = np.diff(self.points, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        if not (lengths > 0).all():
            raise ValueError("a line's neighbouring points must differ")
        self.lengths = lengths
        self.units = steps / lengths[:, None]
        # With y down, turning the walking direction by +90 degrees points to the walker's right.
        self.normals = np.column_stack([-self.units[:, 1], self.units[:, 0]])

    def distance(self, points_xy: AnyFloats) -> Array:
        """(N,) the signed distance of (N, 2) points, positive on the right."""
        if len(self.lengths) > 1:
            return self.locate(points_xy)[0]
        return np.asarray((points_xy - self.points[0]) @ self.normals[0])

    def locate(self, points_xy: AnyFloats) -> tuple[Array, Array]:
        """For (N, 2) points: signed distance (N,), positive on the right, and the normal there (N, 2)."""
        points = np.asarray(points_xy, np.float64)
        if len(self.lengths) == 1:
            offset = points - self.points[0]
            return offset @ self.normals[0], self.normals.repeat(len(points), axis=0)
        offset, along = self._along(points)
        low = np.zeros(len(self.lengths))
        high = self.lengths.copy()
        low[0], high[-1] = -np.inf, np.inf
        place = np.clip(along, low, high)
        away = offset - place[..., None] * self.units
        near = np.argmin((away**2).sum(axis=2), axis=1)
        rows = np.arange(len(points))
        normal = self._at_corners(self.normals[near], near, along[rows, near])
        gap = away[rows, near]
        side = (gap * normal).sum(axis=1)
        return np.copysign(np.hypot(gap[:, 0], gap[:, 1]), side), normal

    def beyond(self, points_xy: AnyFloats) -> tuple[Array, Array]:
        """For (N, 2) points: how far before the line's first point and how far after its last point the
        nearest place lies (N,) each, 0 where it lies within the drawn line."""
        points = np.asarray(points_xy, np.float64)
        offset, along = self._along(points)
        place = np.clip(along, 0.0, self.lengths)
        near = np.argmin(((offset - place[..., None] * self.units) ** 2).sum(axis=2), axis=1)
        at = along[np.arange(len(points)), near]
        before = np.where(near == 0, np.maximum(-at, 0.0), 0.0)
        after = np.where(near == len(self.lengths) - 1, np.maximum(at - self.lengths[-1], 0.0), 0.0)
        return before, after

    def _along(self, points: Array) -> tuple[Array, Array]:
        """(N, P, 2) offsets from the start of each piece, and (N, P) how far along it they are."""
        offset = points[:, None, :] - self.points[None, :-1, :]
        return offset, (offset * self.units).sum(axis=2)

    def _at_corners(self, normal: Array, near: npt.NDArray[np.intp], along: Array) -> Array:
        before = (along <= 0) & (near > 0)
        after = (along >= self.lengths[near]) & (near < len(self.lengths) - 1)
        mixed = normal.copy()
        mixed[before] += self.normals[near[before] - 1]
        mixed[after] += self.normals[near[after] + 1]
        size = np.hypot(mixed[:, 0], mixed[:, 1])[:, None]
        return np.where(size > 1e-9, mixed / np.maximum(size, 1e-9), normal)


class Homography:
    """From the picture to the ground: the plane projective map through four points.

    Four point pairs determine its eight numbers (Hartley and Zisserman, "Multiple View Geometry", 2nd ed.,
    section 4.1); the ninth is 1. It holds for points on the ground plane only: the feet of boxes, not their
    middles. `points_xyn` are in the picture, `ground_m` the same four in metres. Raises ValueError for
    points that determine no map.
    """

    def __init__(self, points_xyn: Points, ground_m: Points) -> None:
        rows, right = [], []
        for (u, v), (x, y) in zip(points_xyn, ground_m, strict=True):
            rows.append([u, v, 1, 0, 0, 0, -x * u, -x * v])
            rows.append([0, 0, 0, u, v, 1, -y * u, -y * v])
            right += [x, y]
        scale = max(1.0, float(np.abs(right).max()))
        system = np.array(rows, np.float64)
        if np.linalg.cond(system / np.array([scale] * 6 + [scale**2] * 2)) > MAX_CONDITION:
            raise ValueError("calibration: the four points determine no ground: choose four farther apart")
        values = np.linalg.solve(system, np.array(right))
        self.matrix: Array = np.append(values, 1.0).reshape(3, 3)
        corners = np.column_stack([np.array(points_xyn), np.ones(4)])
        depth = corners @ self.matrix[2]
        if not ((depth > 0).all() or (depth < 0).all()):
            raise ValueError("calibration: the horizon runs between the four points: check their order")
        self._sign = 1.0 if depth[0] > 0 else -1.0
        self._min_depth = 0.02 * float(np.abs(depth).min())

    def to_ground(self, points_xyn: Array) -> Array:
        """(N, 2) points of the picture in metres; NaN at and beyond the horizon."""
        lifted = np.column_stack([points_xyn, np.ones(len(points_xyn))]) @ self.matrix.T
        depth = lifted[:, 2] * self._sign
        with np.errstate(divide="ignore", invalid="ignore"):
            ground = lifted[:, :2] / lifted[:, 2:]
        ground[~(depth > self._min_depth)] = np.nan
        return np.asarray(ground)


def fit(width: int, height: int, max_width: int) -> tuple[int, int]:
    """(width, height) shrunk to at most `max_width` (0: no limit), aspect kept, both even where shrunk."""
    if max_width <= 0 or width <= max_width:
        return width, height
    return max_width, max(2, round(height * max_width / width / 2) * 2)
