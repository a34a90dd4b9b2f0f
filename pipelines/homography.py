"""From the picture to the ground: the plane projective map through four points.

Four point pairs determine its eight numbers (Hartley and Zisserman, "Multiple View Geometry", 2nd ed.,
section 4.1); the ninth is 1. It holds for points on the ground plane only: the feet of boxes, not their
middles.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.rules import CalibrationSpec

Array = npt.NDArray[np.float64]
WORST = 1e8  # condition number beyond which four points say nothing


class Homography:
    """`to_ground` of one calibration. Raises ValueError for points that determine no map."""

    def __init__(self, calibration: CalibrationSpec) -> None:
        rows, right = [], []
        for (u, v), (x, y) in zip(calibration.points, calibration.ground, strict=True):
            rows.append([u, v, 1, 0, 0, 0, -x * u, -x * v])
            rows.append([0, 0, 0, u, v, 1, -y * u, -y * v])
            right += [x, y]
        scale = max(1.0, float(np.abs(right).max()))
        system = np.array(rows, np.float64)
        if np.linalg.cond(system / np.array([scale] * 6 + [scale**2] * 2)) > WORST:
            raise ValueError("calibration: the four points determine no ground: choose four farther apart")
        values = np.linalg.solve(system, np.array(right))
        self.matrix: Array = np.append(values, 1.0).reshape(3, 3)
        corners = np.column_stack([np.array(calibration.points), np.ones(4)])
        depth = corners @ self.matrix[2]
        if not ((depth > 0).all() or (depth < 0).all()):
            raise ValueError("calibration: the horizon runs between the four points: check their order")
        self._sign = 1.0 if depth[0] > 0 else -1.0
        self._least = 0.02 * float(np.abs(depth).min())

    def to_ground(self, points_xyn: Array) -> Array:
        """(N, 2) points of the picture in metres; NaN at and beyond the horizon."""
        lifted = np.column_stack([points_xyn, np.ones(len(points_xyn))]) @ self.matrix.T
        depth = lifted[:, 2] * self._sign
        with np.errstate(divide="ignore", invalid="ignore"):
            ground = lifted[:, :2] / lifted[:, 2:]
        ground[~(depth > self._least)] = np.nan
        return np.asarray(ground)
