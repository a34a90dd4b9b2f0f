"""Which box belongs to which track: how alike they are, and who is taken for whom."""

from __future__ import annotations

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
AREA: Array = np.array([2.0, 0.125])  # from the products of half an extent, grown, and of two extents


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
        self._tracks: Floats = _left(0)
        self._boxes: Floats = np.zeros((8, 0), np.float32)
        self._room: Floats = np.empty(0, np.float32)

    def meet(self, boxes: Array) -> None:
        """The found boxes (4, D) that the tracks of this frame are compared with."""
        # Single precision is enough to compare, and twice as fast.
        self._boxes = right = np.empty((8, boxes.shape[1]), np.float32)
        right[0] = 1.0
        right[1:7] = OTHERS.dot(boxes)
        np.multiply(right[5], right[6], out=right[7])

    def of(self, tracks: Table) -> Floats:
        """(T, D) overlap of the tracks' predicted boxes with the found ones, in [0, 1]; good until the next
        call."""
        ends = self._ends.dot(tracks.value)
        grown, most = ends[6:8], ends[10:]
        np.sqrt(grown, out=grown)  # both sides together
        grown += ends[8:10]
        np.minimum(grown, most, out=grown)
        half = ends[4:6]
        half += grown
        left = self._left(tracks.n)
        first = left[0]
        first[:6] = ends[:6]
        first[6] = AREA.dot(ends[4::6] * ends[5::6])
        left[5:7, 6] = grown
        n = PLANES * tracks.n * self._boxes.shape[1]
        if n > len(self._room):
            self._room = np.empty(n, np.float32)
        return self._product(left, self._room[:n])

    def of_boxes(self, boxes: Array) -> Floats:
        """(T, D) overlap of the boxes (4, T) with the found ones, neither grown."""
        left = self._left(boxes.shape[1])
        first = left[0]
        first[:6] = HALVES.dot(boxes)
        np.multiply(boxes[2], boxes[3], out=first[6])
        left[5:7, 6] = 0.0
        return self._product(left, np.empty(PLANES * boxes.shape[1] * self._boxes.shape[1], np.float32))

    def _left(self, n: int) -> Floats:
        if self._tracks.shape[2] != n:
            self._tracks = _left(n)
        return self._tracks

    def _product(self, left: Floats, room: Floats) -> Floats:
        """The overlaps from the matrix of the tracks (8, PLANES, T) and that of the boxes."""
        n, boxes = left.shape[2], self._boxes.shape[1]
        left.reshape(8, -1).T.dot(self._boxes, room.reshape(-1, boxes))
        planes = room.reshape(PLANES, n, boxes)
        apart, shared, union = planes[:4], planes[4:6], planes[6]
        np.abs(apart, out=apart)
        shared -= apart[:2]
        shared -= apart[2:]
        np.maximum(shared, NOTHING, out=shared)
        both = shared[0]
        both *= shared[1]
        union -= both
        both /= union
        return np.asarray(both)


def _left(n: int) -> Floats:
    """(8, PLANES, n) the matrix of `n` tracks, with what is the same for all. Its rows meet those of the
    boxes: one, four ends, height, width, area."""
    left = np.zeros((8, PLANES, n), np.float32)
    for plane in range(4):
        left[1 + plane, plane] = 1.0
    left[6, 4] = left[5, 5] = 0.5
    left[7, 6] = 1.0
    return left


def best_of(values: Floats) -> tuple[Index, Floats]:
    """(T,) the best column of each row of a (T, D) matrix, and its value."""
    best = values.argmax(axis=1)
    return best, values.reshape(-1).take(best + np.arange(0, values.size, values.shape[1]))


def pairs(values: Floats, least: float, best: Index, value: Floats) -> tuple[Index, Bools | None]:
    """The column of each row of a (T, D) matrix, and which rows (T,) have one at all (None: all have).

    They are the pairs that taking the greatest value again and again would give, as long as it is `least` or
    more. Each row takes its best column, which `best_of` has found; where two want the same one it goes to
    the greater value, and the other row takes its next best (Gale and Shapley, 1962: as both sides go by the
    same values, no two outcomes are stable). `values` and `best` are used up.
    """
    matched = value >= np.float32(least)
    n = np.count_nonzero(matched)
    wanted = (best if n == len(best) else best[matched]).tolist()
    if len(set(wanted)) < n:
        _settle(values, least, best, value, matched)
        n = np.count_nonzero(matched)
    return best, None if n == len(best) else matched


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
