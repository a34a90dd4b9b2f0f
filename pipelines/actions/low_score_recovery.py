"""Goes on with people that the tracker has lost, by boxes below the detector's low threshold.

Who falls is a person seen upright, then one lying, of whom a detector is far less sure, and whom it may take
for a car: the track ends in the middle of the fall. What happens to a person who was there already needs no
new certainty that there is one: a box of low confidence that lies on the last one, and is no other track's,
is theirs. Counting knows nothing of it.
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
    observed_s: float


class LowScoreRecovery:
    """One camera's. Takes every frame once, in order."""

    def __init__(self) -> None:
        self._last: dict[int, _Last] = {}

    def update(
        self,
        now_s: float,
        observed: Mapping[int, Floats],
        low_confidence_xyxyn: Floats,
        tracked_xyxyn: Floats | None = None,
    ) -> dict[int, Floats]:
        """Boxes (4,) by id of tracks that are not among the `observed` ones of this frame and were seen all
        the same: those of `low_confidence_xyxyn` (N, 4) that overlap none of `tracked_xyxyn` (M, 4)."""
        for track_id, box in observed.items():
            self._last[track_id] = _Last(box, now_s, now_s)
        for track_id in [k for k, last in self._last.items() if self._is_over(last, now_s)]:
            del self._last[track_id]
        lost = [track_id for track_id in self._last if track_id not in observed]
        recovered: dict[int, Floats] = {}
        if not lost or not len(low_confidence_xyxyn):
            return recovered
        overlaps = iou(np.stack([self._last[track_id].box_xyxyn for track_id in lost]), low_confidence_xyxyn)
        if tracked_xyxyn is not None and len(tracked_xyxyn):
            overlaps[:, (iou(tracked_xyxyn, low_confidence_xyxyn) >= MAX_TRACKED_IOU).any(axis=0)] = 0.0
        while overlaps.size and overlaps.max() >= MIN_IOU:
            row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
            last = self._last[lost[row]]
            last.box_xyxyn, last.seen_s = low_confidence_xyxyn[column], now_s
            recovered[lost[row]] = last.box_xyxyn
            overlaps[row], overlaps[:, column] = 0.0, 0.0
        return recovered

    @staticmethod
    def _is_over(last: _Last, now_s: float) -> bool:
        return not (0 <= now_s - last.seen_s <= MAX_GAP_S and now_s - last.observed_s <= MAX_UNCONFIRMED_S)
