"""How long the threads of this process wait for a core, as the kernel's scheduler counts.

`/proc/self/task/*/schedstat` knows of a container's quota as well, and of the process's priority: on a full
box it is inference that waits, since capture goes before it.
"""

from __future__ import annotations

from pathlib import Path

from streamer.ipc.growth import Growth

TASKS = Path("/proc/self/task")
SHORT = 0.5  # of the time that its threads ran, they waited


class CoreWait:
    """Read about once a second."""

    def __init__(self, tasks: Path = TASKS) -> None:
        self._tasks = tasks
        self._growth = Growth()
        self.short = False  # of cores, over the last seconds; never where the kernel does not count it

    def read(self, now_s: float) -> None:
        try:
            ran_ns, waited_ns = self._growth.read(now_s, *self._times_ns()).by
        except OSError:  # out of descriptors: nothing is known now, and nobody ends of it
            return
        self.short = waited_ns > 0 and waited_ns >= SHORT * ran_ns

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
