"""Goes on with people that the tracker has lost, by boxes that the detector is not sure of.

Who falls is a person seen upright, then one lying, of whom a detector is far less sure, and whom it may take
for a car: the track ends in the middle of the fall. What happens to a person who was there already needs no
new certainty that there is one: a doubtful box that lies on the last one, and is no other track's, is theirs.
Counting knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.geometry import iou
from pipelines.values import Floats

MIN_IOU = 0.3  # intersection over union with the last box
MAX_TRACKED_IOU = 0.6  # with a track that was seen: the box is that one's
MAX_GAP_S = 0.7  # without any box: they are lost
MAX_UNCONFIRMED_S = 20.0  # since the tracker saw them


@dataclass(slots=True)
class _Last:
    box_xyxyn: Floats
    seen_s: float
    sure_s: float


class LowScoreRecovery:
    """One camera's. Takes every frame once, in order."""

    def __init__(self) -> None:
        self._last: dict[int, _Last] = {}

    def update(
        self,
        now_s: float,
        sure: Mapping[int, Floats],
        doubtful_xyxyn: Floats,
        taken_xyxyn: Floats | None = None,
    ) -> dict[int, Floats]:
        """Boxes (4,) of tracks that are not among the `sure` ones of this frame (by id) and were seen all the
        same: doubtful ones (N, 4) that are not `taken` (M, 4) by tracks."""
        for track_id, box in sure.items():
            self._last[track_id] = _Last(box, now_s, now_s)
        for track_id in [k for k, last in self._last.items() if self._is_over(last, now_s)]:
            del self._last[track_id]
        lost = [track_id for track_id in self._last if track_id not in sure]
        recovered: dict[int, Floats] = {}
        if not lost or not len(doubtful_xyxyn):
            return recovered
        shared = iou(np.stack([self._last[track_id].box_xyxyn for track_id in lost]), doubtful_xyxyn)
        if taken_xyxyn is not None and len(taken_xyxyn):
            shared[:, (iou(taken_xyxyn, doubtful_xyxyn) >= MAX_TRACKED_IOU).any(axis=0)] = 0.0
        while shared.size and shared.max() >= MIN_IOU:
            row, column = np.unravel_index(int(shared.argmax()), shared.shape)
            last = self._last[lost[row]]
            last.box_xyxyn, last.seen_s = doubtful_xyxyn[column], now_s
            recovered[lost[row]] = last.box_xyxyn
            shared[row], shared[:, column] = 0.0, 0.0
        return recovered

    @staticmethod
    def _is_over(last: _Last, now_s: float) -> bool:
        return not (0 <= now_s - last.seen_s <= MAX_GAP_S and now_s - last.sure_s <= MAX_UNCONFIRMED_S)
