"""Sending again: what a publisher was asked to do over, and how far it is.

A sink that has an event refuses its repeat, so that asking too often costs time and nothing else. To have
all of a camera written anew, with `rebuild` the sink first forgets it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field


@dataclass
class Replay:
    """One request: of these cameras (none: all) what was captured from `since_ns` on (Unix time)."""

    number: int
    cameras: tuple[str, ...] = ()
    since_ns: int = 0
    rebuild: bool = False
    until: dict[str, int] = field(default_factory=dict)  # camera -> the number with which it is done
    begun: set[str] = field(default_factory=set)


class Replays:
    """Requests in their order. ask() and status() are for other threads than the publisher's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Replay] = deque()
        self._finished = 0  # the number of the last one that is done
        self._repeated = 0

    def ask(self, replay: Replay) -> None:
        with self._lock:
            self._waiting.append(replay)

    @property
    def current(self) -> Replay | None:
        with self._lock:
            return self._waiting[0] if self._waiting else None

    def finish(self, replay: Replay) -> None:
        with self._lock:
            self._waiting.popleft()
            self._finished = replay.number

    def repeated(self, events: int) -> None:
        """So many were sent and refused, since the sink has them."""
        with self._lock:
            self._repeated += events

    def status(self) -> dict[str, int]:
        with self._lock:
            return {
                "waiting": len(self._waiting),
                "finished": self._finished,
                "repeated": self._repeated,
            }
