"""Case 14: no room in /dev/shm at the start or later is a clear error with the size needed, never SIGBUS."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.moving import camera

pytestmark = pytest.mark.integration


def in_small_shm(daemon: Daemon, kilobytes: int) -> None:
    """Make `daemon` run where /dev/shm holds so much: a mount of its own that nobody else sees."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare, for a /dev/shm of its own")
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs root that may mount")
    plain = daemon.command
    daemon.command = lambda *args: ["unshare", "-m", "sh", "-c", f'{mount}; exec "$@"', "sh", *plain(*args)]  # type: ignore[method-assign]


def test_no_room_for_the_books_ends_the_start_with_the_storage_exit_code(daemon: Daemon) -> None:
    in_small_shm(daemon, 4)
    done = daemon.cli("run", check=False)
    assert done.returncode == 6
    assert "bytes of shared memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_room_for_a_ring_is_said_of_the_camera_and_the_others_go_on(
    daemon: Daemon, moving_clip: Path
) -> None:
    in_small_shm(daemon, 1400)  # the books and one ring of 4 x 320 x 180 x 3 bytes, not two
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["books"]["inferred"] > 10, 30, "camera a")
    daemon.cli("camera", "add", "b", str(moving_clip), "--loop", "--no-probe")
    status = daemon.wait_for(
        lambda s: len(s["cameras"]) == 2 and s["cameras"][1]["trouble"], 20, "its trouble"
    )
    trouble = status["cameras"][1]["trouble"]
    assert "a ring of 4 frames of 320x180 needs 0.7 MB" in trouble
    assert any("0.7 MB" in warning for warning in status["warnings"])
    before = status["cameras"][0]["books"]["inferred"]
    daemon.wait_for(lambda s: s["cameras"][0]["books"]["inferred"] > before + 20, 20, "camera a to go on")
    assert daemon.camera("a")["opens"] == status["cameras"][0]["opens"]
    assert daemon.stop() == 0
