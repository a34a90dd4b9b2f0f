"""How large and how fast objects are where lines and zones lie: what tells how far around them to look.

Of each track the largest box, and its mean speed, while its box met what is drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.region.spec import Box, overlap
from pipelines.values import Tracks

MAX_TRACKS = 256  # that are remembered
MEMORY_S = 3600.0  # tracks older than this are forgotten, but for the last MIN_TRACKS
MIN_TRACKS = 12  # that must have come by before anything is made of them
MOST = 0.95  # quantile: so many of the tracks are no larger, and no faster
GONE_S = 2.0  # not there for so long, a track has come by; one that stands there has not yet
BACKWARDS_S = 1.0  # media time that falls back by more begins anew


@dataclass(frozen=True, slots=True)
class ObjectScale:
    """Of most objects: width and height in shares of the picture, and the speeds in shares a second."""

    width: float
    height: float
    speed_x: float
    speed_y: float


@dataclass(slots=True)
class _Passage:
    first: tuple[float, float, float]  # media time, centre x, y
    last: tuple[float, float, float]
    width: float
    height: float

    def gone(self, now_s: float) -> bool:
        return not -BACKWARDS_S <= now_s - self.last[0] <= GONE_S

    def sample(self) -> list[float]:
        """Media time, width, height, speeds in x and y."""
        (t0, x0, y0), (t1, x1, y1) = self.first, self.last
        over_s = max(t1 - t0, 1e-3)
        return [t1, self.width, self.height, abs(x1 - x0) / over_s, abs(y1 - y0) / over_s]


class Approach:
    """What comes by at `drawn`, boxes that lines and zones lie in; where there is none, anywhere."""

    def __init__(self, drawn: Sequence[Box]) -> None:
        self._drawn = drawn
        self._going: dict[tuple[int, int], _Passage] = {}  # by epoch and track id
        self._samples: deque[list[float]] = deque(maxlen=MAX_TRACKS)
        self._now_s = 0.0

    @property
    def count(self) -> int:
        """How many tracks have come by."""
        return len(self._samples)

    def follow(self, epoch: int, time_s: float, tracks: Tracks) -> None:
        """Take a frame's tracks into account, at its media time."""
        if time_s < self._now_s - BACKWARDS_S:  # another opening of the source: ages start anew
            self._samples = deque(([time_s, *sample[1:]] for sample in self._samples), MAX_TRACKS)
        self._now_s = time_s
        for key in [key for key, passage in self._going.items() if passage.gone(time_s)]:
            self._samples.append(self._going.pop(key).sample())
        for track_id, (x1, y1, x2, y2) in zip(
            tracks.track_ids.tolist(), tracks.boxes_xyxyn.tolist(), strict=True
        ):
            if not self._drawn or any(overlap((x1, y1, x2, y2), each) for each in self._drawn):
                self._extend((epoch, track_id), (x1, y1, x2, y2))
        while self.count > MIN_TRACKS and self._samples[0][0] < time_s - MEMORY_S:
            self._samples.popleft()

    def _extend(self, key: tuple[int, int], box: Box) -> None:
        x1, y1, x2, y2 = box
        at = (self._now_s, (x1 + x2) / 2, (y1 + y2) / 2)
        passage = self._going.setdefault(key, _Passage(at, at, 0.0, 0.0))
        passage.last = at
        passage.width, passage.height = max(passage.width, x2 - x1), max(passage.height, y2 - y1)

    def end(self) -> None:
        """Nothing more comes: who is still there has come by."""
        self._samples.extend(passage.sample() for passage in self._going.values())
        self._going.clear()

    def scale(self) -> ObjectScale | None:
        """Of most that came by; None where too few have."""
        if self.count < MIN_TRACKS:
            return None
        most = np.quantile(np.array(self._samples), MOST, axis=0).tolist()
        return ObjectScale(*most[1:])

    def save(self) -> list[Any]:
        """Plain data for restore()."""
        return [self._now_s, [[round(number, 4) for number in sample] for sample in self._samples]]

    def restore(self, saved: list[Any]) -> None:
        """Raises TypeError or ValueError where `saved` is not from save()."""
        now_s, samples = saved
        read = [[float(number) for number in sample] for sample in samples]
        if any(len(sample) != 5 for sample in read) or not np.isfinite([x for s in read for x in s]).all():
            raise ValueError("the saved sizes of objects are damaged")
        self._now_s, self._samples = float(now_s), deque(read, MAX_TRACKS)
