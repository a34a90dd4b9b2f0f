"""Whether all that a tracker follows stands where something has stood for long, as parked cars do.

Places are remembered, and not tracks: what stands far away is found in one frame and not in the next, and
followed under ever new ids. A place is a box that tracks came to rest in; who walks leaves each at once.
"""

from __future__ import annotations

import numpy as np

from pipelines.track.state import Array, TrackState

STANDS_S = 10.0  # for so long; who waits at a light or a door has gone on by then, mostly
MAX_SHIFT = 0.25  # of its size: further away than that it is elsewhere
MAX_GROWTH = 1.6  # larger or smaller by more than that it is something else
YOUNG_S, OLD_S = 5.0, 60.0  # a place at which nothing is found for so long is forgotten
MAX_PLACES = 500
PLACE, SINCE_S, SEEN_S = slice(0, 4), 4, 5  # rows: centre x, centre y, width, height; since when; seen last


class Standstill:
    """Of all tracks of one camera; times are seconds of the stream."""

    def __init__(self) -> None:
        self._places: Array = np.zeros((6, 0))
        self.all_stand = False

    def follow(self, tracks: TrackState, now_s: float) -> None:
        """Compare the tracks after a frame with the places where they, or others before them, stood."""
        self._forget(now_s)
        near = _near(self._places[PLACE], tracks.box)
        self._places[SEEN_S, near.any(axis=1)] = now_s
        stood = np.where(near, now_s - self._places[SINCE_S][:, None], 0.0)
        longest_s = stood.max(axis=0, initial=0.0)
        self._begin(tracks.box[:, ~near.any(axis=0)], now_s)
        self.all_stand = bool(tracks.n) and bool((longest_s >= STANDS_S).all())

    def _forget(self, now_s: float) -> None:
        places = self._places
        old = places[SEEN_S] - places[SINCE_S] >= STANDS_S
        there = now_s - places[SEEN_S] < np.where(old, OLD_S, YOUNG_S)
        if not there.all():
            self._places = places[:, there]

    def _begin(self, boxes: Array, now_s: float) -> None:
        if boxes.shape[1]:
            new = np.vstack([boxes, np.full((2, boxes.shape[1]), now_s)])
            self._places = np.hstack([self._places, new])[:, -MAX_PLACES:]


def _near(places: Array, boxes: Array) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """(P, N) of P places and N boxes: centre x, centre y, width, height."""
    size = np.maximum(places[2:, :, None], 1e-6)
    shift = np.abs(boxes[:2, None, :] - places[:2, :, None]) <= MAX_SHIFT * size
    growth = np.maximum(boxes[2:, None, :], 1e-6) / size
    alike = (growth < MAX_GROWTH) & (growth > 1 / MAX_GROWTH)
    return np.asarray((shift & alike).all(axis=0))
