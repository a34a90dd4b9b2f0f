"""Case 23: servers that accept and say nothing, dribble, or send one in circles: each step has its
deadline, the camera's state says so, and its neighbours in the same process go on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import Daemon
from tests.moving import camera
from tests.talking_server import Talking, answer_until_play, talking

pytestmark = pytest.mark.integration
OPEN_S, READ_S = 1.0, 1.0
MAX_THREADS_MORE = 3  # of a camera: its own, and one opening that was left to its deadline, and the next


def say_nothing(_connection: socket.socket, ending: threading.Event) -> None:
    ending.wait()


def dribble(connection: socket.socket, ending: threading.Event) -> None:
    answer = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n" + b"X-Slow: yes\r\n" * 100
    for byte in answer:
        connection.send(bytes([byte]))
        if ending.wait(0.3):
            return


def play_silence(connection: socket.socket, ending: threading.Event) -> None:
    if answer_until_play(connection):
        ending.wait()


def send_in_circles(connection: socket.socket, ending: threading.Event) -> None:
    port = connection.getsockname()[1]
    while not ending.is_set() and (request := connection.recv(4096)):
        number = request.split(b"CSeq: ")[1].split(b"\r\n")[0].decode()
        where = f"Location: rtsp://127.0.0.1:{port}/live"
        connection.sendall(f"RTSP/1.0 302 Moved\r\nCSeq: {number}\r\n{where}\r\n\r\n".encode())


def row(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in status["cameras"] if c["name"] == name)


def threads_of(daemon: Daemon, worker: str) -> int:
    return len(list(Path(f"/proc/{daemon.worker(worker)['pid']}/task").iterdir()))


def test_a_server_that_says_nothing_dribbles_or_sends_in_circles_costs_its_own_camera_alone(
    daemon: Daemon, moving_clip: Path
) -> None:
    talks = {"silent": say_nothing, "slow": dribble, "still": play_silence, "circle": send_in_circles}
    settings = daemon.config_dir / "streamer.yaml"
    settings.write_text(settings.read_text() + "capture: {cameras_per_worker: 5}\n")
    with contextlib.ExitStack() as stack:
        servers: dict[str, Talking] = {n: stack.enter_context(talking(talk)) for n, talk in talks.items()}
        daemon.write_camera(camera("gate", moving_clip, loop=True))
        daemon.start()
        daemon.wait_for(lambda s: row(s, "gate")["frames"]["inferred"] > 10, 30, "the good camera")
        before = row(daemon.status(), "gate")
        threads = threads_of(daemon, before["worker"])
        for name, server in servers.items():
            daemon.write_camera(
                {
                    "name": name,
                    "url": server.url,
                    "source": {"open_timeout_s": OPEN_S, "read_timeout_s": READ_S},
                }
            )
        assert daemon.process is not None
        os.kill(daemon.process.pid, signal.SIGHUP)
        # Each is given up and tried again: a step without a deadline would be the only one for ever.
        daemon.wait_for(
            lambda _: all(len(s.attempts_s) >= 3 for s in servers.values()), 40, "three tries each"
        )
        status = daemon.wait_for(
            lambda s: all(row(s, n)["state"] in ("stalled", "unreachable") for n in talks), 30, "their states"
        )
        for name in talks:
            assert "next try in" in row(status, name)["detail"], row(status, name)
            assert row(status, name)["worker"] == before["worker"]
        daemon.wait_for(
            lambda s: row(s, "gate")["frames"]["inferred"] > before["frames"]["inferred"] + 25,
            20,
            "the good one",
        )
        after = row(daemon.status(), "gate")
        assert daemon.openings("gate") == 1
        assert daemon.worker(after["worker"])["restarts"] == 0
        assert threads_of(daemon, after["worker"]) <= threads + MAX_THREADS_MORE * len(talks)
        assert daemon.stop() == 0
