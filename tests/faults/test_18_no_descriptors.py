"""Case 18: a process has no file descriptor or thread left. What it cannot do is said with what to raise, the
cameras that run go on, and what could not be done is done when there is room again.

The limit is lowered on the running process, prlimit(2), or on its control group.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import cgroups
from tests.daemon import Daemon
from tests.moving import camera

pytestmark = pytest.mark.integration


@pytest.fixture
def running(daemon: Daemon, moving_clip: Path) -> Daemon:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 40, "camera a")
    return daemon


@contextmanager
def descriptors(pid: int, spare: int) -> Iterator[None]:
    """The process may open so many more, and as many as before at the end."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    there = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = (number for number in range(max(there) + 2 + spare) if number not in there)
    limit = [next(free) for _ in range(spare + 1)][-1]  # the number that would be one too many
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def add_b(daemon: Daemon, clip: Path) -> None:
    daemon.cli("camera", "add", "b", str(clip), "--loop", "--no-probe")


def wait_until_b_says(daemon: Daemon, text: str) -> None:
    daemon.wait_for(lambda s: text in json.dumps(s["cameras"][1]), 20, f"camera b to say {text!r}")


def wait_for_frames(daemon: Daemon, index: int, more: int) -> None:
    before = daemon.status()["cameras"][index]["frames"]["inferred"]
    daemon.wait_for(
        lambda s: s["cameras"][index]["frames"]["inferred"] > before + more, 30, f"frames of camera {index}"
    )


def assert_nothing_restarted(daemon: Daemon) -> None:
    assert {w["restarts"] for w in daemon.status()["workers"]} == {0}
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log_path.read_text()


def test_a_capture_worker_without_descriptors_says_so_of_a_new_camera_and_the_others_go_on(
    running: Daemon, moving_clip: Path
) -> None:
    with descriptors(running.worker("capture-0")["pid"], 0):
        add_b(running, moving_clip)
        wait_until_b_says(running, "no file descriptor left for it: raise LimitNOFILE")
        wait_for_frames(running, 0, 10)
    wait_for_frames(running, 1, 5)
    assert_nothing_restarted(running)


def test_an_inference_worker_without_descriptors_drops_and_counts_a_new_camera_s_frames(
    running: Daemon, moving_clip: Path
) -> None:
    with descriptors(running.worker("infer-0")["pid"], 0):
        add_b(running, moving_clip)
        wait_until_b_says(running, "Too many open files")
        wait_for_frames(running, 0, 10)
        frames = running.camera("b")["frames"]
        assert (frames["inferred"], frames["dropped"]["refused"] > 0) == (0, True)
    wait_for_frames(running, 1, 5)
    assert_nothing_restarted(running)


def test_a_supervisor_with_one_descriptor_left_answers_and_refuses_what_it_cannot_write(
    running: Daemon, moving_clip: Path
) -> None:
    assert running.process is not None
    with descriptors(running.process.pid, 1):
        before = running.status()  # the connection takes the last one
        done = running.cli("camera", "add", "b", str(moving_clip), "--loop", "--no-probe", check=False)
        assert (done.returncode != 0, "Too many open files" in done.stderr) == (True, True), done.stderr
        wait_for_frames(running, 0, 10)
        assert [c["name"] for c in running.status()["cameras"]] == ["a"]
        assert running.status()["config_rev"] == before["config_rev"]
    add_b(running, moving_clip)
    wait_for_frames(running, 1, 5)
    assert_nothing_restarted(running)


def test_a_service_without_threads_left_says_so_of_a_new_camera_and_the_others_go_on(
    running: Daemon, moving_clip: Path
) -> None:
    assert running.process is not None
    with cgroups.control_group("pids") as group:
        for worker in running.status()["workers"]:
            cgroups.take(group, worker["pid"])
        cgroups.take(group, running.process.pid)
        cgroups.limit(group, "pids", (group / "pids.current").read_text().strip())
        add_b(running, moving_clip)
        wait_until_b_says(running, "raise TasksMax")
        wait_for_frames(running, 0, 10)
    wait_for_frames(running, 1, 5)
    assert_nothing_restarted(running)
