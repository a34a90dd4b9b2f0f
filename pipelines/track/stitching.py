"""Tracks and boxes that are left over when all that overlap are matched, brought together after all.

Where frames are far apart, or after someone was hidden, a box may lie beyond its track's prediction, and a
new track would begin on it. It goes on with the old one where that can have come there, both are of one
height (a box that the picture's border cuts may be of any), and no other track and no other box would do
nearly as well: by their looks; or, where these are not known, by the place alone from one frame to the next.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.geometry import BORDER
from pipelines.track import state as t
from pipelines.track.kalman import SHARES
from pipelines.track.state import Table

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

SLOW_S, LONGEST_S = 0.15, 1.0  # between frames: where they are so far apart it is worth it without looks
FARTHEST = 60.0  # of its prediction, squared standard deviations (of two normal numbers: 10 once in 150)
FAR = 0.005  # what each of those takes from the likeness of looks,
FAR_UNSEEN = 1 / 32  # and from 1 where looks are not known
WORTH = 0.5  # what must be left of it,
BEAT = 0.2  # and how far it must be ahead of all others'
RATIO, RATIO_CUT = 1.35, 4.5  # most that one height is of the other; where the border cuts a box
NEXT = 1.5  # frames: of a track that was seen in the last one


def reunite(
    tracks: Table,
    seen: Array,
    pairs: tuple[Index, Bools],
    likeness: tuple[Floats, Bools] | None,
    may: Bools,
    since_s: tuple[float, float],
) -> list[int]:
    """The boxes that belong to a track, after this.

    `seen` (SEEN_ROWS, D) are the found boxes; `pairs` the box of each track and which tracks (T,) have one,
    changed in place; `likeness` (T, D) of their looks and where it is known; which pairs `may` (T, D) be one;
    tracks not seen since the first of `since_s` are lost, and those seen since the second need no looks.
    """
    columns, matched = pairs
    left = np.ones(seen.shape[1], np.bool_)
    left[columns[matched]] = False
    absent, free = (~matched).nonzero()[0], left.nonzero()[0]
    here = np.ix_(absent, free)
    distance, possible = _reach(tracks, seen, absent, free)
    worth = 1.0 - FAR_UNSEEN * distance
    known = np.zeros(distance.shape, np.bool_)
    if likeness is not None:
        known = likeness[1][here]
        worth = np.where(known, likeness[0][here] - FAR * distance, worth)
    first_s, next_s = since_s
    last_s = tracks.seen_s[absent, None]
    possible &= may[here] & (last_s >= first_s) & (known | (last_s >= next_s))
    worth = np.where(possible, worth, -1.0)
    best = worth >= WORTH
    for axis in (0, 1):
        best &= worth >= _second(worth, axis) + BEAT
    rows, boxes = best.nonzero()
    columns[absent[rows]], matched[absent[rows]] = free[boxes], True
    taken: list[int] = columns[matched].tolist()
    return taken


def _reach(tracks: Table, seen: Array, absent: Index, free: Index) -> tuple[Array, Bools]:
    """(A, F) squared distances of the boxes `free` from the predictions of the tracks `absent`, in standard
    deviations, and which pairs are possible."""
    boxes, old = seen[t.SEEN_BOX][:, free], tracks.seen_box[:, absent]
    size = tracks.size[:, absent]
    variance = (tracks.p_xx[:, absent] + SHARES.dot(tracks.side[:, absent] * size * size))[:2, :, None]
    away = tracks.box[:2, absent, None] - boxes[:2, None]
    distance = (away * away / variance).sum(axis=0)
    ratio = old[3][:, None] / boxes[3]
    most = np.where(_cut(old)[:, None] | _cut(boxes), RATIO_CUT, RATIO)
    possible = (distance < FARTHEST) & (np.maximum(ratio, 1.0 / ratio) < most)
    possible &= (tracks.sure_hits[absent] > 0)[:, None] & (seen[t.SEEN_EVIDENCE, free] >= 0)
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
