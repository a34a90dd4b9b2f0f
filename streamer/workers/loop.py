"""The life of a worker process: signals, heartbeat, and errors that become exit codes.

A worker is one object with open, step and close; run() does the rest. A step returns within a fraction of
a second, also when there is nothing to do, since the heartbeat is written between steps: a worker that
hangs stops beating, and the supervisor replaces it.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from streamer.errors import Exit, StreamerError

log = logging.getLogger(__name__)


class Worker(Protocol):
    """What a process does. `stopping` is set by a signal; a worker may also set it itself."""

    stopping: bool

    def open(self) -> None: ...

    def step(self) -> None: ...

    def close(self) -> None:
        """Finish what is in hand and write it down; called once, after the last step or an error, also one
        of open() that left it half done."""


def run(worker: Worker, beat: Callable[[], None]) -> Exit:
    """Run `worker` until it stops; `beat` is called before open and after every step."""

    def stop(_signum: int, _frame: FrameType | None) -> None:
        worker.stopping = True

    code = Exit.OK
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the supervisor decides
    try:
        beat()
        worker.open()
        beat()
        while not worker.stopping:
            worker.step()
            beat()
    except StreamerError as error:
        log.error("%s", error)
        code = error.exit_code
    finally:
        closed = _close(worker)
        code = code or closed
    return code


def _close(worker: Worker) -> Exit:
    """What went wrong before is the cause and keeps the exit code; an error here is told all the same."""
    try:
        worker.close()
    except StreamerError as error:
        log.error("%s", error)
        return error.exit_code
    return Exit.OK
