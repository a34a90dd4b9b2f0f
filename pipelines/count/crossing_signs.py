"""What a counted crossing shows of itself: the signs by which its confidence is judged (confidence.py).

All of them are known where the crossing is decided, and cost a look at one frame. Of a stored track
(replay.py) nothing is known of the others that were there: those signs are None, and count as usual ones.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipelines.count.box_history import BOX, PRESENT
from pipelines.count.line import LineCrossing, evidence_reach_s
from pipelines.count.signs import CrossingSigns
from pipelines.geometry import cut_by_border

Array = npt.NDArray[np.float64]

MIN_EXTENT = 1e-6  # of the picture; a thinner box is taken as this thin


class KnownTracks(Protocol):
    """What is asked about the tracks: a BoxSmoother, or one stored track."""

    @property
    def frame_s(self) -> float: ...

    def since_s(self, row: int) -> float:
        """The time of a track's first box."""

    def seen_between(self, row: int, begin_s: float, end_s: float) -> float:
        """How many frames from one moment to another, both with it, have a box that speaks for the track."""

    def jitter_of(self, row: int) -> tuple[float, float] | None:
        """The standard deviation of the place of one of its boxes, in x and y, in shares of the picture."""

    def frame_at(self, time_s: float) -> Array | None:
        """What a moment's frame holds of all tracks, (6, R) of BoxHistory; None where it is not kept."""


def crossing_signs(crossing: LineCrossing, known: KnownTracks) -> CrossingSigns:
    last_s, first_s = crossing.between_s
    reach_s, box = evidence_reach_s(known.frame_s), crossing.box_xyxyn
    frames = max(2 * reach_s / known.frame_s if known.frame_s else 1.0, 1.0)
    covered, near = _others(crossing.row, box, known.frame_at(first_s))
    seen = known.seen_between(crossing.row, last_s - reach_s, first_s + reach_s) / frames
    return CrossingSigns(
        evidence=crossing.evidence,
        margin=crossing.margin,
        seen=min(seen, 1.0),
        gap_s=first_s - last_s,
        age_s=crossing.time_s - known.since_s(crossing.row),
        height=box[3] - box[1],
        cut=float(cut_by_border(box)),
        jitter=_relative(known.jitter_of(crossing.row), box),
        covered=covered,
        near=near,
    )


def _relative(jitter: tuple[float, float] | None, box: tuple[float, float, float, float]) -> float | None:
    extent = max((box[2] - box[0] + box[3] - box[1]) / 2, MIN_EXTENT)
    return None if jitter is None else (jitter[0] + jitter[1]) / 2 / extent


def _others(
    row: int, box: tuple[float, float, float, float], frame: Array | None
) -> tuple[float | None, float | None]:
    """How much of the box the others cover, and how many feet are within its width and height of its own."""
    if frame is None:
        return None, None
    other = frame[PRESENT] > 0
    other[row] = False
    x1, y1, x2, y2 = frame[BOX][:, other]
    if not len(x1):
        return 0.0, 0.0
    width, height = max(box[2] - box[0], MIN_EXTENT), max(box[3] - box[1], MIN_EXTENT)
    both = np.clip(np.minimum(x2, box[2]) - np.maximum(x1, box[0]), 0.0, None) * np.clip(
        np.minimum(y2, box[3]) - np.maximum(y1, box[1]), 0.0, None
    )
    near = (np.abs(x1 + x2 - box[0] - box[2]) < 2 * width) & (np.abs(y2 - box[3]) < height)
    return float(both.max() / (width * height)), float(near.sum())
