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


def test_no_room_for_the_counters_ends_the_start_with_the_storage_exit_code(daemon: Daemon) -> None:
    in_small_shm(daemon, 4)
    done = daemon.cli("run", check=False)
    assert done.returncode == 6
    assert "bytes of shared memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_room_for_a_ring_is_said_of_the_camera_and_the_others_go_on(
    daemon: Daemon, moving_clip: Path
) -> None:
    in_small_shm(daemon, 1400)  # the counters and one ring of 4 x 320 x 180 x 3 bytes, not two
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 10, 30, "camera a")
    daemon.cli("camera", "add", "b", str(moving_clip), "--loop", "--no-probe")
    status = daemon.wait_for(
        lambda s: len(s["cameras"]) == 2 and s["cameras"][1]["warning"], 20, "its warning"
    )
    warning = status["cameras"][1]["warning"]
    assert "a ring of 4 frames of 320x180 needs 0.7 MB" in warning
    assert any("0.7 MB" in warning for warning in status["warnings"])
    before = status["cameras"][0]["frames"]["inferred"]
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > before + 20, 20, "camera a to go on")
    assert daemon.openings("a") == 1
    assert daemon.stop() == 0


def fill_shm(daemon: Daemon) -> Path:
    """Take what is left of the daemon's own /dev/shm; returns the file that took it."""
    assert daemon.process is not None
    filler = Path(f"/proc/{daemon.process.pid}/root/dev/shm/filler")
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_a_camera_that_opens_while_shared_memory_is_full_sees_when_there_is_room_again(
    daemon: Daemon, moving_clip: Path
) -> None:
    in_small_shm(daemon, 4000)
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 0, 30, "camera a")
    filler = fill_shm(daemon)
    daemon.cli("camera", "add", "b", str(moving_clip), "--loop", "--no-probe")
    status = daemon.wait_for(
        lambda s: (
            s["cameras"][1]["state"] == "no_storage"
            and s["cameras"][1]["frames"]["dropped"].get("no_storage", 0) > 5
        ),
        20,
        "frames without a ring",
    )
    starved = status["cameras"][1]
    assert "a ring of 4 frames of 320x180 needs 0.7 MB" in starved["detail"]
    filler.unlink()
    daemon.wait_for(lambda s: s["cameras"][1]["frames"]["inferred"] > 5, 45, "camera b")
    daemon.wait_for(
        lambda s: (s["cameras"][1]["state"], s["cameras"][1]["warning"]) == ("live", ""),
        20,
        "no warning left",
    )
    events = daemon.wait_for_events("b", lambda e: e["data"].get("state") == "live", 20)
    states = [e["data"]["state"] for e in events if e["type"] == "streamer.camera.state.v1"]
    assert states[:3] == ["connecting", "no_storage", "live"]
    assert daemon.stop() == 0


def test_the_ring_of_a_camera_that_is_disabled_makes_room_for_one_that_waits(
    daemon: Daemon, moving_clip: Path
) -> None:
    in_small_shm(daemon, 1400)
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 0, 30, "camera a")
    daemon.cli("camera", "add", "b", str(moving_clip), "--loop", "--no-probe")
    daemon.wait_for(lambda s: s["cameras"][1]["state"] == "no_storage", 20, "its state")
    daemon.cli("camera", "disable", "a")
    daemon.wait_for(lambda s: s["cameras"][1]["frames"]["inferred"] > 5, 45, "camera b")
    assert daemon.stop() == 0


def test_a_camera_that_opens_while_the_disk_refuses_its_epoch_sees_when_it_is_well(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera({**camera("a", moving_clip, loop=True), "enabled": False})
    daemon.start()
    epochs = daemon.state_dir / "epochs.json"
    epochs.mkdir()  # nothing can be put in its place
    daemon.cli("camera", "enable", "a")
    status = daemon.wait_for(lambda s: s["cameras"][0]["state"] == "no_storage", 20, "its state")
    assert "cannot be written" in status["cameras"][0]["detail"]
    epochs.rmdir()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 45, "camera a")
    assert daemon.stop() == 0
