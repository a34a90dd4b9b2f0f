"""Which box belongs to which track: how alike they are, and who is taken for whom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

NOTHING = np.array(0.0, np.float32)
# The variance of one side's prediction, four times, from those of the centre and the extent.
SPREAD: Array = np.array([[4.0, 0, 1.0, 0], [0, 4.0, 0, 1.0]])
# Where a box ends in x and y, and less where it begins, from its centre and extent.
ENDS: Array = np.array([[1, 0, 0.5, 0], [0, 1, 0, 0.5], [-1, 0, 0.5, 0], [0, -1, 0, 0.5]])


class Likeness:
    """How alike tracks and boxes are.

    Intersection over union of boxes that were both grown by `buffer` of the track's size and by `sigmas`
    standard deviations of its prediction, at most by its size (after C-BIoU: Yang et al., "Hard to Track
    Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering the Matching
    Space", WACV 2023; there the growth is fixed, here it follows what is known of the track).
    """

    def __init__(self, buffer: float, sigmas: float) -> None:
        self._buffer = np.array(2.0 * buffer)
        self._spread = sigmas**2 * SPREAD

    def of(self, tracks: Table, boxes: Array) -> Floats:
        """(T, D) overlap of the tracks' predicted boxes with the found ones (4, D), in [0, 1]."""
        size = np.maximum(tracks.size, t.LEAST)
        grown = self._spread.dot(tracks.p_xx)  # (2, T) by how much, on both sides together
        np.sqrt(grown, out=grown)
        grown += size * self._buffer
        np.minimum(grown, size + size, out=grown)
        size += grown
        # From here on whole (T, D) tables: single precision is enough to compare, and twice as fast.
        grow = grown.astype(np.float32)[:, :, None]
        ends = ENDS.dot(tracks.box).astype(np.float32)[:, :, None]
        other_ends = ENDS.dot(boxes).astype(np.float32)[:, None, :]
        # Two intervals share what lies before the lesser of their ends and after the greater of their
        # beginnings.
        ends = np.minimum(ends, other_ends)
        shared = ends[:2]
        shared += ends[2:]
        shared += grow
        np.maximum(shared, NOTHING, out=shared)
        both = shared[0] * shared[1]
        other = boxes[2:].astype(np.float32)[:, None, :] + grow
        union = other[0] * other[1]
        union += (size[0] * size[1]).astype(np.float32)[:, None]
        union -= both
        both /= union
        return np.asarray(both)


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
