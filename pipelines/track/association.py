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
# Extent, where the box ends in x and y, and less where it begins, from its centre and extent.
ENDS: Array = np.array(
    [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0.5, 0], [0, 1, 0, 0.5], [-1, 0, 0.5, 0], [0, -1, 0, 0.5]]
)


class Likeness:
    """How alike tracks and boxes are.

    Intersection over union of boxes that were both grown by `buffer` of the track's size and by `sigmas`
    standard deviations of its prediction, at most by its size (after C-BIoU: Yang et al., "Hard to Track
    Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering the Matching
    Space", WACV 2023; there the growth is fixed, here it follows what is known of the track).
    """

    def __init__(self, buffer: float, sigmas: float) -> None:
        self._buffer = np.array(2.0 * buffer, np.float32)
        # Four times the variance of one side's prediction, from those of the centre and the extent.
        self._spread = sigmas**2 * np.array([[4.0, 0, 1.0, 0], [0, 4.0, 0, 1.0]])
        self._room: Floats = np.empty(0, np.float32)

    def of(self, tracks: Table, boxes: Array) -> Floats:
        """(T, D) overlap of the tracks' predicted boxes with the found ones (4, D), in [0, 1]; good until the
        next call."""
        # Single precision is enough to compare, and twice as fast.
        ends, other_ends = ENDS.dot(tracks.box).astype(np.float32), ENDS.dot(boxes).astype(np.float32)
        size, other_size = ends[:2], other_ends[:2, None]
        grown = self._spread.dot(tracks.p_xx).astype(np.float32)  # (2, T), both sides together
        np.sqrt(grown, out=grown)
        grown += size * self._buffer
        np.minimum(grown, size + size, out=grown)
        size += grown
        grow = grown[:, :, None]
        # Two intervals share what is before the lesser of their ends and after the greater of their
        # beginnings. All in one place in memory: for many boxes that is half the cost.
        lesser = np.minimum(
            ends[2:, :, None], other_ends[2:, None], out=self._table(tracks.n, boxes.shape[1])
        )
        shared, other = lesser[:2], lesser[2:]
        shared += other
        shared += grow
        np.maximum(shared, NOTHING, out=shared)
        np.add(other_size, grow, out=other)
        both, union = shared[0], other[0]
        both *= shared[1]
        union *= other[1]
        union += (size[0] * size[1])[:, None]
        union -= both
        both /= union
        return np.asarray(both)

    def _table(self, tracks: int, boxes: int) -> Floats:
        """(4, T, D) of memory that is kept from frame to frame."""
        n = 4 * tracks * boxes
        if n > len(self._room):
            self._room = np.empty(n, np.float32)
        return self._room[:n].reshape(4, tracks, boxes)


def pairs(values: Floats, least: float) -> tuple[Index, Bools | None]:
    """The column of each row of a (T, D) matrix, and which rows (T,) have one at all (None: all have).

    They are the pairs that taking the greatest value again and again would give, as long as it is `least` or
    more. Each row takes its best column; where two want the same one it goes to the greater value, and the
    other row takes its next best (Gale and Shapley, 1962: as both sides go by the same values, no two
    outcomes are stable). `values` is used up.
    """
    best = values.argmax(axis=1)
    value = values[np.arange(len(best)), best]
    matched = value >= least
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
