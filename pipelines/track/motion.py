"""How tracks move: a Kalman filter for each side of the box, with noise that is measured and not assumed.

Each side is a point of constant speed disturbed by white-noise acceleration (Bar-Shalom, "Estimation with
Applications to Tracking and Navigation", ch. 6.2), predicted over the true time between frames, so that
dropped frames and slow cameras are no special case. Two of its numbers are learnt while it runs:

- the noise of the boxes, from second differences of three matched boxes in a row (6 times the variance of
  one box where the motion is even), for each track, shrunk to the mean of the camera;
- the acceleration, by a factor for each track that follows its normalised innovations, so that a car that
  brakes is followed and a person that stands is smoothed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.settings import TrackerSettings

Array = npt.NDArray[np.float64]

EVEN = 0.25  # three boxes are evenly spaced where their two gaps differ by less than this share
LARGEST_BEND = 0.04  # squared noise over squared size; more is motion, not noise
FORGET = 0.95  # of a track's noise, a box
CAMERA_MEMORY = 1000.0  # boxes


class Motion:
    """Prediction and correction of rows of the state table, and the camera's own box noise."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._noise = np.full(2, settings.size_noise**2)
        self._noise_n = 20.0

    def predict(self, state: Array, dt: float) -> None:
        """Move all rows on by `dt` seconds, in place."""
        size = t.sizes(state[:, t.SIDES])
        q = (self.settings.acceleration * size) ** 2 * state[:, t.MANEUVER, None]
        pvv = state[:, t.P_VV]
        pxv = state[:, t.P_XV]
        state[:, t.SIDES] += dt * state[:, t.SPEEDS]
        state[:, t.P_XX] += dt * (2 * pxv + dt * pvv) + q * (dt**3 / 3)
        pxv += dt * pvv + q * (dt**2 / 2)
        pvv += q * dt

    def correct(self, state: Array, boxes: Array, now_s: float) -> None:
        """Take the matched boxes (N, 4) of the rows of `state` into account, in place."""
        size = t.sizes(boxes)
        self._measure(state, boxes, size, now_s)
        r = (self.box_noise(state) * size) ** 2
        gap = boxes - state[:, t.SIDES]
        pxx = state[:, t.P_XX]
        pxv = state[:, t.P_XV]
        inverse = 1.0 / (pxx + r)
        k, kv = pxx * inverse, pxv * inverse
        state[:, t.SIDES] += k * gap
        state[:, t.SPEEDS] += kv * gap
        state[:, t.P_VV] -= kv * pxv
        state[:, t.P_XX] = pxx - k * pxx
        state[:, t.P_XV] = pxv - k * pxv
        s = self.settings
        surprise = (gap * gap * inverse).sum(axis=1) / 4
        factor = state[:, t.MANEUVER] * np.minimum(np.maximum(surprise, 0.2), 5.0) ** s.maneuver_rate
        state[:, t.MANEUVER] = np.minimum(np.maximum(factor, s.maneuver_least), s.maneuver_most)

    def box_noise(self, state: Array) -> Array:
        """(N, 4) standard deviation of each side's noise, over the size of the box."""
        weight = self.settings.noise_weight
        mean = (state[:, t.NOISE_SUM] + weight * self._noise) / (state[:, t.NOISE_N, None] + weight)
        sigma = np.sqrt(mean)
        return np.concatenate([sigma, sigma], axis=1)

    def _measure(self, state: Array, boxes: Array, size: Array, now_s: float) -> None:
        dt = now_s - state[:, t.SEEN_S]
        even = (state[:, t.HITS] >= 2) & (np.abs(dt - state[:, t.SEEN_DT]) < EVEN * dt)
        if not even.any():
            return
        bend = (boxes - 2 * state[:, t.SEEN_1] + state[:, t.SEEN_2]) / size
        square = np.minimum(bend * bend / 6.0, LARGEST_BEND)
        both = (square[:, :2] + square[:, 2:]) / 2
        n = int(np.count_nonzero(even))
        self._noise_n = min(self._noise_n + n, CAMERA_MEMORY)
        mean = (both * even[:, None]).sum(axis=0) / n
        self._noise = self._noise + (n / self._noise_n) * (mean - self._noise)
        keep = np.where(even, FORGET, 1.0)
        state[:, t.NOISE_SUM] = state[:, t.NOISE_SUM] * keep[:, None] + both * even[:, None]
        state[:, t.NOISE_N] = state[:, t.NOISE_N] * keep + even

    def save(self) -> list[float]:
        return [*self._noise.tolist(), self._noise_n]

    def restore(self, saved: list[float]) -> None:
        self._noise = np.array(saved[:2], np.float64)
        self._noise_n = float(saved[2])
