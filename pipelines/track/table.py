"""The rows of the tracker's state table: a column is a track, and each quantity of all tracks lies together.

A track's box is held as a place (x and y of its centre) and an extent (width, height), normalised; speeds are
per second. Where four rows belong together their order is centre x, centre y, width, height.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BOX = slice(0, 4)  # the estimate
SPEED = slice(4, 8)
P_XX = slice(8, 12)  # variance of the estimate, covariance with the speed, variance of the speed
P_XV = slice(12, 16)
P_VV = slice(16, 20)
SEEN_1 = slice(20, 24)  # the last matched box
SEEN_2 = slice(24, 28)  # the one before
NOISE_SUM = slice(28, 30)  # squared noise over squared size in x and y, summed with forgetting
NOISE_N = 30
ID = 31
SEEN_S = 32  # time of the last matched box
SEEN_DT = 33  # time between the last two matched boxes
HITS = 34
SCORE = 35
CONFIRMED = 36
EVIDENCE = 37  # sum over the boxes, see evidence.py
LAST_EVIDENCE = 38
MANEUVER = 39  # factor on the process noise
SURE_HITS = 40  # boxes with evidence of 0 or more
ROWS = 41

LEAST_SIZE = 1e-4  # of the picture; thinner boxes are taken as this thin where lengths are compared


def from_sides(boxes_xyxyn: npt.NDArray[np.floating]) -> Array:
    """(4, N) centres and extents of (N, 4) boxes given by their sides."""
    low, high = boxes_xyxyn.T[:2], boxes_xyxyn.T[2:]
    box = np.empty((4, len(boxes_xyxyn)))
    np.add(low, high, out=box[:2])
    box[:2] *= 0.5
    np.subtract(high, low, out=box[2:])
    return box


def to_sides(box: Array, out: npt.NDArray[np.floating]) -> None:
    """Write the sides of boxes (4, N) to `out` (N, 4)."""
    half = 0.5 * box[2:]
    np.subtract(box[:2], half, out=out.T[:2], casting="same_kind")
    np.add(box[:2], half, out=out.T[2:], casting="same_kind")


def paired(rows: Array) -> Array:
    """(2, 2, N) view of four rows: place or extent, then x or y."""
    return rows.reshape(2, 2, -1)
