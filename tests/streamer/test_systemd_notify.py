"""sd_notify as systemd hears it: a real datagram socket, by path and in the abstract namespace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.daemon.systemd_notify import Notifier
from streamer.errors import ConfigError


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, short_dir: Path) -> Iterator[tuple[str, socket.socket]]:
    """(NOTIFY_SOCKET, the socket systemd would hold)."""
    own = f"{short_dir}/notify"
    name, address = (own, own) if request.param == "path" else (f"@{own}", f"\0{own}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(5)
        yield name, sock


def test_ready_tells_the_main_process_and_a_status(listener: tuple[str, socket.socket]) -> None:
    name, sock = listener
    with Notifier({"NOTIFY_SOCKET": name}) as notifier:
        notifier.ready("3 cameras, 1 inference worker")
    lines = sock.recv(4096).decode().splitlines()
    assert lines == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=3 cameras, 1 inference worker"]


def test_each_message_is_one_datagram_in_order(listener: tuple[str, socket.socket]) -> None:
    name, sock = listener
    with Notifier({"NOTIFY_SOCKET": name}) as notifier:
        notifier.alive()
        notifier.status("2 of 3 cameras live")
        notifier.extend_start(20)
        notifier.stopping("draining")
    assert [sock.recv(4096).decode() for _ in range(4)] == [
        "WATCHDOG=1",
        "STATUS=2 of 3 cameras live",
        "EXTEND_TIMEOUT_USEC=20000000",
        "STOPPING=1\nSTATUS=draining",
    ]


def test_a_line_break_in_a_status_cannot_forge_another_field(listener: tuple[str, socket.socket]) -> None:
    name, sock = listener
    with Notifier({"NOTIFY_SOCKET": name}) as notifier:
        notifier.status("camera says:\nWATCHDOG=trigger")
    assert sock.recv(4096) == b"STATUS=camera says: WATCHDOG=trigger"


def test_without_systemd_every_call_does_nothing() -> None:
    with Notifier({}) as notifier:
        notifier.ready()
        notifier.alive()
        notifier.stopping()
        assert notifier.unsent == 0


def test_a_systemd_that_went_away_is_counted_and_not_fatal(short_dir: Path) -> None:
    with Notifier({"NOTIFY_SOCKET": f"{short_dir}/gone"}) as notifier:
        notifier.alive()
        notifier.alive()
        assert notifier.unsent == 2


def test_a_systemd_that_does_not_read_never_blocks_the_daemon(short_dir: Path) -> None:
    path = str(short_dir / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        Notifier({"NOTIFY_SOCKET": path}) as notifier,
    ):
        sock.bind(path)
        for _ in range(5000):  # far more than a datagram queue holds
            notifier.alive()
        assert notifier.unsent > 0


def test_an_impossible_environment_is_refused() -> None:
    with pytest.raises(ConfigError):
        Notifier({"NOTIFY_SOCKET": "relative"})


def test_a_process_names_itself_as_the_main_one(short_dir: Path) -> None:
    path = str(short_dir / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.settimeout(10)
        code = "from streamer.daemon.systemd_notify import Notifier\nwith Notifier() as n: n.ready()"
        with subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "NOTIFY_SOCKET": path}
        ) as child:
            said = sock.recv(4096).decode()
    assert said == f"READY=1\nMAINPID={child.pid}"
