"""How long it takes from one camera to another, learnt from journeys that are sure."""

from __future__ import annotations

from collections import deque

MIN_LEARNT = 10  # journeys, before their times say anything
MEMORY = 50
SHORTEST, LONGEST = 0.5, 2.0  # of the shortest and longest that were seen: beyond, it is told to nobody


class TransitTimes:
    """By camera that was left and camera come to; numbers, and nobody in them."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], deque[float]] = {}

    def learn(self, left: str, came: str, seconds: float) -> None:
        """A sure journey took so long."""
        self._seconds.setdefault((left, came), deque(maxlen=MEMORY)).append(seconds)

    def usual(self, left: str, came: str, seconds: float) -> bool:
        """Whether a journey may take so long, as far as is known; anything where little is."""
        seen = self._seconds.get((left, came), ())
        return len(seen) < MIN_LEARNT or SHORTEST * min(seen) <= seconds <= LONGEST * max(seen)

    def forget(self, camera: str) -> None:
        """It may hang elsewhere now."""
        for ends in [ends for ends in self._seconds if camera in ends]:
            del self._seconds[ends]
