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

from pipelines.values import Tracks

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

TAU_S = 0.15  # standard deviation of the weights in time; at least one frame interval
REACH = 2.5  # the weights end at so many standard deviations
LAG_S = REACH * TAU_S  # how long after a frame its places are given,
LAG_FRAMES = 1.5  # and at least so many frame intervals
KEEP_S = 1.6  # of boxes: the lag, the reach and the evidence before a crossing
FORGET_S = 4.0  # a track that is not seen for so long is over
FRAMES = 64  # kept at first; a faster camera gets more
MOST_FRAMES = 512
ROWS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the tracks were at `time_s`, for the N tracks that were there.

    rows (N,): their places in the tables; boxes_xyxyn (N, 4); error (N,): the standard error of a side
    over that of one measured box; jitter_xyn (N, 2) and class_ids (N,) as in Tracks.
    """

    time_s: float
    rows: Index
    boxes_xyxyn: Array
    error: Array
    jitter_xyn: Array
    class_ids: npt.NDArray[np.int64]


class Smoother:
    """The boxes of the last moments of all tracks. A track has a row in the tables while it lives.

    `ids` (R,) int64 is 0 where a row is free; `class_ids`, `scores`, `first_s` and `last_s` go with it.
    """

    def __init__(self) -> None:
        self.ids = np.zeros(ROWS, np.int64)
        self.class_ids = np.zeros(ROWS, np.int64)
        self.scores: Array = np.zeros(ROWS)
        self.first_s: Array = np.zeros(ROWS)
        self.last_s: Array = np.full(ROWS, -np.inf)
        self.frame_s = 0.0  # usual time between frames
        self._row_of: dict[int, int] = {}
        self._jitter: Array = np.zeros((ROWS, 2))
        self._times: Array = np.full(FRAMES, -np.inf)
        self._boxes: Array = np.zeros((ROWS, FRAMES, 4))
        self._mask: Array = np.zeros((ROWS, FRAMES))
        self._evidence: Array = np.zeros((ROWS, FRAMES))
        self._slot = -1
        self._given_s = -np.inf  # the last frame whose places were given
        self._due: deque[float] = deque()  # times of frames whose places were not given yet

    @property
    def lag_s(self) -> float:
        return max(LAG_S, LAG_FRAMES * self.frame_s)

    # ---- frames in

    def add(self, time_s: float, tracks: Tracks) -> Index:
        """Take a frame's tracks; return the rows of those never seen before."""
        slot = self._next_slot(time_s)
        ids = tracks.track_ids.tolist()
        fresh = [i for i, track_id in enumerate(ids) if track_id not in self._row_of]
        new = [self._admit(ids[i], time_s) for i in fresh]
        if not ids:
            return np.zeros(0, np.intp)
        rows = np.array([self._row_of[k] for k in ids], np.intp)
        self.class_ids[rows] = tracks.class_ids
        self.scores[rows] = tracks.scores
        self._jitter[rows] = tracks.jitter_xyn
        seen = tracks.observed
        at = rows[seen]
        boxes = tracks.boxes_xyxyn if tracks.measured_xyxyn is None else tracks.measured_xyxyn
        self._boxes[at, slot] = boxes[seen]
        self._mask[at, slot] = 1.0
        # A weak box counts nothing rather than against: a missing one would not either.
        self._evidence[at, slot] = 1.0 if tracks.evidence is None else np.maximum(tracks.evidence[seen], 0.0)
        self.last_s[at] = time_s
        for i, row in zip(fresh, new, strict=True):
            if ids[i] in tracks.history:
                self._add_past(row, time_s, tracks.history[ids[i]])
        return np.array(new, np.intp)

    def _next_slot(self, time_s: float) -> int:
        if self._slot >= 0:
            gap = time_s - float(self._times[self._slot])
            if gap < 1.0:
                self.frame_s = 0.9 * self.frame_s + 0.1 * gap if self.frame_s else gap
        slot = (self._slot + 1) % len(self._times)
        if time_s - self._times[slot] < KEEP_S and len(self._times) < MOST_FRAMES:
            self._more_frames()
            slot = self._slot + 1
        self._slot = slot
        self._times[slot] = time_s
        self._mask[:, slot] = 0.0
        self._evidence[:, slot] = 0.0
        self._due.append(time_s)
        return slot

    def _more_frames(self) -> None:
        """Double the ring, oldest frame first."""
        order = np.argsort(self._times, kind="stable")
        n = len(order)
        self._times = np.concatenate([self._times[order], np.full(n, -np.inf)])
        self._mask = np.pad(self._mask[:, order], ((0, 0), (0, n)))
        self._evidence = np.pad(self._evidence[:, order], ((0, 0), (0, n)))
        self._boxes = np.pad(self._boxes[:, order], ((0, 0), (0, n), (0, 0)))
        self._slot = n - 1

    def _admit(self, track_id: int, time_s: float) -> int:
        free = np.flatnonzero(self.ids == 0)
        if not len(free):
            self._more_rows()
            free = np.flatnonzero(self.ids == 0)
        row = int(free[0])
        self._row_of[track_id] = row
        self.ids[row] = track_id
        self.first_s[row] = self.last_s[row] = time_s
        self._mask[row] = 0.0
        self._evidence[row] = 0.0
        return row

    def _more_rows(self) -> None:
        n = len(self.ids)
        self.ids = np.pad(self.ids, (0, n))
        self.class_ids = np.pad(self.class_ids, (0, n))
        self.scores = np.pad(self.scores, (0, n))
        self.first_s = np.pad(self.first_s, (0, n))
        self.last_s = np.pad(self.last_s, (0, n), constant_values=-np.inf)
        self._jitter = np.pad(self._jitter, ((0, n), (0, 0)))
        self._mask = np.pad(self._mask, ((0, n), (0, 0)))
        self._evidence = np.pad(self._evidence, ((0, n), (0, 0)))
        self._boxes = np.pad(self._boxes, ((0, n), (0, 0), (0, 0)))

    def _add_past(self, row: int, time_s: float, past: Array) -> None:
        """Put the boxes that a track had before it was shown into the frames they belong to."""
        for age_s, x1, y1, x2, y2, evidence in past.tolist():
            slot = int(np.abs(self._times - (time_s - age_s)).argmin())
            if abs(self._times[slot] - (time_s - age_s)) < 1e-3:
                self._boxes[row, slot] = x1, y1, x2, y2
                self._mask[row, slot] = 1.0
                self._evidence[row, slot] = max(evidence, 0.0)
                self.first_s[row] = min(self.first_s[row], time_s - age_s)

    # ---- places out

    def next_places(self, now_s: float, flush: bool = False) -> Places | None:
        """The places at the next frame that is old enough (or at any, to `flush`); None where none is."""
        if not self._due or not (flush or now_s - self._due[0] >= self.lag_s - 1e-6):
            return None
        self._given_s = self._due.popleft()
        return self._places(self._given_s)

    def past_places(self, rows: Index) -> list[Places]:
        """What was given without the tracks of `rows`: their places at frames that came before they were
        shown. A track that was long in doubt may have crossed a line meanwhile."""
        late = rows[self.first_s[rows] <= self._given_s]
        if not len(late):
            return []
        since = float(self.first_s[late].min())
        times = np.sort(self._times[(self._times >= since) & (self._times <= self._given_s)])
        return [self._places(float(time_s), late) for time_s in times]

    def _places(self, time_s: float, among: Index | None = None) -> Places:
        rows = np.flatnonzero((self.ids != 0) & (self.first_s <= time_s) & (self.last_s >= time_s))
        if among is not None:
            rows = np.intersect1d(rows, among)
        tau = max(TAU_S, self.frame_s)
        u = self._times - time_s
        near = np.flatnonzero(np.abs(u) <= REACH * tau)
        u = u[near]
        w = np.exp(-0.5 * (u / tau) ** 2)
        mask = self._mask[np.ix_(rows, near)]
        powers = np.stack([w, w * u, w * u * u, w * w, w * w * u, w * w * u * u], axis=1)
        s0, s1, s2, v0, v1, v2 = (mask @ powers).T
        there = s0 > 1e-3
        if not there.all():
            rows, mask = rows[there], mask[there]
            s0, s1, s2, v0, v1, v2 = (column[there] for column in (s0, s1, s2, v0, v1, v2))
        spread = s0 * s2 - s1 * s1
        line = spread > 1e-9
        spread = np.where(line, spread, 1.0)
        a = np.where(line, s2 / spread, 1.0 / s0)
        b = np.where(line, s1 / spread, 0.0)
        weights = mask * w * (a[:, None] - b[:, None] * u)
        boxes = np.matmul(weights[:, None, :], self._boxes[rows[:, None], near[None, :]])[:, 0]
        error = np.sqrt(a * a * v0 - 2 * a * b * v1 + b * b * v2)
        return Places(time_s, rows, boxes, error, self._jitter[rows], self.class_ids[rows])

    def evidence_near(self, row: int, time_s: float, within_s: float) -> float:
        """The evidence for a track within some seconds of a moment, over the frames there could be."""
        near = np.abs(self._times - time_s) <= within_s
        frames = 2 * within_s / self.frame_s if self.frame_s else 1.0
        return float(self._evidence[row, near].sum()) / max(frames, 1.0)

    def evidence_at(self, rows: Index, time_s: float) -> Array:
        """The evidence (N,) of the boxes of tracks in the frame of `time_s`, 0 where they had none."""
        return np.asarray(self._evidence[rows, int(np.abs(self._times - time_s).argmin())])

    def evidence_before(self, row: int, time_s: float, within_s: float) -> float:
        """The sum of the evidence of a track's boxes in the time before a moment."""
        before = (self._times < time_s) & (self._times >= time_s - within_s)
        return float(self._evidence[row, before].sum())

    def forget(self, now_s: float) -> Index:
        """Give back the rows of tracks not seen for long; return them."""
        old = np.flatnonzero((self.ids != 0) & (now_s - self.last_s > FORGET_S))
        for row in old.tolist():
            del self._row_of[int(self.ids[row])]
        self.ids[old] = 0
        return old

    # ---- checkpoints

    def save(self) -> dict[str, Any]:
        """Plain data; sides in 1/100000 of the picture."""
        order = np.argsort(self._times)
        order = order[np.isfinite(self._times[order])]
        rows = np.array(list(self._row_of.values()), np.intp)
        there = self._mask[np.ix_(rows, order)] > 0
        boxes = np.rint(self._boxes[np.ix_(rows, order)] * 1e5).astype(np.int64)
        evidence = self._evidence[np.ix_(rows, order)].round(2)
        about = np.column_stack((self.first_s[rows], self.last_s[rows], self._jitter[rows])).tolist()
        tracks = []
        for n, (track_id, row) in enumerate(self._row_of.items()):
            seen = np.flatnonzero(there[n])
            tracks.append(
                [
                    track_id,
                    row,
                    int(self.class_ids[row]),
                    float(self.scores[row]),
                    about[n],
                    seen.tolist(),
                    boxes[n, seen].tolist(),
                    evidence[n, seen].tolist(),
                ]
            )
        return {
            "times": self._times[order].tolist(),
            "due": list(self._due),
            "given_s": self._given_s if np.isfinite(self._given_s) else None,
            "frame_s": self.frame_s,
            "rows": len(self.ids),
            "tracks": tracks,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from `save`."""
        self.__init__()  # type: ignore[misc]
        while len(self.ids) < int(saved["rows"]):
            self._more_rows()
        times = [float(v) for v in saved["times"]]
        while len(self._times) < len(times):
            self._more_frames()
        self._times[: len(times)] = times
        self._slot = len(times) - 1
        self._due = deque(float(v) for v in saved["due"])
        self._given_s = -np.inf if saved["given_s"] is None else float(saved["given_s"])
        self.frame_s = float(saved["frame_s"])
        for track_id, row, class_id, score, about, seen, boxes, evidence in saved["tracks"]:
            self._row_of[int(track_id)] = row
            self.ids[row], self.class_ids[row], self.scores[row] = track_id, class_id, score
            self.first_s[row], self.last_s[row] = about[0], about[1]
            self._jitter[row] = about[2:]
            if seen:
                self._boxes[row, seen] = np.array(boxes, np.float64) / 1e5
                self._mask[row, seen] = 1.0
                self._evidence[row, seen] = evidence
