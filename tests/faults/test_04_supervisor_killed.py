"""Case 4: kill -9 of the supervisor. No process or segment is left; its successor sends what was not sent."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from streamer.daemon.shared_memory import LOCK_FILE
from tests.daemon import Daemon
from tests.moving import camera

pytestmark = [pytest.mark.integration, pytest.mark.slow]
KILLS = 2  # `python -m tests.faults.soak.kills` is the long form


def inode(path: Path) -> int | None:
    """None: any daemon that starts on this machine takes away what nobody holds, also one of another test."""
    return path.stat().st_ino if path.exists() else None


def test_a_supervisor_that_is_killed_leaves_nothing_behind_and_loses_no_event(
    daemon: Daemon, moving_clip: Path
) -> None:
    daemon.write_camera(camera("a", moving_clip, loop=True))
    for turn in range(KILLS):
        daemon.start()
        daemon.wait_for(lambda s: s["cameras"][0]["frames"]["inferred"] > 20, 40, f"frames in life {turn}")
        daemon.wait_for_events("a", lambda e: e["type"] == "streamer.line.crossed.v1", 30)
        assert daemon.process is not None
        redis_pid = daemon.worker("redis")["pid"]
        daemon.kill_worker("redis", signal.SIGSTOP)  # what is counted from now on is not delivered
        committed = daemon.status()["ledger"]["committed"]
        daemon.wait_for(lambda s, c=committed: s["ledger"]["committed"] > c, 20, "an undelivered event")
        children = psutil.Process(daemon.process.pid).children(recursive=True)
        daemon.kill()
        psutil.Process(redis_pid).kill()
        for child in children:
            daemon.wait_until_gone(child.pid, 10)
    abandoned = inode(daemon.segments_dir / LOCK_FILE)  # what it could not take away itself ...
    daemon.start()
    assert inode(daemon.segments_dir / LOCK_FILE) not in (None, abandoned)  # ... its successor has
    daemon.wait_for(lambda s: s["ledger"]["undelivered"] == 0 and s["ledger"]["committed"], 30, "delivery")
    last = daemon.status()["ledger"]["cameras"]["a"]["last_seq"]
    events = daemon.wait_for_events("a", lambda e: e["data"]["seq"] >= last, 20)
    assert [e["data"]["seq"] for e in events] == list(range(1, len(events) + 1))
    buckets = [e["data"] for e in events if e["type"] == "streamer.counts.v1"]
    assert all(sum(b["coverage"].values()) <= b["bucket_s"] + 0.01 for b in buckets)
    assert daemon.stop() == 0
    assert not daemon.segments_dir.exists()
