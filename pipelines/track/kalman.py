"""How tracks move: a Kalman filter for the place and the extent of the box, with noise that is measured and
not assumed.

Each of the four is a value of constant speed disturbed by white-noise acceleration (Bar-Shalom, "Estimation
with Applications to Tracking and Navigation", ch. 6.2), predicted over the true time between frames, so that
dropped frames and slow cameras are no special case. Two of its numbers are learnt while it runs: the noise of
the boxes (measurement_noise.py), and the acceleration, by a factor for each track that follows its normalised
innovations, so that a car that brakes is followed and a person that stands is smoothed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.buffers import Rooms
from pipelines.track.global_motion import Shift
from pipelines.track.measurement_noise import BoxNoise
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import Table

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

CROWD, CROWD_S = 3, 0.25  # so many tracks, seen within so many seconds, tell a new one how to move,
CROWD_AGREES = 3.0  # where their usual speed is so many times its spread,
CROWD_SPREAD = 0.3  # never surer than this, sizes / s
MAD_TO_SIGMA = 1.5  # of a normal distribution, roughly
# Of the variance of one side: that of the centre and that of the extent, the two sides erring by themselves.
SHARES: Array = np.array([[0.5, 0], [0, 0.5], [2.0, 0], [0, 2.0]])
# Of each of the four, how unsure a box and the estimate are together, three times.
DOUBT: Array = np.tile(np.concatenate((SHARES, np.eye(4)), axis=1), (3, 1))
# Which of [p_xx, p_xv, box - seen] are multiplied for each of Table.state_6, and for the squared innovation.
TIMES, WEIGHED = np.array([0, 0, 0, 1, 1, 1, 2]), np.array([0, 1, 2, 0, 1, 2, 2])
MOST_STEPS = 16
MEAN: Array = np.full((2, 4), 0.25)  # of the four rows, twice
LEAST_SURPRISE, MOST_SURPRISE = np.array(0.2), np.array(5.0)


class _Room:
    """Room to correct `n` tracks."""

    def __init__(self, n: int) -> None:
        seen_step = np.empty((t.SEEN_ROWS + 5, n))  # as Table.seen_step
        self.seen_step = seen_step
        self.seen, self.step = seen_step[: t.SEEN_ROWS], seen_step[t.SEEN_ROWS :]
        self.placed, self.box = self.seen[t.PLACED], self.seen[t.SEEN_BOX]
        self.size, self.square = self.seen[t.SEEN_SIZE], np.empty((2, n))
        self.known = np.empty((12, n))
        self.off = self.known[8:]
        self.weight = np.empty((12, n))
        self.known_3, self.weight_3 = self.known.reshape(3, -1), self.weight.reshape(3, -1)
        self.products, self.weighed = np.empty((7, 4 * n)), np.empty((7, 4 * n))
        self.change, self.surprises = self.products[:6], self.products[6].reshape(4, -1)
        self.surprise = np.empty((2, n))


class Motion:
    """Prediction and correction of the tracks of a camera."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.noise = BoxNoise(settings)
        self._steps = _steps(settings.acceleration**2, settings.acceleration_size**2)
        place, extent = settings.speed_prior**2, settings.speed_prior_size**2
        self._prior: Array = np.array([[place, 0], [0, place], [extent, 0], [0, extent]])
        self._known_steps: dict[float, Array] = {}  # by time: a camera's frames come at few different ones
        self._rate = np.array(settings.maneuver_rate)
        self._least, self._most = np.array(settings.maneuver_least), np.array(settings.maneuver_most)
        self._rooms = Rooms(_Room)

    def begin(self, fresh: Table) -> None:
        """The first knowledge of new tracks: one box, and nothing of their speed."""
        size = fresh.size * fresh.size
        self.noise.of(fresh, fresh.side)
        SHARES.dot(fresh.side * size, fresh.p_xx)
        self._prior.dot(size, fresh.p_vv)
        fresh.maneuver.fill(1.0)

    def join(self, fresh: Table, others: Table, now_s: float) -> None:
        """New tracks move as the tracks beside them do, as far as those agree: in a view that turns, or in
        traffic, all boxes shift by so much between two frames that each could be its neighbour."""
        seen = (others.confirmed > t.NONE) & (now_s - others.seen_s < CROWD_S)
        if np.count_nonzero(seen) < CROWD:
            return
        usual, spread, agree = np.empty((2, 1)), np.empty((2, 1)), False
        for axis in range(2):
            speeds = others.speed[axis].compress(seen)
            usual[axis] = middle = _median(speeds)
            spread[axis] = apart = MAD_TO_SIGMA * _median(np.abs(speeds - middle))
            agree |= abs(middle) > CROWD_AGREES * apart
        if not agree:
            return
        doubt = 2.0 * np.maximum(spread, CROWD_SPREAD * fresh.size) ** 2
        variance = fresh.p_vv[:2]
        gain = variance / (variance + doubt)
        fresh.speed[:2] += gain * usual
        variance *= 1.0 - gain

    def predict(self, tracks: Table, dt: float) -> None:
        """Move all tracks on by `dt` seconds, in place."""
        unrest = tracks.unrest
        np.multiply(tracks.size, tracks.size, unrest)
        unrest *= tracks.maneuver
        self._step(dt).dot(tracks.filter, tracks.state_next)
        tracks.state[:] = tracks.state_next
        np.maximum(tracks.size, t.LEAST, out=tracks.size)

    def _step(self, dt: float) -> Array:
        step = self._known_steps.get(dt)
        if step is None:
            if len(self._known_steps) >= MOST_STEPS:
                self._known_steps.clear()
            step = self._known_steps[dt] = self._steps.dot((1.0, dt, dt * dt, dt * dt * dt))
        return step

    def shift(self, tracks: Table, shift: Shift) -> None:
        """The view has moved: carry the tracks, their speeds and their last boxes over into it, in place."""
        for box in (tracks.box, tracks.seen_box):
            box[:2] = shift.linear @ box[:2] + shift.offset[:, None]
            box[2:] *= shift.scale
        for way in (tracks.speed, tracks.step[t.SEEN_BOX]):
            way[:2] = shift.linear @ way[:2]
            way[2:] *= shift.scale

    def correct(self, tracks: Table, seen: Array, columns: Index, absent: list[int]) -> None:
        """Take the boxes `seen` (SEEN_ROWS, D) into account, of which the tracks (N,) have the `columns`, in
        place. Those `absent` may have any, and are put back."""
        tracks.hold(absent)
        room = self._rooms[tracks.n]
        seen.take(columns, 1, room.seen, "clip")
        step, square, weight, known = room.step, room.square, room.weight, room.known
        np.subtract(room.placed, tracks.placed, step)
        np.square(room.size, square)
        self.noise.measure(tracks, step, square, absent)
        self.noise.of(tracks, tracks.side)
        np.multiply(tracks.side, square, tracks.side_now)
        DOUBT.dot(tracks.errors, weight)
        # What was known less what was seen, [p_xx, p_xv, box - seen]; weighed, the first two are the gains.
        known[:] = tracks.value
        off, products, weighed = room.off, room.products, room.weighed
        off -= room.box
        np.divide(known, weight, weight)
        room.known_3.take(TIMES, 0, products, "clip")
        products *= room.weight_3.take(WEIGHED, 0, weighed, "clip")
        state = tracks.state_6
        state -= room.change
        self._follow(tracks.maneuver, room.surprises, room.surprise)
        tracks.seen_step[:] = room.seen_step
        hits = tracks.hits
        hits += t.ONE_MORE
        tracks.put_back(absent)

    def _follow(self, maneuver: Array, surprises: Array, surprise: Array) -> None:
        """Let the acceleration (2, N) follow the squared innovations (4, N) over what was expected of them;
        `surprise` (2, N) is room for their mean."""
        MEAN.dot(surprises, surprise)
        np.maximum(surprise, LEAST_SURPRISE, out=surprise)
        np.minimum(surprise, MOST_SURPRISE, out=surprise)
        np.power(surprise, self._rate, surprise)
        maneuver *= surprise
        np.maximum(maneuver, self._least, out=maneuver)
        np.minimum(maneuver, self._most, out=maneuver)


