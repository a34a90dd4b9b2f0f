"""How far two detectors agree on the same pictures: one is taken for the truth, the other is measured by it.

Average precision at IoU 0.5, pooled over groups (person, vehicle, …), since groups are what is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.detect.detector import Detector, Ticket
from pipelines.detect.errors import InferenceRejected
from pipelines.train.detector.precision import Matched, at_score, average_precision, interval, match
from pipelines.values import Detections, Floats, Ints, Labels
from streamer.errors import ModelError
from streamer.models.sample_frames import SampleFrame

MIN_AP_SCORE = 0.02  # scores from which average precision is measured
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Agreement:
    """`boxes` of the truth; `ap50` with its 95 % interval; precision and recall at `score`."""

    boxes: int
    ap50: float
    ap50_low: float
    ap50_high: float
    precision: float
    recall: float
    pictures: int
    score: float

    @property
    def found(self) -> int:
        """How many of the truth's boxes are found."""
        return round(self.recall * self.boxes)

    @property
    def given(self) -> int:
        """How many boxes are given, right and wrong ones."""
        return round(self.found / self.precision) if self.precision > 0 else 0

    @property
    def loss(self) -> float:
        """What is lost of 1."""
        return 1.0 - self.ap50


def detect_all(
    detector: Detector, samples: Sequence[SampleFrame], progress: Progress | None = None
) -> list[Detections]:
    """One Detections a picture, as many at once as the detector takes tickets. Raises ModelError."""
    every: list[Detections] = []
    for detections in _pipelined(detector, samples):
        every.append(detections)
        if progress is not None:
            progress(1)
    return every


def _pipelined(detector: Detector, samples: Sequence[SampleFrame]) -> Iterator[Detections]:
    tickets: list[Ticket] = []
    try:
        for sample in samples:
            if len(tickets) == detector.depth:
                yield detector.collect(tickets.pop(0))[0]
            tickets.append(detector.submit([sample.frame()]))
        while tickets:
            yield detector.collect(tickets.pop(0))[0]
    except InferenceRejected as error:
        raise ModelError(f"its answer to a picture of the clips is none: {error}") from error


def agreement(
    truth: Sequence[Detections],
    detections: Sequence[Detections],
    labels: Labels,
    sizes: Sequence[tuple[int, int]],
    score: float,
) -> Agreement:
    """`truth` from `score` on; `detections` from MIN_AP_SCORE on, of a detector with the same labels; `sizes`
    (width, height) in pixels.
    """
    expected = [true.take(true.scores >= score) for true in truth]
    return summary(matched(expected, detections, labels, sizes), score)


def matched(
    truth: Sequence[Detections],
    detections: Sequence[Detections],
    labels: Labels,
    sizes: Sequence[tuple[int, int]],
) -> list[Matched]:
    """All of `truth` and `detections`, one a picture."""
    groups = labels.group_ids()
    return [
        _picture(true, detected, groups, size)
        for true, detected, size in zip(truth, detections, sizes, strict=True)
    ]


def summary(parts: Sequence[Matched], score: float) -> Agreement:
    boxes = sum(part.true for part in parts)
    low, high = interval(parts)
    precision, recall = at_score(parts, score)
    return Agreement(boxes, average_precision(parts), low, high, precision, recall, len(parts), score)


def _picture(true: Detections, detected: Detections, groups: Ints, size: tuple[int, int]) -> Matched:
    """All groups of one picture as one."""
    scale: Floats = np.array([*size, *size], np.float32)
    parts = [
        match(
            detected.boxes_xyxyn[mine] * scale,
            detected.scores[mine],
            true.boxes_xyxyn[groups[true.class_ids] == group] * scale,
        )
        for group in np.unique(groups)
        for mine in [groups[detected.class_ids] == group]
    ]
    return Matched(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.hits for part in parts]),
        np.concatenate([part.counted for part in parts]),
        sum(part.true for part in parts),
    )
