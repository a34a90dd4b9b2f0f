"""Histograms of how long a frame takes, as words of its camera's counters: they outlive any worker.

Each has a count for each of its bounds (the frames within it, and not within a lower one), one for those
beyond the last, and the sum in microseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Final


class Latency:
    """`bounds_s`: the upper bounds of its buckets, rising. `words`: one a bucket, then the sum."""

    def __init__(self, name: str, bounds_s: tuple[float, ...]) -> None:
        self.name, self.bounds_s = name, bounds_s
        self.words = (*(f"{name}_{i}" for i in range(len(bounds_s) + 1)), f"{name}_sum_us")

    def changes(self, seconds: float) -> dict[str, int]:
        """What one frame adds to the words."""
        bucket = bisect_left(self.bounds_s, seconds)
        return {self.words[bucket]: 1, self.words[-1]: max(0, round(seconds * 1e6))}

    def shown(self, words: Mapping[str, int]) -> dict[str, Any]:
        """`buckets`: [upper bound in seconds, how many frames took no longer], the last bound None (any)."""
        buckets: list[list[Any]] = []
        total = 0
        for word, bound_s in zip(self.words, (*self.bounds_s, None), strict=False):
            total += words[word]
            buckets.append([bound_s, total])
        return {"buckets": buckets, "sum_s": words[self.words[-1]] / 1e6}


AGE: Final = Latency("age", (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0))
INFERENCE: Final = Latency("inference", (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0))
