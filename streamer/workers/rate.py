"""How fast a count grows, for `status`."""

from __future__ import annotations


class Rate:
    """Of a count that is read about once a second. What was counted before the first reading is not known to
    have been counted in any time, so that a rate begins with the second.
    """

    def __init__(self) -> None:
        self.per_s = 0.0
        self._mark: tuple[float, int] | None = None  # when it was read last, and as what

    def read(self, count: int, now_s: float) -> None:
        if self._mark is not None:
            read_s, before = self._mark
            if now_s <= read_s:
                return
            self.per_s = (count - before) / (now_s - read_s)
        self._mark = (now_s, count)
