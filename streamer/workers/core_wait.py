"""How long the threads of this process wait for a core, as the kernel's scheduler counts.

`/proc/self/task/*/schedstat` knows of a container's quota as well, and of the process's priority: on a full
box it is inference that waits, since capture goes before it.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

TASKS = Path("/proc/self/task")
WINDOW_S = 10.0
SHORT = 0.5  # of the time that its threads ran, they waited


class _Reading(NamedTuple):
    at_s: float
    ran_ns: int
    waited_ns: int


class CoreWait:
    """Read about once a second."""

    def __init__(self, tasks: Path = TASKS) -> None:
        self._tasks = tasks
        self._readings: deque[_Reading] = deque()
        self.short = False  # of cores, over the last seconds; never where the kernel does not count it

    def read(self, now_s: float) -> None:
        readings = self._readings
        while readings and now_s - readings[0].at_s > WINDOW_S:
            readings.popleft()
        try:
            last = _Reading(now_s, *self._times_ns())
        except OSError:  # out of descriptors: nothing is known now, and nobody ends of it
            return
        first = readings[0] if readings else last
        ran_ns, waited_ns = last.ran_ns - first.ran_ns, last.waited_ns - first.waited_ns
        self.short = waited_ns > 0 and waited_ns >= SHORT * ran_ns
        readings.append(last)

    def _times_ns(self) -> tuple[int, int]:
        """Of the threads that there are: how long they ran, and how long they waited for a core."""
        ran_ns = waited_ns = 0
        for path in self._tasks.glob("*/schedstat"):
            try:
                ran, waited, _ = path.read_text().split()
            except (OSError, ValueError):  # a thread that has just ended
                continue
            ran_ns, waited_ns = ran_ns + int(ran), waited_ns + int(waited)
        return ran_ns, waited_ns
