"""How noisy a camera's boxes are, measured while it runs: from second differences of three matched boxes in a
row (6 times the variance of one box where the motion is even), for each track, shrunk to the camera's mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track.buffers import Rooms
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import Table

Array = npt.NDArray[np.float64]

EVEN = np.array(0.25)  # three boxes are evenly spaced where their gaps differ by less than this share
LARGEST_BEND = np.array(0.04)  # squared noise over squared size; more is motion, not noise
FORGET = 0.05  # of a track's noise, a box
CAMERA_MEMORY = 1000.0  # boxes
# One or none, and squared second differences of centre and extent -> squared noise of a side, and one box or
# none, twice.
BENDS: Array = np.array([[0, 1, 0, 0.25, 0], [0, 0, 1, 0, 0.25], [6, 0, 0, 0, 0], [6, 0, 0, 0, 0]]) / 6
# Of a box that counts, what is learnt of it and what is left of the sums: from one and from 1 or 0, stretched
# over the rows by the product (numpy itself stretches more slowly).
SHARES: Array = np.array([[0.0, 1.0]] * 4 + [[1.0, -FORGET]] * 4)


class _Room:
    """Room to measure the noise of `n` tracks."""

    def __init__(self, n: int) -> None:
        one_bend = np.ones((6, n))
        self.bend, self.bend_s = one_bend[1:], one_bend[1]  # of it the first row tells then who counts
        self.one_counted = one_bend[:2]
        self.allowed = np.empty(n)
        self.even = np.empty(n, np.bool_)
        self.shares = np.empty((8, n))
        self.total = np.empty((4, n))
        self.total_noise, self.total_boxes = self.total[:2], self.total[2:]


class BoxNoise:
    """The camera's own noise, and what is summed for each track in `Table.noise`."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._weight = settings.noise_weight  # boxes that the camera's mean counts for in a track's own
        self._mean = [settings.size_noise**2] * 2
        self._n = 20.0
        # The sums of a track and what the mean adds to them, from Table.noise_one.
        self._adding = np.concatenate((np.eye(4), np.full((4, 1), self._weight)), axis=1)
        self._spread()
        self._rooms = Rooms(_Room)

    def _spread(self) -> None:
        x, y = self._mean
        self._adding[0, 4], self._adding[1, 4] = self._weight * x, self._weight * y

    def of(self, tracks: Table, out: Array) -> None:
        """Write to `out` (2, N) the variance of the noise of a side in x and y, over the squared size."""
        room = self._rooms[tracks.n]
        self._adding.dot(tracks.noise_one, room.total)
        np.divide(room.total_noise, room.total_boxes, out)

    def measure(self, tracks: Table, step: Array, square_size: Array, absent: list[int]) -> None:
        """Learn from the tracks but those `absent`, which came here from their last boxes by `step` (5, N),
        in time and place."""
        room = self._rooms[tracks.n]
        bend, bend_s, even = room.bend, room.bend_s, room.even
        np.subtract(step, tracks.step, bend)
        np.multiply(step[0], EVEN, room.allowed)
        np.less(np.abs(bend_s, bend_s), room.allowed, even)
        for column in absent:
            even[column] = False
        noise, sums, added = tracks.learnt_noise, tracks.noise, tracks.learnt_and_noise
        bend_s[:] = even
        bend *= bend
        BENDS.dot(bend, tracks.learnt)
        noise /= square_size
        np.minimum(noise, LARGEST_BEND, out=noise)
        x, y, n, _ = tracks.learnt.dot(bend_s).tolist()
        if not n:
            return
        self._n = min(self._n + n, CAMERA_MEMORY)
        self._mean[0] += (x / n - self._mean[0]) * (n / self._n)
        self._mean[1] += (y / n - self._mean[1]) * (n / self._n)
        self._spread()
        added *= SHARES.dot(room.one_counted, room.shares)
        sums += tracks.learnt

    def save(self) -> list[float]:
        return [*self._mean, self._n]

    def restore(self, saved: list[float]) -> None:
        self._mean, self._n = [float(v) for v in saved[:2]], float(saved[2])
        self._spread()
