"""The look of a person or vehicle for journeys: its colours from top to bottom, background left out.

Colours are logarithms in opponent channels, so that a camera's gain, white balance and gamma shift and
stretch each number by as much for everybody, which `UsualLooks` takes back out (after Finlayson and Xu,
"Illuminant and gamma comprehensive normalisation in log RGB space", Pattern Recognition Letters 2003). What
lies beside the box says what is background: a pixel counts by how unlike that it is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.geometry import BORDER
from pipelines.values import Floats, Image

Array = npt.NDArray[np.float64]

# Head, upper and lower trunk, thighs, shins, feet: from where to where of the box's height.
PARTS = ((0.03, 0.16), (0.20, 0.36), (0.36, 0.50), (0.55, 0.70), (0.70, 0.88), (0.90, 0.98))
CHANNELS = 3  # how light; red over green; blue over yellow
LENGTH = len(PARTS) * CHANNELS
BESIDE = 0.35  # of the box's width on either side: background
EDGE = 0.1  # of its width that is left out on either side
NOISE = 12.0  # of 255, added before the logarithm: what is darker is noise
MIDDLE = 0.25  # of its width: how fast pixels count less away from the middle
USUAL_SPREAD = (0.06, 0.02, 0.02)  # of a plain background, by channel
UNLIKE, STEEP = 2.5, 1.5  # spreads from where a pixel is no background; how sharp that is
LEAST = 0.03  # what a pixel counts that is as the background
MIN_BESIDE = 6  # pixels of background, before they say anything


def clothes(picture: Image, boxes_xyxyn: Floats) -> Floats:
    """(N, LENGTH) looks of boxes (N, 4) in a BGR picture; zero of those that its border cuts.

    Of each part the weighted median of each channel.
    """
    looks = np.zeros((len(boxes_xyxyn), LENGTH), np.float32)
    within = ((boxes_xyxyn >= BORDER) & (boxes_xyxyn <= 1.0 - BORDER)).all(axis=1)  # and finite
    scale = np.tile(picture.shape[1::-1], 2)
    for row in np.flatnonzero(within).tolist():
        looks[row] = _look(picture, boxes_xyxyn[row].astype(np.float64) * scale)
    return looks


def _look(picture: Image, box: Array) -> Array:
    """(LENGTH,) of one box in pixels."""
    high, wide = picture.shape[:2]
    x1, y1, x2, y2 = box.tolist()
    width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    left = max(int(x1 - BESIDE * width), 0)
    columns = np.arange(left, min(int(x2 + BESIDE * width) + 1, wide))
    across = (columns - x1) / width
    inside = (across >= EDGE) & (across <= 1.0 - EDGE)
    if not inside.any():
        inside[np.abs(across - 0.5).argmin()] = True
    beside = (across < -0.04) | (across > 1.04)
    central = np.exp(-(((across[inside] - 0.5) / MIDDLE) ** 2))
    parts = []
    for begin, end in PARTS:
        first = min(max(int(y1 + begin * height), 0), high - 1)
        rows = slice(first, max(int(np.ceil(y1 + end * height)), first + 1))
        colours = _opponent(picture[rows, left : left + len(columns)])
        pixels = colours[:, inside]
        weights = np.broadcast_to(central, pixels.shape[:2]) * _foreground(pixels, colours[:, beside])
        parts.append(_medians(pixels.reshape(-1, CHANNELS), weights.ravel()))
    return np.concatenate(parts)


def _opponent(pixels: Image) -> Array:
    """(h, w, CHANNELS) of BGR pixels (h, w, 3)."""
    blue, green, red = np.moveaxis(np.log(pixels.astype(np.float64) + NOISE), -1, 0)
    return np.stack(((blue + green + red) / 3, red - green, blue - (red + green) / 2), axis=-1)


def _foreground(pixels: Array, beside: Array) -> Array:
    """(h, w) how unlike the background beside it each pixel is, LEAST to 1."""
    around = beside.reshape(-1, CHANNELS)
    if len(around) < MIN_BESIDE:
        return np.ones(pixels.shape[:2])
    usual = np.median(around, axis=0)
    spread = 1.5 * np.median(np.abs(around - usual), axis=0) + USUAL_SPREAD
    away = (np.abs(pixels - usual) / spread).max(axis=-1)
    return np.asarray(1.0 / (1.0 + np.exp(STEEP * (UNLIKE - np.minimum(away, 50.0)))) + LEAST)


def _medians(pixels: Array, weights: Array) -> Array:
    """(CHANNELS,) weighted medians of pixels (n, CHANNELS)."""
    order = pixels.argsort(axis=0)
    summed = weights[order].cumsum(axis=0)
    at = (summed < summed[-1] / 2).sum(axis=0)
    channel = np.arange(CHANNELS)
    return np.asarray(pixels[order[at, channel], channel])
