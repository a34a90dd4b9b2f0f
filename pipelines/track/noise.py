"""How noisy a camera's boxes are, measured while it runs: from second differences of three matched boxes in a
row (6 times the variance of one box where the motion is even), for each track, shrunk to the camera's mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track.settings import TrackerSettings
from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

EVEN = np.array(0.25)  # three boxes are evenly spaced where their gaps differ by less than this share
LARGEST_BEND = np.array(0.04)  # squared noise over squared size; more is motion, not noise
FORGET, ONE = np.array(0.95), np.array(1.0)  # of a track's noise, a box
CAMERA_MEMORY = 1000.0  # boxes
# Squared second differences of centre and extent -> squared noise of a side.
BENDS: Array = np.array([[1, 0, 0.25, 0], [0, 1, 0, 0.25]]) / 6


class BoxNoise:
    """The camera's own noise, and what is summed for each track in `Table.noise`."""

    def __init__(self, settings: TrackerSettings) -> None:
        self._weight = settings.noise_weight  # boxes that the camera's mean counts for in a track's own
        self._mean = [settings.size_noise**2] * 2
        self._n = 20.0
        self._prior = np.full((3, 1), self._weight)  # what the mean adds to the sums of a track
        self._spread()

    def _spread(self) -> None:
        self._prior[:2, 0] = [self._weight * mean for mean in self._mean]

    def of(self, tracks: Table) -> Array:
        """(2, N) variance of the noise of a side in x and y, over the squared size of the box."""
        total = tracks.noise + self._prior
        return np.asarray(total[:2] / total[2])

    def measure(self, tracks: Table, step: Array, square_size: Array, matched: Bools | None) -> None:
        """Learn from tracks that came here from their last boxes by `step` (5, N), in time and place."""
        bend = step - tracks.step
        even = np.abs(bend[0]) < EVEN * step[0]
        if matched is not None:
            even &= matched
        n = int(np.count_nonzero(even))
        if not n:
            return
        bend = bend[1:]
        bend *= bend
        both = BENDS.dot(bend)
        both /= square_size
        np.minimum(both, LARGEST_BEND, out=both)
        self._n = min(self._n + n, CAMERA_MEMORY)
        for axis, total in enumerate(both.dot(even).tolist()):
            self._mean[axis] += (total / n - self._mean[axis]) * (n / self._n)
        self._spread()
        sums, boxes = tracks.noise[:2], tracks.noise[2]
        np.multiply(tracks.noise, FORGET, out=tracks.noise, where=even)
        np.add(sums, both, out=sums, where=even)
        np.add(boxes, ONE, out=boxes, where=even)

    def save(self) -> list[float]:
        return [*self._mean, self._n]

    def restore(self, saved: list[float]) -> None:
        self._mean, self._n = [float(v) for v in saved[:2]], float(saved[2])
        self._spread()
