"""Where tracks were a moment ago, seen with hindsight: boxes smoothed over both past and future.

A crossing is decided on where the object was, not on where one noisy box lies. Holding the decision back by
`LAG_S` lets each place be estimated from the boxes before and after it: a local line fitted with Gaussian
weights (Cleveland, "Robust Locally Weighted Regression", 1979, without the robust rounds).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.box_history import BOX, EVIDENCE, PRESENT, BoxHistory
from pipelines.count.slot_table import pack, unpack
from pipelines.geometry import BORDER
from pipelines.values import Tracks

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

TAU_S = 0.15  # standard deviation of the weights in time; at least one frame interval
REACH = 2.5  # the weights end at so many standard deviations
LAG_S = REACH * TAU_S  # how long after a frame its smoothed boxes are given,
LAG_FRAMES = 1.5  # and at least so many frame intervals
MIN_GAP_S, MAX_GAP_S = 0.15, 1.0  # between frames: so far apart an object comes in unseen, or who knows what
INWARD = 2  # boxes after the first that tell which way it goes
FORGET_S = 4.0  # a track that is not seen for so long is over
START_ROWS = 16
_MAX_CASTS = 4  # sets of tracks whose rows are kept

_NOBODY: Index = np.zeros(0, np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class SmoothedBoxes:
    """Where the tracks were at `time_s`, for the N tracks that were there.

    | column      | shape  | unit         | meaning                                                        |
    |-------------|--------|--------------|----------------------------------------------------------------|
    | rows        | (N,)   |              | the tracks' slots in every table (SlotTable)                   |
    | boxes_xyxyn | (N, 4) | of the image | x1, y1, x2, y2, smoothed                                       |
    | noise_xyn   | (N, 2) | of the image | standard error of the box's place, in x and y                  |
    | class_ids   | (N,)   |              |                                                                |
    | evidence    | (N,)   |              | of the box of that very frame; 0 where the track had none in it |

    While the same tracks are there, of the same classes, `rows` and `class_ids` are the same arrays, not to
    be changed: SlotTable.at and AnchorSelection know by that that nothing is to be gathered anew.
    """

    time_s: float
    rows: Index
    boxes_xyxyn: Array
    noise_xyn: Array
    class_ids: npt.NDArray[np.int64]
    evidence: Array


class BoxSmoother:
    """The boxes of the last moments of all tracks. A track has a row in the tables while it lives.

    Columns by row (R,): `ids` 0 where the row is free; `class_ids`; `scores` of the last box; `first_s` and
    `last_s` in seconds, the times of the first and the last box, `last_s` -inf where the row is free;
    `_jitter` (2, R) the standard deviation of one box's place, in x and y, in shares of the image.
    """

    def __init__(self) -> None:
        self.ids = np.zeros(START_ROWS, np.int64)
        self.class_ids = np.zeros(START_ROWS, np.int64)
        self.scores: Array = np.zeros(START_ROWS)
        self.first_s: Array = np.zeros(START_ROWS)
        self.last_s: Array = np.full(START_ROWS, -np.inf)  # -inf where a row is free
        self.frame_s = 0.0  # usual time between frames
        self._jitter: Array = np.zeros((2, START_ROWS))
        self._row_of: dict[int, int] = {}
        self._frames = BoxHistory(START_ROWS)
        self._given_s = -np.inf  # the last frame whose smoothed boxes were given
        self._due: deque[float] = deque()  # times of frames whose smoothed boxes were not given yet
        self._oldest_s = np.inf  # no track was last seen before
        self._change_cast()

    def _change_cast(self) -> None:
        """Tracks have come or gone, or changed their class."""
        self._latest: tuple[bytes, bytes] = (b"", b"")  # ids and classes of the last frame's tracks,
        self._latest_rows = _NOBODY  # and their rows
        # Rows and classes of who was there, by the bytes of that mask.
        self._casts: dict[bytes, tuple[Index, npt.NDArray[np.int64]]] = {}

    @property
    def lag_s(self) -> float:
        return max(LAG_S, LAG_FRAMES * self.frame_s)

    # ---- frames in

    def add(self, time_s: float, tracks: Tracks) -> Index:
        """Take a frame's tracks; return the rows of those never seen before."""
        frame = self._frames.begin(time_s)
        self.frame_s = self._frames.frame_s
        self._due.append(time_s)
        fresh = _NOBODY
        latest = (tracks.track_ids.tobytes(), tracks.class_ids.tobytes())
        if latest != self._latest:
            fresh = self._align(time_s, tracks)
            frame = self._frames.latest  # a row more may have moved it
            self._latest = latest
        rows = self._latest_rows
        if not len(rows):
            return fresh
        self.scores[rows] = tracks.scores
        self._jitter[:, rows] = tracks.jitter_xyn.T
        boxes = tracks.boxes_xyxyn if tracks.measured_xyxyn is None else tracks.measured_xyxyn
        evidence = np.ones(len(rows), np.float32) if tracks.evidence is None else tracks.evidence
        if not tracks.observed.all():
            observed = tracks.observed
            rows, boxes, evidence = rows[observed], boxes[observed], evidence[observed]
        frame[BOX, rows] = boxes.T
        frame[PRESENT, rows] = 1.0
        # A low box counts nothing rather than against: a missing one would not either.
        frame[EVIDENCE, rows] = np.maximum(evidence, 0.0)
        self.last_s[rows] = time_s
        if tracks.history:
            self._add_past(time_s, tracks, fresh)
        if len(fresh) and self.frame_s >= MIN_GAP_S:
            self._let_in(fresh)
        return fresh

    def _align(self, time_s: float, tracks: Tracks) -> Index:
        """Find the rows of these tracks; give one to each that is new, and return the new ones."""
        self._change_cast()
        ids = tracks.track_ids.tolist()
        fresh = [self._admit(k, time_s) for k in ids if k not in self._row_of]
        self._latest_rows = np.array([self._row_of[k] for k in ids], np.intp)
        self.class_ids[self._latest_rows] = tracks.class_ids
        return np.array(fresh, np.intp)

    def _admit(self, track_id: int, time_s: float) -> int:
        free = np.flatnonzero(self.ids == 0)
        if not len(free):
            free = np.arange(len(self.ids), 2 * len(self.ids))
            self._more_rows()
        row = int(free[0])
        self._row_of[track_id] = row
        self.ids[row] = track_id
        self.first_s[row] = self.last_s[row] = time_s
        self._oldest_s = min(self._oldest_s, time_s)
        self._frames.clear(row)
        return row

    def _more_rows(self) -> None:
        n = len(self.ids)
        self.ids = np.pad(self.ids, (0, n))
        self.class_ids = np.pad(self.class_ids, (0, n))
        self.scores = np.pad(self.scores, (0, n))
        self.first_s = np.pad(self.first_s, (0, n))
        self.last_s = np.pad(self.last_s, (0, n), constant_values=-np.inf)
        self._jitter = np.pad(self._jitter, ((0, 0), (0, n)))
        self._frames.more_rows(n)

    def _add_past(self, time_s: float, tracks: Tracks, fresh: Index) -> None:
        """Put the boxes that new tracks had before they were shown into the frames they belong to."""
        for row in fresh.tolist():
            for age_s, *box, evidence in tracks.history.get(int(self.ids[row]), np.zeros((0, 6))).tolist():
                frame = self._frames.at(time_s - age_s)
                if frame is not None:
                    frame[:, row] = (*box, 1.0, max(evidence, 0.0))
                    self.first_s[row] = min(self.first_s[row], time_s - age_s)

    def _let_in(self, fresh: Index) -> None:
        """New tracks that come in over the picture's border were there a frame before they were seen: where
        frames are far apart, a line near the border is crossed meanwhile. Their boxes there are those that
        the first boxes lead back to, as sure as the first."""
        for row in fresh.tolist():
            times, boxes = self._frames.boxes_of(row, float(self.first_s[row]))
            before = self._frames.before(float(times[0])) if len(times) > 1 else None
            if before is None or not MIN_GAP_S <= times[0] - before <= MAX_GAP_S:
                continue
            x1, y1, x2, y2 = boxes[0].tolist()
            way_x, way_y = (boxes[min(INWARD, len(boxes) - 1)] - boxes[0]).reshape(2, 2).mean(axis=0).tolist()
            sides = ((x1, way_x), (y1, way_y), (1 - x2, -way_x), (1 - y2, -way_y))
            if any(room < BORDER and way > 0 for room, way in sides):
                self.first_s[row] = before
                self._frames.copy_evidence(row, before, float(times[0]))

    # ---- smoothed boxes out

    def next_smoothed(self, now_s: float, flush: bool = False) -> SmoothedBoxes | None:
        """The boxes at the next frame that is old enough (or at any, to `flush`); None where none is."""
        if not self._due or not (flush or now_s - self._due[0] >= self.lag_s - 1e-6):
            return None
        self._given_s = self._due.popleft()
        return self._smooth(self._given_s)

    def past_smoothed(self, rows: Index) -> list[SmoothedBoxes]:
        """What was given without the tracks of `rows`: their smoothed boxes at frames that came before they
        were confirmed. A track that was long in doubt may have crossed a line meanwhile."""
        late = rows[self.first_s[rows] <= self._given_s] if len(rows) else rows
        if not len(late):
            return []
        among = np.zeros(len(self.ids), np.bool_)
        among[late] = True
        times = self._frames.times
        times = times[(times >= self.first_s[late].min()) & (times <= self._given_s)]
        return [self._smooth(time_s, among) for time_s in times.tolist()]

    def _smooth(self, time_s: float, among: npt.NDArray[np.bool_] | None = None) -> SmoothedBoxes:
        tau = max(TAU_S, self.frame_s)
        u, frames, frame = self._frames.near(time_s, REACH * tau)
        w = np.exp(-0.5 * (u / tau) ** 2)
        wu = w * u
        powers = np.concatenate((w, wu, wu * u, w * w, w * wu, wu * wu)).reshape(6, -1)
        sums = powers @ frames[:, PRESENT]  # (6, R): over the frames in which there is a box
        there = (self.first_s <= time_s) & (self.last_s >= time_s) & (sums[0] > 1e-3)
        if among is not None:
            there &= among
        rows, class_ids = self._who(there)
        s0, s1, s2, v0, v1, v2 = sums.take(rows, axis=1)
        spread = s0 * s2 - s1 * s1
        line = spread > 1e-9
        if line.all():
            a, b = s2 / spread, s1 / spread
        else:  # boxes of one moment have no slope
            spread = np.where(line, spread, 1.0)
            a, b = np.where(line, s2 / spread, 1.0 / s0), np.where(line, s1 / spread, 0.0)
        boxes_then = frames.take(rows, axis=2)
        weights = boxes_then[:, PRESENT].T * w * (a[:, None] - b[:, None] * u)
        boxes = np.matmul(weights[:, None, :], np.ascontiguousarray(boxes_then[:, BOX].transpose(2, 0, 1)))[
            :, 0
        ].T
        error = np.sqrt(a * a * v0 - 2 * a * b * v1 + b * b * v2)
        noise = self._jitter.take(rows, axis=1) * error
        return SmoothedBoxes(time_s, rows, boxes.T, noise.T, class_ids, frame[EVIDENCE].take(rows))

    def _who(self, there: npt.NDArray[np.bool_]) -> tuple[Index, npt.NDArray[np.int64]]:
        """The rows and classes of the tracks that were `there` (R,)."""
        key = there.tobytes()
        cast = self._casts.get(key)
        if cast is None:
            if len(self._casts) >= _MAX_CASTS:
                self._casts.clear()
            rows = np.flatnonzero(there)
            cast = self._casts[key] = (rows, self.class_ids[rows])
        return cast

    def evidence_between(self, row: int, begin_s: float, end_s: float) -> float:
        """The sum of the evidence of a track's boxes from one moment to another, both with it."""
        return self._frames.evidence_between(row, begin_s, end_s)

    # ---- what is asked of a crossing (crossing_signs.py)

    def since_s(self, row: int) -> float:
        return float(self.first_s[row])

    def seen_between(self, row: int, begin_s: float, end_s: float) -> float:
        """In how many frames from one moment to another, both with it, a track's box speaks for it."""
        return self._frames.seen_between(row, begin_s, end_s)

    def jitter_of(self, row: int) -> tuple[float, float]:
        x, y = self._jitter[:, row].tolist()
        return x, y

    def frame_at(self, time_s: float) -> Array | None:
        """What a moment's frame holds of all tracks (6, R), as BoxHistory; None where it is not kept."""
        return self._frames.at(time_s)

    def forget(self, now_s: float) -> Index:
        """Give back the rows of tracks not seen for long; return them."""
        if now_s - self._oldest_s <= FORGET_S:
            return _NOBODY
        lives = self.ids != 0
        old = np.flatnonzero(lives & (now_s - self.last_s > FORGET_S))
        for row in old.tolist():
            del self._row_of[int(self.ids[row])]
        if len(old):
            self.ids[old] = 0
            self.last_s[old] = -np.inf
            lives[old] = False
            self._change_cast()
        self._oldest_s = float(self.last_s[lives].min(initial=np.inf))
        return old

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data."""
        rows = np.array(list(self._row_of.values()), np.intp)
        numbers = (self.scores[rows], self.first_s[rows], self.last_s[rows], *self._jitter[:, rows])
        return {
            "rows": len(self.ids),
            "tracks": [[k, row, int(self.class_ids[row])] for k, row in self._row_of.items()],
            "numbers": pack(np.array(numbers)),
            "due": list(self._due),
            "given_s": self._given_s if np.isfinite(self._given_s) else None,
            "frames": self._frames.save(rows),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`. Raises ValueError where it is damaged."""
        self.__init__()  # type: ignore[misc]
        while len(self.ids) < int(saved["rows"]):
            self._more_rows()
        tracks = np.array(saved["tracks"], np.int64).reshape(-1, 3)
        ids, rows, class_ids = tracks.T
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self.ids)):
            raise ValueError("a saved track has a row that is none")
        self._row_of = dict(zip(ids.tolist(), rows.tolist(), strict=True))
        self.ids[rows], self.class_ids[rows] = ids, class_ids
        numbers = unpack(saved["numbers"], np.float64, (5, len(rows)))
        self.scores[rows], self.first_s[rows], self.last_s[rows] = numbers[:3]
        self._jitter[:, rows] = numbers[3:]
        self._oldest_s = float(self.last_s[rows].min(initial=np.inf))
        self._due = deque(float(v) for v in saved["due"])
        self._given_s = -np.inf if saved["given_s"] is None else float(saved["given_s"])
        self._frames.restore(saved["frames"], rows)
        self.frame_s = self._frames.frame_s
