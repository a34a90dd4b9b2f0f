"""Whether all that a tracker follows has stood still for long, as parked cars do.

A track stands while its box stays near where it was when the track came to rest: a box trembles about its
object, and who stands shifts his weight.
"""

from __future__ import annotations

import numpy as np

from pipelines.track.state import Array, TrackState

STANDS_S = 10.0  # for so long; who waits at a light or a door has gone on by then, mostly
MAX_SHIFT = 0.15  # of its box's size: further away than that it has moved


class Standstill:
    """Of all tracks of one camera; times are seconds of the stream."""

    def __init__(self) -> None:
        self._at: dict[int, tuple[Array, float]] = {}  # by track: where it came to rest, and when
        self.all_stand = False

    def follow(self, tracks: TrackState, now_s: float) -> None:
        """Compare the tracks after a frame with where they stood."""
        at: dict[int, tuple[Array, float]] = {}
        for column, track in enumerate(tracks.ids.tolist()):
            box = tracks.box[:, column].copy()
            before = self._at.get(track)
            at[track] = before if before is not None and _near(before[0], box) else (box, now_s)
        self._at = at
        self.all_stand = bool(at) and all(now_s - since_s >= STANDS_S for _, since_s in at.values())


def _near(before: Array, box: Array) -> bool:
    """Of two boxes: centre x, centre y, width, height."""
    return bool((np.abs(box[:2] - before[:2]) <= MAX_SHIFT * before[2:]).all())
