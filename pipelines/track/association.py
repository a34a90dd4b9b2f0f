"""Which box belongs to which track: how alike they are, and who is taken for whom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]


def similarity(state: Array, boxes: Array, buffer: float, sigmas: float) -> Floats:
    """(T, D) overlap of the tracks' predicted boxes with the found ones (4, D), in [0, 1].

    Intersection over union of boxes that were both grown by `buffer` of the track's size and by `sigmas`
    standard deviations of its prediction, at most by its size (after C-BIoU: Yang et al., "Hard to Track
    Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering the Matching
    Space", WACV 2023; there the growth is fixed, here it follows what is known of the track).
    """
    size = np.maximum(state[2:4], t.LEAST_SIZE)
    p = state[t.P_XX]
    grow = 0.25 * p[2:]
    grow += p[:2]
    np.sqrt(grow, out=grow)
    grow *= sigmas
    grow += buffer * size
    np.minimum(grow, size, out=grow)
    # From here on whole (T, D) tables: single precision is enough to compare, and twice as fast.
    grow = grow.astype(np.float32)
    half = (0.5 * size).astype(np.float32) + grow
    half_other = (0.5 * boxes[2:]).astype(np.float32)[:, None, :] + grow[:, :, None]  # (2, T, D)
    apart = boxes[:2].astype(np.float32)[:, None, :] - state[:2].astype(np.float32)[:, :, None]
    np.abs(apart, out=apart)
    # Two intervals share their halves less the distance of their centres, at most the smaller whole.
    shared = np.minimum(half[:, :, None], half_other)
    shared += shared
    apart -= half[:, :, None]
    np.subtract(half_other, apart, out=apart)
    np.minimum(shared, apart, out=shared)
    np.maximum(shared, 0.0, out=shared)
    both = shared[0] * shared[1]
    union = half_other[0] * half_other[1]
    union += (half[0] * half[1])[:, None]
    union *= 4.0
    union -= both
    both /= union
    return np.asarray(both)


def mutual_best(values: Floats) -> tuple[Index, Index]:
    """Pairs (rows, columns) of a (T, D) matrix, each row and column once, none with a negative value.

    Rounds of mutual best choices: they end in the pairs that taking the greatest value again and again
    would give, in a few whole-matrix steps instead of one step a pair. `values` is used up.
    """
    rows: list[Index] = []
    columns: list[Index] = []
    here = np.arange(values.shape[0])
    while True:
        column = values.argmax(axis=1)
        row = values.argmax(axis=0)
        good = row[column] == here
        good &= values[here, column] >= 0.0
        r = good.nonzero()[0]
        if not len(r):
            break
        c = column[r]
        rows.append(r)
        columns.append(c)
        values[r] = -1.0
        values[:, c] = -1.0
        if len(r) == min(values.shape):
            break
    if len(rows) == 1:
        return rows[0], columns[0]
    if not rows:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    return np.concatenate(rows), np.concatenate(columns)
