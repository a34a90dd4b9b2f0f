"""Whether edges lie where they lay, whichever side of them is the brighter one.

Descriptors of patches (view.py) say what is brighter than what, which a switch to infrared turns round: grass
and many clothes are bright in it, the sky is dark, and a lamp beside the lens lights what is near. Where
things have their borders stays. So parts of the picture are looked for again, each by itself, by the strength
of its edges (normalised cross-correlation); a view that was shifted, turned or scaled has them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.values import Image

Floats = npt.NDArray[np.float32]

LOG_OFFSET = 16.0  # below this grey value noise would count for more than what is seen
COLUMNS, ROWS = 5, 3  # parts
REACH = 0.045  # of the width: so far around its place a part is looked for
STILL = 0.008  # of the width: a part that is where it was
MIN_LIKENESS = 0.2  # of a part that is found again
MIN_FOUND = 4  # parts
MIN_STILL = 0.6  # so many of them are where they were, and the view stands
MIN_STRENGTH = 0.35  # of how much edges stood out: what shimmers through paint on the lens is not seen
FOLLOW = 0.2  # share of the newest picture in what is kept


class Structure:
    """The edges of a view that is known to stand; pictures are (H, W) uint8 of one size."""

    def __init__(self) -> None:
        self._edges: Floats | None = None

    def learn(self, grey: Image) -> None:
        """The view stands in this picture."""
        edges = edges_of(grey)
        if self._edges is None or self._edges.shape != edges.shape:
            self._edges = edges
            return
        self._edges = self._edges + np.float32(FOLLOW) * (edges - self._edges)

    def stands_in(self, grey: Image) -> bool:
        """Whether it stands in this one too, as far as its edges tell; False where they do not."""
        if self._edges is None or self._edges.shape != grey.shape:
            return False
        edges = edges_of(grey)
        if edges.std() < MIN_STRENGTH * self._edges.std():
            return False
        places = list(_found(self._edges, edges))
        still = sum(distance <= STILL * grey.shape[1] for distance in places)
        return len(places) >= MIN_FOUND and still >= MIN_STILL * len(places)


def edges_of(grey: Image) -> Floats:
    """How strong the edges of a picture are, (H, W) float32, in shares of the brightness at their place."""
    light = cv2.log(grey.astype(np.float32) + LOG_OFFSET)
    near = cv2.GaussianBlur(light, (0, 0), 1.0)
    across = cv2.Sobel(near, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(near, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.GaussianBlur(np.sqrt(cv2.magnitude(across, down)), (0, 0), 1.0), np.float32)


def _found(before: Floats, now: Floats) -> Iterator[float]:
    """How far from its place, in pixels, each part of `before` is that is found again in `now`."""
    height, width = before.shape
    reach = max(1, round(REACH * width))
    part_width, part_height = (width - 2 * reach) // COLUMNS, (height - 2 * reach) // ROWS
    if min(part_width, part_height) < 2 * reach:
        return
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, left = row * part_height, column * part_width
            part = before[top + reach :, left + reach :][:part_height, :part_width]
            around = now[top:, left:][: part_height + 2 * reach, : part_width + 2 * reach]
            likeness = cv2.matchTemplate(around, np.ascontiguousarray(part), cv2.TM_CCOEFF_NORMED)
            _, best, _, (x, y) = cv2.minMaxLoc(likeness)
            if best >= MIN_LIKENESS:
                yield float(np.hypot(x - reach, y - reach))
