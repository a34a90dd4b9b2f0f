"""What a camera costs: CPU time by what it was spent on, as words of its counters that outlive any worker.

decode      reading its stream, decoding it, and scaling the pictures that were asked for
inference   the detector: its share of what the detector's threads took, and handing it the pictures
rest        tracking, counting, events, and its share of the worker's own bookkeeping
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamer.ipc.growth import Growth

PARTS: Final = ("decode", "inference", "rest")


class Cores:
    """How many cores something takes: its CPU time over that of the last ten seconds. It is read about once a
    second; what was spent before the first reading is not known to have been spent in any time.
    """

    def __init__(self) -> None:
        self._growth = Growth()

    def read(self, cpu_s: float, now_s: float) -> float:
        """The cores now; 0 at the first reading."""
        grown = self._growth.read(now_s, cpu_s)
        return grown.by[0] / grown.seconds if grown.seconds > 0 else 0.0


def share_out(total_ns: int, weights: Sequence[float]) -> list[int]:
    """`total_ns` by the weights, or in equal parts where none weighs anything; [] for nobody."""
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1.0] * len(weights), len(weights)
    return [int(total_ns * weight / whole) for weight in weights]
