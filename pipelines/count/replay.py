"""Crossings of a line by paths that were stored: the rule of line.py on the places of trajectory_codec.py.

A track is taken alone, since no track's crossing depends on another's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.count.anchor_selection import FOOT_GROUPS
from pipelines.count.box_history import SAME_S
from pipelines.count.box_smoothing import Places
from pipelines.count.line import LineCounter, LineCrossing
from pipelines.count.trajectory_codec import Places as StoredPlaces
from pipelines.count.trajectory_codec import Trace
from pipelines.count.trajectory_recorder import BEFORE_S
from pipelines.geometry import BORDER, Polyline, anchor_points
from pipelines.rules import LineSpec

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
        """As Smoother.evidence_between; of what lies before the first place the share that is asked."""
        asked = (self.times_s >= begin_s - SAME_S) & (self.times_s <= end_s + SAME_S)
        early = float(np.clip((self.times_s[0] - begin_s) / BEFORE_S, 0.0, 1.0))
        return float(self.evidence[asked].sum()) + early * self.before


@dataclass(frozen=True, slots=True)
class Recounted:
    """A crossing of a stored track: its own time since the track's first place, and its class."""

    time_s: float
    side: int
    class_name: str
    crossing: LineCrossing


def recount(trace: Trace, spec: LineSpec) -> list[Recounted]:
    """The crossings of `spec` by one track, as live counting would have had them, in order of time."""
    if not may_cross(trace, spec):
        return []
    places = trace.each_place()  # a bend of a poly-line may lie between two knots
    names = [name for name, _ in trace.classes]
    evidence = StoredEvidence(places.times_s, places.evidence, trace.frame_s, trace.evidence_before)
    counter = LineCounter(spec)
    for frame, anchor in _frames(trace, places, spec):
        counter.update(frame, anchor)
    found = counter.decide(float(places.times_s[-1]), evidence, flush=True)
    at = np.searchsorted(places.times_s, [c.settled_s for c in found])  # a crossing's class is that of
    # the moment it was settled
    classes = places.class_index[np.minimum(at, len(places.class_index) - 1)]
    return [
        Recounted(crossing.time_s, crossing.side, names[class_index], crossing)
        for crossing, class_index in zip(found, classes.tolist(), strict=True)
    ]


def may_cross(trace: Trace, spec: LineSpec) -> bool:
    """Whether the track may have been on both sides of the line: most tracks need no closer look.

    The way between two knots is straight, so that of a straight line the knots tell all.
    """
    if not any(counts_class(spec, kind) for kind in trace.classes):
        return False
    if len(spec.points) > 2:
        return _reaches(trace, spec)
    anchors = stored_anchors(trace.boxes_xyxyn, trace.class_index, trace, spec.anchor)
    distance, _ = Polyline(spec.points).locate(anchors)
    return bool(distance.min() <= 0 < distance.max())


def _reaches(trace: Trace, spec: LineSpec) -> bool:
    """Whether the track's and the poly-line's surroundings meet at all."""
    points = np.array(spec.points)
    low, high = trace.boxes_xyxyn[:, :2].min(axis=0), trace.boxes_xyxyn[:, 2:].max(axis=0)
    return bool((low <= points.max(axis=0) + BORDER).all() and (high >= points.min(axis=0) - BORDER).all())


def stored_anchors(
    boxes_xyxyn: Array, class_index: npt.NDArray[np.int64], trace: Trace, anchor: str
) -> Array:
    """(N, 2) the points that stand for a stored track's boxes (N, 4), by the line's or zone's `anchor`."""
    if anchor != "auto":
        return anchor_points(boxes_xyxyn, anchor)
    foot = np.array([group in FOOT_GROUPS for _, group in trace.classes])[class_index]
    return np.where(foot[:, None], anchor_points(boxes_xyxyn, "foot"), anchor_points(boxes_xyxyn, "center"))


def counts_class(spec: LineSpec, kind: tuple[str, str]) -> bool:
    """Whether a line counts a class, given as (name, group)."""
    return not spec.classes or kind[0] in spec.classes or kind[1] in spec.classes


def _frames(trace: Trace, places: StoredPlaces, spec: LineSpec) -> Iterator[tuple[Places, Array]]:
    """The places that the line counts, one by one, and their anchors."""
    anchors = stored_anchors(places.boxes_xyxyn, places.class_index, trace, spec.anchor)
    wanted = np.array([counts_class(spec, kind) for kind in trace.classes])[places.class_index]
    for i in np.flatnonzero(wanted).tolist():
        one = slice(i, i + 1)
        place = Places(
            float(places.times_s[i]),
            ROW,
            places.boxes_xyxyn[one],
            places.noise_xyn[one],
            places.class_index[one],
            places.evidence[one],
        )
        yield place, anchors[one]
