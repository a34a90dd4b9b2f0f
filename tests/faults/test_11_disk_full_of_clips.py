"""Case 11, for clips: a disk that fills up while one is recorded costs that clip and nothing else. No half
file stays, the problem is told, and clips are made again once there is room.

The disk is a small tmpfs that only this daemon sees.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import clip_rig, moving
from tests.daemon import Daemon

pytestmark = pytest.mark.integration
DISK_KB = 8192


@pytest.fixture
def daemon(short_dir: Path, tmp_path: Path, redis_binary: str) -> Iterator[Daemon]:  # noqa: ARG001
    folder = short_dir / "disk"
    folder.mkdir()
    camera = moving.camera("door", clip_rig.write_film(tmp_path), realtime=True)
    settings = clip_rig.settings({"folder": str(folder), "after_s": 8, "max_days": 1})
    daemon = Daemon(short_dir, [camera], **settings)
    yield daemon
    daemon.kill()


def start_on_a_small_disk(daemon: Daemon) -> Path:
    """Returns the disk as the daemon sees it."""
    folder = daemon.base / "disk"
    mount = f"mount -t tmpfs -o size={DISK_KB}k,mode=700 tmpfs {folder}"
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare, for a disk of its own")
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs root that may mount")
    plain = daemon.command
    prefix = ["unshare", "-m", "sh", "-c", f'{mount}; exec "$@"', "sh"]
    daemon.command = lambda *args: [*prefix, *plain(*args)]  # type: ignore[method-assign]
    daemon.start()
    daemon.command = plain  # type: ignore[method-assign]
    assert daemon.process is not None
    return Path(f"/proc/{daemon.process.pid}/root{folder}")


def fill(disk: Path) -> Path:
    """Takes all that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_a_disk_that_fills_up_while_a_clip_is_recorded_costs_that_clip_alone(daemon: Daemon) -> None:
    disk = start_on_a_small_disk(daemon)
    event = clip_rig.crossing(daemon)
    name = clip_rig.begin(daemon, event)["clip"]
    daemon.wait_for(lambda _: list((disk / ".partial").glob("*.mp4")), 10, "the recording to begin")
    filler = fill(disk)
    inferred = daemon.camera("door")["frames"]["inferred"]
    status = daemon.wait_for(lambda s: clip_rig.counts(s)["failed"] == 1, 30, "the clip to fail")
    assert sorted(path.name for path in disk.iterdir()) == [".partial", "filler"]
    assert list((disk / ".partial").iterdir()) == []
    assert any(line.startswith("clips: ") for line in status["warnings"]), status["warnings"]
    log = daemon.log_path.read_text()
    assert f"clip {name} was not made: camera door: " in log
    assert "No space left on device" in log
    refused = daemon.cli("clip", clip_rig.crossing(daemon), check=False)
    assert refused.returncode
    assert "0 MB are free, and clips leave 1 MB" in refused.stderr
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > inferred + 50, 30, "counting to go on")
    assert daemon.openings("door") == 1
    filler.unlink()
    daemon.wait_for(lambda s: clip_rig.counts(s)["warning"].startswith("clip door"), 10, "there to be room")
    made = json.loads(daemon.cli("clip", clip_rig.crossing(daemon), "--json").stdout)
    assert (disk / made["file"]).stat().st_size == made["bytes"]
    daemon.wait_for(lambda s: clip_rig.counts(s)["warning"] == "", 10, "the warning to go")
    assert clip_rig.counts(daemon.status())["made"] == 1
