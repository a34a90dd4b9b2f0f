"""The tracks of one camera as a structure of arrays: one block, a quantity of all tracks in rows of its own.

A frame is a fixed number of array steps over all tracks, and tracks come, go and are taken apart by columns
of the one block (decision 012). A step that is for some tracks alone is done for all with a mask: to take
columns out and put them back costs more than what is computed for nothing. Lengths are shares of the
picture's width (x) and height (y), speeds are per second. Where four rows belong together their order is
centre x, centre y, width, height.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

MIN_SIZE = 1e-4  # of the picture; a thinner box is taken as this thin

# Rows of a detection: those of one frame (detections.py), and of each track the last one it was matched with.
#
#   name      rows  unit                 meaning
#   TIME_S    1     s                    since the tracker's first frame
#   BOX       4     shares of picture    centre x, centre y, width, height, as the detector gave it
#   SIZE      2     likewise             of it width and height
#   SCORE     1     0 to 1
#   EVIDENCE  1     standard deviations  score above the border of high detections (score_calibration.py)
#   CLASS     1                          class id
TIME_S = 0
BOX = slice(1, 5)
SIZE = slice(3, 5)
SCORE = 5
EVIDENCE = 6
CLASS = 7
DETECTION_ROWS = 8
TIME_AND_BOX = slice(0, 5)

# Centre and extent from the sides x1, y1, x2, y2, and back.
FROM_SIDES: Array = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]])
TO_SIDES: Array = np.array([[1, 0, -0.5, 0], [0, 1, 0, -0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]])

ROWS = 46


class TrackState:
    """The state of N tracks. Each name is a view of its rows of `data` (ROWS, N), to be read and written.

    ==========  ====  =================  ==============================================================
    name        rows  unit               meaning
    ==========  ====  =================  ==============================================================
    id          1                        unique within the epoch; whole numbers
    hits        1     detections         matched so far
    sure_hits   1     detections         of those, the high ones: with evidence of 0 or more
    evidence    1     deviations         sum over the detections, see confirmation.py
    confirmed   1     0 or 1             1: an object, and shown; 0: tentative
    box         4     shares             estimate: centre x, centre y, width, height (the last two: `size`)
    speed       4     shares / s         estimate of its change
    p_xx        4     shares^2           variance of `box`; the four err independently of each other
    p_xv        4     shares^2 / s       covariance of `box` and `speed`
    p_vv        4     shares^2 / s^2     variance of `speed`
    maneuver    1                        factor on the process noise, which follows surprises
    last        8     of a detection     the last matched; of it `last_s`, `last_box`, `last_evidence`
    step        5     s, shares          time and way to it from the one before; 0 where it is the first
    noise_sums  5     boxes, sizes^2     with forgetting: number, and variance of centre x, y, extent x, y
    noise       2     sizes^2            variance of a box's side in x and y, after the last correction
    ==========  ====  =================  ==============================================================

    `motion` (5, 4, N) is all that the filter knows: box, speed, p_xx, p_xv, p_vv.
    """

    def __init__(self, data: Array) -> None:
        self.data = data = np.ascontiguousarray(data)  # so that `motion` is a view
        self.n = data.shape[1]
        self.id, self.hits, self.sure_hits, self.evidence, self.confirmed = data[0:5]
        self.box, self.size = data[5:9], data[7:9]
        self.speed = data[9:13]
        self.motion = data[5:25].reshape(5, 4, self.n)
        self.p_xx, self.p_xv, self.p_vv = data[13:17], data[17:21], data[21:25]
        self.maneuver = data[25]
        self.last = last = data[26:34]
        self.last_s, self.last_box, self.last_evidence = last[TIME_S], last[BOX], last[EVIDENCE]
        self.step = data[34:39]
        self.noise_sums, self.noise_n = data[39:44], data[39]
        self.noise = data[44:46]

    @classmethod
    def empty(cls, n: int = 0) -> TrackState:
        return cls(np.zeros((ROWS, n)))

    @classmethod
    def begin(cls, detections: Array, first_id: int) -> TrackState:
        """New tracks, of which nothing is known but their first detections (DETECTION_ROWS, N)."""
        new = cls.empty(detections.shape[1])
        new.last[:] = detections
        new.box[:] = detections[BOX]
        new.id[:] = np.arange(first_id, first_id + new.n)
        return new

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        """(N,) ids as they are given out."""
        ids: npt.NDArray[np.int64] = self.id.astype(np.int64)
        return ids

    def doubt(self, track: int) -> float:
        """The standard deviation of one track's place, in its sizes."""
        variance, size = self.p_xx.item, self.size.item
        return math.sqrt(variance(0, track) / size(0, track) ** 2 + variance(1, track) / size(1, track) ** 2)

    def take(self, tracks: Index) -> TrackState:
        """A copy of these tracks, in this order."""
        return TrackState(self.data.take(tracks, axis=1))

    def join(self, new: TrackState) -> TrackState:
        """These tracks, and the new ones after them."""
        return TrackState(np.concatenate((self.data, new.data), axis=1))
