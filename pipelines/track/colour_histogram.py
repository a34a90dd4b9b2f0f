"""A look for each box from its colours alone, where the detector brings no embedding: cheap, and good for the
seconds in which somebody is out of sight.

Three parts of the box one above the other, and of each how much of it has which hue, and how much of it that
has none is how light; the square root of it all, so that the product of two is their Bhattacharyya
coefficient (the histograms of Gray and Tao, "Viewpoint Invariant Pedestrian Recognition with an Ensemble of
Localized Features", ECCV 2008; the root as in Arandjelovic and Zisserman, "Three Things Everyone Should Know
to Improve Object Retrieval", CVPR 2012).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.geometry import BORDER
from pipelines.values import Floats, Image

Index = npt.NDArray[np.intp]
Reals = npt.NDArray[np.floating]

WIDE = 480  # pixels of the copy of the picture, at most
PARTS, ROWS, ACROSS = 3, 8, 8  # of a box, one above the other; and places looked at in each
LEFT, TOP, BOTTOM = 0.2, 0.12, 0.08  # of the box on each side, above and below, which is left out
HUES, LIGHTS = 12, 4
BINS = HUES + LIGHTS
LENGTH = PARTS * BINS
DARK = 64.0  # of 255: hues of what is darker are noise
FULL = 255.0  # numbers are whole, up to this, so that a byte holds each


def small_colours(image: Image) -> Image | None:
    """(h, w, 3) a copy of a BGR picture for colours(), 390 KB of a 16:9 picture; None of a grey one."""
    if image.ndim != 3:
        return None
    high, wide = image.shape[:2]
    if wide <= WIDE:
        return image.copy()
    size = (WIDE, max(round(high * WIDE / wide), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def colours(picture: Image, boxes_xyxyn: Floats) -> Floats:
    """(N, LENGTH) of boxes (N, 4); zero of those that the picture's border cuts, or that are none."""
    n = len(boxes_xyxyn)
    if not n:
        return np.zeros((0, LENGTH), np.float32)
    within = (boxes_xyxyn >= BORDER) & (boxes_xyxyn <= 1.0 - BORDER)  # and finite
    whole = np.asarray(within.all(axis=1))
    boxes = np.where(whole[:, None], boxes_xyxyn, 0.0)
    pixels = picture[_places(picture, boxes)].reshape(-1, ACROSS, 3)
    hue, saturation, light = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV))
    coloured = saturation / 255.0 * np.minimum(light / DARK, 1.0)
    histogram = np.zeros(n * PARTS * BINS)
    part = BINS * (np.arange(n * PARTS * ROWS) // ROWS)[:, None]
    at = hue * (HUES / 180.0)
    for bin_, share in _shared(at):
        histogram += np.bincount((part + bin_ % HUES).ravel(), (coloured * share).ravel(), len(histogram))
    at = np.clip(light * (LIGHTS / 255.0) - 0.5, 0.0, LIGHTS - 1.001)
    for bin_, share in _shared(at):
        weight = (1.0 - coloured) * share
        histogram += np.bincount((part + HUES + bin_).ravel(), weight.ravel(), len(histogram))
    looks = np.rint(np.sqrt(histogram.reshape(n, LENGTH) / (PARTS * ROWS * ACROSS)) * FULL)
    looks[~whole] = 0.0
    return looks.astype(np.float32)


def _places(picture: Image, boxes: Reals) -> tuple[Index, Index]:
    """Rows (N, PARTS * ROWS, 1) and columns (N, 1, ACROSS) of the pixels that are looked at."""
    high, wide = picture.shape[:2]
    down = np.linspace(TOP, 1.0 - BOTTOM, PARTS * ROWS)
    across = np.linspace(LEFT, 1.0 - LEFT, ACROSS)
    x1, y1, x2, y2 = boxes.T.astype(np.float64)[:, :, None]
    rows = np.clip((y1 + (y2 - y1) * down) * high, 0, high - 1).astype(np.intp)
    columns = np.clip((x1 + (x2 - x1) * across) * wide, 0, wide - 1).astype(np.intp)
    return rows[:, :, None], columns[:, None, :]


def _shared(at: Reals) -> tuple[tuple[Index, Reals], ...]:
    """The two bins that a place between two of them belongs to, and how much to each."""
    low = at.astype(np.intp)
    share = at - low
    return (low, 1.0 - share), (low + 1, share)
