"""The start as systemd sees it: it waits while models are compiled, and is told once when all is up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from streamer.daemon.process_manager import BEAT_LIMIT_S, ProcessManager
from streamer.daemon.systemd_notify import Notifier

log = logging.getLogger(__name__)

EXTEND_S = 30.0  # asked for each time; TimeoutStartSec of the unit holds when nothing more is asked for
EVERY_S = 5.0
MOST_S = 1800.0  # a start that takes longer has gone wrong, whatever its workers say
MOST_RESTARTS = 3  # of a worker: one that keeps dying makes no progress


class Startup:
    """Call tick() about once a second, until the end: it does nothing once the start is over."""

    def __init__(
        self, notifier: Notifier, manager: ProcessManager, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._notifier = notifier
        self._manager = manager
        self._clock = clock
        self._began_s = clock()
        self._next_s = self._began_s
        self._over = False

    def tick(self, cameras: int) -> None:
        if self._over:
            return
        # Everything that does not hang on a camera: one that is late is no reason to start again.
        serving = [m for m in self._manager.processes.values() if m.spec.role in ("infer", "deliver")]
        waiting = [m for m in serving if m.ready_rev < 0]
        if not waiting:
            self._over = True
            log.info("ready")
            self._notifier.ready(f"{cameras} cameras")
            return
        now_s = self._clock()
        if now_s < self._next_s or now_s - self._began_s > MOST_S:
            return
        alive = (m.child is not None and self._manager.beat_age_s(m) < BEAT_LIMIT_S for m in waiting)
        if all(alive) and all(m.restarts < MOST_RESTARTS for m in waiting):
            self._next_s = now_s + EVERY_S
            self._notifier.extend_start(EXTEND_S)
            names = ", ".join(m.spec.name for m in waiting)
            self._notifier.status(f"starting: {names} gets ready (a model may be compiled)")
