"""How noisy a camera's boxes are, measured while it runs: from second differences of three matched boxes in a
row (6 times the variance of one box where the motion is even), for each track, shrunk to the camera's mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.settings import TrackerSettings
from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EVEN = np.array(0.25)  # three boxes are evenly spaced where their gaps differ by less than this share
LARGEST_BEND = np.array(0.04)  # squared noise over squared size; more is motion, not noise
FORGET = np.array(0.05)  # of a track's noise, a box
CAMERA_MEMORY = 1000.0  # boxes
# One, and squared second differences of centre and extent -> squared noise of a side, and one box, twice.
BENDS: Array = np.array([[0, 1, 0, 0.25, 0], [0, 0, 1, 0, 0.25], [6, 0, 0, 0, 0], [6, 0, 0, 0, 0]]) / 6


class BoxNoise:
    """The camera's own noise, and what is summed for each track in `Table.noise`."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._weight = settings.noise_weight  # boxes that the camera's mean counts for in a track's own
        self._mean = [settings.size_noise**2] * 2
        self._n = 20.0
        # The sums of a track and what the mean adds to them, from Table.noise_one.
        self._adding = np.concatenate((np.eye(4), np.full((4, 1), self._weight)), axis=1)
        self._spread()

    def _spread(self) -> None:
        x, y = self._mean
        self._adding[0, 4], self._adding[1, 4] = self._weight * x, self._weight * y

    def of(self, tracks: Table, out: Array) -> None:
        """Write to `out` (2, N) the variance of the noise of a side in x and y, over the squared size."""
        total = self._adding.dot(tracks.noise_one)
        np.divide(total[:2], total[2:], out=out)

    def measure(self, tracks: Table, step: Array, square_size: Array, matched: Bools | None) -> None:
        """Learn from tracks that came here from their last boxes by `step` (5, N), in time and place."""
        bend = step - tracks.step
        even = np.abs(bend[0]) < step[0] * EVEN
        if matched is not None:
            even &= matched
        n = int(np.count_nonzero(even))
        if not n:
            return
        bend[0].fill(1.0)
        bend *= bend
        learnt = BENDS.dot(bend)
        both = learnt[:2]
        both /= square_size
        np.minimum(both, LARGEST_BEND, out=both)
        counted = even.astype(np.float64)
        x, y = both.dot(counted).tolist()
        self._n = min(self._n + n, CAMERA_MEMORY)
        self._mean[0] += (x / n - self._mean[0]) * (n / self._n)
        self._mean[1] += (y / n - self._mean[1]) * (n / self._n)
        self._spread()
        learnt -= tracks.noise * FORGET
        learnt *= t.FOUR.dot(counted[None])  # stretched over the rows: faster than numpy stretches it
        tracks.noise += learnt

    def save(self) -> list[float]:
        return [*self._mean, self._n]

    def restore(self, saved: list[float]) -> None:
        self._mean, self._n = [float(v) for v in saved[:2]], float(saved[2])
        self._spread()
