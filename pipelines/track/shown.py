"""What a tracker shows: the part of its table that is confirmed and was seen just now, as Tracks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.early import Early
from pipelines.track.table import Table
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]

# The shown box of a track with this factor of acceleration is half estimate, half matched box: the estimate
# is behind where an object speeds up or turns, the box is noisy where it does not.
LIVELY = np.array(0.3)


def shown(
    tracks: Table,
    gap: Array | None,
    all_confirmed: bool,
    classes: npt.NDArray[np.int32],
    early: Early,
    now_s: float,
    coast_s: float,
) -> Tracks:
    """The confirmed tracks that were seen within `coast_s`, with the class ids (N,).

    `gap` (N,) is how long ago each was seen, in seconds; None where all were seen now.
    """
    if not tracks.n:
        return Tracks.empty()
    index = None
    if not all_confirmed or (gap is not None and gap.item(gap.argmax()) > coast_s):
        visible = tracks.confirmed > t.NONE
        if gap is not None:
            visible &= gap <= coast_s
        index = visible.nonzero()[0]
        if not len(index):
            return Tracks.empty()
    maneuver = tracks.maneuver[0]
    lively = maneuver / (maneuver + LIVELY)
    if gap is None:
        observed = lively == lively
    else:
        observed = gap == t.NONE
        lively *= observed
    box = tracks.seen_box - tracks.box
    box *= lively
    box += tracks.box
    # Sides, measured sides, jitter, score and evidence: one block, whose parts are given out.
    block = np.empty((12, tracks.n))
    t.TO_SIDES.dot(box, block[:4])
    t.TO_SIDES.dot(tracks.seen_box, block[4:8])
    jitter = np.sqrt(tracks.side, out=block[8:10])
    jitter *= tracks.size
    block[10:] = tracks.seen_score
    rows, ids = block.astype(np.float32), tracks.id.astype(np.int64)
    if index is not None:
        rows, ids, classes, observed = rows.take(index, axis=1), ids[index], classes[index], observed[index]
    return Tracks(
        ids,
        rows[:4].T,
        rows[10],
        classes,
        observed,
        rows[8:10].T,
        rows[4:8].T,
        rows[11],
        early.give(ids, now_s),
    )
