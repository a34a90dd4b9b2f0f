"""Visits of a zone by stored trajectories: the rule of zone.py on the samples of trajectory_codec.py.

A track is taken alone, since no track's visit depends on another's. Where it was away for longer than a zone
waits, it has left and comes anew, as it did live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.count.box_smoothing import SmoothedBoxes
from pipelines.count.replay import ROW, counts_class, stored_anchors
from pipelines.count.trajectory_codec import Trajectory
from pipelines.count.zone import LOST_S, ZoneChange, ZoneCounter
from pipelines.geometry import Polygon
from pipelines.rules import ZoneSpec

_JUST_LATER_S = 1e-3
_NOBODY: Any = np.zeros(0, np.intp)


@dataclass(frozen=True, slots=True)
class RecountedVisit:
    """A stored track entered (`dwell_s` None) or left a zone, in its own time since its first sample."""

    time_s: float
    entered: bool
    class_name: str
    dwell_s: float | None


class _Alone:
    """What ZoneCounter asks of a smoother: whose row it is."""

    ids = np.ones(1, np.int64)


def recount_visits(trajectory: Trajectory, spec: ZoneSpec) -> list[RecountedVisit]:
    """The entries and exits of `spec` by one track, as live counting would have had them, in order of time.
    Who is inside at the track's end left when it was last seen."""
    if not any(counts_class(spec, kind) for kind in trajectory.classes):
        return []
    samples = trajectory.samples()
    anchors = stored_anchors(samples.boxes_xyxyn, samples.class_index, trajectory, spec.anchor)
    counted = np.array([counts_class(spec, kind) for kind in trajectory.classes])[samples.class_index]
    index = np.flatnonzero(counted)
    if not Polygon(np.asarray(spec.points)).holds(anchors[index]).any():
        return []
    counter, smoother = ZoneCounter(spec), _Alone()
    changes: list[ZoneChange] = []
    last_s = None
    for i in index.tolist():
        time_s, one = float(samples.times_s[i]), slice(i, i + 1)
        if last_s is not None and time_s - last_s > LOST_S:
            changes += counter.update(_nobody(last_s + LOST_S + _JUST_LATER_S), anchors[:0], smoother)
        place = SmoothedBoxes(
            time_s,
            ROW,
            samples.boxes_xyxyn[one],
            samples.noise_xyn[one],
            samples.class_index[one],
            samples.evidence[one],
        )
        changes += counter.update(place, anchors[one], smoother)
        last_s = time_s
    names = [name for name, _ in trajectory.classes]
    every = [*changes, *counter.close()]
    return [RecountedVisit(c.time_s, c.entered, names[c.class_id], c.dwell_s) for c in every]


def _nobody(time_s: float) -> SmoothedBoxes:
    """A frame in which the track was not seen."""
    none = np.zeros((0, 4))
    return SmoothedBoxes(time_s, _NOBODY, none, none[:, :2], _NOBODY, np.zeros(0))
