"""The camera of the synthetic scene: a pinhole on a pole, and the street it looks at.

World coordinates are metres: x along the street to the right, y across it away from the camera, z up; the
pole stands at x = y = 0. Pixels are x right, y down.

            facade   y = 24.5   ==========================================
            pavement            . . . . . . . . . . . . . . . . . . . . .
            parking  y = 20.6   [parked]      [parked]
            road     y = 18.6   <---------------- lane 1 -----------------
                                ----------------- lane 0 ---------------->
            pavement y = 11.0   . . . . . . . . . . . . . . . . . . . . .
            camera   y = 0            *  5.4 m high, turned to the left
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NEAR_PAVEMENT = (6.6, 11.0)
ROAD = (11.0, 18.6)
PARKING = (18.6, 20.6)
FAR_PAVEMENT = (20.6, 24.5)
FACADE = 24.5
LANES = (13.0, 16.5)  # y of the two lanes' middles; lane 0 drives to +x, lane 1 to -x
CYCLE_LANE = 11.7  # y of the cyclists of lane 0
ZEBRA = (-17.5, -14.0)  # x of its two edges
STOP_LINES = (-18.7, -12.8)  # x at which the fronts of lane 0 and lane 1 stand at red
COUNT_SLOPE = -0.4557  # the scene's own counting line lies in x = slope * y, seen upright
VERTICAL_FOV = math.radians(41.0)
NEAREST_M = 0.5  # points closer to the lens than this are not projected


@dataclass(frozen=True)
class View:
    """A pinhole camera: `forward`, `right` and `up` are unit vectors, `focal` is in pixels."""

    width: int
    height: int
    position: Array
    right: Array
    up: Array
    forward: Array
    focal: float

    @classmethod
    def of_street(cls, width: int, height: int, yaw_deg: float, pitch_deg: float, height_m: float) -> View:
        """A camera turned `yaw_deg` to the left of the street's normal and `pitch_deg` down."""
        yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
        flat = np.array([-math.sin(yaw), math.cos(yaw), 0.0])
        right = np.array([math.cos(yaw), math.sin(yaw), 0.0])
        forward = flat * math.cos(pitch) + np.array([0.0, 0.0, -math.sin(pitch)])
        up = np.cross(right, forward)
        # Wider than 16:9 keeps the horizontal angle of 16:9, so that a wide picture is not a telescope.
        focal = max(height, width * 9 / 16) / 2 / math.tan(VERTICAL_FOV / 2)
        return cls(width, height, np.array([0.0, 0.0, height_m]), right, up, forward, focal)

    def padded(self, dx: int, dy: int) -> View:
        """The same camera with a larger sensor: `dx` and `dy` more pixels on every side."""
        return dataclasses.replace(self, width=self.width + 2 * dx, height=self.height + 2 * dy)

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return pixels (N, 2) and depth (N,) in metres of `points` (N, 3).

        Depth below NEAREST_M is clamped for the division: callers drop what lies behind the lens by depth.
        """
        rel = points - self.position
        depth = rel @ self.forward
        scale = self.focal / np.maximum(depth, NEAREST_M)
        pixels = np.empty((len(points), 2))
        pixels[:, 0] = self.width / 2 + (rel @ self.right) * scale
        pixels[:, 1] = self.height / 2 - (rel @ self.up) * scale
        return pixels, depth

    def may_see(self, x: float, y: float, reach_m: float) -> bool:
        """Whether something at (x, y) on the ground that reaches so far can have a part in the picture."""
        away = x * float(self.forward[0]) + y * float(self.forward[1])
        aside = abs(x * float(self.right[0]) + y * float(self.right[1]))
        return away > -reach_m and aside < max(away, 0.0) * self.width / self.focal / 2 * 1.2 + reach_m

    def rays(self) -> Array:
        """(H, W, 3): the direction of every pixel's ray."""
        xs = (np.arange(self.width) + 0.5 - self.width / 2) / self.focal
        ys = (self.height / 2 - np.arange(self.height) - 0.5) / self.focal
        return (
            self.forward[None, None, :]
            + xs[None, :, None] * self.right[None, None, :]
            + ys[:, None, None] * self.up[None, None, :]
        )
