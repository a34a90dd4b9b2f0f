"""Which box of a frame each of its tracks was matched with."""

from __future__ import annotations

import numpy as np

from pipelines.values import Detections, Longs, Tracks

SAME = 1e-4  # of the picture: a box after the tracker's arithmetic


def matched_rows(tracks: Tracks, found: Detections) -> Longs:
    """For each track the row of its box among those that the tracker was given, -1 where it has none."""
    rows: Longs = np.full(len(tracks), -1, np.int64)
    measured = tracks.measured_xyxyn
    if measured is None or not len(found) or not len(tracks):
        return rows
    apart = np.abs(measured[:, None] - found.boxes_xyxyn[None]).max(axis=2)
    nearest = apart.argmin(axis=1)
    same = tracks.observed & (apart[np.arange(len(rows)), nearest] <= SAME)
    rows[same] = nearest[same]
    return rows
