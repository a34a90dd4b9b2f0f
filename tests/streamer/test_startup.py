"""What systemd hears of a start, on a socket such as its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streamer.daemon import systemd_notify
from streamer.daemon.process_manager import BEAT_LIMIT_S, WorkerProcess
from streamer.daemon.process_spec import WorkerSpec
from streamer.daemon.systemd_notify import Notifier, Startup
from streamer.daemon.topology import PROCESSES
from tests.daemon import Daemon

MORE_TIME = "EXTEND_TIMEOUT_USEC=30000000"


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Site:
    """A start with two workers that run and are not ready; `said()` is what systemd heard since."""

    def __init__(self, path: str, sock: socket.socket) -> None:
        self._sock = sock
        self.clock = Clock()
        self.beat_age_s = 0.5
        self.infer, self.deliver = self._process("infer-0", "infer"), self._process("deliver", "deliver")
        self.capture = self._process("capture-0", "capture")
        processes = {m.spec.name: m for m in (self.infer, self.deliver, self.capture)}
        manager: Any = SimpleNamespace(processes=processes, beat_age_s=lambda _process: self.beat_age_s)
        self.notifier = Notifier({"NOTIFY_SOCKET": path})
        self.startup = Startup(self.notifier, manager, self.clock)

    @staticmethod
    def _process(name: str, role: str) -> WorkerProcess:
        child: Any = SimpleNamespace(pid=1)
        return WorkerProcess(WorkerSpec(name, next(p for p in PROCESSES if p.role == role)), 0, child)

    def tick(self, after_s: float) -> list[str]:
        self.clock.now_s += after_s
        self.startup.tick(3)
        said: list[str] = []
        while True:
            try:
                said += self._sock.recv(4096).decode().splitlines()
            except BlockingIOError:
                return said


@pytest.fixture
def site(short_dir: Path) -> Iterator[Site]:
    path = f"{short_dir}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)
        found = Site(path, sock)
        yield found
        found.notifier.close()


def test_while_workers_get_ready_more_time_is_asked_for_and_then_ready_is_told_once(site: Site) -> None:
    assert MORE_TIME in site.tick(0)
    assert site.tick(1) == [], "not at every turn"
    for _ in range(60):
        site.deliver.ready_rev = 1
        assert MORE_TIME in site.tick(systemd_notify.EXTEND_EVERY_S)
    site.infer.ready_rev = 1  # a capture worker need not be
    assert "READY=1" in site.tick(1)
    site.infer.ready_rev = -1
    assert site.tick(60) == [], "a worker that is started again later is no start"


def test_a_start_is_not_extended_without_end(site: Site) -> None:
    site.clock.now_s = systemd_notify.MAX_START_S
    assert MORE_TIME in site.tick(0)
    assert site.tick(systemd_notify.EXTEND_EVERY_S) == []


@pytest.mark.parametrize("trouble", ["hangs", "is away", "keeps dying"])
def test_a_worker_that_makes_no_progress_gets_no_more_time(site: Site, trouble: str) -> None:
    if trouble == "hangs":
        site.beat_age_s = BEAT_LIMIT_S + 1
    elif trouble == "is away":
        site.infer.child = None
    else:
        site.infer.restarts = systemd_notify.MAX_RESTARTS
    assert site.tick(0) == []


@pytest.mark.integration
@pytest.mark.usefixtures("redis_binary")
def test_a_daemon_asks_for_more_time_until_it_is_ready(short_dir: Path) -> None:
    path = f"{short_dir}/notify"
    daemon = Daemon(
        short_dir, [{"name": "street", "url": "synthetic:street"}], inference={"engine": "motion"}
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(40)
        try:
            daemon.start(wait=False, env={"NOTIFY_SOCKET": path})
            said: list[str] = []
            while "READY=1" not in said:
                said += sock.recv(4096).decode().splitlines()
            assert MORE_TIME in said
        finally:
            sock.settimeout(None)
            daemon.kill()
