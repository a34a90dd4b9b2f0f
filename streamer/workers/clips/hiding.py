"""Hides people in recorded clips, one after the other, each in a child process of its own.

A detector takes memory and a processor's time: the child is nice to everybody, and gone afterwards. It is
told what to do on its standard input and ends when that is closed, so that it outlives nobody.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from streamer.errors import StorageError

PROGRAM = "streamer.clips.hide_in_clip"
MAX_WAITING = 16  # clips; one more is refused, so that what shows people does not pile up on the disk
MAX_HIDING_S = 1800.0
MAX_SAID = 300  # characters of why it failed


class Task(NamedTuple):
    """`source` is hidden into `target`; `settings` is what hide_in_clip.py reads besides."""

    clip: str
    source: Path
    target: Path
    settings: dict[str, Any]


class Hiding:
    def __init__(self) -> None:
        self._waiting: deque[Task] = deque()
        self._child: subprocess.Popen[bytes] | None = None
        self._task: Task | None = None
        self._end_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + (self._task is not None)

    def put(self, task: Task) -> None:
        """Raises StorageError where too many wait; the source is removed then."""
        if len(self) >= MAX_WAITING:
            task.source.unlink(missing_ok=True)
            raise StorageError(
                f"{MAX_WAITING} clips wait for people to be hidden in them: this box is too slow"
            )
        self._waiting.append(task)

    def step(self) -> tuple[Task, str] | None:
        """A task that has ended, and why it failed or ""; its source is gone. None: there is none."""
        if self._child is None:
            self._begin()
            return None
        if self._child.poll() is None and time.monotonic() < self._end_s:
            return None
        return self._ended()

    def _begin(self) -> None:
        if not self._waiting:
            return
        self._task = task = self._waiting.popleft()
        command = [sys.executable, "-m", PROGRAM]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, stderr=subprocess.PIPE)
        assert self._child.stdin is not None
        asked = {**task.settings, "source": str(task.source), "target": str(task.target)}
        with suppress(BrokenPipeError):  # it has died already, which its exit says
            self._child.stdin.write(json.dumps(asked).encode() + b"\n")
            self._child.stdin.flush()
        self._end_s = time.monotonic() + MAX_HIDING_S

    def _ended(self) -> tuple[Task, str]:
        child, task = self._child, self._task
        assert child is not None
        assert task is not None
        why = self._why(child)
        self._child = self._task = None
        task.source.unlink(missing_ok=True)
        if why:
            task.target.unlink(missing_ok=True)
        return task, why

    def _why(self, child: subprocess.Popen[bytes]) -> str:
        late = child.poll() is None
        child.kill()
        _, said = child.communicate()
        if late:
            return f"people could not be hidden within {MAX_HIDING_S:.0f} s"
        if child.returncode == 0:
            return ""
        last = (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        return f"people could not be hidden (exit {child.returncode}): {last[:MAX_SAID]}"

    def stop(self) -> None:
        """What waits is not made; no picture that shows people stays."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
        for task in [*self._waiting, *([self._task] if self._task is not None else [])]:
            task.source.unlink(missing_ok=True)
        self._waiting.clear()
        self._child = self._task = None
