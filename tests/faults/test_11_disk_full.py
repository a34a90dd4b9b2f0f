"""Case 11: the disk under the ledger is full, or fails. Nothing is acknowledged that is not kept; counting
goes on, what waits is kept by its sender, it is told and counted, and all of it is taken once there is room.

The disk is a small tmpfs that only the delivery worker sees, and a limit of the kernel on a file's size.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.delivery_rig import Rig

pytestmark = pytest.mark.integration
DISK_KB = 4096
MAX_WAITING = 300  # events


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    rig = Rig(short_dir)
    rig.start_redis()
    yield rig
    rig.close()


def on_a_small_disk(rig: Rig, free_kb: int = DISK_KB) -> Path:
    """Start the delivery worker with its ledger on a disk of DISK_KB, of which so much is free; the disk."""
    disk = rig.state_dir / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={DISK_KB}k,mode=700 tmpfs {disk}"
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare, for a disk of its own")
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs root that may mount")
    taken = f"head -c {(DISK_KB - free_kb) * 1024} /dev/zero > {disk}/filler"
    rig.ledger_path = disk / "ledger.sqlite"
    rig.start_delivery(prefix=["unshare", "-m", "sh", "-c", f'{mount}; {taken}; exec "$@"', "sh"])
    return Path(f"/proc/{rig.delivery_pid()}/root{disk}")


def told(rig: Rig, *states: str) -> bool:
    return rig.status.get("ledger", {}).get("state") in states


def look_into(rig: Rig, disk: Path) -> None:
    """SQLite opens no file through /proc: so a copy, while nothing is written."""
    copy = rig.state_dir / "copy"
    shutil.copytree(disk, copy, ignore=shutil.ignore_patterns("*-shm"))
    rig.ledger_path = copy / rig.ledger_path.name


def count_until_refused(rig: Rig) -> None:
    while not told(rig, "full", "failing"):
        if rig.sequencer.unacknowledged < MAX_WAITING:  # no more than can be taken soon after
            rig.count("gate", 10)
            rig.count("yard", 2)
        rig.pump(0.02)


def test_a_full_disk_is_told_counted_and_nothing_is_lost_when_there_is_room_again(rig: Rig) -> None:
    disk = on_a_small_disk(rig, free_kb=600)
    rig.resume()
    count_until_refused(rig)
    rig.count("gate", 50)  # counting goes on
    rig.until(lambda: rig.status["taken"]["refused"] > 0)
    assert rig.sequencer.unacknowledged > 0
    assert rig.status["ledger"]["last_error"].startswith("the ledger cannot take more")
    assert rig.delivery_exit() is None
    (disk / "filler").unlink()
    rig.until(lambda: told(rig, "ok"))
    rig.settle()
    look_into(rig, disk)
    rig.assert_each_once()


def test_a_disk_that_is_full_at_the_start_is_waited_for(rig: Rig) -> None:
    disk = on_a_small_disk(rig, free_kb=0)
    rig.until(lambda: told(rig, "full", "failing"))
    assert "the ledger cannot be opened" in rig.status["ledger"]["last_error"]
    assert rig.delivery_exit() is None
    (disk / "filler").unlink()
    rig.resume()
    rig.count("gate", 10)
    rig.settle()
    rig.until(lambda: told(rig, "ok"))
    look_into(rig, disk)
    rig.assert_each_once()


def test_writes_that_the_kernel_refuses_are_offered_again_until_they_go(rig: Rig) -> None:
    rig.start_delivery()
    rig.resume()
    rig.count("gate", 5)
    rig.settle()
    limit = (300_000, resource.RLIM_INFINITY)
    resource.prlimit(rig.delivery_pid(), resource.RLIMIT_FSIZE, limit)
    count_until_refused(rig)
    rig.count("yard", 20)
    assert rig.delivery_exit() is None
    resource.prlimit(rig.delivery_pid(), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    rig.settle()
    rig.until(lambda: told(rig, "ok"))
    rig.assert_each_once()
    assert rig.status["ledger"].get("damage", "") == ""
