"""Swinging-door compression of every track's trajectory, from its first box to its last.

The smoothed boxes of a frame are taken for all tracks at once. From its last knot each side of a track's box
may go on with any slope of a range (the door's opening); every box narrows it, and when a box leaves none,
the box before it becomes the next knot (Bristol, "Swinging door trending", ISA, 1990). What is recorded is
the knots of a trajectory (trajectory_codec.py).
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.box_history import SAME_S
from pipelines.count.box_smoothing import BoxSmoother, SmoothedBoxes
from pipelines.count.run_length import EvidenceRuns
from pipelines.count.slot_table import SlotTable
from pipelines.count.trajectory_codec import COLUMNS, SCALE, TICKS, noise_code, put, take

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

TOLERANCE = 0.005  # of the box's extent: a knot's interval leaves no box farther from its straight way,
MIN_TOLERANCE = 1.0  # and never less than this many 1/SCALE
MAX_S = 1.0  # longest interval of a track that moves,
MAX_STILL_S = 30.0  # and of one that stands
GAP = 1.8  # frame intervals without a box end an interval
BEFORE_S = 0.75  # of boxes older than the first smoothed one, whose evidence is kept
MAX_BYTES = 32_768  # of a track in memory: of the older half of a longer one every second knot goes
MAX_POINTS = 12  # of the readable path


@dataclass(slots=True)
class RecordedTrajectory:
    """One track so far. `knots` are varints (trajectory_codec.py) of COLUMNS differences a knot, the last
    being the class id; `votes` count boxes by class id; `crossings` counts the lines it was counted on.
    `evidence` are the runs (run_length.py) of one that is over."""

    track_id: int
    first_s: float
    last_s: float
    class_id: int
    crossings: int = 0
    votes: dict[int, int] = field(default_factory=dict)
    knots: bytearray = field(default_factory=bytearray)
    frame_s: float = 0.0
    evidence_before: float = 0.0
    evidence: list[tuple[int, int]] = field(default_factory=list)

    @property
    def rows(self) -> list[list[int]]:
        """The knots as lists of COLUMNS differences."""
        values = take(self.knots)
        return [values[i : i + COLUMNS] for i in range(0, len(values), COLUMNS)]

    @property
    def points(self) -> list[list[int]]:
        """At most MAX_POINTS of [milliseconds since `first_s`, x1, y1, x2, y2 in 1/SCALE]."""
        table = np.array(self.rows, np.int64)
        ticks, x1, width, y1, height = np.cumsum(table[:, [0, 2, 3, 4, 5]], axis=0).T
        ms = np.rint(ticks * 1000 / TICKS).astype(np.int64)
        whole = np.column_stack([ms, x1, y1, x1 + width, y1 + height])
        if len(whole) > MAX_POINTS:
            whole = whole[np.linspace(0, len(whole) - 1, MAX_POINTS).round().astype(int)]
        return [[int(v) for v in row] for row in whole]


# The recorder's table: a column of the array a track, in it these values.
#
# | rows          | unit            | meaning                                                             |
# |---------------|-----------------|---------------------------------------------------------------------|
# | _KNOT         | 1/SCALE         | x1, y1, x2, y2 of the last knot, rounded as it was stored           |
# | _BOX          | 1/SCALE         | x1, y1, x2, y2 of the last box                                      |
# | _LOW, _HIGH   | 1/SCALE a s     | the door: least and greatest slope of each side from the knot on    |
# | _KNOT_S       | s               | time of the last knot                                               |
# | _BOX_S        | s               | time of the last box                                                |
# | _N            | samples         | since the last knot; 0 right after it                               |
# | _NOISE_X, _Y  | of the image    | standard error of the last box's place                              |
# | _CLASS        |                 | class id of the last box                                            |
# | _KNOT_TICKS   | 1/TICKS s       | time of the last knot since the first, as it was stored             |
# | _CODE_X, _Y   | `noise_code`    | noise of the last knot, as it was stored                            |
#
# What was stored is kept rounded so that rounding errors do not add up over the differences.
_KNOT, _BOX, _LOW, _HIGH = slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16)
_KNOT_S, _BOX_S, _N, _NOISE_X, _NOISE_Y, _CLASS, _KNOT_TICKS, _CODE_X, _CODE_Y = range(16, 25)
_WIDTH = 25
_OPEN = [-math.inf] * 4 + [math.inf] * 4  # _LOW and _HIGH after a knot: any slope will do


class TrajectoryRecorder:
    """The knots of all tracks of a camera so far."""

    def __init__(self) -> None:
        self._paths: dict[int, RecordedTrajectory] = {}  # by row
        self._table = SlotTable(_WIDTH)
        self._evidence = EvidenceRuns()
        self._rows: Index | None = None  # of the last frame's tracks,
        self._time_s = 0.0  # and its time

    def update(self, smoothed: SmoothedBoxes, smoother: BoxSmoother) -> None:
        """Take the smoothed boxes of one frame."""
        rows, time_s = smoothed.rows, smoothed.time_s
        if not len(rows):
            return
        state = self._table.at(rows)
        sides = smoothed.boxes_xyxyn.T * SCALE
        same = rows is self._rows and time_s - self._time_s <= GAP * max(smoother.frame_s, 1e-3)
        fresh = [] if same else self._begin(state, smoothed, smoother)
        self._follow(state, sides, smoothed, 0.0 if same else max(smoother.frame_s, 1e-3))
        state[_BOX] = sides
        state[_BOX_S] = time_s
        state[_N] += 1
        state[_NOISE_X : _NOISE_Y + 1] = smoothed.noise_xyn.T
        state[_CLASS] = smoothed.class_ids
        for i in fresh:  # the first box is the first knot
            state[:, i] = self._knot(self._paths[int(rows[i])], state[:, i].tolist(), sides[:, i].tolist())
        self._evidence.update(rows, smoothed.evidence)
        self._rows, self._time_s = rows, time_s

    def _begin(self, state: Array, smoothed: SmoothedBoxes, smoother: BoxSmoother) -> list[int]:
        """Start the paths of tracks without one; return their columns."""
        time_s = smoothed.time_s
        fresh = [i for i, row in enumerate(smoothed.rows.tolist()) if row not in self._paths]
        for i in fresh:
            row, class_id = int(smoothed.rows[i]), int(smoothed.class_ids[i])
            path = self._paths[row] = RecordedTrajectory(int(smoother.ids[row]), time_s, time_s, class_id)
            path.evidence_before = smoother.evidence_between(row, time_s - BEFORE_S, time_s - 2 * SAME_S)
            path.frame_s = smoother.frame_s
            state[:, i] = 0.0
            state[_KNOT_S, i] = state[_BOX_S, i] = time_s
        return fresh

    def _follow(self, state: Array, sides: Array, smoothed: SmoothedBoxes, frame_s: float) -> None:
        """Narrow the doors of all tracks; where one is shut, set a knot at its last box. With `frame_s`
        a change of class or a gap in time shuts it too; 0 where there is neither."""
        time_s = smoothed.time_s
        low, high = _narrow(state, sides, time_s)
        shut = (low > high).any(axis=0)
        long = time_s - state[_KNOT_S] > MAX_S
        if long.any():
            still = ((state[_LOW] <= 0) & (state[_HIGH] >= 0)).all(axis=0)
            shut |= long & ~(still & (time_s - state[_KNOT_S] <= MAX_STILL_S))
        if frame_s:
            shut |= (state[_CLASS] != smoothed.class_ids) | (time_s - state[_BOX_S] > GAP * frame_s)
        if shut.any():
            for i in np.flatnonzero(shut & (state[_N] > 0)).tolist():  # not where a knot has just been set
                path = self._paths[int(smoothed.rows[i])]
                state[:, i] = track = self._shut(path, state[:, i].tolist())
                low[:, i], high[:, i] = _opened(track, sides[:, i].tolist(), time_s)
        state[_LOW], state[_HIGH] = low, high

    def _shut(self, path: RecordedTrajectory, track: list[float]) -> list[float]:
        """Set a knot at the last box, on the way that keeps all boxes of the interval near."""
        passed_s = track[_BOX_S] - track[_KNOT_S]
        doors = zip(track[_KNOT], track[_BOX], track[_LOW], track[_HIGH], strict=True)
        sides = [
            knot + min(max((box - knot) / passed_s, low), high) * passed_s for knot, box, low, high in doors
        ]
        return self._knot(path, track, sides)

    def _knot(self, path: RecordedTrajectory, track: list[float], sides: list[float]) -> list[float]:
        """Add a knot at these sides to the path; what the track's column holds after it."""
        n, class_id = int(track[_N]), int(track[_CLASS])
        path.last_s, path.class_id = track[_BOX_S], class_id
        path.votes[class_id] = path.votes.get(class_id, 0) + n
        x1, y1, x2, y2 = (round(side) for side in sides)
        old_x1, old_y1, old_x2, old_y2 = (int(side) for side in track[_KNOT])
        ticks = round((path.last_s - path.first_s) * TICKS)
        codes = noise_code(track[_NOISE_X]), noise_code(track[_NOISE_Y])
        put(
            path.knots,
            (
                ticks - int(track[_KNOT_TICKS]),
                n,
                x1 - old_x1,
                (x2 - x1) - (old_x2 - old_x1),
                y1 - old_y1,
                (y2 - y1) - (old_y2 - old_y1),
                codes[0] - int(track[_CODE_X]),
                codes[1] - int(track[_CODE_Y]),
                class_id,
            ),
        )
        if len(path.knots) > MAX_BYTES:
            path.knots = _thinned(path.rows)
        track[_KNOT] = [float(x1), float(y1), float(x2), float(y2)]
        track[_LOW.start : _HIGH.stop] = _OPEN
        track[_KNOT_S], track[_KNOT_TICKS] = path.last_s, ticks
        track[_N] = 0.0
        track[_CODE_X], track[_CODE_Y] = codes
        return track

    def counted(self, row: int) -> None:
        """The track of this row was counted on a line."""
        if row in self._paths:
            self._paths[row].crossings += 1

    def forget(self, rows: Index) -> list[RecordedTrajectory]:
        """These tracks are over: their paths."""
        table = self._table.all()
        ended = []
        for row in rows.tolist():
            path = self._paths.pop(row, None)
            if path is not None:
                if table[_N, row] > 0:
                    self._shut(path, table[:, row].tolist())
                path.evidence = self._evidence.forget(row)
                ended.append(path)
        self._rows = None
        return ended

    def close(self) -> list[RecordedTrajectory]:
        """All tracks are over: their paths."""
        return self.forget(np.array(list(self._paths), np.intp))

    def save(self) -> dict[str, Any]:
        """Plain data."""
        paths = [
            [
                *(row, p.track_id, p.first_s, p.last_s, p.class_id, p.crossings, list(p.votes.items())),
                *(base64.b64encode(p.knots).decode(), p.frame_s, p.evidence_before),
            ]
            for row, p in self._paths.items()
        ]
        return {"paths": paths, "table": self._table.save(), "evidence": self._evidence.save()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`. Raises ValueError where it is damaged."""
        self._paths = {}
        self._table.restore(saved["table"])
        self._evidence.restore(saved["evidence"])
        self._rows = None
        for row, track_id, first_s, last_s, class_id, crossings, votes, knots, *of_time in saved["paths"]:
            self._paths[int(row)] = RecordedTrajectory(
                int(track_id),
                float(first_s),
                float(last_s),
                int(class_id),
                int(crossings),
                {int(c): int(n) for c, n in votes},
                bytearray(base64.b64decode(knots)),
                *of_time,
            )


def _narrow(state: Array, sides: Array, time_s: float) -> tuple[Array, Array]:
    """The slopes (4, N) from the last knots that stay within the tolerance of these sides (4, N) too."""
    tolerance = np.maximum(MIN_TOLERANCE, TOLERANCE * (sides[2:] - sides[:2]))
    tolerance = np.concatenate((tolerance, tolerance))
    passed_s = np.maximum(time_s - state[_KNOT_S], 1e-9)
    low = np.maximum(state[_LOW], (sides - tolerance - state[_KNOT]) / passed_s)
    high = np.minimum(state[_HIGH], (sides + tolerance - state[_KNOT]) / passed_s)
    return low, high


def _opened(track: list[float], sides: list[float], time_s: float) -> tuple[list[float], list[float]]:
    """As _narrow, for one track whose door is open."""
    x1, y1, x2, y2 = sides
    tolerance = [max(MIN_TOLERANCE, TOLERANCE * (x2 - x1)), max(MIN_TOLERANCE, TOLERANCE * (y2 - y1))] * 2
    passed_s = max(time_s - track[_KNOT_S], 1e-9)
    each = list(zip(sides, tolerance, track[_KNOT], strict=True))
    low = [(side - within - knot) / passed_s for side, within, knot in each]
    high = [(side + within - knot) / passed_s for side, within, knot in each]
    return low, high


def _thinned(rows: list[list[int]]) -> bytearray:
    """Of the older half two neighbouring intervals become one, where they have one class."""
    half = len(rows) // 2
    thinned: list[list[int]] = [rows[0]]
    since = 0
    for number, row in enumerate(rows[1:], 1):
        last = thinned[-1]
        if number < half and since and row[8] == last[8]:
            thinned[-1] = [*(a + b for a, b in zip(last[:8], row[:8], strict=True)), row[8]]
            since = 0
        else:
            thinned.append(row)
            since = 1
    out = bytearray()
    for row in thinned:
        put(out, row)
    return out
