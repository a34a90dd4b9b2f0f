"""Whether inference has too little of the processor for what is wanted of a capture process's cameras.

Two signs, over the last ten seconds: of the frames that were due a share was replaced by newer ones before
inference had time for them, and inference waited long for a core (workers/core_wait.py). The first alone
says that inference is the narrow place, which cheaper decoding would not widen where it has a processor of
its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple, Protocol

WINDOW_S = 10.0
MISSED = 0.1  # of the frames that were due
CALM_S = 60.0  # without those signs until it is over


class Asked(Protocol):
    """A camera's thread: how many frames were due, how many of these were replaced unseen, and whether
    inference waits for a core."""

    due_frames: int
    missed_frames: int
    infer_short: bool


class _Reading(NamedTuple):
    at_s: float
    due: int
    missed: int


class Overload:
    """Read about once a second by one thread; `is_on` by any."""

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque()
        self._seen_s = float("-inf")
        self._on = False

    def is_on(self) -> bool:
        return self._on

    def read(self, cameras: Iterable[Asked], now_s: float) -> None:
        asked = list(cameras)
        last = _Reading(now_s, sum(c.due_frames for c in asked), sum(c.missed_frames for c in asked))
        readings = self._readings
        while readings and now_s - readings[0].at_s > WINDOW_S:
            readings.popleft()
        if readings and any(c.infer_short for c in asked) and _misses(readings[0], last):
            self._seen_s = now_s
        readings.append(last)
        self._on = now_s - self._seen_s < CALM_S


def _misses(first: _Reading, last: _Reading) -> bool:
    due, missed = last.due - first.due, last.missed - first.missed
    return due > 0 and missed >= MISSED * due
