"""One frame's boxes as the tracker takes them: the usable ones, as rows beside the tracks' own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.geometry import good_boxes
from pipelines.track import table as t
from pipelines.track.evidence import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.values import Detections

Array = npt.NDArray[np.float64]

# Rows of a found box from its sides, score, class and one; the time is put in later, and of the score, here
# from -1 to 1, becomes the evidence.
FROM_RAW: Array = np.zeros((t.SEEN_ROWS, 7))
FROM_RAW[t.SEEN_BOX, :4] = t.FROM_SIDES
FROM_RAW[t.SEEN_SCORE, 4] = FROM_RAW[t.SEEN_CLASS, 5] = 1.0
FROM_RAW[t.SEEN_EVIDENCE, 4], FROM_RAW[t.SEEN_EVIDENCE, 6] = 2.0, -1.0

WEAK = np.array(-0.01)  # evidence of a weak box at most: just below the border
Drop = Callable[[str, int], None]  # counts what is dropped, with the reason


@dataclass(slots=True, eq=False)
class Found:
    """Boxes of one frame: `rows` (SEEN_ROWS, D) as in table.py, and the same as they came.

    `all_sure` says that none has evidence below 0.
    """

    rows: Array
    detections: Detections
    all_sure: bool

    def __len__(self) -> int:
        return len(self.detections)


def find(
    detections: Detections, now_s: float, scale: ScoreScale, settings: TrackerSettings, drop: Drop
) -> Found:
    """The boxes that are finite, have an area and a score worth a look; at most `max_boxes`, the best."""
    rows, lowest, good = _rows(detections, settings)
    if not good:
        detections = _good(detections, settings, drop)
        rows, lowest, _ = _rows(detections, settings)
    if not rows.shape[1]:
        return Found(rows, detections, True)
    evidence = rows[t.SEEN_EVIDENCE]
    rows[t.SEEN_S].fill(now_s)
    scale.evidence(evidence)
    sure_score = detections.sure_score
    if sure_score > 0 and detections.scores.item(lowest) < sure_score:
        np.minimum(evidence, WEAK, out=evidence, where=rows[t.SEEN_SCORE] < sure_score)
    return Found(rows, detections, evidence.item(lowest) >= 0)


def _rows(detections: Detections, settings: TrackerSettings) -> tuple[Array, int, bool]:
    """The rows but for time and evidence; which box has the lowest score; and whether there is nothing to
    drop, as nearly always."""
    scores = detections.scores
    n = len(scores)
    raw = np.empty((7, n))
    raw[:4] = detections.boxes_xyxyn.T
    raw[4] = scores
    raw[5] = detections.class_ids
    raw[6].fill(1.0)
    flat = raw.reshape(-1)
    if not flat.dot(flat) < math.inf or n > settings.max_boxes:
        return raw, 0, False
    rows = FROM_RAW.dot(raw)
    if not n:
        return rows, 0, True
    size = rows[t.SEEN_SIZE]
    least = size.item(size.argmin())
    if least < t.LEAST_SIZE:
        np.maximum(size, t.LEAST, out=size)
    lowest = int(scores.argmin())
    return rows, lowest, least > 0 and scores.item(lowest) >= settings.low_score


def _good(detections: Detections, settings: TrackerSettings, drop: Drop) -> Detections:
    scores = detections.scores
    sound = good_boxes(detections.boxes_xyxyn) & np.isfinite(scores)
    if not sound.all():
        drop("box not finite or without area", int((~sound).sum()))
    kept = detections.take(sound & (scores >= settings.low_score))
    if len(kept) > settings.max_boxes:
        drop("more boxes than a frame may have", len(kept) - settings.max_boxes)
        kept = kept.take(np.sort(np.argsort(-kept.scores, kind="stable")[: settings.max_boxes]))
    return kept
