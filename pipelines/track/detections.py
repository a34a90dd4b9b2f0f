"""One frame's boxes as the tracker takes them: the usable ones, as rows beside the tracks' own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.geometry import good_boxes
from pipelines.track import state as t
from pipelines.track.association import OTHERS
from pipelines.track.buffers import Rooms
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.values import Detections

Array = npt.NDArray[np.float64]

# Rows of a found box from its sides, score, class and one; the time is put in later, and of the score, here
# from -1 to 1, becomes the evidence. Below them what Likeness asks of it.
FROM_RAW: Array = np.zeros((t.SEEN_ROWS + len(OTHERS), 7))
FROM_RAW[t.SEEN_BOX, :4] = t.FROM_SIDES
FROM_RAW[t.SEEN_SCORE, 4] = FROM_RAW[t.SEEN_CLASS, 5] = 1.0
FROM_RAW[t.SEEN_EVIDENCE, 4], FROM_RAW[t.SEEN_EVIDENCE, 6] = 2.0, -1.0
FROM_RAW[t.SEEN_ROWS :, :4] = OTHERS.dot(t.FROM_SIDES)

WEAK = np.array(-0.01)  # evidence of a weak box at most: just below the border
Drop = Callable[[str, int], None]  # counts what is dropped, with the reason


@dataclass(slots=True, eq=False)
class Found:
    """Boxes of one frame: `rows` (SEEN_ROWS, D) of the `n` boxes as in state.py, `others` (6, D) as in
    association.py, and the same as they came.

    `all_sure` says that none has evidence below 0.
    """

    rows: Array
    others: Array
    detections: Detections
    n: int
    all_sure: bool


class _Room:
    """Room to read `n` boxes."""

    def __init__(self, n: int) -> None:
        self.n = n
        raw = np.empty((7, n))
        raw[6].fill(1.0)
        self.raw, self.flat = raw, raw.reshape(-1)
        self.sides, self.scores, self.classes = raw[:4].T, raw[4], raw[5]
        self.all = np.empty((len(FROM_RAW), n))
        rows, self.others = self.all[: t.SEEN_ROWS], self.all[t.SEEN_ROWS :]
        self.rows, self.seen_s = rows, rows[t.SEEN_S]
        self.box, self.size = rows[t.SEEN_BOX], rows[t.SEEN_SIZE]
        self.seen_score, self.evidence = rows[t.SEEN_SCORE], rows[t.SEEN_EVIDENCE]


class Finder:
    """Finds the boxes of each frame that are of use."""

    def __init__(self, settings: TrackerSettings, drop: Drop) -> None:
        self._settings, self._drop = settings, drop
        self._rooms = Rooms(_Room)

    def find(self, detections: Detections, now_s: float, scale: ScoreScale) -> Found:
        """The boxes that are finite, have an area and a score worth a look; at most `max_boxes`, the best.
        Good until the next call."""
        room, lowest, good = self._read(detections)
        if not good:
            detections = self._good(detections)
            room, lowest, _ = self._read(detections)
        if not room.n:
            return Found(room.rows, room.others, detections, 0, True)
        evidence = room.evidence
        room.seen_s.fill(now_s)
        least = detections.scores.item(lowest)
        scale.evidence(evidence, least)
        sure_score = detections.sure_score
        if least < sure_score:
            np.minimum(evidence, WEAK, out=evidence, where=room.seen_score < sure_score)
        return Found(room.rows, room.others, detections, room.n, evidence.item(lowest) >= 0)

    def _read(self, detections: Detections) -> tuple[_Room, int, bool]:
        """The rows but for time and evidence; which box has the lowest score; and whether there is nothing to
        drop, as nearly always."""
        scores = detections.scores
        n = len(scores)
        room = self._rooms[n]
        room.sides[:] = detections.boxes_xyxyn
        room.scores[:] = scores
        room.classes[:] = detections.class_ids
        flat = room.flat
        if not flat.dot(flat) < math.inf or n > self._settings.max_boxes:
            return room, 0, False
        FROM_RAW.dot(room.raw, room.all)
        if not n:
            return room, 0, True
        size = room.size
        least = size.item(size.argmin())
        if least < t.LEAST_SIZE:
            np.maximum(size, t.LEAST, out=size)
            OTHERS.dot(room.box, room.others)
        lowest = int(scores.argmin())
        return room, lowest, least > 0 and scores.item(lowest) >= self._settings.low_score

    def _good(self, detections: Detections) -> Detections:
        scores, settings = detections.scores, self._settings
        sound = good_boxes(detections.boxes_xyxyn) & np.isfinite(scores)
        if not sound.all():
            self._drop("box not finite or without area", int((~sound).sum()))
        kept = detections.take(sound & (scores >= settings.low_score))
        if len(kept) > settings.max_boxes:
            self._drop("more boxes than a frame may have", len(kept) - settings.max_boxes)
            kept = kept.take(np.sort(np.argsort(-kept.scores, kind="stable")[: settings.max_boxes]))
        return kept
