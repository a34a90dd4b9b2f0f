"""The evidence of every box of a track, run-length encoded: runs of samples whose evidence is alike.

Whether an object was surely there is asked at a line, which may lie anywhere on the way: so the evidence is
kept by sample. A detector is sure of most objects for seconds, and unsure for some frames: a run goes on
while none of its samples is far from their mean, and is stored as their number and that mean. The sum over
any stretch of samples is so right within `WITHIN` of itself and `MIN_WITHIN` a sample.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.count.trajectory_codec import evidence_code, evidence_of, put, take

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

WITHIN = 0.5  # of a sample's evidence: so far may the mean of its run be from it,
MIN_WITHIN = 0.05  # and this much more; a line asks for twice as much in each frame
MAX_BYTES = 16_384  # of a track in memory: of the older half of a longer one two runs become one
WAITING = 64  # frames of the same tracks that are taken up at once, which is cheaper


@dataclass(slots=True)
class _Track:
    """`done` are varints, samples and code of each run that is over; the rest is of the one that goes on: its
    samples, their sum, and from where to where their mean may lie."""

    done: bytearray = field(default_factory=bytearray)
    n: int = 0
    total: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def extend(self, evidence: list[float]) -> None:
        n, total, low, high = self.n, self.total, self.low, self.high
        for value in evidence:
            lowest, highest = (1 - WITHIN) * value - MIN_WITHIN, (1 + WITHIN) * value + MIN_WITHIN
            low, high = lowest if lowest > low else low, highest if highest < high else high
            if not low <= (total + value) / (n + 1) <= high:
                self.end(n, total)
                n, total, low, high = 0, 0.0, lowest, highest
            n += 1
            total += value
        self.n, self.total, self.low, self.high = n, total, low, high

    def end(self, n: int, total: float) -> None:
        put(self.done, (n, evidence_code(total / n)))
        if len(self.done) > MAX_BYTES:
            self.done = _thinned(_pairs(self.done))


class EvidenceRuns:
    """The runs of all tracks of a camera, by their rows."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._rows: Index | None = None  # of the frames that wait
        self._waiting: list[Array] = []

    def update(self, rows: Index, evidence: Array) -> None:
        """Take the evidence (N,) of one box of each of the tracks `rows` (N,); neither is to be changed."""
        if rows is not self._rows or len(self._waiting) == WAITING:
            self._settle()
            self._rows = rows
        self._waiting.append(evidence)

    def _settle(self) -> None:
        if self._rows is None or not self._waiting:
            return
        for row, values in zip(self._rows.tolist(), np.stack(self._waiting, axis=1).tolist(), strict=True):
            track = self._tracks.get(row)
            if track is None:
                track = self._tracks[row] = _Track()
            track.extend(values)
        self._waiting.clear()

    def forget(self, row: int) -> list[tuple[int, int]]:
        """The track of this row is over: its runs, as (samples, code)."""
        self._settle()
        track = self._tracks.pop(row)
        track.end(track.n, track.total)
        return _pairs(track.done)

    def save(self) -> list[list[Any]]:
        """Plain data."""
        self._settle()
        return [
            [row, base64.b64encode(t.done).decode(), t.n, t.total, t.low, t.high]
            for row, t in self._tracks.items()
        ]

    def restore(self, saved: list[list[Any]]) -> None:
        """Go on from `save`. Raises ValueError where it is damaged."""
        self._rows = None
        self._waiting.clear()
        self._tracks = {
            int(row): _Track(bytearray(base64.b64decode(done)), int(n), *map(float, numbers))
            for row, done, n, *numbers in saved
        }


def _pairs(runs: bytearray) -> list[tuple[int, int]]:
    values = take(runs)
    return list(zip(values[::2], values[1::2], strict=True))


def _thinned(runs: list[tuple[int, int]]) -> bytearray:
    half = len(runs) // 4 * 2
    out = bytearray()
    for (n, code), (more, other) in zip(runs[:half:2], runs[1:half:2], strict=True):
        total = n * evidence_of(code) + more * evidence_of(other)
        put(out, (n + more, evidence_code(total / (n + more))))
    for run in runs[half:]:
        put(out, run)
    return out
