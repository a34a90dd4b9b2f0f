"""Which box belongs to which track: how alike they are, and who is taken for whom."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

NOTHING = np.array(0.0, np.float32)
# From centre and extent: half of left, top, right and bottom, half of width and height.
HALVES: Array = np.array(
    [
        [0.5, 0, -0.25, 0],
        [0, 0.5, 0, -0.25],
        [0.5, 0, 0.25, 0],
        [0, 0.5, 0, 0.25],
        [0, 0, 0.5, 0],
        [0, 0, 0, 0.5],
    ]
)
# Of a found box, the same with signs turned, and height and width.
OTHERS: Array = np.concatenate((-HALVES[:4], [[0, 0, 0, 1.0], [0, 0, 1.0, 0]]))
PLANES = 7  # of a product: ends apart, four; what both extents share where those are 0, two; area of both
# Rows that both matrices meet in: what is the track's alone; its area in two parts, times 2 and 0.5; of the
# box its four ends, height, width and area.
ALONE, ENDS, SIZES, AREA = 0, 3, slice(7, 9), 9


class Likeness:
    """How alike tracks and boxes are.

    Intersection over union of boxes that were both grown by `buffer` of the track's size and by `sigmas`
    standard deviations of its prediction, at most by its size (after C-BIoU: Yang et al., "Hard to Track
    Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering the Matching
    Space", WACV 2023; there the growth is fixed, here it follows what is known of the track).

    All that is summed over pairs of a track and a box is one product of two thin matrices: numpy stretches
    rows over columns more slowly. Two intervals share half of both lengths, less half of how far their
    beginnings are apart and half of how far their ends are.
    """

    def __init__(self, buffer: float, sigmas: float) -> None:
        # Rows: HALVES; four times the variance of one side's prediction, from those of the centre and the
        # extent; the growth by the buffer; and the most that it may be, twice the extent of one side.
        spread = sigmas**2 * np.array([[4.0, 0, 1.0, 0], [0, 4.0, 0, 1.0]])
        self._ends = np.zeros((12, 12))
        self._ends[:6, 8:] = HALVES
        self._ends[6:8, :4] = spread
        self._ends[8:10, 10:] = 2.0 * buffer * np.eye(2)
        self._ends[10:, 10:] = 2.0 * np.eye(2)
        self._hold(0)
        self._rows: Floats = _right(0)
        self._boxes: Floats = self._rows
        self._room: Floats = np.empty(0, np.float32)

    def _hold(self, n: int) -> None:
        """The matrix of `n` tracks, and its parts."""
        self._n = n
        self._tracks = left = _left(n)
        self._flat = left.reshape(10, -1).T
        self._first, self._half = left[ALONE, :6], left[ALONE, 4:6]
        self._area_grown, self._area, self._grown = left[1, 6], left[2, 6], left[SIZES, 6]

    def meet(self, boxes: Array) -> None:
        """The found boxes (4, D) that the tracks of this frame are compared with."""
        # Single precision is enough to compare, and twice as fast.
        n = boxes.shape[1]
        if n > self._rows.shape[1]:
            self._rows = _right(n)
        self._boxes = right = self._rows[:, :n]
        right[ENDS:AREA] = OTHERS.dot(boxes)
        np.multiply(right[7], right[8], right[AREA])

    def of(self, tracks: Table) -> Floats:
        """(T, D) overlap of the tracks' predicted boxes with the found ones, in [0, 1]; good until the next
        call."""
        ends = self._ends.dot(tracks.value)
        grown = ends[6:8]
        np.sqrt(grown, grown)  # both sides together
        grown += ends[8:10]
        np.minimum(grown, ends[10:12], out=grown)
        half = ends[4:6]
        half += grown
        if tracks.n != self._n:
            self._hold(tracks.n)
        self._first[:] = ends[:6]
        width, height = self._half
        np.multiply(width, height, self._area_grown)
        width, height = tracks.size
        self._area[:] = width * height
        self._grown[:] = grown
        n = PLANES * self._n * self._boxes.shape[1]
        if n > len(self._room):
            self._room = np.empty(n, np.float32)
        return self._product(self._room[:n])

    def of_boxes(self, boxes: Array) -> Floats:
        """(T, D) overlap of the boxes (4, T) with the found ones, neither grown."""
        if boxes.shape[1] != self._n:
            self._hold(boxes.shape[1])
        self._first[:] = HALVES.dot(boxes)
        self._area[:] = 2.0 * boxes[2] * boxes[3]
        self._area_grown[:] = self._grown[:] = 0.0
        return self._product(np.empty(PLANES * self._n * self._boxes.shape[1], np.float32))

    def _product(self, room: Floats) -> Floats:
        """The overlaps from the matrix of the tracks and that of the boxes."""
        boxes = self._boxes
        self._flat.dot(boxes, room.reshape(-1, boxes.shape[1]))
        planes = room.reshape(PLANES, self._n, -1)
        apart, shared, union = planes[:4], planes[4:6], planes[6]
        np.abs(apart, apart)
        shared -= apart[:2]
        shared -= apart[2:]
        np.maximum(shared, NOTHING, out=shared)
        both: Floats = shared[0]
        both *= shared[1]
        union -= both
        both /= union
        return both


def _left(n: int) -> Floats:
    """(10, PLANES, n) the matrix of `n` tracks, with what is the same for all."""
    left = np.zeros((10, PLANES, n), np.float32)
    for plane in range(4):
        left[ENDS + plane, plane] = 1.0
    left[8, 4] = left[7, 5] = 0.5  # half of the width, of the height
    left[AREA, 6] = 1.0
    return left


def _right(n: int) -> Floats:
    """(10, n) the matrix of at most `n` boxes, likewise."""
    right = np.zeros((10, n), np.float32)
    right[ALONE] = 1.0
    right[1], right[2] = 2.0, 0.5
    return right


@lru_cache(maxsize=256)
def _rows(n: int, columns: int) -> Index:
    """Where the rows of a matrix begin in the flat array."""
    return np.arange(0, n * columns, columns)


def best_of(values: Floats) -> tuple[Index, Floats]:
    """(T,) the best column of each row of a (T, D) matrix, and its value."""
    best = values.argmax(axis=1)
    return best, values.reshape(-1).take(best + _rows(*values.shape))


def pairs(values: Floats, least: Floats, best: Index, value: Floats) -> tuple[Index, Bools | None, list[int]]:
    """The column of each row of a (T, D) matrix; which rows (T,) have one at all (None: all have); and the
    columns that belong to one.

    They are the pairs that taking the greatest value again and again would give, as long as it is `least` or
    more. Each row takes its best column, which `best_of` has found; where two want the same one it goes to
    the greater value, and the other row takes its next best (Gale and Shapley, 1962: as both sides go by the
    same values, no two outcomes are stable). `values` and `best` are used up.
    """
    matched = value >= least
    taken = best[matched].tolist()
    if len(set(taken)) < len(taken):
        _settle(values, float(least), best, value, matched)
        taken = best[matched].tolist()
    return best, None if len(taken) == len(best) else matched, taken


def _settle(values: Floats, least: float, best: Index, value: Floats, matched: Bools) -> None:
    """Let each column have one row only; `best` and `matched` (T,) are changed in place."""
    columns, worth = best.tolist(), value.tolist()
    holder: dict[int, int] = {}
    for row in matched.nonzero()[0].tolist():
        while (held := holder.get(columns[row])) is not None:
            column = columns[row]
            if (worth[row], held) > (worth[held], row):
                holder[column], row = row, held
            values[row, column] = -1.0
            columns[row] = best[row] = values[row].argmax()
            worth[row] = values[row, columns[row]]
            if worth[row] < least:
                matched[row] = False
                break
        else:
            holder[columns[row]] = row
