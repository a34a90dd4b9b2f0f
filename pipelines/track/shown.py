"""What a tracker shows: the part of its table that is confirmed and was seen just now, as Tracks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.early import Early
from pipelines.track.table import NOBODY, Table
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

# Sides, measured sides, score and evidence of the shown box and what was seen (Table.mixed_seen).
GIVEN: Array = np.zeros((10, 4 + t.SEEN_ROWS))
GIVEN[:4, :4] = GIVEN[4:8, 5:9] = t.TO_SIDES
GIVEN[8, 4 + t.SEEN_SCORE] = GIVEN[9, 4 + t.SEEN_EVIDENCE] = 1.0

# The shown box of a track with this factor of acceleration is half estimate, half matched box: the estimate
# is behind where an object speeds up or turns, the box is noisy where it does not.
LIVELY = np.array(0.3)


def shown(
    tracks: Table,
    absent: Index,
    late: Index,
    all_confirmed: bool,
    classes: npt.NDArray[np.int32],
    early: Early,
    now_s: float,
) -> Tracks:
    """The confirmed tracks but for those `late`, with the class ids (N,).

    `absent` are the columns of those without a box at this frame, `late` those without one for too long.
    """
    if not tracks.n:
        return Tracks.empty()
    index = None
    if not all_confirmed or len(late):
        visible = tracks.confirmed > t.NONE
        visible[late] = False
        index = visible.nonzero()[0]
        if not len(index):
            return Tracks.empty()
    maneuver = tracks.maneuver[0]
    lively = maneuver / (maneuver + LIVELY)
    observed = lively == lively
    if absent is not NOBODY:
        lively[absent] = 0.0
        observed[absent] = False
    mixed = tracks.mixed
    np.subtract(tracks.seen_box, tracks.box, mixed)
    mixed *= t.FOUR.dot(lively[None])
    mixed += tracks.box
    block = np.empty((12, tracks.n))
    GIVEN.dot(tracks.mixed_seen, block[:10])
    jitter = np.sqrt(tracks.side, block[10:])
    jitter *= tracks.size
    rows, ids = block.astype(np.float32), tracks.ids
    if index is not None:
        rows, ids, classes, observed = rows.take(index, axis=1), ids[index], classes[index], observed[index]
    return Tracks(
        ids,
        rows[:4].T,
        rows[8],
        classes,
        observed,
        rows[10:].T,
        rows[4:8].T,
        rows[9],
        early.give(ids, now_s),
    )
