"""What a tracker shows: the part of its table that is confirmed and was seen just now, as Tracks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import table as t
from pipelines.track.early import Early
from pipelines.track.motion import Motion
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]

# The shown box of a track with this factor of acceleration is half estimate, half matched box: the estimate
# is behind where an object speeds up or turns, the box is noisy where it does not.
LIVELY = 0.3


def shown(
    state: Array, classes: npt.NDArray[np.intp], motion: Motion, early: Early, now_s: float, coast_s: float
) -> Tracks:
    """The tracks of the table (ROWS, N) that were seen within `coast_s`, with the class ids (N,)."""
    gap = now_s - state[t.SEEN_S]
    show = gap <= coast_s
    show &= state[t.CONFIRMED] > 0
    index = show.nonzero()[0]
    n = len(index)
    if not n:
        return Tracks.empty()
    rows = state if n == state.shape[1] else state.take(index, axis=1)
    observed = gap[index] == 0
    noise = motion.noise(rows)
    np.sqrt(noise, out=noise)
    noise *= np.maximum(rows[2:4], t.LEAST_SIZE)
    measured, sides = np.empty((2, n, 4), np.float32)
    t.to_sides(rows[t.SEEN_1], measured)
    maneuver = rows[t.MANEUVER]
    lively = observed * maneuver
    lively /= maneuver + LIVELY
    box = rows[t.SEEN_1] - rows[t.BOX]
    box *= lively
    box += rows[t.BOX]
    t.to_sides(box, sides)
    ids = rows[t.ID].astype(np.int64)
    return Tracks(
        ids,
        sides,
        rows[t.SCORE].astype(np.float32),
        classes[index].astype(np.int32),
        observed,
        noise.T.astype(np.float32, order="C"),
        measured_xyxyn=measured,
        evidence=rows[t.LAST_EVIDENCE].astype(np.float32),
        history=early.give(ids.tolist(), now_s),
    )
