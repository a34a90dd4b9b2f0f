"""What a camera costs: CPU time by what it was spent on, as words of its counters that outlive any worker.

decode      reading its stream, decoding it, and scaling the pictures that were asked for
inference   the detector: its share of what the detector's threads took, and handing it the pictures
rest        tracking, counting, events, and its share of the worker's own bookkeeping
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

PARTS: Final = ("decode", "inference", "rest")
WINDOW_S: Final = 10.0  # what is shown as cores is the mean of so long


class Cores:
    """How many cores something takes: its CPU time over the time of the last WINDOW_S. It is read about once
    a second; what was spent before the first reading is not known to have been spent in any time.
    """

    def __init__(self) -> None:
        self._read: deque[tuple[float, float]] = deque()  # when, and the CPU seconds by then

    def read(self, cpu_s: float, now_s: float) -> float:
        """The cores now; 0 at the first reading."""
        if self._read and cpu_s < self._read[-1][1]:
            self._read.clear()  # its counters begin anew
        self._read.append((now_s, cpu_s))
        while len(self._read) > 2 and now_s - self._read[1][0] >= WINDOW_S:
            self._read.popleft()
        begun_s, before_s = self._read[0]
        return (cpu_s - before_s) / (now_s - begun_s) if now_s > begun_s else 0.0


def share_out(total_ns: int, weights: Sequence[float]) -> list[int]:
    """`total_ns` by the weights, or in equal parts where none weighs anything; [] for nobody."""
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1.0] * len(weights), len(weights)
    return [int(total_ns * weight / whole) for weight in weights]
