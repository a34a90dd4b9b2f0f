"""Threads that a library has made real-time ones are made ordinary again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

TASKS = Path("/proc/self/task")


def end_real_time() -> None:
    """Let all threads of this process share the processor with others again.

    SVT-AV1, opened by root, makes its threads and the one that opens it real-time ones of the highest
    priority (`SCHED_FIFO`, 99), which each thread that is started later inherits. On two cores such threads
    that wait for each other by yielding leave nothing to the one that they wait for: tests stood still.
    """
    if not hasattr(os, "sched_setscheduler"):
        return  # not on this system
    for task in TASKS.iterdir():
        with suppress(OSError):  # it has just ended
            thread = int(task.name)
            if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
