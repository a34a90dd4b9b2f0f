"""How tracks move: a Kalman filter for the centre and the extent of the box, with noise that is measured and
not assumed.

Each of the four is a value of constant speed disturbed by white-noise acceleration (Bar-Shalom, Li and
Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, ch. 6.2), independent of the
other three, as nearly in SORT (Bewley et al., "Simple Online and Realtime Tracking", ICIP 2016). It is
predicted over the true time between frames, so that dropped frames and slow cameras are no special case. Two
of its numbers are learnt while it runs: the noise of the boxes (MeasurementNoise), and the acceleration, by a
factor for each track that follows its normalised innovations, so that a car that brakes is followed and a
person that stands is smoothed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.global_motion import Shift
from pipelines.track.settings import TrackerSettings
from pipelines.track.state import TrackState
from pipelines.values import Bools

Array = npt.NDArray[np.float64]

# Of the variance of one side (x, y), that of the centre x, y and of the extent x, y: the two sides err by
# themselves, the centre is half of their sum and the extent their difference.
SIDE_TO_BOX: Array = np.array([[0.5, 0], [0, 0.5], [2.0, 0], [0, 2.0]])

MEAN_OF_FOUR: Array = np.full(4, 0.25)
MIN_SURPRISE, MAX_SURPRISE = 0.2, 5.0  # normalised innovation squared: one box must not decide

BEND = 6.0  # the variance of a second difference of three boxes, over that of one
MAX_CENTRE = 4.0  # times
MIN_NOISE = 0.02**2  # of a side, over squared size: no detector is surer
EVEN = 0.25  # three boxes are evenly spaced where their gaps differ by less than this share
# Squared noise over squared size, of centre x, y and extent x, y; more is motion, not noise.
MAX_NOISE: Array = (SIDE_TO_BOX @ np.full(2, 0.04)).reshape(2, 2, 1)
FORGET = 0.05  # of a track's noise, a box
CAMERA_MEMORY = 1000.0  # boxes
FIRST_BOXES = 20.0  # that the setting for the camera's noise counts for


class KalmanFilter:
    """Prediction and correction of the tracks of a camera."""

    def __init__(self, settings: TrackerSettings) -> None:
        self.settings = settings
        self.noise = MeasurementNoise(settings)
        self._prior = _of_place_and_extent(settings.speed_prior**2, settings.speed_prior_size**2)
        self._acceleration = np.array([settings.acceleration**2, settings.acceleration_size**2])
        self._transitions: tuple[float, Array, Array] = 0.0, *self._transition(0.0)

    def begin(self, new: TrackState) -> None:
        """The first knowledge of new tracks: one box, and nothing of their speed."""
        squared_size = new.size * new.size
        new.noise[:] = self.noise.variance(new)
        new.p_xx[:] = SIDE_TO_BOX @ (new.noise * squared_size)
        new.p_vv[:] = self._prior @ squared_size
        new.maneuver[:] = 1.0

    def predict(self, tracks: TrackState, dt: float) -> None:
        """Move all tracks on by `dt` seconds, in place."""
        if dt != self._transitions[0]:  # a camera has few
            self._transitions = dt, *self._transition(dt)
        _, transition, process_noise = self._transitions
        # The larger the box the more it moves.
        noise = process_noise * (np.square(tracks.size) * tracks.maneuver)
        motion = transition.dot(tracks.motion.reshape(5, -1))
        motion[2:] += noise.reshape(3, -1)
        tracks.motion.reshape(5, -1)[:] = motion
        np.maximum(tracks.size, t.MIN_SIZE, out=tracks.size)

    def _transition(self, dt: float) -> tuple[Array, Array]:
        """What `dt` seconds make of box, speed, p_xx, p_xv and p_vv (5, 5), and what white-noise acceleration
        adds to the last three (3, 2, 1, 1), of place and of extent, for a squared size of 1."""
        transition = np.eye(5)
        transition[0, 1] = transition[3, 4] = dt
        transition[2, 3:] = 2.0 * dt, dt**2
        of_acceleration = np.array([dt**3 / 3.0, dt**2 / 2.0, dt])
        return transition, np.outer(of_acceleration, self._acceleration)[:, :, None, None]

    def shift(self, tracks: TrackState, shift: Shift) -> None:
        """The view has moved: carry the tracks, their speeds and their last boxes over into it, in place (the
        camera motion compensation of BoT-SORT)."""
        for box in (tracks.box, tracks.last_box):
            box[:2] = shift.linear @ box[:2] + shift.offset[:, None]
            box[2:] *= shift.scale
        for way in (tracks.speed, tracks.step[t.BOX]):
            way[:2] = shift.linear @ way[:2]
            way[2:] *= shift.scale

    def correct(self, tracks: TrackState, detections: Array, matched: Bools) -> None:
        """Take the detections (DETECTION_ROWS, N) that the `matched` ones (N,) of the tracks have into
        account, in place. The noise of all tracks is another then: the camera's mean has changed."""
        step = detections[t.TIME_AND_BOX] - tracks.last[t.TIME_AND_BOX]
        squared_size = np.square(detections[t.SIZE])
        self.noise.measure(tracks, step, squared_size, matched)
        tracks.noise[:] = self.noise.variance(tracks)
        innovation = detections[t.BOX] - tracks.box
        variance = tracks.p_xx + SIDE_TO_BOX.dot(tracks.noise * squared_size)  # of the innovation
        self._update(tracks, innovation, variance, matched)
        self._adapt(tracks, np.square(innovation) / variance, matched)
        np.copyto(tracks.step, step, where=matched)
        np.copyto(tracks.last, detections, where=matched)

    @staticmethod
    def _update(tracks: TrackState, innovation: Array, variance: Array, matched: Bools) -> None:
        """Box and speed (2, 4, N) alike, by the gain of each; who has no detection gains nothing."""
        box_and_speed, covariance = tracks.motion[:2], tracks.motion[2:4]  # p_xx and p_xv
        gain = covariance / variance
        gain *= matched.astype(np.float64)  # faster than by truth values
        box_and_speed += gain * innovation
        tracks.p_vv -= gain[1] * tracks.p_xv
        covariance -= gain[0] * covariance

    def _adapt(self, tracks: TrackState, surprise: Array, matched: Bools) -> None:
        """Let the acceleration follow the normalised innovations squared (4, N), which are 1 in the mean
        where the filter expects what comes."""
        s, mean = self.settings, MEAN_OF_FOUR.dot(surprise)
        np.minimum(np.maximum(mean, MIN_SURPRISE, out=mean), MAX_SURPRISE, out=mean)
        tracks.maneuver *= mean ** (s.maneuver_rate * matched)
        np.maximum(tracks.maneuver, s.min_maneuver, out=tracks.maneuver)
        np.minimum(tracks.maneuver, s.max_maneuver, out=tracks.maneuver)


