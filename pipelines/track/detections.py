"""One frame's detections as the tracker takes them: the usable ones, in rows beside the tracks' own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.geometry import good_boxes
from pipelines.track import state as t
from pipelines.track.score_calibration import ScoreScale
from pipelines.track.settings import TrackerSettings
from pipelines.values import Detections

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LOW_EVIDENCE = -0.01  # of a detection that its detector calls low, at most: just below the border
Drop = Callable[[str, int], None]  # counts what is dropped, with the reason


@dataclass(slots=True, eq=False)
class PreparedDetections:
    """The D usable detections of a frame: `data` (DETECTION_ROWS, D) as in state.py, and `source` as they
    came.

    `high` (D,) are those that speak for a real object: ByteTrack's high detections, except that the border
    between high and low follows the scores that are usual at this camera.
    """

    data: Array
    source: Detections
    high: Bools
    all_high: bool

    @property
    def n(self) -> int:
        return len(self.source)


def prepare(
    detections: Detections, now_s: float, scale: ScoreScale, settings: TrackerSettings, drop: Drop
) -> PreparedDetections:
    """The detections that are finite, have an area and a score worth a look; the best of too many."""
    usable = _usable(detections, settings, drop)
    data = np.empty((t.DETECTION_ROWS, len(usable)))
    data[t.TIME_S] = now_s
    data[t.BOX] = t.FROM_SIDES.dot(usable.boxes_xyxyn.T.astype(np.float64))
    np.maximum(data[t.SIZE], t.MIN_SIZE, out=data[t.SIZE])
    data[t.SCORE] = usable.scores
    data[t.CLASS] = usable.class_ids
    evidence = scale.evidence(data[t.SCORE])
    if usable.high_threshold > 0:
        evidence = np.where(
            usable.scores < usable.high_threshold, np.minimum(evidence, LOW_EVIDENCE), evidence
        )
    data[t.EVIDENCE] = evidence
    high = evidence >= 0
    return PreparedDetections(data, usable, high, all_high=np.count_nonzero(high) == len(high))


def _all_usable(detections: Detections, settings: TrackerSettings) -> bool:
    """Whether all are, as far as a quick look tells."""
    boxes, scores = detections.boxes_xyxyn, detections.scores
    # The sum of squares is finite where all numbers are, except of numbers that no box has.
    if not math.isfinite(np.vdot(boxes, boxes) + np.vdot(scores, scores)):
        return False
    count = np.count_nonzero  # several times as fast as all()
    sized = count(boxes[:, 2:] > boxes[:, :2]) == 2 * len(boxes)
    return bool(sized and count(scores >= settings.low_score) == len(scores))


def _usable(detections: Detections, settings: TrackerSettings, drop: Drop) -> Detections:
    if len(detections) <= settings.max_boxes and _all_usable(detections, settings):
        return detections  # nearly always
    sound = good_boxes(detections.boxes_xyxyn) & np.isfinite(detections.scores)
    usable = sound & (detections.scores >= settings.low_score)
    if not sound.all():
        drop("box not finite or without area", int((~sound).sum()))
    detections = detections.take(usable)
    if len(detections) > settings.max_boxes:
        drop("more boxes than a frame may have", len(detections) - settings.max_boxes)
        best = np.argsort(-detections.scores, kind="stable")[: settings.max_boxes]
        detections = detections.take(np.sort(best))
    return detections
