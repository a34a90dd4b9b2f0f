"""Crossings of one directed line, decided on places that were smoothed with hindsight (box_smoothing.py).

A Schmitt trigger (O. H. Schmitt, "A thermionic trigger", 1938): a track is on a side once its anchor point
was farther from the line than a band, and it has crossed when it was on one side and then reaches the other:
beyond the band, and on that side for `SETTLE_S` and `SETTLE_FRAMES`. The band is a share of the box across
the line and some standard errors of the place, so that who stands on the line, sways on it, walks along it or
turns back there counts nothing. The moment and the point of the crossing are where the path last cut the line
(interpolated), however much later the band was left; where that lies beyond the line's ends it is none. An
end at the picture's edge is no end.

Who is first seen within the band, or last seen there, has a side too where it passes: where it is in the band
no longer than `PASSES_S`, or than `SLOWLY` times as long as it took to the band from `MAX_BANDS` times as
far. A lesser band, what one place is sure of, tells that side. That a track is over is known `GONE_S` after
its last place.

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

from pipelines.count.box_smoothing import SmoothedBoxes
from pipelines.count.slot_table import SlotTable
from pipelines.geometry import Polyline, at_the_border, cut_by_border
from pipelines.rules import LineSpec

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

BAND = 0.1  # share of the box's extent across the line that the band is wide,
ERRORS = 3.0  # and standard errors of the place besides
MIN_BAND, MIN_ERRORS = 0.015, 0.8  # one of them: of the lesser band
MAX_BANDS = 2.0  # bands from the line: beyond, no place matters
PASSES_S = 2.0
SLOWLY = 4.0
GONE_S = 2.0  # the tracker finds nobody again after that
SETTLE_S = 0.15
SETTLE_FRAMES = 2
EVIDENCE_S = 0.75
EVIDENCE = 0.1
EVIDENCE_FRAMES = 3.0  # and at least so many frames more than that of the place
_SAME_S = 1e-6


class Evidence(Protocol):
    """What is asked about the boxes of the tracks: a BoxSmoother, or one stored track."""

    @property
    def frame_s(self) -> float: ...

    @property
    def lag_s(self) -> float: ...

    def evidence_between(self, row: int, begin_s: float, end_s: float) -> float:
        """The sum of the evidence of a track's boxes from one moment to another, both with it."""


@dataclass(frozen=True, slots=True)
class LineCrossing:
    """Track `row` of the tables went over the line; `side` +1 to the right, -1 to the left.

    `margin` is how far beyond the line it came, over the band that it had to leave; `evidence` see above, of
    the side with less. `between_s` are the last place on the one side and the first on the other; `settled_s`
    is the place by which it was decided.
    """

    row: int
    side: int
    time_s: float
    point_xyn: tuple[float, float]
    margin: float
    evidence: float
    box_xyxyn: tuple[float, float, float, float]
    between_s: tuple[float, float]
    settled_s: float


# Columns of a line's table over the rows of the tracks.
_SIDE = 0  # settled: -1 left, +1 right, 0 not yet
_REACHED = 1  # 1 where it was beyond the band there, 0 where it was first seen within it
_SINCE_S = 2  # it has been within the band since then: its last place beyond it, or its first of all
_RUN = 3  # the sign of the present run of places, 0 before the first
_RUN_N = 4  # places in it,
_RUN_S = 5  # and its first moment: of use while it is not settled
_REACH = 6  # how far a place of the run was beyond the line, over the band,
_MIN_REACH = 7  # and over the lesser band
_CUT_S = 8  # the moment, point and whether the line was met when the run began
_CUT_X = 9
_CUT_Y = 10
_CUT_ON = 11
_LAST_D = 12  # the last place: signed distance, moment, point
_LAST_S = 13
_LAST_X = 14
_LAST_Y = 15
_CALM = 16  # a distance, times this: above 1 the place changes nothing; 0 where any place matters
_FROM_S = 17  # the last moment before the run
_FAR_S = 18  # as _SINCE_S, of MAX_BANDS bands
_COLUMNS = 19


@dataclass(slots=True)
class _Passage:
    """A track on the other side of the line, to be counted or not. `sure` once its evidence was enough,
    `weak` once it was not and never will be: it is not kept for as long as a track may stand there."""

    crossing: LineCrossing
    sure: bool = False
    weak: bool = False


