"""Whose the CPU time of a capture process is: what its cameras' threads say, and the rest in equal parts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from streamer.ipc.counters import FrameCounters
from streamer.ipc.cpu_time import Cores, share_out


class Charged(Protocol):
    """Who puts CPU time down for a camera."""

    def add_cpu(self, cpu_ns: int) -> None: ...


class CpuShare:
    """A camera's thread puts down what it takes, and the main thread what it takes to scale a picture of it.
    What nobody has put down (messages, the threads that read the network) each camera bears alike.
    """

    def __init__(self, counters: FrameCounters) -> None:
        self._counters = counters
        self._process_s: float | None = None  # of the whole process, at the last reading
        self._spent_s: dict[str, float] = {}  # by camera, likewise
        self._cores: dict[str, Cores] = {}

    def read(self, cameras: Mapping[str, tuple[int, Charged]], now_s: float) -> dict[str, float]:
        """Share out what was taken since the last call, about a second ago, among `cameras`: name: (row of
        the counters, who is told). Returns the cores that each takes."""
        before_s, self._process_s = self._process_s, time.process_time()
        spent_s = {name: self._spent(row) for name, (row, _) in cameras.items()}
        if before_s is not None:  # before, the process began: that is no camera's
            known_s = sum(s - self._spent_s.get(name, s) for name, s in spent_s.items())
            left_ns = max(0, int((self._process_s - before_s - known_s) * 1e9))
            parts_ns = share_out(left_ns, [1.0] * len(cameras))
            for (_, charged), part_ns in zip(cameras.values(), parts_ns, strict=True):
                charged.add_cpu(part_ns)
        self._spent_s = {name: self._spent(row) for name, (row, _) in cameras.items()}
        self._cores = {name: self._cores.get(name) or Cores() for name in cameras}
        return {name: cores.read(self._spent_s[name], now_s) for name, cores in self._cores.items()}

    def _spent(self, row: int) -> float:
        return self._counters.cpu_s(row)["decode"]
