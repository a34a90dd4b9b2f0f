"""Whether a capture process has too little of the processor for what is wanted of its cameras.

Two signs, over the last ten seconds: of the frames that were due a share was replaced by newer ones before
inference had time for them, and the process's own threads waited long for a core, as the kernel's scheduler
counts (`/proc/*/schedstat`, which knows of a container's quota as well). The first alone says that inference
is the narrow place, which cheaper decoding would not widen where it has a processor of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

TASKS = Path("/proc/self/task")
WINDOW_S = 10.0
MISSED = 0.1  # of the frames that were due
WAITED = 0.5  # of the time that its threads ran, they waited for a core
CALM_S = 60.0  # without those signs until it is over


class Asked(Protocol):
    """A camera's thread: how many frames were due, and how many of these were replaced unseen."""

    @property
    def due_frames(self) -> int: ...
    @property
    def missed_frames(self) -> int: ...


class _Reading(NamedTuple):
    at_s: float
    due: int
    missed: int
    ran_ns: int
    waited_ns: int


class Overload:
    """Read about once a second by one thread; `is_on` by any."""

    def __init__(self, tasks: Path = TASKS) -> None:
        self._tasks = tasks
        self._readings: deque[_Reading] = deque()
        self._seen_s = float("-inf")
        self._on = False

    def is_on(self) -> bool:
        return self._on

    def read(self, cameras: Iterable[Asked], now_s: float) -> None:
        counts = [(camera.due_frames, camera.missed_frames) for camera in cameras]
        due, missed = (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0)
        reading = _Reading(now_s, due, missed, *_core_times_ns(self._tasks))
        while self._readings and now_s - self._readings[0].at_s > WINDOW_S:
            self._readings.popleft()
        if self._readings and _is_short(self._readings[0], reading):
            self._seen_s = now_s
        self._readings.append(reading)
        self._on = now_s - self._seen_s < CALM_S


def _is_short(first: _Reading, last: _Reading) -> bool:
    due, missed = last.due - first.due, last.missed - first.missed
    ran_ns, waited_ns = last.ran_ns - first.ran_ns, last.waited_ns - first.waited_ns
    return due > 0 and missed >= MISSED * due and waited_ns >= WAITED * max(ran_ns, 1)


def _core_times_ns(tasks: Path) -> tuple[int, int]:
    """Of the threads that there are: how long they ran, and how long they waited for a core; 0 where the
    kernel does not count it."""
    ran_ns = waited_ns = 0
    for path in tasks.glob("*/schedstat"):
        try:
            ran, waited, _ = path.read_text().split()
        except (OSError, ValueError):  # a thread that has just ended
            continue
        ran_ns, waited_ns = ran_ns + int(ran), waited_ns + int(waited)
    return ran_ns, waited_ns
