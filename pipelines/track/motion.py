"""How tracks move: a Kalman filter for the place and the extent of the box, with noise that is measured and
not assumed.

Each of the four is a value of constant speed disturbed by white-noise acceleration (Bar-Shalom, "Estimation
with Applications to Tracking and Navigation", ch. 6.2), predicted over the true time between frames, so that
dropped frames and slow cameras are no special case. Two of its numbers are learnt while it runs:

- the noise of the boxes, from second differences of three matched boxes in a row (6 times the variance of
  one box where the motion is even), for each track, shrunk to the mean of the camera;
- the acceleration, by a factor for each track that follows its normalised innovations, so that a car that
  brakes is followed and a person that stands is smoothed.

All tables are (rows, N) views as in table.py.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.camera_motion import Shift
from pipelines.track.settings import TrackerSettings

Array = npt.NDArray[np.float64]

EVEN = 0.25  # three boxes are evenly spaced where their two gaps differ by less than this share
LARGEST_BEND = 0.04  # squared noise over squared size; more is motion, not noise
CROWD, CROWD_S = 3, 0.25  # so many tracks, seen within so many seconds, tell a new one how to move,
CROWD_AGREES = 3.0  # where their usual speed is so many times its spread,
CROWD_SPREAD = 0.3  # never surer than this, sizes / s
MAD_TO_SIGMA = 1.5  # of a normal distribution, roughly
FORGET = 0.95  # of a track's noise, a box
CAMERA_MEMORY = 1000.0  # boxes
# Of the variance of one side: that of the centre and that of the extent, the two sides erring by themselves.
SHARES = np.array([0.5, 2.0]).reshape(2, 1, 1)


class Motion:
    """Prediction and correction of the state table, and the camera's own box noise."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self._noise = np.full((2, 1), settings.size_noise**2)
        self._noise_n = 20.0
        self._q = np.array([settings.acceleration, settings.acceleration_size]).reshape(2, 1, 1) ** 2
        self._least, self._most = settings.maneuver_least, settings.maneuver_most

    def begin(self, fresh: Array, size: Array) -> None:
        """The first knowledge of new tracks: one box of `size` (2, N), and nothing of their speed."""
        square = size * size
        speed = np.array([self.settings.speed_prior, self.settings.speed_prior_size]).reshape(2, 1, 1) ** 2
        fresh[t.P_XX] = (SHARES * (self.noise(fresh) * square)).reshape(4, -1)
        fresh[t.P_VV] = (speed * square).reshape(4, -1)

    def join(self, fresh: Array, size: Array, others: Array, now_s: float) -> None:
        """New tracks move as the tracks beside them do, as far as those agree: in a view that turns, or in
        traffic, all boxes shift by so much between two frames that each could be its neighbour."""
        seen = (others[t.CONFIRMED] > 0) & (now_s - others[t.SEEN_S] < CROWD_S)
        if np.count_nonzero(seen) < CROWD:
            return
        speeds = others[t.SPEED][:2, seen]
        usual = np.median(speeds, axis=1, keepdims=True)
        spread = MAD_TO_SIGMA * np.median(np.abs(speeds - usual), axis=1, keepdims=True)
        if not (np.abs(usual) > CROWD_AGREES * spread).any():
            return
        doubt = 2.0 * np.maximum(spread, CROWD_SPREAD * size) ** 2
        variance = fresh[t.P_VV][:2]
        gain = variance / (variance + doubt)
        fresh[t.SPEED][:2] += gain * usual
        variance *= 1.0 - gain

    def predict(self, state: Array, dt: float) -> None:
        """Move all tracks on by `dt` seconds, in place."""
        size = np.maximum(state[2:4], t.LEAST_SIZE)
        size *= size
        size *= state[t.MANEUVER]
        q = (self._q * size).reshape(4, -1)
        v, pxv, pvv = state[t.SPEED], state[t.P_XV], state[t.P_VV]
        pxx = state[t.P_XX]
        step = dt * pvv
        step += 2 * pxv
        step *= dt
        pxx += step
        pxx += q * (dt**3 / 3)
        pxv += dt * pvv
        pxv += q * (dt**2 / 2)
        pvv += q * dt
        state[t.BOX] += dt * v

    def shift(self, state: Array, shift: Shift) -> None:
        """The view has moved: carry the tracks, their speeds and their last boxes over into it, in place."""
        for box in (state[t.BOX], state[t.SEEN_1], state[t.SEEN_2]):
            box[:2] = shift.linear @ box[:2] + shift.offset[:, None]
            box[2:] *= shift.scale
        speed = state[t.SPEED]
        speed[:2] = shift.linear @ speed[:2]
        speed[2:] *= shift.scale

    def correct(self, state: Array, boxes: Array, matched: Array, now_s: float) -> None:
        """Take the boxes (4, N) of the tracks where `matched` (N,) is 1 into account, in place; where it is 0
        the box must be the prediction itself."""
        size = np.maximum(boxes[2:], t.LEAST_SIZE)
        size *= size
        self._measure(state, boxes, size, matched, now_s)
        r = self.noise(state)
        r *= size
        x, v, pxx, pxv, pvv = state[t.BOX], state[t.SPEED], state[t.P_XX], state[t.P_XV], state[t.P_VV]
        gap = boxes - x
        inverse = (SHARES * r).reshape(4, -1)
        inverse += pxx
        np.divide(matched, inverse, out=inverse)
        k = pxx * inverse
        kv = pxv * inverse
        x += k * gap
        v += kv * gap
        pvv -= kv * pxv
        pxv -= k * pxv
        pxx -= k * pxx
        gap *= gap
        gap *= inverse
        surprise = gap.sum(axis=0)
        surprise *= 0.25
        np.maximum(surprise, 0.2, out=surprise)
        np.minimum(surprise, 5.0, out=surprise)
        surprise **= self.settings.maneuver_rate * matched
        maneuver = state[t.MANEUVER]
        maneuver *= surprise
        np.maximum(maneuver, self._least, out=maneuver)
        np.minimum(maneuver, self._most, out=maneuver)

    def noise(self, state: Array) -> Array:
        """(2, N) variance of the noise of a side in x and y, over the squared size of the box."""
        weight = self.settings.noise_weight
        mean = state[t.NOISE_SUM] + weight * self._noise
        mean /= state[t.NOISE_N] + weight
        return np.asarray(mean)

    def _measure(self, state: Array, boxes: Array, square_size: Array, matched: Array, now_s: float) -> None:
        dt = now_s - state[t.SEEN_S]
        even = np.abs(dt - state[t.SEEN_DT]) < EVEN * dt
        even &= state[t.HITS] >= 2
        even &= matched > 0
        n = int(np.count_nonzero(even))
        if not n:
            return
        bend = state[t.SEEN_1] * -2.0
        bend += boxes
        bend += state[t.SEEN_2]
        bend *= bend
        both = bend[:2] + 0.25 * bend[2:]
        both /= 6.0 * square_size
        np.minimum(both, LARGEST_BEND, out=both)
        both *= even
        self._noise_n = min(self._noise_n + n, CAMERA_MEMORY)
        self._noise += (both.sum(axis=1, keepdims=True) / n - self._noise) * (n / self._noise_n)
        keep = 1.0 - (1.0 - FORGET) * even
        state[t.NOISE_SUM] *= keep
        state[t.NOISE_SUM] += both
        state[t.NOISE_N] *= keep
        state[t.NOISE_N] += even

    def save(self) -> list[float]:
        return [*self._noise[:, 0].tolist(), self._noise_n]

    def restore(self, saved: list[float]) -> None:
        self._noise = np.array(saved[:2], np.float64).reshape(2, 1)
        self._noise_n = float(saved[2])
