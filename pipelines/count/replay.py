"""Crossings of a line by stored trajectories: the rule of line.py on the samples of trajectory_codec.py.

A track is taken alone, since no track's crossing depends on another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.class_names import named_by_any
from pipelines.count.anchor_selection import FOOT_GROUPS
from pipelines.count.box_history import SAME_S
from pipelines.count.box_smoothing import SmoothedBoxes
from pipelines.count.confidence import Judgement, shipped
from pipelines.count.crossing_signs import crossing_signs
from pipelines.count.line import LineCounter, LineCrossing
from pipelines.count.trajectory_codec import Trajectory, TrajectorySamples
from pipelines.count.trajectory_recorder import BEFORE_S
from pipelines.geometry import BORDER, Polyline, anchor_points
from pipelines.rules import LineSpec, ZoneSpec

Array = npt.NDArray[np.float64]

ROW = np.zeros(1, np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class StoredEvidence:
    """What LineCounter asks of a smoother, from one stored track."""

    times_s: Array
    evidence: Array
    frame_s: float
    before: float
    lag_s: float = 0.0

    def evidence_between(self, row: int, begin_s: float, end_s: float) -> float:  # noqa: ARG002
        """As BoxSmoother.evidence_between; of what lies before the first sample the share that is asked."""
        asked = (self.times_s >= begin_s - SAME_S) & (self.times_s <= end_s + SAME_S)
        early = float(np.clip((self.times_s[0] - begin_s) / BEFORE_S, 0.0, 1.0))
        return float(self.evidence[asked].sum()) + early * self.before

    def since_s(self, row: int) -> float:  # noqa: ARG002
        return float(self.times_s[0])

    def seen_between(self, row: int, begin_s: float, end_s: float) -> float:  # noqa: ARG002
        asked = (self.times_s >= begin_s - SAME_S) & (self.times_s <= end_s + SAME_S)
        return float(np.count_nonzero(self.evidence[asked] > 0))

    def jitter_of(self, row: int) -> None:
        """Not stored: the places of a stored track are smoothed."""

    def frame_at(self, time_s: float) -> None:
        """Not stored: a track is taken alone."""


def stored_evidence(trajectory: Trajectory, samples: TrajectorySamples) -> StoredEvidence:
    return StoredEvidence(samples.times_s, samples.evidence, trajectory.frame_s, trajectory.evidence_before)


@dataclass(frozen=True, slots=True)
class Recounted:
    """A crossing of a stored track: its own time since the track's first sample, its class, and how sure it
    is as far as the track alone tells."""

    time_s: float
    side: int
    class_name: str
    crossing: LineCrossing
    judgement: Judgement


def recount(trajectory: Trajectory, spec: LineSpec) -> list[Recounted]:
    """The crossings of `spec` by one track, as live counting would have had them, in order of time."""
    if not may_cross(trajectory, spec):
        return []
    samples = trajectory.samples()  # a bend of a poly-line may lie between two knots
    names = [name for name, _ in trajectory.classes]
    evidence = stored_evidence(trajectory, samples)
    counter = LineCounter(spec)
    _walk(counter, trajectory, samples, spec)
    crossings = counter.decide(float(samples.times_s[-1]), evidence, flush=True)
    at = np.searchsorted(samples.times_s, [c.settled_s for c in crossings])  # a crossing's class is that of
    # the moment it was settled
    classes = samples.class_index[np.minimum(at, len(samples.class_index) - 1)]
    model, _ = shipped()
    return [
        Recounted(
            crossing.time_s,
            crossing.side,
            names[class_index],
            crossing,
            model.judge(crossing_signs(crossing, evidence)),
        )
        for crossing, class_index in zip(crossings, classes.tolist(), strict=True)
    ]


def may_cross(trajectory: Trajectory, spec: LineSpec) -> bool:
    """Whether the track may have been on both sides of the line: most tracks need no closer look.

    The way between two knots is straight, so that of a straight line the knots tell all.
    """
    if not any(counts_class(spec, kind) for kind in trajectory.classes):
        return False
    if len(spec.points) > 2:
        return _reaches(trajectory, spec)
    anchors = stored_anchors(trajectory.boxes_xyxyn, trajectory.class_index, trajectory, spec.anchor)
    distance, _ = Polyline(spec.points).locate(anchors)
    return bool(distance.min() <= 0 < distance.max())


def _reaches(trajectory: Trajectory, spec: LineSpec) -> bool:
    """Whether the track's and the poly-line's surroundings meet at all."""
    points = np.array(spec.points)
    low, high = trajectory.boxes_xyxyn[:, :2].min(axis=0), trajectory.boxes_xyxyn[:, 2:].max(axis=0)
    return bool((low <= points.max(axis=0) + BORDER).all() and (high >= points.min(axis=0) - BORDER).all())


def stored_anchors(
    boxes_xyxyn: Array, class_index: npt.NDArray[np.int64], trajectory: Trajectory, anchor: str
) -> Array:
    """(N, 2) the points that stand for a stored track's boxes (N, 4), by the line's or zone's `anchor`."""
    if anchor != "auto":
        return anchor_points(boxes_xyxyn, anchor)
    foot = np.array([group in FOOT_GROUPS for _, group in trajectory.classes])[class_index]
    return np.where(foot[:, None], anchor_points(boxes_xyxyn, "foot"), anchor_points(boxes_xyxyn, "center"))


def counts_class(spec: LineSpec | ZoneSpec, kind: tuple[str, str]) -> bool:
    """Whether a line or zone counts a class, given as (name, group)."""
    return not spec.classes or _means(spec.classes, kind)


@lru_cache(maxsize=1024)
def _means(words: tuple[str, ...], kind: tuple[str, str]) -> bool:
    return bool(named_by_any(words, kind))


def _walk(counter: LineCounter, trajectory: Trajectory, samples: TrajectorySamples, spec: LineSpec) -> None:
    """Give the line the samples that it counts. Of those far from it, which change nothing but where the
    track was last, the last before a nearer one is enough: most of a track is far from any line."""
    anchors = stored_anchors(samples.boxes_xyxyn, samples.class_index, trajectory, spec.anchor)
    counted = np.array([counts_class(spec, kind) for kind in trajectory.classes])[samples.class_index]
    index = np.flatnonzero(counted)
    distances = counter.distances(anchors[index])
    i = 0
    while i < len(index):
        one = slice(int(index[i]), int(index[i]) + 1)
        counter.update(_place(samples, one), anchors[one])
        calm = counter.calm_of(0)
        i += 1
        if calm:
            nearer = np.flatnonzero(distances[i:] * calm <= 1)
            i += max(0, (int(nearer[0]) if len(nearer) else len(index) - i) - 1)


def _place(samples: TrajectorySamples, one: slice) -> SmoothedBoxes:
    return SmoothedBoxes(
        float(samples.times_s[one.start]),
        ROW,
        samples.boxes_xyxyn[one],
        samples.noise_xyn[one],
        samples.class_index[one],
        samples.evidence[one],
    )
