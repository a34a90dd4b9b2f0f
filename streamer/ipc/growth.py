"""How much counters have grown lately: what they say now, less what they said some seconds ago."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

WINDOW_S: Final = 10.0


class Grown(NamedTuple):
    """In `seconds`, by counter. Nothing in no time at the first reading."""

    seconds: float
    by: tuple[float, ...]


class Growth:
    """Of counters that are read together, about once a second, over the last WINDOW_S. Where one says less
    than before, what it counted has begun anew or is gone, and so does this."""

    def __init__(self) -> None:
        self._read: deque[tuple[float, tuple[float, ...]]] = deque()  # when, and what they said

    def read(self, now_s: float, *counts: float) -> Grown:
        read = self._read
        if read and any(now < before for now, before in zip(counts, read[-1][1], strict=True)):
            read.clear()
        read.append((now_s, counts))
        while len(read) > 2 and now_s - read[1][0] >= WINDOW_S:
            read.popleft()
        begun_s, before = read[0]
        return Grown(now_s - begun_s, tuple(now - then for now, then in zip(counts, before, strict=True)))
