"""What tracks look like, where boxes come with an embedding: the user's detector's, or `colour_histograms`.

A track's look is the mean of the unit vectors of its boxes with forgetting (as in BoT-SORT: Aharon et al.,
"BoT-SORT: Robust Associations Multi-Pedestrian Tracking", 2022). How much two looks say is not assumed but
learnt from the camera: how alike a track and its next box usually are, and how alike two are who are seen in
one frame, and so are not the same. Where nobody was ever seen beside another, or all look alike, looks say
nothing (decision 015).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipelines.geometry import BORDER
from pipelines.values import Bools, Floats, Image

Index = npt.NDArray[np.intp]
Reals = npt.NDArray[np.floating]

KEEP = 0.8  # of a track's look, a box; 0.7 and 0.9 differ little (decision 015)
UNALIKE, ALIKE = 0.5, 1.5  # what an overlap counts where looks are as of different objects, or of one
UNALIKE_LOST = 0.25  # who comes back after being hidden and looks otherwise is somebody else
UNKNOWN = 0.5  # similarity in between: an overlap counts as it is
FIRST_SAME, FIRST_N = 0.97, 20.0  # how alike one object's looks are before any were seen, and its weight
MEMORY = 1000.0  # boxes, and pairs of them
MIN_PAIRS = 10.0  # of different objects, before looks say anything
MIN_SPAN = 0.03  # of what is usual for one object over what is for two: less tells nobody apart,
MIN_SHARE = 0.5  # nor does less than this of what one object's looks differ by: under a light that flickers

# Looks from colours.
MAX_WIDTH = 480  # pixels of the copy of the picture that colours are looked at in
PARTS, ROWS, ACROSS = 3, 8, 8  # of a box, one above the other; and places looked at in each
LEFT, TOP, BOTTOM = 0.2, 0.12, 0.08  # of the box on each side, above and below, which is left out
HUES, LIGHTS = 12, 4
BINS = HUES + LIGHTS
LENGTH = PARTS * BINS
DARK = 64.0  # of 255: hues of what is darker are noise
FULL = 255.0  # numbers are whole, up to this, so that a byte holds each


class AppearanceModel:
    """One look for each of the tracker's tracks; zero where it is not known."""

    def __init__(self, max_tracks: int) -> None:
        self._max_tracks = max_tracks
        self._looks: Floats = np.zeros((max_tracks, 0), np.float32)
        self._forget()

    def _forget(self) -> None:
        self._same, self._n_same = FIRST_SAME, FIRST_N
        self._other, self._n_other = 0.0, 0.0

    def normalise(self, embeddings: Floats | None) -> Floats | None:
        """(D, E) unit vectors; a vector that is not finite, or zero, says nothing and becomes zero.

        A model of another length makes all looks unknown.
        """
        if embeddings is None or not len(embeddings):
            return None
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        sound = np.isfinite(norms) & (norms > 0)
        units = np.where(sound, embeddings / np.where(sound, norms, 1.0), 0.0).astype(np.float32)
        if units.shape[1] != self._looks.shape[1]:
            self._looks = np.zeros((self._max_tracks, units.shape[1]), np.float32)
            self._forget()
        return units

    def similarity(self, tracks: Index | slice, units: Floats) -> tuple[Floats, Bools]:
        """(T, D) from 0, as alike as two objects are at this camera, to 1, as one object's boxes are; and
        where that is known."""
        looks = self._looks[tracks]
        known = _there(looks)[:, None] & _there(units)
        span = self._same - self._other
        min_span = max(MIN_SPAN, MIN_SHARE * (1.0 - self._same))
        if self._n_other < MIN_PAIRS or span < min_span:
            known[:] = False
        share = np.clip((looks @ units.T - self._other) / max(span, MIN_SPAN), 0.0, 1.0)
        return np.where(known, share, UNKNOWN).astype(np.float32), known

    def weigh(self, iou_matrix: Floats, units: Floats, lost: Bools) -> None:
        """Weigh the overlaps (T, D) by how similar the looks are, in place. A track that is `lost` (T,)
        (it had no box in the frame before) does not go on with who looks otherwise."""
        looks, known = self.similarity(slice(len(iou_matrix)), units)
        weight = UNALIKE + (ALIKE - UNALIKE) * looks
        weight[lost] = np.where(known, UNALIKE_LOST + (ALIKE - UNALIKE_LOST) * looks, weight)[lost]
        iou_matrix *= weight

    def learn(self, tracks: Index, units: Floats) -> None:
        """Take the looks (N, E) of boxes matched with these tracks into account."""
        old, there = self._looks[tracks], _there(units)
        self._learn_usual(old, units, there)
        rate = np.where(_there(old), 1.0 - KEEP, 1.0) * there
        mixed = old + rate.astype(np.float32)[:, None] * (units - old)
        norms = np.linalg.norm(mixed, axis=1, keepdims=True)
        self._looks[tracks] = mixed / np.where(norms > 0, norms, 1.0)

    def _learn_usual(self, old: Floats, units: Floats, there: Bools) -> None:
        """The N boxes are of N objects: each is its own track's, and no two are the same."""
        both = there & _there(old)
        n = int(np.count_nonzero(both))
        if n:
            self._n_same = min(self._n_same + n, MEMORY)
            self._same += (float((old * units).sum()) / n - self._same) * (n / self._n_same)
        n = int(np.count_nonzero(there))
        if n > 1:
            total, pairs = units.sum(axis=0), n * (n - 1) / 2
            self._n_other = min(self._n_other + pairs, MEMORY)
            other = (float(total @ total) - n) / (2 * pairs)
            self._other += (other - self._other) * min(pairs / self._n_other, 1.0)

    def begin(self, tracks: slice, units: Floats | None) -> None:
        """New tracks look as their first boxes do."""
        if self._looks.shape[1]:
            self._looks[tracks] = 0.0 if units is None else units

    def keep(self, tracks: Index) -> None:
        """Only these tracks are left, in this order."""
        if self._looks.shape[1]:
            self._looks[: len(tracks)] = self._looks[tracks]


def _there(vectors: Floats) -> Bools:
    """(N,) which of the vectors (N, E) are not zero."""
    return np.asarray(vectors.any(axis=1))


# ---- looks from colours
#
# Where the detector brings no embedding: cheap, and good for the seconds in which somebody is out of sight.


def small_colours(image: Image) -> Image | None:
    """(h, w, 3) a copy of a BGR picture for colour_histograms(), 390 KB of a 16:9 one; None of a grey one."""
    if image.ndim != 3:
        return None
    high, wide = image.shape[:2]
    if wide <= MAX_WIDTH:
        return image.copy()
    size = (MAX_WIDTH, max(round(high * MAX_WIDTH / wide), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def colour_histograms(picture: Image, boxes_xyxyn: Floats) -> Floats:
    """(N, LENGTH) looks of boxes (N, 4); zero of those that the picture's border cuts, or that are none.

    Three parts of the box one above the other, and of each how much of it has which hue, and how much of it
    that has none is how light (the histograms of Gray and Tao, "Viewpoint Invariant Pedestrian Recognition
    with an Ensemble of Localized Features", ECCV 2008); the square root of it all, so that the product of two
    is their Bhattacharyya coefficient (as in Arandjelovic and Zisserman, "Three Things Everyone Should Know
    to Improve Object Retrieval", CVPR 2012).
    """
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
