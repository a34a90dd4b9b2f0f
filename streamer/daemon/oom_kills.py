"""Whether the kernel killed a process since memory ran out: it counts these kills, and tells nobody else.

https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events); /proc/vmstat counts those of all groups.
"""

from __future__ import annotations

import signal
from pathlib import Path

REASON = "killed for want of memory: give the machine or its service more, or run fewer cameras"


class OomKills:
    """Asked at each end of a worker."""

    def __init__(self, vmstat: Path = Path("/proc/vmstat")) -> None:
        self._vmstat = vmstat
        self._seen = self._count()

    def explain(self, exit_code: int) -> str:
        """Why a process with this exit code was killed, where it was for memory; else ""."""
        count = self._count()
        risen, self._seen = count > self._seen, count
        return REASON if risen and exit_code == -signal.SIGKILL else ""

    def _count(self) -> int:
        """0 where the kernel does not tell."""
        try:
            lines = self._vmstat.read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
