"""How often one may ask: a token bucket for each token and each address, so that a client that asks without
pause costs the others nothing.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from streamer.api.http.problems import HttpRefusal

MAX_KEYS = 4096  # that are remembered: who has not asked for long has a full bucket again anyway


class Rate:
    """`per_s` requests a second for each of `what`, and `burst` at once after a pause."""

    def __init__(self, what: str, per_s: float, burst: int) -> None:
        self._what, self._per_s, self._burst = what, per_s, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # how many, and at what time

    def take(self, key: str, now_s: float) -> None:
        """One request more. Raise HttpRefusal (429, with how long to wait) where that is too many."""
        left, at_s = self._left.pop(key, (float(self._burst), now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now_s)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)
        if not allowed:
            wait_s = math.ceil((1 - left) / self._per_s)
            text = (
                f"{self._per_s:g} requests a second are served for one {self._what}: ask again in {wait_s} s"
            )
            raise HttpRefusal(429, text, retry_after_s=wait_s)
