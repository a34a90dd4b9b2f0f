"""The path of every track from its first place to its last, as the knots of a trace (trace.py).

The places of a frame are taken for all tracks at once. From its last knot each side of a track's box may go
on with any slope of a range (the door's opening); every place narrows it, and when a place leaves none, the
place before it becomes the next knot.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.smoothing import Places, Smoother
from pipelines.count.trace import COLUMNS, EVIDENCE_SCALE, SCALE, TICKS, noise_code, put, take

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

TOLERANCE = 0.005  # of the box's extent: a knot's interval leaves no place farther from its straight way,
LEAST = 1.0  # and never less than this many 1/SCALE
MOST_S = 1.0  # longest interval of a track that moves,
STILL_S = 30.0  # and of one that stands
GAP = 1.8  # frame intervals without a place end an interval
BEFORE_S = 0.5  # of boxes older than the first place, whose evidence is kept
MOST_BYTES = 32_768  # of a track in memory: of the older half of a longer one every second knot goes
MOST_POINTS = 12  # of the readable path


@dataclass(slots=True)
class TrackPath:
    """One track so far. `knots` are varints (trace.py) of COLUMNS differences a knot, the last being the
    class id; `votes` count places by class id; `crossings` counts the lines it was counted on."""

    track_id: int
    first_s: float
    last_s: float
    class_id: int
    crossings: int = 0
    votes: dict[int, int] = field(default_factory=dict)
    knots: bytearray = field(default_factory=bytearray)
    frame_s: float = 0.0
    evidence_before: float = 0.0

    @property
    def rows(self) -> list[list[int]]:
        """The knots as lists of COLUMNS differences."""
        values = take(self.knots)
        return [values[i : i + COLUMNS] for i in range(0, len(values), COLUMNS)]

    @property
    def points(self) -> list[list[int]]:
        """At most MOST_POINTS of [milliseconds since `first_s`, x1, y1, x2, y2 in 1/SCALE]."""
        table = np.array(self.rows, np.int64)
        ticks, x1, width, y1, height = np.cumsum(table[:, [0, 2, 3, 4, 5]], axis=0).T
        ms = np.rint(ticks * 1000 / TICKS).astype(np.int64)
        whole = np.column_stack([ms, x1, y1, x1 + width, y1 + height])
        if len(whole) > MOST_POINTS:
            whole = whole[np.linspace(0, len(whole) - 1, MOST_POINTS).round().astype(int)]
        return [[int(v) for v in row] for row in whole]


# Columns of the table over the rows of the tracks; four each: left, right, top, bottom in 1/SCALE.
_KNOT, _PLACE, _LOW, _HIGH = slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16)
_KNOT_S, _PLACE_S, _N, _EVIDENCE, _NOISE_X, _NOISE_Y, _CLASS, _KNOT_TICKS, _CODE_X, _CODE_Y = range(16, 26)
_WIDTH = 26
_SIDES = (0, 2, 1, 3)  # from x1, y1, x2, y2 to left, right, top, bottom: its own inverse


class PathRecorder:
    """Keeps the knots of all tracks of a camera."""

    def __init__(self) -> None:
        self._paths: dict[int, TrackPath] = {}  # by row
        self._table: Array = np.zeros((0, _WIDTH))

    def update(self, places: Places, smoother: Smoother) -> None:
        """Take the places of one frame."""
        rows = places.rows
        if not len(rows):
            return
        if len(self._table) <= rows.max():
            self._table = np.pad(self._table, ((0, int(rows.max()) + 8 - len(self._table)), (0, 0)))
        fresh = np.array([row not in self._paths for row in rows.tolist()])
        sides = places.boxes_xyxyn[:, _SIDES] * SCALE
        noise = places.jitter_xyn * places.error[:, None]
        evidence = smoother.evidence_at(rows, places.time_s)
        self._follow(places, np.flatnonzero(~fresh), sides, smoother.frame_s)
        for i in np.flatnonzero(fresh).tolist():
            self._begin(int(rows[i]), places, i, sides[i], smoother)
        state = self._table[rows]
        state[:, _PLACE] = sides
        state[:, _PLACE_S] = places.time_s
        state[:, _N] += 1
        state[:, _EVIDENCE] += evidence
        state[:, _NOISE_X : _NOISE_Y + 1] = noise
        state[:, _CLASS] = places.class_ids
        self._table[rows] = state
        for row in rows[fresh].tolist():  # the first place is the first knot
            self._knot(row, self._table[row, _PLACE])

    def _follow(self, places: Places, index: Index, sides: Array, frame_s: float) -> None:
        """Narrow the doors of the tracks `index`; where one is shut, set a knot at its last place."""
        if not len(index):
            return
        rows, time_s, sides = places.rows[index], places.time_s, sides[index]
        state = self._table[rows]
        low, high = _narrow(state, sides, time_s)
        still = ((state[:, _LOW] <= 0) & (state[:, _HIGH] >= 0)).all(axis=1)
        longest = np.where(still, STILL_S, MOST_S)
        shut = (low > high).any(axis=1) | (time_s - state[:, _KNOT_S] > longest)
        shut |= state[:, _CLASS] != places.class_ids[index]
        shut |= time_s - state[:, _PLACE_S] > GAP * max(frame_s, 1e-3)
        shut &= state[:, _N] > 0  # a knot has just been set here
        state[:, _LOW], state[:, _HIGH] = low, high
        keep = ~shut
        self._table[rows[keep]] = state[keep]
        for i in np.flatnonzero(shut).tolist():
            self._shut(int(rows[i]))
        state = self._table[rows[shut]]
        state[:, _LOW], state[:, _HIGH] = _narrow(state, sides[shut], time_s)
        self._table[rows[shut]] = state

    def _begin(self, row: int, places: Places, i: int, sides: Array, smoother: Smoother) -> None:
        time_s, class_id = places.time_s, int(places.class_ids[i])
        path = self._paths[row] = TrackPath(int(smoother.ids[row]), time_s, time_s, class_id)
        path.evidence_before = smoother.evidence_before(row, time_s, BEFORE_S)
        path.frame_s = smoother.frame_s
        self._table[row] = 0.0
        self._table[row, _KNOT_S] = self._table[row, _PLACE_S] = time_s
        self._table[row, _PLACE] = sides

    def _shut(self, row: int) -> None:
        """Set a knot at the last place, on the way that keeps all places of the interval near."""
        state = self._table[row]
        passed_s = state[_PLACE_S] - state[_KNOT_S]
        slope = np.clip((state[_PLACE] - state[_KNOT]) / passed_s, state[_LOW], state[_HIGH])
        self._knot(row, state[_KNOT] + slope * passed_s)

    def _knot(self, row: int, sides: Array) -> None:
        state, path = self._table[row], self._paths[row]
        n, class_id = int(state[_N]), int(state[_CLASS])
        path.last_s, path.class_id = float(state[_PLACE_S]), class_id
        path.votes[class_id] = path.votes.get(class_id, 0) + n
        left, right, top, bottom = np.rint(sides).astype(np.int64).tolist()
        old_left, old_right, old_top, old_bottom = state[_KNOT].astype(np.int64).tolist()
        ticks = round((path.last_s - path.first_s) * TICKS)
        codes = noise_code(float(state[_NOISE_X])), noise_code(float(state[_NOISE_Y]))
        put(
            path.knots,
            (
                ticks - int(state[_KNOT_TICKS]),
                n,
                left - old_left,
                (right - left) - (old_right - old_left),
                top - old_top,
                (bottom - top) - (old_bottom - old_top),
                codes[0] - int(state[_CODE_X]),
                codes[1] - int(state[_CODE_Y]),
                round(state[_EVIDENCE] / n * EVIDENCE_SCALE),
                class_id,
            ),
        )
        state[_KNOT] = left, right, top, bottom
        state[_LOW], state[_HIGH] = -np.inf, np.inf
        state[_KNOT_S], state[_KNOT_TICKS] = path.last_s, ticks
        state[_N] = state[_EVIDENCE] = 0.0
        state[_CODE_X], state[_CODE_Y] = codes
        if len(path.knots) > MOST_BYTES:
            path.knots = _thinned(path.rows)

    def counted(self, row: int) -> None:
        """The track of this row was counted on a line."""
        if row in self._paths:
            self._paths[row].crossings += 1

    def _end(self, row: int) -> TrackPath:
        if self._table[row, _N] > 0:
            self._shut(row)
        return self._paths.pop(row)

    def forget(self, rows: Index) -> list[TrackPath]:
        """These tracks are over: their paths."""
        return [self._end(row) for row in rows.tolist() if row in self._paths]

    def close(self) -> list[TrackPath]:
        """All tracks are over: their paths."""
        return [self._end(row) for row in list(self._paths)]

    def save(self) -> list[list[Any]]:
        return [
            [
                *(row, p.track_id, p.first_s, p.last_s, p.class_id, p.crossings, list(p.votes.items())),
                *(base64.b64encode(p.knots).decode(), p.frame_s, p.evidence_before),
                # An open door is not a JSON number.
                np.clip(self._table[row], -1e300, 1e300).tolist(),
            ]
            for row, p in self._paths.items()
        ]

    def restore(self, saved: list[list[Any]]) -> None:
        self._paths = {}
        self._table = np.zeros((max((int(s[0]) for s in saved), default=-1) + 1, _WIDTH))
        for row, track_id, first_s, last_s, class_id, crossings, votes, knots, *of_time, state in saved:
            self._paths[int(row)] = TrackPath(
                int(track_id),
                float(first_s),
                float(last_s),
                int(class_id),
                int(crossings),
                {int(c): int(n) for c, n in votes},
                bytearray(base64.b64decode(knots)),
                *of_time,
            )
            self._table[int(row)] = state


def _narrow(state: Array, sides: Array, time_s: float) -> tuple[Array, Array]:
    """The slopes (N, 4) that stay within the tolerance of these sides too."""
    extent = sides[:, [1, 1, 3, 3]] - sides[:, [0, 0, 2, 2]]
    tolerance = np.maximum(LEAST, TOLERANCE * extent)
    passed_s = np.maximum(time_s - state[:, _KNOT_S], 1e-9)[:, None]
    low = np.maximum(state[:, _LOW], (sides - tolerance - state[:, _KNOT]) / passed_s)
    high = np.minimum(state[:, _HIGH], (sides + tolerance - state[:, _KNOT]) / passed_s)
    return low, high


def _thinned(rows: list[list[int]]) -> bytearray:
    """Of the older half two neighbouring intervals become one, where they have one class."""
    half = len(rows) // 2
    kept: list[list[int]] = [rows[0]]
    since = 0
    for number, row in enumerate(rows[1:], 1):
        last = kept[-1]
        if number < half and since and row[9] == last[9]:
            n = last[1] + row[1]
            evidence = round((last[8] * last[1] + row[8] * row[1]) / n)
            moved = [a + b for a, b in zip(last[2:8], row[2:8], strict=True)]
            kept[-1] = [last[0] + row[0], n, *moved, evidence, row[9]]
            since = 0
        else:
            kept.append(row)
            since = 1
    out = bytearray()
    for row in kept:
        put(out, row)
    return out
