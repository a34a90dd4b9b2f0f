"""How tracks move: a Kalman filter for the place and the extent of the box, with noise that is measured and
not assumed.

Each of the four is a value of constant speed disturbed by white-noise acceleration (Bar-Shalom, "Estimation
with Applications to Tracking and Navigation", ch. 6.2), predicted over the true time between frames, so that
dropped frames and slow cameras are no special case. Two of its numbers are learnt while it runs: the noise of
the boxes (noise.py), and the acceleration, by a factor for each track that follows its normalised
innovations, so that a car that brakes is followed and a person that stands is smoothed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.camera_motion import Shift
from pipelines.track.noise import BoxNoise
from pipelines.track.settings import TrackerSettings
from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CROWD, CROWD_S = 3, 0.25  # so many tracks, seen within so many seconds, tell a new one how to move,
CROWD_AGREES = 3.0  # where their usual speed is so many times its spread,
CROWD_SPREAD = 0.3  # never surer than this, sizes / s
MAD_TO_SIGMA = 1.5  # of a normal distribution, roughly
# Of the variance of one side: that of the centre and that of the extent, the two sides erring by themselves.
SHARES: Array = np.array([[0.5, 0], [0, 0.5], [2.0, 0], [0, 2.0]])
MEAN: Array = np.full((2, 4), 0.25)  # of the four rows, twice
LEAST_SURPRISE, MOST_SURPRISE = np.array(0.2), np.array(5.0)


class Motion:
    """Prediction and correction of the tracks of a camera."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.noise = BoxNoise(settings)
        self._steps = _steps(settings.acceleration**2, settings.acceleration_size**2)
        self._rate = np.array(settings.maneuver_rate)
        self._least, self._most = np.array(settings.maneuver_least), np.array(settings.maneuver_most)

    def begin(self, fresh: Table) -> None:
        """The first knowledge of new tracks: one box, and nothing of their speed."""
        s = self.settings
        size = np.maximum(fresh.size, t.LEAST)
        size *= size
        fresh.side[:] = self.noise.of(fresh)
        fresh.p_xx[:] = SHARES.dot(fresh.side * size)
        fresh.p_vv[:2] = s.speed_prior**2 * size
        fresh.p_vv[2:] = s.speed_prior_size**2 * size
        fresh.maneuver[:] = 1.0

    def join(self, fresh: Table, others: Table, now_s: float) -> None:
        """New tracks move as the tracks beside them do, as far as those agree: in a view that turns, or in
        traffic, all boxes shift by so much between two frames that each could be its neighbour."""
        seen = (others.confirmed > 0) & (now_s - others.seen_s < CROWD_S)
        if np.count_nonzero(seen) < CROWD:
            return
        speeds = others.speed[:2, seen]
        usual = np.median(speeds, axis=1, keepdims=True)
        spread = MAD_TO_SIGMA * np.median(np.abs(speeds - usual), axis=1, keepdims=True)
        if not (np.abs(usual) > CROWD_AGREES * spread).any():
            return
        doubt = 2.0 * np.maximum(spread, CROWD_SPREAD * np.maximum(fresh.size, t.LEAST)) ** 2
        variance = fresh.p_vv[:2]
        gain = variance / (variance + doubt)
        fresh.speed[:2] += gain * usual
        variance *= 1.0 - gain

    def predict(self, tracks: Table, dt: float) -> None:
        """Move all tracks on by `dt` seconds, in place."""
        size = np.maximum(tracks.size, t.LEAST)
        size *= size
        np.multiply(size, tracks.maneuver, out=tracks.unrest)
        step = self._steps.dot(np.array((1.0, dt, dt * dt, dt * dt * dt)))
        tracks.filter[:10] = step.dot(tracks.filter)

    def shift(self, tracks: Table, shift: Shift) -> None:
        """The view has moved: carry the tracks, their speeds and their last boxes over into it, in place."""
        for box in (tracks.box, tracks.seen_box):
            box[:2] = shift.linear @ box[:2] + shift.offset[:, None]
            box[2:] *= shift.scale
        for way in (tracks.speed, tracks.step[t.SEEN_BOX]):
            way[:2] = shift.linear @ way[:2]
            way[2:] *= shift.scale

    def correct(self, tracks: Table, seen: Array, matched: Bools | None) -> None:
        """Take the boxes `seen` (SEEN_ROWS, N) of the tracks `matched` (N,), None for all, into account, in
        place; the other columns may hold anything finite."""
        step = seen[t.PLACED] - tracks.seen[t.PLACED]
        size = np.maximum(seen[t.SEEN_SIZE], t.LEAST)
        size *= size
        self.noise.measure(tracks, step, size, matched)
        tracks.side[:] = self.noise.of(tracks)
        weight = SHARES.dot(tracks.side * size)
        weight += tracks.p_xx
        np.reciprocal(weight, out=weight)
        if matched is not None:
            np.copyto(weight, 0.0, where=~matched)
        # What was known less what was seen, [p_xx, p_xv, box - seen]; the gains are the first two, weighed.
        known = tracks.value.copy()
        known[8:] -= seen[t.SEEN_BOX]
        known = known.reshape(3, -1)
        weighed = known * weight.ravel()
        tracks.value_3 -= known[0] * weighed
        tracks.rate_2 -= known[1] * weighed[1:]
        self._follow(tracks, (known[2] * weighed[2]).reshape(4, -1), matched)
        if matched is None:
            tracks.seen[:] = seen
            tracks.step[:] = step
        else:
            np.copyto(tracks.seen, seen, where=matched)
            np.copyto(tracks.step, step, where=matched)

    def _follow(self, tracks: Table, surprises: Array, matched: Bools | None) -> None:
        """Let the acceleration follow the squared innovations (4, N) over what was expected of them."""
        surprise = MEAN.dot(surprises)
        np.maximum(surprise, LEAST_SURPRISE, out=surprise)
        np.minimum(surprise, MOST_SURPRISE, out=surprise)
        np.power(surprise, self._rate, out=surprise)
        if matched is not None:
            np.copyto(surprise, 1.0, where=~matched)
        maneuver = tracks.maneuver
        maneuver *= surprise
        np.maximum(maneuver, self._least, out=maneuver)
        np.minimum(maneuver, self._most, out=maneuver)


def _steps(acceleration: float, acceleration_size: float) -> Array:
    """(10, 11, 4) what a step of the time dt takes from each pair of rows of Table.filter for each of the
    first ten, as a polynomial of dt: coefficients of 1, dt, dt ** 2, dt ** 3."""
    step = np.zeros((10, 11, 4))
    step[range(10), range(10), 0] = 1.0
    p_xx, p_xv, box, p_vv, speed, unrest = range(0, 12, 2)
    for pair, disturbed in ((0, acceleration), (1, acceleration_size)):  # place, extent
        step[box + pair, speed + pair, 1] = 1.0
        step[p_xx + pair, p_xv + pair, 1] = 2.0
        step[p_xx + pair, p_vv + pair, 2] = 1.0
        step[p_xv + pair, p_vv + pair, 1] = 1.0
        step[p_xx + pair, unrest, 3] = disturbed / 3
        step[p_xv + pair, unrest, 2] = disturbed / 2
        step[p_vv + pair, unrest, 1] = disturbed
    return step