class LineCounter:
    """The crossings of one line by all tracks of a camera."""

    def __init__(self, spec: LineSpec) -> None:
        self.spec = spec
        self._line = Polyline(spec.points)
        self._open = tuple(at_the_border(point) for point in (spec.points[0], spec.points[-1]))
        self._table = SlotTable(_COLUMNS)
        self._passing: dict[int, _Passage] = {}  # by row: who is on the other side, and not settled there
        self._waiting: list[_Passage] = []  # settled

    def update(self, places: SmoothedBoxes, anchors: Array) -> None:
        """Take the places of one frame of the tracks that this line counts, and their points (N, 2)."""
        if not len(places.rows):
            return
        state = self._table.at(places.rows)
        distance = self._line.distance(anchors)
        calm = distance * state[_CALM] > 1
        if not calm.all():  # else all are where they were: most frames of most lines
            self._follow(state, np.flatnonzero(~calm), distance, anchors, places)
        state[_LAST_D] = distance
        state[_LAST_S] = places.time_s
        state[_LAST_X : _LAST_Y + 1] = anchors.T

    def distances(self, anchors: Array) -> Array:
        """(N,) how far points (N, 2) are from the line, with the sign of their side."""
        return self._line.distance(anchors)

    def calm_of(self, row: int) -> float:
        """A place whose distance times this is above 1 changes nothing of the row but its last place; 0 where
        every place matters."""
        return float(self._table.at(np.array([row]))[_CALM, 0])

    def _follow(
        self, state: Array, index: Index, distance: Array, anchors: Array, places: SmoothedBoxes
    ) -> None:
        """Carry the runs of the tracks `index` on, one by one: there are few, and what each needs differs."""
        time_s = places.time_s
        _, normals = self._line.locate(anchors[index])
        for i, normal in zip(index.tolist(), normals.tolist(), strict=True):
            track: list[float] = state[:, i].tolist()
            row, d, box = int(places.rows[i]), float(distance[i]), places.boxes_xyxyn[i].tolist()
            width, least = band_widths(normal, box, places.noise_xyn[i].tolist())
            if track[_RUN] and time_s - track[_LAST_S] > GONE_S + _SAME_S:
                self._end(row, track)
            if track[_LAST_D] * track[_CALM] > 1:  # till now it was far away
                track[_SINCE_S] = track[_FAR_S] = track[_LAST_S]
            if track[_RUN] != (1.0 if d > 0 else -1.0):
                self._turn(row, track, d, anchors[i].tolist(), time_s)
            track[_RUN_N] += 1
            track[_REACH] = max(track[_REACH], abs(d) / width)
            track[_MIN_REACH] = max(track[_MIN_REACH], abs(d) / least)
            self._settle(row, track, abs(d) / width, time_s, box)
            settled = track[_REACHED] and track[_RUN] == track[_SIDE]
            track[_CALM] = track[_RUN] / (MAX_BANDS * width) if settled else 0.0
            state[:, i] = track

    def _settle(self, row: int, track: list[float], reach: float, time_s: float, box: list[float]) -> None:
        """What a place, `reach` bands from the line, says of the side of its track."""
        if not track[_SIDE] and track[_MIN_REACH] > 1:
            track[_SIDE] = track[_RUN]
        if track[_RUN] == track[_SIDE]:
            _note(track, reach, time_s)
        elif track[_SIDE]:
            passage = self._passing.get(row)
            if passage is None and track[_CUT_ON]:  # from its first place on: evidence is not kept for long
                passage = self._passing[row] = _Passage(_crossing(row, track, box))
            if track[_REACH] > 1 and _stays(track, time_s):
                if passage is not None and (track[_REACHED] or _passes(track, track[_RUN_S])):
                    self._count(passage, track[_REACH], time_s)
                self._passing.pop(row, None)
                track[_SIDE], track[_REACHED] = track[_RUN], 1.0
                track[_SINCE_S] = track[_FAR_S] = time_s

    def _count(self, passage: _Passage, margin: float, time_s: float) -> None:
        passage.crossing = replace(passage.crossing, margin=margin, settled_s=time_s)
        self._waiting.append(passage)

    def _end(self, row: int, track: list[float]) -> None:
        """The track was last seen within the band: it has passed the line where it did not stay there."""
        passage = self._passing.pop(row, None)
        there = track[_MIN_REACH] > 1 and _stays(track, track[_LAST_S])
        if passage is not None and there and _passes(track, track[_LAST_S]):
            self._count(passage, track[_MIN_REACH], track[_LAST_S])
            track[_SIDE], track[_REACHED] = track[_RUN], 0.0

    def _turn(self, row: int, track: list[float], distance: float, point: list[float], time_s: float) -> None:
        """The distance has changed its sign: a new run begins where the way from the last place cuts the
        line."""
        x, y = point
        cut_s = time_s
        self._passing.pop(row, None)
        if not track[_RUN]:
            track[_SINCE_S] = track[_FAR_S] = time_s
        else:
            share = track[_LAST_D] / (track[_LAST_D] - distance) if track[_LAST_D] != distance else 1.0
            x = track[_LAST_X] + share * (x - track[_LAST_X])
            y = track[_LAST_Y] + share * (y - track[_LAST_Y])
            cut_s = track[_LAST_S] + share * (time_s - track[_LAST_S])
        track[_CUT_S], track[_CUT_X], track[_CUT_Y] = cut_s, x, y
        track[_CUT_ON] = float(self._met(np.array([[x, y]]))[0])
        track[_RUN] = 1.0 if distance > 0 else -1.0
        track[_RUN_N] = track[_REACH] = track[_MIN_REACH] = 0.0
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
        if self._passing:
            self._end_the_gone(now_s, known, flush)
        if not self._waiting:
            return []
        for passage in self._waiting:
            _weigh(passage, now_s, known, flush)
        counted = [passage.crossing for passage in self._waiting if passage.sure]
        self._waiting = [p for p in self._waiting if not (p.sure or p.weak)]
        return counted

    def _end_the_gone(self, now_s: float, known: Evidence, flush: bool) -> None:
        """End the tracks that have had no place for long, of those that are given by now; to `flush`, all."""
        last_s = self._table.all()[_LAST_S]
        for row, passage in list(self._passing.items()):
            _weigh(passage, now_s, known, flush)
            if flush or last_s[row] < now_s - known.lag_s - GONE_S - _SAME_S:
                state = self._table.at(np.array([row]))
                track: list[float] = state[:, 0].tolist()
                self._end(row, track)
                state[:, 0] = track

    def forget(self, rows: Index) -> None:
        """These rows now belong to nobody."""
        self._table.clear(rows)
        for row in rows.tolist():
            self._passing.pop(row, None)

    def save(self) -> dict[str, Any]:
        return {
            "table": self._table.save(),
            "passing": [_saved(p) for p in self._passing.values()],
            "waiting": [_saved(p) for p in self._waiting],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`. Raises ValueError where it is damaged."""
        self._table.restore(saved["table"])
        passing = [_restored(*p) for p in saved["passing"]]
        self._passing = {p.crossing.row: p for p in passing}
        self._waiting = [_restored(*p) for p in saved["waiting"]]


def _saved(p: _Passage) -> list[Any]:
    c = p.crossing
    numbers = [c.row, c.side, c.time_s, c.margin, c.evidence, c.settled_s]
    return [numbers, list(c.point_xyn), list(c.box_xyxyn), list(c.between_s), p.sure, p.weak]


def _restored(
    numbers: Sequence[float],
    point: Sequence[float],
    box: Sequence[float],
    between: Sequence[float],
    sure: bool,
    weak: bool,
) -> _Passage:
    row, side, time_s, margin, evidence, settled_s = numbers
    (x, y), (x1, y1, x2, y2), (last_s, first_s) = point, box, between
    crossing = LineCrossing(
        int(row), int(side), time_s, (x, y), margin, evidence, (x1, y1, x2, y2), (last_s, first_s), settled_s
    )
    return _Passage(crossing, sure, weak)


def _weigh(passage: _Passage, now_s: float, known: Evidence, flush: bool) -> None:
    """Ask for the evidence of a passage, until there is enough or its time is over."""
    crossing = passage.crossing
    if passage.sure or passage.weak:
        return
    evidence = least_evidence(crossing.row, crossing.between_s, crossing.box_xyxyn, known)
    if evidence >= EVIDENCE:
        passage.sure, passage.crossing = True, replace(crossing, evidence=evidence)
    else:
        passage.weak = flush or now_s >= crossing.between_s[1] + evidence_reach_s(known.frame_s) - _SAME_S


def _note(track: list[float], reach: float, time_s: float) -> None:
    """A place on the settled side."""
    if reach > 1:
        track[_REACHED], track[_SINCE_S] = 1.0, time_s
    if reach > MAX_BANDS:
        track[_FAR_S] = time_s


def _passes(track: list[float], until_s: float) -> bool:
    """Whether it was in the band until then no longer than who moves on."""
    took_s = track[_SINCE_S] - track[_FAR_S]
    return until_s - track[_SINCE_S] <= max(PASSES_S, SLOWLY * took_s) + _SAME_S


def _stays(track: list[float], time_s: float) -> bool:
    return track[_RUN_N] >= SETTLE_FRAMES and time_s - track[_RUN_S] >= SETTLE_S - _SAME_S


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
    return (max if cut_by_border(box_xyxyn) else min)(before, after) / frames


def band_widths(
    normal_xy: Sequence[float], box_xyxyn: Sequence[float], noise_xyn: Sequence[float]
) -> tuple[float, float]:
    """How far from the line a place must be to be on a side, and the lesser band: by its noise, the standard
    error, and its box, both across the line, whose normal there is given."""
    x, y = abs(normal_xy[0]), abs(normal_xy[1])
    x1, y1, x2, y2 = box_xyxyn
    extent = x * (x2 - x1) + y * (y2 - y1)
    error = x * noise_xyn[0] + y * noise_xyn[1]
    return BAND * extent + ERRORS * error, max(MIN_BAND * extent, MIN_ERRORS * error)


def _crossing(row: int, track: list[float], box: Sequence[float]) -> LineCrossing:
    x1, y1, x2, y2 = box
    point = (track[_CUT_X], track[_CUT_Y])
    between_s = (track[_FROM_S], track[_RUN_S])
    return LineCrossing(
        row, int(track[_RUN]), track[_CUT_S], point, 0.0, 0.0, (x1, y1, x2, y2), between_s, track[_RUN_S]
    )
