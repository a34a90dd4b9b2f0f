"""Which box belongs to which track: how alike they are, and who is taken for whom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


def similarity(state: Array, boxes: Array, buffer: float, sigmas: float) -> Array:
    """(T, D) overlap of the tracks' predicted boxes with the found ones (D, 4), in [0, 1].

    Intersection over union of boxes that were both grown by `buffer` of the track's size and by `sigmas`
    standard deviations of its prediction, at most by its size (after C-BIoU: Yang et al., "Hard to Track
    Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering the Matching
    Space", WACV 2023; there the growth is fixed, here it follows what is known of the track).
    """
    sides = state[:, t.SIDES]
    size = np.maximum(sides[:, 2:] - sides[:, :2], t.LEAST_SIZE)
    pxx = state[:, t.P_XX]
    grow = buffer * size + sigmas * np.sqrt((pxx[:, :2] + pxx[:, 2:]) / 2)
    grow = np.minimum(grow, size)
    x = _shared(sides[:, 0], sides[:, 2], boxes[:, 0], boxes[:, 2], grow[:, 0])
    y = _shared(sides[:, 1], sides[:, 3], boxes[:, 1], boxes[:, 3], grow[:, 1])
    shared = x * y
    own = (size + 2 * grow).prod(axis=1)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    other = (width + 2 * grow[:, 0:1]) * (height + 2 * grow[:, 1:2])
    return np.asarray(shared / (own[:, None] + other - shared))


def _shared(low_a: Array, high_a: Array, low_b: Array, high_b: Array, grow: Array) -> Array:
    low = np.maximum((low_a - grow)[:, None], low_b - grow[:, None])
    high = np.minimum((high_a + grow)[:, None], high_b + grow[:, None])
    return np.asarray(np.maximum(high - low, 0.0))


def mutual_best(values: Array, least: float) -> tuple[Index, Index]:
    """Pairs (rows, columns) of a (T, D) matrix, each row and column once, none with a value below `least`.

    Rounds of mutual best choices: they end in the pairs that taking the greatest value again and again
    would give, in a few whole-matrix steps instead of one step a pair.
    """
    rows: list[Index] = []
    columns: list[Index] = []
    left = values.copy()
    here = np.arange(left.shape[0])
    while True:
        best_column = left.argmax(axis=1)
        best_row = left.argmax(axis=0)
        good = (best_row[best_column] == here) & (left[here, best_column] >= least)
        r = np.flatnonzero(good)
        if not len(r):
            break
        c = best_column[r]
        rows.append(r)
        columns.append(c)
        left[r] = -2.0
        left[:, c] = -2.0
    if not rows:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    return np.concatenate(rows), np.concatenate(columns)
