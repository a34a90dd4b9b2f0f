"""Fair comparison: two things in turn, round by round, by medians; CPU time and memory of process trees."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

A = TypeVar("A")
B = TypeVar("B")


def in_turn(first: Callable[[], A], second: Callable[[], B], rounds: int) -> list[tuple[A, B]]:
    """(first's result, second's) of each round. Every other round starts with the second.

    So neither always runs on the warmer chip, and a drift of the machine falls on both.
    """
    found: list[tuple[A, B]] = []
    for number in range(rounds):
        if number % 2 == 0:
            a, b = first(), second()
        else:
            b = second()
            a = first()
        found.append((a, b))
    return found


def median_ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """The median of first/second over the rounds."""
    return statistics.median(a / b for a, b in pairs)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank). Raises ValueError for none."""
    if not values:
        raise ValueError("percentile of no values")
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


def process_tree(pid: int) -> list[psutil.Process]:
    """`pid` and all its descendants that are alive now; [] when it is gone."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes and all below them, their dead and reaped children included.

    The kernel counts in ticks of 10 ms a process: measure over seconds.
    """
    total = 0.0
    for pid in pids:
        for process in process_tree(pid):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size of these processes and all below them: a page that n share counts 1/n for each.

    Files of /dev/shm that are mapped are part of it (/proc/PID/smaps_rollup).
    """
    total = 0
    for pid in pids:
        for process in process_tree(pid):
            with suppress(FileNotFoundError, ProcessLookupError):
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) << 10
    return total
