"""Which box belongs to which track, from a matrix of similarities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


def mutual_best(similarity: Array, least: float) -> tuple[Index, Index]:
    """Pairs (rows, columns) of a (T, D) matrix, best first, each row and column once, none below `least`.

    Rounds of mutual best choices: they end in the pairs that taking the greatest value again and again
    would give, in a few whole-matrix steps instead of one step a pair.
    """
    rows: list[Index] = []
    columns: list[Index] = []
    left = similarity
    left_rows = left_columns = None
    while left.size:
        best_column = left.argmax(axis=1)
        best_row = left.argmax(axis=0)
        here = np.arange(len(best_column))
        good = (best_row[best_column] == here) & (left[here, best_column] >= least)
        if not good.any():
            break
        r, c = here[good], best_column[good]
        rows.append(r if left_rows is None else left_rows[r])
        columns.append(c if left_columns is None else left_columns[c])
        keep_r = ~good
        keep_c = np.ones(left.shape[1], np.bool_)
        keep_c[c] = False
        left_rows = np.flatnonzero(keep_r) if left_rows is None else left_rows[keep_r]
        left_columns = np.flatnonzero(keep_c) if left_columns is None else left_columns[keep_c]
        left = left[keep_r][:, keep_c]
        if left.size and left.max() < least:
            break
    if not rows:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    return np.concatenate(rows), np.concatenate(columns)
