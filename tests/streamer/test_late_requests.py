"""What a capture worker asks for too late: of a camera that has been taken from it, or after it was let go.

The test speaks on the bus under the name of a real worker, so that the moment is exact: a worker that is
still connecting sends the same messages whenever it gets that far.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.ipc.bus import Bus
from streamer.ipc.messages import AllocateRing, Hello, Message, RingAllocated, SourceState
from tests.daemon import Daemon
from tests.moving import camera, write_moving_clip
from tests.patience import patient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("redis_binary")]

WORKER = "capture-0"
ANSWER_LIMIT_S = 5.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moving_clip(tmp_path_factory.mktemp("clips") / "moving.mp4", 4.0)


@pytest.fixture
def daemon(short_dir: Path, clip: Path) -> Iterator[Daemon]:
    daemon = Daemon(short_dir, inference={"engine": "motion"})
    daemon.write_camera(camera("kept", clip, loop=True))
    yield daemon.start()
    daemon.kill()


def rings(daemon: Daemon) -> set[str]:
    """The cameras that have a ring in the daemon's shared memory."""
    names = [path.name for path in daemon.segments_dir.iterdir()]
    return {name.rsplit(".", 1)[0] for name in names if name.rpartition(".")[2].isdigit()}


def open_ring(name: str) -> AllocateRing:
    return AllocateRing(WORKER, name, 320, 180, 1)


def say_as_the_worker(daemon: Daemon, *messages: Message) -> None:
    with Bus(daemon.runtime_dir) as bus:
        client = bus.connect("supervisor", WORKER)
        for message in messages:
            assert client.send(message)
    time.sleep(0.3)  # there is no answer to wait for


def granted_to_the_worker(daemon: Daemon, *names: str) -> set[str]:
    """Ask for rings in this order, the last one to be had; return the cameras that got one."""
    granted: set[str] = set()
    with Bus(daemon.runtime_dir) as bus:
        client = bus.connect("supervisor", WORKER)
        for name in names:
            client.send(SourceState(name, "live", "", time.time_ns(), 320, 180))
            client.send(open_ring(name))
        deadline_s = time.monotonic() + patient(ANSWER_LIMIT_S)
        while names[-1] not in granted and time.monotonic() < deadline_s:
            for received in bus.poll(0.1):
                if isinstance(received.message, RingAllocated):
                    granted.add(received.message.camera)
    return granted


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + patient(ANSWER_LIMIT_S)
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {ANSWER_LIMIT_S} s for {what}"
        time.sleep(0.02)


def live(daemon: Daemon, name: str) -> None:
    daemon.wait_for(
        lambda s: any(c["name"] == name and c["frames"]["inferred"] for c in s["cameras"]), 20, name
    )


def test_a_ring_is_made_for_no_camera_that_was_removed_renamed_or_disabled(
    daemon: Daemon, clip: Path
) -> None:
    for name in ("gone", "old", "off"):
        daemon.write_camera(camera(name, clip, loop=True))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    for name in ("kept", "gone", "old", "off"):
        live(daemon, name)
    assert rings(daemon) == {"kept", "gone", "old", "off"}
    daemon.cli("camera", "remove", "gone")
    daemon.cli("camera", "rename", "old", "new")
    daemon.cli("camera", "disable", "off")
    live(daemon, "new")
    until(lambda: rings(daemon) == {"kept", "new"}, "the rings that nobody needs to go")
    assert granted_to_the_worker(daemon, "gone", "old", "off", "kept") == {"kept"}
    assert rings(daemon) == {"kept", "new"}


def enable(daemon: Daemon, clip: Path, enabled: bool) -> None:
    """By its file: a command takes a second to begin on a busy machine."""
    daemon.write_camera({**camera("kept", clip, loop=True), "enabled": enabled})
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)


def test_a_worker_that_is_let_go_gets_nothing_and_its_camera_comes_back_when_it_is_enabled_meanwhile(
    daemon: Daemon, clip: Path
) -> None:
    live(daemon, "kept")
    pid = daemon.worker(WORKER)["pid"]
    os.kill(pid, signal.SIGSTOP)  # told to go, it stays until it is continued
    enable(daemon, clip, False)
    until(lambda: bool(daemon.worker(WORKER)["state"] == "stopping"), "the worker to be told")
    say_as_the_worker(daemon, Hello(WORKER, pid), open_ring("kept"))
    enable(daemon, clip, True)
    say_as_the_worker(daemon, Hello(WORKER, pid), open_ring("kept"))
    there = rings(daemon)
    # A worker that stays is killed after KILL_AFTER_S, and the next one gets its ring.
    if daemon.worker(WORKER)["pid"] == pid:
        assert there == set()
        os.kill(pid, signal.SIGCONT)
    until(lambda: daemon.worker(WORKER)["pid"] not in (None, pid), "the next worker")
    until(lambda: rings(daemon) == {"kept"}, "the camera's ring")
    assert daemon.worker(WORKER)["restarts"] == 0
