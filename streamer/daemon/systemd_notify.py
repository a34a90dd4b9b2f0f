"""What systemd wants to hear from a service: sd_notify(3) over NOTIFY_SOCKET, in plain Python.

Outside systemd (no NOTIFY_SOCKET) every call does nothing, so the daemon calls them always. A message that
systemd does not take is counted, never raised: a daemon must not die because its supervisor is restarting.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from streamer.daemon.process_manager import BEAT_LIMIT_S, ProcessManager
from streamer.errors import ConfigError

log = logging.getLogger(__name__)

EXTEND_S = 30.0  # asked for each time; TimeoutStartSec of the unit holds when nothing more is asked for
EXTEND_EVERY_S = 5.0
MAX_START_S = 1800.0  # a start that takes longer has gone wrong, whatever its workers say
MAX_RESTARTS = 3  # of a worker: one that keeps dying makes no progress


class Notifier:
    """Sends READY=1, WATCHDOG=1 and their like to NOTIFY_SOCKET, if there is one."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Raise ConfigError when NOTIFY_SOCKET is set to something that cannot be."""
        env = os.environ if environ is None else environ
        self._address = _address(env.get("NOTIFY_SOCKET", ""))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self.unsent = 0  # messages that systemd did not take

    def ready(self, status: str = "") -> None:
        """All workers and models are up; systemd starts what waits for this unit."""
        self._send(READY="1", MAINPID=str(os.getpid()), **({"STATUS": status} if status else {}))

    def alive(self) -> None:
        """Feed the watchdog; call it from the loop whose death it is to notice, never from a timer thread. A
        turn of the daemon's loop is a small part of what the unit allows (WatchdogSec).
        """
        self._send(WATCHDOG="1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(STATUS=text)

    def stopping(self, status: str = "") -> None:
        self._send(STOPPING="1", **({"STATUS": status} if status else {}))

    def extend_start(self, seconds: float) -> None:
        """A slow start (a model is compiled): systemd waits this much longer, counted from now."""
        self._send(EXTEND_TIMEOUT_USEC=str(int(seconds * 1e6)))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Notifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, **fields: str) -> None:
        if self._socket is None:
            return
        lines = (f"{key}={' '.join(value.split())}" for key, value in fields.items())
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            self.unsent += 1


def _address(path: str) -> str:
    """The socket address that `path` means; '@' starts an abstract one."""
    if not path:
        return ""
    if path[0] not in "/@":
        raise ConfigError(f"NOTIFY_SOCKET={path!r} is neither a path nor an abstract socket: unset it")
    return "\0" + path[1:] if path[0] == "@" else path


class Startup:
    """The start as systemd sees it: it waits while models are compiled, and is told once when all is up.

    Call tick() about once a second, until the end: it does nothing once the start is over.
    """

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
        awaited = [p for p in self._manager.processes.values() if p.spec.process.awaited]
        waiting = [p for p in awaited if p.ready_rev < 0]
        if not waiting:
            self._over = True
            log.info("ready")
            self._notifier.ready(f"{cameras} cameras")
            return
        now_s = self._clock()
        if now_s < self._next_s or now_s - self._began_s > MAX_START_S:
            return
        alive = (p.child is not None and self._manager.beat_age_s(p) < BEAT_LIMIT_S for p in waiting)
        if all(alive) and all(p.restarts < MAX_RESTARTS for p in waiting):
            self._next_s = now_s + EXTEND_EVERY_S
            self._notifier.extend_start(EXTEND_S)
            names = ", ".join(p.spec.name for p in waiting)
            self._notifier.status(f"starting: {names} gets ready (a model may be compiled)")
