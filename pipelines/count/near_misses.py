"""What nearly happened: passages of a stored track over a line that were not counted and why, and how near
it came to lines and zones that it never reached."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.count.line import EVIDENCE, SETTLE_S, band_widths, least_evidence
from pipelines.count.replay import StoredEvidence, counts_class, recount, stored_anchors, stored_evidence
from pipelines.count.trajectory_codec import Trajectory
from pipelines.geometry import Polyline, point_in_polygon
from pipelines.rules import LineSpec, ZoneSpec

Array = npt.NDArray[np.float64]

SAME_S = 0.002  # a stored crossing and its passage differ by rounding alone


@dataclass(frozen=True, slots=True)
class Passage:
    """The track's point went over a line at `time_s` since its first sample; `side` +1 to the right.

    `reached` is how far beyond the line it came, over the band that it has to leave; `lasted_s` how long it
    stayed there. `refused` says in a few words why it was not counted, and is empty where it was.
    """

    time_s: float
    side: int
    point_xyn: tuple[float, float]
    reached: float
    lasted_s: float
    refused: str


@dataclass(frozen=True, slots=True)
class Nearest:
    """Where the track's point was nearest to a line or zone; `distance` in shares of the picture."""

    distance: float
    time_s: float
    point_xyn: tuple[float, float]


def line_passages(trajectory: Trajectory, spec: LineSpec) -> list[Passage]:
    """Every time the track's point was on the other side of the line, counted or not, but for its returns
    from passages that were not."""
    samples = trajectory.samples()
    points = stored_anchors(samples.boxes_xyxyn, samples.class_index, trajectory, spec.anchor)
    line = Polyline(spec.points)
    distance, normal = line.locate(points)
    each = zip(normal.tolist(), samples.boxes_xyxyn.tolist(), samples.noise_xyn.tolist(), strict=True)
    reach = np.abs(distance)[:, None] / [band_widths(*of_place) for of_place in each]
    evidence = stored_evidence(trajectory, samples)
    counted = [c.time_s for c in recount(trajectory, spec)]
    settled, passages = 0, []
    for start, end in _runs(distance > 0):
        side = 1 if distance[start] > 0 else -1
        reached, least = reach[start:end].max(axis=0).tolist()
        if settled in (0, side) or not start:
            settled = side if reached > 1 or not start else settled
            continue
        share = float(distance[start - 1] / (distance[start - 1] - distance[start]))
        time_s = float(
            samples.times_s[start - 1] + share * np.diff(samples.times_s[start - 1 : start + 1])[0]
        )
        point = points[start - 1] + share * (points[start] - points[start - 1])
        lasted_s = float(samples.times_s[end - 1] - samples.times_s[start])
        refused = ""
        if not any(abs(time_s - at) <= SAME_S for at in counted):
            kind = trajectory.classes[int(samples.class_index[start])]
            last = end == len(points)
            between_s = (float(samples.times_s[start - 1]), float(samples.times_s[start]))
            box = samples.boxes_xyxyn[start].tolist()
            how = (reached, least, lasted_s, last)
            refused = _reason(spec, kind, line, point, how, between_s, box, evidence)
        if not refused or (reached > 1 and lasted_s >= SETTLE_S):
            settled = side
        passages.append(Passage(time_s, side, (float(point[0]), float(point[1])), reached, lasted_s, refused))
    return passages


def _runs(sides: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    turns = np.flatnonzero(sides[1:] != sides[:-1]) + 1
    edges = [0, *turns.tolist(), len(sides)]
    yield from itertools.pairwise(edges)


def _reason(
    spec: LineSpec,
    kind: tuple[str, str],
    line: Polyline,
    point: Array,
    how: tuple[float, float, float, bool],
    between_s: tuple[float, float],
    box_xyxyn: list[float],
    evidence: StoredEvidence,
) -> str:
    if not counts_class(spec, kind):
        return f"the line does not count {kind[0]}"
    reached, least, lasted_s, was_last = how
    if reached <= 1 and not (was_last and least > 1):
        return f"it stayed within the line's band ({reached:.2f} of 1)"
    if lasted_s < SETTLE_S:
        what = "the track ended" if was_last else "it came back"
        return f"{what} {lasted_s:.2f} s beyond the line ({SETTLE_S:g} are needed)"
    weight = least_evidence(0, between_s, box_xyxyn, evidence)
    if weight < EVIDENCE:
        return f"the evidence of its boxes was {weight:.2f} on one side of it ({EVIDENCE:g} is needed)"
    before, after = line.beyond(point[None])
    if before[0] > 0 or after[0] > 0:
        return f"it passed {max(before[0], after[0]):.3f} of the picture beyond the line's end"
    when = "last" if reached <= 1 else "first"
    return f"it was {when} seen within the line's band, and stood there"


def nearest_to_line(trajectory: Trajectory, spec: LineSpec) -> Nearest:
    samples = trajectory.samples()
    points = stored_anchors(samples.boxes_xyxyn, samples.class_index, trajectory, spec.anchor)
    return _nearest(samples.times_s, points, spec.points)


def nearest_to_zone(trajectory: Trajectory, spec: ZoneSpec) -> Nearest:
    """Distance 0 where it was inside."""
    samples = trajectory.samples()
    points = stored_anchors(samples.boxes_xyxyn, samples.class_index, trajectory, spec.anchor)
    inside = np.flatnonzero(point_in_polygon(points, np.array(spec.points)))
    if len(inside):
        i = int(inside[0])
        return Nearest(0.0, float(samples.times_s[i]), (float(points[i, 0]), float(points[i, 1])))
    return _nearest(samples.times_s, points, (*spec.points, spec.points[0]))


def _nearest(times_s: Array, points: Array, corners: Sequence[tuple[float, float]]) -> Nearest:
    at = np.asarray(corners, np.float64)
    steps = np.diff(at, axis=0)
    offset = points[:, None] - at[None, :-1]
    share = np.clip((offset * steps).sum(axis=2) / (steps**2).sum(axis=1), 0.0, 1.0)
    gap = offset - share[..., None] * steps
    distance = np.hypot(gap[..., 0], gap[..., 1]).min(axis=1)
    i = int(distance.argmin())
    return Nearest(float(distance[i]), float(times_s[i]), (float(points[i, 0]), float(points[i, 1])))
