"""What a tracker shows: the part of its table that is confirmed and was seen just now, as Tracks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.track import state as t
from pipelines.track.buffers import Rooms
from pipelines.track.state import Table
from pipelines.track.tentative_history import Early
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]

# Sides, measured sides, score and evidence of the shown box and what was seen (Table.mixed_seen).
GIVEN: Array = np.zeros((10, 4 + t.SEEN_ROWS))
GIVEN[:4, :4] = GIVEN[4:8, 5:9] = t.TO_SIDES
GIVEN[8, 4 + t.SEEN_SCORE] = GIVEN[9, 4 + t.SEEN_EVIDENCE] = 1.0

# The shown box of a track with this factor of acceleration is half estimate, half matched box: the estimate
# is behind where an object speeds up or turns, the box is noisy where it does not.
LIVELY = np.array(0.3)


class _Room:
    """Room to show `n` tracks."""

    def __init__(self, n: int) -> None:
        self.lively = np.empty((1, n))
        self.lively_flat = self.lively[0]
        self.lively_4 = np.empty((4, n))
        self.all = np.empty((12, n))
        self.given, self.jitter = self.all[:10], self.all[10:]


class Shown:
    """Makes what is shown of the tracks of a camera."""

    def __init__(self) -> None:
        self._rooms = Rooms(_Room)

    def tracks(
        self,
        tracks: Table,
        absent: list[int],
        late: list[int],
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
        if not all_confirmed or late:
            visible = tracks.confirmed > t.NONE
            for column in late:
                visible[column] = False
            index = visible.nonzero()[0]
            if not len(index):
                return Tracks.empty()
        room = self._rooms[tracks.n]
        lively, mixed = room.lively_flat, tracks.mixed
        np.add(tracks.maneuver_x, LIVELY, lively)
        np.divide(tracks.maneuver_x, lively, lively)
        for column in absent:
            lively[column] = 0.0
        observed = lively > t.NONE
        np.subtract(tracks.seen_box, tracks.box, mixed)
        mixed *= t.FOUR.dot(room.lively, room.lively_4)
        mixed += tracks.box
        GIVEN.dot(tracks.mixed_seen, room.given)
        np.sqrt(tracks.side, room.jitter)
        jitter = room.jitter
        jitter *= tracks.size
        rows, ids = room.all.astype(np.float32), tracks.ids
        if index is not None:
            rows, ids = rows.take(index, axis=1), ids.take(index)
            classes, observed = classes.take(index), observed.take(index)
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
