"""One frame's boxes as the tracker takes them: the usable ones, as rows beside the tracks' own."""

from __future__ import annotations

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
    if not _all_good(detections, settings):
        detections = _good(detections, settings, drop)
    rows = _rows(detections)
    if not rows.shape[1]:
        return Found(rows, detections, True)
    rows[t.SEEN_S] = now_s
    scores, evidence = rows[t.SEEN_SCORE], rows[t.SEEN_EVIDENCE]
    evidence[:] = scale.evidence(scores)
    return Found(rows, detections, evidence.item(evidence.argmin()) >= 0)


def _rows(detections: Detections) -> Array:
    rows = np.empty((t.SEEN_ROWS, len(detections.scores)))
    t.FROM_SIDES.dot(detections.boxes_xyxyn.T.astype(np.float64, order="C"), rows[t.SEEN_BOX])
    rows[t.SEEN_SCORE] = detections.scores
    rows[t.SEEN_CLASS] = detections.class_ids
    return rows


def _all_good(detections: Detections, settings: TrackerSettings) -> bool:
    """Whether there is nothing to drop, as nearly always."""
    boxes, scores = detections.boxes_xyxyn, detections.scores
    n = len(scores)
    return not n or bool(
        n <= settings.max_boxes
        and np.count_nonzero(np.isfinite(boxes)) == 4 * n
        and np.count_nonzero(boxes[:, 2:] > boxes[:, :2]) == 2 * n
        and np.count_nonzero(np.isfinite(scores)) == n
        and scores.item(scores.argmin()) >= settings.low_score
    )


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