def _of_place_and_extent(place: float, extent: float) -> Array:
    """(4, 2) what a quantity in x and y gives for centre x, y and extent x, y."""
    return np.array([[place, 0], [0, place], [extent, 0], [0, extent]])


class MeasurementNoise:
    """How noisy a camera's boxes are (the R of the filter): measured while it runs, from second differences
    of three matched boxes in a row (6 times the variance of one box where the motion is even), for each
    track, shrunk to the camera's mean.

    All variances are over the squared size of the box. Motion that is not even, of the object or of the
    camera, moves the centre of a box and not its extent: what the centre seems to err more than
    `MAX_CENTRE` times as much as the extent says is not noise.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._weight = settings.noise_weight
        self._mean: Array = SIDE_TO_BOX @ np.full(2, settings.size_noise**2)
        self._n = FIRST_BOXES

    def variance(self, tracks: TrackState) -> Array:
        """(2, N) of one side in x and y, of each track: its own, shrunk by `noise_weight` boxes to the
        camera's mean."""
        total = tracks.noise_sums[t.BOX] + (self._weight * self._mean)[:, None]
        total /= tracks.noise_n + self._weight
        # The variance of a side is twice that of the centre, or half of that of the extent: the mean of both.
        half_by_centre, half_by_extent = total[:2], np.maximum(0.25 * total[2:], 0.5 * MIN_NOISE)
        np.minimum(half_by_centre, MAX_CENTRE * half_by_extent, out=half_by_centre)
        return np.asarray(half_by_centre + half_by_extent)

    def measure(self, tracks: TrackState, step: Array, squared_size: Array, matched: Bools) -> None:
        """Learn from the `matched` ones (N,) of the tracks, which came from their last boxes to these by
        `step` (5, N), in time and place."""
        bend = step - tracks.step  # none where the motion is even
        even = ((np.abs(bend[0]) < EVEN * step[0]) & matched).astype(np.float64)
        gained = np.square(bend)
        gained[0] = 1.0
        of_box = gained[t.BOX].reshape(2, 2, tracks.n)  # of place and extent
        of_box /= BEND * squared_size
        np.minimum(of_box, MAX_NOISE, out=of_box)
        total = gained.dot(even)
        n = float(total[0])
        if not n:
            return
        self._n = min(self._n + n, CAMERA_MEMORY)
        self._mean += (total[t.BOX] / n - self._mean) * (n / self._n)
        tracks.noise_sums += even * (gained - FORGET * tracks.noise_sums)

    def save(self) -> list[float]:
        return [*self._mean.tolist(), self._n]

    def restore(self, saved: list[float]) -> None:
        self._mean, self._n = np.array(saved[:4], np.float64), float(saved[4])
