"""Tracks and boxes that are left over when all that overlap are matched, brought together by their looks.

Where frames are far apart, or after someone was hidden, a box may lie beyond its track's prediction, and a
new track would begin on it. It goes on with the old one where that can have come there, both are of one
size, and no other track and no other box looks nearly as much like it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.appearance import Looks
from pipelines.track.motion import SHARES
from pipelines.track.table import Table

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]
Ints = npt.NDArray[np.int32]

FARTHEST = 60.0  # of its prediction, squared standard deviations (of two normal numbers: 10 once in 150)
FAR = 0.005  # what each of those takes from the likeness
ALIKE = 0.5  # least likeness, see appearance.py,
BEAT = 0.2  # and how far it must be ahead of all others'
RATIO = 1.35  # most that one height is of the other


def reunite(
    tracks: Table,
    seen: Array,
    pairs: tuple[Index, Bools],
    looks: Looks,
    units: Floats,
    groups: tuple[Ints, Ints],
) -> list[int]:
    """The boxes that belong to a track, after this.

    `seen` (SEEN_ROWS, D) are the found boxes and `units` (D, E) how they look; `pairs` the box of each track
    and which tracks (T,) have one, changed in place; `groups` those of the tracks (T,) and of the boxes (D,).
    """
    columns, matched = pairs
    left = np.ones(seen.shape[1], np.bool_)
    left[columns[matched]] = False
    absent, free = (~matched).nonzero()[0], left.nonzero()[0]
    likeness, known = looks.likeness(absent, units[free])
    of_tracks, of_boxes = groups
    known &= of_tracks[absent, None] == of_boxes[free]
    rows, boxes = together(tracks, seen, absent, free, likeness, known)
    columns[rows], matched[rows] = boxes, True
    taken: list[int] = columns[matched].tolist()
    return taken


def together(
    tracks: Table, seen: Array, absent: Index, free: Index, likeness: Floats, may: Bools
) -> tuple[Index, Index]:
    """Which of the tracks `absent` (A,) and of the boxes `free` (F,) are one, (K,) each.

    `likeness` (A, F) of their looks, and which pairs `may` (A, F) be one.
    """
    boxes = seen[t.SEEN_BOX][:, free]
    size = tracks.size[:, absent]
    variance = (tracks.p_xx[:, absent] + SHARES.dot(tracks.side[:, absent] * size * size))[:2, :, None]
    away = tracks.box[:2, absent, None] - boxes[:2, None]
    distance = (away * away / variance).sum(axis=0)
    ratio = tracks.seen_box[3, absent, None] / boxes[3]
    may = may & (distance < FARTHEST) & (np.maximum(ratio, 1.0 / ratio) < RATIO)
    may &= (tracks.sure_hits[absent] > 0)[:, None] & (seen[t.SEEN_EVIDENCE, free] >= 0)
    worth = np.where(may, likeness - FAR * distance, -1.0)
    best = worth >= ALIKE
    for axis in (0, 1):
        best &= worth >= _second(worth, axis) + BEAT
    rows, columns = best.nonzero()
    return absent[rows], free[columns]


def _second(worth: Array, axis: int) -> Array:
    """The second best along an axis, -1 where there is but one, to be compared with all of it."""
    if worth.shape[axis] < 2:
        return np.array(-1.0)
    return np.asarray(np.take(np.partition(worth, -2, axis=axis), [-2], axis=axis))
