"""Whose the CPU time of an inference process is.

Two clocks are read beside a batch: this thread's when its frames are handed to the detector and when what was
found in them is followed. Once a second the rest of the process's time is shared out: that of other threads,
which is the detector's, by how long the batches of each camera were in it, and what this thread spent between
batches by the frames.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field

from streamer.ipc.counters import Block
from streamer.ipc.cpu_time import Cores, share_out


@dataclass(slots=True)
class CameraCost:
    """What a camera has cost since it was last put down in its counters, in ns of CPU time, and how much of
    the detector it had."""

    inference_ns: int = 0
    rest_ns: int = 0
    detector_s: float = 0.0  # of its batches; a batch of several counts for each by its part
    frames: int = 0
    cores: dict[str, Cores] = field(default_factory=lambda: {"inference": Cores(), "rest": Cores()})
    shown: dict[str, float] = field(default_factory=lambda: {"inference": 0.0, "rest": 0.0})

    def put_down(self, block: Block, now_s: float) -> None:
        block.add(cpu_inference=self.inference_ns, cpu_rest=self.rest_ns)
        self.inference_ns = self.rest_ns = self.frames = 0
        self.detector_s = 0.0
        for part, cores in self.cores.items():
            self.shown[part] = round(cores.read(block.get(f"cpu_{part}") / 1e9, now_s), 3)


class CpuShare:
    """For one process, whose main thread is the one that calls."""

    def __init__(self) -> None:
        self._process_ns = self._thread_ns = 0
        self._began = False

    def read(self, cameras: Collection[tuple[CameraCost, Block]], now_s: float) -> None:
        """Share out what was taken since the last call, about a second ago, and put it down."""
        process_ns, thread_ns = time.process_time_ns(), time.thread_time_ns()
        own_ns = thread_ns - self._thread_ns
        others_ns = process_ns - self._process_ns - own_ns
        self._process_ns, self._thread_ns = process_ns, thread_ns
        if self._began:  # before, the process began: that is no camera's
            self._share([cost for cost, _ in cameras], own_ns, others_ns)
        self._began = True
        for cost, block in cameras:
            cost.put_down(block, now_s)

    @staticmethod
    def _share(costs: list[CameraCost], own_ns: int, others_ns: int) -> None:
        known_ns = sum(cost.inference_ns + cost.rest_ns for cost in costs)
        rest_ns = share_out(max(0, own_ns - known_ns), [float(cost.frames) for cost in costs])
        for cost, part_ns in zip(costs, rest_ns, strict=True):
            cost.rest_ns += part_ns
        if not any(cost.detector_s for cost in costs):
            return  # other threads load and compile: no frame has cost that
        found_ns = share_out(max(0, others_ns), [cost.detector_s for cost in costs])
        for cost, part_ns in zip(costs, found_ns, strict=True):
            cost.inference_ns += part_ns
