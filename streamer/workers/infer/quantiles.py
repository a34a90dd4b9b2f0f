"""Quantiles of any number of values in bounded memory, the same in whatever order they come.

A histogram whose bins grow geometrically, as in DDSketch (Masson, Rim, Lee, VLDB 2019, section 2.1): a value
is known to within 1 % of itself. Two of them add up bin by bin.
"""

from __future__ import annotations

import math
from typing import Any

ERROR = 0.01  # of a quantile, relative to the value of that rank
MIN_VALUE, MAX_VALUE = 0.01, 1e8  # below and above, values count as these: at most 1152 bins
_GAMMA = (1 + ERROR) / (1 - ERROR)
_LOG_GAMMA = math.log(_GAMMA)


class Quantiles:
    """Of values that are not negative. `largest` is exact, None while there is none."""

    def __init__(self) -> None:
        self.n = 0
        self.largest: float | None = None
        self._bins: dict[int, int] = {}

    def add(self, value: float) -> None:
        bin_ = math.ceil(math.log(min(max(value, MIN_VALUE), MAX_VALUE)) / _LOG_GAMMA)
        self._bins[bin_] = self._bins.get(bin_, 0) + 1
        self.n += 1
        self.largest = value if self.largest is None else max(self.largest, value)

    def at(self, share: float) -> float | None:
        """The nearest-rank quantile, as percentile() has it; None when there is no value."""
        rank = min(self.n - 1, int(share * self.n))
        for bin_ in sorted(self._bins):
            rank -= self._bins[bin_]
            if rank < 0 and self.largest is not None:
                return min(2 * _GAMMA**bin_ / (_GAMMA + 1), self.largest)
        return None

    def save(self) -> dict[str, Any]:
        return {"bins": dict(self._bins), "largest": self.largest}

    def add_saved(self, saved: dict[str, Any]) -> None:
        """All that went into another. Raises KeyError, TypeError, ValueError or AttributeError where `saved`
        is not from save()."""
        for bin_, count in saved["bins"].items():
            self._bins[int(bin_)] = self._bins.get(int(bin_), 0) + int(count)
            self.n += int(count)
        if saved["largest"] is not None:
            self.largest = max(float(saved["largest"]), self.largest or 0.0)


def rounded(value: float | None) -> float | None:
    """To 0.01."""
    return None if value is None else round(value, 2)
