"""The processor cores that the daemon may use, and how much of them is busy."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
SAMPLE_S = 1.0


@dataclass(frozen=True, slots=True)
class BoxUse:
    """In cores, as the mean of a short time. `streamer`: all processes of the daemon; `others`: everybody
    else on the cores that it may use."""

    cores: float
    streamer: float
    others: float


def cores_of_box(cgroups: Path = CGROUPS, of: Path = Path("/proc/self/cgroup")) -> float:
    """How many cores this process may use: by its affinity, and by the limit of its control group (v2)."""
    cores = float(len(os.sched_getaffinity(0)))
    with suppress(OSError, ValueError):
        below = next(line[3:] for line in of.read_text().splitlines() if line.startswith("0::")).lstrip("/")
        folder = cgroups / below
        for each in (folder, *folder.parents):
            if not each.is_relative_to(cgroups):
                break
            cores = min(cores, _limit(each / "cpu.max"))
    return cores


def _limit(file: Path) -> float:
    """Cores by a group's `cpu.max`; infinite where it has none."""
    try:
        quota, period = file.read_text().split()
        return float("inf") if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return float("inf")


def measure_box(pids: Collection[int], sample_s: float = SAMPLE_S) -> BoxUse:
    """Watch the box for `sample_s`; `pids` are the daemon's processes. Those that this user may not see, or
    that have ended, are counted with the others.

    Where a control group limits the daemon, what others do beside it takes nothing of its limit.
    """
    cores, before_s, busy_before_s, own_before_s = cores_of_box(), time.monotonic(), _busy_s(), _spent_s(pids)
    time.sleep(sample_s)
    took_s = max(time.monotonic() - before_s, 1e-3)
    own = sum(max(0.0, s - own_before_s.get(pid, s)) for pid, s in _spent_s(pids).items()) / took_s
    limited = cores < len(os.sched_getaffinity(0))
    others = 0.0 if limited else max(0.0, (_busy_s() - busy_before_s) / took_s - own)
    return BoxUse(cores, own, others)


def _busy_s() -> float:
    """CPU seconds that the cores which this process may use have worked."""
    every = psutil.cpu_times(percpu=True)
    mine = [every[i] for i in os.sched_getaffinity(0) if i < len(every)]
    return sum(sum(each) - each.idle - getattr(each, "iowait", 0.0) - each.guest for each in mine)


def _spent_s(pids: Collection[int]) -> dict[int, float]:
    spent = {}
    for pid in pids:
        with suppress(psutil.Error, OSError):
            times = psutil.Process(pid).cpu_times()
            spent[pid] = times.user + times.system
    return spent
