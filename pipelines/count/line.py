"""Crossings of one directed line, decided on places that were smoothed with hindsight (box_smoothing.py).

A track is on a side when its anchor point has been farther from the line than a band; it has crossed when it
was on one side and then stays on the other: beyond the band, for `SETTLE_S` and `SETTLE_FRAMES`. The band is
a few standard errors of the place and never less than a share of the box, so that standing on the line or
walking along it counts nothing, while a steady vehicle needs no room at all. The moment and the point of the
crossing are where the path cuts the line, interpolated; where that lies beyond the line's ends it is none
(an end at the picture's edge is no end).

Last, the object must have been really there, before and after: the evidence of its boxes
(score_calibration.py) in the `EVIDENCE_S` up to its last place on the one side, and from its first on the
other, over all frames of that time, must reach `EVIDENCE` each. Where weak boxes alone led a track over the
line it was another object, or none. Of an object that the picture's border cuts there one side is enough: a
part of it is seen badly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.count.box_smoothing import Places
from pipelines.count.slot_table import RowTable
from pipelines.geometry import BORDER, Polyline, at_the_border
from pipelines.rules import LineSpec

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

ERRORS = 0.8  # standard errors of the place that the band is wide,
BAND = 0.015  # and the least share of the box's extent across the line
SETTLE_S = 0.15
SETTLE_FRAMES = 2
EVIDENCE_S = 0.75
EVIDENCE = 0.1
EVIDENCE_FRAMES = 3.0  # and at least so many frames more than that of the place


class Evidence(Protocol):
    """What is asked about the boxes of the tracks: a Smoother, or one stored track."""

    @property
    def frame_s(self) -> float: ...

    def evidence_between(self, row: int, begin_s: float, end_s: float) -> float:
        """The sum of the evidence of a track's boxes from one moment to another, both with it."""


@dataclass(frozen=True, slots=True)
class LineCrossing:
    """Track `row` of the tables went over the line; `side` +1 to the right, -1 to the left.

    `margin` is how far beyond the line it was when that was settled, over the band; `evidence` see above, of
    the side with less. `between_s` are the last place on the one side and the first on the other.
    """

    row: int
    side: int
    time_s: float
    point_xyn: tuple[float, float]
    margin: float
    evidence: float
    box_xyxyn: tuple[float, float, float, float]
    between_s: tuple[float, float]


# Columns of a line's table over the rows of the tracks.
_SIDE = 0  # settled: -1 left, +1 right, 0 not yet
_RUN = 1  # the sign of the present run of places, 0 before the first
_RUN_N = 2  # places in it,
_RUN_S = 3  # and its first moment: of use while it is not settled
_BEYOND = 4  # 1 where a place of the run was beyond the band
_CUT_S = 5  # the moment, point and whether the line was met when the run began
_CUT_X = 6
_CUT_Y = 7
_CUT_ON = 8
_LAST_D = 9  # the last place: signed distance, moment, point
_LAST_S = 10
_LAST_X = 11
_LAST_Y = 12
_CALM = 13  # the sign of places that change nothing: the run is settled; 0 where any place matters
_FROM_S = 14  # the last moment before the run
_COLUMNS = 15


