"""The tracks of one camera as the columns of one table, each quantity of all tracks in a row of its own.

A track's box is held as a place (x and y of its centre) and an extent (width, height), normalised; speeds are
per second. Where four rows belong together their order is centre x, centre y, width, height.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

# What is known of a box that was found: rows for each box of a frame, and for the last one of a track.
SEEN_S = 0
SEEN_BOX = slice(1, 5)
SEEN_SIZE = slice(3, 5)
SEEN_SCORE = 5
SEEN_EVIDENCE = 6  # see score_calibration.py
SEEN_CLASS = 7
SEEN_ROWS = 8
PLACED = slice(0, 5)  # when and where

FILTER_ROWS = 26  # after the first two
ONE = 56  # a row of ones
ROWS = 63

LEAST_SIZE = 1e-4  # of the picture; a thinner box is taken as this thin
LEAST = np.array(LEAST_SIZE)  # numpy takes an array of no dimension faster than a number
NONE, ONE_MORE = np.array(0.0), np.array(1.0)
FOUR: Array = np.ones((4, 1))  # times a row: four of it
FEW = 8  # columns, which are sooner copied one by one
NO_IDS: npt.NDArray[np.int64] = np.zeros(0, np.int64)

# Centre and extent from the sides x1, y1, x2, y2, and back.
FROM_SIDES: Array = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]])
TO_SIDES: Array = np.array([[1, 0, -0.5, 0], [0, 1, 0, -0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]])


class Table:
    """The table (ROWS, N) of `n` tracks in `all`, and its parts by name, which may be written to.

    The rows lie together without gaps, so tracks that come or go need a table of another width: numpy is
    three times as fast on such a block as on a part of a larger one, and most frames bring no track and take
    none. Tables are kept for the next time that there are as many tracks: to name the parts takes longer than
    to copy the rows.
    """

    def __init__(self, n: int) -> None:
        rows = np.empty((ROWS, n))
        self.all = rows
        self.n = n
        self.some_new = True  # whether some may have had one box only
        # The filter: [p_xx, p_xv, box] above [p_xv, p_vv, speed], with `unrest` below.
        self.side_now = rows[0:2]  # room for the variance of the noise of a side
        self.errors = rows[0:6]
        self.filter = rows[2 : 2 + FILTER_ROWS].reshape(FILTER_ROWS // 2, -1)  # pairs of rows, x beside y
        self.state = self.filter[:12]
        self.state_next = np.empty_like(self.state)  # room for a step of it
        self.state_6 = self.state.reshape(6, -1)
        self.value = rows[2:14]
        self.p_xx = rows[2:6]  # variance of the estimate
        self.p_xv = (rows[6:10], rows[14:18])  # its covariance with the speed, twice
        self.box = rows[10:14]  # the estimate
        self.x, self.y, self.width, self.height = self.box
        self.size = rows[12:14]
        self.p_vv = rows[18:22]  # variance of the speed
        self.speed = rows[22:26]
        self.unrest = rows[26:28]  # squared size times maneuver: what the process noise is a share of
        self.maneuver = rows[28:30]  # factor on the process noise, the same in both rows
        self.maneuver_x = rows[28]
        self.mixed = rows[30:34]  # room for the box that is shown
        self.mixed_seen = rows[30:42]
        self.seen = rows[34:42]  # the last matched box
        self.seen_columns = self.seen.T
        self.seen_s = rows[34]
        self.seen_box = rows[35:39]
        self.seen_score, self.seen_evidence, self.seen_class = rows[39:42]
        self.placed = rows[34:39]
        self.step = rows[42:47]  # time and way from the matched box before to the last; 0 where there is one
        self.step_s = rows[42]
        self.seen_step = rows[34:47]
        self.hits = rows[47]  # matched boxes; this and the last three are kept up while they decide something
        self.learnt = rows[48:52]  # room for what a box adds to the noise
        self.learnt_noise = rows[48:50]
        self.noise = rows[52:56]  # squared noise over squared size in x and y, with forgetting; boxes, twice
        self.learnt_and_noise = rows[48:56]
        self.noise_one = rows[52:57]
        self._kept = rows[2:56]  # what a frame without its box leaves as it is
        self._held = self._held_many = np.empty_like(self._kept)
        self._kept_columns, self._held_columns = self._kept.T, self._held.T
        self.side = rows[57:59]  # variance of the noise of a side in x and y, over the squared size
        self.id = rows[59]
        self.sure_hits = rows[60]  # matched boxes with evidence of 0 or more
        self.evidence = rows[61]  # sum over the boxes
        self.confirmed = rows[62]
        self.ids = NO_IDS  # as they are given out: not to be changed

    def begin(self, seen: Array, first_id: int) -> None:
        """Of new tracks nothing is known but their first boxes (SEEN_ROWS, N)."""
        self.all.fill(0.0)
        self.all[ONE].fill(1.0)
        self.seen[:] = seen
        self.box[:] = self.seen_box
        self.id[:] = np.arange(first_id, first_id + self.n)
        self._renew()

    def read(self, rows: Array) -> None:
        """Take over all rows (ROWS, N)."""
        self.all[:] = rows
        self._renew()

    def join(self, tracks: Table, fresh: Table) -> None:
        """Take over these tracks, and those after them."""
        np.concatenate((tracks.all, fresh.all), axis=1, out=self.all)
        self._renew()

    def keep(self, tracks: Table, columns: Index) -> None:
        """Take over the tracks of these columns only, in this order."""
        tracks.all.take(columns, 1, self.all, "clip")
        self._renew()

    def _renew(self) -> None:
        self.some_new = True
        self.ids = self.id.astype(np.int64)

    def is_surer(self, column: int, doubt: float) -> bool:
        """Whether the standard deviation of a track's place is at most so many sizes of its box."""
        width, height = doubt * self.width.item(column), doubt * self.height.item(column)
        variance = self.p_xx.item
        return bool(variance(0, column) <= width * width and variance(1, column) <= height * height)

    def hold(self, columns: list[int]) -> None:
        """Remember these tracks, which have no box now, for `put_back`."""
        if len(columns) > FEW:
            self._held_many = self._kept.take(columns, axis=1)
        elif columns:
            self._held[:] = self._kept

    def put_back(self, columns: list[int]) -> None:
        """These tracks are again as they were held: to go on with all tracks and put a few back is less work
        than to leave them out at each step."""
        if len(columns) > FEW:
            self._kept_columns[columns] = self._held_many.T
            return
        for column in columns:
            self._kept_columns[column] = self._held_columns[column]
