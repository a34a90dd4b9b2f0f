"""Which cameras get a capture process of their own: those whose process keeps dying.

A damaged stream can kill the process that decodes it, with all cameras in it. Who is at fault cannot be
seen from outside, so all of them are separated; the one at fault then takes only itself along.
"""

from __future__ import annotations

DEATHS = 2  # of one capture worker within WINDOW_S
WINDOW_S = 600.0


class Quarantine:
    """`cameras` are those that stand alone. Times are monotonic seconds, given by the caller."""

    def __init__(self) -> None:
        self.cameras: frozenset[str] = frozenset()
        self._deaths_s: dict[str, list[float]] = {}

    def died(self, worker: str, cameras: tuple[str, ...], now_s: float) -> bool:
        """Note that a capture worker died by itself; True when its cameras are separated for that."""
        lately = [s for s in self._deaths_s.get(worker, []) if now_s - s < WINDOW_S] + [now_s]
        self._deaths_s[worker] = lately
        if len(lately) < DEATHS or len(cameras) < 2:
            return False
        self.cameras |= set(cameras)
        return True
