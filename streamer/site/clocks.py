"""A box's clock beside that of the site's Redis: at a move the moment decides, by each box's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from streamer.errors import RedisError

EVERY_S = 30.0
TOLD_S = 0.5  # beyond that a person hears of it
# A box counts nobody sooner than half a second after its first frame, so that with clocks this near nothing
# comes twice where two boxes have a camera open at once; with others that is left out.
NEAR_S = 0.25
NS_PER_S = 1_000_000_000


class Clocks(NamedTuple):
    """For tests: seconds that only rise, and Unix nanoseconds."""

    monotonic: Callable[[], float] = time.monotonic
    wall_ns: Callable[[], int] = time.time_ns


class ClockWatch:
    """`redis_ns` tells the Redis's time, in Unix nanoseconds, or raises RedisError. `fault` is "" while
    nothing is wrong with the clock, as far as is known."""

    def __init__(self, clocks: Clocks, redis_ns: Callable[[], int]) -> None:
        self._clocks, self._redis_ns = clocks, redis_ns
        self._looked_at_s = float("-inf")
        self._ahead_s = 0.0  # of the Redis
        self.fault = ""

    @property
    def can_hand_over(self) -> bool:
        """Whether two boxes may have a camera open at once."""
        return abs(self._ahead_s) <= NEAR_S

    def look(self) -> None:
        """Every EVERY_S; call it as often as you like."""
        now_s = self._clocks.monotonic()
        if now_s - self._looked_at_s >= EVERY_S:
            self._looked_at_s = now_s
            with suppress(RedisError):
                self._compare()

    def _compare(self) -> None:
        before_ns = self._clocks.wall_ns()
        redis_ns, after_ns = self._redis_ns(), self._clocks.wall_ns()
        if after_ns - before_ns > NEAR_S * NS_PER_S:
            return  # the answer took too long to tell
        self._ahead_s = ((before_ns + after_ns) / 2 - redis_ns) / NS_PER_S
        self.fault = "" if abs(self._ahead_s) <= TOLD_S else self._advice()

    def _advice(self) -> str:
        way = "ahead of" if self._ahead_s > 0 else "behind"
        return (
            f"this box's clock is {abs(self._ahead_s):.1f} s {way} the site's Redis: what crosses at a move "
            "may be lost or come twice; run a time service on both (chrony)"
        )
