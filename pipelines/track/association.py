"""Which box belongs to which track: how alike they are, and who is taken for whom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track.buffers import Rooms
from pipelines.track.state import Table

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
# Rows that both matrices meet in: what is the track's alone; its area in two parts, a quarter of it grown and
# a quarter as it is, both times 2; of the box its four ends, height, width and area.
ALONE, ENDS, SIZES, AREA = 0, 3, slice(7, 9), 9


class _Boxes:
    """The matrix of `n` found boxes, and its parts."""

    def __init__(self, n: int) -> None:
        self.all: Floats = np.zeros((10, n), np.float32)
        self.all[ALONE] = 1.0
        self.all[1], self.all[2] = 2.0, 2.0
        self.ends = self.all[ENDS:AREA]
        self.height, self.width = self.all[SIZES]
        self.area = self.all[AREA]


class _Tracks:
    """The matrix of `n` tracks, and its parts."""

    def __init__(self, n: int) -> None:
        left = np.zeros((10, PLANES, n), np.float32)
        for plane in range(4):
            left[ENDS + plane, plane] = 1.0
        left[8, 4] = left[7, 5] = 0.5  # half of the width, of the height
        left[AREA, 6] = 1.0
        self.all: Floats = left.reshape(10, -1).T
        self.first = left[ALONE, :6]
        self.half_width, self.half_height = left[ALONE, 4:6]
        self.area_grown, self.quarter, self.grown = left[1, 6], left[2, 6], left[SIZES, 6]
        ends = np.empty((12, n))  # what Likeness knows of them first
        self.ends, self.halves, self.half_size = ends, ends[:6], ends[4:6]
        self.width, self.height = self.half_size  # half of them
        self.product = np.empty(n)
        self.growth, self.buffer, self.most = ends[6:8], ends[8:10], ends[10:]


class _Planes:
    """What is computed of each pair of `n` tracks and so many boxes, a plane each."""

    def __init__(self, room: Floats, nothing: Floats, n: int, boxes: int) -> None:
        planes = room.reshape(PLANES, n, boxes)
        self.all = room.reshape(-1, boxes)
        self.apart, self.shared, self.union = planes[:4], planes[4:6], planes[6]
        self.begin, self.end = self.apart[:2], self.apart[2:]
        self.both, self.shared_y = self.shared
        self.nothing = nothing.reshape(2, n, boxes)


class _Pairs:
    """Room for the pairs of tracks and boxes, however many there are: one for all, for it may be large."""

    def __init__(self) -> None:
        self._room: Floats = np.empty(0, np.float32)
        self._nothing: Floats = np.zeros(0, np.float32)  # numpy is faster with an array than with a number
        self._planes = Rooms(self._divide, most=256)

    def of(self, n: int, boxes: int) -> _Planes:
        return self._planes[n, boxes]

    def _divide(self, numbers: tuple[int, int]) -> _Planes:
        n, boxes = numbers
        size = PLANES * n * boxes
        if size > len(self._room):
            self._room = np.empty(size, np.float32)
            self._nothing = np.zeros(2 * n * boxes, np.float32)
            self._planes.clear()
        return _Planes(self._room[:size], self._nothing[: 2 * n * boxes], n, boxes)


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
        self._rooms, self._room_boxes = Rooms(_Tracks), Rooms(_Boxes)
        self._pairs, self._pairs_lying = _Pairs(), _Pairs()
        self._boxes = self._room_boxes[0]

    def meet(self, others: Array) -> None:
        """The found boxes that the tracks of this frame are compared with, `OTHERS` of them (6, D)."""
        # Single precision is enough to compare, and twice as fast.
        self._boxes = room = self._room_boxes[others.shape[1]]
        room.ends[:] = others
        np.multiply(room.height, room.width, room.area)

    def of(self, tracks: Table) -> Floats:
        """(T, D) overlap of the tracks' predicted boxes with the found ones, in [0, 1]; good until the next
        call."""
        room = self._rooms[tracks.n]
        self._ends.dot(tracks.value, room.ends)
        growth, half = room.growth, room.half_size
        np.sqrt(growth, growth)  # both sides together
        growth += room.buffer
        np.minimum(growth, room.most, out=growth)
        np.multiply(room.width, room.height, room.product)
        half += growth
        room.first[:] = room.halves
        np.multiply(room.half_width, room.half_height, room.area_grown)
        room.quarter[:] = room.product
        room.grown[:] = growth
        return self._product(room, self._pairs)

    def of_boxes(self, boxes: Array) -> Floats:
        """(T, D) overlap of the boxes (4, T) with the found ones, neither grown; good likewise."""
        room = self._rooms[boxes.shape[1]]
        room.first[:] = HALVES.dot(boxes, room.halves)
        np.multiply(room.half_width, room.half_height, room.quarter)
        room.area_grown[:] = room.quarter
        room.grown[:] = 0.0
        return self._product(room, self._pairs_lying)

    def _product(self, tracks: _Tracks, pairs: _Pairs) -> Floats:
        """The overlaps from the matrix of the tracks and that of the boxes."""
        boxes = self._boxes.all
        room = pairs.of(len(tracks.quarter), boxes.shape[1])
        tracks.all.dot(boxes, room.all)
        shared, union = room.shared, room.union
        both: Floats = room.both
        np.abs(room.apart, room.apart)
        shared -= room.begin
        shared -= room.end
        np.maximum(shared, room.nothing, out=shared)
        both *= room.shared_y
        union -= both
        both /= union
        return both


def best_of(values: Floats) -> tuple[Index, Floats]:
    """(T,) the best column of each row of a (T, D) matrix, and its value."""
    best = values.argmax(1)
    return best, values.reshape(-1).take(_ROWS[values.shape] + best)


def _row_starts(shape: tuple[int, ...]) -> Index:
    """Where the rows of a matrix begin in the flat array."""
    return np.arange(0, shape[0] * shape[1], shape[1])


_ROWS: Rooms[tuple[int, ...], Index] = Rooms(_row_starts, most=256)


def rank(values: Floats, sure: Bools, proven: Bools, least: float, least_unsure: float) -> None:
    """Put the pairs of a (T, D) matrix that come first above the others, those of `sure` boxes (D,) and of
    `proven` tracks (T,), and those that may not be below 0, in place."""
    refused = values < np.where(sure, least, least_unsure).astype(np.float32)
    values += 2 * sure.astype(np.float32)
    values += proven.astype(np.float32)[:, None]
    np.copyto(values, -1.0, where=refused)


def pairs(values: Floats, least: Floats, best: Index, value: Floats) -> tuple[list[int], list[int]]:
    """Which rows of a (T, D) matrix have no column, and the columns of the others; `best` has them too.

    They are the pairs that taking the greatest value again and again would give, as long as it is `least` or
    more. Each row takes its best column, which `best_of` has found; where two want the same one it goes to
    the greater value, and the other row takes its next best (Gale and Shapley, 1962: as both sides go by the
    same values, no two outcomes are stable). `values` and `best` are used up.
    """
    without = (value < least).nonzero()[0].tolist()
    taken = _but(best.tolist(), without)
    if len(set(taken)) < len(taken):
        _settle(values, float(least), best, value, without)
        taken = _but(best.tolist(), without)
    return without, taken


def _but(items: list[int], without: list[int]) -> list[int]:
    for row in reversed(without):
        del items[row]
    return items


def _settle(values: Floats, least: float, best: Index, value: Floats, without: list[int]) -> None:
    """Let each column have one row only; `best` (T,) and `without` are changed in place."""
    columns, worth = best.tolist(), value.tolist()
    holder: dict[int, int] = {}
    for row in _but(list(range(len(columns))), without):
        while (held := holder.get(columns[row])) is not None:
            column = columns[row]
            if (worth[row], held) > (worth[held], row):
                holder[column], row = row, held
            values[row, column] = -1.0
            columns[row] = best[row] = values[row].argmax()
            worth[row] = values[row, columns[row]]
            if worth[row] < least:
                without.append(row)
                break
        else:
            holder[columns[row]] = row
    without.sort()
