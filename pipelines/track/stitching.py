"""Track stitching, or re-identification over short gaps: tracks and detections that are left over when all
that overlap are matched, brought together after all.

Where frames are far apart, or after someone was hidden, a box may lie beyond its track's prediction, and a
new track would begin on it. It goes on with the old one where that can have come there, both are of one
height (a box that the picture's border cuts may be of any), and no other track and no other box would do
nearly as well: by their looks. (By the place alone it brought nothing on any set: decision 019.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.geometry import BORDER
from pipelines.track import state as t
from pipelines.track.association import Matches
from pipelines.track.kalman import SIDE_TO_BOX
from pipelines.track.state import TrackState
from pipelines.values import Bools, Floats

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

# Chosen on PETS09 at a quarter of the frames (decision 015): a worth of 0.4 and 0.6, and a lead of 0.1 and
# 0.3, give the same or nearly; half of the reach gives more errors, three times as much no fewer.
MAX_DISTANCE = 60.0  # of its prediction, squared standard deviations (of two normal numbers: 10 once in 150)
DISTANCE_COST = 0.005  # what each of those takes from the similarity of looks
MIN_WORTH = 0.5  # what must be left of it,
MIN_LEAD = 0.2  # and how far it must be ahead of all others'
MAX_RATIO, MAX_RATIO_CUT = 1.35, 4.5  # of one height to the other; where the border cuts a box


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Of each pair (T, D) how similar its looks are, 0 to 1, and whether that is known."""

    similarity: Floats
    known: Bools


def stitch_tracks(
    tracks: TrackState,
    detections: Array,
    matches: Matches,
    appearance: Appearance,
    class_mismatch: Bools | None,
    since_s: float,
) -> None:
    """Match unmatched tracks with unmatched ones of the `detections` (DETECTION_ROWS, D) in `matches`.

    `class_mismatch` (T, D) are the pairs that may not be one; tracks not seen since `since_s` are lost for
    good.
    """
    lost, free = matches.unmatched_tracks, matches.unmatched_detections
    pairs = np.ix_(lost, free)
    distance, possible = _reach(tracks, detections, lost, free)
    worth = appearance.similarity[pairs] - DISTANCE_COST * distance
    possible &= appearance.known[pairs] & (tracks.last_s[lost, None] >= since_s)
    if class_mismatch is not None:
        possible &= ~class_mismatch[pairs]
    worth = np.where(possible, worth, -1.0)
    best = worth >= MIN_WORTH
    for axis in (0, 1):
        best &= worth >= _second(worth, axis) + MIN_LEAD
    rows, columns = best.nonzero()
    matches.add(lost[rows], free[columns])


def _reach(tracks: TrackState, detections: Array, lost: Index, free: Index) -> tuple[Array, Bools]:
    """(L, F) squared Mahalanobis distances of the detections `free` from the predictions of the tracks
    `lost`, and which pairs are possible."""
    boxes, old = detections[t.BOX][:, free], tracks.last_box[:, lost]
    size = tracks.size[:, lost]
    variance = (tracks.p_xx[:, lost] + SIDE_TO_BOX.dot(tracks.noise[:, lost] * size * size))[:2, :, None]
    away = tracks.box[:2, lost, None] - boxes[:2, None]
    distance = (away * away / variance).sum(axis=0)
    ratio = old[3][:, None] / boxes[3]
    max_ratio = np.where(_cut(old)[:, None] | _cut(boxes), MAX_RATIO_CUT, MAX_RATIO)
    possible = (distance < MAX_DISTANCE) & (np.maximum(ratio, 1.0 / ratio) < max_ratio)
    possible &= (tracks.sure_hits[lost] > 0)[:, None] & (detections[t.EVIDENCE, free] >= 0)
    return distance, possible


def _cut(boxes: Array) -> Bools:
    """(N,) which of the boxes (4, N), centres and extents, the picture's border cuts."""
    half = 0.5 * boxes[2:]
    low, high = boxes[:2] - half, boxes[:2] + half
    return np.asarray((low.min(axis=0) < BORDER) | (high.max(axis=0) > 1.0 - BORDER))


def _second(worth: Array, axis: int) -> Array:
    """The second best along an axis, -1 where there is but one, to be compared with all of it."""
    if worth.shape[axis] < 2:
        return np.array(-1.0)
    return np.asarray(np.take(np.partition(worth, -2, axis=axis), [-2], axis=axis))
