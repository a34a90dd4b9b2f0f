"""The columns of the tracker's state table: one row a track, float64, so that a frame is a few array steps.

A side is x1, y1, x2 or y2 of the box, normalised; speeds are per second.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SIDES = slice(0, 4)  # estimated position of each side
SPEEDS = slice(4, 8)
P_XX = slice(8, 12)  # variance of the position, covariance with the speed, variance of the speed
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
COLUMNS = 41

LEAST_SIZE = 1e-4  # of the picture; thinner boxes are taken as this thin where lengths are compared


def sizes(sides: Array) -> Array:
    """(N, 4) width, height, width, height of (N, 4) boxes."""
    extent = np.maximum(sides[:, 2:4] - sides[:, 0:2], LEAST_SIZE)
    return np.concatenate([extent, extent], axis=1)
