"""The end of one step of reading, for what is read in Python on FFmpeg's behalf.

FFmpeg looks at its own deadline while it waits for its own sockets alone; who reads for it has to keep the
same one, over all that one step takes and not anew for each byte.
"""

from __future__ import annotations

import time


class ReadDeadline:
    """start() sets it anew; what is read until then asks left_s()."""

    def __init__(self) -> None:
        self._end_s = 0.0

    def start(self, seconds: float) -> None:
        self._end_s = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds that are left. Raise TimeoutError where none are."""
        left = self._end_s - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def rounded(seconds: float) -> str:
    """A time limit as people read it: what is left of one is given on from step to step."""
    return f"{round(seconds, 1):g} s"
