"""Fault 3 and its kin: the delivery worker or Redis killed at any moment. 0 lost, 0 twice.

A few kills each: `python -m tests.faults.soak.kills` is the long form.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.ipc.messages import CameraStatus
from streamer.sinks.redis import REPLY_TIMEOUT_S
from tests.faults.delivery_rig import NODE, Rig
from tests.patience import FACTOR

pytestmark = pytest.mark.integration
KILLS = 8
BATCHES = 100  # before a kill, at most


@pytest.fixture
def rig(short_dir: Path, redis_binary: str) -> Iterator[Rig]:  # noqa: ARG001
    rig = Rig(short_dir)
    yield rig
    rig.close()


@pytest.fixture
def running(rig: Rig) -> Rig:
    rig.start_redis()
    rig.start_delivery()
    rig.resume()
    return rig


def under_load(rig: Rig, batches: int, chance: random.Random) -> None:
    """Send small batches of both cameras as fast as a busy box would: some hundred a second."""
    for _ in range(batches):
        rig.count(chance.choice(rig.cameras), chance.randint(1, 3))
        rig.pump(0.002)


def test_delivery_killed_again_and_again_under_load_loses_and_repeats_nothing(running: Rig) -> None:
    chance = random.Random(3)
    for turn in range(KILLS):
        under_load(running, chance.randint(1, BATCHES), chance)
        running.kill_delivery()
        under_load(running, chance.randint(0, BATCHES // 4), chance)
        running.start_delivery()
        if turn % 2:  # else the next one strikes while it still starts and takes what waits
            running.settle()
    under_load(running, BATCHES, chance)
    running.settle()
    assert min(running.sent.values()) > KILLS * BATCHES // 4
    running.assert_each_once()


def test_redis_killed_again_and_again_under_load_loses_and_repeats_nothing(running: Rig) -> None:
    chance = random.Random(4)
    for turn in range(KILLS):
        under_load(running, chance.randint(1, BATCHES), chance)
        running.kill_redis()
        under_load(running, chance.randint(0, BATCHES // 2), chance)
        running.start_redis()
        if turn % 2:  # else the next one strikes while the one before is made good
            running.settle()
    running.settle()
    assert min(running.sent.values()) > KILLS * BATCHES // 4
    running.assert_each_once()


def test_what_an_append_only_file_lost_is_sent_again(running: Rig) -> None:
    """A kill alone loses nothing of the file (the page cache lives on): its end is cut as by a power loss."""
    for _ in range(20):
        running.count("gate", 10)
        running.settle()
    os.kill(running.delivery_pid(), signal.SIGSTOP)  # so that the gap can be seen before it is mended
    running.kill_redis()
    for file in (running.state_dir / "redis" / "appendonlydir").glob("*.incr.aof"):
        os.truncate(file, file.stat().st_size // 2)
    running.start_redis()
    running.until(lambda: 0 < len(running.in_redis("gate")) < 200)
    os.kill(running.delivery_pid(), signal.SIGCONT)
    running.settle()
    running.assert_each_once()


def test_after_flushall_the_stream_is_rebuilt_with_the_same_ids_and_bodies(running: Rig) -> None:
    running.count("gate", 300)
    running.count("yard", 7)
    running.settle()
    before = {camera: running.entries(camera) for camera in running.cameras}
    totals = {camera: running.totals(camera) for camera in running.cameras}
    admin = running.admin()
    admin.flushall()
    admin.close()
    running.settle()  # nothing new is sent: the worker notices by itself
    assert {camera: running.entries(camera) for camera in running.cameras} == before
    assert {camera: running.totals(camera) for camera in running.cameras} == totals


def test_a_redis_that_hangs_holds_up_no_acknowledgement(running: Rig) -> None:
    running.count("gate", 1)
    running.settle()
    os.kill(running.redis_pid(), signal.SIGSTOP)
    try:
        for _ in range(100):
            running.count("gate", 1)
            # as long as one reply of Redis is waited for, on any machine
            running.until(lambda: not running.sequencer.unacknowledged, timeout_s=REPLY_TIMEOUT_S / FACTOR)
        assert running.in_ledger("gate") == list(range(1, 102))
        running.until(lambda: running.status["sinks"]["redis"]["state"] == "down")
        assert running.status["ledger"]["undelivered"] == 100
    finally:
        os.kill(running.redis_pid(), signal.SIGCONT)
    running.settle()
    running.assert_each_once()
    running.until(lambda: running.status["sinks"]["redis"]["state"] == "up")


def test_a_sender_that_was_killed_goes_on_where_it_stood(running: Rig) -> None:
    running.count("gate", 5)
    running.settle()
    running.kill_delivery()
    running.count("gate", 5)  # in the spool alone
    running.replace_sender()
    running.start_delivery()
    running.resume()
    running.count("gate", 5)
    running.settle()
    running.assert_each_once()


def test_at_sigterm_what_was_handed_over_is_written_and_delivered(running: Rig) -> None:
    for _ in range(30):
        running.count("gate", 3)
        running.pump(0.001)
    running.until(lambda: not running.sequencer.unacknowledged)
    assert running.stop_delivery() == 0
    assert running.in_redis("gate") == list(range(1, 91))
    assert not Path(f"{running.ledger_path}-wal").exists()


def test_the_state_of_a_camera_reaches_its_hash_and_the_directory(running: Rig) -> None:
    running.tell(CameraStatus("gate", {"state": "live", "fps_inferred": 12.5, "age_ms": {"p50": 21}}))
    client = running.client()
    running.until(lambda: client.hexists(f"streamer:{{{NODE}/gate}}:state", "state"))
    fields = client.hgetall(f"streamer:{{{NODE}/gate}}:state")
    assert fields[b"state"] == b"live"
    assert json.loads(fields[b"age_ms"]) == {"p50": 21}
    where = json.loads(client.hget("streamer:cameras", f"{NODE}/gate"))
    assert where["events"] == f"streamer:{{{NODE}/gate}}:events"
    client.close()
