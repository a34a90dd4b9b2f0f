"""Case 34, of what there is: the control socket of a running daemon under a request without end, JSON too
deep to read, clients that never read, and thousands of connections: others are served, and memory stays."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamer.api.control_socket import MAX_CLIENTS, MAX_REQUEST
from streamer.errors import CapacityError, ControlError, RunningError
from tests.daemon import Daemon
from tests.moving import camera
from tests.patience import patient

pytestmark = pytest.mark.integration
FLOOD_BYTES = 256 << 20
CONNECTIONS = 3000
MAX_MORE_BYTES = 24 << 20  # of the supervisor's memory: its clients' places, each full


@pytest.fixture
def running(daemon: Daemon, moving_clip: Path) -> Daemon:
    daemon.write_camera(camera("gate", moving_clip, loop=True))
    return daemon.start()


def connect(daemon: Daemon) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(patient(10))
    try:
        client.connect(str(daemon.runtime_dir / "control.sock"))
    except OSError:
        client.close()
        raise
    return client


def memory(daemon: Daemon) -> int:
    assert daemon.process is not None
    return int(psutil.Process(daemon.process.pid).memory_info().rss)


def serves(daemon: Daemon) -> bool:
    try:
        return bool(daemon.status()["cameras"])
    except (ControlError, RunningError, CapacityError):
        return False


def goes_on(daemon: Daemon) -> None:
    before = daemon.camera("gate")["frames"]["inferred"]
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > before + 5, 20, "the camera to go on")


def test_a_request_without_end_is_refused_and_takes_no_memory(running: Daemon) -> None:
    before = memory(running)
    with connect(running) as client, contextlib.suppress(OSError):
        for _ in range(FLOOD_BYTES >> 20):
            client.sendall(b"x" * (1 << 20))
        raise AssertionError("it was taken to its end")
    assert serves(running)
    assert memory(running) - before < MAX_MORE_BYTES
    goes_on(running)
    assert running.stop() == 0


def test_json_that_is_too_deep_is_a_refusal(running: Daemon) -> None:
    for opening in ("[", '{"op":', '{"op":"status","args":{"a":['):
        with connect(running) as client:
            client.sendall((opening * ((MAX_REQUEST - 1024) // len(opening))).encode() + b"\n")
            answer = json.loads(client.recv(4096))
        assert answer["ok"] is False
        assert serves(running)
    assert "Traceback" not in running.log()
    goes_on(running)
    assert running.stop() == 0


@contextlib.contextmanager
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CONNECTIONS + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clients_that_never_read_and_thousands_that_come_cost_a_place_each_and_no_more(
    running: Daemon,
) -> None:
    before = memory(running)
    with contextlib.ExitStack() as stack:
        stack.enter_context(many_descriptors())
        held = []
        for _ in range(MAX_CLIENTS - 2):  # two places are left for others
            client = stack.enter_context(connect(running))
            client.setblocking(False)
            held.append(client)
        for client in held[::2]:
            ask_without_reading(client)
        assert serves(running)
        goes_on(running)
        for _ in range(CONNECTIONS):
            with contextlib.suppress(OSError), connect(running) as passing:  # or too many wait already
                passing.sendall(b'{"op"')
        running.wait_for(lambda s: bool(s["cameras"]), 20, "an answer among them")
        assert memory(running) - before < MAX_MORE_BYTES
    running.wait_for(lambda s: bool(s["cameras"]), 20, "an answer after them")
    assert running.worker("capture-0")["restarts"] == 0
    assert running.stop() == 0


def ask_without_reading(client: socket.socket) -> None:
    line = b'{"op": "status"}\n'
    with contextlib.suppress(BlockingIOError):
        for _ in range(100_000):
            client.send(line * 100)
