"""Optical flow of the whole picture, frame by frame, as a few values: how much of it moves, how fast, and how
abruptly that changes. It knows nothing of what moves, and little of the place.

Dense flow (Farneback, "Two-Frame Motion Estimation Based on Polynomial Expansion", 2003) on a very small
copy; the median is taken out, since that is the camera's own motion.
"""

from __future__ import annotations

import cv2
import numpy as np

from pipelines.values import Floats, Image

SIZE = (80, 60)  # pixels of the copy, width and height
SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)  # of the pixels that are slower than each value says
VALUES = 2 * len(SHARES)
_RANKS = [round(share * (SIZE[0] * SIZE[1] - 1)) for share in SHARES]
_NONE: Floats = np.zeros(VALUES, np.float32)


class OpticalFlow:
    """One camera's. Keeps the last small picture and the last field of flow."""

    def __init__(self) -> None:
        self._grey: Image | None = None
        self._field: Floats | None = None

    def update(self, grey: Image) -> Floats:
        """(H, W) grey picture -> (VALUES,), quantiles over the pixels at SHARES; 0 without a frame before.

        | columns           | unit           | meaning                                                  |
        |-------------------|----------------|----------------------------------------------------------|
        | first len(SHARES) | pixels a frame | length of the flow, the camera's own motion taken out    |
        | last len(SHARES)  | pixels a frame | length of the flow's change, as a vector, since the last |

        Pixels are those of the copy of SIZE.
        """
        small = cv2.resize(grey, SIZE, interpolation=cv2.INTER_AREA)
        before, self._grey = self._grey, np.asarray(small, np.uint8)
        if before is None:
            return _NONE
        field = _dense_flow(before, self._grey)
        last, self._field = self._field, field
        change = _NONE[: len(SHARES)] if last is None else _quantiles(field - last)
        return np.concatenate([_quantiles(field), change])


def _dense_flow(before: Image, now: Image) -> Floats:
    """(60 * 80, 2) without the median."""
    flow = cv2.calcOpticalFlowFarneback(before, now, None, 0.5, 2, 9, 2, 5, 1.1, 0)  # type: ignore[call-overload]
    field: Floats = flow.reshape(-1, 2)
    middle = len(field) // 2
    field -= np.partition(field, middle, axis=0)[middle]
    return field


def _quantiles(field: Floats) -> Floats:
    lengths = np.hypot(field[:, 0], field[:, 1])
    lengths.partition(_RANKS)
    quantiles: Floats = lengths[_RANKS]
    return quantiles
