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
SEEN_EVIDENCE = 6  # see evidence.py
SEEN_CLASS = 7
SEEN_ROWS = 8
PLACED = slice(0, 5)  # when and where

FILTER_ROWS = 26  # after the first two
ONE = 51  # a row of ones
ROWS = 59

LEAST_SIZE = 1e-4  # of the picture; a thinner box is taken as this thin
LEAST = np.array(LEAST_SIZE)  # numpy takes an array of no dimension faster than a number
NONE = np.array(0.0)
FOUR: Array = np.ones((4, 1))  # times a row: four of it
NOBODY: Index = np.zeros(0, np.intp)  # the columns of none

# Centre and extent from the sides x1, y1, x2, y2, and back.
FROM_SIDES: Array = np.array([[0.5, 0, 0.5, 0], [0, 0.5, 0, 0.5], [-1, 0, 1, 0], [0, -1, 0, 1]])
TO_SIDES: Array = np.array([[1, 0, -0.5, 0], [0, 1, 0, -0.5], [1, 0, 0.5, 0], [0, 1, 0, 0.5]])


class Table:
    """The table (ROWS, N) in `all`, and its parts by name, which may be written to.

    The rows lie together without gaps, so a table is made anew when tracks come or go: numpy is three times
    as fast on such a block as on a part of a larger one, and most frames bring no track and take none.
    """

    def __init__(self, rows: Array) -> None:
        self._hold(rows)

    @classmethod
    def of(cls, n: int) -> Table:
        """A table of `n` tracks of which nothing is known."""
        rows = np.zeros((ROWS, n))
        rows[ONE] = 1.0
        return cls(rows)

    def _hold(self, rows: Array) -> None:
        self.all = rows
        self.n = rows.shape[1]
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
        self.size = rows[12:14]
        self.p_vv = rows[18:22]  # variance of the speed
        self.speed = rows[22:26]
        self.unrest = rows[26:28]  # squared size times maneuver: what the process noise is a share of
        self.maneuver = rows[28:30]  # factor on the process noise, the same in both rows
        self.mixed = rows[30:34]  # room for the box that is shown
        self.mixed_seen = rows[30:42]
        self.seen = rows[34:42]  # the last matched box
        self.seen_s = rows[34]
        self.seen_box = rows[35:39]
        self.placed = rows[34:39]
        self.step = rows[42:47]  # time and way from the matched box before to the last; 0 where there is one
        self.noise = rows[47:51]  # squared noise over squared size in x and y, with forgetting; boxes, twice
        self.noise_one = rows[47:52]
        self.kept = rows[:51]  # what a frame without its box leaves as it is
        self.kept_columns = self.kept.T
        self.side = rows[52:54]  # variance of the noise of a side in x and y, over the squared size
        self.id = rows[54]
        self.hits = rows[55]  # matched boxes; these four are kept up while they still decide something
        self.sure_hits = rows[56]  # those with evidence of 0 or more
        self.evidence = rows[57]  # sum over the boxes
        self.confirmed = rows[58]
        self.ids = self.id.astype(np.int64)  # as they are given out: not to be changed

    def add(self, fresh: Table) -> None:
        """Put these tracks after the others."""
        self._hold(np.concatenate((self.all, fresh.all), axis=1))

    def keep(self, columns: Index) -> None:
        """Only these tracks are left, in this order."""
        self._hold(self.all.take(columns, axis=1))
