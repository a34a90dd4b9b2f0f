"""What is looked at every two seconds of a soak: frames that are nowhere, memory, descriptors, losses."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any

import psutil

from streamer.errors import ControlError, RunningError
from tests.faults.soak.box import Box, Status
from tests.faults.soak.slope import Growth
from tests.frame_balance import unaccounted

EVERY_S = 2.0
LOSSES = ("missing", "conflicts", "refused", "marks_refused")  # of what delivery has taken


class Watch:
    """sample() as often as one likes: it looks when it is time. `unbalanced` are rows that did not add up
    two times in a row, `losses` what workers say they lost."""

    def __init__(self, box: Box, warm_up_s: float) -> None:
        self._box = box
        self._next_s = 0.0
        self._lives: dict[tuple[int, str], dict[str, Any]] = {}  # the last row of a daemon's camera
        # One that was killed as it counted is a frame off until its successor is there: ipc/counters.py.
        self._suspects: set[tuple[int, str]] = set()
        self.unbalanced: list[str] = []
        self.losses: dict[str, int] = defaultdict(int)
        self.memory, self.descriptors = Growth(warm_up_s), Growth(warm_up_s)
        self.samples = 0
        # of their memory: where streams are kept whole, so that each event can be looked for, it has to grow
        self.not_judged = () if box.trims else ("redis",)

    def sample(self) -> Status | None:
        """The status, if the daemon answers; it is looked at when EVERY_S have passed."""
        try:
            status = self._box.daemon.status()
        except (ControlError, RunningError):
            return None
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + EVERY_S
            self._look(status)
        return status

    def _look(self, status: Status) -> None:
        self.samples += 1
        for camera in status["cameras"]:
            self._balance(status["pid"], camera)
        for worker in status["workers"]:
            self._process(worker["role"], worker["pid"])
            self._count_losses(worker["status"])
        self._process("supervisor", status["pid"])

    def _balance(self, pid: int, camera: dict[str, Any]) -> None:
        frames = camera["frames"]
        self._lives[pid, camera["name"]] = frames
        if not unaccounted(frames) and frames["in_flight"] >= 0:
            self._suspects.discard((pid, camera["name"]))
        elif (pid, camera["name"]) in self._suspects:
            self.unbalanced.append(f"{camera['name']}: {frames}")
        else:
            self._suspects.add((pid, camera["name"]))

    def _process(self, role: str, pid: int | None) -> None:
        """Of memory what is its own: rings are shared, and files are the kernel's to drop."""
        try:
            process = psutil.Process(pid) if pid else None
            if process is None:
                return
            memory, descriptors = process.memory_info(), process.num_fds()
        except psutil.Error:
            return  # it has just been killed
        now_s = time.monotonic()
        self.memory.add(role, process.pid, now_s, (memory.rss - memory.shared) / 1e6)
        self.descriptors.add(role, process.pid, now_s, descriptors)

    def _count_losses(self, status: dict[str, Any]) -> None:
        taken = status.get("taken", {})
        found = {"events_lost": status.get("events_lost", 0), **{key: taken.get(key, 0) for key in LOSSES}}
        for key, count in found.items():
            self.losses[key] = max(self.losses[key], count)

    def frames(self) -> dict[str, Counter[str]]:
        """By camera, over all daemons: decoded, inferred, gated, in flight, dropped by reason."""
        total: dict[str, Counter[str]] = defaultdict(Counter)
        for (_, name), row in self._lives.items():
            total[name].update({key: row[key] for key in ("decoded", "inferred", "gated", "in_flight")})
            total[name].update({f"dropped {reason}": n for reason, n in row["dropped"].items()})
        return total
