"""Whether inference has too little of the processor for what is wanted of a capture process's cameras.

Two signs, over the last ten seconds: of the frames that were due a share was replaced by newer ones before
inference had time for them, and inference waited long for a core (workers/core_wait.py). The first alone
says that inference is the narrow place, which cheaper decoding would not widen where it has a processor of
its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from streamer.ipc.growth import Growth

MISSED = 0.1  # of the frames that were due
CALM_S = 60.0  # without those signs until it is over


class Asked(Protocol):
    """A camera's thread: how many frames were due, how many of these were replaced unseen, and whether
    inference waits for a core."""

    due_frames: int
    missed_frames: int
    infer_short: bool


class Overload:
    """Read about once a second by one thread; `is_on` by any."""

    def __init__(self) -> None:
        self._growth = Growth()
        self._seen_s = float("-inf")
        self._on = False

    def is_on(self) -> bool:
        return self._on

    def read(self, cameras: Iterable[Asked], now_s: float) -> None:
        asked = list(cameras)
        counts = (sum(c.due_frames for c in asked), sum(c.missed_frames for c in asked))
        due, missed = self._growth.read(now_s, *counts).by
        if due > 0 and missed >= MISSED * due and any(c.infer_short for c in asked):
            self._seen_s = now_s
        self._on = now_s - self._seen_s < CALM_S
