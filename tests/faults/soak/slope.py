"""Whether something grows: the slope of a figure over the lives of all processes of one kind.

Processes are killed and begin anew, so that one line through all points would show their starts. The slope is
therefore the median of those between every two samples of the same process (Theil 1950, Sen 1968), after its
warm-up: readings while something large was in hand do not move it, as they would a least-squares line.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

S_PER_HOUR = 3600.0
MIN_SAMPLES = 3  # of one process
MAX_POINTS = 300  # of one process: of more, neighbours are taken together by their median

Floats = npt.NDArray[np.float64]
Life = list[tuple[float, float]]  # (monotonic seconds, value) of one process, in order


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
        self.warm_up_s = warm_up_s
        self._first_s: dict[int, float] = {}
        self._lives: dict[str, dict[int, Life]] = defaultdict(lambda: defaultdict(list))

    def add(self, kind: str, pid: int, now_s: float, value: float) -> None:
        if now_s - self._first_s.setdefault(pid, now_s) >= self.warm_up_s:
            self._lives[kind][pid].append((now_s, value))

    def slopes(self) -> dict[str, Slope]:
        """Of the kinds of which enough was seen."""
        found = {kind: _slope(list(lives.values())) for kind, lives in self._lives.items()}
        return {kind: slope for kind, slope in found.items() if slope is not None}

    def course(self, kind: str, every_s: float) -> list[float]:
        """Medians of so many seconds each, of the process of that kind that was watched longest."""
        life = max(self._lives[kind].values(), key=lambda life: life[-1][0] - life[0][0], default=[])
        parts: dict[int, list[float]] = defaultdict(list)
        for at_s, value in life:
            parts[int((at_s - life[0][0]) // every_s)].append(value)
        return [float(np.median(parts[part])) for part in sorted(parts)]


def _slope(lives: list[Life]) -> Slope | None:
    lives = [life for life in lives if len(life) >= MIN_SAMPLES]
    if not lives:
        return None
    between = np.concatenate([_between_pairs(*_points(life)) for life in lives])
    spans = [life[-1][0] - life[0][0] for life in lives]
    return Slope(float(np.median(between)) * S_PER_HOUR, sum(spans), max(spans))


def _points(life: Life) -> tuple[Floats, Floats]:
    """Times and values, at most MAX_POINTS of each."""
    parts = np.array_split(np.array(life, np.float64), min(len(life), MAX_POINTS))
    medians = np.array([np.median(part, axis=0) for part in parts])
    return medians[:, 0], medians[:, 1]


def _between_pairs(times: Floats, values: Floats) -> Floats:
    """The slope between each two points, units a second."""
    earlier, later = np.triu_indices(len(times), 1)
    slopes: Floats = (values[later] - values[earlier]) / (times[later] - times[earlier])
    return slopes
