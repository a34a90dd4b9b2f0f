"""Case 15: shared memory of another run or size lies where a ring is to be. It is replaced, under a
generation and a name of its own; who still maps the old one sees it as it was, and nobody writes to it.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from streamer.daemon.shared_memory import SharedState
from streamer.ipc.frame_ring import RingMemory
from tests.daemon import Daemon
from tests.moving import HEIGHT, WIDTH, camera

RING_BYTES = 4 * WIDTH * HEIGHT * 3


@pytest.mark.integration
def test_the_rings_of_a_killed_daemon_are_replaced_and_nobody_writes_to_them(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    daemon.start()
    daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 5, 40, "the camera")
    (ring,) = daemon.segments_dir.glob("a.*")
    workers = [worker["pid"] for worker in daemon.status()["workers"]]
    daemon.kill()
    for pid in workers:
        daemon.wait_until_gone(pid, 10)
    daemon.segments_dir.mkdir(exist_ok=True)  # another daemon that starts clears what a killed one left
    for stale in (ring, daemon.segments_dir / "a.1", daemon.segments_dir / "a.2"):
        stale.write_bytes(b"\x5a" * 100_000)  # of another size
    with ring.open("r+b") as file, mmap.mmap(file.fileno(), 0) as old:
        daemon.start()
        daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 20, 40, "the camera again")
        (new,) = daemon.segments_dir.glob("a.*")
        assert new.stat().st_size == RING_BYTES
        assert old[:] == b"\x5a" * 100_000
        assert os.fstat(file.fileno()).st_nlink == 0
    assert daemon.camera("a")["epoch"] > 1
    assert daemon.stop() == 0
    assert not daemon.segments_dir.exists()


def test_a_file_in_the_place_of_a_new_ring_is_replaced(short_dir: Path) -> None:
    state_dir = short_dir / "state"
    state_dir.mkdir()
    shared = SharedState(short_dir / "run", state_dir)
    try:
        stale = shared.folder / "gate.1"
        stale.write_bytes(b"x" * 10)
        ring = shared.allocate_ring("gate", 4, 32, 16, opening=1)
        assert (ring.path, ring.generation) == (str(stale), 1)
        memory = RingMemory.attach(Path(ring.path), ring.slots, ring.width, ring.height)
        assert memory.slot(3).shape == (16, 32, 3)
        assert not memory.slot(0).any()
    finally:
        shared.close()