class LineCounter:
    """The crossings of one line by all tracks of a camera."""

    def __init__(self, spec: LineSpec) -> None:
        self.spec = spec
        self._line = Polyline(spec.points)
        self._open = tuple(at_the_border(point) for point in (spec.points[0], spec.points[-1]))
        self._table = RowTable(_COLUMNS)
        self._waiting: list[LineCrossing] = []

    def update(self, places: Places, anchors: Array) -> None:
        """Take the places of one frame of the tracks that this line counts, and their points (N, 2)."""
        if not len(places.rows):
            return
        state = self._table.at(places.rows)
        distance = self._line.distance(anchors)
        calm = distance * state[_CALM] > 0
        if not calm.all():  # else all are where they were: most frames of most lines
            self._follow(state, np.flatnonzero(~calm), distance, anchors, places)
        state[_LAST_D] = distance
        state[_LAST_S] = places.time_s
        state[_LAST_X : _LAST_Y + 1] = anchors.T

    def _follow(self, state: Array, index: Index, distance: Array, anchors: Array, places: Places) -> None:
        """Carry the runs of the tracks `index` on, one by one: there are few, and what each needs differs."""
        time_s = places.time_s
        _, normals = self._line.locate(anchors[index])
        for i, normal in zip(index.tolist(), normals.tolist(), strict=True):
            track: list[float] = state[:, i].tolist()
            d, box = float(distance[i]), places.boxes_xyxyn[i].tolist()
            width = band_width(normal, box, places.noise_xyn[i].tolist())
            if track[_RUN] != (1.0 if d > 0 else -1.0):
                self._turn(track, d, anchors[i].tolist(), time_s)
            track[_RUN_N] += 1
            if abs(d) > width:
                track[_BEYOND] = 1.0
            if track[_BEYOND] and track[_RUN] != track[_SIDE]:
                stays = track[_RUN_N] >= SETTLE_FRAMES and time_s - track[_RUN_S] >= SETTLE_S - 1e-6
                if stays and track[_SIDE] and track[_CUT_ON]:
                    self._waiting.append(_crossing(int(places.rows[i]), track, abs(d) / width, box))
                if stays or not track[_SIDE]:
                    track[_SIDE] = track[_RUN]
            track[_CALM] = track[_RUN] if track[_BEYOND] and track[_RUN] == track[_SIDE] else 0.0
            state[:, i] = track

    def _turn(self, track: list[float], distance: float, point: list[float], time_s: float) -> None:
        """The distance has changed its sign: a new run begins where the way from the last place cuts the
        line."""
        x, y = point
        cut_s = time_s
        if track[_RUN]:
            share = track[_LAST_D] / (track[_LAST_D] - distance) if track[_LAST_D] != distance else 1.0
            x = track[_LAST_X] + share * (x - track[_LAST_X])
            y = track[_LAST_Y] + share * (y - track[_LAST_Y])
            cut_s = track[_LAST_S] + share * (time_s - track[_LAST_S])
        track[_CUT_S], track[_CUT_X], track[_CUT_Y] = cut_s, x, y
        track[_CUT_ON] = float(self._met(np.array([[x, y]]))[0])
        track[_RUN] = 1.0 if distance > 0 else -1.0
        track[_RUN_N] = track[_BEYOND] = 0.0
        track[_FROM_S] = track[_LAST_S]
        track[_RUN_S] = time_s

    def _met(self, points: Array) -> npt.NDArray[np.bool_]:
        """Which points (N, 2) lie beside the drawn line. A line that ends at the picture's edge goes on
        beyond it: the feet of someone near may be out of the picture."""
        before, after = self._line.beyond(points)
        on = np.ones(len(points), np.bool_)
        if not self._open[0]:
            on &= before <= 0
        if not self._open[1]:
            on &= after <= 0
        return on

    def decide(self, now_s: float, known: Evidence, flush: bool = False) -> list[LineCrossing]:
        """The crossings whose evidence suffices; others wait until its time is over (or not, to `flush`)."""
        if not self._waiting:
            return []
        within = evidence_reach_s(known.frame_s)
        counted, waiting = [], []
        for crossing in self._waiting:
            evidence = least_evidence(crossing.row, crossing.between_s, crossing.box_xyxyn, known)
            if evidence >= EVIDENCE:
                counted.append(replace(crossing, evidence=evidence))
            elif not flush and now_s < crossing.between_s[1] + within - 1e-6:
                waiting.append(crossing)
        self._waiting = waiting
        return counted

    def forget(self, rows: Index) -> None:
        """These rows now belong to nobody."""
        self._table.clear(rows)

    def save(self) -> dict[str, Any]:
        return {
            "table": self._table.save(),
            "waiting": [
                [c.row, c.side, c.time_s, list(c.point_xyn), c.margin, list(c.box_xyxyn), list(c.between_s)]
                for c in self._waiting
            ],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`. Raises ValueError where it is damaged."""
        self._table.restore(saved["table"])
        self._waiting = [
            LineCrossing(
                int(row), int(side), float(time_s), (x, y), float(margin), 0.0, tuple(box), (last_s, first_s)
            )
            for row, side, time_s, (x, y), margin, box, (last_s, first_s) in saved["waiting"]
        ]


def evidence_reach_s(frame_s: float) -> float:
    return max(EVIDENCE_S, EVIDENCE_FRAMES * frame_s)


def least_evidence(
    row: int, between_s: tuple[float, float], box_xyxyn: Sequence[float], known: Evidence
) -> float:
    """The evidence a frame before and after a crossing between two moments: of the side with less, or of that
    with more where the picture's border cuts the box, of which one side saw but a part."""
    within_s = evidence_reach_s(known.frame_s)
    frames = max(within_s / known.frame_s if known.frame_s else 1.0, 1.0)
    last_s, first_s = between_s
    before = known.evidence_between(row, last_s - within_s, last_s)
    after = known.evidence_between(row, first_s, first_s + within_s)
    cut = min(box_xyxyn) < BORDER or max(box_xyxyn) > 1 - BORDER
    return (max if cut else min)(before, after) / frames


def band_width(normal_xy: Sequence[float], box_xyxyn: Sequence[float], noise_xyn: Sequence[float]) -> float:
    """How far from the line a place must be to be on a side: by its noise, the standard error, and its box,
    both across the line, whose normal there is given."""
    x, y = abs(normal_xy[0]), abs(normal_xy[1])
    x1, y1, x2, y2 = box_xyxyn
    extent = x * (x2 - x1) + y * (y2 - y1)
    error = x * noise_xyn[0] + y * noise_xyn[1]
    return max(ERRORS * error, BAND * extent)


def _crossing(row: int, track: list[float], margin: float, box: Sequence[float]) -> LineCrossing:
    x1, y1, x2, y2 = box
    point = (track[_CUT_X], track[_CUT_Y])
    between_s = (track[_FROM_S], track[_RUN_S])
    return LineCrossing(row, int(track[_RUN]), track[_CUT_S], point, margin, 0.0, (x1, y1, x2, y2), between_s)
