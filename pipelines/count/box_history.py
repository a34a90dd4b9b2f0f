"""The boxes of all tracks in the last frames, side by side: one block of memory in order of time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.slot_table import pack, unpack

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

MIN_KEEP_S = 2.5  # of frames: the lag, the reach and the evidence before someone hidden crossed
SAME_S = 1e-6
FRAMES = 64  # kept at first; a faster camera gets more
MAX_FRAMES = 512

# What a frame holds of each track. All of them are 0 where the track has no box in it.
#
# | row      | unit         | meaning                                                               |
# |----------|--------------|-----------------------------------------------------------------------|
# | BOX      | of the image | x1, y1, x2, y2 as measured                                            |
# | PRESENT  |              | 1 where there is a box: a 0 takes the frame out of every weighted sum |
# | EVIDENCE |              | how much the box speaks for an object, never below 0                  |
BOX = slice(0, 4)
PRESENT = 4
EVIDENCE = 5
_WIDTH = 6


class BoxHistory:
    """(frames, 6, R) float64: the latest frames, at least MIN_KEEP_S of them, oldest first.

    Twice the room is there: a new frame is written behind the last one, and only when the end is reached
    all move to the front. So any stretch of time is a view, and `times` is always in order.
    """

    def __init__(self, rows: int) -> None:
        self.frame_s = 0.0  # usual time between frames
        self._capacity = FRAMES
        self._begin = self._end = 0
        self._times: Array = np.zeros(2 * FRAMES)
        self._table: Array = np.zeros((2 * FRAMES, _WIDTH, rows))

    @property
    def times(self) -> Array:
        return self._times[self._begin : self._end]

    @property
    def latest(self) -> Array:
        """(6, R) the last frame, to be filled."""
        frame: Array = self._table[self._end - 1]
        return frame

    def begin(self, time_s: float) -> Array:
        """A new frame, empty: (6, R), to be filled."""
        if self._end > self._begin:
            gap = time_s - float(self._times[self._end - 1])
            if gap < 1.0:
                self.frame_s = 0.9 * self.frame_s + 0.1 * gap if self.frame_s else gap
        if self._end - self._begin == self._capacity:
            if time_s - self._times[self._begin] < MIN_KEEP_S and self._capacity < MAX_FRAMES:
                self._make_room(2 * self._capacity)
            else:
                self._begin += 1
        if self._end == len(self._times):
            self._make_room(self._capacity)
        self._times[self._end] = time_s
        self._end += 1
        frame = self.latest
        frame.fill(0.0)
        return frame

    def _make_room(self, capacity: int) -> None:
        """Move all to the front of tables for `capacity` frames."""
        times, table = self.times, self._table[self._begin : self._end]
        self._times = np.zeros(2 * capacity)
        self._table = np.zeros((2 * capacity, *table.shape[1:]))
        self._begin, self._end, self._capacity = 0, len(times), capacity
        self._times[: self._end] = times
        self._table[: self._end] = table

    def more_rows(self, count: int) -> None:
        self._table = np.pad(self._table, ((0, 0), (0, 0), (0, count)))

    def clear(self, row: int) -> None:
        """This row now belongs to another track."""
        self._table[:, :, row] = 0.0

    def at(self, time_s: float) -> Array | None:
        """(6, R) the frame of a moment, to be changed in place; None where none was then."""
        n = int(np.abs(self.times - time_s).argmin())
        return self._table[self._begin + n] if abs(self.times[n] - time_s) < 1e-3 else None

    def boxes_of(self, row: int, least_s: float) -> tuple[Array, Array]:
        """When a track had a box from `least_s` on (K,), and these (K, 4)."""
        table = self._table[self._begin : self._end, :, row]
        present = (table[:, PRESENT] > 0) & (self.times >= least_s - SAME_S)
        return self.times[present], table[present, BOX]

    def before(self, time_s: float) -> float | None:
        """The moment of the frame before the one at a moment; None where none is kept."""
        n = int(self.times.searchsorted(time_s - SAME_S))
        return float(self.times[n - 1]) if n else None

    def copy_evidence(self, row: int, time_s: float, as_s: float) -> None:
        """At one moment, without a box, as much speaks for a track as at another."""
        frame, other = self.at(time_s), self.at(as_s)
        if frame is not None and other is not None:
            frame[EVIDENCE, row] = other[EVIDENCE, row]

    def near(self, time_s: float, within_s: float) -> tuple[Array, Array, Array]:
        """Of the F frames within some seconds of a moment the time from it to them (F,) and what they hold
        (F, 6, R); and the frame of that moment, or the next after it (6, R)."""
        u = self.times - time_s
        low, middle, high = u.searchsorted((-within_s, 0.0, np.nextafter(within_s, np.inf))).tolist()
        table = self._table[self._begin : self._end]
        return u[low:high], table[low:high], table[min(middle, len(table) - 1)]

    def evidence_between(self, row: int, begin_s: float, end_s: float) -> float:
        """The sum of a track's evidence in the frames from `begin_s` to `end_s`, both with it."""
        low, high = self.times.searchsorted((begin_s - SAME_S, end_s + SAME_S)).tolist()
        return float(self._table[self._begin + low : self._begin + high, EVIDENCE, row].sum())

    def seen_between(self, row: int, begin_s: float, end_s: float) -> float:
        """In how many of these frames a track's box has evidence."""
        low, high = self.times.searchsorted((begin_s - SAME_S, end_s + SAME_S)).tolist()
        frames = self._table[self._begin + low : self._begin + high, EVIDENCE, row]
        return float(np.count_nonzero(frames > 0))

    # ---- checkpoints

    def save(self, rows: Index) -> dict[str, Any]:
        """Plain data: the frames of these rows."""
        table = self._table[self._begin : self._end].take(rows, axis=2)
        return {"frame_s": self.frame_s, "times": pack(self.times), "table": pack(table.astype(np.float32))}

    def restore(self, saved: dict[str, Any], rows: Index) -> None:
        """Go on from `save` of a table of other rows: theirs are now `rows`. Raises ValueError where it is
        damaged."""
        times = unpack(saved["times"], np.float64, (-1,))
        if len(times) > MAX_FRAMES or (np.diff(times) <= 0).any():
            raise ValueError("the saved frames are not in order")
        table = unpack(saved["table"], np.float32, (len(times), _WIDTH, len(rows)))
        while self._capacity < len(times):
            self._make_room(2 * self._capacity)
        self.frame_s = float(saved["frame_s"])
        self._begin, self._end = 0, len(times)
        self._times[: self._end] = times
        self._table[: self._end, :, rows] = table
