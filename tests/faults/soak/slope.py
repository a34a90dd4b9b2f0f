"""Whether something grows: the slope of a figure over the lives of all processes of one kind.

Processes are killed and begin anew, so that one line through all points would show their starts. The slope is
that of a regression with an intercept of its own for each process (fixed effects, the within estimator), from
the samples after its warm-up.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

S_PER_HOUR = 3600.0
MIN_SAMPLES = 3  # of one process


@dataclass(frozen=True, slots=True)
class Slope:
    """Units an hour; `observed_s` is how long processes were watched after their warm-up, all together, and
    `longest_s` the longest of them."""

    per_hour: float
    observed_s: float
    longest_s: float


class Growth:
    """Samples of one figure, by kind of process. Times are monotonic seconds."""

    def __init__(self, warm_up_s: float) -> None:
        self._warm_up_s = warm_up_s
        self._first_s: dict[int, float] = {}
        self._lives: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, kind: str, pid: int, now_s: float, value: float) -> None:
        if now_s - self._first_s.setdefault(pid, now_s) >= self._warm_up_s:
            self._lives[kind][pid].append((now_s, value))

    def slopes(self) -> dict[str, Slope]:
        """Of the kinds of which enough was seen."""
        found = {kind: _slope(list(lives.values())) for kind, lives in self._lives.items()}
        return {kind: slope for kind, slope in found.items() if slope is not None}


def _slope(lives: list[list[tuple[float, float]]]) -> Slope | None:
    lives = [life for life in lives if len(life) >= MIN_SAMPLES]
    if not lives:
        return None
    covariance = variance = 0.0
    for life in lives:
        times, values = np.array(life).T
        off = times - times.mean()
        covariance += float(off @ (values - values.mean()))
        variance += float(off @ off)
    spans = [life[-1][0] - life[0][0] for life in lives]
    return Slope(covariance / variance * S_PER_HOUR, sum(spans), max(spans))
