"""Case 6: systemd is told READY when workers and models are up, whatever cameras do; a supervisor that hangs
tells it nothing more, so that its watchdog fires."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.moving import camera
from tests.patience import patient
from tests.talking_server import talking

pytestmark = pytest.mark.integration
SILENCE_S = 2.0  # many turns of the daemon's loop, and a small part of the unit's WatchdogSec


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def hear(self, timeout_s: float) -> str | None:
        self._socket.settimeout(timeout_s)
        try:
            word = self._socket.recv(4096).decode()
        except TimeoutError:
            return None
        self.said.append(word)
        return word

    def hear_until(self, start: str, limit_s: float) -> None:
        """AssertionError when it is not said; every wait is for the next word, which comes in a turn."""
        for _ in range(10_000):
            word = self.hear(patient(limit_s))
            assert word is not None, f"nothing is said any more: {self.said[-3:]}"
            if word.startswith(start):
                return
        raise AssertionError(f"{start} is not said: {self.said[-3:]}")

    def close(self) -> None:
        self._socket.close()


def say_nothing(_connection: socket.socket, ending: threading.Event) -> None:
    ending.wait()


@pytest.fixture
def systemd(short_dir: Path) -> Iterator[Systemd]:
    systemd = Systemd(short_dir / "notify")
    yield systemd
    systemd.close()


def test_a_camera_that_never_answers_holds_up_no_start(
    daemon: Daemon, systemd: Systemd, moving_clip: Path
) -> None:
    with talking(say_nothing) as silent:
        daemon.write_camera({"name": "late", "url": silent.url, "source": {"open_timeout_s": 3600}})
        daemon.write_camera(camera("gate", moving_clip, loop=True))
        daemon.start(wait=False, env={"NOTIFY_SOCKET": str(systemd.path)})
        systemd.hear_until("READY=1", 40)
        workers = {w["name"]: w["state"] for w in daemon.status()["workers"]}
        assert {workers[name] for name in ("deliver", "infer-0")} == {"ready"}, "READY came too early"
        assert daemon.camera("late")["state"] == "connecting"
        systemd.hear_until("WATCHDOG=1", 5)
        assert daemon.stop() == 0


def test_ready_waits_for_the_model(daemon: Daemon, systemd: Systemd, moving_clip: Path) -> None:
    """An inference worker that is stopped while it starts is not up, and so is the service."""
    daemon.write_camera(camera("gate", moving_clip, loop=True))
    daemon.start(wait=False, env={"NOTIFY_SOCKET": str(systemd.path)})
    status = daemon.wait_for(lambda s: pid_of(s, "infer-0"), 20, "the worker's process")
    os.kill(int(pid_of(status, "infer-0") or 0), signal.SIGSTOP)
    assert state_of(daemon.status(), "infer-0") == "starting", "it was up before it could be stopped"
    daemon.wait_for(lambda s: state_of(s, "deliver") == "ready", 30, "the delivery worker")
    for _ in range(20):
        assert systemd.hear(patient(5)) is not None
    assert not any(word.startswith("READY=1") for word in systemd.said)
    os.kill(int(pid_of(daemon.status(), "infer-0") or 0), signal.SIGCONT)
    systemd.hear_until("READY=1", 40)
    assert daemon.stop() == 0


def pid_of(status: dict[str, object], worker: str) -> int | None:
    return next((w["pid"] for w in status["workers"] if w["name"] == worker), None)  # type: ignore[attr-defined]


def state_of(status: dict[str, object], worker: str) -> str | None:
    return next((w["state"] for w in status["workers"] if w["name"] == worker), None)  # type: ignore[attr-defined]


def test_a_supervisor_that_hangs_feeds_the_watchdog_no_more(
    daemon: Daemon, systemd: Systemd, moving_clip: Path
) -> None:
    daemon.write_camera(camera("gate", moving_clip, loop=True))
    daemon.start(wait=False, env={"NOTIFY_SOCKET": str(systemd.path)})
    systemd.hear_until("READY=1", 40)
    systemd.hear_until("WATCHDOG=1", 5)
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGSTOP)
    while systemd.hear(SILENCE_S / 4) is not None:
        continue  # what had been said before
    assert systemd.hear(SILENCE_S) is None
    os.kill(daemon.process.pid, signal.SIGCONT)
    systemd.hear_until("WATCHDOG=1", 5)
    assert daemon.stop() == 0
    while systemd.hear(0.2) is not None:
        continue
    assert any(word.startswith("STOPPING=1") for word in systemd.said)
