"""Room to work in, made once for each number of columns: numpy's cheapest call costs as much as two views of
an array, and frames of as many tracks and boxes as before follow each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


class Rooms(dict[K, T]):
    """What `make` made for a number, or for several; all are let go where there would be more than `most`."""

    def __init__(self, make: Callable[[K], T], most: int = 16) -> None:
        super().__init__()
        self._make, self._most = make, most

    def __missing__(self, number: K) -> T:
        if len(self) >= self._most:
            self.clear()
        room = self[number] = self._make(number)
        return room