def _median(values: Array) -> float:
    """Of an array (N,) that it may sort; numpy's own takes ten times as long for few."""
    values.sort()
    middle = len(values) // 2
    return (values.item(len(values) - middle - 1) + values.item(middle)) / 2


def _steps(acceleration: float, acceleration_size: float) -> Array:
    """(12, 13, 4) what a step of the time dt takes from each pair of rows of Table.filter for each of the
    first twelve, as a polynomial of dt: coefficients of 1, dt, dt ** 2, dt ** 3."""
    step = np.zeros((12, 13, 4))
    step[range(12), range(12), 0] = 1.0
    p_xx, p_xv, box, p_vx, p_vv, speed, unrest = range(0, 14, 2)
    for pair, disturbed in ((0, acceleration), (1, acceleration_size)):  # place, extent
        step[box + pair, speed + pair, 1] = 1.0
        step[p_xx + pair, p_xv + pair, 1] = 2.0
        step[p_xx + pair, p_vv + pair, 2] = 1.0
        step[p_xx + pair, unrest, 3] = disturbed / 3
        for covariance in (p_xv, p_vx):
            step[covariance + pair, p_vv + pair, 1] = 1.0
            step[covariance + pair, unrest, 2] = disturbed / 2
        step[p_vv + pair, unrest, 1] = disturbed
    return step
