"""Notices that somebody set the wall clock: it no longer agrees with the monotonic one on how late it is."""

from __future__ import annotations

import time

MIN_JUMP_NS = 1_000_000_000  # a clock that is slewed to the right time drifts by 0.5 ms a second


class ClockWatch:
    """Call jumped() about once a second."""

    def __init__(self) -> None:
        self._offset_ns = _offset_ns()

    def jumped(self) -> bool:
        """Whether the clock was set since the last call."""
        before_ns, self._offset_ns = self._offset_ns, _offset_ns()
        return abs(self._offset_ns - before_ns) >= MIN_JUMP_NS


def _offset_ns() -> int:
    """How far the wall clock is ahead. A process that is held up between the two readings is no jump: the
    middle one lies between two of the other.
    """
    before_ns = time.monotonic_ns()
    wall_ns = time.time_ns()
    return wall_ns - (before_ns + time.monotonic_ns()) // 2
